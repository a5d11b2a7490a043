/*
 * vsock against a model: honest guests do everything at random, and every byte must arrive, once,
 * in order, within the credit of both sides. VSOCK_STRESS_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>

#include "vsock_guest.h"

#define LINES      24u /* connections at a time */
#define STEPS      40000u
#define STREAM_MAX (1u << 20) /* bytes in each direction of one connection */

/* Both ends of one connection. */
struct line {
    struct stress *stress;
    uint32_t port;
    bool requested, established, guest_knows_end;
    /* guest to host */
    uint32_t up_total, up_sent, up_taken; /* bytes: to send, sent, consumed by the service */
    uint32_t host_buffer, host_consumed;  /* what the host last told */
    bool up_eof_sent, up_eof_seen;
    /* host to guest */
    uint32_t down_total, down_sent, down_received, down_consumed;
    uint32_t guest_buffer;
    bool down_eof_sent, down_eof_seen;
    bool writable_due, closed, shutdown_sent;
    struct vsock_connection *connection;
};

struct stress {
    struct guest guest;
    uint64_t random;
    struct line lines[LINES];
    unsigned int finished;
    uint64_t up_bytes, down_bytes;
    struct packet packet;
};

static uint32_t next_random(struct stress *s, uint32_t below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (uint32_t)(s->random >> 32) % below;
}

/* The byte at @position of a stream. */
static uint8_t stream_byte(uint32_t port, bool up, uint32_t position)
{
    uint32_t x = (port * 2 + up) * 0x9e3779b1u + position * 0x85ebca6bu;

    return (uint8_t)(x >> 13 ^ x >> 24);
}

static void fill(uint8_t *data, uint32_t port, bool up, uint32_t position, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        data[i] = stream_byte(port, up, position + i);
}

static void check(const uint8_t *data, uint32_t port, bool up, uint32_t position, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if (data[i] != stream_byte(port, up, position + i))
            fail_msg("port %u: wrong byte at %u", port, position + i);
}

static struct line *line_of(struct stress *s, uint32_t port)
{
    for (unsigned int i = 0; i < LINES; i++)
        if (s->lines[i].port == port)
            return &s->lines[i];
    return NULL;
}

/* ---- the service ---- */

static int service_accept(void *context, struct vsock_connection *connection, uint32_t port)
{
    struct stress *s = context;

    for (unsigned int i = 0; i < LINES; i++)
        if (s->lines[i].port == port) { /* each line uses one number for both ports */
            s->lines[i].connection = connection;
            vsock_set_context(connection, &s->lines[i]);
        }
    return 0;
}

static void consume(struct line *l, uint32_t most)
{
    const void *data;
    size_t length = vsock_peek(l->connection, &data);

    assert_true(length <= VSOCK_BUFFER_SIZE);
    if (length > most)
        length = most;
    check(data, l->port, true, l->up_taken, (uint32_t)length);
    l->up_taken += (uint32_t)length;
    vsock_consume(l->connection, length);
}

/* Return: whether there is more and it could be sent, so that `writable` will not come. */
static bool send_some(struct line *l, uint32_t most)
{
    static uint8_t data[STREAM_MAX];
    uint32_t length = l->down_total - l->down_sent, taken;

    if (length > most)
        length = most;
    fill(data, l->port, false, l->down_sent, length);
    taken = (uint32_t)vsock_send(l->connection, data, length);
    l->down_sent += taken;
    if (l->down_sent == l->down_total && !l->down_eof_sent) {
        l->down_eof_sent = true;
        vsock_send_eof(l->connection);
    }
    return taken == length && !l->down_eof_sent;
}

static void service_readable(void *context, struct vsock_connection *connection)
{
    struct line *l = context;

    assert_ptr_equal(l->connection, connection);
    if (next_random(l->stress, 4))
        consume(l, 1 + next_random(l->stress, VSOCK_BUFFER_SIZE));
}

static void service_writable(void *context, struct vsock_connection *connection)
{
    struct line *l = context;

    assert_ptr_equal(l->connection, connection);
    while (send_some(l, 1 + next_random(l->stress, 200000)))
        ;
}

static void service_half_closed(void *context, struct vsock_connection *connection,
                                bool receive_closed)
{
    struct line *l = context;

    assert_ptr_equal(l->connection, connection);
    assert_true(l->up_eof_sent || receive_closed);
    l->up_eof_seen = true;
}

static void service_closed(void *context, struct vsock_connection *connection)
{
    struct line *l = context;

    assert_ptr_equal(l->connection, connection);
    assert_true(l->up_eof_seen);
    assert_int_equal(l->up_taken, l->up_total); /* nothing was lost at the end */
    l->closed = true;
    l->connection = NULL;
}

