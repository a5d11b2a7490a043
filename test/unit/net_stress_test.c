/*
 * virtio-net with real workers, a driver and hosts that run at the same time. Every packet says who
 * it is, so that loss, repetition, reordering and mixed-up bytes are all seen.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "net_driver.h"

#define PAIRS     2u
#define SLOTS     16u /* packets of the guest under way in each pair */
#define SLOT_SIZE 9216u
#define BUFFER    600u
#define BUFFERS   200u /* 120000 bytes: room for every packet, and for few of the large ones */
#define SECONDS   2

/* Behind the vnet header: destination, number, length; then bytes made from the number. */
struct label {
    uint8_t address[8];
    uint32_t number, length;
};

struct side {
    unsigned int pair;
    int fd;
    pthread_t thread;
    atomic_uint sent, received; /* by the host */
};

struct stress {
    struct nic w;
    pthread_t workers[PAIRS], meddler;
    struct side sides[PAIRS];
    atomic_bool stop, pause_host;
    bool lossy; /* resets: numbers may be missing */
    uint64_t tx_gpa[PAIRS], rx_gpa[PAIRS];
    uint32_t tx_next[PAIRS], rx_next[PAIRS];
    uint32_t tx_free[PAIRS]; /* bit map */
    uint32_t random;
};

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Mostly small, sometimes up to @max. */
static uint32_t random_length(uint32_t *state, uint32_t max)
{
    uint32_t r = next_random(state), top = r % 8 == 0 ? max : r % 8 < 3 ? 1514 : 100;

    return sizeof(struct label) + next_random(state) % (top - (uint32_t)sizeof(struct label));
}

static void make(uint8_t *packet, uint32_t number, uint32_t length)
{
    struct label label = { .number = number, .length = length };

    nic_fill(packet, length, number);
    memcpy(label.address, nic_mac, 6);
    memcpy(packet, &label, sizeof(label));
}

/* Return: the packet's number. */
static uint32_t check(const uint8_t *packet, size_t length)
{
    static __thread uint8_t expected[65536];
    struct label label;

    if (length < sizeof(label))
        abort();
    memcpy(&label, packet, sizeof(label));
    if (label.length != length)
        abort();
    make(expected, label.number, label.length);
    if (memcmp(packet, expected, length) != 0)
        abort();
    return label.number;
}

