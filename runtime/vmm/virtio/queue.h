/*
 * Split virtqueues, device side (virtio 1.2 §2.7).
 *
 * Everything in guest memory is hostile: each descriptor is copied once, checked, then used; chains
 * are bounded by the queue size, indirect tables by their own length; what cannot be is answered by
 * marking the queue broken, and the transport then sets DEVICE_NEEDS_RESET.
 */
#ifndef VMRT_VMM_VIRTIO_QUEUE_H
#define VMRT_VMM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/memory.h"

#define QUEUE_SIZE_MAX 1024u
/* A chain never has more parts than the queue has entries (§2.7.5.3.1). */
#define QUEUE_CHAIN_MAX QUEUE_SIZE_MAX

struct virtqueue {
    struct guest_memory *memory;
    /* Set by the transport while the driver configures; frozen once ready. */
    uint16_t size; /* entries, a power of two */
    uint16_t size_max;
    bool ready;
    bool broken;    /* the driver broke the rules: nothing happens here until reset */
    bool event_idx; /* VIRTIO_F_EVENT_IDX was negotiated */
    bool indirect;  /* VIRTIO_F_INDIRECT_DESC was negotiated */
    uint64_t desc_gpa, avail_gpa, used_gpa;
    /* Valid while ready: translated once for their whole length. */
    void *desc, *avail, *used;
    uint16_t last_avail;     /* next entry of the available ring to take */
    uint16_t next_used;      /* next entry of the used ring to fill */
    uint16_t signalled_used; /* value of next_used at the last interrupt (EVENT_IDX) */
    uint64_t in_flight[QUEUE_SIZE_MAX / 64]; /* heads taken and not yet returned */
};

/* One request: the parts the device reads, then the parts it writes, as host pointers. */
struct virtqueue_chain {
    uint16_t head;
    uint16_t out_count; /* parts the device may read: iov[0 .. out_count) */
    uint16_t in_count;  /* parts the device may write: iov[out_count .. out_count + in_count) */
    struct iovec iov[QUEUE_CHAIN_MAX];
};

/**
 * virtqueue_start() - check size and addresses and make the queue usable.
 * Return: 0, or -EINVAL when a ring does not lie in guest memory, is misaligned or has a bad size.
 */
int virtqueue_start(struct virtqueue *queue);
/* Back to the state after machine start; keeps memory and size_max. */
void virtqueue_reset(struct virtqueue *queue);

/**
 * virtqueue_pop() - take the next available chain.
 * Return: 1 with @chain filled in, 0 when there is none, -EIO when the queue is (or was found)
 * broken.
 */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Whether virtqueue_pop() would find something. A guess: the driver may add more at any time. */
bool virtqueue_has_next(const struct virtqueue *queue);

/**
 * virtqueue_push() - return chain @head with @written bytes written.
 * A head that is not in flight is ignored and marks the queue broken.
 */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/*
 * virtqueue_push() in two steps, for chains that the driver must see all at once (mergeable receive
 * buffers, §5.1.6.4): any number of virtqueue_fill(), then virtqueue_publish().
 */
void virtqueue_fill(struct virtqueue *queue, uint16_t head, uint32_t written);
void virtqueue_publish(struct virtqueue *queue);

/*
 * Whether the driver wants an interrupt for what was pushed since the last one (§2.7.7). Call once
 * after a batch; then use virtio_interrupt().
 */
bool virtqueue_wants_interrupt(struct virtqueue *queue);

/*
 * Asks the driver to notify about the next chain; Return: true when one is already there (look
 * again). Pair with virtqueue_disable_notify() around a batch.
 */
bool virtqueue_enable_notify(struct virtqueue *queue);
void virtqueue_disable_notify(struct virtqueue *queue);

/* Total bytes in parts [first, first + count) of @iov. */
uint64_t iov_length(const struct iovec *iov, unsigned int count);
/* Copies from/to scattered parts, starting @offset bytes in. Return: bytes copied. */
size_t iov_read(const struct iovec *iov, unsigned int count, size_t offset, void *to,
                size_t length);
size_t iov_write(const struct iovec *iov, unsigned int count, size_t offset, const void *from,
                 size_t length);

#endif
