/* Starting the child of a container, and talking to it until it has become the workload. */
#include "init/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/channel.h"
#include "init/io.h"

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
static int open_stream(struct connections *connections, const struct process *process,
                       const struct process_request *request, int index, struct failure *failure)
{
    int ends[2];
    int ret;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return failure_errno(failure, "stream %d: pipe", index);
    connections->ours[index] = ends[index == 0];
    connections->theirs[index] = ends[index != 0];
    if (fcntl(connections->ours[index], F_SETFL, O_NONBLOCK) < 0 ||
        fchown(connections->theirs[index], request->plan->uid, (gid_t)-1) < 0)
        return failure_errno(failure, "stream %d", index);
    connections->host[index] = request->connect_port(PORT_STREAM);
    ret = connections->host[index];
    if (ret >= 0)
        ret = channel_announce_stream(connections->host[index], process->container, process->id,
                                      (uint32_t)index);
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
    for (int i = 0; i < PROCESS_STREAMS; i++) {
        int ret = open_stream(connections, process, request, i, failure);

        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Return: the pid here, 0 in the child, or -errno. */
static pid_t clone_workload(const struct process_request *request)
{
    /*
     * The cgroup namespace is left to the child: made here it would have init's cgroup as its root.
     * Being born in the cgroup costs nothing; moving there would wait for an RCU grace period.
     */
    struct clone_args args = {
        .flags = request->plan->namespaces & ~(uint64_t)CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    long pid;

    if (request->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)request->cgroup;
    }
    pid = syscall(SYS_clone3, &args, sizeof(args));
    return pid < 0 ? -errno : (pid_t)pid;
}

/* Hands the descriptors to the loop. */
static int watch_connections(struct process *process, const struct process_request *request,
                             struct connections *connections)
{
    int ret;

    process->report = watch_of(steal_fd(&connections->report[0]), request->report, process);
    ret = watch_set(&process->report, request->epoll, EPOLLIN);
    for (int i = 0; i < PROCESS_STREAMS && ret == 0; i++)
        ret = stream_start(&process->streams[i], request->epoll, steal_fd(&connections->ours[i]),
                           steal_fd(&connections->host[i]), i == 0, request->stream_ended, process);
    return ret;
}

int process_spawn(struct process *process, const struct process_request *request,
                  struct failure *failure)
{
    struct connections connections = { { -1, -1 }, { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1, -1 } };
    struct workload workload = { .plan = request->plan, .places = request->places };
    pid_t pid;
    int ret;

    process->report = watch_of(-1, NULL, NULL);
    ret = open_connections(&connections, process, request, failure);
    if (ret < 0)
        goto out;
    pid = clone_workload(request);
    if (pid < 0) {
        ret = failure_set(failure, -pid, "clone: %s", failure_describe(-pid));
        goto out;
    }
    if (pid == 0) {
        workload.report = connections.report[1];
        memcpy(workload.stdio, connections.theirs, sizeof(workload.stdio));
        workload_run(&workload);
    }
    process->state = PROCESS_PREPARING;
    process->pid = pid;
    ret = watch_connections(process, request, &connections);
    if (ret < 0) {
        failure_set(failure, -ret, "epoll: %s", failure_describe(-ret));
        process_close(process);
        /* Nobody knows it: the loop reaps it like any orphan. */
        kill(pid, SIGKILL);
    }
out:
    connections_close(&connections);
    return ret;
}

int process_read_report(struct process *process, struct report *report)
{
    ssize_t n;

    if (process->report.fd < 0)
        return 0;
    n = recv(process->report.fd, report, sizeof(*report), MSG_DONTWAIT);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return 0;
    if ((size_t)n != sizeof(*report))
        return -EPROTO;
    report->failure.text[sizeof(report->failure.text) - 1] = '\0';
    return 1;
}

int process_release(struct process *process)
{
    if (send(process->report.fd, "", 1, MSG_NOSIGNAL) < 0)
        return -errno;
    return 0;
}

bool process_has_output(const struct process *process)
{
    return process->streams[1].open || process->streams[2].open;
}

void process_close(struct process *process)
{
    watch_close(&process->report);
    for (int i = 0; i < PROCESS_STREAMS; i++)
        stream_stop(&process->streams[i]);
}
