/* What is asked of a container that runs: further processes, statistics, new limits. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "vmm/session_internal.h"

/* ---- requests and their answers ---- */

static struct request *add_request(struct session *session, session_answer *answer, void *context)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request)
        return NULL;
    *request = (struct request) { .sequence = session->next_sequence++,
                                  .answer = answer,
                                  .context = context,
                                  .next = session->requests };
    session->requests = request;
    return request;
}

static void free_request(struct request *request)
{
    free(request->held.data);
    free(request);
}

/* Takes the request out of the list. */
static void unlink_request(struct session *session, const struct request *request)
{
    struct request **at = &session->requests;

    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
}

static void tell(const struct request *request, const struct error *failure,
                 struct protocol_reader fields)
{
    if (request->answer)
        request->answer(request->context, failure, fields);
}

static void kill_process(struct session *session, const struct process *process)
{
    session_exec_signal(session, process->number, SIGKILL);
}

/* EXEC was answered: the process runs, or there will be none. */
static void settle_exec(struct session *session, struct process *process, bool success)
{
    if (!success) {
        processes_remove(&session->processes, process);
        return;
    }
    process->running = true;
    if (process->unwanted)
        kill_process(session, process);
}

bool session_answer_request(struct session *session, uint32_t sequence, const struct error *failure,
                            struct protocol_reader fields)
{
    struct request *request = session->requests;

    while (request && request->sequence != sequence)
        request = request->next;
    /* What has not been asked yet has no answer. */
    if (!request || request->held.data)
        return false;
    unlink_request(session, request);
    if (request->process)
        settle_exec(session, request->process, !failure);
    tell(request, failure, fields);
    free_request(request);
    return true;
}

void session_answer_all(struct session *session, const struct error *why)
{
    while (session->requests) {
        struct request *request = session->requests;

        session->requests = request->next;
        if (why)
            tell(request, why, (struct protocol_reader) { 0 });
        if (request->process)
            processes_remove(&session->processes, request->process);
        free_request(request);
    }
}

void session_ask(struct session *session, uint16_t type, struct protocol_reader fields,
                 session_answer *answer, void *context)
{
    struct protocol_writer writer = { 0 };
    struct request *request = NULL;
    struct error failure;
    uint8_t *room;

    bool early = type == MESSAGE_NETWORK && session->state == SESSION_BOOTING;

    if (!early && session->state != SESSION_CREATED && session->state != SESSION_RUNNING)
        error_set(&failure, EAGAIN, "container not running");
    else if (type == MESSAGE_STATS && !channel_keeps_up(&session->channel))
        error_set(&failure, EAGAIN, "the guest does not keep up");
    else if (!(request = add_request(session, answer, context)))
        error_set(&failure, ENOMEM, "out of memory");
    if (!request) {
        answer(context, &failure, (struct protocol_reader) { 0 });
        return;
    }
    protocol_begin(&writer, type, 0, request->sequence);
    room = protocol_reserve(&writer, fields.length);
    if (room && fields.length)
        memcpy(room, fields.data, fields.length);
    if (early && !session->greeted)
        session_hold(session, &writer);
    else
        session_send(session, &writer);
}

void session_ask_abandon(struct session *session, const void *context)
{
    struct request *request = session->requests;

    while (request) {
        struct request *next = request->next;

        if (!request->process && request->context == context) {
            unlink_request(session, request);
            free_request(request);
        }
        request = next;
    }
}

void session_reclaim(struct session *session)
{
    struct protocol_writer writer = { 0 };

    if (session->state != SESSION_CREATED && session->state != SESSION_RUNNING)
        return;
    /* The guest itself decides how often its files grow too many, and whether it listens. */
    if (!channel_keeps_up(&session->channel))
        return;
    protocol_begin(&writer, MESSAGE_RECLAIM, 0, 0);
    session_send(session, &writer);
}

/* ---- further processes ---- */

/* What the message says of a process's descriptors. */
struct exec_orders {
    bool terminal;
    uint8_t kinds[PROTOCOL_DESCRIPTORS_MAX];
    size_t further;
};

/* Return: 0, or -EPROTO: it is no MESSAGE_EXEC, or has more descriptors than there may be. */
static int read_exec(const struct session_exec *exec, struct exec_orders *orders)
{
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    bool bad = false;
    int ret;

    if (exec->length < PROTOCOL_HEADER_SIZE || protocol_read_header(exec->message, &header) < 0 ||
        header.type != MESSAGE_EXEC || header.length != exec->length - PROTOCOL_HEADER_SIZE)
        return -EPROTO;
    fields = (struct protocol_reader) { exec->message + PROTOCOL_HEADER_SIZE, header.length };
    while ((ret = protocol_next(&fields, &field)) == 1) {
        uint64_t kind;

        if (field.tag == FIELD_TERMINAL)
            orders->terminal = protocol_u64(&field, &bad) == 1;
        if (field.tag != FIELD_DESCRIPTOR)
            continue;
        kind = protocol_u64(&field, &bad);
        if (kind > DESCRIPTOR_SOCKET || orders->further == PROTOCOL_DESCRIPTORS_MAX)
            return -EPROTO;
        orders->kinds[orders->further++] = (uint8_t)kind;
    }
    return ret < 0 || bad ? -EPROTO : 0;
}

/*
 * The message again, with a process number and a sequence number of our own. For runc a container
 * need only be created; while the guest still prepares it, the message waits for that.
 */
static void send_exec(struct session *session, const struct session_exec *exec,
                      struct request *request)
{
    struct protocol_reader fields = { exec->message + PROTOCOL_HEADER_SIZE,
                                      exec->length - PROTOCOL_HEADER_SIZE };
    struct protocol_writer writer = { 0 };
    struct protocol_field field;

