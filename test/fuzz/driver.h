/*
 * What the hostile drivers have in common: their input, two small regions of memory of their own,
 * and the first steps of every driver, so that not all of the input is spent on them.
 */
#ifndef VMRT_TEST_FUZZ_DRIVER_H
#define VMRT_TEST_FUZZ_DRIVER_H

#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vmm/virtio/device.h"

#define DRIVER_QUEUES 5u
#define RING_SIZE     8u

/* Where bring_up() puts the rings; the rest of memory holds buffers. */
#define DESC_GPA(queue)  (0x1000u + (queue)*0x1000u)
#define AVAIL_GPA(queue) (DESC_GPA(queue) + 0x400u)
#define USED_GPA(queue)  (DESC_GPA(queue) + 0x800u)

struct input {
    const uint8_t *data;
    size_t size;
};

struct driver {
    struct guest_memory memory;
    struct virtio_device *device;
    uint16_t next_avail[DRIVER_QUEUES];
};

/* The next @bytes of the input as a little-endian number; zeros behind the end. */
static inline uint64_t take(struct input *in, unsigned int bytes)
{
    uint64_t value = 0;

    for (unsigned int i = 0; i < bytes && in->size > 0; i++) {
        value |= (uint64_t)*in->data++ << 8 * i;
        in->size--;
    }
    return value;
}

static inline void write_register(struct driver *m, uint32_t offset, uint32_t value)
{
    virtio_mmio_write(m->device, offset, &value, sizeof(value));
}

/* The steps of virtio 1.2 §3.1.1, every queue included. */
static inline void bring_up(struct driver *m, uint64_t features)
{
    write_register(m, VIRTIO_MMIO_STATUS, 0);
    write_register(m, VIRTIO_MMIO_STATUS, 3);
    write_register(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    write_register(m, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
    write_register(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    write_register(m, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
    write_register(m, VIRTIO_MMIO_STATUS, 11);
    for (uint32_t i = 0; i < m->device->ops->queue_count && i < DRIVER_QUEUES; i++) {
        write_register(m, VIRTIO_MMIO_QUEUE_SEL, i);
        write_register(m, VIRTIO_MMIO_QUEUE_NUM, RING_SIZE);
        write_register(m, VIRTIO_MMIO_QUEUE_DESC_LOW, DESC_GPA(i));
        write_register(m, VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL_GPA(i));
        write_register(m, VIRTIO_MMIO_QUEUE_USED_LOW, USED_GPA(i));
        write_register(m, VIRTIO_MMIO_QUEUE_READY, 1);
        memset(memory_translate(&m->memory, DESC_GPA(i), 0x1000), 0, 0x1000);
        m->next_avail[i] = 0;
    }
    write_register(m, VIRTIO_MMIO_STATUS, 15);
}

static inline void set_descriptor(struct driver *m, uint32_t queue, uint32_t index, uint64_t gpa,
                                  uint32_t length, uint16_t flags, uint16_t next)
{
    struct vring_desc *table = memory_translate(&m->memory, DESC_GPA(queue), 16 * RING_SIZE);

    table[index % RING_SIZE] =
        (struct vring_desc) { .addr = gpa, .len = length, .flags = flags, .next = next };
}

static inline void offer(struct driver *m, uint32_t queue, uint16_t head)
{
    uint16_t *avail = memory_translate(&m->memory, AVAIL_GPA(queue), 6 + 2 * RING_SIZE);

    avail[2 + m->next_avail[queue] % RING_SIZE] = head;
    avail[1] = ++m->next_avail[queue];
}

static inline void write_memory(struct driver *m, struct input *in)
{
    uint32_t gpa = (uint32_t)take(in, 2), length = take(in, 1) % 64;
    uint8_t *p = memory_translate(&m->memory, gpa, length);

    for (uint32_t i = 0; p && i < length; i++)
        p[i] = (uint8_t)take(in, 1);
}

static inline void access_register(struct driver *m, struct input *in, bool write)
{
    static const uint8_t widths[] = { 4, 4, 4, 4, 1, 2, 8, 4 };
    uint32_t where = (uint32_t)take(in, 2), width = widths[where >> 13];
    uint64_t value;

    if (write) {
        value = take(in, 4);
        virtio_mmio_write(m->device, where & 0xfff, &value, width);
    } else {
        virtio_mmio_read(m->device, where & 0x1fff, &value, width);
    }
}

#endif
