/* What every virtio device shares besides its registers: kicks, interrupts, failure. */
#include "vmm/virtio/device.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/report.h"

void virtio_device_init(struct virtio_device *device, const struct virtio_ops *ops,
                        struct guest_memory *memory, int kick_fd, int interrupt_fd)
{
    pthread_mutexattr_t attributes;

    memset(device, 0, sizeof(*device));
    device->ops = ops;
    device->memory = memory;
    device->kick_fd = kick_fd;
    device->interrupt_fd = interrupt_fd;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&device->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    for (unsigned int i = 0; i < ops->queue_count; i++)
        device->queues[i] = (struct virtqueue) { .memory = memory, .size_max = ops->queue_size };
}

void virtio_device_connect(struct virtio_device *device, void (*raise)(void *line), void *line)
{
    device->raise = raise;
    device->line = line;
}

void virtio_device_destroy(struct virtio_device *device)
{
    pthread_mutex_destroy(&device->lock);
}

/* An eventfd takes 8 bytes; it is full only when it is already signalled (EAGAIN). */
static void signal_event(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof(one));

    (void)ignored;
}

static void drain_event(int fd)
{
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));

    (void)ignored;
}

bool virtio_device_active(const struct virtio_device *device)
{
    return (device->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
           !(device->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

void virtio_device_kicked(struct virtio_device *device)
{
    pthread_mutex_lock(&device->lock);
    /* Drained before looking: what comes in meanwhile signals again. */
    drain_event(device->kick_fd);
    if (device->ops->settle)
        device->ops->settle(device);
    if (virtio_device_active(device) && device->ops->kick)
        device->ops->kick(device);
    pthread_mutex_unlock(&device->lock);
}

void virtio_device_kick_again(struct virtio_device *device)
{
    signal_event(device->kick_fd);
}

void virtio_device_serve(struct virtio_device *device, struct virtqueue *queue, unsigned int budget,
                         uint32_t (*handle)(struct virtio_device *device,
                                            const struct virtqueue_chain *chain))
{
    struct virtqueue_chain chain;
    int ret = 0;

    virtqueue_disable_notify(queue);
    do {
        while (budget > 0 && (ret = virtqueue_pop(queue, &chain)) > 0) {
            virtqueue_push(queue, chain.head, handle(device, &chain));
            budget--;
        }
    } while (ret == 0 && budget > 0 && virtqueue_enable_notify(queue));
    if (ret < 0)
        virtio_device_broken(device, "the driver broke the rules of virtqueues");
    else if (budget == 0)
        virtio_device_kick_again(device);
    virtio_interrupt(device, queue);
}

void virtio_config_copy(const void *config, uint32_t size, uint32_t offset, void *data,
                        uint32_t length)
{
    memset(data, 0, length);
    if (offset >= size)
        return;
    memcpy(data, (const uint8_t *)config + offset, length < size - offset ? length : size - offset);
}

/* The status bit must be there before the driver's handler can run and look for it. */
static void interrupt(struct virtio_device *device, uint32_t reason)
{
    __atomic_fetch_or(&device->interrupt_status, reason, __ATOMIC_SEQ_CST);
    if (device->raise)
        device->raise(device->line);
    else
        signal_event(device->interrupt_fd);
}

void virtio_interrupt(struct virtio_device *device, struct virtqueue *queue)
{
    if (virtqueue_wants_interrupt(queue))
        interrupt(device, VIRTIO_MMIO_INT_VRING);
}

void virtio_device_config_changed(struct virtio_device *device)
{
    device->config_generation++;
    if (virtio_device_active(device))
        interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_device_broken(struct virtio_device *device, const char *why)
{
    if (device->status & VIRTIO_CONFIG_S_NEEDS_RESET)
        return;
    device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    /* §2.1.2: a driver that is not yet up has no handler to tell. */
    if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
        interrupt(device, VIRTIO_MMIO_INT_CONFIG);
    if (!device->reported)
        report_error("virtio-%s: %s", device->ops->name, why);
    device->reported = true;
}
