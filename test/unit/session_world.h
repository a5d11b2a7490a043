/* A session with its stdio, and an init that the test plays: over the fake vsock. */
#ifndef VMRT_TEST_UNIT_SESSION_WORLD_H
#define VMRT_TEST_UNIT_SESSION_WORLD_H

#include "init/protocol.h"
#include "stdio_world.h"
#include "vmm/session.h"
#include "vsock_fake.h"

struct world {
    struct stdio_world io;
    struct session_config config;
    struct session *session;
    struct vsock_connection *control;
    uint8_t *plan;
    size_t plan_length;
    size_t received; /* bytes of the control connection that init has read */
    unsigned int attached, started, answers;
    int answer_code;
    char answer_text[256];
};

static inline void world_started(void *context)
{
    struct world *w = context;

    w->started++;
}

static inline void world_answer(void *context, const struct error *failure,
                                struct protocol_reader fields)
{
    struct world *w = context;

    (void)fields;
    w->answers++;
    w->answer_code = failure ? failure->code : 0;
    snprintf(w->answer_text, sizeof(w->answer_text), "%.255s", failure ? failure->message : "");
}

static inline int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    stdio_begin(&w->io);
    w->config = (struct session_config) { .loop = w->io.loop,
                                          .proc_fd = w->io.proc_fd,
                                          .notify_fd = -1,
                                          .started = world_started,
                                          .context = w };
    *state = w;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;

    fake_finish(w->session != NULL);
    session_destroy(w->session);
    stdio_end(&w->io);
    free(w->plan);
    free(w);
    *state = NULL;
    return 0;
}

static inline bool world_run(struct world *w)
{
    return stdio_run(&w->io);
}

/* Creates the session, and init connects. */
static inline void world_boot(struct world *w)
{
    struct error err;

    assert_int_equal(session_create(&w->session, &w->config, &err), 0);
    w->control = guest_connect(&session_service, w->session, PORT_CONTROL);
    assert_non_null(w->control);
}

/* What was reported on stderr contains @text; NULL: nothing was. */
static inline void world_expect_report(const struct world *w, const char *text)
{
    char seen[4096];
    size_t length = stdio_read(&w->io, 2, seen, sizeof(seen) - 1, NULL);

    seen[length] = '\0';
    if (!text)
        assert_string_equal(seen, "");
    else
        assert_non_null(strstr(seen, text));
}

static inline void init_sends(const struct world *w, struct protocol_writer *writer)
{
    assert_int_equal(protocol_finish(writer), 0);
    guest_write(w->control, writer->data, writer->length);
    free(writer->data);
}

/* A message without fields. */
static inline void init_says(const struct world *w, uint16_t type, uint32_t sequence)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, type, 0, sequence);
    init_sends(w, &writer);
}

static inline void init_says_hello(const struct world *w)
{
    init_says(w, MESSAGE_HELLO, 0);
}

static inline void init_answers(const struct world *w, uint32_t sequence, int code,
                                const char *text)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_RESULT, 0, sequence);
    protocol_put_u64(&writer, FIELD_CODE, (uint64_t)code);
    if (text)
        protocol_put_string(&writer, FIELD_TEXT, text);
    init_sends(w, &writer);
}

static inline void init_reports_exit(const struct world *w, uint32_t container, uint64_t process,
                                     uint64_t status)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_EXIT, container, 0);
    protocol_put_u64(&writer, FIELD_PROCESS, process);
    protocol_put_u64(&writer, FIELD_STATUS, status);
    init_sends(w, &writer);
}

static inline void init_exits(const struct world *w, uint64_t status)
{
    init_reports_exit(w, 0, 0, status);
}

/* Return: false when the host has said no more. */
static inline bool init_receives(struct world *w, struct protocol_header *header,
                                 struct protocol_reader *fields)
{
    const uint8_t *at = w->control->outbox + w->received;
    size_t left = w->control->outbox_length - w->received;

    *header = (struct protocol_header) { 0 };
    *fields = (struct protocol_reader) { 0 };
    if (left < PROTOCOL_HEADER_SIZE)
        return false;
    assert_int_equal(protocol_read_header(at, header), 0);
    assert_int_equal(header->length <= left - PROTOCOL_HEADER_SIZE, 1);
    *fields = (struct protocol_reader) { at + PROTOCOL_HEADER_SIZE, header->length };
    w->received += PROTOCOL_HEADER_SIZE + header->length;
    return true;
}

/* From nothing to a running process; what the host said meanwhile has been read. */
static inline void world_start(struct world *w)
{
    struct protocol_header header;
    struct protocol_reader fields;

    w->config.autostart = true;
    world_boot(w);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    while (init_receives(w, &header, &fields))
        ;
}

/* What SETUP, the first message that init received, told it alone. */
static inline struct protocol_reader init_secret(const struct world *w)
{
    struct protocol_header header;
    struct protocol_field field = { 0 };

    assert_true(w->control->outbox_length >= PROTOCOL_HEADER_SIZE);
    assert_int_equal(protocol_read_header(w->control->outbox, &header), 0);
    assert_int_equal(header.type, MESSAGE_SETUP);
    assert_int_equal(protocol_find((struct protocol_reader) { w->control->outbox +
                                                                  PROTOCOL_HEADER_SIZE,
                                                              header.length },
                                   FIELD_SECRET, &field),
                     1);
    return field.value;
}

/* The header of a stream connection, as init sends it. */
static inline void stream_header(const struct world *w, struct protocol_writer *writer,
                                 uint64_t process, uint64_t stream)
{
    const struct protocol_reader secret = init_secret(w);

    protocol_begin(writer, MESSAGE_STREAM, 0, 0);
    protocol_put_bytes(writer, FIELD_SECRET, secret.data, secret.length);
    protocol_put_u64(writer, FIELD_PROCESS, process);
    protocol_put_u64(writer, FIELD_STREAM, stream);
    assert_int_equal(protocol_finish(writer), 0);
}

static inline struct vsock_connection *init_opens_stream_of(const struct world *w, uint64_t process,
                                                            uint64_t number)
{
    struct vsock_connection *connection = guest_connect(&session_service, w->session, PORT_STREAM);
    struct protocol_writer writer = { 0 };

    assert_non_null(connection);
    stream_header(w, &writer, process, number);
    guest_write(connection, writer.data, writer.length);
    free(writer.data);
    return connection;
}

static inline struct vsock_connection *init_opens_stream(const struct world *w, uint64_t number)
{
    return init_opens_stream_of(w, 0, number);
}

/* The number in a field that must be there. */
static inline uint64_t field_u64(struct protocol_reader fields, uint16_t tag)
{
    struct protocol_field field = { 0 };
    bool bad = false;
    uint64_t value;

    assert_int_equal(protocol_find(fields, tag, &field), 1);
    value = protocol_u64(&field, &bad);
    assert_false(bad);
    return value;
}

/* The next message that init receives, which has @type. */
static inline struct protocol_reader init_expects(struct world *w, uint16_t type,
                                                  struct protocol_header *header)
{
    struct protocol_reader fields;
    struct protocol_header unused;

    header = header ? header : &unused;
    assert_true(init_receives(w, header, &fields));
    assert_int_equal(header->type, type);
    return fields;
}

static inline void init_expects_nothing(struct world *w)
{
    struct protocol_header header;
    struct protocol_reader fields;

    assert_false(init_receives(w, &header, &fields));
}

#endif
