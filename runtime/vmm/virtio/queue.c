/*
 * Split virtqueues: walking descriptor chains that a hostile driver may change at any moment.
 *
 * Theory of operation: the three rings are translated once, when the driver declares the queue
 * ready, and never looked up again. virtqueue_pop() loads each field of a descriptor exactly once
 * (an atomic load, so that the compiler cannot load it again), checks the copy, and hands out host
 * pointers. What no honest driver does marks the queue broken; nothing is then taken from it or
 * returned to it until the driver resets the device.
 */
#include "vmm/virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

/* Byte offsets within the available and used rings (virtio 1.2 §2.7.6, §2.7.8). */
#define RING_FLAGS       0u
#define RING_INDEX       2u
#define RING_ENTRIES     4u
#define AVAIL_ENTRY_SIZE 2u
#define USED_ENTRY_SIZE  8u
/* flags, idx, and used_event or avail_event behind the entries. */
#define RING_OVERHEAD 6u

static uint16_t load_relaxed(const void *ring, size_t offset)
{
    const void *p = (const uint8_t *)ring + offset;

    return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
}

static uint16_t load_acquire(const void *ring, size_t offset)
{
    const void *p = (const uint8_t *)ring + offset;

    return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static void store_release(void *ring, size_t offset, uint16_t value)
{
    void *p = (uint8_t *)ring + offset;

    __atomic_store_n((uint16_t *)p, htole16(value), __ATOMIC_RELEASE);
}

static bool head_in_flight(const struct virtqueue *queue, uint16_t head)
{
    return queue->in_flight[head / 64] >> head % 64 & 1;
}

static int break_queue(struct virtqueue *queue)
{
    queue->broken = true;
    return -EIO;
}

int virtqueue_start(struct virtqueue *queue)
{
    uint32_t size = queue->size;

    if (queue->ready || size == 0 || size > queue->size_max || size > QUEUE_SIZE_MAX ||
        (size & (size - 1)) != 0)
        return -EINVAL;
    /* Alignments of §2.7: 16 bytes, 2 bytes, 4 bytes. */
    if (queue->desc_gpa % 16 || queue->avail_gpa % 2 || queue->used_gpa % 4)
        return -EINVAL;
    queue->desc =
        memory_translate(queue->memory, queue->desc_gpa, sizeof(struct vring_desc) * size);
    queue->avail =
        memory_translate(queue->memory, queue->avail_gpa, RING_OVERHEAD + AVAIL_ENTRY_SIZE * size);
    queue->used =
        memory_translate(queue->memory, queue->used_gpa, RING_OVERHEAD + USED_ENTRY_SIZE * size);
    if (!queue->desc || !queue->avail || !queue->used) {
        queue->desc = queue->avail = queue->used = NULL;
        return -EINVAL;
    }
    queue->last_avail = queue->next_used = queue->signalled_used = 0;
    queue->broken = false;
    memset(queue->in_flight, 0, sizeof(queue->in_flight));
    queue->ready = true;
    return 0;
}

void virtqueue_reset(struct virtqueue *queue)
{
    *queue = (struct virtqueue) { .memory = queue->memory, .size_max = queue->size_max };
}

/* A table of descriptors: the queue's own, or an indirect one. */
struct table {
    const struct vring_desc *entries;
    uint32_t count;
    bool indirect;
};

/* The one copy of a descriptor; everything is decided on it (§2.7.5). */
static struct vring_desc load_descriptor(const struct vring_desc *entry)
{
    return (struct vring_desc) {
        .addr = le64toh(__atomic_load_n(&entry->addr, __ATOMIC_RELAXED)),
        .len = le32toh(__atomic_load_n(&entry->len, __ATOMIC_RELAXED)),
        .flags = le16toh(__atomic_load_n(&entry->flags, __ATOMIC_RELAXED)),
        .next = le16toh(__atomic_load_n(&entry->next, __ATOMIC_RELAXED)),
    };
}

/* Turns from the queue's own table to the indirect one that @desc names (§2.7.5.3). */
static int enter_indirect(const struct virtqueue *queue, const struct vring_desc *desc,
                          struct table *table)
{
    if (!queue->indirect || table->indirect || desc->flags & VRING_DESC_F_NEXT)
        return -EIO;
    /* Fields must be naturally aligned for single loads; `next` cannot name more than 2^16. */
    if (desc->addr % 8 || desc->len == 0 || desc->len % sizeof(struct vring_desc) ||
        desc->len / sizeof(struct vring_desc) > 65536)
        return -EIO;
    table->entries = memory_translate(queue->memory, desc->addr, desc->len);
    table->count = desc->len / sizeof(struct vring_desc);
    table->indirect = true;
    return table->entries ? 0 : -EIO;
}

static int add_part(const struct virtqueue *queue, struct virtqueue_chain *chain,
                    const struct vring_desc *desc, uint64_t *total)
{
    bool writable = desc->flags & VRING_DESC_F_WRITE;
    void *data = memory_translate(queue->memory, desc->addr, desc->len);
    struct iovec *part = &chain->iov[chain->out_count + chain->in_count];

    /* §2.7.4.2: what the device writes comes after all that it reads. */
    if (!data || (!writable && chain->in_count))
        return -EIO;
    /* §2.7.5.2: at most 2^32 bytes in total; the used ring could not tell more either. */
    *total += desc->len;
    if (*total > UINT32_MAX)
        return -EIO;
    if (desc->len == 0)
        return 0; /* allowed, but carries nothing */
    *part = (struct iovec) { .iov_base = data, .iov_len = desc->len };
    if (writable)
        chain->in_count++;
    else
        chain->out_count++;
    return 0;
}

/* Fills @chain from descriptor chain->head on. At most queue->size parts (§2.7.5.3.1). */
static int walk_chain(const struct virtqueue *queue, struct virtqueue_chain *chain)
{
    struct table table = { .entries = queue->desc, .count = queue->size };
    uint32_t index = chain->head, left = queue->size;
    uint64_t total = 0;

    while (left > 0) {
        struct vring_desc desc;

        if (index >= table.count)
            return -EIO;
        desc = load_descriptor(&table.entries[index]);
        if (desc.flags & VRING_DESC_F_INDIRECT) {
            /* Not a part itself, and a second one is refused. */
            if (enter_indirect(queue, &desc, &table) < 0)
                return -EIO;
            index = 0;
            continue;
        }
        if (add_part(queue, chain, &desc, &total) < 0)
            return -EIO;
        if (!(desc.flags & VRING_DESC_F_NEXT))
            return 0;
        index = desc.next;
        left--;
    }
    return -EIO; /* a loop, or a chain longer than the queue */
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    uint16_t waiting, head;

    if (queue->broken)
        return -EIO;
    if (!queue->ready)
        return 0;
    waiting = (uint16_t)(load_acquire(queue->avail, RING_INDEX) - queue->last_avail);
    if (waiting == 0)
        return 0;
    if (waiting > queue->size) /* §2.7.13.3: more than the ring can hold */
        return break_queue(queue);
    head = load_relaxed(queue->avail,
                        RING_ENTRIES + AVAIL_ENTRY_SIZE * (queue->last_avail & (queue->size - 1u)));
    if (head >= queue->size || head_in_flight(queue, head))
        return break_queue(queue);
    chain->head = head;
    chain->out_count = chain->in_count = 0;
    if (walk_chain(queue, chain) < 0)
        return break_queue(queue);
    queue->in_flight[head / 64] |= 1ull << head % 64;
    queue->last_avail++;
    return 1;
}

bool virtqueue_has_next(const struct virtqueue *queue)
{
    return queue->ready && !queue->broken &&
           load_acquire(queue->avail, RING_INDEX) != queue->last_avail;
}

void virtqueue_fill(struct virtqueue *queue, uint16_t head, uint32_t written)
{
    uint32_t *entry;

    if (queue->broken || !queue->ready)
        return;
    if (head >= queue->size || !head_in_flight(queue, head)) {
        break_queue(queue);
        return;
    }
    queue->in_flight[head / 64] &= ~(1ull << head % 64);
    entry = (void *)((uint8_t *)queue->used + RING_ENTRIES +
                     (size_t)USED_ENTRY_SIZE * (queue->next_used & (queue->size - 1u)));
    __atomic_store_n(&entry[0], htole32(head), __ATOMIC_RELAXED);
    __atomic_store_n(&entry[1], htole32(written), __ATOMIC_RELAXED);
    queue->next_used++;
}

void virtqueue_publish(struct virtqueue *queue)
{
    if (!queue->broken && queue->ready)
        store_release(queue->used, RING_INDEX, queue->next_used);
}

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
    virtqueue_fill(queue, head, written);
    virtqueue_publish(queue);
}

