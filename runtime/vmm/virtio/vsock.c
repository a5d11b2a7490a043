/* The vsock device: packets from the guest, and the service that is told about them. */
#include "vmm/virtio/vsock_internal.h"

#include <endian.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#define VSOCK_QUEUE_SIZE 128u
/* Packets taken from the guest in one kick; then the thread's other work has its turn. */
#define VSOCK_KICK_MAX 256u

void vsock_enter(struct vsock *vsock)
{
    pthread_mutex_lock(&vsock->device.lock);
    vsock->depth++;
}

static void interrupt_driver(struct vsock *vsock)
{
    virtio_interrupt(&vsock->device, &vsock->device.queues[VSOCK_QUEUE_RX]);
    virtio_interrupt(&vsock->device, &vsock->device.queues[VSOCK_QUEUE_TX]);
}

void vsock_leave(struct vsock *vsock)
{
    if (vsock->depth == 1) {
        connection_reap(vsock);
        interrupt_driver(vsock);
        /* Events of a call from outside are delivered by the next kick. */
        if (!TAILQ_EMPTY(&vsock->events))
            virtio_device_kick_again(&vsock->device);
    }
    vsock->depth--;
    pthread_mutex_unlock(&vsock->device.lock);
}

static void drop_all(struct vsock *vsock)
{
    struct vsock_connection *connection;

    for (connection = TAILQ_FIRST(&vsock->connections); connection;
         connection = TAILQ_NEXT(connection, all))
        connection_drop(connection);
    vsock->stray_count = 0;
    vsock->rx_listening = false;
}

void vsock_break(struct vsock *vsock, const char *why)
{
    virtio_device_broken(&vsock->device, why);
    drop_all(vsock);
}

/* OP_REQUEST: asks the service. */
static void open_connection(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
    uint32_t port = le32toh(header->dst_port);
    struct vsock_connection *connection = connection_create(vsock, le32toh(header->src_port), port);
    int ret;

    if (!connection) {
        transmit_stray(vsock, header);
        return;
    }
    transmit_take_credit(connection, header);
    ret = vsock->service->accept(vsock->service_context, connection, port);
    if (connection->state != VSOCK_ACCEPTING)
        return; /* the service broke it */
    if (ret < 0) {
        connection_release(connection);
        return;
    }
    connection->state = VSOCK_OPEN;
    transmit_add(connection, PENDING_RESPONSE);
}

/* OP_RW: @parts holds the packet. */
static void take_data(struct vsock_connection *connection, const struct virtio_vsock_hdr *header,
                      const struct iovec *parts, unsigned int count)
{
    uint32_t length = le32toh(header->len);

    if (length == 0)
        return;
    if (length > iov_length(parts, count) - sizeof(*header) || connection->guest_sent_eof ||
        connection_receive(connection, parts, count, sizeof(*header), length) < 0)
        connection_abort(connection);
    else
        connection_add_event(connection, EVENT_READABLE);
}

