/* Starting the child that becomes a process, and talking to it until it has. */
#include "init/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "init/birth.h"
#include "init/cgroups.h"
#include "init/channel.h"
#include "init/container.h"
#include "init/io.h"
#include "init/userns.h"

#define STREAMS_MAX (PROCESS_STREAMS + (int)PROTOCOL_DESCRIPTORS_MAX)

/* Both ends of everything the child shares with init. */
struct connections {
    int report[2]; /* init's end, the child's end */
    int ours[STREAMS_MAX], theirs[STREAMS_MAX], host[STREAMS_MAX];
};

static void connections_init(struct connections *connections)
{
    connections->report[0] = connections->report[1] = -1;
    for (int i = 0; i < STREAMS_MAX; i++)
        connections->ours[i] = connections->theirs[i] = connections->host[i] = -1;
}

static void connections_close(struct connections *connections)
{
    for (int i = 0; i < 2; i++)
        io_close(&connections->report[i]);
    for (int i = 0; i < STREAMS_MAX; i++) {
        io_close(&connections->ours[i]);
        io_close(&connections->theirs[i]);
        io_close(&connections->host[i]);
    }
}

/*
 * A pipe and not the connection itself, because a socket cannot be opened again as /dev/stdout. It
 * belongs to the workload's user for the same reason (runc: fixStdioPermissions).
 */
static int open_pipe(struct connections *connections, const struct process_request *request,
                     int index, bool input, struct failure *failure)
{
    uid_t owner = id_map_outside(request->uid_map, request->workload.process->uid);
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return failure_errno(failure, "stream %d: pipe", index);
    connections->ours[index] = ends[input];
    connections->theirs[index] = ends[!input];
    if (fcntl(connections->ours[index], F_SETFL, O_NONBLOCK) < 0 ||
        fchown(connections->theirs[index], owner, (gid_t)-1) < 0)
        return failure_errno(failure, "stream %d", index);
    return 0;
}

static int connect_stream(struct connections *connections, const struct process *process,
                          const struct process_request *request, int index, struct failure *failure)
{
    int ret = request->connect_port(PORT_STREAM);

    connections->host[index] = ret;
    if (ret >= 0)
        ret = channel_announce_stream(connections->host[index], process->container->id, process->id,
                                      (uint32_t)index, request->secret);
    if (ret < 0)
        return failure_set(failure, -ret, "stream %d: connect to the host: %s", index,
                           failure_describe(-ret));
    return 0;
}

static int open_stream(struct connections *connections, const struct process *process,
                       const struct process_request *request, int index, struct failure *failure)
{
    int ret = 0;

    if (!request->workload.process->terminal)
        ret = open_pipe(connections, request, index, index == 0, failure);
    return ret == 0 ? connect_stream(connections, process, request, index, failure) : ret;
}

static uint64_t kind_of(const struct process_request *request, int index)
{
    return *LIST_AT(request->workload.process->descriptors, uint64_t, index - PROCESS_STREAMS);
}

/* A socket of the host is a socket here too: the connection itself, which nobody else looks at. */
static int open_further(struct connections *connections, const struct process *process,
                        const struct process_request *request, int index, struct failure *failure)
{
    uint64_t kind = kind_of(request, index);
    int ret = 0;

    if (kind != DESCRIPTOR_SOCKET)
        ret = open_pipe(connections, request, index, kind == DESCRIPTOR_INPUT, failure);
    if (ret == 0)
        ret = connect_stream(connections, process, request, index, failure);
    if (ret < 0 || kind != DESCRIPTOR_SOCKET)
        return ret;
    connections->theirs[index] = steal_fd(&connections->host[index]);
    if (fcntl(connections->theirs[index], F_SETFL, 0) < 0)
        return failure_errno(failure, "stream %d", index);
    return 0;
}

