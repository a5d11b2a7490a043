/* virtio-net: packets to the guest, and buffers running short. */
#include "net_packets.h"

static void test_receive_packets_of_every_length(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, NIC_RING);
    /* Some lengths are short of a header, and are not packets. */
    for (uint32_t length = 14; length < PACKET_END; length++) {
        send_to_guest(w, 0, length, length);
        net_worker_step(w->workers, 0, 0);
        expect_packet(&b, length, length);
    }
}

/* Large and small in turns: the device makes room for what it has seen last, and is wrong. */
static void test_receive_sizes_that_change(void **state)
{
    static const uint32_t lengths[] = { 60, 1514, 65000, 60, 9014, 2036, 2037, 65535, 1500, 14 };
    struct nic *w = *state;
    struct buffers b;
    unsigned int sizes[] = { RX_BUFFER, 12, 300, 16384 };

    for (unsigned int i = 0; i < 4; i++) {
        assert_true(nic_bring_up(w, FEATURES_USUAL));
        give_buffers(&b, w, 0, sizes[i], 1u << (i == 3 ? 6 : 8));
        for (uint32_t j = 0; j < 2000; j++) {
            uint32_t length = lengths[j % 3 ? (j / 100) % 10 : j % 10];

            if (HDR + length > sizes[i] * (i == 3 ? 64 : 256))
                length = 1500;
            send_to_guest(w, 0, length, j);
            nic_run(w);
            expect_packet(&b, length, j);
        }
    }
}

static void test_receive_into_one_big_chain(void **state)
{
    struct nic *w = *state;
    struct driver_ring *r = &w->rings[0];
    uint64_t gpa = driver_alloc(&w->driver, 70000);
    uint8_t *p = driver_at(&w->driver, gpa, 70000);
    const uint32_t lengths[] = { 14, 1514, 65535 };

    assert_true(nic_bring_up(w, FEATURES_USUAL & ~F(MRG_RXBUF)));
    for (unsigned int i = 0; i < 3; i++) {
        uint32_t head, written;
        struct virtio_net_hdr_v1 header;

        /* The header in parts of its own, as old drivers have it, and 17 pages. */
        ring_set(r, 0, gpa, 5, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
        ring_set(r, 1, gpa + 5, 7, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
        for (uint16_t j = 0; j < 17; j++)
            ring_set(r, (uint16_t)(2 + j), gpa + 12 + j * 4096u, 4096,
                     VRING_DESC_F_WRITE | (j < 16 ? VRING_DESC_F_NEXT : 0), (uint16_t)(3 + j));
        ring_offer(r, 0);
        send_to_guest(w, 0, lengths[i], i);
        nic_kick(w, 0);
        assert_true(ring_take(r, &head, &written));
        assert_int_equal(written, HDR + lengths[i]);
        memcpy(&header, p, HDR);
        assert_int_equal(header.num_buffers, 1);
        assert_memory_equal(p + HDR, packet + HDR, lengths[i]);
    }
}

static void test_receive_packet_too_long_for_its_buffer_is_dropped(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL & ~F(MRG_RXBUF)));
    give_buffers(&b, w, 0, HDR + 1514, 2);
    send_to_guest(w, 0, 1515, 1);
    nic_run(w);
    assert_int_equal(take_packet(&b, answer), -1);
    send_to_guest(w, 0, 1514, 2);
    nic_run(w);
    expect_packet(&b, 1514, 2); /* in the same buffer */
}

static void test_receive_without_buffers_leaves_packets_in_the_tap(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    driver_handle_interrupt(&w->driver, w->device);
    for (uint32_t i = 0; i < 10; i++)
        send_to_guest(w, 0, 100, i);
    nic_run(w);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 0); /* asleep, not spinning */
    assert_int_equal(driver_handle_interrupt(&w->driver, w->device), 0);
    /* The sender's socket still holds all ten. */
    give_buffers(&b, w, 0, RX_BUFFER, 3);
    nic_kick(w, 0);
    for (uint32_t i = 0; i < 3; i++)
        expect_packet(&b, 100, i);
    nic_kick(w, 0);
    for (uint32_t i = 3; i < 6; i++)
        expect_packet(&b, 100, i);
    nic_kick(w, 0);
    nic_kick(w, 0);
    for (uint32_t i = 6; i < 9; i++)
        expect_packet(&b, 100, i);
    nic_kick(w, 0);
    expect_packet(&b, 100, 9);
    assert_int_equal(take_packet(&b, answer), -1);
}

/* The packet's own turn, which found no buffers, took the wish for notifications back. */
static void test_receive_without_event_index_hears_of_buffers_after_a_packet(void **state)
{
    struct nic *w = *state;
    struct buffers b = { w, 0, RX_BUFFER, driver_alloc(&w->driver, RX_BUFFER) };

    assert_true(nic_bring_up(w, FEATURES_USUAL & ~(1ull << VIRTIO_RING_F_EVENT_IDX)));
    send_to_guest(w, 0, 100, 1);
    nic_run(w);
    nic_give(w, 0, 0, b.gpa, RX_BUFFER);
    /* All that this driver goes by. */
    if (w->rings[0].used[0] == 0)
        nic_kick(w, 0);
    expect_packet(&b, 100, 1);
}

