/*
 * A container of the machine.
 *
 * Its first process goes PREPARING → PREPARED → STARTING → RUNNING → EXITED, further ones begin at
 * STARTING; every change of state that the host asked for is answered by the RESULT it waits for. A
 * process that ends after it was PREPARED, or after its exec, yields an EXIT; one that failed
 * before, or whose exec failed, only the failing RESULT.
 *
 * The kernel ends a PID namespace with its first process, and that one last (zap_pid_ns_processes):
 * so when the first process has been reaped, so have all others.
 */
#include "init/container.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/cgroups.h"
#include "init/engine.h"
#include "init/flush.h"
#include "init/io.h"
#include "init/notify.h"
#include "init/sysctls.h"
#include "init/userns.h"

/*
 * How long, in seconds, a container that has ended waits for the host to take what its further
 * processes had written. A reader that has stopped reading is no reason to wait for ever: an
 * ordinary runtime would have left the bytes in a pipe.
 */
#define CONTAINER_GRACE 2

struct container *container_find(const struct engine *engine, uint32_t id)
{
    struct container *container = engine->containers;

    while (container && container->id != id)
        container = container->next;
    return container;
}

struct process *container_process(struct container *container, uint32_t id)
{
    struct process *process = container->further;

    if (id == 0)
        return &container->first;
    while (process && process->id != id)
        process = process->next;
    return process;
}

static void process_free(struct process *process)
{
    struct process **link = &process->container->further;

    while (*link && *link != process)
        link = &(*link)->next;
    if (*link)
        *link = process->next;
    process_close(process);
    free(process);
}

static void process_destroy(struct process *process)
{
    if (process->pid > 0)
        kill(process->pid, SIGKILL);
    process_close(process);
}

void container_destroy(struct container *container)
{
    struct engine *engine = container->engine;
    struct container **link = &engine->containers;

    while (*link && *link != container)
        link = &(*link)->next;
    if (*link)
        *link = container->next;
    process_destroy(&container->first);
    while (container->further) {
        process_destroy(container->further);
        process_free(container->further);
    }
    sysctls_release(&container->sysctls);
    watch_close(&container->oom);
    watch_close(&container->grace);
    if (container->notify.fd >= 0)
        notify_remove(&engine->config.places, container->id);
    watch_close(&container->notify);
    if (container->cgroup >= 0)
        cgroups_remove(engine->config.cgroup, container->name);
    io_close(&container->cgroup);
    free(container->uid_map.items);
    free(container->name);
    free(container);
}

/* --- memory that ran out --- */

static void oom_check(struct container *container)
{
    struct engine *engine = container->engine;
    uint64_t kills;

    if (container->oom.fd < 0 ||
        cgroups_read(container->cgroup, "memory.events", "oom_kill", &kills) < 0 ||
        kills <= container->oom_kills)
        return;
    container->oom_kills = kills;
    engine_sent(engine, channel_send_oom(&engine->channel, container->id));
}

static void oom_ready(struct watch *watch, uint32_t events)
{
    char text[512];

    /* A read through the watched descriptor is what makes the next change known. */
    if (pread(watch->fd, text, sizeof(text), 0) < 0)
        watch_close(watch);
    else
        oom_check(watch->context);
}

/* A machine whose kernel does not count has nothing to report. */
static void oom_watch(struct container *container)
{
    int fd = openat(container->cgroup, "memory.events", O_RDONLY | O_CLOEXEC);

    container->oom = watch_of(fd, oom_ready, container);
    if (fd >= 0 && watch_set(&container->oom, container->engine->epoll, EPOLLPRI) < 0)
        watch_close(&container->oom);
}

/* --- the end of a process --- */

static void send_result(struct process *process, const struct failure *failure)
{
    struct engine *engine = process->container->engine;

    engine_sent(engine, channel_send_result(&engine->channel, process->container->id,
                                            process->sequence, failure));
}

static void send_exit(struct process *process)
{
    struct engine *engine = process->container->engine;

    process->state = PROCESS_EXITED;
    engine_sent(engine, channel_send_exit(&engine->channel, process->container->id, process->id,
                                          process->status));
}

static void grace_over(struct watch *watch, uint32_t events);

