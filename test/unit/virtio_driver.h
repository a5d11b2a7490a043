/*
 * A miniature virtio driver for tests: guest memory in two regions that are neighbours for the
 * guest but not in this process, split rings laid out in it, and the registers of virtio-mmio.
 */
#ifndef VMRT_TEST_UNIT_VIRTIO_DRIVER_H
#define VMRT_TEST_UNIT_VIRTIO_DRIVER_H

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/virtio/device.h"

#define DRIVER_REGION_SIZE (8ull << 20)
/* The last byte before it is in region 0, it is the first of region 1. */
#define DRIVER_SEAM DRIVER_REGION_SIZE
#define DRIVER_END  (2 * DRIVER_REGION_SIZE)

#define DRIVER_FEATURES_ALL                                             \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC | \
     1ull << VIRTIO_RING_F_EVENT_IDX)

struct driver {
    struct guest_memory memory;
    int kick_fd, interrupt_fd;
    uint64_t next_gpa; /* what is below is handed out */
};

/* The driver's side of one ring. */
struct driver_ring {
    struct driver *driver;
    uint16_t size;
    uint64_t desc_gpa, avail_gpa, used_gpa;
    struct vring_desc *desc;
    uint16_t *avail; /* flags, idx, ring[size], used_event */
    uint16_t *used;  /* flags, idx, {id, len}[size], avail_event */
    uint16_t next_avail, last_used;
};

