/* vsock flow control: credit of both sides, receive buffers, and the limits of a busy guest. */
#include "vmm/virtio/vsock_internal.h"
#include "vsock_recorder.h"

static void test_guest_that_overruns_its_credit_is_reset(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_RW, 0, 32768);
    static const uint8_t zeros[32768];
    struct fixture *f = *state;
    const void *data;

    connect_from(f, 9);
    for (unsigned int sent = 0; sent < VSOCK_BUFFER_SIZE; sent += 32768)
        assert_true(guest_post(&f->guest, &h, zeros, 32768));
    guest_run(&f->guest);
    expect_told(f, "readable ");
    assert_int_equal(vsock_peek(f->connection, &data), VSOCK_BUFFER_SIZE);
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "1");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "closed ");
}

static void test_credit_is_given_back_by_halves_or_when_asked(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_RW, 0, 64900);
    static const uint8_t zeros[64900];
    struct fixture *f = *state;

    connect_from(f, 9);
    f->consume_at_once = true;
    for (uint32_t i = 1; i <= 4; i++) {
        assert_true(guest_post(&f->guest, &h, zeros, h.len));
        guest_run(&f->guest);
        if (i == 3)
            assert_int_equal(expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_UPDATE)->header.fwd_cnt,
                             3 * h.len);
        expect_nothing(f);
    }
    post(f, 9, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, "");
    guest_run(&f->guest);
    assert_int_equal(expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_UPDATE)->header.fwd_cnt, 4 * h.len);
}

/* Linux keeps at most its own buffer in flight: half of ours would never be reached. */
static void test_credit_for_a_guest_with_a_small_buffer(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_RW, 0, 4096);
    static const uint8_t zeros[4096];
    struct fixture *f = *state;

    connect_from(f, 9);
    f->consume_at_once = true;
    h.buf_alloc = 8192;
    assert_true(guest_post(&f->guest, &h, zeros, h.len));
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    h.buf_alloc = 1u << 20;
    assert_true(guest_post(&f->guest, &h, zeros, h.len));
    guest_run(&f->guest);
    expect_nothing(f);
    h.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    h.len = 0;
    h.buf_alloc = 4096; /* shrinks while something is untold */
    post_header(f, h);
    expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}

static void test_host_keeps_to_the_guests_credit(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
    struct fixture *f = *state;

    connect_from(f, 9);
    h.buf_alloc = 10;
    post_header(f, h);
    f->to_send = 25;
    service_writable(f, f->connection);
    assert_int_equal(expect(f, 9, VIRTIO_VSOCK_OP_RW)->header.len, 10);
    expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    expect_nothing(f);
    f->log[0] = '\0';
    h.fwd_cnt = 4;
    post_header(f, h);
    assert_int_equal(expect(f, 9, VIRTIO_VSOCK_OP_RW)->header.len, 4);
    expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    h.fwd_cnt = 2; /* an older header, late */
    post_header(f, h);
    expect_nothing(f);
    h.fwd_cnt = 15; /* more than was sent: not believed */
    post_header(f, h);
    expect_nothing(f);
    h.fwd_cnt = UINT32_MAX;
    post_header(f, h);
    expect_nothing(f);
    h.fwd_cnt = 14;
    h.buf_alloc = UINT32_MAX;
    post_header(f, h);
    assert_int_equal(expect(f, 9, VIRTIO_VSOCK_OP_RW)->header.len, 11);
    expect_told(f, "writable writable ");
    h.buf_alloc = 5; /* less than is in flight: no credit, no underflow */
    post_header(f, h);
    assert_int_equal(vsock_send(f->connection, "x", 1), 0);
}

/* What a late or lying header says of bytes consumed neither takes nor gives credit. */
static void test_bytes_consumed_are_believed_only_forward(void **state)
{
    const uint32_t wrong[] = { 0, 7, 11, 1000, 1u << 31, UINT32_MAX };
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
    struct fixture *f = *state;

    connect_from(f, 9);
    assert_int_equal(vsock_send(f->connection, "0123456789", 10), 10);
    expect(f, 9, VIRTIO_VSOCK_OP_RW);
    h.buf_alloc = 4;
    h.fwd_cnt = 10;
    post_header(f, h);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        h.fwd_cnt = wrong[i];
        post_header(f, h);
    }
    assert_int_equal(vsock_send(f->connection, "0123456789", 10), 4);
}

static void test_guest_that_reads_no_more_does_not_block_the_service(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
    struct fixture *f = *state;

    connect_from(f, 9);
    h.buf_alloc = 0;
    post_header(f, h);
    assert_int_equal(vsock_send(f->connection, "abc", 3), 0);
    expect(f, 9, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    f->to_send = 3;
    h.op = VIRTIO_VSOCK_OP_SHUTDOWN;
    h.flags = VIRTIO_VSOCK_SHUTDOWN_RCV;
    post_header(f, h);
    expect_told(f, "writable ");
    assert_int_equal(f->to_send, 0);
    expect_nothing(f);
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "it still talks");
    guest_run(&f->guest);
    expect_told(f, "readable ");
}

