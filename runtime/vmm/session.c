/* The state machine: from boot to the end. What takes it from state to state is what init says. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/report.h"
#include "vmm/session_internal.h"

/*
 * How long the end of the container waits for readers of other processes' output, s: one that reads
 * gets all there is, one that does not cannot keep the container from ending.
 */
#define GRACE_SECONDS 1

/* ---- sending ---- */

void session_send(struct session *session, struct protocol_writer *writer)
{
    if (channel_send_message(&session->channel, writer) < 0)
        session_fail(session, ENOMEM, "out of memory");
}

static void send_setup(struct session *session)
{
    struct protocol_writer writer = { 0 };
    struct timespec now;
    uint8_t entropy[64];
    uint64_t late =
        session->config.attach_late ? session->config.attach_late(session->config.context) : 0;

    if (getrandom(session->secret, sizeof(session->secret), 0) != sizeof(session->secret)) {
        session_fail(session, EIO, "no random numbers");
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    protocol_begin(&writer, MESSAGE_SETUP, 0, SEQUENCE_SETUP);
    protocol_put_bytes(&writer, FIELD_SECRET, session->secret, sizeof(session->secret));
    protocol_put_u64(&writer, FIELD_TIME,
                     (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    if (getrandom(entropy, sizeof(entropy), 0) == sizeof(entropy))
        protocol_put_bytes(&writer, FIELD_ENTROPY, entropy, sizeof(entropy));
    for (unsigned int slot = 0; slot < 64; slot++)
        if (late >> slot & 1)
            protocol_put_u64(&writer, FIELD_SLOT, slot);
    if (session->config.has_shares)
        protocol_put_string(&writer, FIELD_SHARE_TAG, SESSION_SHARE_TAG);
    session_send(session, &writer);
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
    if (channel_send(&session->channel, copy, session->config.guest_plan_length) < 0)
        session_fail(session, ENOMEM, "out of memory");
}

void session_hold(struct session *session, struct protocol_writer *writer)
{
    uint8_t *held = protocol_finish(writer) == 0
                        ? realloc(session->held, session->held_length + writer->length)
                        : NULL;

    if (held) {
        memcpy(held + session->held_length, writer->data, writer->length);
        session->held = held;
        session->held_length += writer->length;
    }
    free(writer->data);
    if (!held)
        session_fail(session, ENOMEM, "out of memory");
}

static void send_held(struct session *session)
{
    uint8_t *held = session->held;

    session->held = NULL;
    if (held && channel_send(&session->channel, held, session->held_length) < 0)
        session_fail(session, ENOMEM, "out of memory");
}

void session_greet(struct session *session)
{
    session->greeted = true;
    send_setup(session);
    if (session->state != SESSION_BOOTING)
        return;
    send_plan(session);
    send_held(session);
}

void session_try_start(struct session *session)
{
    struct protocol_writer writer = { 0 };

    if (!session->start_wanted || session->start_sent || session->state != SESSION_CREATED)
        return;
    session->start_sent = true;
    protocol_begin(&writer, MESSAGE_START, 0, SEQUENCE_PLAN + session->plan_count);
    session_send(session, &writer);
}

void session_send_size(struct session *session)
{
    if (session->rows && session->columns)
        session_exec_resize(session, 0, session->rows, session->columns);
}

void session_resize(struct session *session, unsigned int rows, unsigned int columns)
{
    session->rows = rows;
    session->columns = columns;
    if (session->state == SESSION_CREATED || session->state == SESSION_RUNNING)
        session_send_size(session);
}

/* ---- ending ---- */

void session_answer_start(struct session *session, const struct error *failure)
{
    session_answer *answer = session->answer;

    session->answer = NULL;
    if (answer)
        answer(session->answer_context, failure, (struct protocol_reader) { 0 });
}

void session_settle(struct session *session)
{
    if (session->state < SESSION_EXITED || !session->first->drained)
        return;
    for (struct process *p = session->processes.first; p; p = p->next)
        if (!p->drained && !session->grace_over)
            return;
    session_tell_exits(session);
    loop_stop(session->config.loop);
}

static void process_settled(void *context, struct process *process)
{
    (void)process;
    session_settle(context);
}

static void handle_grace(void *context, int fd, uint32_t events)
{
    struct session *session = context;

    (void)events;
    loop_remove(session->config.loop, fd);
    session->grace_over = true;
    session_settle(session);
}

bool session_tell_prepared(struct session *session, const struct error *failure)
{
    void (*prepared)(void *, const struct error *) = session->config.prepared;

    session->config.prepared = NULL;
    if (prepared)
        prepared(session->config.context, failure);
    return prepared != NULL;
}

/* The state says already how it ended. */
static void begin_end(struct session *session, const struct error *why)
{
    const struct itimerspec grace = { .it_value.tv_sec = GRACE_SECONDS };

    session_answer_all(session, why);
    session_claim_all(session);
    timerfd_settime(session->grace_fd, 0, &grace, NULL);
    for (struct process *p = session->processes.first; p; p = p->next)
        if (!p->finishing)
            process_finish(p, process_settled, session);
    session_settle(session);
}

void session_fail(struct session *session, int code, const char *text)
{
    if (session->state >= SESSION_EXITED)
        return;
    session->state = SESSION_FAILED;
    error_set(&session->failure, code, "%s", text);
    session->status = code == ENOENT ? 127 : code == EACCES ? 126 : SESSION_STATUS_FAILED;
    if (session->answer)
        session_answer_start(session, &session->failure);
    else if (!session_tell_prepared(session, &session->failure))
        report_error("%s", session->failure.message);
    begin_end(session, &session->failure);
}

void session_end_with(struct session *session, int status)
{
    struct error why;

    session->state = SESSION_EXITED;
    session->status = status;
    error_set(&why, ESRCH, "the container has stopped");
    begin_end(session, &why);
}

void session_machine_ended(struct session *session, const char *why)
{
    session_fail(session, EIO, why);
}

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

static int prepare(struct session *session, struct error *err)
{
    const struct session_config *config = &session->config;
    int fds[STREAM_COUNT + PROTOCOL_DESCRIPTORS_MAX] = { STDIN_FILENO, STDOUT_FILENO,
                                                         STDERR_FILENO };
    const struct process_descriptors descriptors = {
        .fds = fds,
        .terminal = config->terminal,
        .ownership = config->terminal ? STREAM_KEEP : STREAM_HOLD,
        .kinds = config->further_kinds,
        .further = config->further_count,
    };
    int ret = count_plan(session, err);

    if (ret < 0)
        return ret;
    session->next_sequence = SEQUENCE_PLAN + session->plan_count + 1;
    if (config->further_count)
        memcpy(fds + (config->terminal ? 1 : STREAM_COUNT), config->further,
               config->further_count * sizeof(fds[0]));
    session->first = processes_add(&session->processes, &descriptors, err);
    if (!session->first)
        return -err->code;
    session->grace_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (session->grace_fd < 0)
        return error_set_errno(err, "timerfd");
    ret = loop_add(config->loop, session->grace_fd, EPOLLIN, handle_grace, session);
    return ret < 0 ? error_set(err, -ret, "event loop: %s", strerror(-ret)) : 0;
}

int session_create(struct session **out, const struct session_config *config, struct error *err)
{
    struct session *session = calloc(1, sizeof(*session));
    int ret;

    if (!session)
        return error_set(err, ENOMEM, "out of memory");
    session->config = *config;
    session->processes = (struct processes) { .loop = config->loop, .proc_fd = config->proc_fd };
    session->start_wanted = config->autostart;
    session->status = SESSION_STATUS_FAILED;
    session->grace_fd = -1;
    session->pid = getpid();
    ret = prepare(session, err);
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
    session_answer_all(session, NULL);
    session_close_resolver(session);
    processes_release(&session->processes);
    channel_release(&session->channel);
    free(session->held);
    if (session->grace_fd >= 0)
        loop_remove(session->config.loop, session->grace_fd);
    fd_close(&session->grace_fd);
    free(session);
}

void session_start(struct session *session, session_answer *answer, void *context)
{
    struct error failure;

    if (session->start_wanted) {
        error_set(&failure, EINVAL, "cannot start a container that has been started");
        answer(context, &failure, (struct protocol_reader) { 0 });
        return;
    }
    session->answer = answer;
    session->answer_context = context;
    session->start_wanted = true;
    session_try_start(session);
}

/* signal(7): these do not end a process without a handler; there is nothing yet to be stopped. */
static bool ends_nothing(unsigned int signal)
{
    return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH ||
           signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static void end_by_signal(struct session *session, unsigned int signal)
{
    struct error failure;

    if (session->state >= SESSION_EXITED)
        return;
    error_set(&failure, EINTR, "container was killed by signal %u before it started", signal);
    session_tell_prepared(session, &failure);
    session_answer_start(session, &failure);
    session_end_with(session, 128 + (int)signal);
}

void session_signal(struct session *session, unsigned int signal, bool all)
{
    struct protocol_writer writer = { 0 };

    if (session->state == SESSION_RUNNING) {
        if (signal != SIGKILL && !channel_keeps_up(&session->channel))
            return;
        protocol_begin(&writer, MESSAGE_SIGNAL, 0, 0);
        protocol_put_u64(&writer, FIELD_PROCESS, 0);
        protocol_put_u64(&writer, FIELD_SIGNAL, signal);
        protocol_put_u64(&writer, FIELD_ALL, all);
        session_send(session, &writer);
    } else if (session->state < SESSION_RUNNING && !ends_nothing(signal)) {
        end_by_signal(session, signal);
    }
}

void session_kill(struct session *session)
{
    end_by_signal(session, SIGKILL);
}

enum session_state session_state(const struct session *session)
{
    return session->state;
}

bool session_out_of_memory(const struct session *session)
{
    return session->state == SESSION_EXITED && session->short_of_memory &&
           session->status == 128 + SIGKILL;
}

int session_status(const struct session *session)
{
    return session->status;
}
