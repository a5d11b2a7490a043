/*
 * Packets to the guest.
 *
 * Theory of operation: how long the next packet is, the TAP does not tell. So buffers are taken
 * from the driver until the longest one fits, readv(2) fills them directly, and those that the
 * packet did not need wait for the next one. Behind the buffers the vector ends in `spill`, memory
 * of our own: when the driver is short of buffers, what does not fit lands there, is copied once
 * there are more, and nothing else is read from the TAP meanwhile. After a run of small packets
 * only room for a small one is made, because a long vector costs time on each call; the first large
 * one then goes by the spill.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vmm/virtio/net_internal.h"

#define SMALL_PACKET 2048u /* with header */
#define SMALL_RUN    64u

/* Used entries after which the driver is told at once: it can work on them meanwhile. */
#define UNSAID_MAX 64u

void net_receive_reset(struct net_receive *receive)
{
    receive->first = receive->count = 0;
    receive->parts_begin = receive->parts_end = 0;
    receive->capacity = 0;
    receive->unsaid = 0;
    receive->pending = false;
}

static void flush(struct net_pair *pair)
{
    struct virtqueue *queue = net_receive_queue(pair);

    if (pair->receive.unsaid == 0)
        return;
    pair->receive.unsaid = 0;
    virtqueue_publish(queue);
    virtio_interrupt(&pair->net->virtio, queue);
}

/* The next buffer, in the worker's `chain`. Return: as virtqueue_pop(). */
static int take_buffer(struct net_pair *pair)
{
    struct virtqueue *queue = net_receive_queue(pair);
    struct virtqueue_chain *chain = &pair->worker->chain;
    int ret = virtqueue_pop(queue, chain);

    /* §5.1.6.3.1: room for the header at the very least, in each of them. */
    if (ret > 0 && iov_length(&chain->iov[chain->out_count], chain->in_count) < NET_HEADER_SIZE) {
        queue->broken = true;
        return -EIO;
    }
    return ret;
}

/* Takes buffers until @wanted bytes fit, or there is no more. Return: 0 or -EIO. */
static int prepare(struct net_pair *pair, uint64_t wanted)
{
    struct net_receive *receive = &pair->receive;
    const struct virtqueue_chain *chain = &pair->worker->chain;
    int ret;

    while (receive->capacity < wanted && receive->count < NET_QUEUE_SIZE) {
        struct net_buffer *buffer;

        if (receive->parts_end + NET_QUEUE_SIZE > NET_PARTS_MAX) {
            unsigned int used = receive->parts_end - receive->parts_begin;

            memmove(receive->parts, receive->parts + receive->parts_begin,
                    used * sizeof(receive->parts[0]));
            receive->parts_begin = 0;
            receive->parts_end = used;
            if (used + NET_QUEUE_SIZE > NET_PARTS_MAX)
                return 0; /* so many tiny parts: the spill takes the rest */
        }
        ret = take_buffer(pair);
        if (ret <= 0)
            return ret;
        buffer = &receive->buffers[(receive->first + receive->count++) % NET_QUEUE_SIZE];
        memcpy(&receive->parts[receive->parts_end], &chain->iov[chain->out_count],
               chain->in_count * sizeof(chain->iov[0]));
        receive->parts_end += chain->in_count;
        *buffer = (struct net_buffer) {
            .head = chain->head,
            .parts = chain->in_count,
            .capacity = (uint32_t)iov_length(&chain->iov[chain->out_count], chain->in_count),
        };
        receive->capacity += buffer->capacity;
    }
    return 0;
}

unsigned int net_skip_parts(struct iovec *vector, const struct iovec *iov, unsigned int count,
                            size_t skip)
{
    unsigned int used = 0;

    for (unsigned int i = 0; i < count; i++) {
        if (iov[i].iov_len <= skip) {
            skip -= iov[i].iov_len;
            continue;
        }
        vector[used++] = (struct iovec) { .iov_base = (uint8_t *)iov[i].iov_base + skip,
                                          .iov_len = iov[i].iov_len - skip };
        skip = 0;
    }
    return used;
}