static void test_receive_large_packet_waits_for_enough_buffers(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, 1000, 4);
    send_to_guest(w, 0, 9000, 5);
    send_to_guest(w, 0, 60, 6);
    nic_kick(w, 0);
    assert_int_equal(take_packet(&b, answer), -1); /* not a part of it either */
    for (uint16_t i = 4; i < 9; i++) {
        driver_alloc(&w->driver, 1000 - 40);
        nic_give(w, 0, i, b.gpa + i * 1000u, 1000);
        nic_kick(w, 0);
        assert_int_equal(take_packet(&b, answer), -1);
    }
    driver_alloc(&w->driver, 4096);
    nic_give(w, 0, 9, b.gpa + 9000, 1000);
    nic_kick(w, 0);
    expect_packet(&b, 9000, 5);
    nic_kick(w, 0);
    expect_packet(&b, 60, 6);
}

static void test_receive_packet_larger_than_the_whole_ring(void **state)
{
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, 20, NIC_RING);
    send_to_guest(w, 0, 9000, 1);
    nic_kick(w, 0);
    for (unsigned int i = 0; i < NIC_RING; i++) {
        uint32_t head = 0, written = 1;

        assert_true(ring_take(&w->rings[0], &head, &written));
        assert_int_equal(written, 0);
        ring_offer(&w->rings[0], (uint16_t)head);
    }
    send_to_guest(w, 0, 200, 2);
    nic_kick(w, 0);
    expect_packet(&b, 200, 2);
}

/* Without the features the guest must not see such packets, which may still be in the TAP. */
static void test_receive_headers_are_what_was_negotiated(void **state)
{
    static const struct {
        uint64_t features;
        uint8_t flags, gso_type;
        bool pass;
        uint8_t out;
    } cases[] = {
        { F(GUEST_CSUM), CSUM, 0, true, CSUM },
        { F(GUEST_CSUM), VIRTIO_NET_HDR_F_DATA_VALID | 0x80, 0, true, VIRTIO_NET_HDR_F_DATA_VALID },
        { 0, CSUM, 0, false, 0 },
        { 0, VIRTIO_NET_HDR_F_DATA_VALID, 0, true, 0 },
        { F(GUEST_CSUM) | F(GUEST_TSO4), CSUM, GSO_TCP4, true, CSUM },
        { F(GUEST_CSUM) | F(GUEST_TSO6), CSUM, GSO_TCP4, false, 0 },
        { F(GUEST_TSO4), CSUM, GSO_TCP4, false, 0 },
        { F(GUEST_CSUM) | F(GUEST_TSO4), CSUM, GSO_TCP4 | ECN, false, 0 },
        { F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_ECN), CSUM, GSO_TCP4 | ECN, true, CSUM },
        { F(GUEST_CSUM) | F_USO, CSUM, GSO_L4, true, CSUM },
        { F(GUEST_CSUM) | F(GUEST_TSO4), CSUM, GSO_L4, false, 0 },
    };
    struct nic *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct virtio_net_hdr_v1 header = { .flags = cases[i].flags,
                                            .gso_type = cases[i].gso_type,
                                            .gso_size = 100,
                                            .csum_start = 34,
                                            .csum_offset = 16 };
        struct buffers b;
        ssize_t n;

        assert_true(nic_bring_up(w, DRIVER_FEATURES_ALL | cases[i].features));
        give_buffers(&b, w, 0, RX_BUFFER, 4);
        memcpy(packet, &header, HDR);
        nic_fill(packet + HDR, 500, 1);
        assert_int_equal(send(w->host[0], packet, HDR + 500, 0), HDR + 500);
        nic_kick(w, 0);
        n = take_packet(&b, answer);
        if (n != (cases[i].pass ? (ssize_t)HDR + 500 : -1) || (n > 0 && answer[0] != cases[i].out))
            fail_msg("case %zu: %zd, flags %u", i, n, answer[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_receive_packets_of_every_length),
        TEST(test_receive_sizes_that_change),
        TEST(test_receive_into_one_big_chain),
        TEST(test_receive_packet_too_long_for_its_buffer_is_dropped),
        TEST(test_receive_without_buffers_leaves_packets_in_the_tap),
        TEST(test_receive_without_event_index_hears_of_buffers_after_a_packet),
        TEST(test_receive_large_packet_waits_for_enough_buffers),
        TEST(test_receive_packet_larger_than_the_whole_ring),
        TEST(test_receive_headers_are_what_was_negotiated),
    };

    signal(SIGPIPE, SIG_IGN); /* TAPs do not have it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
