/*
 * The child that becomes a process of a container. It goes through tables of steps; the first that
 * fails is reported to init and ends it. It runs on a copy of init's memory, which the exec throws
 * away.
 */
#include "init/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/child.h"
#include "init/io.h"
#include "init/pty.h"

void child_report(enum report_kind kind, const struct failure *failure, int fd)
{
    struct report report = { .kind = kind };
    struct iovec part = { .iov_base = &report, .iov_len = sizeof(report) };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    ssize_t n;

    if (failure)
        report.failure = *failure;
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        n = sendmsg(CHILD_REPORT_FD, &message, MSG_NOSIGNAL);
    } else {
        /* The workload's filter may forbid sendmsg(2). */
        n = write(CHILD_REPORT_FD, &report, sizeof(report));
    }
    /* When init is gone there is nobody to tell. */
    if (n < 0)
        _exit(EXIT_FAILURE);
}

int child_wait(void)
{
    char go;

    return read(CHILD_REPORT_FD, &go, 1) == 1 ? 0 : -EPIPE;
}

int child_become_root(struct failure *failure)
{
    if (syscall(SYS_setgroups, 0, NULL) < 0)
        return failure_errno(failure, "setgroups");
    if (syscall(SYS_setresgid, 0, 0, 0) < 0)
        return failure_errno(failure, "setgid 0");
    if (syscall(SYS_setresuid, 0, 0, 0) < 0)
        return failure_errno(failure, "setuid 0");
    return 0;
}

int child_make_terminal(struct child *child, int root, bool console, struct failure *failure)
{
    struct pty pty;
    int ret;

    if (!child->process->terminal)
        return 0;
    ret = pty_open(&pty, root, child->process, failure);
    if (ret == 0 && console)
        ret = pty_make_console(&pty, root, failure);
    if (ret < 0)
        return ret;
    child_report(REPORT_TERMINAL, NULL, pty.master);
    close(pty.master);
    ret = pty_take(&pty, failure);
    if (pty.slave > STDERR_FILENO)
        close(pty.slave);
    return ret;
}

/* A fresh session, and the signal state a program expects. */
static int step_session(struct child *child, struct failure *failure)
{
    sigset_t none;

    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(0);
    if (setsid() < 0)
        return failure_errno(failure, "setsid");
    return 0;
}

static int count_further(const struct child *child)
{
    return (int)child->process->descriptors.count;
}

/* No descriptors but its own. Those from 3 on are closed by what it executes on the way (hooks). */
static int step_stdio(struct child *child, struct failure *failure)
{
    int next = 3 + count_further(child);

    for (int i = 0; i < 3; i++)
        if (child->stdio[i] >= 0 && dup2(child->stdio[i], i) < 0)
            return failure_errno(failure, "stdio %d", i);
    for (int i = 3; i < next; i++)
        if (dup3(child->further[i - 3], i, O_CLOEXEC) < 0)
            return failure_errno(failure, "descriptor %d", i);
    if (next < CHILD_REPORT_FD &&
        close_range((unsigned int)next, (unsigned int)CHILD_REPORT_FD - 1, 0) < 0)
        return failure_errno(failure, "close descriptors");
    if (close_range((unsigned int)(child->plan ? CHILD_JOIN_FD : CHILD_JOIN_FD + 1), ~0U, 0) < 0)
        return failure_errno(failure, "close descriptors");
    return 0;
}

int child_keep_descriptors(struct child *child, struct failure *failure)
{
    for (int i = 3; i < 3 + count_further(child); i++)
        if (fcntl(i, F_SETFD, 0) < 0)
            return failure_errno(failure, "descriptor %d", i);
    return 0;
}

static child_step *const start_steps[] = { step_session, step_stdio, NULL };

static int run_steps(child_step *const *steps, struct child *child, struct failure *failure)
{
    int ret = 0;

    while (ret == 0 && *steps)
        ret = (*steps++)(child, failure);
    return ret;
}

/* The workload's ends may have any numbers: first out of the way, then in place. */
static int place_descriptors(struct child *child)
{
    const struct workload *given = child->given;
    int join = fcntl(given->join, F_DUPFD_CLOEXEC, CHILD_JOIN_FD + 1);

    for (int i = 0; i < 3; i++)
        child->stdio[i] = fcntl(given->stdio[i], F_DUPFD_CLOEXEC, CHILD_JOIN_FD + 1);
    for (int i = 0; i < count_further(child); i++)
        child->further[i] = fcntl(given->further[i], F_DUPFD_CLOEXEC, CHILD_JOIN_FD + 1);
    if (given->report != CHILD_REPORT_FD && dup3(given->report, CHILD_REPORT_FD, O_CLOEXEC) < 0)
        return -errno;
    if (join >= 0 && dup3(join, CHILD_JOIN_FD, O_CLOEXEC) < 0)
        return -errno;
    return 0;
}

_Noreturn void workload_run(const struct workload *workload)
{
    struct child child = {
        .given = workload,
        .process = workload->process,
        .plan = workload->plan,
        .root = -1,
    };
    child_step *const *const kind = child.plan ? build_steps : join_steps;
    struct failure failure = { 0 };

    if (place_descriptors(&child) < 0)
        _exit(EXIT_FAILURE);
    if (run_steps(start_steps, &child, &failure) == 0 && run_steps(kind, &child, &failure) == 0 &&
        run_steps(become_steps, &child, &failure) == 0) {
        if (child.plan) {
            child_report(REPORT_PREPARED, NULL, -1);
            if (child_wait() < 0)
                _exit(EXIT_FAILURE);
        }
        become_exec(&child, &failure);
    }
    child_report(REPORT_FAILED, &failure, -1);
    _exit(EXIT_FAILURE);
}
