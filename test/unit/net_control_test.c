/* virtio-net: the control queue, and several queue pairs. */
#include "net_packets.h"

static bool arrives(struct nic *w, struct buffers *b, const char *address)
{
    unsigned int a[6];
    ssize_t n;

    assert_int_equal(sscanf(address, "%x:%x:%x:%x:%x:%x", &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]),
                     6);
    memset(packet, 0, HDR + 60);
    for (unsigned int i = 0; i < 6; i++)
        packet[HDR + i] = (uint8_t)a[i];
    assert_int_equal(send(w->host[0], packet, HDR + 60, 0), HDR + 60);
    nic_kick(w, 0);
    n = take_packet(b, answer);
    return n == HDR + 60 && memcmp(answer + HDR, packet + HDR, 60) == 0;
}

#define OURS "02:42:ac:11:00:02"

static void test_filter_takes_what_the_driver_wants(void **state)
{
    static const uint8_t table[] = { 1, 0, 0, 0,    2, 0, 0, 0,    0,    7, 2, 0, 0,
                                     0, 1, 0, 0x5e, 0, 0, 1, 0x33, 0x33, 0, 0, 0, 1 };
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 16);
    assert_true(arrives(w, &b, "02:00:00:00:00:99")); /* until told otherwise */
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
    assert_true(arrives(w, &b, OURS));
    assert_true(arrives(w, &b, "ff:ff:ff:ff:ff:ff"));
    assert_false(arrives(w, &b, "02:00:00:00:00:99"));
    assert_false(arrives(w, &b, "02:00:00:00:00:07"));
    assert_false(arrives(w, &b, "01:00:5e:00:00:01"));
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
                                 sizeof(table)),
                     VIRTIO_NET_OK);
    assert_true(arrives(w, &b, "02:00:00:00:00:07"));
    assert_true(arrives(w, &b, "01:00:5e:00:00:01"));
    assert_true(arrives(w, &b, "33:33:00:00:00:01"));
    assert_false(arrives(w, &b, "33:33:00:00:00:02"));
    assert_false(arrives(w, &b, "02:00:00:00:00:08"));
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_ALLMULTI, 1), VIRTIO_NET_OK);
    assert_true(arrives(w, &b, "33:33:00:00:00:02"));
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_NOMULTI, 1), VIRTIO_NET_OK);
    assert_false(arrives(w, &b, "33:33:00:00:00:01"));
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_ALLUNI, 1), VIRTIO_NET_OK);
    assert_true(arrives(w, &b, "02:00:00:00:00:08"));
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_NOUNI, 1), VIRTIO_NET_OK);
    assert_false(arrives(w, &b, OURS));
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_NOBCAST, 1), VIRTIO_NET_OK);
    assert_false(arrives(w, &b, "ff:ff:ff:ff:ff:ff"));
    assert_int_equal(set_mode(w, VIRTIO_NET_CTRL_RX_PROMISC, 1), VIRTIO_NET_OK);
    assert_true(arrives(w, &b, "33:33:00:00:00:02"));
    /* A reset forgets it all. */
    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 16);
    assert_true(arrives(w, &b, "02:00:00:00:00:99"));
}

static void test_address_set_by_the_driver(void **state)
{
    static const uint8_t other[6] = { 2, 1, 2, 3, 4, 5 };
    struct nic *w = *state;
    struct virtio_net_config config;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 16);
    set_mode(w, VIRTIO_NET_CTRL_RX_PROMISC, 0);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
                     VIRTIO_NET_OK);
    assert_true(arrives(w, &b, "02:01:02:03:04:05"));
    assert_false(arrives(w, &b, OURS));
    config = read_config(w);
    assert_memory_equal(config.mac, other, 6);
    register_write(w->device, VIRTIO_MMIO_STATUS, 0);
    config = read_config(w);
    assert_memory_equal(config.mac, nic_mac, 6);
}

static void test_more_addresses_than_fit_let_all_pass(void **state)
{
    struct nic *w = *state;
    uint8_t table[4 + 65 * 6 + 4] = { 65 };
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 16);
    set_mode(w, VIRTIO_NET_CTRL_RX_PROMISC, 0);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
                                 sizeof(table)),
                     VIRTIO_NET_OK);
    assert_true(arrives(w, &b, "02:00:00:00:00:99"));
    assert_false(arrives(w, &b, "33:33:00:00:00:01"));
    table[0] = 64;
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
                                 sizeof(table) - 6),
                     VIRTIO_NET_OK);
    assert_false(arrives(w, &b, "02:00:00:00:00:99"));
}

