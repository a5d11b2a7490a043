/*
 * What a virtio device is to the transport, and the transport to a device.
 *
 * Threads: register accesses come from vCPU threads, queue work from the thread whose loop watches
 * `kick_fd`. `lock` is held by the transport around changes of status, queues and features, and by
 * the device's thread around queue work, so that a reset never meets work in progress. A device
 * whose queues have threads of their own has a lock for each, and lends them by ops->hold. The
 * interrupt registers are atomic and need no lock.
 */
#ifndef VMRT_VMM_VIRTIO_DEVICE_H
#define VMRT_VMM_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/virtio/queue.h"

/* A NIC of 8 queue pairs: two queues each, and one for control. */
#define DEVICE_QUEUES_MAX 17

struct virtio_device;

struct virtio_ops {
    const char *name; /* "rng", "vsock", … for messages */
    uint32_t id;      /* virtio 1.2 §5: device type */
    uint16_t queue_count;
    uint16_t queue_size;      /* largest size offered, entries */
    uint64_t features;        /* offered besides VIRTIO_F_VERSION_1, INDIRECT_DESC and EVENT_IDX */
    uint64_t features_needed; /* of these, what a driver must take (§2.2.2) */
    /*
     * Device configuration space: copies [offset, offset + length); out of range reads as 0.
     * NULL: there is none.
     */
    void (*read_config)(struct virtio_device *device, uint32_t offset, void *data, uint32_t length);
    /* The driver finished (DRIVER_OK): queues are ready. May be NULL. */
    void (*activate)(struct virtio_device *device);
    /* The driver reset the device: forget requests and connections. May be NULL. */
    void (*reset)(struct virtio_device *device);
    /*
     * The driver takes queue @index back without a reset (QueueReady): when this returns nobody
     * works on it or on buffers taken from it. May be NULL: no buffer outlives the lock.
     */
    void (*stop_queue)(struct virtio_device *device, unsigned int index);
    /* The driver notified: look at every queue. Called with the lock held, in the device's thread.
     */
    void (*kick)(struct virtio_device *device);
    /*
     * Like kick and before it, but also while the driver is not ready: finishes what a reset, which
     * comes in a vCPU's thread, left to this one. May be NULL.
     */
    void (*settle)(struct virtio_device *device);
    /*
     * Around every register write that may change queues, status or features, with the lock held:
     * hold(true) returns once no thread works on a queue, and none does until hold(false). May be
     * NULL: nobody works on a queue without the lock.
     */
    void (*hold)(struct virtio_device *device, bool held);
};

/* Embedded as first member of each device's own struct. */
struct virtio_device {
    const struct virtio_ops *ops;
    struct guest_memory *memory;
    pthread_mutex_t lock;
    struct virtqueue queues[DEVICE_QUEUES_MAX];
    int kick_fd;      /* eventfd that KVM signals on QUEUE_NOTIFY; EFD_NONBLOCK */
    int interrupt_fd; /* eventfd that the kernel signals, or this process for want of `raise` */
    void (*raise)(void *line); /* raises the slot's interrupt, in any thread */
    void *line;
    /* Transport registers (virtio 1.2 §4.2.2). */
    uint32_t status;
    uint32_t features_select, driver_features_select, queue_select;
    uint64_t driver_features;
    uint32_t interrupt_status; /* atomic: bit 0 used buffer, bit 1 configuration change */
    /*
     * Bits of interrupt_status that read as set whatever it says; atomic. For interrupts that are
     * raised by another than this process, which cannot set the bit first.
     */
    uint32_t interrupt_always;
    uint32_t config_generation;
    bool reported; /* one line about a broken driver was written; there will be no second */
};

/**
 * virtio_device_init() - prepare the common part.
 * @kick_fd, @interrupt_fd: owned by the caller (the machine's slot).
 *
 * The lock is recursive: services are called with it held and call the device back.
 */
void virtio_device_init(struct virtio_device *device, const struct virtio_ops *ops,
                        struct guest_memory *memory, int kick_fd, int interrupt_fd);

/* Makes interrupts go to raise(@line); before the driver can be there. */
void virtio_device_connect(struct virtio_device *device, void (*raise)(void *line), void *line);

/* Drains the kick eventfd and, when DRIVER_OK is set, runs ops->kick under the lock. */
void virtio_device_kicked(struct virtio_device *device);

/* Makes the device's thread come back to virtio_device_kicked() after its other work. */
void virtio_device_kick_again(struct virtio_device *device);

/**
 * virtio_device_serve() - what kick does for a queue whose requests are done at once.
 * @budget: chains to take at most; when there may be more, the device kicks itself, so that a busy
 *          driver cannot keep the thread from its other work.
 * @handle: answers one chain. Return: bytes written to its device-writable parts.
 */
void virtio_device_serve(struct virtio_device *device, struct virtqueue *queue, unsigned int budget,
                         uint32_t (*handle)(struct virtio_device *device,
                                            const struct virtqueue_chain *chain));

/* read_config of a device whose configuration is the @size bytes at @config. */
void virtio_config_copy(const void *config, uint32_t size, uint32_t offset, void *data,
                        uint32_t length);

/* Interrupts the driver if @queue wants it; call after pushing a batch. */
void virtio_interrupt(struct virtio_device *device, struct virtqueue *queue);

/*
 * The configuration space changed: the driver is told to read it again (§2.5.3). Call with the lock
 * held. Says nothing to a driver that is not ready yet, which reads it anyway.
 */
void virtio_device_config_changed(struct virtio_device *device);

/* Releases what virtio_device_init() took; every user of the lock is gone. */
void virtio_device_destroy(struct virtio_device *device);

/*
 * A queue was found broken: sets DEVICE_NEEDS_RESET and tells the driver (§2.1.2), and the first
 * time in the device's life reports @why (vmm/report.h).
 */
void virtio_device_broken(struct virtio_device *device, const char *why);

/* True between DRIVER_OK and reset, unless the device is broken. */
bool virtio_device_active(const struct virtio_device *device);

/*
 * One register access of a vCPU to a slot's 4 KiB window. @device NULL is an empty slot: DeviceID
 * reads as 0 and the driver leaves (§4.2.2, placeholder).
 */
void virtio_mmio_read(struct virtio_device *device, uint32_t offset, void *data, uint32_t length);
void virtio_mmio_write(struct virtio_device *device, uint32_t offset, const void *data,
                       uint32_t length);

#endif