static const struct vsock_service service = {
    .accept = service_accept,
    .readable = service_readable,
    .writable = service_writable,
    .half_closed = service_half_closed,
    .closed = service_closed,
};

/* ---- the guest ---- */

static bool send_packet(struct line *l, uint16_t op, uint32_t flags, const void *data,
                        uint32_t length)
{
    struct virtio_vsock_hdr h = guest_header(l->port, l->port, op, flags, length);

    h.buf_alloc = l->guest_buffer;
    h.fwd_cnt = l->down_consumed;
    return guest_post(&l->stress->guest, &h, data, length);
}

static void guest_sends(struct line *l)
{
    static uint8_t data[65536];
    uint32_t length = 1 + next_random(l->stress, 64000), window = l->host_buffer, in_flight;

    /* Linux: never more in flight than its own buffer holds. */
    if (window > l->guest_buffer)
        window = l->guest_buffer;
    in_flight = l->up_sent - l->host_consumed;
    if (length > window - in_flight)
        length = window - in_flight;
    if (length > l->up_total - l->up_sent)
        length = l->up_total - l->up_sent;
    fill(data, l->port, true, l->up_sent, length);
    if (length && send_packet(l, VIRTIO_VSOCK_OP_RW, 0, data, length))
        l->up_sent += length;
    if (l->up_sent == l->up_total && !l->up_eof_sent)
        l->up_eof_sent =
            send_packet(l, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
}

static void guest_consumes(struct line *l, uint32_t most)
{
    uint32_t there = l->down_received - l->down_consumed;

    l->down_consumed += there < most ? there : most;
    if (there)
        send_packet(l, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
}

static void guest_takes(struct stress *s)
{
    const struct virtio_vsock_hdr *h = &s->packet.header;
    struct line *l;

    if (!guest_receive(&s->guest, &s->packet))
        return;
    l = line_of(s, h->dst_port);
    /* Packets that crossed the RST on its way are answered by another one. */
    if (h->op == VIRTIO_VSOCK_OP_RST && (!l || l->guest_knows_end))
        return;
    assert_non_null(l);
    assert_int_equal(h->src_port, l->port);
    assert_false(l->guest_knows_end);
    assert_true(l->established || h->op == VIRTIO_VSOCK_OP_RESPONSE);
    if (h->op != VIRTIO_VSOCK_OP_RST) {
        /* Credit only grows, and never beyond what was sent. */
        assert_true(h->fwd_cnt >= l->host_consumed && h->fwd_cnt <= l->up_sent);
        l->host_buffer = h->buf_alloc;
        l->host_consumed = h->fwd_cnt;
    }
    switch (h->op) {
    case VIRTIO_VSOCK_OP_RESPONSE:
        assert_false(l->established);
        l->established = true;
        break;
    case VIRTIO_VSOCK_OP_RW:
        assert_false(l->down_eof_seen);
        assert_true(h->len > 0);
        check(s->packet.data, l->port, false, l->down_received, h->len);
        l->down_received += h->len;
        assert_true(l->down_received - l->down_consumed <= l->guest_buffer);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        assert_int_equal(l->down_received, l->down_total);
        l->down_eof_seen = true;
        break;
    case VIRTIO_VSOCK_OP_RST:
        /* Only in answer to the end of both directions. */
        assert_true(l->up_eof_sent && l->down_eof_seen);
        l->guest_knows_end = true;
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        send_packet(l, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
        break;
    default:
        assert_int_equal(h->op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
        break;
    }
}

static void start_line(struct stress *s, struct line *l, uint32_t port)
{
    static const uint32_t buffers[] = { 1, 300, 4096, 65536, 262144, 1u << 20 };

    *l = (struct line) { .stress = s,
                         .port = port,
                         .guest_buffer = buffers[next_random(s, 6)],
                         .up_total = next_random(s, STREAM_MAX),
                         .down_total = next_random(s, STREAM_MAX) };
    if (l->guest_buffer < 4096) { /* slow ones get less to do */
        l->up_total %= 2000;
        l->down_total %= 2000;
    }
}

static void step_line(struct stress *s, struct line *l)
{
    if (!l->requested) {
        l->requested = send_packet(l, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
        return;
    }
    if (l->closed && l->guest_knows_end) {
        s->up_bytes += l->up_total;
        s->down_bytes += l->down_total;
        s->finished++;
        start_line(s, l, l->port + LINES);
        return;
    }
    switch (next_random(s, 5)) {
    case 0:
        if (l->established && !l->up_eof_sent)
            guest_sends(l);
        break;
    case 1:
        if (l->established && !l->guest_knows_end)
            guest_consumes(l, 1 + next_random(s, l->guest_buffer));
        break;
    case 2:
        if (l->connection)
            consume(l, 1 + next_random(s, VSOCK_BUFFER_SIZE));
        break;
    case 3:
        if (l->connection && !l->down_eof_sent)
            (void)send_some(l, 1 + next_random(s, 200000));
        break;
    default:
        if (l->established && !l->guest_knows_end && next_random(s, 8) == 0)
            send_packet(l, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
        break;
    }
}

static void stress(uint64_t seed, uint64_t features, uint32_t rx_buffer)
{
    struct stress *s = calloc(1, sizeof(*s));

    s->random = seed * 0x9e3779b97f4a7c15 + 1;
    guest_start(&s->guest, &service, s, features);
    s->guest.rx_buffer = rx_buffer;
    guest_bring_up(&s->guest, features);
    for (unsigned int i = 0; i < LINES; i++)
        start_line(s, &s->lines[i], i + 1);
    for (unsigned int step = 0; step < STEPS; step++) {
        step_line(s, &s->lines[next_random(s, LINES)]);
        if (next_random(s, 3) == 0)
            guest_give(&s->guest, next_random(s, 20));
        /* As the loop would: only when kicked. */
        if (next_random(s, 3) == 0)
            virtio_device_kicked(s->guest.device);
        for (uint32_t n = next_random(s, 20); n > 0; n--)
            guest_takes(s);
    }
    assert_true(virtio_device_active(s->guest.device));
    assert_true(s->finished > 10);
    guest_stop(&s->guest);
    print_message("seed %llu: %u connections, %llu bytes up, %llu down\n", (unsigned long long)seed,
                  s->finished, (unsigned long long)s->up_bytes, (unsigned long long)s->down_bytes);
    free(s);
}

static void test_random_traffic(void **state)
{
    const char *chosen = getenv("VSOCK_STRESS_SEED");
    uint64_t first = chosen ? strtoull(chosen, NULL, 0) : 1;

    for (uint64_t seed = first; seed < first + (chosen ? 1 : 4); seed++)
        stress(seed, DRIVER_FEATURES_ALL, GUEST_BUFFER);
}

static void test_random_traffic_without_event_index(void **state)
{
    stress(10, 1ull << VIRTIO_F_VERSION_1, GUEST_BUFFER);
}

static void test_random_traffic_with_large_receive_buffers(void **state)
{
    stress(11, DRIVER_FEATURES_ALL, 32768);
}

/* ---- a driver that kicks only when it must; the device's thread runs only when kicked ---- */

/* What virtqueue_kick() does in a driver; @told: the index when it was last done. */
static void kick_if_wanted(struct stress *s, struct driver_ring *ring, uint16_t *told)
{
    if (vring_need_event(*ring_avail_event(ring), ring->next_avail, *told))
        virtio_device_kick_again(s->guest.device);
    *told = ring->next_avail;
}

/* One round of guest, device and service. */
static void step_64_mib(struct stress *s, struct line *l, uint16_t *rx_told, uint16_t *tx_told)
{
    guest_give(&s->guest, GUEST_RING);
    kick_if_wanted(s, &s->guest.rx, rx_told);
    if (l->established && !l->up_eof_sent)
        guest_sends(l);
    kick_if_wanted(s, &s->guest.tx, tx_told);
    if (event_taken(s->guest.driver.kick_fd))
        virtio_device_kicked(s->guest.device);
    if (l->connection && l->down_sent == 0)
        service_writable(l, l->connection); /* it goes on by itself */
    if (l->connection)
        consume(l, VSOCK_BUFFER_SIZE);
    for (unsigned int n = 0; n < GUEST_RING; n++)
        guest_takes(s);
    if (l->down_received - l->down_consumed >= l->guest_buffer / 2)
        guest_consumes(l, UINT32_MAX);
    kick_if_wanted(s, &s->guest.tx, tx_told);
}

/*
 * No kick is given that the device did not ask for (EVENT_IDX), and the device's thread runs only
 * when it is kicked: a lost notification or credit update ends in a stall.
 */
static void test_64_mib_each_way_without_a_needless_kick(void **state)
{
    enum { TOTAL = 64 << 20 };
    struct stress *s = calloc(1, sizeof(*s));
    struct line *l = &s->lines[0];
    uint16_t rx_told = 0, tx_told = 0;
    unsigned int idle = 0;

    s->random = 42;
    guest_start(&s->guest, &service, s, DRIVER_FEATURES_ALL);
    *l = (struct line) {
        .stress = s, .port = 7, .guest_buffer = 1u << 18, .up_total = TOTAL, .down_total = TOTAL
    };
    assert_true(send_packet(l, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0));
    virtio_device_kicked(s->guest.device);
    while (!(l->closed && l->guest_knows_end) && idle < 3) {
        uint32_t before = l->up_taken + l->down_received + l->established;

        step_64_mib(s, l, &rx_told, &tx_told);
        idle = before == l->up_taken + l->down_received + l->established ? idle + 1 : 0;
    }
    assert_int_equal(l->up_taken, TOTAL);
    assert_int_equal(l->down_received, TOTAL);
    assert_true(l->closed && l->guest_knows_end);
    guest_stop(&s->guest);
    free(s);
}

/* ---- a vCPU that resets the device at any moment ---- */

struct race {
    struct guest *guest;
    bool stop;
};

static void *reset_now_and_then(void *context)
{
    struct race *race = context;

    for (unsigned int i = 0; i < 200; i++) {
        usleep(500);
        register_write(race->guest->device, VIRTIO_MMIO_STATUS, 0);
    }
    __atomic_store_n(&race->stop, true, __ATOMIC_RELEASE);
    return NULL;
}

static unsigned int race_open;
static struct vsock_connection *race_connection;

static int race_accept(void *context, struct vsock_connection *connection, uint32_t port)
{
    race_open++;
    race_connection = connection;
    return 0;
}

static void race_readable(void *context, struct vsock_connection *connection)
{
    const void *data;
    size_t length = vsock_peek(connection, &data);

    for (size_t i = 0; i < length; i++)
        assert_int_equal(((const uint8_t *)data)[i], 'r');
    vsock_consume(connection, length / 2);
}

static void race_writable(void *context, struct vsock_connection *connection)
{
    vsock_send(connection, "again", 5);
}

static void race_half_closed(void *context, struct vsock_connection *connection, bool receive)
{
}

static void race_closed(void *context, struct vsock_connection *connection)
{
    race_open--;
    if (race_connection == connection)
        race_connection = NULL;
}

static void test_reset_by_another_thread(void **state)
{
    static const struct vsock_service races = { race_accept, race_readable, race_writable,
                                                race_half_closed, race_closed };
    struct virtio_vsock_hdr h = guest_header(1, 1, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
    struct guest guest;
    struct race race = { .guest = &guest };
    uint8_t text[1000];
    pthread_t thread;
    const void *data;

    memset(text, 'r', sizeof(text));
    guest_start(&guest, &races, NULL, DRIVER_FEATURES_ALL);
    assert_int_equal(pthread_create(&thread, NULL, reset_now_and_then, &race), 0);
    while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
        if (!(register_read(guest.device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK)) {
            /* The other thread may reset in the midst of this. */
            guest.driver.next_gpa = 0x1000;
            ring_init(&guest.rx, &guest.driver, GUEST_RING);
            ring_init(&guest.tx, &guest.driver, GUEST_RING);
            driver_negotiate(guest.device, DRIVER_FEATURES_ALL);
            driver_setup_queue(guest.device, 0, &guest.rx);
            driver_setup_queue(guest.device, 1, &guest.tx);
            driver_add_status(guest.device, VIRTIO_CONFIG_S_DRIVER_OK);
            guest.rx_spare_count = guest.tx_free_count = 0;
            for (uint16_t i = 0; i < GUEST_RING; i++) {
                guest.tx_free[guest.tx_free_count++] = i;
                guest.rx_spare[guest.rx_spare_count++] = i;
            }
            guest_give(&guest, GUEST_RING);
            h.src_port++;
            h.op = VIRTIO_VSOCK_OP_REQUEST;
            h.len = 0;
            guest_post(&guest, &h, NULL, 0);
        }
        h.op = VIRTIO_VSOCK_OP_RW;
        h.len = sizeof(text);
        guest_post(&guest, &h, text, sizeof(text));
        virtio_device_kicked(guest.device);
        if (race_connection && vsock_peek(race_connection, &data) > 0) {
            assert_int_equal(*(const uint8_t *)data, 'r');
            vsock_consume(race_connection, 1);
            vsock_send(race_connection, text, sizeof(text));
        }
    }
    pthread_join(thread, NULL);
    register_write(guest.device, VIRTIO_MMIO_STATUS, 0);
    virtio_device_kicked(guest.device);
    assert_int_equal(race_open, 0);
    guest_stop(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_traffic),
        cmocka_unit_test(test_random_traffic_without_event_index),
        cmocka_unit_test(test_random_traffic_with_large_receive_buffers),
        cmocka_unit_test(test_64_mib_each_way_without_a_needless_kick),
        cmocka_unit_test(test_reset_by_another_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
