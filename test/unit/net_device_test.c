/* virtio-net: what the driver finds, packets from it, its turns, reset, link. */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "net_packets.h"

static uint64_t features_offered(struct nic *w)
{
    uint64_t high;

    register_write(w->device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    high = register_read(w->device, VIRTIO_MMIO_DEVICE_FEATURES);
    register_write(w->device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    return high << 32 | register_read(w->device, VIRTIO_MMIO_DEVICE_FEATURES);
}

static void test_driver_finds_a_nic(void **state)
{
    struct nic *w = *state;
    struct virtio_net_config config = read_config(w);

    assert_int_equal(register_read(w->device, VIRTIO_MMIO_DEVICE_ID), 1);
    assert_memory_equal(config.mac, nic_mac, 6);
    assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
    assert_int_equal(config.speed, 10000);
    assert_int_equal(config.duplex, 1);
    assert_true((features_offered(w) & FEATURES_USUAL) == FEATURES_USUAL);
    assert_false(features_offered(w) & F(MQ));
    /* To Linux it would be the largest that the interface may ever get. */
    assert_false(features_offered(w) & F(MTU));
    assert_true(nic_bring_up(w, FEATURES_USUAL));
}

static void test_features_follow_what_the_tap_takes(void **state)
{
    static const struct {
        uint32_t offloads;
        uint64_t absent, present;
    } cases[] = {
        { 0, F(CSUM) | F(GUEST_CSUM) | F(HOST_TSO4) | F(GUEST_TSO4) | F_USO, F(MRG_RXBUF) },
        { TUN_F_CSUM, F(HOST_TSO4) | F(GUEST_TSO6) | F_USO, F(CSUM) | F(GUEST_CSUM) },
        { OFFLOADS_ALL & ~0x60u, F_USO, F(HOST_TSO4) | F(HOST_ECN) | F(GUEST_TSO6) },
        { TUN_F_CSUM | TUN_F_TSO6 | TUN_F_TSO_ECN, F(HOST_TSO4) | F(GUEST_ECN), F(HOST_TSO6) },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nic *w = malloc(sizeof(*w));

        nic_create(w, 1, 1, NULL, cases[i].offloads);
        assert_int_equal(features_offered(w) & cases[i].absent, 0);
        assert_true((features_offered(w) & cases[i].present) == cases[i].present);
        nic_destroy(w);
        free(w);
    }
}

static void test_config_of_odd_nics(void **state)
{
    struct nic *w = *state;
    struct error err;
    struct net *net = NULL;
    int fds[2];
    struct net_config config = { .memory = &w->driver.memory,
                                 .kick_fd = eventfd(0, EFD_NONBLOCK),
                                 .interrupt_fd = w->driver.interrupt_fd,
                                 .workers = w->workers,
                                 .tap_fds = fds,
                                 .pairs = 9 };

    assert_int_equal(net_create(&net, &config, &err), -EINVAL);
    assert_non_null(strstr(err.message, "expected 1 to 8"));
    config.pairs = 2;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    close(fds[1]);
    fds[1] = -1;
    assert_int_equal(net_create(&net, &config, &err), -EBADF); /* and fds[0] is still ours */
    config.pairs = 1;
    assert_int_equal(net_create(&net, &config, &err), 0);
    /* No MAC, no link. */
    assert_int_equal(net_virtio(net)->ops->features & F(MAC), 0);
    assert_false(net_link(net));
    net_destroy(net);
    close(config.kick_fd);
}

static void test_transmit_packets_of_every_length(void **state)
{
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, sizeof(packet));
    uint8_t *p = driver_at(&w->driver, gpa, sizeof(packet));
    uint32_t head, written;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    nic_fill(p + HDR, PACKET_END, 1);
    for (uint32_t length = 0; length < PACKET_END; length++) {
        ssize_t n;

        p[HDR + length / 2] ^= (uint8_t)(length >> 5);
        offer_packet(w, 1, 3, gpa, HDR + length, 1 + length % 7);
        register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
        net_worker_step(w->workers, 0, 0);
        assert_true(ring_take(&w->rings[1], &head, &written));
        assert_int_equal(head, 3);
        assert_int_equal(written, 0);
        n = recv(w->host[0], answer, sizeof(answer), 0);
        if (length < 14) {
            assert_int_equal(n, -1);
            continue;
        }
        assert_int_equal(n, HDR + length);
        assert_true(memcmp(answer + HDR, p + HDR, length) == 0);
    }
}

/* Chains without an Ethernet header's worth of bytes, readable parts missing, absurdly long ones.
 */
static void test_transmit_malformed_chains_are_dropped(void **state)
{
    static const uint32_t lengths[] = { 1, 11, 12, 25, 1u << 20 };
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, 1u << 20);
    uint32_t head, written;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    for (uint16_t i = 0; i < 5; i++)
        offer_packet(w, 1, i, gpa, lengths[i], 1);
    ring_set(&w->rings[1], 5, gpa, 100, VRING_DESC_F_WRITE, 0);
    ring_offer(&w->rings[1], 5);
    offer_packet(w, 1, 6, gpa, HDR + 60, 1); /* good */
    nic_kick(w, 1);
    for (uint32_t i = 0; i < 7; i++) {
        assert_true(ring_take(&w->rings[1], &head, &written));
        assert_int_equal(head, i);
    }
    assert_int_equal(recv(w->host[0], answer, sizeof(answer), 0), HDR + 60);
    assert_int_equal(recv(w->host[0], answer, sizeof(answer), 0), -1);
    assert_true(virtio_device_active(w->device));
}

