/*
 * A miniature vsock guest for tests: its three rings with their buffers, packets in and out, and a
 * service on the host side that writes down what it is told.
 */
#ifndef VMRT_TEST_UNIT_VSOCK_GUEST_H
#define VMRT_TEST_UNIT_VSOCK_GUEST_H

#include <linux/virtio_vsock.h>
#include <stdio.h>

#include "virtio_driver.h"
#include "vmm/virtio/vsock.h"

#define GUEST_RING    128u
#define GUEST_BUFFER  4096u /* VIRTIO_VSOCK_DEFAULT_RX_BUF_SIZE */
#define GUEST_TX_SIZE (sizeof(struct virtio_vsock_hdr) + 65536u)
#define HEADER_SIZE   ((uint32_t)sizeof(struct virtio_vsock_hdr))

struct guest {
    struct driver driver;
    struct vsock *vsock;
    struct virtio_device *device;
    struct driver_ring rx, tx, event;
    uint64_t rx_gpa, tx_gpa; /* one buffer per descriptor */
    uint32_t rx_buffer;      /* bytes of each receive buffer */
    uint16_t tx_free[GUEST_RING];
    unsigned int tx_free_count;
    uint16_t rx_spare[GUEST_RING]; /* receive buffers kept from the device */
    unsigned int rx_spare_count;
};

struct packet {
    struct virtio_vsock_hdr header;
    uint8_t data[65536];
};

static inline void guest_stop(struct guest *guest)
{
    vsock_destroy(guest->vsock);
    driver_finish(&guest->driver);
}

/* Rings of @guest are made anew and given to the device. */
static inline void guest_bring_up(struct guest *guest, uint64_t features)
{
    guest->driver.next_gpa = 0x1000;
    ring_init(&guest->rx, &guest->driver, GUEST_RING);
    ring_init(&guest->tx, &guest->driver, GUEST_RING);
    ring_init(&guest->event, &guest->driver, GUEST_RING);
    guest->rx_gpa = driver_alloc(&guest->driver, (uint64_t)GUEST_RING * guest->rx_buffer);
    guest->driver.next_gpa = DRIVER_SEAM;
    guest->tx_gpa = driver_alloc(&guest->driver, GUEST_RING * 65024ull);
    if (!driver_negotiate(guest->device, features) ||
        !driver_setup_queue(guest->device, 0, &guest->rx) ||
        !driver_setup_queue(guest->device, 1, &guest->tx) ||
        !driver_setup_queue(guest->device, 2, &guest->event))
        abort();
    driver_add_status(guest->device, VIRTIO_CONFIG_S_DRIVER_OK);
    guest->rx_spare_count = guest->tx_free_count = 0;
    for (uint16_t i = 0; i < GUEST_RING; i++) {
        guest->tx_free[guest->tx_free_count++] = i;
        guest->rx_spare[guest->rx_spare_count++] = i;
    }
}

static inline void guest_start(struct guest *guest, const struct vsock_service *service,
                               void *service_context, uint64_t features)
{
    memset(guest, 0, sizeof(*guest));
    guest->rx_buffer = GUEST_BUFFER;
    driver_init(&guest->driver);
    guest->vsock = vsock_create(&guest->driver.memory, guest->driver.kick_fd,
                                guest->driver.interrupt_fd, service, service_context);
    if (!guest->vsock)
        abort();
    guest->device = vsock_device(guest->vsock);
    guest_bring_up(guest, features);
}

/* Gives the device up to @count more receive buffers. */
static inline void guest_give(struct guest *guest, unsigned int count)
{
    for (; count > 0 && guest->rx_spare_count > 0; count--) {
        uint16_t i = guest->rx_spare[--guest->rx_spare_count];

        ring_set(&guest->rx, i, guest->rx_gpa + (uint64_t)i * guest->rx_buffer, guest->rx_buffer,
                 VRING_DESC_F_WRITE, 0);
        ring_offer(&guest->rx, i);
    }
}

/* Runs the device's thread until it has nothing more to do. */
static inline void guest_run(struct guest *guest)
{
    virtio_device_kick_again(guest->device);
    for (int i = 0; i < 1000; i++) {
        uint64_t count;

        if (read(guest->driver.kick_fd, &count, sizeof(count)) < 0)
            return;
        virtio_device_kick_again(guest->device);
        virtio_device_kicked(guest->device);
    }
    abort(); /* it kicks itself for ever */
}

/* Puts a packet on the transmit ring, @length bytes of @data behind @header. */
static inline bool guest_post(struct guest *guest, const struct virtio_vsock_hdr *header,
                              const void *data, uint32_t length)
{
    uint32_t head, written;
    uint64_t gpa;
    uint16_t i;

    while (ring_take(&guest->tx, &head, &written))
        guest->tx_free[guest->tx_free_count++] = (uint16_t)head;
    if (guest->tx_free_count == 0)
        return false;
    i = guest->tx_free[--guest->tx_free_count];
    gpa = guest->tx_gpa + i * 65024ull;
    memcpy(driver_at(&guest->driver, gpa, sizeof(*header)), header, sizeof(*header));
    if (length)
        memcpy(driver_at(&guest->driver, gpa + sizeof(*header), length), data, length);
    ring_set(&guest->tx, i, gpa, HEADER_SIZE + length, 0, 0);
    ring_offer(&guest->tx, i);
    return true;
}

/* A well-formed header from the guest's @port to port @to. */
static inline struct virtio_vsock_hdr guest_header(uint32_t port, uint32_t to, uint16_t op,
                                                   uint32_t flags, uint32_t length)
{
    return (struct virtio_vsock_hdr) { .src_cid = VSOCK_GUEST_CID,
                                       .dst_cid = VSOCK_HOST_CID,
                                       .src_port = port,
                                       .dst_port = to,
                                       .len = length,
                                       .type = VIRTIO_VSOCK_TYPE_STREAM,
                                       .op = op,
                                       .flags = flags,
                                       .buf_alloc = 1u << 18 };
}

/* Takes a packet that the device sent; its buffer becomes spare. Return: false: there is none. */
static inline bool guest_receive(struct guest *guest, struct packet *packet)
{
    uint32_t head, written;
    uint64_t gpa;

    if (!ring_take(&guest->rx, &head, &written))
        return false;
    gpa = guest->rx_gpa + (uint64_t)head * guest->rx_buffer;
    if (written < HEADER_SIZE || written > guest->rx_buffer)
        abort();
    memcpy(&packet->header, driver_at(&guest->driver, gpa, HEADER_SIZE), HEADER_SIZE);
    if (packet->header.len != written - HEADER_SIZE)
        abort();
    memcpy(packet->data, driver_at(&guest->driver, gpa + HEADER_SIZE, packet->header.len),
           packet->header.len);
    guest->rx_spare[guest->rx_spare_count++] = (uint16_t)head;
    return true;
}

#endif
