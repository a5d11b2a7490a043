/* What init says: the answers of the boot and the start, exits, lines for the log, readiness. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/report.h"
#include "vmm/session_internal.h"

/* What a guest may add to the host's log in its life, bytes; each line costs more than its text. */
#define LOG_MAX       65536
#define LOG_LINE_COST 64
/* Lines of readiness passed on in a machine's life; runc passes on one. */
#define NOTIFY_MAX 64
static void handle_exit(struct session *session, struct protocol_reader fields)
{
    struct protocol_field field;
    struct process *process;
    uint64_t status = UINT64_MAX, number = UINT64_MAX;
    bool bad = false;

    if (protocol_find(fields, FIELD_PROCESS, &field) == 1)
        number = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_STATUS, &field) == 1)
        status = protocol_u64(&field, &bad);
    process = processes_find(&session->processes, number);
    if (session->state == SESSION_CREATED && number == 0) {
        session_fail(session, ECHILD, "the container's process was killed before it was started");
        return;
    }
    if (bad || status > 255 || number >= session->processes.next_number ||
        (process && !process->running)) {
        session_fail(session, EPROTO, "the guest's init reported an impossible exit");
        return;
    }
    /* The guest's writes were ordered before this message: what has arrived is all there is. */
    session_claim_all(session);
    if (number == 0)
        session_end_with(session, (int)status);
    else if (process && !process->ended)
        session_exec_exited(session, process, (unsigned int)status);
}

/* RESULT of SETUP or a message of the plan: they are answered in order. */
static void handle_boot_result(struct session *session, uint32_t sequence,
                               const struct error *failure)
{
    if (failure) {
        if (sequence >= SEQUENCE_SETUP && sequence <= SEQUENCE_SETUP + session->plan_count)
            session_fail(session, failure->code, failure->message);
        return;
    }
    if (sequence != SEQUENCE_SETUP + session->plan_done)
        return;
    if (session->plan_done++ == session->plan_count) {
        session->state = SESSION_CREATED;
        session_tell_prepared(session, NULL);
        if (session->state != SESSION_CREATED)
            return;
        session_send_size(session);
        session_try_start(session);
        session_send_requests(session);
    }
}

static void handle_start_result(struct session *session, const struct error *failure)
{
    if (failure) {
        session_fail(session, failure->code, failure->message);
        return;
    }
    session->state = SESSION_RUNNING;
    session->first->running = true;
    if (session->config.started)
        session->config.started(session->config.context);
    session_answer_start(session, NULL);
}

static void handle_result(struct session *session, uint32_t sequence, struct protocol_reader fields)
{
    struct protocol_field field;
    const char *text = "the guest's init gave no reason";
    struct error failure;
    bool bad = false;
    uint64_t code = EPROTO;

    if (protocol_find(fields, FIELD_CODE, &field) == 1)
        code = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_TEXT, &field) == 1)
        text = protocol_string(&field, &bad);
    if (bad || code > 4095) {
        session_fail(session, EPROTO, "the guest's init sent a malformed result");
        return;
    }
    error_set(&failure, (int)code, "%s", text);
    /* Requests may be answered before the container is prepared: the network is one. */
    if (session_answer_request(session, sequence, code ? &failure : NULL, fields))
        return;
    if (session->state == SESSION_BOOTING)
        handle_boot_result(session, sequence, code ? &failure : NULL);
    else if (session->state == SESSION_CREATED && session->start_sent &&
             sequence == SEQUENCE_PLAN + session->plan_count)
        handle_start_result(session, code ? &failure : NULL);
}

/* A line that the guest caused; of these there is a limited amount. */
static void log_line(struct session *session, const char *prefix, const char *text)
{
    if (session->logged > LOG_MAX)
        return;
    session->logged += strlen(text) + LOG_LINE_COST;
    if (session->logged > LOG_MAX)
        report_warning("guest: further messages are dropped");
    else
        report_warning("%s%s", prefix, text);
}

static void handle_log(struct session *session, struct protocol_reader fields)
{
    struct protocol_field field;
    bool bad = false;
    const char *text;

    if (protocol_find(fields, FIELD_TEXT, &field) != 1)
        return;
    text = protocol_string(&field, &bad);
    if (!bad)
        log_line(session, "guest: ", text);
}

/* One datagram for the engine; one that does not take it now misses it. */
static void notify(const struct session *session, const char *text, size_t length)
{
    ssize_t ignored = send(session->config.notify_fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)ignored;
}

/*
 * sd_notify(3) of the container, as runc relays it (notify_socket.go): readiness and nothing else,
 * then the process that is to be watched.
 */
static void handle_notify(struct session *session, struct protocol_reader fields)
{
    static const char ready[] = "READY=";
    struct protocol_field field;
    const char *line, *end;

    if (session->config.notify_fd < 0 || protocol_find(fields, FIELD_DATA, &field) != 1)
        return;
    line = (const char *)field.value.data;
    end = line + field.value.length;
    while (line < end && session->notified < NOTIFY_MAX) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((next ? next : end) - line);
        char text[CHANNEL_INBOUND_MAX + 1];

        if (length >= sizeof(ready) - 1 && memcmp(line, ready, sizeof(ready) - 1) == 0) {
            memcpy(text, line, length);
            text[length] = '\n';
            notify(session, text, length + 1);
            length = (size_t)snprintf(text, sizeof(text), "MAINPID=%d\n", (int)session->pid);
            notify(session, text, length);
            session->notified++;
        }
        line = next ? next + 1 : end;
    }
}

static void handle_message(struct session *session, const struct protocol_header *header,
                           struct protocol_reader fields)
{
    if (!session->greeted && header->type != MESSAGE_HELLO && header->type != MESSAGE_LOG) {
        session_fail(session, EPROTO, "the guest's init did not say HELLO first");
        return;
    }
    switch (header->type) {
    case MESSAGE_HELLO:
        if (session->greeted)
            return;
        session_greet(session);
        return;
    case MESSAGE_RESULT:
        handle_result(session, header->sequence, fields);
        return;
    case MESSAGE_EXIT:
        /* Of another container than the only one: not a process that is known here. */
        if (header->container == 0)
            handle_exit(session, fields);
        return;
    case MESSAGE_LOG:
        handle_log(session, fields);
        return;
    case MESSAGE_NOTIFY:
        if (header->container == 0)
            handle_notify(session, fields);
        return;
    case MESSAGE_OOM:
        if (header->container != 0)
            return;
        session->short_of_memory = true;
        log_line(session, "", "the guest ran out of memory: a process of the container was killed");
        return;
    default:
        session_fail(session, EPROTO, "the guest's init sent a message of unknown type");
        return;
    }
}

void session_receive(struct session *session)
{
    struct protocol_header header;
    struct protocol_reader fields;
    int ret = 0;

    while (session->state < SESSION_EXITED &&
           (ret = channel_receive(&session->channel, &header, &fields)) > 0)
        handle_message(session, &header, fields);
    if (ret < 0)
        session_fail(session, EPROTO, "the guest's init sent a malformed message");
    /* Whatever comes after the end counts for nothing, a half-read message least of all. */
    if (session->state >= SESSION_EXITED)
        channel_discard(&session->channel);
}
