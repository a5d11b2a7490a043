/* The runtime's side of the monitor's stages. */
#include "oci/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "oci/idmap.h"

#define READY_MAX 65536

int monitor_wait(int channel)
{
    char go;

    return fd_read_full(channel, &go, 1) == 1 ? 0 : -EPIPE;
}

int monitor_report(int channel, const struct error *err)
{
    /* Both ends are the same program: the struct is the message. */
    return fd_write_full(channel, err, sizeof(*err));
}

/* Never returns: what the child is to do after its stages, or instead of them, is to end. */
static __attribute__((noreturn)) void run_child(const struct monitor_request *request, int channel,
                                                int ready, pid_t parent)
{
    struct error err = { 0 };

    /*
     * The runtime may be killed at any time; an engine then must not find a stray container. From
     * a PID namespace it cannot be seen, but its end of the channel can.
     */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        (!request->plan->pid_namespace && getppid() != parent))
        _exit(1);
    (void)monitor_child(request, channel, ready, &err);
    (void)monitor_report(channel, &err);
    _exit(1);
}

static pid_t fork_monitor(bool pid_namespace)
{
    if (!pid_namespace)
        return fork();
    /* This process has one thread, and its child executes another program before it starts any. */
    return (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0);
}

int monitor_spawn(const struct monitor_request *request, struct monitor *monitor, struct error *err)
{
    _cleanup_close_ int ours = -1, theirs = -1, reader = -1, writer = -1;
    int pair[2], ends[2];
    pid_t self = getpid(), pid;

    *monitor = (struct monitor) { .plan = request->plan, .pid = -1, .channel = -1, .ready = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(err, "socketpair");
    ours = pair[0];
    theirs = pair[1];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, "pipe");
    reader = ends[0];
    writer = ends[1];
    pid = fork_monitor(request->plan->pid_namespace);
    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid == 0) {
        close(ours);
        close(reader);
        run_child(request, theirs, writer, self);
    }
    monitor->pid = pid;
    monitor->channel = steal_fd(&ours);
    monitor->ready = steal_fd(&reader);
    return 0;
}

/* What became of a child that said nothing. */
static int explain_death(struct monitor *monitor, const char *what, struct error *err)
{
    int status = 0;
    pid_t pid = monitor->pid;

    monitor->pid = -1;
    if (waitpid(pid, &status, 0) < 0)
        return error_set_errno(err, "%s: waitpid", what);
    if (WIFSIGNALED(status))
        return error_set(err, ECHILD, "%s was killed by signal %d", what, WTERMSIG(status));
    return error_set(err, ECHILD, "%s ended with status %d and without a word", what,
                     WEXITSTATUS(status));
}

static int let_go(struct monitor *monitor)
{
    return send(monitor->channel, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* Return: 1 with a report in @report, 0 at the end (the exec closed the channel), or -errno. */
static int read_report(struct monitor *monitor, struct error *report)
{
    ssize_t length = fd_read_full(monitor->channel, report, sizeof(*report));

    if (length < 0)
        return (int)length;
    return length == (ssize_t)sizeof(*report);
}

static int pass_stage(struct monitor *monitor, struct error *err)
{
    struct error report;

    if (let_go(monitor) < 0 || read_report(monitor, &report) != 1)
        return explain_death(monitor, "the container's process", err);
    if (report.code)
        *err = report;
    return -report.code;
}

int monitor_enter_namespaces(struct monitor *monitor, struct error *err)
{
    int ret = 0;

    if (monitor->plan->user_namespace) {
        ret = pass_stage(monitor, err);
        if (ret == 0)
            ret = idmap_write(monitor->pid, monitor->plan->spec, err);
    }
    return ret == 0 ? pass_stage(monitor, err) : ret;
}

/* The RESULT that vmrt-vmm writes on the ready pipe. Return: its code as -errno. */
static int parse_ready(const uint8_t *data, size_t length, struct error *err)
{
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    const char *text = "no reason given";
    bool bad = false;
    uint64_t code;

    if (length < PROTOCOL_HEADER_SIZE || protocol_read_header(data, &header) < 0 ||
        header.type != MESSAGE_RESULT || header.length != length - PROTOCOL_HEADER_SIZE)
        return error_set(err, EPROTO, "vmrt-vmm reported something that is not a result");
    fields = (struct protocol_reader) { data + PROTOCOL_HEADER_SIZE, header.length };
    if (protocol_find(fields, FIELD_CODE, &field) != 1)
        return error_set(err, EPROTO, "vmrt-vmm reported a result without a code");
    code = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_TEXT, &field) == 1)
        text = protocol_string(&field, &bad);
    if (bad || code > 4095)
        return error_set(err, EPROTO, "vmrt-vmm reported a malformed result");
    return code ? error_set(err, (int)code, "%s", text) : 0;
}

static int read_ready(struct monitor *monitor, struct error *err)
{
    _cleanup_free_ uint8_t *data = malloc(READY_MAX);
    ssize_t length;

    if (!data)
        return error_set(err, ENOMEM, "out of memory");
    length = fd_read_full(monitor->ready, data, READY_MAX);
    if (length <= 0)
        return explain_death(monitor, "vmrt-vmm", err);
    return parse_ready(data, (size_t)length, err);
}

int monitor_start_vmm(struct monitor *monitor, struct error *err)
{
    struct error report;
    int ret;

    if (let_go(monitor) < 0)
        return explain_death(monitor, "the container's process", err);
    ret = read_report(monitor, &report);
    if (ret == 1) {
        *err = report;
        return -report.code;
    }
    return ret < 0 ? error_set(err, -ret, "the container's process: %s", strerror(-ret))
                   : read_ready(monitor, err);
}

void monitor_kill(struct monitor *monitor)
{
    if (monitor->pid > 0) {
        kill(monitor->pid, SIGKILL);
        waitpid(monitor->pid, NULL, 0);
    }
    monitor->pid = -1;
    monitor_release(monitor);
}

void monitor_release(struct monitor *monitor)
{
    fd_close(&monitor->channel);
    fd_close(&monitor->ready);
}