/* OP_SHUTDOWN: an RST answers the end of both directions (§5.10.6.5); Linux waits for it. */
static void take_shutdown(struct vsock_connection *connection, uint32_t flags)
{
    bool had_eof = connection->guest_sent_eof, had_no_more = connection->guest_receives_no_more;

    connection->guest_sent_eof |= (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
    connection->guest_receives_no_more |= (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0;
    if (had_eof == connection->guest_sent_eof && had_no_more == connection->guest_receives_no_more)
        return;
    if (connection->guest_sent_eof) {
        connection_add_event(connection, EVENT_HALF_CLOSED);
        if (connection->guest_receives_no_more || connection->host_sent_eof)
            connection_finish(connection, true);
    } else if (connection->blocked || connection->starved) {
        /* What the service has left is taken and dropped: let it go on. */
        transmit_unblock(connection);
        connection->starved = false;
        connection_add_event(connection, EVENT_WRITABLE);
    }
}

/* OP_RST: the guest has let go of the connection; what it sent before may still be read. */
static void take_rst(struct vsock_connection *connection)
{
    if (connection->end > connection->start &&
        !(connection->guest_sent_eof && connection->guest_receives_no_more)) {
        connection->guest_sent_eof = connection->guest_receives_no_more = true;
        connection_add_event(connection, EVENT_HALF_CLOSED);
    }
    connection_finish(connection, false);
}

static void take_packet(struct vsock_connection *connection, const struct virtio_vsock_hdr *header,
                        const struct iovec *parts, unsigned int count)
{
    transmit_take_credit(connection, header);
    switch (le16toh(header->op)) {
    case VIRTIO_VSOCK_OP_RW:
        take_data(connection, header, parts, count);
        break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        transmit_add(connection, PENDING_CREDIT_UPDATE);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        take_shutdown(connection, le32toh(header->flags));
        break;
    case VIRTIO_VSOCK_OP_RST:
        take_rst(connection);
        break;
    default:
        /* Also a REQUEST: whoever sends one has forgotten the connection. */
        connection_abort(connection);
        break;
    }
}

/* One chain of the transmit queue. There is room for a stray RST. */
static void dispatch(struct vsock *vsock, const struct virtqueue_chain *chain)
{
    struct vsock_connection *connection = NULL;
    struct virtio_vsock_hdr header;
    bool ours;

    if (iov_read(chain->iov, chain->out_count, 0, &header, sizeof(header)) != sizeof(header) ||
        le64toh(header.src_cid) != VSOCK_GUEST_CID)
        return; /* §5.10.6.4.1: there is nobody to answer */
    ours = le64toh(header.dst_cid) == VSOCK_HOST_CID &&
           le16toh(header.type) == VIRTIO_VSOCK_TYPE_STREAM;
    if (ours)
        connection = connection_find(vsock, le32toh(header.src_port), le32toh(header.dst_port));
    if (connection)
        take_packet(connection, &header, chain->iov, chain->out_count);
    else if (ours && le16toh(header.op) == VIRTIO_VSOCK_OP_REQUEST)
        open_connection(vsock, &header);
    else if (le16toh(header.op) != VIRTIO_VSOCK_OP_RST)
        transmit_stray(vsock, &header);
}

static void take_packets(struct vsock *vsock)
{
    struct virtqueue *tx = &vsock->device.queues[VSOCK_QUEUE_TX];
    unsigned int budget = VSOCK_KICK_MAX;
    struct virtqueue_chain chain;
    int ret;

    virtqueue_disable_notify(tx);
    for (;;) {
        /* Without room for an answer nothing is taken; receive buffers will bring us back. */
        if (!transmit_stray_room(vsock))
            transmit_flush(vsock);
        if (!transmit_stray_room(vsock))
            return;
        if (budget == 0) {
            virtio_device_kick_again(&vsock->device);
            return;
        }
        ret = virtqueue_pop(tx, &chain);
        if (ret < 0) {
            vsock_break(vsock, "the driver broke the rules of virtqueues");
            return;
        }
        if (ret > 0) {
            dispatch(vsock, &chain);
            virtqueue_push(tx, chain.head, 0);
            budget--;
        } else if (!virtqueue_enable_notify(tx)) {
            return;
        }
    }
}

/* Whether the service still has the connection: each callback may have let go of it. */
static bool held(const struct vsock_connection *connection)
{
    return connection->state != VSOCK_RELEASED;
}

static void deliver_events(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    const struct vsock_service *service = vsock->service;
    unsigned int events = connection->events;

    TAILQ_REMOVE(&vsock->events, connection, event_link);
    connection->events = 0;
    if (events & EVENT_READABLE && held(connection))
        service->readable(connection->context, connection);
    if (events & EVENT_WRITABLE && held(connection) && !connection->host_sent_eof)
        service->writable(connection->context, connection);
    if (events & EVENT_HALF_CLOSED && held(connection))
        service->half_closed(connection->context, connection, connection->guest_receives_no_more);
    if (events & EVENT_CLOSED && held(connection)) {
        connection_release(connection);
        service->closed(connection->context, connection);
    }
}

static void deliver(struct vsock *vsock)
{
    struct vsock_connection *connection;

    while ((connection = TAILQ_FIRST(&vsock->events)))
        deliver_events(connection);
}

/*
 * Passes receive buffers to the connections that wait for them: each has one turn, in the order in
 * which they came.
 */
static void share_buffers(struct vsock *vsock)
{
    struct virtqueue *rx = &vsock->device.queues[VSOCK_QUEUE_RX];
    struct vsock_connection *connection;

    vsock->wake_round++;
    while ((connection = TAILQ_FIRST(&vsock->blocked)) &&
           connection->wake_round != vsock->wake_round && virtqueue_has_next(rx)) {
        transmit_unblock(connection);
        connection_add_event(connection, EVENT_WRITABLE);
        deliver(vsock);
    }
}

static void kick(struct virtio_device *device)
{
    struct vsock *vsock = (struct vsock *)device;

    vsock_enter(vsock);
    transmit_flush(vsock);
    take_packets(vsock);
    transmit_flush(vsock);
    interrupt_driver(vsock); /* the guest need not wait for the service */
    deliver(vsock);
    share_buffers(vsock);
    transmit_listen(vsock);
    vsock_leave(vsock);
}

static void settle(struct virtio_device *device)
{
    struct vsock *vsock = (struct vsock *)device;

    vsock_enter(vsock);
    deliver(vsock);
    vsock_leave(vsock);
}

static void reset(struct virtio_device *device)
{
    drop_all((struct vsock *)device);
    virtio_device_kick_again(device); /* the service hears of it in its own thread */
}

static void activate(struct virtio_device *device)
{
    /* Notifications about receive buffers are asked for when one is missing. */
    virtqueue_disable_notify(&device->queues[VSOCK_QUEUE_RX]);
    virtqueue_disable_notify(&device->queues[VSOCK_QUEUE_EVENT]);
}

static void read_config(struct virtio_device *device, uint32_t offset, void *data, uint32_t length)
{
    const struct virtio_vsock_config config = { .guest_cid = htole64(VSOCK_GUEST_CID) };

    (void)device;
    virtio_config_copy(&config, sizeof(config), offset, data, length);
}

static const struct virtio_ops vsock_ops = {
    .name = "vsock",
    .id = VIRTIO_ID_VSOCK,
    .queue_count = VSOCK_QUEUES,
    .queue_size = VSOCK_QUEUE_SIZE,
    .read_config = read_config,
    .activate = activate,
    .reset = reset,
    .kick = kick,
    .settle = settle,
};

struct vsock *vsock_create(struct guest_memory *memory, int kick_fd, int interrupt_fd,
                           const struct vsock_service *service, void *service_context)
{
    struct vsock *vsock = calloc(1, sizeof(*vsock));

    if (!vsock)
        return NULL;
    virtio_device_init(&vsock->device, &vsock_ops, memory, kick_fd, interrupt_fd);
    vsock->service = service;
    vsock->service_context = service_context;
    TAILQ_INIT(&vsock->connections);
    TAILQ_INIT(&vsock->pending);
    TAILQ_INIT(&vsock->events);
    TAILQ_INIT(&vsock->blocked);
    return vsock;
}

struct virtio_device *vsock_device(struct vsock *vsock)
{
    return &vsock->device;
}

void vsock_destroy(struct vsock *vsock)
{
    struct vsock_connection *connection;

    if (!vsock)
        return;
    while ((connection = TAILQ_FIRST(&vsock->connections)))
        connection_free(connection);
    virtio_device_destroy(&vsock->device);
    free(vsock);
}
