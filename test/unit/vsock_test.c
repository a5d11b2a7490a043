/* vsock connections: how they open, talk and end, and what a service is told. */
#include "vsock_recorder.h"

static void test_connect_and_talk(void **state)
{
    struct fixture *f = *state;
    struct vsock_connection *c = connect_from(f, 77);
    const void *data;

    assert_int_equal(driver_handle_interrupt(&f->guest.driver, f->guest.device),
                     VIRTIO_MMIO_INT_VRING);
    post(f, 77, VIRTIO_VSOCK_OP_RW, 0, "hello ");
    post(f, 77, VIRTIO_VSOCK_OP_RW, 0, "world");
    guest_run(&f->guest);
    expect_told(f, "readable "); /* once for both */
    assert_int_equal(vsock_peek(c, &data), 11);
    assert_memory_equal(data, "hello world", 11);
    vsock_consume(c, 6);
    assert_int_equal(vsock_peek(c, &data), 5);
    assert_memory_equal(data, "world", 5);
    expect_nothing(f); /* too little for a credit update */
    assert_int_equal(vsock_send(c, "fine", 4), 4);
    assert_int_equal(expect(f, 77, VIRTIO_VSOCK_OP_RW)->header.len, 4);
    assert_memory_equal(f->packet.data, "fine", 4);
    assert_int_equal(f->packet.header.fwd_cnt, 6);
    assert_true(driver_handle_interrupt(&f->guest.driver, f->guest.device));
}

static void test_refused_connection_gets_rst(void **state)
{
    struct fixture *f = *state;

    f->refuse = true;
    post(f, 5, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    guest_run(&f->guest);
    expect(f, 5, VIRTIO_VSOCK_OP_RST);
    expect_nothing(f);
    expect_told(f, "accept ");
    f->refuse = false;
    connect_from(f, 5);
}

static void test_service_may_reset_in_accept(void **state)
{
    struct fixture *f = *state;

    f->reset_in_accept = true;
    f->refuse = true;
    post(f, 5, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    guest_run(&f->guest);
    expect(f, 5, VIRTIO_VSOCK_OP_RST);
    expect_nothing(f);
    expect_told(f, "accept ");
}

static void test_send_in_accept_waits_for_the_response(void **state)
{
    struct fixture *f = *state;

    f->send_in_accept = true;
    f->to_send = 3;
    post(f, 5, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    guest_run(&f->guest);
    expect(f, 5, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(expect(f, 5, VIRTIO_VSOCK_OP_RW)->header.len, 3);
    expect_told(f, "accept writable ");
}

static void test_packets_of_no_connection_get_rst(void **state)
{
    const uint16_t ops[] = { VIRTIO_VSOCK_OP_RESPONSE,
                             VIRTIO_VSOCK_OP_SHUTDOWN,
                             VIRTIO_VSOCK_OP_RW,
                             VIRTIO_VSOCK_OP_CREDIT_UPDATE,
                             VIRTIO_VSOCK_OP_CREDIT_REQUEST,
                             VIRTIO_VSOCK_OP_INVALID,
                             99 };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        post(f, 9, ops[i], 0, "");
        guest_run(&f->guest);
        expect(f, 9, VIRTIO_VSOCK_OP_RST);
        assert_int_equal(f->packet.header.src_port, PORT);
    }
    post(f, 9, VIRTIO_VSOCK_OP_RST, 0, ""); /* never answered: no storm */
    guest_run(&f->guest);
    expect_nothing(f);
    expect_told(f, "");
}

static void test_wrong_addresses(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
    struct fixture *f = *state;

    h.src_cid = 4; /* somebody else's address: dropped */
    post_header(f, h);
    expect_nothing(f);
    h.src_cid = VSOCK_GUEST_CID | 1ull << 32; /* CIDs have 64 bits */
    post_header(f, h);
    expect_nothing(f);
    h.src_cid = VSOCK_GUEST_CID;
    h.dst_cid = 7; /* no such machine: refused in its name */
    post_header(f, h);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(f->packet.header.src_cid, 7);
    h.dst_cid = VSOCK_HOST_CID;
    h.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    post_header(f, h);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(f->packet.header.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
    expect_told(f, "");
}

static void test_truncated_packets(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_RW, 0, 5);
    struct fixture *f = *state;
    uint16_t i;

    connect_from(f, 9);
    /* Shorter than a header: dropped. */
    i = f->guest.tx_free[--f->guest.tx_free_count];
    ring_set(&f->guest.tx, i, f->guest.tx_gpa, HEADER_SIZE - 1, 0, 0);
    ring_offer(&f->guest.tx, i);
    guest_run(&f->guest);
    expect_nothing(f);
    /* A length that is not there: reset. */
    assert_true(guest_post(&f->guest, &h, "four", 4));
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "closed ");
    connect_from(f, 9);
    h.len = UINT32_MAX;
    assert_true(guest_post(&f->guest, &h, "four", 4));
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "closed ");
}

/* Header and payload of a packet may be cut anywhere into descriptors. */
static void test_packet_in_many_parts(void **state)
{
    struct virtio_vsock_hdr h = guest_header(9, PORT, VIRTIO_VSOCK_OP_RW, 0, 6);
    struct fixture *f = *state;
    const void *data;
    uint8_t *memory;

    connect_from(f, 9);
    memory = driver_at(&f->guest.driver, f->guest.tx_gpa, 64);
    memcpy(memory, &h, sizeof(h));
    memcpy(memory + sizeof(h), "abcdef", 6);
    for (uint16_t i = 0; i < 10; i++)
        ring_set(&f->guest.tx, i, f->guest.tx_gpa + i * 5u, 5, i < 9 ? VRING_DESC_F_NEXT : 0,
                 (uint16_t)(i + 1));
    ring_offer(&f->guest.tx, 0);
    guest_run(&f->guest);
    expect_told(f, "readable ");
    assert_int_equal(vsock_peek(f->connection, &data), 6);
    assert_memory_equal(data, "abcdef", 6);
}

static void test_unknown_op_or_second_request_breaks_the_connection(void **state)
{
    const uint16_t ops[] = { VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE,
                             VIRTIO_VSOCK_OP_INVALID, 8, 0xffff };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        connect_from(f, 9);
        post(f, 9, ops[i], 0, "");
        guest_run(&f->guest);
        expect(f, 9, VIRTIO_VSOCK_OP_RST);
        expect_told(f, "closed ");
    }
}