/* @pass: what @in becomes in @out; each for a packet of 1000 bytes. */
static const struct {
    uint64_t without; /* of FEATURES_USUAL */
    struct virtio_net_hdr_v1 in;
    bool pass;
    struct virtio_net_hdr_v1 out;
} headers[] = {
    { 0, { .num_buffers = 77, .flags = 0xfe, .csum_start = 9 }, true, { 0 } },
    { 0,
      { CSUM, 0, 0, 0, .csum_start = 34, .csum_offset = 16 },
      true,
      { CSUM, 0, 0, 0, .csum_start = 34, .csum_offset = 16 } },
    { 0, { CSUM, 0, 0, 0, .csum_start = 998 }, true, { CSUM, 0, 0, 0, .csum_start = 998 } },
    { 0, { CSUM, 0, 0, 0, .csum_start = 999 }, false, { 0 } },
    { 0, { CSUM, 0, 0, 0, .csum_start = 13, .csum_offset = 20 }, false, { 0 } },
    { 0, { CSUM, 0, 0, 0, .csum_start = 34, .csum_offset = 965 }, false, { 0 } },
    { 0, { CSUM, 0, 0, 0, .csum_start = 0xffff, .csum_offset = 0xffff }, false, { 0 } },
    { F(CSUM), { CSUM, 0, 0, 0, .csum_start = 34, .csum_offset = 16 }, false, { 0 } },
    /* The length of the headers is a hint: kept when possible. */
    { 0, { .hdr_len = 1001 }, true, { 0 } },
    { 0, { .hdr_len = 13 }, true, { 0 } },
    { 0, { .hdr_len = 1000 }, true, { .hdr_len = 1000 } },
    { 0, { .gso_size = 500 }, true, { 0 } },
    { 0,
      { CSUM, GSO_TCP4, 54, 500, .csum_start = 34, .csum_offset = 16 },
      true,
      { CSUM, GSO_TCP4, 54, 500, .csum_start = 34, .csum_offset = 16 } },
    { 0,
      { CSUM, GSO_TCP6 | ECN, 74, 500, .csum_start = 54, .csum_offset = 16 },
      true,
      { CSUM, GSO_TCP6 | ECN, 74, 500, .csum_start = 54, .csum_offset = 16 } },
    { 0,
      { CSUM, GSO_L4, 42, 500, .csum_start = 34, .csum_offset = 6 },
      true,
      { CSUM, GSO_L4, 42, 500, .csum_start = 34, .csum_offset = 6 } },
    { 0, { 0, GSO_TCP4, 54, 500, .csum_start = 34, .csum_offset = 16 }, false, { 0 } },
    { 0, { CSUM, GSO_TCP4, 54, 0, .csum_start = 34, .csum_offset = 16 }, false, { 0 } },
    { 0, { CSUM, GSO_UDP, 54, 500, .csum_start = 34, .csum_offset = 6 }, false, { 0 } },
    { 0, { CSUM, 2, 54, 500, .csum_start = 34, .csum_offset = 6 }, false, { 0 } },
    { 0, { CSUM, ECN, 54, 500, .csum_start = 34, .csum_offset = 16 }, false, { 0 } },
    { 0, { CSUM, 0x7f, 54, 500, .csum_start = 34, .csum_offset = 16 }, false, { 0 } },
    { F(HOST_TSO4), { CSUM, GSO_TCP4, 54, 500, .csum_start = 34 }, false, { 0 } },
    { F(HOST_TSO6), { CSUM, GSO_TCP6, 54, 500, .csum_start = 34 }, false, { 0 } },
    { F(HOST_ECN), { CSUM, GSO_TCP4 | ECN, 54, 500, .csum_start = 34 }, false, { 0 } },
    { 1ull << 56, { CSUM, GSO_L4, 54, 500, .csum_start = 34 }, false, { 0 } },
    /* §5.1.3.1: no segmentation without checksums, whatever else was negotiated. */
    { F(CSUM), { CSUM, GSO_TCP4, 54, 500, .csum_start = 34 }, false, { 0 } },
};

