/* The conversation with init: a small state machine over the control connection. */
#include "vmm/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "init/protocol.h"
#include "vmm/report.h"
#include "vmm/stream.h"

/* init's messages are small; the largest is a line of text. */
#define INBOUND_MAX 8192
/* What a guest may add to the host's log in its life, bytes; each line costs more than its text. */
#define LOG_MAX       65536
#define LOG_LINE_COST 64
/* Stream connections that have not said yet which stream they are. */
#define UNCLAIMED_MAX 8

/* Sequence numbers: SETUP, then the messages of the guest plan, then START. */
#define SEQUENCE_SETUP 1u
#define SEQUENCE_PLAN  2u

/* What a connection is; its vsock context. */
enum role { ROLE_CONTROL, ROLE_UNCLAIMED, ROLE_STREAM };

struct endpoint {
    struct session *session;
    enum role role;
    struct stream *stream;            /* ROLE_STREAM */
    bool receive_closed, half_closed; /* ROLE_UNCLAIMED: happened before it was claimed */
};

struct outbound {
    uint8_t *data;
    size_t length, sent;
    struct outbound *next;
};

struct session {
    struct session_config config;
    enum session_state state;
    int status;
    struct error failure; /* SESSION_FAILED */
    struct vsock_connection *control;
    uint8_t inbound[INBOUND_MAX];
    size_t inbound_length;
    struct outbound *first, **last;
    uint32_t plan_count; /* messages of the guest plan, each answered once */
    uint32_t plan_done;
    bool greeted, start_wanted, start_sent;
    session_answer *answer;
    void *answer_context;
    struct stream *streams[STREAM_COUNT];
    struct endpoint endpoints[STREAM_COUNT];
    bool claimed[STREAM_COUNT]; /* each is connected once: a broken one stays broken */
    unsigned int unclaimed;
    size_t logged;
};

static void fail(struct session *session, int code, const char *text);

/* ---- sending ---- */

static void flush(struct session *session)
{
    while (session->first && session->control) {
        struct outbound *out = session->first;

        out->sent += vsock_send(session->control, out->data + out->sent, out->length - out->sent);
        if (out->sent < out->length)
            return;
        session->first = out->next;
        if (!session->first)
            session->last = &session->first;
        free(out->data);
        free(out);
    }
}

/* Queues a message; takes over @data. */
static void send_data(struct session *session, uint8_t *data, size_t length)
{
    struct outbound *out = calloc(1, sizeof(*out));

    if (!out || !data) {
        free(out);
        free(data);
        fail(session, ENOMEM, "out of memory");
        return;
    }
    *out = (struct outbound) { .data = data, .length = length };
    *session->last = out;
    session->last = &out->next;
    flush(session);
}

static void send_message(struct session *session, struct protocol_writer *writer)
{
    if (protocol_finish(writer) < 0) {
        free(writer->data);
        fail(session, ENOMEM, "out of memory");
        return;
    }
    send_data(session, writer->data, writer->length);
}