static void test_bad_commands_are_refused(void **state)
{
    static const uint8_t huge[8] = { 0xff, 0xff, 0xff, 0xff }, pair[2] = { 1 }, vlan[2] = { 5 },
                         bad_vlan[2] = { 0, 16 };
    uint64_t offloads = F(GUEST_CSUM) | F(GUEST_TSO4), more = F(CSUM);
    struct nic *w = *state;
    const struct {
        uint8_t class, cmd;
        const void *data;
        uint32_t length;
        uint8_t answer;
    } cases[] = {
        { 0, 6, huge, 1, 1 },      { 0, 0, huge, 0, 1 },  { 1, 0, huge, 3, 1 },
        { 1, 0, huge, 8, 1 }, /* more entries than there is data */
        { 1, 1, huge, 5, 1 },      { 1, 2, huge, 8, 1 },  { 2, 0, vlan, 2, 0 },
        { 2, 1, vlan, 2, 0 },      { 2, 2, vlan, 2, 1 },  { 2, 0, bad_vlan, 2, 1 },
        { 3, 0, vlan, 1, 1 }, /* announcements were not offered */
        { 4, 0, pair, 2, 1 }, /* nor several pairs */
        { 5, 0, &offloads, 8, 0 }, { 5, 0, &more, 8, 1 }, { 5, 0, &offloads, 7, 1 },
        { 5, 1, &offloads, 8, 1 }, { 99, 0, huge, 4, 1 },
    };

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (nic_command(w, cases[i].class, cases[i].cmd, cases[i].data, cases[i].length) !=
            cases[i].answer)
            fail_msg("command %zu", i);
    /* No room for the answer, no command at all: the queue goes on. */
    ring_set(&w->rings[2], 7, w->control_gpa, 1, 0, 0);
    ring_offer(&w->rings[2], 7);
    nic_kick(w, 2);
    w->rings[2].last_used++;
    assert_int_equal(set_mode(w, 0, 0), VIRTIO_NET_OK);
    /* Without the features nothing is taken. */
    assert_true(nic_bring_up(w, DRIVER_FEATURES_ALL | F(CTRL_VQ)));
    assert_int_equal(set_mode(w, 0, 0), VIRTIO_NET_ERR);
    assert_int_equal(set_mode(w, 2, 0), VIRTIO_NET_ERR);
    assert_int_equal(nic_command(w, 1, 1, nic_mac, 6), VIRTIO_NET_ERR);
    assert_int_equal(nic_command(w, 2, 0, vlan, 2), VIRTIO_NET_ERR);
    assert_int_equal(nic_command(w, 5, 0, &offloads, 8), VIRTIO_NET_ERR);
}

static void test_offloads_switched_off_by_the_driver(void **state)
{
    struct nic *w = *state;
    struct virtio_net_hdr_v1 header = { CSUM, GSO_TCP4, 54, 100, { { 34, 16 } }, 0 };
    uint64_t none = 0;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 16);
    memcpy(packet, &header, HDR);
    nic_fill(packet + HDR, 500, 1);
    send(w->host[0], packet, HDR + 500, 0);
    nic_run(w);
    assert_int_equal(take_packet(&b, answer), HDR + 500);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 8), VIRTIO_NET_OK);
    send(w->host[0], packet, HDR + 500, 0);
    nic_run(w);
    assert_int_equal(take_packet(&b, answer), -1);
}

/* ---- several pairs ---- */