/* Replies wait for receive buffers; a full list stops the intake, and nothing is lost. */
static void test_no_receive_buffers_is_back_pressure(void **state)
{
    struct fixture *f = *state;
    unsigned int answers = 0, asked = 0;

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL); /* no buffers given */
    for (unsigned int pass = 0; pass < 3; pass++) {
        struct virtio_vsock_hdr h = guest_header(asked, PORT, VIRTIO_VSOCK_OP_RW, 0, 0);

        for (; guest_post(&f->guest, &h, NULL, 0); h.src_port = ++asked)
            ;
        guest_run(&f->guest);
    }
    assert_int_equal(asked, 2 * GUEST_RING); /* one ring's worth taken, one waiting */
    assert_int_equal(f->guest.tx.used[1], GUEST_RING);
    while (answers < asked) {
        guest_give(&f->guest, 5);
        /* The driver notifies only if it was asked to. */
        assert_int_equal(*ring_avail_event(&f->guest.rx), answers);
        guest_run(&f->guest);
        while (guest_receive(&f->guest, &f->packet)) {
            assert_int_equal(f->packet.header.op, VIRTIO_VSOCK_OP_RST);
            assert_int_equal(f->packet.header.dst_port, answers);
            answers++;
        }
    }
    assert_int_equal(f->guest.tx.used[1], 2 * GUEST_RING);
}

/* Bytes kept for what nobody has read. */
static size_t buffered(const struct guest *guest)
{
    const struct vsock_connection *connection;
    size_t total = 0;

    for (connection = TAILQ_FIRST(&guest->vsock->connections); connection;
         connection = TAILQ_NEXT(connection, all))
        total += connection->capacity;
    return total;
}

/* Up to 512 KiB for each of 1024, besides the memory that the guest was given. */
static void test_rst_that_the_guest_never_takes_keeps_no_buffer(void **state)
{
    struct virtio_vsock_hdr h = guest_header(0, PORT, VIRTIO_VSOCK_OP_RW, 0, 64000);
    static const uint8_t zeros[64000];
    struct fixture *f = *state;

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL); /* no receive buffers given */
    for (h.src_port = 0; h.src_port < 8; h.src_port++) {
        post(f, h.src_port, VIRTIO_VSOCK_OP_REQUEST, 0, "");
        for (unsigned int i = 0; i < 4; i++)
            assert_true(guest_post(&f->guest, &h, zeros, h.len));
        guest_run(&f->guest);
        expect_told(f, "accept readable ");
        assert_true(buffered(&f->guest) >= VSOCK_BUFFER_SIZE);
        if (h.src_port % 2)
            vsock_reset(f->connection);
        else
            post(f, h.src_port, VIRTIO_VSOCK_OP_REQUEST, 0, "");
        guest_run(&f->guest);
        expect_told(f, h.src_port % 2 ? "" : "closed ");
        assert_int_equal(buffered(&f->guest), 0);
    }
    assert_int_equal(f->guest.vsock->count, 8);
    guest_give(&f->guest, GUEST_RING);
    guest_run(&f->guest);
    for (uint32_t port = 0; port < 8; port++)
        expect(f, port, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(f->guest.vsock->count, 0);
}

/* The guest adds packets as fast as they are taken: the loop still gets its turn. */
static void test_busy_guest_does_not_keep_the_thread(void **state)
{
    struct fixture *f = *state;

    guest_run(&f->guest);
    f->flood = 10000;
    post(f, 1, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    virtio_device_kicked(f->guest.device);
    assert_in_range(f->flood, 9000, 9999);
    assert_true(event_taken(f->guest.driver.kick_fd)); /* it comes back */
    f->flood = 10;
    guest_run(&f->guest);
    assert_int_equal(f->flood, 0);
}

static void test_writable_in_turns_when_receive_buffers_are_short(void **state)
{
    static const uint8_t zeros[GUEST_BUFFER];
    struct vsock_connection *c[3];
    struct fixture *f = *state;
    unsigned int got[3] = { 0 };

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL);
    guest_run(&f->guest);
    guest_give(&f->guest, 3);
    for (uint32_t i = 0; i < 3; i++)
        c[i] = connect_from(f, i);
    for (unsigned int i = 0; i < 3; i++)
        assert_int_equal(vsock_send(c[i], zeros, 100), 0);
    f->to_send = 20ul * (GUEST_BUFFER - HEADER_SIZE); /* shared by the three */
    for (unsigned int i = 0; i < 12; i++) {
        guest_give(&f->guest, 1);
        guest_run(&f->guest);
        assert_true(guest_receive(&f->guest, &f->packet));
        assert_int_equal(f->packet.header.len, GUEST_BUFFER - HEADER_SIZE);
        got[f->packet.header.dst_port]++;
        expect_nothing(f);
    }
    for (unsigned int i = 0; i < 3; i++)
        assert_int_equal(got[i], 4);
}

