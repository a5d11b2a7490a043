/*
 * virtio over MMIO: the registers of a slot (virtio 1.2 §4.2.2) and the status machine behind them
 * (§2.1, §3.1).
 *
 * Register accesses come from vCPU threads. Those on the fast path, the notification and the
 * interrupt registers, take no lock.
 */
#include "vmm/virtio/device.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define MMIO_MAGIC   0x74726976u /* "virt" */
#define MMIO_VERSION 2u
#define MMIO_VENDOR  0x74726d76u /* "vmrt" */
#define MMIO_WINDOW  0x1000u

#define FEATURE(bit) (1ull << (bit))
/* A driver that does not accept this is refused (§6.2). */
#define FEATURES_REQUIRED FEATURE(VIRTIO_F_VERSION_1)
#define FEATURES_RING \
    (FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX) | FEATURES_REQUIRED)

/* What a driver may set; NEEDS_RESET belongs to the device. */
#define STATUS_DRIVER_BITS                                                              \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static uint64_t features_offered(const struct virtio_device *device)
{
    return device->ops->features | FEATURES_RING;
}

/* The queue that QUEUE_SEL names, or NULL when there is none (CVE-2021-45464). */
static struct virtqueue *selected_queue(struct virtio_device *device)
{
    if (device->queue_select >= device->ops->queue_count)
        return NULL;
    return &device->queues[device->queue_select];
}

/* Half @select of a 64-bit register. */
static uint32_t half(uint64_t value, uint32_t select)
{
    return select < 2 ? (uint32_t)(value >> select * 32) : 0;
}

static void set_half(uint64_t *value, uint32_t select, uint32_t part)
{
    if (select < 2)
        *value = (*value & ~(0xffffffffull << select * 32)) | (uint64_t)part << select * 32;
}

/* Registers that every slot has, with or without a device (§4.2.2, DeviceID 0). */
static uint32_t read_identity(const struct virtio_device *device, uint32_t offset)
{
    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MMIO_MAGIC;
    case VIRTIO_MMIO_VERSION:
        return MMIO_VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return device ? device->ops->id : 0;
    case VIRTIO_MMIO_VENDOR_ID:
        return MMIO_VENDOR;
    default:
        return 0;
    }
}

static uint32_t read_register(struct virtio_device *device, uint32_t offset)
{
    const struct virtqueue *queue = selected_queue(device);

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return half(features_offered(device), device->features_select);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return queue ? queue->size_max : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return queue && queue->ready;
    case VIRTIO_MMIO_STATUS:
        return device->status;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return 0xffffffff; /* -1: no such region, whichever is selected */
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return device->config_generation;
    default:
        return read_identity(device, offset);
    }
}

static void read_config(struct virtio_device *device, uint32_t offset, void *data, uint32_t length)
{
    if (!device->ops->read_config || offset > MMIO_WINDOW - VIRTIO_MMIO_CONFIG ||
        length > MMIO_WINDOW - VIRTIO_MMIO_CONFIG - offset)
        return;
    device->ops->read_config(device, offset, data, length);
}

void virtio_mmio_read(struct virtio_device *device, uint32_t offset, void *data, uint32_t length)
{
    uint32_t value = 0;

    memset(data, 0, length);
    if (offset >= VIRTIO_MMIO_CONFIG) {
        /* §4.2.2.2: any width in the configuration space, 32 bits everywhere else. */
        if (device && (length == 1 || length == 2 || length == 4 || length == 8)) {
            pthread_mutex_lock(&device->lock);
            read_config(device, offset - VIRTIO_MMIO_CONFIG, data, length);
            pthread_mutex_unlock(&device->lock);
        }
        return;
    }
    if (length != 4 || offset % 4)
        return;
    if (!device) {
        value = read_identity(NULL, offset);
    } else if (offset == VIRTIO_MMIO_INTERRUPT_STATUS) {
        value = __atomic_load_n(&device->interrupt_status, __ATOMIC_SEQ_CST) |
                __atomic_load_n(&device->interrupt_always, __ATOMIC_SEQ_CST);
    } else {
        pthread_mutex_lock(&device->lock);
        value = read_register(device, offset);
        pthread_mutex_unlock(&device->lock);
    }
    value = htole32(value);
    memcpy(data, &value, sizeof(value));
}

static void reset_device(struct virtio_device *device)
{
    device->status = 0;
    if (device->ops->reset)
        device->ops->reset(device);
    for (unsigned int i = 0; i < device->ops->queue_count; i++)
        virtqueue_reset(&device->queues[i]);
    device->driver_features = 0;
    device->features_select = device->driver_features_select = device->queue_select = 0;
    __atomic_store_n(&device->interrupt_status, 0, __ATOMIC_SEQ_CST);
}

