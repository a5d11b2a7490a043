/* vsock packets to the guest: control packets, data, and the guest's credit. */
#include "vmm/virtio/vsock_internal.h"

#include <endian.h>

/* Largest payload of one packet, as in Linux (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE). */
#define PAYLOAD_MAX (64u << 10)

/* Control packets, lowest bit first. */
static const struct {
    unsigned int bit;
    uint16_t op;
    uint32_t flags;
} pending_packets[] = {
    { PENDING_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE, 0 },
    { PENDING_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0 },
    { PENDING_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0 },
    { PENDING_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND },
    { PENDING_RST, VIRTIO_VSOCK_OP_RST, 0 },
};

void transmit_add(struct vsock_connection *connection, unsigned int pending)
{
    if (connection->pending == 0)
        TAILQ_INSERT_TAIL(&connection->vsock->pending, connection, pending_link);
    connection->pending |= pending;
}

static void remove_pending(struct vsock_connection *connection, unsigned int pending)
{
    if (connection->pending == 0)
        return;
    connection->pending &= ~pending;
    if (connection->pending == 0)
        TAILQ_REMOVE(&connection->vsock->pending, connection, pending_link);
}

void transmit_clear(struct vsock_connection *connection)
{
    remove_pending(connection, ~0u);
}

void transmit_block(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    if (connection->blocked)
        return;
    connection->blocked = true;
    connection->wake_round = vsock->wake_round;
    TAILQ_INSERT_TAIL(&vsock->blocked, connection, blocked_link);
}

void transmit_unblock(struct vsock_connection *connection)
{
    if (connection->blocked)
        TAILQ_REMOVE(&connection->vsock->blocked, connection, blocked_link);
    connection->blocked = false;
}

/* Takes a receive buffer; when there is none, asks the driver to notify about the next. */
static bool take_buffer(struct vsock *vsock, struct virtqueue_chain *chain)
{
    struct virtqueue *rx = &vsock->device.queues[VSOCK_QUEUE_RX];
    int ret;

    if (!virtio_device_active(&vsock->device))
        return false;
    while ((ret = virtqueue_pop(rx, chain)) == 0) {
        vsock->rx_listening = true;
        if (!virtqueue_enable_notify(rx))
            return false;
    }
    if (ret < 0) {
        vsock_break(vsock, "the driver broke the rules of virtqueues");
        return false;
    }
    if (iov_length(&chain->iov[chain->out_count], chain->in_count) <=
        sizeof(struct virtio_vsock_hdr)) {
        vsock_break(vsock, "the driver gave a receive buffer without room for a packet");
        return false;
    }
    if (vsock->rx_listening)
        virtqueue_disable_notify(rx);
    vsock->rx_listening = false;
    return true;
}

void transmit_listen(struct vsock *vsock)
{
    if (vsock->stray_count == 0 && TAILQ_EMPTY(&vsock->pending) && TAILQ_EMPTY(&vsock->blocked))
        return;
    vsock->rx_listening = true;
    if (virtqueue_enable_notify(&vsock->device.queues[VSOCK_QUEUE_RX]))
        virtio_device_kick_again(&vsock->device);
}

/* Fills a receive buffer that has room for it and gives it back. */
static void put_packet(struct vsock *vsock, const struct virtqueue_chain *chain,
                       const struct virtio_vsock_hdr *header, const uint8_t *data, size_t length)
{
    const struct iovec *parts = &chain->iov[chain->out_count];

    iov_write(parts, chain->in_count, 0, header, sizeof(*header));
    iov_write(parts, chain->in_count, sizeof(*header), data, length);
    virtqueue_push(&vsock->device.queues[VSOCK_QUEUE_RX], chain->head,
                   (uint32_t)(sizeof(*header) + length));
}

/* A header for @connection; every one of them tells the guest its credit. */
static struct virtio_vsock_hdr make_header(struct vsock_connection *connection, uint16_t op,
                                           uint32_t flags, size_t length)
{
    connection->consumed_told = connection->consumed;
    return (struct virtio_vsock_hdr) {
        .src_cid = htole64(VSOCK_HOST_CID),
        .dst_cid = htole64(VSOCK_GUEST_CID),
        .src_port = htole32(connection->host_port),
        .dst_port = htole32(connection->guest_port),
        .len = htole32((uint32_t)length),
        .type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
        .op = htole16(op),
        .flags = htole32(flags),
        .buf_alloc = htole32(VSOCK_BUFFER_SIZE),
        .fwd_cnt = htole32(connection->consumed),
    };
}

bool transmit_stray_room(const struct vsock *vsock)
{
    return vsock->stray_count < VSOCK_STRAYS_MAX;
}

void transmit_stray(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
    unsigned int last = (vsock->stray_first + vsock->stray_count) % VSOCK_STRAYS_MAX;

    vsock->strays[last] = (struct vsock_stray) {
        .source_cid = le64toh(header->dst_cid),
        .source_port = le32toh(header->dst_port),
        .target_port = le32toh(header->src_port),
        .type = le16toh(header->type),
    };
    vsock->stray_count++;
}