/* One takes the buffer that both waited for, and is content: the other must not be forgotten. */
static void test_notification_for_the_connection_that_still_waits(void **state)
{
    struct vsock_connection *first;
    struct fixture *f = *state;

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL);
    guest_run(&f->guest);
    guest_give(&f->guest, 2);
    first = connect_from(f, 1);
    connect_from(f, 2);
    assert_int_equal(vsock_send(first, "x", 1), 0);
    assert_int_equal(vsock_send(f->connection, "x", 1), 0);
    f->to_send = 1;
    guest_give(&f->guest, 1);
    guest_run(&f->guest);
    expect_told(f, "writable ");
    expect(f, 1, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(*ring_avail_event(&f->guest.rx), f->guest.rx.next_avail);
}

/* A receive buffer appears each time there was none: one turn each, then the loop's. */
static void test_drip_of_receive_buffers_does_not_keep_the_thread(void **state)
{
    struct fixture *f = *state;

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL);
    guest_run(&f->guest);
    guest_give(&f->guest, 1);
    connect_from(f, 1);
    assert_int_equal(vsock_send(f->connection, "x", 1), 0);
    event_taken(f->guest.driver.kick_fd);
    f->to_send = 50ul * GUEST_BUFFER;
    f->drip = 20;
    guest_give(&f->guest, 1);
    virtio_device_kicked(f->guest.device);
    expect_told(f, "writable ");
    assert_true(event_taken(f->guest.driver.kick_fd));
}

static void test_receive_buffer_in_parts(void **state)
{
    struct fixture *f = *state;
    uint64_t gpa = f->guest.rx_gpa;
    uint32_t head, written;

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL);
    guest_run(&f->guest);
    guest_give(&f->guest, 1);
    connect_from(f, 9);
    /* Older drivers: header and payload apart. */
    ring_set(&f->guest.rx, 0, gpa, HEADER_SIZE, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    ring_set(&f->guest.rx, 1, gpa + 1000, 70000, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->guest.rx, 0);
    assert_int_equal(vsock_send(f->connection, "parts", 5), 5);
    assert_true(ring_take(&f->guest.rx, &head, &written));
    assert_int_equal(written, HEADER_SIZE + 5);
    assert_memory_equal(driver_at(&f->guest.driver, gpa + 1000, 5), "parts", 5);
}

static void test_receive_buffer_too_small_for_a_header_breaks_the_device(void **state)
{
    struct fixture *f = *state;

    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL);
    guest_run(&f->guest);
    guest_give(&f->guest, 1);
    connect_from(f, 9);
    ring_set(&f->guest.rx, 0, f->guest.rx_gpa, HEADER_SIZE, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->guest.rx, 0);
    assert_int_equal(vsock_send(f->connection, "x", 1), 0);
    assert_true(register_read(f->guest.device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
    guest_run(&f->guest);
    expect_told(f, "closed ");
}

static void test_connection_limit(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
        connect_from(f, i);
        guest_give(&f->guest, 1);
    }
    post(f, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    guest_run(&f->guest);
    expect(f, 5000, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "");
    post(f, 17, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    guest_run(&f->guest);
    expect(f, 17, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "half_closed(both) closed ");
    connect_from(f, 5000);
    assert_int_equal(f->open, VSOCK_CONNECTIONS_MAX);
}

static void test_without_event_index(void **state)
{
    struct fixture *f = *state;

    guest_bring_up(&f->guest, 1ull << VIRTIO_F_VERSION_1);
    guest_run(&f->guest);
    assert_int_equal(f->guest.rx.used[0], VRING_USED_F_NO_NOTIFY);
    guest_give(&f->guest, 1);
    connect_from(f, 9);
    assert_int_equal(vsock_send(f->connection, "x", 1), 0);
    assert_int_equal(f->guest.rx.used[0], 0); /* asks for a notification */
    f->to_send = 1;
    guest_give(&f->guest, 1);
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RW);
    expect_told(f, "writable ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_guest_that_overruns_its_credit_is_reset),
        TEST(test_credit_is_given_back_by_halves_or_when_asked),
        TEST(test_credit_for_a_guest_with_a_small_buffer),
        TEST(test_host_keeps_to_the_guests_credit),
        TEST(test_bytes_consumed_are_believed_only_forward),
        TEST(test_guest_that_reads_no_more_does_not_block_the_service),
        TEST(test_no_receive_buffers_is_back_pressure),
        TEST(test_rst_that_the_guest_never_takes_keeps_no_buffer),
        TEST(test_busy_guest_does_not_keep_the_thread),
        TEST(test_writable_in_turns_when_receive_buffers_are_short),
        TEST(test_notification_for_the_connection_that_still_waits),
        TEST(test_drip_of_receive_buffers_does_not_keep_the_thread),
        TEST(test_receive_buffer_in_parts),
        TEST(test_receive_buffer_too_small_for_a_header_breaks_the_device),
        TEST(test_connection_limit),
        TEST(test_without_event_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