static bool features_acceptable(const struct virtio_device *device)
{
    uint64_t wanted = device->driver_features;
    uint64_t needed = device->ops->features_needed | FEATURES_REQUIRED;

    return !(wanted & ~features_offered(device)) && (wanted & needed) == needed;
}

/* The bits a driver may add to @before, out of those it @asked for (§3.1.1). */
static uint32_t status_grant(const struct virtio_device *device, uint32_t before, uint32_t asked)
{
    const uint32_t known = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
    uint32_t granted = asked & STATUS_DRIVER_BITS;

    if (((before | granted) & known) != known || !features_acceptable(device))
        granted &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
    if (!((before | granted) & VIRTIO_CONFIG_S_FEATURES_OK) || before & VIRTIO_CONFIG_S_FAILED)
        granted &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
    return granted;
}

static void write_status(struct virtio_device *device, uint32_t value)
{
    uint32_t before = device->status;

    if (value == 0) {
        reset_device(device);
        return;
    }
    /* §2.1.1: bits are only added; nothing but a reset takes one back. */
    device->status = before | status_grant(device, before, value);
    if (device->status & ~before & VIRTIO_CONFIG_S_DRIVER_OK && virtio_device_active(device)) {
        if (device->ops->activate)
            device->ops->activate(device);
        /* The driver may have notified a moment too early. */
        virtio_device_kick_again(device);
    }
}

/* Queues take settings between FEATURES_OK and DRIVER_OK, and each only until it is ready. */
static bool queue_configurable(const struct virtio_device *device, const struct virtqueue *queue)
{
    return !queue->ready && (device->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
           !(device->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET));
}

static void write_queue_ready(struct virtio_device *device, struct virtqueue *queue, uint32_t value)
{
    if (value == 0) {
        /*
         * §4.2.2.2: so the driver stops using a queue, and reading 0 back tells it that the device
         * has. It stays stopped until the reset, for VIRTIO_F_RING_RESET is not offered (§2.6.1).
         */
        if (queue->ready && device->ops->stop_queue)
            device->ops->stop_queue(device, (unsigned int)(queue - device->queues));
        virtqueue_reset(queue);
    } else if (value == 1 && queue_configurable(device, queue)) {
        queue->event_idx = device->driver_features & FEATURE(VIRTIO_RING_F_EVENT_IDX);
        queue->indirect = device->driver_features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
        if (virtqueue_start(queue) < 0)
            virtio_device_broken(device, "the driver gave a queue a bad size or address");
    }
}

static void write_queue_register(struct virtio_device *device, struct virtqueue *queue,
                                 uint32_t offset, uint32_t value)
{
    if (offset == VIRTIO_MMIO_QUEUE_READY) {
        write_queue_ready(device, queue, value);
        return;
    }
    if (!queue_configurable(device, queue))
        return;
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM:
        /* A size that does not even fit is refused like any other wrong one. */
        queue->size = value <= UINT16_MAX ? (uint16_t)value : 0;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_half(&queue->desc_gpa, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_half(&queue->avail_gpa, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        set_half(&queue->used_gpa, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
        break;
    default:
        break;
    }
}

static void write_register(struct virtio_device *device, uint32_t offset, uint32_t value)
{
    struct virtqueue *queue;

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        device->features_select = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        if (!(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
            set_half(&device->driver_features, device->driver_features_select, value);
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        device->driver_features_select = value;
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        device->queue_select = value;
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(device, value);
        break;
    default:
        queue = selected_queue(device);
        if (queue)
            write_queue_register(device, queue, offset, value);
        break;
    }
}

void virtio_mmio_write(struct virtio_device *device, uint32_t offset, const void *data,
                       uint32_t length)
{
    uint32_t value;

    /* No device here has a configuration field that the driver may write. */
    if (!device || length != 4 || offset % 4 || offset >= VIRTIO_MMIO_CONFIG)
        return;
    memcpy(&value, data, sizeof(value));
    value = le32toh(value);
    if (offset == VIRTIO_MMIO_QUEUE_NOTIFY) {
        /* KVM's ioeventfd takes most of these; the device looks at every queue, so none is told. */
        if (value < device->ops->queue_count)
            virtio_device_kick_again(device);
    } else if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
        __atomic_fetch_and(&device->interrupt_status, ~value, __ATOMIC_SEQ_CST);
    } else {
        pthread_mutex_lock(&device->lock);
        if (device->ops->hold)
            device->ops->hold(device, true);
        write_register(device, offset, value);
        if (device->ops->hold)
            device->ops->hold(device, false);
        pthread_mutex_unlock(&device->lock);
    }
}