/* The container has ended but for streams of further processes. Return: 0 or -errno. */
static int grace_begin(struct container *container)
{
    const struct itimerspec time = { .it_value.tv_sec = CONTAINER_GRACE };
    int fd;

    if (container->grace.fd >= 0)
        return 0;
    fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    container->grace = watch_of(fd, grace_over, container);
    if (fd < 0 || timerfd_settime(fd, 0, &time, NULL) < 0)
        return -errno;
    return watch_set(&container->grace, container->engine->epoll, EPOLLIN);
}

static void first_conclude(struct container *container)
{
    struct process *first = &container->first;
    struct engine *engine = container->engine;

    if (first->pid != 0 || (first->state != PROCESS_FAILED && process_has_output(first)))
        return;
    if (container->further && grace_begin(container) == 0)
        return;
    while (container->further)
        process_free(container->further);
    if (first->state != PROCESS_FAILED) {
        if (engine->shares_mounted)
            flush_shares(engine->config.places.shares);
        send_exit(first);
    }
    container_destroy(container);
}

/* When it is gone and what it wrote is with the host, the host hears of it. It may be freed. */
static void further_conclude(struct process *process)
{
    struct container *container = process->container;

    if (process->pid != 0)
        return;
    if (process->state == PROCESS_RUNNING && process_is_settled(process))
        send_exit(process);
    if (process->state == PROCESS_FAILED ||
        (process->state == PROCESS_EXITED && !process_has_streams(process))) {
        process_free(process);
        first_conclude(container);
    }
}

static void process_conclude(struct process *process)
{
    if (process->id == 0)
        first_conclude(process->container);
    else
        further_conclude(process);
}

static void grace_over(struct watch *watch, uint32_t events)
{
    struct container *container = watch->context;
    struct process *next;

    for (struct process *process = container->further; process; process = next) {
        next = process->next;
        process_cut_streams(process);
        if (process->state == PROCESS_RUNNING)
            send_exit(process);
        process_free(process);
    }
    first_conclude(container);
}

static void stream_has_changed(struct stream *stream)
{
    process_conclude(stream->context);
}

static void terminal_has_changed(struct terminal *terminal)
{
    process_conclude(terminal->context);
}

/* --- what children report --- */

static void process_fail(struct process *process, const struct failure *failure)
{
    process->state = PROCESS_FAILED;
    send_result(process, failure);
}

static void process_take_report(struct process *process, const struct report *report, int master)
{
    if (report->kind == REPORT_TERMINAL && master >= 0) {
        process_start_terminal(process, process->container->engine->epoll, master,
                               terminal_has_changed);
        return;
    }
    io_close(&master);
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
    int master;
    int ret;

    if (process->report.fd < 0)
        return;
    while ((ret = process_read_report(process, &report, &master)) == 1)
        process_take_report(process, &report, master);
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
    /* The kernel counts a victim before it kills it: the host is to know why it ended. */
    oom_check(process->container);
    /* What a further process has left behind may still read its input. */
    if (process->id == 0)
        process_stop_input(process);
    else
        process_settle(process);
    process_conclude(process);
}

void container_reap(struct engine *engine, pid_t pid, int status)
{
    for (struct container *container = engine->containers; container; container = container->next) {
        struct process *process = &container->first;

        if (process->pid != pid)
            for (process = container->further; process && process->pid != pid;)
                process = process->next;
        if (process) {
            process_reaped(process, status);
            return;
        }
    }
}

/* --- the beginning --- */

static struct process_request request_of(struct container *container, struct process_plan *process,
                                         struct container_plan *plan)
{
    const struct engine *engine = container->engine;

    return (struct process_request) {
        .workload = {
            .process = process,
            .plan = plan,
            .places = &engine->config.places,
            .id = container->name,
            .number = container->id,
            .user_namespace = container->user_namespace,
            .time_namespace = container->time_namespace,
        },
        .join = container->first.pid,
        .uid_map = &container->uid_map,
        .cgroup = container->cgroup,
        .epoll = engine->epoll,
        .connect_port = engine->config.connect_port,
        .secret = engine->secret,
        .report = report_ready,
        .stream_changed = stream_has_changed,
        .terminal_changed = terminal_has_changed,
    };
}

/* Each datagram is a message of its own; one at a time, so that others get their turn. */
static void notify_ready(struct watch *watch, uint32_t events)
{
    const struct container *container = watch->context;
    struct engine *engine = container->engine;
    char data[NOTIFY_DATAGRAM_MAX];
    ssize_t n = recv(watch->fd, data, sizeof(data), MSG_DONTWAIT);

    if (n > 0)
        engine_sent(engine, channel_send_notify(&engine->channel, container->id, data, (size_t)n));
}

