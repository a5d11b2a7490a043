/* Packets from the guest: each chain is one, written to the TAP straight from guest memory. */
#include <errno.h>
#include <string.h>

#include "vmm/virtio/net_internal.h"

/* A pair whose TAP queue is detached sends by the first one, which never is. */
static int transmit_fd(const struct net_pair *pair)
{
    return pair->attached ? pair->tap_fd : pair->net->pairs[0].tap_fd;
}

/*
 * Return: bytes, also when the packet was dropped (its header lies, or the host does not take it:
 * interface down, no memory), or -EBADFD when the interface is gone.
 */
static ssize_t transmit_one(struct net_pair *pair, const struct virtqueue_chain *chain)
{
    struct iovec *vector = pair->worker->vector;
    struct virtio_net_hdr_v1 header;
    uint64_t length = iov_length(chain->iov, chain->out_count);
    unsigned int count;
    ssize_t ret;

    if (iov_read(chain->iov, chain->out_count, 0, &header, sizeof(header)) < sizeof(header) ||
        !net_header_check_transmit(&header, pair->net->features, length - NET_HEADER_SIZE))
        return NET_HEADER_SIZE;
    vector[0] = (struct iovec) { .iov_base = &header, .iov_len = NET_HEADER_SIZE };
    count = 1 + net_skip_parts(&vector[1], chain->iov, chain->out_count, NET_HEADER_SIZE);
    do {
        ret = writev(transmit_fd(pair), vector, (int)count);
    } while (ret < 0 && errno == EINTR);
    return ret < 0 && errno == EBADFD ? -EBADFD : (ssize_t)length;
}

unsigned int net_transmit_run(struct net_pair *pair)
{
    struct virtqueue *queue = net_transmit_queue(pair);
    struct virtqueue_chain *chain = &pair->worker->chain;
    unsigned int packets = 0, trouble = 0;
    int64_t bytes = 0;
    int ret = 0;

    if (!pair->tx_ready)
        return 0;
    virtqueue_disable_notify(queue);
    do {
        while (packets < NET_TURN_PACKETS && bytes < NET_TURN_BYTES &&
               (ret = virtqueue_pop(queue, chain)) > 0) {
            ssize_t sent = transmit_fd(pair) < 0 ? NET_HEADER_SIZE : transmit_one(pair, chain);

            virtqueue_fill(queue, chain->head, 0);
            if (sent < 0)
                trouble = NET_TROUBLE_GONE;
            packets++;
            bytes += sent > 0 ? sent : 0;
        }
        virtqueue_publish(queue);
    } while (ret == 0 && packets < NET_TURN_PACKETS && bytes < NET_TURN_BYTES &&
             virtqueue_enable_notify(queue));
    net_moved(pair, packets);
    /* Out of budget there may be more; ret tells about the last one only. */
    pair->tx_ready = ret > 0;
    virtio_interrupt(&pair->net->virtio, queue);
    return ret < 0 ? trouble | NET_TROUBLE_BROKEN : trouble;
}