/* Remembers where the header goes that can be written only when the packet is complete. */
static void save_header_place(struct net_receive *receive, const struct iovec *parts,
                              unsigned int count)
{
    if (count > sizeof(struct virtio_net_hdr_v1))
        count = sizeof(struct virtio_net_hdr_v1);
    memcpy(receive->header_parts, parts, count * sizeof(parts[0]));
    receive->header_count = count;
}

static void use_buffer(struct net_receive *receive, uint16_t head, uint32_t written)
{
    receive->used[receive->used_count++] =
        (struct net_buffer) { .head = head, .capacity = written };
}

/* Accounts for @length bytes, header included, in the buffers that readv(2) has filled. */
static void use_prepared(struct net_receive *receive, uint32_t length)
{
    receive->used_count = 0;
    save_header_place(receive, &receive->parts[receive->parts_begin],
                      receive->parts_end - receive->parts_begin);
    while (length > 0 && receive->count > 0) {
        const struct net_buffer *buffer = &receive->buffers[receive->first];
        uint32_t written = length < buffer->capacity ? length : buffer->capacity;

        use_buffer(receive, buffer->head, written);
        receive->parts_begin += buffer->parts;
        receive->capacity -= buffer->capacity;
        receive->first = (receive->first + 1) % NET_QUEUE_SIZE;
        receive->count--;
        length -= written;
    }
}

/* Gives the packet to the driver: all of its buffers at once, which the driver relies on. */
static void deliver(struct net_pair *pair)
{
    struct net_receive *receive = &pair->receive;

    receive->header.num_buffers = htole16((uint16_t)receive->used_count);
    iov_write(receive->header_parts, receive->header_count, 0, &receive->header, NET_HEADER_SIZE);
    for (unsigned int i = 0; i < receive->used_count; i++)
        virtqueue_fill(net_receive_queue(pair), receive->used[i].head, receive->used[i].capacity);
    receive->unsaid += receive->used_count;
    receive->pending = false;
    if (receive->unsaid >= UNSAID_MAX)
        flush(pair);
}

/*
 * Puts what is in the spill into further buffers and delivers the packet. Return: 1, 0 when there
 * are not enough yet, or -EIO.
 */
static int finish(struct net_pair *pair)
{
    struct net_receive *receive = &pair->receive;
    const struct virtqueue_chain *chain = &pair->worker->chain;

    while (receive->spill_begin < receive->spill_end) {
        int ret;

        /* All the driver has: it will never fit. Given back empty, which the driver survives. */
        if (receive->used_count >= net_receive_queue(pair)->size) {
            for (unsigned int i = 0; i < receive->used_count; i++)
                virtqueue_fill(net_receive_queue(pair), receive->used[i].head, 0);
            receive->unsaid += receive->used_count;
            receive->pending = false;
            return 1;
        }
        ret = take_buffer(pair);
        if (ret <= 0)
            return ret;
        use_buffer(receive, chain->head,
                   (uint32_t)iov_write(&chain->iov[chain->out_count], chain->in_count, 0,
                                       receive->spill + receive->spill_begin,
                                       receive->spill_end - receive->spill_begin));
        receive->spill_begin += receive->used[receive->used_count - 1].capacity;
    }
    deliver(pair);
    return 1;
}

/* Lets `large` follow what comes in. @length: with header. */
static void learn(struct net_receive *receive, uint32_t length)
{
    if (length > SMALL_PACKET) {
        receive->large = true;
        receive->small = 0;
    } else if (++receive->small >= SMALL_RUN) {
        receive->large = false;
    }
}

/* Builds the vector: header of our own, the buffers, the spill. Return: its parts. */
static unsigned int build_vector(struct net_pair *pair)
{
    struct net_receive *receive = &pair->receive;
    struct iovec *vector = pair->worker->vector;
    unsigned int count = 1;

    vector[0] = (struct iovec) { .iov_base = &receive->header, .iov_len = NET_HEADER_SIZE };
    count += net_skip_parts(&vector[1], &receive->parts[receive->parts_begin],
                            receive->parts_end - receive->parts_begin, NET_HEADER_SIZE);
    vector[count++] = (struct iovec) { .iov_base = receive->spill, .iov_len = NET_PACKET_MAX };
    return count;
}