static void test_transmit_headers_are_checked_and_rewritten(void **state)
{
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, HDR + 1000);
    uint8_t *p = driver_at(&w->driver, gpa, HDR + 1000);
    uint32_t head, written;

    nic_fill(p + HDR, 1000, 3);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        ssize_t n;

        assert_true(nic_bring_up(w, FEATURES_USUAL & ~headers[i].without));
        memcpy(p, &headers[i].in, HDR);
        offer_packet(w, 1, 0, gpa, HDR + 1000, 1);
        nic_kick(w, 1);
        assert_true(ring_take(&w->rings[1], &head, &written));
        n = recv(w->host[0], answer, sizeof(answer), 0);
        if (n != (headers[i].pass ? (ssize_t)HDR + 1000 : -1))
            fail_msg("header %zu: %zd", i, n);
        if (n > 0 && memcmp(answer, &headers[i].out, HDR) != 0)
            fail_msg("header %zu was not rewritten as expected", i);
        assert_true(virtio_device_active(w->device));
    }
}

/* ---- notifications and turns ---- */

static void test_busy_driver_gets_turns_and_one_interrupt_each(void **state)
{
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, HDR + 60);
    uint64_t count = 0;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    event_taken(w->driver.interrupt_fd);
    for (uint16_t i = 0; i < 200; i++)
        offer_packet(w, 1, i, gpa, HDR + 60, 1);
    register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 1);
    assert_int_equal(w->rings[1].used[1], 64);
    assert_int_equal(read(w->driver.interrupt_fd, &count, 8), 8);
    assert_int_equal(count, 1);
    while (recv(w->host[0], answer, sizeof(answer), 0) > 0)
        ;
    /* The driver polls: it has said that it wants to hear of nothing before the 200th. */
    *ring_used_event(&w->rings[1]) = 199;
    assert_int_equal(net_worker_step(w->workers, 0, 0), 1);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 1);
    assert_int_equal(w->rings[1].used[1], 192);
    assert_false(event_taken(w->driver.interrupt_fd));
    assert_int_equal(*ring_avail_event(&w->rings[1]), 0); /* not asked to notify while busy */
    net_worker_step(w->workers, 0, 0);
    assert_int_equal(w->rings[1].used[1], 200);
    assert_true(event_taken(w->driver.interrupt_fd));
    assert_int_equal(*ring_avail_event(&w->rings[1]), 200);
}