static void send_setup(struct session *session)
{
    struct protocol_writer writer = { 0 };
    struct timespec now;
    uint8_t entropy[64];
    uint64_t late =
        session->config.attach_late ? session->config.attach_late(session->config.context) : 0;

    clock_gettime(CLOCK_REALTIME, &now);
    protocol_begin(&writer, MESSAGE_SETUP, 0, SEQUENCE_SETUP);
    protocol_put_u64(&writer, FIELD_TIME,
                     (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    if (getrandom(entropy, sizeof(entropy), 0) == sizeof(entropy))
        protocol_put_bytes(&writer, FIELD_ENTROPY, entropy, sizeof(entropy));
    for (unsigned int slot = 0; slot < 64; slot++)
        if (late >> slot & 1)
            protocol_put_u64(&writer, FIELD_SLOT, slot);
    if (session->config.has_shares)
        protocol_put_string(&writer, FIELD_SHARE_TAG, SESSION_SHARE_TAG);
    send_message(session, &writer);
}

/* The guest plan is passed on as it is, except for the sequence numbers, which are ours. */
static void send_plan(struct session *session)
{
    uint8_t *copy = malloc(session->config.guest_plan_length + 1);
    size_t at = 0;
    uint32_t sequence = SEQUENCE_PLAN;

    if (copy && session->config.guest_plan_length)
        memcpy(copy, session->config.guest_plan, session->config.guest_plan_length);
    while (copy && at < session->config.guest_plan_length) {
        struct protocol_header header;

        protocol_read_header(copy + at, &header);
        protocol_store32(copy + at + 12, sequence++);
        at += PROTOCOL_HEADER_SIZE + header.length;
    }
    send_data(session, copy, session->config.guest_plan_length);
}

static void try_start(struct session *session)
{
    struct protocol_writer writer = { 0 };

    if (!session->start_wanted || session->start_sent || session->state != SESSION_CREATED)
        return;
    session->start_sent = true;
    protocol_begin(&writer, MESSAGE_START, 0, SEQUENCE_PLAN + session->plan_count);
    send_message(session, &writer);
}

/* ---- ending ---- */

static void answer_start(struct session *session, const struct error *failure)
{
    session_answer *answer = session->answer;

    session->answer = NULL;
    if (answer)
        answer(session->answer_context, failure);
}

/* The container cannot be had: whoever asked for its start is told, and the machine ends. */
static void fail(struct session *session, int code, const char *text)
{
    if (session->state == SESSION_FAILED || session->state == SESSION_EXITED)
        return;
    session->state = SESSION_FAILED;
    error_set(&session->failure, code, "%s", text);
    session->status = code == ENOENT ? 127 : code == EACCES ? 126 : SESSION_STATUS_FAILED;
    if (session->answer)
        answer_start(session, &session->failure);
    else
        report_error("%s", session->failure.message);
    loop_stop(session->config.loop);
}

static void stream_idle(void *context)
{
    struct session *session = context;

    for (int i = 0; i < STREAM_COUNT; i++)
        if (!stream_finished(session->streams[i]))
            return;
    loop_stop(session->config.loop);
}

static void handle_exit(struct session *session, struct protocol_reader fields)
{
    struct protocol_field field;
    bool bad = false;
    uint64_t status;

    if (session->state == SESSION_CREATED) {
        fail(session, ECHILD, "the container's process was killed before it was started");
        return;
    }
    if (session->state != SESSION_RUNNING || protocol_find(fields, FIELD_STATUS, &field) != 1 ||
        (status = protocol_u64(&field, &bad), bad) || status > 255) {
        fail(session, EPROTO, "the guest's init reported an impossible exit");
        return;
    }
    session->state = SESSION_EXITED;
    session->status = (int)status;
    /* The guest's writes were ordered before this message: what has arrived is all there is. */
    for (int i = 0; i < STREAM_COUNT; i++)
        stream_finish(session->streams[i], stream_idle, session);
}

void session_machine_ended(struct session *session, const char *why)
{
    if (session->state == SESSION_EXITED || session->state == SESSION_FAILED)
        return;
    fail(session, EIO, why);
}

/* ---- receiving ---- */

static void handle_result(struct session *session, uint32_t sequence, struct protocol_reader fields)
{
    struct protocol_field field;
    const char *text = "the guest's init gave no reason";
    bool bad = false;
    uint64_t code = EPROTO;

    if (protocol_find(fields, FIELD_CODE, &field) == 1)
        code = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_TEXT, &field) == 1)
        text = protocol_string(&field, &bad);
    if (bad || code > 4095) {
        fail(session, EPROTO, "the guest's init sent a malformed result");
        return;
    }
    if (code) {
        fail(session, (int)code, text);
        return;
    }
    if (session->state == SESSION_BOOTING && sequence == SEQUENCE_SETUP + session->plan_done) {
        /* In order: SETUP, then each message of the plan. */
        if (session->plan_done++ == session->plan_count) {
            session->state = SESSION_CREATED;
            try_start(session);
        }
    } else if (session->state == SESSION_CREATED && session->start_sent &&
               sequence == SEQUENCE_PLAN + session->plan_count) {
        session->state = SESSION_RUNNING;
        if (session->config.started)
            session->config.started(session->config.context);
        answer_start(session, NULL);
    }
}

static void handle_log(struct session *session, struct protocol_reader fields)
{
    struct protocol_field field;
    bool bad = false;
    const char *text;

    if (protocol_find(fields, FIELD_TEXT, &field) != 1)
        return;
    text = protocol_string(&field, &bad);
    if (bad || session->logged > LOG_MAX)
        return;
    session->logged += strlen(text) + LOG_LINE_COST;
    report_error("guest: %s", session->logged > LOG_MAX ? "further messages are dropped" : text);
}

static void handle_message(struct session *session, const struct protocol_header *header,
                           struct protocol_reader fields)
{
    if (!session->greeted && header->type != MESSAGE_HELLO && header->type != MESSAGE_LOG) {
        fail(session, EPROTO, "the guest's init did not say HELLO first");
        return;
    }
    switch (header->type) {
    case MESSAGE_HELLO:
        if (session->greeted)
            return;
        session->greeted = true;
        send_setup(session);
        send_plan(session);
        return;
    case MESSAGE_RESULT:
        handle_result(session, header->sequence, fields);
        return;
    case MESSAGE_EXIT:
        handle_exit(session, fields);
        return;
    case MESSAGE_LOG:
        handle_log(session, fields);
        return;
    default:
        fail(session, EPROTO, "the guest's init sent a message of unknown type");
        return;
    }
}