static void test_pairs_carry_their_own_packets(void **state)
{
    static const uint16_t four = 4, two = 2, five = 5, none = 0;
    struct nic *w = *state;
    uint64_t gpa = driver_alloc(&w->driver, 4096);
    struct buffers b[NIC_PAIRS];
    uint32_t head, written;

    assert_int_equal(read_config(w).max_virtqueue_pairs, 4);
    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    for (unsigned int i = 0; i < 4; i++)
        give_buffers(&b[i], w, i, RX_BUFFER, 8);
    /* One pair until the driver asks for more: the others receive nothing. */
    send_to_guest(w, 2, 100, 2);
    nic_kick(w, 4);
    assert_int_equal(take_packet(&b[2], answer), -1);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &five, 2), VIRTIO_NET_ERR);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &none, 2), VIRTIO_NET_ERR);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &four, 2), VIRTIO_NET_OK);
    expect_packet(&b[2], 100, 2);
    for (unsigned int i = 0; i < 4; i++) {
        send_to_guest(w, i, 100 + i, i);
        nic_run(w);
        expect_packet(&b[i], 100 + i, i);
        nic_fill(driver_at(&w->driver, gpa, 1000), 1000, i);
        memset(driver_at(&w->driver, gpa, HDR), 0, HDR);
        offer_packet(w, 2 * i + 1, 0, gpa, 200 + i, 1);
        nic_kick(w, 2 * i + 1);
        assert_true(ring_take(&w->rings[2 * i + 1], &head, &written));
        assert_int_equal(recv(w->host[i], answer, sizeof(answer), 0), 200 + i);
    }
    /* Fewer again: what the driver still sends by the others leaves by the first. */
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &two, 2), VIRTIO_NET_OK);
    offer_packet(w, 7, 1, gpa, 300, 1);
    nic_kick(w, 7);
    assert_int_equal(recv(w->host[3], answer, sizeof(answer), 0), -1);
    assert_int_equal(recv(w->host[0], answer, sizeof(answer), 0), 300);
    send_to_guest(w, 3, 100, 9);
    nic_run(w);
    assert_int_equal(take_packet(&b[3], answer), -1);
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &four, 2), VIRTIO_NET_OK);
    expect_packet(&b[3], 100, 9);
}

/* KVM may signal each queue's own eventfd, and the device's thread need not pass anything on. */
static void test_queue_has_its_own_kick(void **state)
{
    struct nic *w = *state;
    static const uint16_t four = 4;
    uint64_t gpa = driver_alloc(&w->driver, 4096), one = 1;

    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    assert_int_equal(nic_command(w, VIRTIO_NET_CTRL_MQ, 0, &four, 2), VIRTIO_NET_OK);
    for (unsigned int i = 0; i < 4; i++) {
        assert_int_equal(net_queue_kick_fd(w->net, 2 * i), net_queue_kick_fd(w->net, 2 * i + 1));
        assert_int_not_equal(net_queue_kick_fd(w->net, 2 * i), w->driver.kick_fd);
        offer_packet(w, 2 * i + 1, 0, gpa, 200, 1);
        assert_int_equal(write(net_queue_kick_fd(w->net, 2 * i + 1), &one, 8), 8);
        nic_run(w);
        assert_int_equal(recv(w->host[i], answer, sizeof(answer), 0), 200);
    }
    assert_int_equal(net_queue_kick_fd(w->net, 8), w->driver.kick_fd);
}

/* Without MQ the control queue is number 2, whatever the device could do (§5.1.2). */
static void test_driver_of_one_pair_on_a_device_of_four(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 8);
    assert_int_equal(set_mode(w, 0, 0), VIRTIO_NET_OK);
    assert_true(arrives(w, &b, OURS));
}

/* KVM signals by the queue's number, and does not know whose queue that is. */
static void test_control_queue_of_one_pair_has_the_kick_of_the_second(void **state)
{
    struct nic *w = *state;
    struct driver_ring *r = &w->rings[2];
    uint8_t *p = driver_at(&w->driver, w->control_gpa, 8192);
    uint32_t head, written;
    uint64_t one = 1;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    assert_int_equal(net_kick_count(w->net), 9);
    p[0] = VIRTIO_NET_CTRL_RX;
    p[1] = VIRTIO_NET_CTRL_RX_PROMISC;
    p[2] = 1;
    p[16] = 0xee;
    ring_set(r, 0, w->control_gpa, 3, VRING_DESC_F_NEXT, 1);
    ring_set(r, 1, w->control_gpa + 16, 1, VRING_DESC_F_WRITE, 0);
    ring_offer(r, 0);
    assert_int_equal(write(net_queue_kick_fd(w->net, 2), &one, 8), 8);
    nic_run(w);
    assert_true(ring_take(r, &head, &written));
    assert_int_equal(p[16], VIRTIO_NET_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_filter_takes_what_the_driver_wants),
        TEST(test_address_set_by_the_driver),
        TEST(test_more_addresses_than_fit_let_all_pass),
        TEST(test_bad_commands_are_refused),
        TEST(test_offloads_switched_off_by_the_driver),
        MULTI(test_pairs_carry_their_own_packets),
        MULTI(test_queue_has_its_own_kick),
        MULTI(test_driver_of_one_pair_on_a_device_of_four),
        MULTI(test_control_queue_of_one_pair_has_the_kick_of_the_second),
    };

    signal(SIGPIPE, SIG_IGN); /* TAPs do not have it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
