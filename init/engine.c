/*
 * init's engine. One thread, one loop: messages of the host, reports of children that prepare
 * themselves, SIGCHLD, and the streams (streams.c).
 *
 * A container's first process goes PREPARING → PREPARED → STARTING → RUNNING; every change of state
 * that the host asked for is answered by the RESULT it waits for. A process that ends after it was
 * PREPARED yields an EXIT; one that failed before, or whose exec failed, only the failing RESULT.
 */
#include "init/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/cgroups.h"
#include "init/container.h"
#include "init/flush.h"
#include "init/io.h"
#include "init/process.h"
#include "init/setup.h"

struct container {
    struct container *next;
    struct engine *engine;
    uint32_t id;            /* the host's number */
    char *name;             /* its id, and the name of its cgroup */
    int cgroup;             /* descriptor of its directory; -1: none */
    struct process process; /* the first one, FIELD_PROCESS 0 */
};

static struct container *container_find(const struct engine *engine, uint32_t id)
{
    struct container *container = engine->containers;

    while (container && container->id != id)
        container = container->next;
    return container;
}

static struct container *container_of_process(struct process *process)
{
    return (struct container *)((char *)process - offsetof(struct container, process));
}

static void container_destroy(struct container *container)
{
    struct engine *engine = container->engine;
    struct container **link = &engine->containers;

    while (*link && *link != container)
        link = &(*link)->next;
    if (*link)
        *link = container->next;
    process_close(&container->process);
    if (container->cgroup >= 0)
        cgroups_remove(engine->config.cgroup, container->name);
    io_close(&container->cgroup);
    free(container->name);
    free(container);
}

/* A message that cannot be sent means that the host is gone. */
static void engine_sent(struct engine *engine, int ret)
{
    if (ret < 0 && !engine->fatal)
        engine->fatal = ret;
}

static void send_result(struct process *process, const struct failure *failure)
{
    struct engine *engine = container_of_process(process)->engine;

    engine_sent(engine, channel_send_result(&engine->channel, process->container, process->sequence,
                                            failure));
}

/* When the process is gone and its last byte is with the host, the host hears of it. */
static void process_conclude(struct process *process)
{
    struct container *container = container_of_process(process);
    struct engine *engine = container->engine;

    if (process->pid != 0)
        return;
    if (process->state != PROCESS_FAILED) {
        if (process_has_output(process))
            return;
        if (engine->shares_mounted)
            flush_shares(engine->config.places.shares);
        engine_sent(engine, channel_send_exit(&engine->channel, process->container, process->id,
                                              process->status));
    }
    container_destroy(container);
}

static void process_fail(struct process *process, const struct failure *failure)
{
    process->state = PROCESS_FAILED;
    send_result(process, failure);
}

static void process_take_report(struct process *process, const struct report *report)
{
    if (report->kind == REPORT_FAILED) {
        process_fail(process, &report->failure);
    } else if (process->state == PROCESS_PREPARING) {
        process->state = PROCESS_PREPARED;
        send_result(process, NULL);
    }
}

/* Takes what the child has said so far. */
static void process_pump_reports(struct process *process)
{
    struct report report;
    int ret;

    if (process->report.fd < 0)
        return;
    while ((ret = process_read_report(process, &report)) == 1)
        process_take_report(process, &report);
    if (ret == -EAGAIN)
        return;
    watch_close(&process->report);
    /* The exec closes the child's end: success. Its death does too; then an EXIT follows. */
    if (process->state == PROCESS_STARTING) {
        process->state = PROCESS_RUNNING;
        send_result(process, NULL);
    }
}

static void report_ready(struct watch *watch, uint32_t events)
{
    process_pump_reports(watch->context);
}

static void process_stream_ended(struct stream *stream)
{
    process_conclude(stream->context);
}