/* 64 KiB packets: few of them are a turn. */
static void test_turn_is_bounded_in_bytes(void **state)
{
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, 65000);

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    for (uint16_t i = 0; i < 30; i++)
        offer_packet(w, 1, i, gpa, 65000, 1);
    register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 1);
    assert_in_range(w->rings[1].used[1], 1, 8);
}

static void test_driver_without_event_index(void **state)
{
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, HDR + 60);
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL & ~(1ull << VIRTIO_RING_F_EVENT_IDX)));
    assert_int_equal(w->rings[0].used[0], 0); /* receiving is starved: notify */
    give_buffers(&b, w, 0, RX_BUFFER, 8);
    send_to_guest(w, 0, 60, 1);
    nic_kick(w, 0);
    expect_packet(&b, 60, 1);
    assert_int_equal(w->rings[0].used[0], VRING_USED_F_NO_NOTIFY);
    offer_packet(w, 1, 0, gpa, HDR + 60, 1);
    nic_kick(w, 1);
    assert_int_equal(w->rings[1].used[0], 0); /* idle again: notify */
    assert_true(event_taken(w->driver.interrupt_fd));
    w->rings[1].avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
    offer_packet(w, 1, 1, gpa, HDR + 60, 1);
    nic_kick(w, 1);
    assert_int_equal(w->rings[1].used[1], 2);
    assert_false(event_taken(w->driver.interrupt_fd));
}

/* ---- reset, trouble, link ---- */

static void test_reset_in_the_middle_of_a_packet(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    for (unsigned int i = 0; i < 5; i++) {
        assert_true(nic_bring_up(w, FEATURES_USUAL));
        give_buffers(&b, w, 0, 1000, 4);
        send_to_guest(w, 0, 9000, 5);
        nic_kick(w, 0);
        register_write(w->device, VIRTIO_MMIO_STATUS, 0);
        nic_run(w);
    }
    /* What waited for buffers went with the reset; packets in the TAP did not. */
    send_to_guest(w, 0, 100, 6);
    nic_run(w);
    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, 1000, 4);
    nic_kick(w, 0);
    expect_packet(&b, 100, 6);
}

static void test_queue_taken_away_while_in_use(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, 1000, 4);
    send_to_guest(w, 0, 9000, 5);
    nic_kick(w, 0);
    for (unsigned int i = 0; i < 3; i++) {
        register_write(w->device, VIRTIO_MMIO_QUEUE_SEL, i);
        register_write(w->device, VIRTIO_MMIO_QUEUE_READY, 0);
    }
    send_to_guest(w, 0, 100, 6);
    nic_kick(w, 0);
    nic_kick(w, 1);
    nic_kick(w, 2);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 0);
}

/* Buffers that had been taken from it were filled all the same. */
static void test_queue_taken_away_is_the_drivers(void **state)
{
    static uint8_t untouched[4 * 1000];
    struct nic *w = *state;
    struct buffers b;

    memset(untouched, 0xaa, sizeof(untouched));
    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, 1000, 4);
    memset(driver_at(&w->driver, b.gpa, sizeof(untouched)), 0xaa, sizeof(untouched));
    register_write(w->device, VIRTIO_MMIO_QUEUE_SEL, 0);
    register_write(w->device, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(register_read(w->device, VIRTIO_MMIO_QUEUE_READY), 0);
    send_to_guest(w, 0, 100, 1);
    nic_run(w);
    assert_memory_equal(driver_at(&w->driver, b.gpa, sizeof(untouched)), untouched,
                        sizeof(untouched));
    /* The other queue goes on. */
    offer_packet(w, 1, 0, w->buffers_gpa, HDR + 60, 1);
    nic_kick(w, 1);
    assert_int_equal(recv(w->host[0], answer, sizeof(answer), 0), HDR + 60);
}