/* The network behind one TAP queue. */
static void *host_main(void *argument)
{
    static __thread uint8_t packet[HDR + 65536];
    struct side *side = argument;
    struct stress *s =
        (struct stress *)((uint8_t *)(side - side->pair) - offsetof(struct stress, sides));
    uint32_t random = 77 + side->pair, next = 0;

    while (!atomic_load(&s->stop)) {
        struct pollfd ready = { .fd = side->fd, .events = POLLIN | POLLOUT };
        ssize_t n;

        if (poll(&ready, 1, 10) <= 0)
            continue;
        while ((n = recv(side->fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
            uint32_t number = check(packet + HDR, (size_t)n - HDR);

            if (s->lossy ? number < next : number != next)
                abort();
            next = number + 1;
            atomic_fetch_add(&side->received, 1);
        }
        if (ready.revents & POLLOUT && !atomic_load(&s->pause_host)) {
            uint32_t length = random_length(&random, 65000), number = atomic_load(&side->sent);

            memset(packet, 0, HDR);
            make(packet + HDR, number, length);
            if (send(side->fd, packet, HDR + length, MSG_DONTWAIT) > 0)
                atomic_fetch_add(&side->sent, 1);
        }
        if (next_random(&random) % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *worker_main(void *argument)
{
    struct stress *s = argument;
    static atomic_uint index;

    net_worker_serve(s->w.workers, atomic_fetch_add(&index, 1) % PAIRS);
    return NULL;
}

/* The driver's side of rings that the device uses meanwhile. */
static bool take(struct driver_ring *r, uint32_t *head, uint32_t *written)
{
    uint32_t element[2];

    if (__atomic_load_n(&r->used[1], __ATOMIC_ACQUIRE) == r->last_used)
        return false;
    memcpy(element, &r->used[2 + 4 * (r->last_used % r->size)], sizeof(element));
    __atomic_store_n(ring_used_event(r), ++r->last_used, __ATOMIC_SEQ_CST);
    *head = element[0];
    *written = element[1];
    return true;
}

/* Offers, and notifies exactly when the device has asked for it. */
static void offer(struct stress *s, unsigned int queue, uint16_t head)
{
    struct driver_ring *r = &s->w.rings[queue];
    uint16_t before = r->next_avail;

    ring_offer(r, head);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (vring_need_event(__atomic_load_n(ring_avail_event(r), __ATOMIC_RELAXED), r->next_avail,
                         before))
        register_write(s->w.device, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

static void transmit(struct stress *s, unsigned int pair)
{
    struct driver_ring *r = &s->w.rings[2 * pair + 1];
    uint32_t head, written;

    while (take(r, &head, &written))
        s->tx_free[pair] |= 1u << head / 2;
    while (s->tx_free[pair] && s->tx_next[pair] - atomic_load(&s->sides[pair].received) < SLOTS) {
        unsigned int slot = (unsigned int)__builtin_ctz(s->tx_free[pair]);
        uint64_t gpa = s->tx_gpa[pair] + slot * SLOT_SIZE;
        uint32_t length = random_length(&s->random, SLOT_SIZE - HDR);
        uint32_t first = HDR + next_random(&s->random) % length;
        uint8_t *p = driver_at(&s->w.driver, gpa, SLOT_SIZE);

        memset(p, 0, HDR);
        make(p + HDR, s->tx_next[pair]++, length);
        ring_set(r, (uint16_t)(2 * slot), gpa, first, VRING_DESC_F_NEXT, (uint16_t)(2 * slot + 1));
        ring_set(r, (uint16_t)(2 * slot + 1), gpa + first, HDR + length - first, 0, 0);
        s->tx_free[pair] &= ~(1u << slot);
        offer(s, 2 * pair + 1, (uint16_t)(2 * slot));
        if (s->lossy)
            break;
    }
}

static void receive(struct stress *s, unsigned int pair)
{
    static uint8_t packet[65536 + HDR];
    struct driver_ring *r = &s->w.rings[2 * pair];
    uint32_t head, written;

    while (take(r, &head, &written)) {
        struct virtio_net_hdr_v1 header;
        uint32_t heads[BUFFERS] = { head }, length = 0, number;

        memcpy(&header, driver_at(&s->w.driver, s->rx_gpa[pair] + head * BUFFER, HDR), HDR);
        if (header.num_buffers == 0 || header.num_buffers > BUFFERS)
            abort();
        for (unsigned int i = 0; i < header.num_buffers; i++) {
            /* "rx error: 3 buffers out of 5 missing" */
            if (i > 0 && !take(r, &heads[i], &written))
                abort();
            memcpy(packet + length,
                   driver_at(&s->w.driver, s->rx_gpa[pair] + heads[i] * BUFFER, BUFFER), written);
            length += written;
        }
        number = check(packet + HDR, length - HDR);
        if (s->lossy ? number < s->rx_next[pair] : number != s->rx_next[pair])
            abort();
        s->rx_next[pair] = number + 1;
        for (unsigned int i = 0; i < header.num_buffers; i++)
            offer(s, 2 * pair, (uint16_t)heads[i]);
    }
}

static void bring_up(struct stress *s)
{
    struct nic *w = &s->w;

    if (!driver_negotiate(w->device, (FEATURES_USUAL & ~F(CTRL_RX)) | F(MQ)))
        abort();
    for (unsigned int i = 0; i < 2 * PAIRS + 1; i++) {
        struct driver_ring *r = &w->rings[i];

        memset(r->avail, 0, 6 + 2ull * r->size);
        memset(r->used, 0, 6 + 8ull * r->size);
        r->next_avail = r->last_used = 0;
        if (!driver_setup_queue(w->device, i, r))
            abort();
    }
    driver_add_status(w->device, VIRTIO_CONFIG_S_DRIVER_OK);
    for (unsigned int i = 0; i < PAIRS; i++) {
        s->tx_free[i] = (1u << SLOTS) - 1;
        for (uint16_t j = 0; j < BUFFERS; j++) {
            ring_set(&w->rings[2 * i], j, s->rx_gpa[i] + j * BUFFER, BUFFER, VRING_DESC_F_WRITE, 0);
            offer(s, 2 * i, j);
        }
    }
}

static uint8_t set_pairs(struct stress *s, uint16_t pairs)
{
    struct driver_ring *r = &s->w.rings[2 * PAIRS];
    uint8_t *p = driver_at(&s->w.driver, s->w.control_gpa, 16);
    uint32_t head, written;

    p[0] = VIRTIO_NET_CTRL_MQ;
    p[1] = 0;
    memcpy(p + 2, &pairs, 2);
    ring_set(r, 0, s->w.control_gpa, 4, VRING_DESC_F_NEXT, 1);
    ring_set(r, 1, s->w.control_gpa + 8, 1, VRING_DESC_F_WRITE, 0);
    offer(s, 2 * PAIRS, 0);
    for (unsigned int i = 0; !take(r, &head, &written); i++) {
        if (i > 20000)
            abort();
        usleep(1000);
    }
    return p[8];
}

static void create(struct stress *s, bool lossy)
{
    memset(s, 0, sizeof(*s));
    s->lossy = lossy;
    s->random = 1;
    nic_create(&s->w, PAIRS, PAIRS, NULL, OFFLOADS_ALL);
    for (unsigned int i = 0; i < PAIRS; i++) {
        int size = 4 << 20;

        s->tx_gpa[i] = driver_alloc(&s->w.driver, SLOTS * SLOT_SIZE);
        s->rx_gpa[i] = driver_alloc(&s->w.driver, BUFFERS * BUFFER);
        setsockopt(s->w.tap[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        s->sides[i].pair = i;
        s->sides[i].fd = s->w.host[i];
    }
    for (unsigned int i = 0; i < PAIRS; i++)
        pthread_create(&s->workers[i], NULL, worker_main, s);
    bring_up(s);
    if (set_pairs(s, PAIRS) != 0)
        abort();
    for (unsigned int i = 0; i < PAIRS; i++)
        pthread_create(&s->sides[i].thread, NULL, host_main, &s->sides[i]);
}

static void finish(struct stress *s)
{
    atomic_store(&s->stop, true);
    for (unsigned int i = 0; i < PAIRS; i++)
        pthread_join(s->sides[i].thread, NULL);
    net_workers_stop(s->w.workers);
    for (unsigned int i = 0; i < PAIRS; i++)
        pthread_join(s->workers[i], NULL);
    nic_destroy(&s->w);
}

static bool arrived(struct stress *s)
{
    for (unsigned int i = 0; i < PAIRS; i++)
        if (s->rx_next[i] != atomic_load(&s->sides[i].sent) ||
            s->tx_next[i] != atomic_load(&s->sides[i].received))
            return false;
    return true;
}

static void run_driver(struct stress *s)
{
    for (unsigned int i = 0; i < PAIRS; i++) {
        transmit(s, i);
        receive(s, i);
    }
    event_taken(s->w.driver.interrupt_fd);
}

static void test_nothing_is_lost_or_reordered(void **state)
{
    struct stress *s = calloc(1, sizeof(*s));
    time_t end = time(NULL) + SECONDS + 1;

    (void)state;
    create(s, false);
    while (time(NULL) < end)
        run_driver(s);
    /* The last ones come in without any more being sent: no notification got lost. */
    atomic_store(&s->pause_host, true);
    end = time(NULL) + 20;
    while (time(NULL) < end && !arrived(s))
        for (unsigned int i = 0; i < PAIRS; i++)
            receive(s, i);
    assert_true(arrived(s));
    print_message("%u and %u packets\n", s->rx_next[0] + s->rx_next[1],
                  s->tx_next[0] + s->tx_next[1]);
    finish(s);
    free(s);
}

/* Sleeps for the interrupt as a driver does: one that does not come is noticed. */
static void test_interrupts_are_enough(void **state)
{
    struct stress *s = calloc(1, sizeof(*s));
    time_t end = time(NULL) + SECONDS;

    (void)state;
    create(s, false);
    while (time(NULL) < end) {
        struct pollfd interrupt = { .fd = s->w.driver.interrupt_fd, .events = POLLIN };
        uint32_t before = s->rx_next[0] + s->rx_next[1];

        run_driver(s);
        /* used_event is up to date and nothing has come meanwhile: now wait. */
        if (before == s->rx_next[0] + s->rx_next[1] && poll(&interrupt, 1, 5000) == 0)
            fail_msg("no interrupt");
    }
    finish(s);
    free(s);
}

/* Another vCPU plays with link, configuration and identity registers meanwhile. */
static void *meddle(void *argument)
{
    struct stress *s = argument;
    uint64_t data;

    for (unsigned int i = 0; !atomic_load(&s->stop); i++) {
        net_set_link(s->w.net, i % 2);
        virtio_mmio_read(s->w.device, VIRTIO_MMIO_CONFIG + i % 8, &data, 1);
        register_read(s->w.device, VIRTIO_MMIO_CONFIG_GENERATION);
        register_write(s->w.device, VIRTIO_MMIO_QUEUE_NOTIFY, i % 5);
        usleep(200);
    }
    return NULL;
}

static void test_reset_at_any_moment(void **state)
{
    struct stress *s = calloc(1, sizeof(*s));
    time_t end = time(NULL) + SECONDS;
    unsigned int resets = 0;

    (void)state;
    create(s, true);
    pthread_create(&s->meddler, NULL, meddle, s);
    while (time(NULL) < end) {
        for (unsigned int i = next_random(&s->random) % 50; i > 0; i--)
            run_driver(s);
        if (next_random(&s->random) % 4 == 0) {
            /* Without a reset first: the device must be off the rings all the same. */
            register_write(s->w.device, VIRTIO_MMIO_QUEUE_SEL, next_random(&s->random) % 5);
            register_write(s->w.device, VIRTIO_MMIO_QUEUE_READY, 0);
        }
        register_write(s->w.device, VIRTIO_MMIO_STATUS, 0);
        /* Nobody writes there any more. */
        for (unsigned int i = 0; i < PAIRS; i++)
            memset(driver_at(&s->w.driver, s->rx_gpa[i], BUFFERS * BUFFER), 0xaa, BUFFERS * BUFFER);
        if (next_random(&s->random) % 8 == 0)
            usleep(1000);
        for (unsigned int i = 0; i < PAIRS; i++) {
            const uint8_t *p = driver_at(&s->w.driver, s->rx_gpa[i], BUFFERS * BUFFER);

            for (unsigned int j = 0; j < BUFFERS * BUFFER; j++)
                if (p[j] != 0xaa)
                    fail_msg("byte %u written after the reset", j);
            /* What had been offered and not sent is gone. */
            s->tx_next[i] += SLOTS;
            atomic_store(&s->sides[i].received, s->tx_next[i]);
        }
        bring_up(s);
        if (set_pairs(s, PAIRS) != 0)
            abort();
        resets++;
    }
    assert_true(resets > 10);
    print_message("%u resets\n", resets);
    atomic_store(&s->stop, true);
    pthread_join(s->meddler, NULL);
    finish(s);
    free(s);
}

/* Devices come and go while their workers serve others. */
static void test_devices_come_and_go(void **state)
{
    struct stress *s = calloc(1, sizeof(*s));
    time_t end = time(NULL) + SECONDS;
    unsigned int devices = 0;

    (void)state;
    create(s, false);
    while (time(NULL) < end) {
        struct net_config config = { .memory = &s->w.driver.memory,
                                     .kick_fd = eventfd(0, EFD_NONBLOCK),
                                     .interrupt_fd = s->w.driver.interrupt_fd,
                                     .workers = s->w.workers,
                                     .pairs = PAIRS,
                                     .link = true };
        int fds[PAIRS][2], taps[PAIRS];
        struct error err;
        struct net *net;

        for (unsigned int i = 0; i < PAIRS; i++) {
            if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds[i]) < 0)
                abort();
            taps[i] = fds[i][0];
            close(fds[i][1]); /* it vanishes at once */
        }
        config.tap_fds = taps;
        assert_int_equal(net_create(&net, &config, &err), 0);
        if (devices % 2)
            net_detach(net);
        run_driver(s);
        net_destroy(net);
        close(config.kick_fd);
        devices++;
    }
    print_message("%u devices\n", devices);
    finish(s);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_or_reordered),
        cmocka_unit_test(test_interrupts_are_enough),
        cmocka_unit_test(test_reset_at_any_moment),
        cmocka_unit_test(test_devices_come_and_go),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