static void control_readable(struct session *session)
{
    const void *data;
    size_t available;

    while (session->control && (available = vsock_peek(session->control, &data)) > 0) {
        struct protocol_header header;
        size_t want = PROTOCOL_HEADER_SIZE, take;

        /* Whatever comes after the end counts for nothing, a half-read message least of all. */
        if (session->state >= SESSION_EXITED) {
            vsock_consume(session->control, available);
            return;
        }
        if (session->inbound_length >= PROTOCOL_HEADER_SIZE) {
            protocol_read_header(session->inbound, &header);
            want += header.length;
        }
        take = want - session->inbound_length;
        if (take > available)
            take = available;
        memcpy(session->inbound + session->inbound_length, data, take);
        session->inbound_length += take;
        vsock_consume(session->control, take);
        if (session->inbound_length == PROTOCOL_HEADER_SIZE &&
            (protocol_read_header(session->inbound, &header) < 0 ||
             header.length > INBOUND_MAX - PROTOCOL_HEADER_SIZE)) {
            fail(session, EPROTO, "the guest's init sent a malformed message");
            return;
        }
        if (session->inbound_length < PROTOCOL_HEADER_SIZE)
            continue;
        protocol_read_header(session->inbound, &header);
        if (session->inbound_length < PROTOCOL_HEADER_SIZE + header.length)
            continue;
        session->inbound_length = 0;
        handle_message(session, &header,
                       (struct protocol_reader) { session->inbound + PROTOCOL_HEADER_SIZE,
                                                  header.length });
    }
}

/* ---- connections ---- */

static int handle_accept(void *context, struct vsock_connection *connection, uint32_t port)
{
    struct session *session = context;
    struct endpoint *endpoint;

    if (port != PORT_CONTROL && port != PORT_STREAM)
        return -ECONNREFUSED;
    if (port == PORT_CONTROL ? session->control != NULL : session->unclaimed >= UNCLAIMED_MAX)
        return -EBUSY;
    endpoint = calloc(1, sizeof(*endpoint));
    if (!endpoint)
        return -ENOMEM;
    *endpoint = (struct endpoint) { .session = session,
                                    .role = port == PORT_CONTROL ? ROLE_CONTROL : ROLE_UNCLAIMED };
    if (port == PORT_CONTROL)
        session->control = connection;
    else
        session->unclaimed++;
    vsock_set_context(connection, endpoint);
    return 0;
}

/* The first message of a stream connection names the stream; anything else breaks it. */
static void claim(struct endpoint *endpoint, struct vsock_connection *connection)
{
    struct session *session = endpoint->session;
    struct protocol_header header;
    struct protocol_field process, number;
    struct protocol_reader fields;
    const void *data;
    size_t available = vsock_peek(connection, &data);
    bool bad = false;
    uint64_t index;

    if (available < PROTOCOL_HEADER_SIZE)
        return;
    if (protocol_read_header(data, &header) < 0 || header.type != MESSAGE_STREAM ||
        header.length > 256)
        goto refuse;
    if (available < PROTOCOL_HEADER_SIZE + header.length)
        return;
    fields =
        (struct protocol_reader) { (const uint8_t *)data + PROTOCOL_HEADER_SIZE, header.length };
    if (protocol_find(fields, FIELD_PROCESS, &process) != 1 ||
        protocol_find(fields, FIELD_STREAM, &number) != 1)
        goto refuse;
    index = protocol_u64(&number, &bad);
    if (protocol_u64(&process, &bad) != 0 || bad || index >= STREAM_COUNT ||
        session->claimed[index])
        goto refuse;
    vsock_consume(connection, PROTOCOL_HEADER_SIZE + header.length);
    session->unclaimed--;
    session->claimed[index] = true;
    /* Ours, not the connection's: a stream that breaks its connection is not told of the end. */
    session->endpoints[index] = *endpoint;
    free(endpoint);
    endpoint = &session->endpoints[index];
    endpoint->role = ROLE_STREAM;
    endpoint->stream = session->streams[index];
    vsock_set_context(connection, endpoint);
    stream_connect(endpoint->stream, connection);
    if (endpoint->half_closed)
        stream_half_closed(endpoint->stream, endpoint->receive_closed);
    return;
refuse:
    session->unclaimed--;
    vsock_reset(connection);
    free(endpoint);
}

static void handle_readable(void *context, struct vsock_connection *connection)
{
    struct endpoint *endpoint = context;

    switch (endpoint->role) {
    case ROLE_CONTROL:
        control_readable(endpoint->session);
        break;
    case ROLE_UNCLAIMED:
        claim(endpoint, connection);
        break;
    case ROLE_STREAM:
    default:
        if (stream_connected(endpoint->stream))
            stream_readable(endpoint->stream);
        break;
    }
}