static void test_broken_queue_needs_reset(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    for (unsigned int queue = 0; queue < 4; queue++) {
        assert_true(nic_bring_up(w, FEATURES_USUAL));
        driver_handle_interrupt(&w->driver, w->device);
        if (queue == 3) /* too small for a header */
            nic_give(w, 0, 0, w->buffers_gpa, 11);
        else
            ring_offer(&w->rings[queue], 999);
        if (queue == 0 || queue == 3)
            send_to_guest(w, 0, 100, 6);
        nic_kick(w, queue % 3);
        assert_true(register_read(w->device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
        assert_true(driver_handle_interrupt(&w->driver, w->device) & VIRTIO_MMIO_INT_CONFIG);
        assert_int_equal(net_worker_step(w->workers, 0, 0), 0);
        assert_true(nic_bring_up(w, FEATURES_USUAL));
        give_buffers(&b, w, 0, RX_BUFFER, 4);
        send_to_guest(w, 0, 100, 7);
        nic_kick(w, 0);
        if (queue == 0 || queue == 3) /* it had not been read */
            expect_packet(&b, 100, 6);
        expect_packet(&b, 100, 7);
    }
}

struct stepping {
    struct nic *w;
    atomic_int thread; /* its number, once there is one */
};

static void *step_second_worker(void *argument)
{
    struct stepping *stepping = argument;

    atomic_store(&stepping->thread, (int)syscall(SYS_gettid));
    net_worker_step(stepping->w->workers, 1, 0);
    return NULL;
}

/* The thread sleeps: it waits for a lock. */
static void wait_until_asleep(struct stepping *stepping)
{
    char path[64], text[64] = "";
    int fd;

    while (!strstr(text, ") S")) {
        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&stepping->thread));
        sched_yield();
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
            text[0] = '\0';
        if (fd >= 0)
            close(fd);
    }
}

/*
 * A notification from before the reset finds the second pair idle, and its worker looks at the
 * control queue when the driver has come back and wants all pairs. The other worker then settled
 * the device anew, with one pair.
 */
static void test_pairs_asked_for_by_way_of_the_second_worker_stay_in_use(void **state)
{
    struct nic *w = *state;
    struct driver_ring *r = &w->rings[8];
    uint8_t *p = driver_at(&w->driver, w->control_gpa, 8192);
    struct stepping stepping = { .w = w };
    const uint16_t pairs = 4;
    uint32_t head, written;
    pthread_t thread;

    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &pairs, 2), VIRTIO_NET_OK);
    register_write(w->device, VIRTIO_MMIO_STATUS, 0);
    pthread_mutex_lock(&w->device->lock);
    event_taken(net_queue_kick_fd(w->net, 2));
    assert_int_equal(eventfd_write(net_queue_kick_fd(w->net, 2), 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, step_second_worker, &stepping), 0);
    wait_until_asleep(&stepping);
    assert_true(nic_start(w, FEATURES_USUAL | F(MQ)));
    p[8000] = 0xee;
    ring_offer(r, 0); /* the same command */
    pthread_mutex_unlock(&w->device->lock);
    pthread_join(thread, NULL);
    nic_run(w);
    assert_true(ring_take(r, &head, &written));
    assert_int_equal(p[8000], VIRTIO_NET_OK);
    offer_packet(w, 3, 0, w->buffers_gpa, HDR + 60, 1);
    nic_kick(w, 3);
    assert_int_equal(recv(w->host[1], answer, sizeof(answer), 0), HDR + 60);
}