static uint8_t exit_status(int status)
{
    return (uint8_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void process_reaped(struct process *process, int status)
{
    process->pid = 0;
    process->status = exit_status(status);
    process_pump_reports(process);
    if (process->state == PROCESS_PREPARING) {
        struct failure failure;

        failure_set(&failure, EIO,
                    "container: its process ended while it was being prepared (%s %d)",
                    WIFSIGNALED(status) ? "signal" : "status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        process_fail(process, &failure);
    }
    stream_stop(&process->streams[0]);
    process_conclude(process);
}

/* Everything that ends in this machine without a parent ends here. */
static void signals_ready(struct watch *watch, uint32_t events)
{
    struct engine *engine = watch->context;
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    if (read(watch->fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
        engine_sent(engine, -errno);
    /* One signal may stand for many children. */
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        struct container *container = engine->containers;

        while (container && container->process.pid != pid)
            container = container->next;
        if (container)
            process_reaped(&container->process, status);
    }
}

static int handle_setup(struct engine *engine, const struct protocol_header *header,
                        struct protocol_reader fields, struct failure *failure)
{
    struct protocol_field tag;
    int ret = setup_apply(fields, engine->config.places.shares, failure);

    if (ret < 0)
        return ret;
    if (protocol_find(fields, FIELD_SHARE_TAG, &tag) == 1)
        engine->shares_mounted = true;
    engine_sent(engine,
                channel_send_result(&engine->channel, header->container, header->sequence, NULL));
    return 0;
}

static int container_spawn(struct container *container, struct container_plan *plan,
                           struct failure *failure)
{
    struct engine *engine = container->engine;
    const struct process_request request = {
        .plan = plan,
        .places = &engine->config.places,
        .cgroup = container->cgroup,
        .epoll = engine->epoll,
        .connect_port = engine->config.connect_port,
        .report = report_ready,
        .stream_ended = process_stream_ended,
    };

    return process_spawn(&container->process, &request, failure);
}

/* Return: a container in the list of @engine, without a process yet; NULL without memory. */
static struct container *container_create(struct engine *engine,
                                          const struct protocol_header *header, const char *name)
{
    struct container *container = calloc(1, sizeof(*container));

    if (!container)
        return NULL;
    container->engine = engine;
    container->id = header->container;
    container->cgroup = -1;
    container->process.container = header->container;
    container->process.sequence = header->sequence;
    container->process.report.fd = -1;
    container->process.report.epoll = -1;
    container->next = engine->containers;
    engine->containers = container;
    container->name = strdup(name);
    if (container->name)
        return container;
    container_destroy(container);
    return NULL;
}

static int container_start_preparing(struct engine *engine, const struct protocol_header *header,
                                     struct container_plan *plan, struct failure *failure)
{
    struct container *container = container_create(engine, header, plan->id);
    int ret;

    if (!container)
        return failure_set(failure, ENOMEM, "container: out of memory");
    if (engine->config.cgroup >= 0) {
        container->cgroup = cgroups_create(engine->config.cgroup, plan->id);
        if (container->cgroup < 0) {
            ret = failure_set(failure, -container->cgroup, "cgroup %s: %s", plan->id,
                              failure_describe(-container->cgroup));
            container_destroy(container);
            return ret;
        }
    }
    ret = container_spawn(container, plan, failure);
    if (ret < 0)
        container_destroy(container);
    return ret;
}

/* Answered when the child reports. */
static int handle_container(struct engine *engine, const struct protocol_header *header,
                            struct protocol_reader fields, struct failure *failure)
{
    struct container_plan plan;
    int ret;

    if (container_find(engine, header->container))
        return failure_set(failure, EEXIST, "container %u exists already", header->container);
    ret = container_plan_parse(&plan, fields, failure);
    if (ret == 0)
        ret = container_start_preparing(engine, header, &plan, failure);
    container_plan_free(&plan);
    return ret;
}

/* Answered when the exec has succeeded or failed. */
static int handle_start(struct engine *engine, const struct protocol_header *header,
                        struct protocol_reader fields, struct failure *failure)
{
    struct container *container = container_find(engine, header->container);
    int ret;

    if (!container || container->process.pid == 0)
        return failure_set(failure, ESRCH, "no such process");
    if (container->process.state != PROCESS_PREPARED)
        return failure_set(failure, EINVAL, "container %u was started already", header->container);
    ret = process_release(&container->process);
    if (ret < 0)
        return failure_set(failure, ESRCH, "no such process");
    container->process.sequence = header->sequence;
    container->process.state = PROCESS_STARTING;
    return 0;
}

/* Has no answer: who is gone already needs no signal. */
static int handle_signal(struct engine *engine, const struct protocol_header *header,
                         struct protocol_reader fields, struct failure *failure)
{
    const struct container *container = container_find(engine, header->container);
    struct protocol_field field;
    uint64_t number = 0, process = 0, all = 0;
    bool bad = false;

    if (protocol_find(fields, FIELD_SIGNAL, &field) == 1)
        number = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_PROCESS, &field) == 1)
        process = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_ALL, &field) == 1)
        all = protocol_u64(&field, &bad);
    if (bad || !container || number == 0 || number >= NSIG || container->process.pid == 0)
        return 0;
    if (all && container->cgroup >= 0)
        cgroups_signal(container->cgroup, (int)number);
    else if (process == container->process.id)
        kill(container->process.pid, (int)number);
    return 0;
}

