/* Devices as a well-behaved driver finds them. */
#include "payload.h"

void run_probe(void)
{
    for (unsigned int slot = 0; slot < SLOTS; slot++) {
        EXPECT(slot_read(slot, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
        EXPECT(slot_read(slot, VIRTIO_MMIO_VERSION), 2);
        print("slot ");
        print_number(slot);
        print(" device ");
        print_number(slot_read(slot, VIRTIO_MMIO_DEVICE_ID));
        print("\n");
    }
}

static struct ring ring;
static uint8_t random_bytes[2][64];

void run_rng(void)
{
    uint64_t offered;
    unsigned int zeros = 0, same = 0;

    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    slot_write(SLOT_RNG, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    offered = (uint64_t)slot_read(SLOT_RNG, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
    slot_write(SLOT_RNG, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    offered |= slot_read(SLOT_RNG, VIRTIO_MMIO_DEVICE_FEATURES);
    EXPECT(offered >> VIRTIO_F_VERSION_1 & 1, 1);
    /* Without VERSION_1, or with more than is offered, the device does not agree. */
    EXPECT(driver_begin(SLOT_RNG, 0), 0);
    EXPECT(driver_begin(SLOT_RNG, offered | 1ull << 63), 0);
    EXPECT(driver_begin(SLOT_RNG, offered & ~(1ull << VIRTIO_RING_F_EVENT_IDX)), 1);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_SEL, 0);
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_QUEUE_NUM_MAX) >= 4, 1);
    driver_queue(SLOT_RNG, 0, &ring, 4);
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY), 1);
    driver_ok(SLOT_RNG);
    EXPECT(driver_status(SLOT_RNG), 0xf);
    for (uint16_t i = 0; i < 2; i++) {
        ring.desc[i] = (struct vring_desc) { .addr = (uint64_t)random_bytes[i],
                                             .len = sizeof(random_bytes[i]),
                                             .flags = VRING_DESC_F_WRITE };
        driver_submit(SLOT_RNG, 0, &ring, 4, i);
        EXPECT(driver_wait(&ring), 1);
        EXPECT(ring.used.ring[i].id, i);
        EXPECT(ring.used.ring[i].len, sizeof(random_bytes[i]));
    }
    for (unsigned int i = 0; i < sizeof(random_bytes[0]); i++) {
        zeros += random_bytes[0][i] == 0;
        same += random_bytes[0][i] == random_bytes[1][i];
    }
    EXPECT(zeros < 16, 1);
    EXPECT(same < 16, 1);
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    slot_write(SLOT_RNG, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    slot_write(SLOT_RNG, VIRTIO_MMIO_STATUS, 0);
    EXPECT(driver_status(SLOT_RNG), 0);
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY), 0);
}