static void test_link_down_and_up(void **state)
{
    struct nic *w = *state;
    uint32_t generation;

    net_set_link(w->net, false);
    assert_false(event_taken(w->driver.interrupt_fd)); /* nobody to tell yet */
    assert_int_equal(read_config(w).status, 0);
    net_set_link(w->net, true);
    assert_true(nic_bring_up(w, FEATURES_USUAL));
    driver_handle_interrupt(&w->driver, w->device);
    generation = register_read(w->device, VIRTIO_MMIO_CONFIG_GENERATION);
    net_set_link(w->net, true);
    assert_int_equal(driver_handle_interrupt(&w->driver, w->device), 0);
    net_set_link(w->net, false);
    assert_int_equal(driver_handle_interrupt(&w->driver, w->device), VIRTIO_MMIO_INT_CONFIG);
    assert_int_not_equal(register_read(w->device, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_int_equal(read_config(w).status, 0);
    net_set_link(w->net, true);
    assert_int_equal(driver_handle_interrupt(&w->driver, w->device), VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(read_config(w).status, VIRTIO_NET_S_LINK_UP);
}

static void expect_gone(struct nic *w)
{
    uint64_t gpa = driver_alloc(&w->driver, HDR + 60);
    uint32_t head, written;

    assert_false(net_link(w->net));
    assert_true(driver_handle_interrupt(&w->driver, w->device) & VIRTIO_MMIO_INT_CONFIG);
    net_set_link(w->net, true); /* not any more */
    assert_false(net_link(w->net));
    offer_packet(w, 1, 0, gpa, HDR + 60, 1);
    nic_kick(w, 1);
    assert_true(ring_take(&w->rings[1], &head, &written)); /* the driver gets its buffers back */
    assert_true(nic_bring_up(w, FEATURES_USUAL));
    assert_int_equal(set_mode(w, 0, 0), VIRTIO_NET_OK);
    assert_true(virtio_device_active(w->device));
    net_detach(w->net); /* again */
}

static void test_interface_taken_away(void **state)
{
    struct nic *w = *state;
    uint8_t byte;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    driver_handle_interrupt(&w->driver, w->device);
    net_detach(w->net);
    assert_int_equal(recv(w->host[0], &byte, 1, 0), 0); /* the TAP is closed */
    expect_gone(w);
}

static void test_interface_that_vanishes(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 4);
    nic_kick(w, 0);
    driver_handle_interrupt(&w->driver, w->device);
    close(w->host[0]);
    w->host[0] = -1;
    nic_run(w);
    expect_gone(w);
}

/* What was more than a turn's worth stayed with the device until the next notification. */
static void test_interface_that_vanishes_returns_all_packets(void **state)
{
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, HDR + 60);
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 4);
    close(w->host[0]);
    w->host[0] = -1;
    for (uint16_t i = 0; i < 200; i++)
        offer_packet(w, 1, i, gpa, HDR + 60, 1);
    nic_kick(w, 1);
    assert_false(net_link(w->net));
    assert_int_equal(w->rings[1].used[1], 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_driver_finds_a_nic),
        cmocka_unit_test(test_features_follow_what_the_tap_takes),
        TEST(test_config_of_odd_nics),
        TEST(test_transmit_packets_of_every_length),
        TEST(test_transmit_malformed_chains_are_dropped),
        TEST(test_transmit_headers_are_checked_and_rewritten),
        TEST(test_busy_driver_gets_turns_and_one_interrupt_each),
        TEST(test_turn_is_bounded_in_bytes),
        TEST(test_driver_without_event_index),
        TEST(test_reset_in_the_middle_of_a_packet),
        TEST(test_queue_taken_away_while_in_use),
        TEST(test_queue_taken_away_is_the_drivers),
        TEST(test_broken_queue_needs_reset),
        MULTI(test_pairs_asked_for_by_way_of_the_second_worker_stay_in_use),
        TEST(test_link_down_and_up),
        TEST(test_interface_taken_away),
        TEST(test_interface_that_vanishes),
        TEST(test_interface_that_vanishes_returns_all_packets),
    };

    signal(SIGPIPE, SIG_IGN); /* TAPs do not have it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
