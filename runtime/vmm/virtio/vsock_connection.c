/* vsock connections: their life, their receive buffer, and what a service may do with them. */
#include "vmm/virtio/vsock_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* First size of a receive buffer; most connections never need more. */
#define BUFFER_MIN 16384u

static struct vsock_bucket *bucket_of(struct vsock *vsock, uint32_t guest_port, uint32_t host_port)
{
    uint32_t hash = (guest_port ^ host_port * 0x85ebca6bu) * 0x9e3779b1u;

    return &vsock->buckets[hash >> 24];
}

struct vsock_connection *connection_create(struct vsock *vsock, uint32_t guest_port,
                                           uint32_t host_port)
{
    struct vsock_connection *connection;

    if (vsock->count >= VSOCK_CONNECTIONS_MAX)
        return NULL;
    connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->vsock = vsock;
    connection->context = vsock->service_context;
    connection->guest_port = guest_port;
    connection->host_port = host_port;
    connection->listed = true;
    LIST_INSERT_HEAD(bucket_of(vsock, guest_port, host_port), connection, bucket);
    TAILQ_INSERT_TAIL(&vsock->connections, connection, all);
    vsock->count++;
    return connection;
}

struct vsock_connection *connection_find(struct vsock *vsock, uint32_t guest_port,
                                         uint32_t host_port)
{
    struct vsock_connection *connection = LIST_FIRST(bucket_of(vsock, guest_port, host_port));

    while (connection &&
           (connection->guest_port != guest_port || connection->host_port != host_port))
        connection = LIST_NEXT(connection, bucket);
    return connection;
}

static void unlist(struct vsock_connection *connection)
{
    if (connection->listed)
        LIST_REMOVE(connection, bucket);
    connection->listed = false;
}

void connection_add_event(struct vsock_connection *connection, unsigned int events)
{
    if (connection->events == 0)
        TAILQ_INSERT_TAIL(&connection->vsock->events, connection, event_link);
    connection->events |= events;
}

static void clear_events(struct vsock_connection *connection)
{
    if (connection->events)
        TAILQ_REMOVE(&connection->vsock->events, connection, event_link);
    connection->events = 0;
}

static size_t unread(const struct vsock_connection *connection)
{
    return connection->end - connection->start;
}

static void free_buffer(struct vsock_connection *connection)
{
    free(connection->buffer);
    connection->buffer = NULL;
    connection->capacity = connection->start = connection->end = 0;
}

void connection_free(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    unlist(connection);
    clear_events(connection);
    transmit_clear(connection);
    transmit_unblock(connection);
    TAILQ_REMOVE(&vsock->connections, connection, all);
    vsock->count--;
    free_buffer(connection);
    free(connection);
}

void connection_reap(struct vsock *vsock)
{
    struct vsock_connection *connection, *next;

    if (!vsock->reap)
        return;
    vsock->reap = false;
    for (connection = TAILQ_FIRST(&vsock->connections); connection; connection = next) {
        next = TAILQ_NEXT(connection, all);
        if (connection->state != VSOCK_RELEASED)
            continue;
        /* The guest decides when the RST can be sent: nobody reads what it holds meanwhile. */
        if (connection->pending)
            free_buffer(connection);
        else
            connection_free(connection);
    }
}

/* Packets find it no more, and nothing but what is pending will be sent. */
static void leave_open(struct vsock_connection *connection, enum vsock_state state)
{
    unlist(connection);
    transmit_unblock(connection);
    connection->starved = false;
    connection->state = state;
}

void connection_finish(struct vsock_connection *connection, bool rst)
{
    leave_open(connection, VSOCK_GONE);
    if (rst)
        transmit_add(connection, PENDING_RST);
    else
        transmit_clear(connection);
    if (unread(connection) == 0)
        connection_add_event(connection, EVENT_CLOSED);
}

void connection_drop(struct vsock_connection *connection)
{
    transmit_clear(connection);
    if (connection->state == VSOCK_RELEASED) {
        connection->vsock->reap = true;
        return;
    }
    leave_open(connection, VSOCK_GONE);
    clear_events(connection);
    connection_add_event(connection, EVENT_CLOSED);
}