    protocol_begin(&writer, MESSAGE_EXEC, 0, request->sequence);
    protocol_put_u64(&writer, FIELD_PROCESS, request->process->number);
    while (protocol_next(&fields, &field) == 1)
        if (field.tag != FIELD_PROCESS)
            protocol_put_bytes(&writer, field.tag, field.value.data, field.value.length);
    if (session->state == SESSION_BOOTING)
        request->held = writer;
    else
        session_send(session, &writer);
}

/* The list has the newest first. Return: the one that has been held for longest, or NULL. */
static struct request *oldest_held(const struct session *session)
{
    struct request *oldest = NULL;

    for (struct request *r = session->requests; r; r = r->next)
        if (r->held.data)
            oldest = r;
    return oldest;
}

void session_send_requests(struct session *session)
{
    struct request *request;

    while (session->state == SESSION_CREATED && (request = oldest_held(session))) {
        struct protocol_writer writer = request->held;

        request->held = (struct protocol_writer) { 0 };
        session_send(session, &writer);
    }
}

static struct process *expect_process(struct session *session, const struct session_exec *exec,
                                      struct error *err)
{
    struct exec_orders orders = { 0 };
    struct process_descriptors descriptors = { .fds = exec->fds,
                                               .ownership = STREAM_TAKE,
                                               .kinds = orders.kinds };
    int ret = read_exec(exec, &orders);

    descriptors.terminal = orders.terminal;
    descriptors.further = orders.further;
    if (ret < 0)
        error_set(err, EPROTO, "expected one message that describes a process");
    else if (session->state >= SESSION_EXITED)
        error_set(err, EINVAL, "cannot exec in a stopped container");
    else if (exec->fd_count != process_descriptor_count(&descriptors))
        error_set(err, EINVAL, "expected %s, found %zu descriptors",
                  orders.further    ? "as many as the process has"
                  : orders.terminal ? "a terminal"
                                    : "stdin, stdout and stderr",
                  exec->fd_count);
    else
        return processes_add(&session->processes, &descriptors, err);
    for (size_t i = 0; i < exec->fd_count; i++)
        close(exec->fds[i]);
    return NULL;
}

int session_exec(struct session *session, const struct session_exec *exec, uint32_t *number,
                 struct error *err)
{
    struct process *process = expect_process(session, exec, err);
    struct request *request;

    if (!process)
        return -err->code;
    request = add_request(session, exec->answer, exec->context);
    if (!request) {
        processes_remove(&session->processes, process);
        return error_set(err, ENOMEM, "out of memory");
    }
    process->owner = (struct process_owner) { exec->exited, exec->context };
    request->process = process;
    *number = process->number;
    send_exec(session, exec, request);
    return 0;
}

/* Return: the request that waits for the container to be prepared, or NULL. */
static struct request *held_exec(const struct session *session, const struct process *process)
{
    struct request *request = session->requests;

    while (request && !(request->held.data && request->process == process))
        request = request->next;
    return request;
}

/* Return: the process if init knows it and it can still be told something. */
static struct process *live_process(struct session *session, uint32_t number)
{
    struct process *process = processes_find(&session->processes, number);

    if (!process || process->ended || session->state >= SESSION_EXITED ||
        held_exec(session, process))
        return NULL;
    return process;
}

void session_exec_signal(struct session *session, uint32_t number, unsigned int signal)
{
    struct protocol_writer writer = { 0 };

    /* A process that is to be killed must be, however far behind the guest is. */
    if (!live_process(session, number) ||
        (signal != SIGKILL && !channel_keeps_up(&session->channel)))
        return;
    protocol_begin(&writer, MESSAGE_SIGNAL, 0, 0);
    protocol_put_u64(&writer, FIELD_PROCESS, number);
    protocol_put_u64(&writer, FIELD_SIGNAL, signal);
    protocol_put_u64(&writer, FIELD_ALL, 0);
    session_send(session, &writer);
}

void session_exec_resize(struct session *session, uint32_t number, unsigned int rows,
                         unsigned int columns)
{
    struct protocol_writer writer = { 0 };

    if (!live_process(session, number) || !channel_keeps_up(&session->channel))
        return;
    protocol_begin(&writer, MESSAGE_RESIZE, 0, 0);
    protocol_put_u64(&writer, FIELD_PROCESS, number);
    protocol_put_u64(&writer, FIELD_ROWS, rows);
    protocol_put_u64(&writer, FIELD_COLUMNS, columns);
    session_send(session, &writer);
}

void session_exec_abandon(struct session *session, uint32_t number)
{
    struct process *process = processes_find(&session->processes, number);
    struct request *held;

    if (!process)
        return;
    held = held_exec(session, process);
    if (held) {
        /* Init has not heard of it, and never will. */
        unlink_request(session, held);
        free_request(held);
        processes_remove(&session->processes, process);
        return;
    }
    process->owner.exited = NULL;
    for (struct request *r = session->requests; r; r = r->next)
        if (r->process == process)
            r->answer = NULL;
    process->unwanted = true;
    /* One whose exec is not answered yet may not exist yet: settle_exec() kills it. */
    if (process->running)
        kill_process(session, process);
}

static void tell_exit(struct process *process)
{
    void (*exited)(void *, unsigned int) = process->owner.exited;

    process->owner.exited = NULL;
    if (process->ended && exited)
        exited(process->owner.context, process->status);
}

static void exec_drained(void *context, struct process *process)
{
    tell_exit(process);
    session_settle(context);
}

void session_exec_exited(struct session *session, struct process *process, unsigned int status)
{
    process->ended = true;
    process->status = status;
    process_finish(process, exec_drained, session);
}

void session_tell_exits(struct session *session)
{
    for (struct process *p = session->processes.first; p; p = p->next)
        tell_exit(p);
}
