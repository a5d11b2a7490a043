/*
 * The clone of a child. Two kinds of namespace are entered by children only: init points its own
 * "for children" at them for one clone3(2) and back again.
 */
#include "init/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/io.h"
#include "init/plan.h"

/* Descriptors of init's own namespaces while its children go elsewhere; -1: they do not. */
struct detour {
    int pid, time;
};

static int detour_pid(struct detour *detour, int join, struct failure *failure)
{
    detour->pid = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (detour->pid < 0)
        return failure_errno(failure, "pid namespace");
    if (setns(join, CLONE_NEWPID) < 0)
        return failure_errno(failure, "pid namespace: join");
    return 0;
}

static int write_time_offsets(const struct list *offsets, struct failure *failure)
{
    for (size_t i = 0; i < offsets->count; i++) {
        const struct time_offset_plan *offset = LIST_AT(*offsets, struct time_offset_plan, i);
        char text[64];
        int ret;

        snprintf(text, sizeof(text), "%s %lld %llu", offset->clock, (long long)offset->seconds,
                 (unsigned long long)offset->nanoseconds);
        ret = io_write_file(AT_FDCWD, "/proc/self/timens_offsets", text);
        if (ret < 0)
            return failure_set(failure, -ret, "time offset %s: %s", text, failure_describe(-ret));
    }
    return 0;
}

/* Offsets can only be set while nobody is in the namespace, so clone3(2) cannot make it. */
static int detour_time(struct detour *detour, const struct list *offsets, struct failure *failure)
{
    detour->time = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
    if (detour->time < 0)
        return failure_errno(failure, "time namespace");
    if (unshare(CLONE_NEWTIME) < 0)
        return failure_errno(failure, "time namespace: make");
    return write_time_offsets(offsets, failure);
}

/* Return: 0 or -errno: then later children would be born in the wrong place. */
static int detour_end(struct detour *detour, struct failure *failure)
{
    int ret = 0;

    if (detour->pid >= 0 && setns(detour->pid, CLONE_NEWPID) < 0)
        ret = failure_errno(failure, "pid namespace: return");
    if (detour->time >= 0 && setns(detour->time, CLONE_NEWTIME) < 0)
        ret = failure_errno(failure, "time namespace: return");
    io_close(&detour->pid);
    io_close(&detour->time);
    return ret;
}

static pid_t clone_child(const struct birth *birth, struct failure *failure)
{
    /*
     * The cgroup namespace is left to the child: made here it would have init's cgroup as its root.
     * Being born in the cgroup costs nothing; moving there would wait for an RCU grace period.
     */
    struct clone_args args = {
        .flags = birth->namespaces & ~(uint64_t)(CLONE_NEWCGROUP | CLONE_NEWTIME),
        .exit_signal = SIGCHLD,
    };
    long pid;

    if (birth->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)birth->cgroup;
    }
    pid = syscall(SYS_clone3, &args, sizeof(args));
    return pid < 0 ? failure_errno(failure, "clone") : (pid_t)pid;
}

pid_t birth_clone(const struct birth *birth, struct failure *failure)
{
    struct detour detour = { -1, -1 };
    pid_t pid = 0;
    int ret = 0;

    if (birth->join >= 0)
        ret = detour_pid(&detour, birth->join, failure);
    if (ret == 0 && birth->namespaces & CLONE_NEWTIME)
        ret = detour_time(&detour, birth->time_offsets, failure);
    if (ret == 0)
        pid = clone_child(birth, failure);
    if (ret == 0 && pid == 0)
        return 0;
    if (pid < 0)
        ret = pid;
    if (detour_end(&detour, failure) < 0 && ret == 0) {
        kill(pid, SIGKILL);
        return -failure->code;
    }
    return ret < 0 ? ret : pid;
}