static void handle_writable(void *context, struct vsock_connection *connection)
{
    struct endpoint *endpoint = context;

    (void)connection;
    if (endpoint->role == ROLE_CONTROL)
        flush(endpoint->session);
    else if (endpoint->role == ROLE_STREAM)
        stream_writable(endpoint->stream);
}

static void handle_half_closed(void *context, struct vsock_connection *connection,
                               bool receive_closed)
{
    struct endpoint *endpoint = context;

    (void)connection;
    if (endpoint->role == ROLE_STREAM) {
        stream_half_closed(endpoint->stream, receive_closed);
    } else {
        endpoint->half_closed = true;
        endpoint->receive_closed |= receive_closed;
    }
}

static void handle_closed(void *context, struct vsock_connection *connection)
{
    struct endpoint *endpoint = context;
    struct session *session = endpoint->session;

    (void)connection;
    if (endpoint->role == ROLE_CONTROL) {
        session->control = NULL;
        fail(session, EPIPE, "the guest's init closed its channel");
    } else if (endpoint->role == ROLE_STREAM) {
        stream_disconnected(endpoint->stream);
    } else {
        session->unclaimed--;
    }
    if (endpoint->role != ROLE_STREAM)
        free(endpoint);
}

const struct vsock_service session_service = {
    .accept = handle_accept,
    .readable = handle_readable,
    .writable = handle_writable,
    .half_closed = handle_half_closed,
    .closed = handle_closed,
};

/* ---- the rest of the interface ---- */

static int count_plan(struct session *session, struct error *err)
{
    size_t at = 0, length = session->config.guest_plan_length;

    while (at < length) {
        struct protocol_header header;

        if (length - at < PROTOCOL_HEADER_SIZE ||
            protocol_read_header(session->config.guest_plan + at, &header) < 0 ||
            header.length > length - at - PROTOCOL_HEADER_SIZE)
            return error_set(err, EPROTO, "guest plan: expected whole messages for init");
        at += PROTOCOL_HEADER_SIZE + header.length;
        session->plan_count++;
    }
    return 0;
}

int session_create(struct session **out, const struct session_config *config, struct error *err)
{
    struct session *session = calloc(1, sizeof(*session));
    int ret;

    if (!session)
        return error_set(err, ENOMEM, "out of memory");
    session->config = *config;
    session->last = &session->first;
    session->start_wanted = config->autostart;
    session->status = SESSION_STATUS_FAILED;
    ret = count_plan(session, err);
    for (int i = 0; i < STREAM_COUNT && ret == 0; i++) {
        session->streams[i] = stream_open(config->loop, i, config->proc_fd);
        if (!session->streams[i])
            ret = error_set_errno(err, "stdio descriptor %d", i);
    }
    if (ret < 0) {
        session_destroy(session);
        return ret;
    }
    *out = session;
    return 0;
}

void session_destroy(struct session *session)
{
    if (!session)
        return;
    for (int i = 0; i < STREAM_COUNT; i++)
        stream_close(session->streams[i]);
    while (session->first) {
        struct outbound *out = session->first;

        session->first = out->next;
        free(out->data);
        free(out);
    }
    free(session);
}

void session_start(struct session *session, session_answer *answer, void *context)
{
    struct error failure;

    if (session->start_wanted) {
        error_set(&failure, EINVAL, "cannot start a container that has been started");
        answer(context, &failure);
        return;
    }
    session->answer = answer;
    session->answer_context = context;
    session->start_wanted = true;
    try_start(session);
}

/* signal(7): these do nothing to a process without a handler. */
static bool ignored_by_default(unsigned int signal)
{
    return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
}

void session_signal(struct session *session, unsigned int signal, bool all)
{
    struct protocol_writer writer = { 0 };

    if (session->state == SESSION_RUNNING) {
        protocol_begin(&writer, MESSAGE_SIGNAL, 0, 0);
        protocol_put_u64(&writer, FIELD_PROCESS, 0);
        protocol_put_u64(&writer, FIELD_SIGNAL, signal);
        protocol_put_u64(&writer, FIELD_ALL, all);
        send_message(session, &writer);
    } else if (session->state < SESSION_RUNNING && !ignored_by_default(signal)) {
        struct error failure;

        session->state = SESSION_EXITED;
        session->status = 128 + (int)signal;
        error_set(&failure, EINTR, "container was killed by signal %u before it started", signal);
        answer_start(session, &failure);
        loop_stop(session->config.loop);
    }
}

enum session_state session_state(const struct session *session)
{
    return session->state;
}

int session_status(const struct session *session)
{
    return session->status;
}