/* The guest closes a socket: Linux waits up to 8 s for the RST. */
static void test_guest_close_is_answered_by_rst_at_once(void **state)
{
    struct fixture *f = *state;

    connect_from(f, 9);
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_nothing(f);
    expect_told(f, "half_closed(both) closed ");
    connect_from(f, 9); /* the port is free again */
}

static void test_bytes_before_close_can_be_read_after_it(void **state)
{
    struct fixture *f = *state;
    struct vsock_connection *old = connect_from(f, 9);
    const void *data;

    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "last words");
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST); /* the guest need not wait for the service */
    expect_told(f, "readable half_closed(both) ");
    connect_from(f, 9); /* same port, another connection */
    assert_ptr_not_equal(f->connection, old);
    assert_int_equal(vsock_peek(old, &data), 10);
    vsock_consume(old, 4);
    guest_run(&f->guest);
    expect_told(f, "");
    assert_int_equal(vsock_peek(old, &data), 6);
    assert_memory_equal(data, " words", 6);
    assert_int_equal(vsock_send(old, "dropped", 7), 7);
    vsock_consume(old, 6);
    expect_told(f, ""); /* not from within the call */
    guest_run(&f->guest);
    expect_told(f, "closed ");
    expect_nothing(f);
}

static void test_half_close_by_the_guest(void **state)
{
    struct fixture *f = *state;

    connect_from(f, 9);
    f->consume_at_once = true;
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "question");
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, "");
    guest_run(&f->guest);
    expect_told(f, "readable half_closed ");
    expect_nothing(f);
    assert_int_equal(vsock_send(f->connection, "answer", 6), 6);
    vsock_send_eof(f->connection);
    expect(f, 9, VIRTIO_VSOCK_OP_RW);
    expect(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(f->packet.header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    expect(f, 9, VIRTIO_VSOCK_OP_RST); /* both directions are over */
    guest_run(&f->guest);
    expect_told(f, "closed ");
}

static void test_half_close_by_the_host(void **state)
{
    struct fixture *f = *state;
    struct vsock_connection *c = connect_from(f, 9);

    vsock_send_eof(c);
    vsock_send_eof(c);
    expect(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN);
    expect_nothing(f);
    assert_int_equal(vsock_send(c, "more", 4), 0);
    f->consume_at_once = true;
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "still here");
    guest_run(&f->guest);
    expect_told(f, "readable ");
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, "");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "half_closed closed ");
}

static void test_half_close_then_close_by_the_guest(void **state)
{
    struct fixture *f = *state;

    connect_from(f, 9);
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, "");
    guest_run(&f->guest);
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, 0, ""); /* says nothing */
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, "");
    guest_run(&f->guest);
    expect_told(f, "half_closed ");
    expect_nothing(f);
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "half_closed(both) closed ");
}