static void send_stray(struct vsock *vsock, const struct virtqueue_chain *chain)
{
    const struct vsock_stray *stray = &vsock->strays[vsock->stray_first];
    const struct virtio_vsock_hdr header = {
        .src_cid = htole64(stray->source_cid),
        .dst_cid = htole64(VSOCK_GUEST_CID),
        .src_port = htole32(stray->source_port),
        .dst_port = htole32(stray->target_port),
        .type = htole16(stray->type),
        .op = htole16(VIRTIO_VSOCK_OP_RST),
    };

    vsock->stray_first = (vsock->stray_first + 1) % VSOCK_STRAYS_MAX;
    vsock->stray_count--;
    put_packet(vsock, chain, &header, NULL, 0);
}

static void send_pending(struct vsock_connection *connection, const struct virtqueue_chain *chain)
{
    struct vsock *vsock = connection->vsock;
    struct virtio_vsock_hdr header;
    size_t i = 0;

    while (!(connection->pending & pending_packets[i].bit))
        i++;
    header = make_header(connection, pending_packets[i].op, pending_packets[i].flags, 0);
    put_packet(vsock, chain, &header, NULL, 0);
    remove_pending(connection, pending_packets[i].bit);
    if (connection->pending == 0 && connection->state == VSOCK_RELEASED)
        vsock->reap = true;
}

void transmit_flush(struct vsock *vsock)
{
    struct virtqueue_chain chain;

    while (vsock->stray_count > 0 && take_buffer(vsock, &chain))
        send_stray(vsock, &chain);
    while (!TAILQ_EMPTY(&vsock->pending) && take_buffer(vsock, &chain))
        send_pending(TAILQ_FIRST(&vsock->pending), &chain);
}

/* Bytes that the guest has room for. It may take room back: then there are none for a while. */
static uint32_t peer_credit(const struct vsock_connection *connection)
{
    uint32_t in_flight = connection->sent - connection->peer_consumed;

    return connection->peer_buffer > in_flight ? connection->peer_buffer - in_flight : 0;
}

void transmit_take_credit(struct vsock_connection *connection,
                          const struct virtio_vsock_hdr *header)
{
    uint32_t consumed = le32toh(header->fwd_cnt);

    connection->peer_buffer = le32toh(header->buf_alloc);
    /*
     * It can only have consumed what was sent. Anything else is a lie, or old: a Linux guest with
     * several threads on a socket may send a header after one that it filled in later.
     */
    if (consumed - connection->peer_consumed <= connection->sent - connection->peer_consumed)
        connection->peer_consumed = consumed;
    if (connection->starved && peer_credit(connection) > 0) {
        connection->starved = false;
        transmit_block(connection);
    }
    transmit_give_credit(connection); /* a smaller buffer_alloc needs to be told more often */
}

void transmit_give_credit(struct vsock_connection *connection)
{
    uint32_t untold = connection->consumed - connection->consumed_told;
    uint32_t window = VSOCK_BUFFER_SIZE;

    /* Linux keeps no more in flight than its own buffer holds, whatever it is offered. */
    if (connection->peer_buffer < window)
        window = connection->peer_buffer;
    if (untold > 0 && untold >= window / 2 && !connection->guest_sent_eof)
        transmit_add(connection, PENDING_CREDIT_UPDATE);
}

/* One packet with as much of the data as fits. Return: bytes sent. */
static size_t send_piece(struct vsock_connection *connection, const struct virtqueue_chain *chain,
                         const uint8_t *data, size_t length)
{
    uint64_t room = iov_length(&chain->iov[chain->out_count], chain->in_count) -
                    sizeof(struct virtio_vsock_hdr);
    struct virtio_vsock_hdr header;

    if (length > room)
        length = (size_t)room;
    if (length > PAYLOAD_MAX)
        length = PAYLOAD_MAX;
    if (length > peer_credit(connection))
        length = peer_credit(connection);
    header = make_header(connection, VIRTIO_VSOCK_OP_RW, 0, length);
    put_packet(connection->vsock, chain, &header, data, length);
    connection->sent += (uint32_t)length;
    return length;
}

size_t transmit_data(struct vsock_connection *connection, const uint8_t *data, size_t length)
{
    struct virtqueue_chain chain;
    size_t taken = 0;

    transmit_flush(connection->vsock);
    if (length > 0 &&
        (connection->state == VSOCK_ACCEPTING || connection->pending & PENDING_RESPONSE)) {
        transmit_block(connection);
        return 0;
    }
    while (taken < length && connection->state == VSOCK_OPEN) {
        if (peer_credit(connection) == 0) {
            if (!connection->starved)
                transmit_add(connection, PENDING_CREDIT_REQUEST);
            connection->starved = true;
            transmit_flush(connection->vsock);
            break;
        }
        if (!take_buffer(connection->vsock, &chain)) {
            if (connection->state == VSOCK_OPEN)
                transmit_block(connection);
            break;
        }
        taken += send_piece(connection, &chain, data + taken, length - taken);
    }
    return taken;
}