static inline void driver_init(struct driver *driver)
{
    memset(driver, 0, sizeof(*driver));
    for (unsigned int i = 0; i < 2; i++) {
        struct memory_region *r = &driver->memory.regions[i];

        r->gpa = i * DRIVER_REGION_SIZE;
        r->size = DRIVER_REGION_SIZE;
        /* Of its own malloc(), so that ASan sees a step over the edge. */
        r->hva = aligned_alloc(4096, DRIVER_REGION_SIZE);
        if (!r->hva)
            abort();
        memset(r->hva, 0, DRIVER_REGION_SIZE);
    }
    driver->memory.count = 2;
    driver->next_gpa = 0x1000;
    driver->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    driver->interrupt_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static inline void driver_finish(struct driver *driver)
{
    for (unsigned int i = 0; i < driver->memory.count; i++)
        free(driver->memory.regions[i].hva);
    close(driver->kick_fd);
    close(driver->interrupt_fd);
}

static inline void *driver_at(const struct driver *driver, uint64_t gpa, uint64_t length)
{
    void *p = memory_translate(&driver->memory, gpa, length);

    if (!p)
        abort();
    return p;
}

/* @length bytes of guest memory, aligned to 64, never across the seam. */
static inline uint64_t driver_alloc(struct driver *driver, uint64_t length)
{
    uint64_t gpa = driver->next_gpa;

    if (gpa < DRIVER_SEAM && gpa + length > DRIVER_SEAM)
        gpa = DRIVER_SEAM;
    driver->next_gpa = (gpa + length + 63) & ~63ull;
    if (driver->next_gpa > DRIVER_END)
        abort();
    return gpa;
}

static inline void ring_init(struct driver_ring *ring, struct driver *driver, uint16_t size)
{
    uint64_t desc = 16ull * size, avail = 6 + 2ull * size, used = 6 + 8ull * size;

    memset(ring, 0, sizeof(*ring));
    ring->driver = driver;
    ring->size = size;
    ring->desc_gpa = driver_alloc(driver, desc);
    ring->avail_gpa = driver_alloc(driver, avail);
    ring->used_gpa = driver_alloc(driver, used);
    ring->desc = driver_at(driver, ring->desc_gpa, desc);
    ring->avail = driver_at(driver, ring->avail_gpa, avail);
    ring->used = driver_at(driver, ring->used_gpa, used);
    memset(ring->desc, 0, desc);
    memset(ring->avail, 0, avail);
    memset(ring->used, 0, used);
}

static inline void ring_set(struct driver_ring *ring, uint16_t index, uint64_t gpa, uint32_t length,
                            uint16_t flags, uint16_t next)
{
    ring->desc[index] =
        (struct vring_desc) { .addr = gpa, .len = length, .flags = flags, .next = next };
}

/* Makes chain @head available. */
static inline void ring_offer(struct driver_ring *ring, uint16_t head)
{
    ring->avail[2 + ring->next_avail % ring->size] = head;
    ring->next_avail++;
    __atomic_store_n(&ring->avail[1], ring->next_avail, __ATOMIC_RELEASE);
}

/* Takes the next used element and wants an interrupt for the one after. Return: false: none. */
static inline bool ring_take(struct driver_ring *ring, uint32_t *head, uint32_t *written)
{
    uint32_t element[2];

    if (__atomic_load_n(&ring->used[1], __ATOMIC_ACQUIRE) == ring->last_used)
        return false;
    memcpy(element, &ring->used[2 + 4 * (ring->last_used % ring->size)], sizeof(element));
    ring->last_used++;
    ring->avail[2 + ring->size] = ring->last_used; /* used_event: tell me about the next */
    *head = element[0];
    *written = element[1];
    return true;
}

static inline uint16_t *ring_used_event(struct driver_ring *ring)
{
    return &ring->avail[2 + ring->size];
}

static inline uint16_t *ring_avail_event(struct driver_ring *ring)
{
    return &ring->used[2 + 4 * ring->size];
}

static inline uint32_t register_read(struct virtio_device *device, uint32_t offset)
{
    uint32_t value = 0xdeadbeef;

    virtio_mmio_read(device, offset, &value, sizeof(value));
    return value;
}

static inline void register_write(struct virtio_device *device, uint32_t offset, uint32_t value)
{
    virtio_mmio_write(device, offset, &value, sizeof(value));
}

static inline void driver_add_status(struct virtio_device *device, uint32_t bits)
{
    register_write(device, VIRTIO_MMIO_STATUS, register_read(device, VIRTIO_MMIO_STATUS) | bits);
}

/* §3.1.1 steps 1 to 6. Return: whether the device took the features. */
static inline bool driver_negotiate(struct virtio_device *device, uint64_t features)
{
    register_write(device, VIRTIO_MMIO_STATUS, 0);
    driver_add_status(device, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    driver_add_status(device, VIRTIO_CONFIG_S_DRIVER);
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
    driver_add_status(device, VIRTIO_CONFIG_S_FEATURES_OK);
    return register_read(device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

/* §4.2.3.2: tells the device where @ring is. Return: whether the queue became ready. */
static inline bool driver_setup_queue(struct virtio_device *device, uint32_t index,
                                      const struct driver_ring *ring)
{
    register_write(device, VIRTIO_MMIO_QUEUE_SEL, index);
    register_write(device, VIRTIO_MMIO_QUEUE_NUM, ring->size);
    register_write(device, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring->desc_gpa);
    register_write(device, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(ring->desc_gpa >> 32));
    register_write(device, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)ring->avail_gpa);
    register_write(device, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(ring->avail_gpa >> 32));
    register_write(device, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)ring->used_gpa);
    register_write(device, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(ring->used_gpa >> 32));
    register_write(device, VIRTIO_MMIO_QUEUE_READY, 1);
    return register_read(device, VIRTIO_MMIO_QUEUE_READY) == 1;
}

/* Whether @fd was signalled since the last call. */
static inline bool event_taken(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* What the interrupt handler does. Return: the reasons, 0 when there was no interrupt. */
static inline uint32_t driver_handle_interrupt(struct driver *driver, struct virtio_device *device)
{
    uint32_t status;

    if (!event_taken(driver->interrupt_fd))
        return 0;
    status = register_read(device, VIRTIO_MMIO_INTERRUPT_STATUS);
    register_write(device, VIRTIO_MMIO_INTERRUPT_ACK, status);
    return status;
}

#endif