static void test_data_after_shutdown_breaks_the_connection(void **state)
{
    struct fixture *f = *state;

    connect_from(f, 9);
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, "");
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "zombie");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_told(f, "closed ");
}

static void test_rst_by_the_guest(void **state)
{
    struct fixture *f = *state;
    struct vsock_connection *c;
    const void *data;

    connect_from(f, 9);
    post(f, 9, VIRTIO_VSOCK_OP_RST, 0, "");
    guest_run(&f->guest);
    expect_told(f, "closed ");
    expect_nothing(f); /* an RST is not answered */
    c = connect_from(f, 9);
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "xyz");
    post(f, 9, VIRTIO_VSOCK_OP_RST, 0, "");
    guest_run(&f->guest);
    expect_told(f, "readable half_closed(both) ");
    vsock_consume(c, vsock_peek(c, &data));
    guest_run(&f->guest);
    expect_told(f, "closed ");
    expect_nothing(f);
}

static void test_reset_by_the_service(void **state)
{
    struct fixture *f = *state;

    vsock_reset(connect_from(f, 9));
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    guest_run(&f->guest);
    expect_told(f, "");
    connect_from(f, 9);
    f->reset_when_readable = true;
    post(f, 9, VIRTIO_VSOCK_OP_RW, 0, "bad request");
    post(f, 9, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    guest_run(&f->guest);
    expect(f, 9, VIRTIO_VSOCK_OP_RST);
    expect_nothing(f);
    expect_told(f, "readable ");
}

static void test_broken_transmit_queue_closes_every_connection(void **state)
{
    struct fixture *f = *state;

    connect_from(f, 1);
    connect_from(f, 2);
    ring_offer(&f->guest.tx, 0xffff);
    guest_run(&f->guest);
    expect_told(f, "closed closed "); /* the service does not wait for ever */
    assert_true(register_read(f->guest.device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_true(driver_handle_interrupt(&f->guest.driver, f->guest.device) &
                VIRTIO_MMIO_INT_CONFIG);
    guest_bring_up(&f->guest, DRIVER_FEATURES_ALL);
    guest_give(&f->guest, 4);
    connect_from(f, 1);
}

static void test_device_reset_closes_in_the_loops_thread(void **state)
{
    struct fixture *f = *state;
    struct vsock_connection *c = connect_from(f, 1);
    const void *data;

    post(f, 1, VIRTIO_VSOCK_OP_RW, 0, "abc");
    guest_run(&f->guest);
    expect_told(f, "readable ");
    register_write(f->guest.device, VIRTIO_MMIO_STATUS, 0);
    expect_told(f, ""); /* the register write comes from a vCPU */
    assert_true(event_taken(f->guest.driver.kick_fd));
    assert_int_equal(vsock_peek(c, &data), 3);
    assert_int_equal(vsock_send(c, "x", 1), 1); /* dropped */
    virtio_device_kicked(f->guest.device);
    expect_told(f, "closed ");
    assert_int_equal(f->open, 0);
}

static void test_config_space_holds_the_guests_cid(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(register_read(f->guest.device, VIRTIO_MMIO_DEVICE_ID), 19);
    assert_int_equal(register_read(f->guest.device, VIRTIO_MMIO_CONFIG), VSOCK_GUEST_CID);
    assert_int_equal(register_read(f->guest.device, VIRTIO_MMIO_CONFIG + 4), 0);
    assert_int_equal(register_read(f->guest.device, VIRTIO_MMIO_CONFIG + 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connect_and_talk),
        TEST(test_refused_connection_gets_rst),
        TEST(test_service_may_reset_in_accept),
        TEST(test_send_in_accept_waits_for_the_response),
        TEST(test_packets_of_no_connection_get_rst),
        TEST(test_wrong_addresses),
        TEST(test_truncated_packets),
        TEST(test_packet_in_many_parts),
        TEST(test_unknown_op_or_second_request_breaks_the_connection),
        TEST(test_guest_close_is_answered_by_rst_at_once),
        TEST(test_bytes_before_close_can_be_read_after_it),
        TEST(test_half_close_by_the_guest),
        TEST(test_half_close_by_the_host),
        TEST(test_half_close_then_close_by_the_guest),
        TEST(test_data_after_shutdown_breaks_the_connection),
        TEST(test_rst_by_the_guest),
        TEST(test_reset_by_the_service),
        TEST(test_broken_transmit_queue_closes_every_connection),
        TEST(test_device_reset_closes_in_the_loops_thread),
        TEST(test_config_space_holds_the_guests_cid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