/* A handler that returns an error has not answered: then the failure is the answer. */
static const struct {
    uint16_t type;
    int (*handle)(struct engine *engine, const struct protocol_header *header,
                  struct protocol_reader fields, struct failure *failure);
} messages[] = {
    { MESSAGE_SETUP, handle_setup }, { MESSAGE_CONTAINER, handle_container },
    { MESSAGE_START, handle_start }, { MESSAGE_SIGNAL, handle_signal },
    { MESSAGE_BIND, handle_setup },
};

static void engine_handle(struct engine *engine, const struct protocol_header *header,
                          struct protocol_reader fields)
{
    struct failure failure;
    int ret = -ENOSYS;

    failure_set(&failure, ENOSYS, "message type %u is not known to init", header->type);
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (messages[i].type == header->type)
            ret = messages[i].handle(engine, header, fields, &failure);
    if (ret < 0)
        engine_sent(engine, channel_send_result(&engine->channel, header->container,
                                                header->sequence, &failure));
}

static void control_ready(struct watch *watch, uint32_t events)
{
    struct engine *engine = watch->context;
    struct protocol_header header;
    struct protocol_reader fields;
    int ret;

    while ((ret = channel_receive(&engine->channel, &header, &fields)) == 1)
        engine_handle(engine, &header, fields);
    engine_sent(engine, ret);
}

int engine_init(struct engine *engine, const struct engine_config *config)
{
    sigset_t mask;
    int ret;

    *engine = (struct engine) { .config = *config, .epoll = -1 };
    channel_init(&engine->channel, config->control);
    engine->control = watch_of(config->control, control_ready, engine);
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    engine->signals =
        watch_of(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), signals_ready, engine);
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (engine->signals.fd < 0 || engine->epoll < 0)
        return -errno;
    ret = watch_set(&engine->signals, engine->epoll, EPOLLIN);
    return ret < 0 ? ret : watch_set(&engine->control, engine->epoll, EPOLLIN);
}

int engine_run(struct engine *engine, const char *release)
{
    engine_sent(engine, channel_send_hello(&engine->channel, release));
    while (!engine->fatal)
        engine_sent(engine, events_run_one(engine->epoll));
    return engine->fatal;
}

void engine_destroy(struct engine *engine)
{
    struct container *container;

    while ((container = engine->containers)) {
        engine->containers = container->next;
        if (container->process.pid > 0)
            kill(container->process.pid, SIGKILL);
        container_destroy(container);
    }
    watch_stop(&engine->control);
    watch_close(&engine->signals);
    io_close(&engine->epoll);
    channel_destroy(&engine->channel);
}