static int open_connections(struct connections *connections, const struct process *process,
                            const struct process_request *request, struct failure *failure)
{
    /* Packets, so that a report comes whole or not at all. */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, connections->report) < 0)
        return failure_errno(failure, "socketpair");
    /* A terminal has only the streams 0 and 1. */
    for (int i = 0; i < PROCESS_STREAMS - request->workload.process->terminal; i++) {
        int ret = open_stream(connections, process, request, i, failure);

        if (ret < 0)
            return ret;
    }
    for (int i = PROCESS_STREAMS; i < PROCESS_STREAMS + (int)process->further_count; i++) {
        int ret = open_further(connections, process, request, i, failure);

        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Return: the pid here, 0 in the child, or -errno. */
static pid_t clone_first(const struct process_request *request, struct failure *failure)
{
    uint64_t namespaces = request->workload.plan->namespaces;
    const struct birth birth = {
        /* The root of a user namespace is to own its message queues: it makes these itself. */
        .namespaces = namespaces & ~(uint64_t)(namespaces & CLONE_NEWUSER ? CLONE_NEWIPC : 0),
        .time_offsets = &request->workload.plan->time_offsets,
        .cgroup = request->cgroup,
        .join = -1,
    };

    return birth_clone(&birth, failure);
}

/* Likewise. @join: pidfd of the container's first process. */
static pid_t clone_further(const struct process_request *request, int join, struct failure *failure)
{
    struct birth birth = { .cgroup = request->cgroup, .join = join };
    _cleanup_close_ int cgroup = -1;
    pid_t pid = birth_clone(&birth, failure);

    if (pid != -EBUSY || request->cgroup < 0)
        return pid;
    /*
     * A cgroup that shares its controllers out to others below takes no processes: the workload,
     * systemd for example, has moved itself below. Then its first process knows where one can be.
     */
    cgroup = cgroups_of_process(request->cgroup, request->workload.id, request->join);
    if (cgroup < 0)
        return failure_set(failure, -cgroup, "cgroup of the container's first process: %s",
                           failure_describe(-cgroup));
    birth.cgroup = cgroup;
    return birth_clone(&birth, failure);
}

/* Hands a pair of descriptors to the loop. */
static int begin_stream(struct process *process, const struct process_request *request,
                        struct connections *connections, int index)
{
    struct stream *stream = index < PROCESS_STREAMS ? &process->streams[index]
                                                    : &process->further[index - PROCESS_STREAMS];
    bool input = index < PROCESS_STREAMS ? index == 0 : kind_of(request, index) == DESCRIPTOR_INPUT;

    return stream_start(stream, request->epoll, steal_fd(&connections->ours[index]),
                        steal_fd(&connections->host[index]), input, request->stream_changed,
                        process);
}

static int watch_connections(struct process *process, const struct process_request *request,
                             struct connections *connections)
{
    bool terminal = request->workload.process->terminal;
    int ret;

    process->report = watch_of(steal_fd(&connections->report[0]), request->report, process);
    ret = watch_set(&process->report, request->epoll, EPOLLIN);
    for (int i = 0; terminal && i < 2; i++)
        process->host[i] = steal_fd(&connections->host[i]);
    for (int i = terminal ? PROCESS_STREAMS : 0; i < STREAMS_MAX && ret == 0; i++)
        if (connections->ours[i] >= 0)
            ret = begin_stream(process, request, connections, i);
    return ret;
}

/* What only init can do for the child, which waits for it. */
static int admit_child(struct process *process, const struct process_request *request,
                       struct failure *failure)
{
    int ret;

    if (!request->workload.plan || !request->workload.user_namespace)
        return 0;
    ret = userns_admit(process->pid, request->workload.plan, failure);
    if (ret == 0 && process_release(process) < 0)
        ret = failure_errno(failure, "user namespace");
    return ret;
}

void process_init(struct process *process, struct container *container, uint32_t id,
                  uint32_t sequence)
{
    *process = (struct process) {
        .container = container,
        .id = id,
        .sequence = sequence,
        .report = watch_of(-1, NULL, NULL),
        .host = { -1, -1 },
    };
}

/* In the child. */
static _Noreturn void run_workload(const struct process_request *request,
                                   const struct connections *connections, int join)
{
    struct workload workload = request->workload;

    workload.report = connections->report[1];
    workload.join = join;
    memcpy(workload.stdio, connections->theirs, sizeof(workload.stdio));
    memcpy(workload.further, connections->theirs + PROCESS_STREAMS, sizeof(workload.further));
    workload_run(&workload);
}

static int start_child(struct process *process, const struct process_request *request,
                       struct connections *connections, struct failure *failure)
{
    _cleanup_close_ int join = -1;
    pid_t pid;
    int ret;

    if (!request->workload.plan) {
        join = pidfd_open(request->join, 0);
        if (join < 0)
            return failure_errno(failure, "the container's first process");
    }
    pid = request->workload.plan ? clone_first(request, failure)
                                 : clone_further(request, join, failure);
    if (pid < 0)
        return pid;
    if (pid == 0)
        run_workload(request, connections, join);
    process->state = request->workload.plan ? PROCESS_PREPARING : PROCESS_STARTING;
    process->pid = pid;
    ret = watch_connections(process, request, connections);
    if (ret < 0)
        failure_set(failure, -ret, "epoll: %s", failure_describe(-ret));
    else
        ret = admit_child(process, request, failure);
    if (ret < 0) {
        process_close(process);
        /* Nobody knows it: the loop reaps it like any orphan. */
        kill(pid, SIGKILL);
    }
    return ret;
}

int process_spawn(struct process *process, const struct process_request *request,
                  struct failure *failure)
{
    size_t further = request->workload.process->descriptors.count;
    struct connections connections;
    int ret;

    connections_init(&connections);
    if (further) {
        process->further = calloc(further, sizeof(*process->further));
        if (!process->further)
            return failure_set(failure, ENOMEM, "process: out of memory");
        process->further_count = (unsigned int)further;
    }
    ret = open_connections(&connections, process, request, failure);
    if (ret == 0)
        ret = start_child(process, request, &connections, failure);
    connections_close(&connections);
    return ret;
}

int process_read_report(struct process *process, struct report *report, int *master)
{
    struct iovec part = { .iov_base = report, .iov_len = sizeof(*report) };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    const struct cmsghdr *header;
    ssize_t n;

    *master = -1;
    if (process->report.fd < 0)
        return 0;
    n = recvmsg(process->report.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return 0;
    header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(master, CMSG_DATA(header), sizeof(*master));
    if ((size_t)n != sizeof(*report)) {
        io_close(master);
        return -EPROTO;
    }
    report->failure.text[sizeof(report->failure.text) - 1] = '\0';
    return 1;
}

int process_release(struct process *process)
{
    if (send(process->report.fd, "", 1, MSG_NOSIGNAL) < 0)
        return -errno;
    return 0;
}

int process_start_terminal(struct process *process, int epoll, int master,
                           terminal_changed *changed)
{
    if (process->terminal.open || process->host[0] < 0) {
        close(master);
        return -EPROTO;
    }
    if (process->rows || process->columns)
        terminal_set_size(master, process->rows, process->columns);
    return terminal_start(&process->terminal, epoll, master, steal_fd(&process->host[0]),
                          steal_fd(&process->host[1]), changed, process);
}

void process_resize(struct process *process, uint16_t rows, uint16_t columns)
{
    process->rows = rows;
    process->columns = columns;
    if (process->terminal.open)
        terminal_set_size(process->terminal.master.fd, rows, columns);
}

void process_stop_input(struct process *process)
{
    stream_stop(&process->streams[0]);
    for (unsigned int i = 0; i < process->further_count; i++)
        if (process->further[i].to_workload)
            stream_stop(&process->further[i]);
}

bool process_has_output(const struct process *process)
{
    for (unsigned int i = 0; i < process->further_count; i++)
        if (process->further[i].open && !process->further[i].to_workload)
            return true;
    return process->streams[1].open || process->streams[2].open || process->terminal.open;
}

void process_settle(struct process *process)
{
    for (int i = 0; i < PROCESS_STREAMS; i++)
        stream_settle(&process->streams[i]);
    for (unsigned int i = 0; i < process->further_count; i++)
        stream_settle(&process->further[i]);
    terminal_settle(&process->terminal);
}

bool process_is_settled(const struct process *process)
{
    for (unsigned int i = 0; i < process->further_count; i++)
        if (!stream_is_settled(&process->further[i]))
            return false;
    return stream_is_settled(&process->streams[1]) && stream_is_settled(&process->streams[2]) &&
           terminal_is_settled(&process->terminal);
}

bool process_has_streams(const struct process *process)
{
    for (unsigned int i = 0; i < process->further_count; i++)
        if (process->further[i].open)
            return true;
    return process->streams[0].open || process_has_output(process);
}

void process_cut_streams(struct process *process)
{
    for (int i = 0; i < PROCESS_STREAMS; i++)
        stream_stop(&process->streams[i]);
    for (unsigned int i = 0; i < process->further_count; i++)
        stream_stop(&process->further[i]);
    terminal_stop(&process->terminal);
    io_close(&process->host[0]);
    io_close(&process->host[1]);
}

void process_close(struct process *process)
{
    watch_close(&process->report);
    process_cut_streams(process);
    free(process->further);
    process->further = NULL;
    process->further_count = 0;
}