bool virtqueue_wants_interrupt(struct virtqueue *queue)
{
    uint16_t before = queue->signalled_used, now = queue->next_used, event;

    if (!queue->ready || queue->broken || before == now)
        return false;
    queue->signalled_used = now;
    /* The driver writes its wish, then looks at the used index; here it is the other way round. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!queue->event_idx)
        return !(load_relaxed(queue->avail, RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
    event = load_relaxed(queue->avail, RING_ENTRIES + (size_t)AVAIL_ENTRY_SIZE * queue->size);
    return vring_need_event(event, now, before);
}

bool virtqueue_enable_notify(struct virtqueue *queue)
{
    if (!queue->ready || queue->broken)
        return false;
    if (queue->event_idx)
        store_release(queue->used, RING_ENTRIES + (size_t)USED_ENTRY_SIZE * queue->size,
                      queue->last_avail);
    else
        store_release(queue->used, RING_FLAGS, 0);
    /* The store must be seen before the index is read, or a notification could be lost (§2.7.10).
     */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virtqueue_has_next(queue);
}

void virtqueue_disable_notify(struct virtqueue *queue)
{
    /* With EVENT_IDX the driver notifies once per virtqueue_enable_notify() anyway. */
    if (queue->ready && !queue->broken && !queue->event_idx)
        store_release(queue->used, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

uint64_t iov_length(const struct iovec *iov, unsigned int count)
{
    uint64_t total = 0;

    for (unsigned int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

/* Calls memcpy for each piece; @to_parts tells the direction. */
static size_t iov_copy(const struct iovec *iov, unsigned int count, size_t offset, uint8_t *flat,
                       size_t length, bool to_parts)
{
    size_t done = 0;

    for (unsigned int i = 0; i < count && done < length; i++) {
        size_t piece = iov[i].iov_len;
        uint8_t *part = iov[i].iov_base;

        if (offset >= piece) {
            offset -= piece;
            continue;
        }
        part += offset;
        piece -= offset;
        offset = 0;
        if (piece > length - done)
            piece = length - done;
        if (to_parts)
            memcpy(part, flat + done, piece);
        else
            memcpy(flat + done, part, piece);
        done += piece;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, unsigned int count, size_t offset, void *to, size_t length)
{
    return iov_copy(iov, count, offset, to, length, false);
}

size_t iov_write(const struct iovec *iov, unsigned int count, size_t offset, const void *from,
                 size_t length)
{
    return iov_copy(iov, count, offset, (uint8_t *)(uintptr_t)from, length, true);
}
