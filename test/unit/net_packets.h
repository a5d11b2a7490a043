/* What the tests of virtio-net over sockets share: fixtures, and packets for and from the guest. */
#ifndef VMRT_TEST_UNIT_NET_PACKETS_H
#define VMRT_TEST_UNIT_NET_PACKETS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net_driver.h"

#define PACKET_END 65536u
#define RX_BUFFER  1536u

#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define ECN  VIRTIO_NET_HDR_GSO_ECN
enum { GSO_TCP4 = 1, GSO_UDP = 3, GSO_TCP6 = 4, GSO_L4 = 5 };

static uint8_t __attribute__((unused)) packet[HDR + PACKET_END], answer[HDR + PACKET_END + 1024];

static inline int setup(void **state)
{
    struct nic *w = malloc(sizeof(*w));

    nic_create(w, 1, 1, NULL, OFFLOADS_ALL);
    *state = w;
    return 0;
}

static inline int setup_multi(void **state)
{
    struct nic *w = malloc(sizeof(*w));

    nic_create(w, 4, 2, NULL, OFFLOADS_ALL);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    nic_destroy(*state);
    free(*state);
    return 0;
}

static inline struct virtio_net_config read_config(struct nic *w)
{
    struct virtio_net_config config;
    uint8_t *p = (uint8_t *)&config;

    for (uint32_t i = 0; i < sizeof(config); i++)
        virtio_mmio_read(w->device, VIRTIO_MMIO_CONFIG + i, p + i, 1);
    return config;
}

/* Offers @length bytes in @parts parts as chain @head. */
static inline void offer_packet(struct nic *w, unsigned int queue, uint16_t head, uint64_t gpa,
                                uint32_t length, unsigned int parts)
{
    struct driver_ring *r = &w->rings[queue];

    for (unsigned int i = 0; i < parts; i++) {
        uint32_t piece = i + 1 < parts ? length / parts : length - length / parts * (parts - 1);

        ring_set(r, (uint16_t)(head + i), gpa, piece, i + 1 < parts ? VRING_DESC_F_NEXT : 0,
                 (uint16_t)(head + i + 1));
        gpa += piece;
    }
    ring_offer(r, head);
}

/* A packet for the guest, of @length bytes, is in the TAP. */
static inline void send_to_guest(struct nic *w, unsigned int pair, uint32_t length, uint32_t seed)
{
    memset(packet, 0, HDR);
    nic_fill(packet + HDR, length, seed);
    assert_int_equal(send(w->host[pair], packet, HDR + length, 0), HDR + length);
}

/* The driver's receive buffers: of one size each, offered again when they are empty. */
struct buffers {
    struct nic *w;
    unsigned int pair;
    uint32_t size;
    uint64_t gpa;
};

static inline void give_buffers(struct buffers *b, struct nic *w, unsigned int pair, uint32_t size,
                                unsigned int count)
{
    *b = (struct buffers) { w, pair, size, driver_alloc(&w->driver, (uint64_t)size * count) };
    for (unsigned int i = 0; i < count; i++)
        nic_give(w, pair, (uint16_t)i, b->gpa + (uint64_t)i * size, size);
    nic_kick(w, 2 * pair);
}

/* Takes a packet as the driver does. Return: its bytes with header, -1 when there is none. */
static inline ssize_t take_packet(struct buffers *b, uint8_t *to)
{
    struct driver_ring *r = &b->w->rings[2 * b->pair];
    struct virtio_net_hdr_v1 header = { .num_buffers = 1 };
    ssize_t total = 0;

    for (unsigned int i = 0; i < header.num_buffers; i++) {
        uint32_t head, written;

        if (!ring_take(r, &head, &written)) {
            assert_int_equal(i, 0); /* else the driver would report missing buffers */
            return -1;
        }
        assert_true(written <= b->size);
        memcpy(to + total, driver_at(&b->w->driver, b->gpa + (uint64_t)head * b->size, b->size),
               written);
        if (i == 0)
            memcpy(&header, to, HDR);
        total += written;
        ring_offer(r, (uint16_t)head);
    }
    return total;
}

static inline void expect_packet(struct buffers *b, uint32_t length, uint32_t seed)
{
    ssize_t n = take_packet(b, answer);

    if (n != HDR + (ssize_t)length)
        fail_msg("a packet of %u bytes came as %zd", length, n - (ssize_t)HDR);
    nic_fill(packet + HDR, length, seed);
    assert_true(memcmp(packet + HDR, answer + HDR, length) == 0);
}

static inline uint8_t set_mode(struct nic *w, uint8_t mode, uint8_t on)
{
    return nic_command(w, VIRTIO_NET_CTRL_RX, mode, &on, 1);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define MULTI(name) cmocka_unit_test_setup_teardown(name, setup_multi, teardown)

#endif