/*
 * Reads one packet and delivers it, unless it is not wanted.
 * Return: its bytes, 0 when there is none, -EAGAIN when the driver has to give buffers first, -EIO
 * when the driver broke the queue, or -EBADFD when the interface is gone.
 */
static ssize_t receive_one(struct net_pair *pair)
{
    struct net_receive *receive = &pair->receive;
    const struct net *net = pair->net;
    bool mergeable = net->features & NET_FEATURE(MRG_RXBUF);
    uint8_t address[ETH_ALEN];
    unsigned int count;
    ssize_t length;
    int ret;

    ret = prepare(pair, !mergeable ? 1 : receive->large ? NET_PACKET_MAX : SMALL_PACKET);
    if (ret < 0)
        return ret;
    if (receive->count == 0)
        return -EAGAIN;
    count = build_vector(pair);
    do {
        length = readv(pair->tap_fd, pair->worker->vector, (int)count);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        if (errno == EFAULT || errno == EINVAL)
            return 1; /* longer than any packet may be, or odd: the TAP has dropped it */
        /* Whatever else it is, short of memory say, passes: the next packet is the next try. */
        pair->tap_ready = false;
        return errno == EBADFD ? -EBADFD : 0;
    }
    if (length == 0)
        return -EBADFD;
    /* The buffers stay where they are, for the next packet. */
    if (length < (ssize_t)(NET_HEADER_SIZE + ETH_ALEN) ||
        iov_read(&pair->worker->vector[1], count - 1, 0, address, ETH_ALEN) < ETH_ALEN ||
        !net_filter_wants(&net->filter, address) ||
        !net_header_check_receive(&receive->header, net->offloads))
        return length;
    learn(receive, (uint32_t)length);
    receive->spill_begin = receive->spill_end = 0;
    if ((uint64_t)length > receive->capacity) {
        if (!mergeable)
            return length; /* §5.1.6.4: a packet is not cut */
        receive->spill_end = (uint32_t)((uint64_t)length - receive->capacity);
    }
    use_prepared(receive, (uint32_t)length);
    receive->pending = true;
    ret = finish(pair);
    return ret < 0 ? ret : ret > 0 ? length : -EAGAIN;
}

/* Waits for buffers, unless there are some after all. */
static void starve(struct net_pair *pair)
{
    pair->starved = !virtqueue_enable_notify(net_receive_queue(pair));
}

bool net_receive_ready(const struct net_pair *pair)
{
    bool readable = pair->attached && pair->tap_ready && pair->tap_fd >= 0;

    return (readable || pair->receive.pending) && !pair->starved;
}

unsigned int net_receive_run(struct net_pair *pair)
{
    unsigned int packets = 0, trouble = 0;
    int64_t bytes = 0;
    ssize_t ret = 1;

    /* A pair that waits for buffers needs to hear of them (§2.7.10), whatever the turn is for. */
    if (!pair->starved)
        virtqueue_disable_notify(net_receive_queue(pair));
    while (packets < NET_TURN_PACKETS && bytes < NET_TURN_BYTES && net_receive_ready(pair)) {
        if (pair->receive.pending) {
            ret = finish(pair);
            ret = ret == 0 ? -EAGAIN : ret;
        } else {
            ret = receive_one(pair);
        }
        if (ret == -EAGAIN)
            starve(pair);
        else if (ret <= 0)
            break;
        packets++;
        bytes += ret > 0 ? ret : 0;
    }
    net_moved(pair, packets);
    flush(pair);
    if (net_receive_queue(pair)->broken)
        trouble = NET_TROUBLE_BROKEN;
    else if (ret == -EBADFD)
        trouble = NET_TROUBLE_GONE;
    return trouble;
}