static int container_notify(struct container *container, struct failure *failure)
{
    int fd = notify_open(&container->engine->config.places, container->id);
    int ret = fd;

    container->notify = watch_of(fd, notify_ready, container);
    if (fd >= 0)
        ret = watch_set(&container->notify, container->engine->epoll, EPOLLIN);
    return ret < 0 ? failure_set(failure, -ret, "NOTIFY_SOCKET: %s", failure_describe(-ret)) : 0;
}

static int container_cgroup(struct container *container, const struct limits_plan *limits,
                            struct failure *failure)
{
    int root = container->engine->config.cgroup;

    if (root < 0)
        return 0;
    container->cgroup = cgroups_create(root, container->name);
    if (container->cgroup < 0)
        return failure_set(failure, -container->cgroup, "cgroup %s: %s", container->name,
                           failure_describe(-container->cgroup));
    oom_watch(container);
    return cgroups_limit(container->cgroup, limits, failure);
}

static int container_begin(struct container *container, struct container_plan *plan,
                           struct failure *failure)
{
    struct process_request request;
    int ret;

    container->user_namespace = plan->namespaces & CLONE_NEWUSER;
    container->time_namespace = plan->namespaces & CLONE_NEWTIME;
    container->name = strdup(plan->id);
    if (!container->name)
        return failure_set(failure, ENOMEM, "container: out of memory");
    ret = container_cgroup(container, &plan->limits, failure);
    if (ret == 0)
        ret = sysctls_keep_network(&plan->sysctls, &container->sysctls);
    if (ret == -ENOMEM)
        failure_set(failure, ENOMEM, "container: out of memory");
    if (ret == 0 && plan->notify)
        ret = container_notify(container, failure);
    if (ret == 0 && container->user_namespace)
        ret = userns_prepare(plan, &container->engine->config.places, failure);
    if (ret < 0)
        return ret;
    /* The plan is gone soon; the map is needed for further processes. */
    container->uid_map = plan->uid_map;
    request = request_of(container, &plan->process, plan);
    ret = process_spawn(&container->first, &request, failure);
    plan->uid_map = (struct list) { 0 };
    return ret;
}

int container_create(struct engine *engine, uint32_t id, uint32_t sequence,
                     struct container_plan *plan, struct failure *failure)
{
    struct container *container = calloc(1, sizeof(*container));
    int ret;

    if (!container)
        return failure_set(failure, ENOMEM, "container: out of memory");
    container->engine = engine;
    container->id = id;
    container->cgroup = -1;
    container->oom = container->notify = container->grace = watch_of(-1, NULL, NULL);
    process_init(&container->first, container, 0, sequence);
    container->next = engine->containers;
    engine->containers = container;
    ret = container_begin(container, plan, failure);
    if (ret < 0)
        container_destroy(container);
    return ret;
}

int container_start(struct container *container, uint32_t sequence, struct failure *failure)
{
    struct process *first = &container->first;
    int ret;

    if (first->pid == 0)
        return failure_set(failure, ESRCH, "no such process");
    if (first->state != PROCESS_PREPARED)
        return failure_set(failure, EINVAL, "container %u was started already", container->id);
    ret = sysctls_apply_network(&container->sysctls, failure);
    if (ret < 0)
        return ret;
    if (process_release(first) < 0)
        return failure_set(failure, ESRCH, "no such process");
    first->sequence = sequence;
    first->state = PROCESS_STARTING;
    return 0;
}

int container_exec(struct container *container, uint32_t id, uint32_t sequence,
                   struct process_plan *plan, struct failure *failure)
{
    const struct process_request request = request_of(container, plan, NULL);
    struct process *process;
    int ret;

    if (container->first.pid == 0)
        return failure_set(failure, ESRCH, "cannot exec in a stopped container");
    if (container->first.state == PROCESS_PREPARING)
        return failure_set(failure, EINVAL, "container %u is still being prepared", container->id);
    if (container_process(container, id))
        return failure_set(failure, EEXIST, "process %u exists already", id);
    process = malloc(sizeof(*process));
    if (!process)
        return failure_set(failure, ENOMEM, "process: out of memory");
    process_init(process, container, id, sequence);
    process->next = container->further;
    container->further = process;
    ret = process_spawn(process, &request, failure);
    if (ret < 0)
        process_free(process);
    return ret;
}