void connection_abort(struct vsock_connection *connection)
{
    connection_drop(connection);
    transmit_add(connection, PENDING_RST);
}

void connection_release(struct vsock_connection *connection)
{
    enum vsock_state before = connection->state;

    leave_open(connection, VSOCK_RELEASED);
    clear_events(connection);
    if (before != VSOCK_GONE) {
        transmit_clear(connection);
        transmit_add(connection, PENDING_RST);
    }
    connection->vsock->reap = true;
}

/*
 * Room for @length more bytes behind the unread ones. A buffer is at least twice as large as what
 * it holds, so that bytes are moved to its front at most about once each.
 */
static int make_room(struct vsock_connection *connection, size_t length)
{
    size_t kept = unread(connection), capacity = connection->capacity;
    uint8_t *buffer;

    if (capacity - connection->end >= length)
        return 0;
    if (capacity < BUFFER_MIN)
        capacity = BUFFER_MIN;
    while (capacity < 2 * (kept + length))
        capacity *= 2;
    if (capacity == connection->capacity) {
        memmove(connection->buffer, connection->buffer + connection->start, kept);
    } else {
        buffer = malloc(capacity);
        if (!buffer)
            return -ENOMEM;
        if (kept)
            memcpy(buffer, connection->buffer + connection->start, kept);
        free(connection->buffer);
        connection->buffer = buffer;
        connection->capacity = capacity;
    }
    connection->start = 0;
    connection->end = kept;
    return 0;
}

int connection_receive(struct vsock_connection *connection, const struct iovec *parts,
                       unsigned int count, size_t offset, size_t length)
{
    int ret;

    if (length > VSOCK_BUFFER_SIZE - unread(connection))
        return -ENOBUFS;
    ret = make_room(connection, length);
    if (ret < 0)
        return ret;
    connection->end += iov_read(parts, count, offset, connection->buffer + connection->end, length);
    return 0;
}

void vsock_set_context(struct vsock_connection *connection, void *context)
{
    connection->context = context;
}

uint32_t vsock_port(const struct vsock_connection *connection)
{
    return connection->host_port;
}

size_t vsock_peek(struct vsock_connection *connection, const void **data)
{
    size_t length;

    vsock_enter(connection->vsock);
    length = unread(connection);
    *data = length ? connection->buffer + connection->start : NULL;
    vsock_leave(connection->vsock);
    return length;
}

void vsock_consume(struct vsock_connection *connection, size_t length)
{
    struct vsock *vsock = connection->vsock;

    vsock_enter(vsock);
    if (length > unread(connection))
        length = unread(connection);
    connection->start += length;
    connection->consumed += (uint32_t)length;
    if (unread(connection) == 0)
        connection->start = connection->end = 0;
    if (connection->state == VSOCK_OPEN)
        transmit_give_credit(connection);
    else if (length > 0 && unread(connection) == 0)
        connection_add_event(connection, EVENT_CLOSED);
    transmit_flush(vsock);
    vsock_leave(vsock);
}

size_t vsock_send(struct vsock_connection *connection, const void *data, size_t length)
{
    struct vsock *vsock = connection->vsock;
    size_t taken = 0;

    vsock_enter(vsock);
    if (connection->state == VSOCK_GONE || connection->guest_receives_no_more)
        taken = length;
    else if (!connection->host_sent_eof)
        taken = transmit_data(connection, data, length);
    vsock_leave(vsock);
    return taken;
}

void vsock_send_eof(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    vsock_enter(vsock);
    if (connection->state != VSOCK_GONE && !connection->host_sent_eof) {
        connection->host_sent_eof = true;
        connection->starved = false;
        transmit_unblock(connection);
        transmit_add(connection, PENDING_SHUTDOWN);
        if (connection->guest_sent_eof)
            connection_finish(connection, true);
        transmit_flush(vsock);
    }
    vsock_leave(vsock);
}

void vsock_reset(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    vsock_enter(vsock);
    connection_release(connection);
    transmit_flush(vsock);
    vsock_leave(vsock);
}
