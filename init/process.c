/* Starting the child that becomes a process, and talking to it until it has. */
#include "init/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
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

/* Both ends of everything the child shares with init. */
struct connections {
    int report[2]; /* init's end, the child's end */
    int ours[PROCESS_STREAMS], theirs[PROCESS_STREAMS], host[PROCESS_STREAMS];
};

static void connections_close(struct connections *connections)
{
    for (int i = 0; i < 2; i++)
        io_close(&connections->report[i]);
    for (int i = 0; i < PROCESS_STREAMS; i++) {
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
                     int index, struct failure *failure)
{
    uid_t owner = id_map_outside(request->uid_map, request->workload.process->uid);
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return failure_errno(failure, "stream %d: pipe", index);
    connections->ours[index] = ends[index == 0];
    connections->theirs[index] = ends[index != 0];
    if (fcntl(connections->ours[index], F_SETFL, O_NONBLOCK) < 0 ||
        fchown(connections->theirs[index], owner, (gid_t)-1) < 0)
        return failure_errno(failure, "stream %d", index);
    return 0;
}

static int open_stream(struct connections *connections, const struct process *process,
                       const struct process_request *request, int index, struct failure *failure)
{
    bool terminal = request->workload.process->terminal;
    int ret = terminal ? 0 : open_pipe(connections, request, index, failure);

    if (ret < 0)
        return ret;
    connections->host[index] = request->connect_port(PORT_STREAM);
    ret = connections->host[index];
    if (ret >= 0)
        ret = channel_announce_stream(connections->host[index], process->container->id, process->id,
                                      (uint32_t)index, request->secret);
    if (ret < 0)
        return failure_set(failure, -ret, "stream %d: connect to the host: %s", index,
                           failure_describe(-ret));
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

/* Hands the descriptors to the loop. */
static int watch_connections(struct process *process, const struct process_request *request,
                             struct connections *connections)
{
    int ret;

    process->report = watch_of(steal_fd(&connections->report[0]), request->report, process);
    ret = watch_set(&process->report, request->epoll, EPOLLIN);
    if (request->workload.process->terminal) {
        process->host[0] = steal_fd(&connections->host[0]);
        process->host[1] = steal_fd(&connections->host[1]);
        return ret;
    }
    for (int i = 0; i < PROCESS_STREAMS && ret == 0; i++)
        ret =
            stream_start(&process->streams[i], request->epoll, steal_fd(&connections->ours[i]),
                         steal_fd(&connections->host[i]), i == 0, request->stream_changed, process);
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
    struct connections connections = { { -1, -1 }, { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1, -1 } };
    int ret = open_connections(&connections, process, request, failure);

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

bool process_has_output(const struct process *process)
{
    return process->streams[1].open || process->streams[2].open || process->terminal.open;
}

void process_settle(struct process *process)
{
    for (int i = 0; i < PROCESS_STREAMS; i++)
        stream_settle(&process->streams[i]);
    terminal_settle(&process->terminal);
}

bool process_is_settled(const struct process *process)
{
    return stream_is_settled(&process->streams[1]) && stream_is_settled(&process->streams[2]) &&
           terminal_is_settled(&process->terminal);
}

bool process_has_streams(const struct process *process)
{
    return process->streams[0].open || process_has_output(process);
}

void process_cut_streams(struct process *process)
{
    for (int i = 0; i < PROCESS_STREAMS; i++)
        stream_stop(&process->streams[i]);
    terminal_stop(&process->terminal);
    io_close(&process->host[0]);
    io_close(&process->host[1]);
}

void process_close(struct process *process)
{
    watch_close(&process->report);
    process_cut_streams(process);
}
