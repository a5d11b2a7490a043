/* The guest's connections: one for control, and streams, which first say whose they are. */
#include <errno.h>

#include "vmm/session_internal.h"

/* MESSAGE_STREAM and _RESOLVER have a number or two and the secret; a longer one is none. */
#define NAME_MAX_LENGTH 256u

/*
 * Any process of the guest can connect and say nothing. That must not keep init from connecting,
 * which names its streams at once: the connection that has been silent for longest goes.
 */
static struct nameless *make_place(struct session *session)
{
    struct nameless *oldest = &session->nameless[0];

    for (int i = 0; i < NAMELESS_MAX; i++) {
        if (!session->nameless[i].connection)
            return &session->nameless[i];
        if (session->nameless[i].since < oldest->since)
            oldest = &session->nameless[i];
    }
    vsock_reset(oldest->connection);
    return oldest;
}

static int accept_connection(void *context, struct vsock_connection *connection, uint32_t port)
{
    struct session *session = context;
    struct nameless *place;

    switch (port) {
    case PORT_CONTROL:
        if (session->channel.connection)
            return -EBUSY;
        session->channel.connection = connection;
        session->control = (struct endpoint) { ENDPOINT_CONTROL, session };
        vsock_set_context(connection, &session->control);
        return 0;
    case PORT_STREAM:
        place = make_place(session);
        *place = (struct nameless) { .endpoint = { ENDPOINT_NAMELESS, session },
                                     .connection = connection,
                                     .since = session->nameless_count++ };
        vsock_set_context(connection, place);
        return 0;
    default:
        return -ECONNREFUSED;
    }
}

/* Whether it is init who names the stream. How long this takes tells nothing about the secret. */
static bool knows_secret(const struct session *session, struct protocol_reader fields)
{
    struct protocol_field field;
    uint8_t difference = 0;

    if (!session->greeted || protocol_find(fields, FIELD_SECRET, &field) != 1 ||
        field.value.length != sizeof(session->secret))
        return false;
    for (size_t i = 0; i < sizeof(session->secret); i++)
        difference |= field.value.data[i] ^ session->secret[i];
    return difference == 0;
}

/*
 * The stream that the first message of a connection names.
 * Return: 1 with @stream and the message's @length, 0 when it has not arrived yet, -EPROTO.
 */
static int read_name(struct session *session, struct vsock_connection *connection,
                     struct process_stream **stream, size_t *length)
{
    struct protocol_header header;
    struct protocol_field process, number;
    struct protocol_reader fields;
    const void *data;
    size_t available = vsock_peek(connection, &data);
    bool bad = false;

    if (available < PROTOCOL_HEADER_SIZE)
        return 0;
    if (protocol_read_header(data, &header) < 0 ||
        (header.type != MESSAGE_STREAM && header.type != MESSAGE_RESOLVER) ||
        header.container != 0 || header.length > NAME_MAX_LENGTH)
        return -EPROTO;
    *length = PROTOCOL_HEADER_SIZE + header.length;
    if (available < *length)
        return 0;
    fields =
        (struct protocol_reader) { (const uint8_t *)data + PROTOCOL_HEADER_SIZE, header.length };
    if (!knows_secret(session, fields) || protocol_find(fields, FIELD_STREAM, &number) != 1)
        return -EPROTO;
    if (header.type == MESSAGE_RESOLVER)
        *stream = session_resolver_claimable(session, protocol_u64(&number, &bad));
    else if (protocol_find(fields, FIELD_PROCESS, &process) == 1)
        *stream = processes_claimable(&session->processes, protocol_u64(&process, &bad),
                                      protocol_u64(&number, &bad));
    return *stream && !bad ? 1 : -EPROTO;
}

/* The first message of a stream connection names the stream; anything else breaks it. */
static void claim(struct nameless *place)
{
    struct session *session = place->endpoint.session;
    const struct nameless was = *place;
    struct process_stream *claimed = NULL;
    size_t length = 0;
    int ret = read_name(session, was.connection, &claimed, &length);

    if (ret == 0)
        return;
    place->connection = NULL;
    if (ret < 0) {
        vsock_reset(was.connection);
        return;
    }
    vsock_consume(was.connection, length);
    claimed->claimed = true;
    claimed->endpoint = (struct endpoint) { ENDPOINT_STREAM, session };
    vsock_set_context(was.connection, claimed);
    stream_connect(claimed->stream, was.connection);
    if (was.half_closed)
        stream_half_closed(claimed->stream, was.receive_closed);
}

void session_claim_all(struct session *session)
{
    for (int i = 0; i < NAMELESS_MAX; i++)
        if (session->nameless[i].connection)
            claim(&session->nameless[i]);
}

static void handle_readable(void *context, struct vsock_connection *connection)
{
    const struct endpoint *endpoint = context;
    struct process_stream *stream = context;

    (void)connection;
    if (endpoint->role == ENDPOINT_CONTROL)
        session_receive(endpoint->session);
    else if (endpoint->role == ENDPOINT_NAMELESS)
        claim(context);
    else if (stream_connected(stream->stream))
        stream_readable(stream->stream);
}

static void handle_writable(void *context, struct vsock_connection *connection)
{
    const struct endpoint *endpoint = context;
    const struct process_stream *stream = context;

    (void)connection;
    if (endpoint->role == ENDPOINT_CONTROL)
        channel_flush(&endpoint->session->channel);
    else if (endpoint->role == ENDPOINT_STREAM)
        stream_writable(stream->stream);
}

static void handle_half_closed(void *context, struct vsock_connection *connection,
                               bool receive_closed)
{
    const struct endpoint *endpoint = context;
    const struct process_stream *stream = context;
    struct nameless *place = context;

    (void)connection;
    if (endpoint->role == ENDPOINT_STREAM) {
        stream_half_closed(stream->stream, receive_closed);
    } else if (endpoint->role == ENDPOINT_NAMELESS) {
        place->half_closed = true;
        place->receive_closed |= receive_closed;
    }
}

static void handle_closed(void *context, struct vsock_connection *connection)
{
    const struct endpoint *endpoint = context;
    const struct process_stream *stream = context;
    struct nameless *place = context;
    struct session *session = endpoint->session;

    (void)connection;
    switch (endpoint->role) {
    case ENDPOINT_CONTROL:
        session->channel.connection = NULL;
        session_fail(session, EPIPE, "the guest's init closed its channel");
        break;
    case ENDPOINT_NAMELESS:
        place->connection = NULL;
        break;
    case ENDPOINT_STREAM:
    default:
        stream_disconnected(stream->stream);
        processes_sweep(&session->processes);
        break;
    }
}

const struct vsock_service session_service = {
    .accept = accept_connection,
    .readable = handle_readable,
    .writable = handle_writable,
    .half_closed = handle_half_closed,
    .closed = handle_closed,
};
