/*
 * The child that becomes the workload. It goes through a table of steps; the first that fails is
 * reported to init and ends it. It runs on a copy of init's memory, which the exec throws away.
 */
#include "init/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/command.h"
#include "init/devices.h"
#include "init/identity.h"
#include "init/io.h"
#include "init/path.h"

#define WORKLOAD_REPORT_FD 3

/* The child's state beyond what it was given. */
struct child {
    struct container_plan *plan;
    const struct mount_places *places;
    int stdio[3];
    int root; /* O_PATH of the root filesystem while init's tree is still the root */
};

/* A fresh session, the signal state a program expects, and no descriptors but its own. */
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

static int step_stdio(struct child *child, struct failure *failure)
{
    for (int i = 0; i < 3; i++)
        if (dup2(child->stdio[i], i) < 0)
            return failure_errno(failure, "stdio %d", i);
    if (close_range(WORKLOAD_REPORT_FD + 1, ~0U, 0) < 0)
        return failure_errno(failure, "close descriptors");
    return 0;
}

/* runc gives every container a session keyring of its own; kernels without keys do without. */
static int step_keyring(struct child *child, struct failure *failure)
{
    char name[128];

    snprintf(name, sizeof(name), "_ses.%s", child->plan->id);
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    return 0;
}

/* Only now: a cgroup namespace has the cgroup as its root in which its first process is. */
static int step_cgroup_namespace(struct child *child, struct failure *failure)
{
    if (child->plan->namespaces & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
        return failure_errno(failure, "cgroup namespace");
    return 0;
}

static int step_names(struct child *child, struct failure *failure)
{
    const struct container_plan *plan = child->plan;

    if (plan->hostname && sethostname(plan->hostname, strlen(plan->hostname)) < 0)
        return failure_errno(failure, "sethostname %s", plan->hostname);
    if (plan->domainname && setdomainname(plan->domainname, strlen(plan->domainname)) < 0)
        return failure_errno(failure, "setdomainname %s", plan->domainname);
    return 0;
}

static int step_oom_score(struct child *child, struct failure *failure)
{
    char text[24];
    int ret;

    if (!child->plan->has_oom_score_adj)
        return 0;
    snprintf(text, sizeof(text), "%lld", (long long)child->plan->oom_score_adj);
    ret = io_write_file(AT_FDCWD, "/proc/self/oom_score_adj", text);
    return ret < 0
               ? failure_set(failure, -ret, "oom_score_adj %s: %s", text, failure_describe(-ret))
               : 0;
}

/* /proc/sys shows the namespaces of whoever opens it, so init's own mount of it serves. */
static int step_sysctls(struct child *child, struct failure *failure)
{
    const struct list *sysctls = &child->plan->sysctls;
    struct open_how how = { .flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
    _cleanup_close_ int directory = -1;

    if (sysctls->count == 0)
        return 0;
    directory = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return failure_errno(failure, "sysctl: /proc/sys");
    for (size_t i = 0; i < sysctls->count; i++) {
        const struct setting_plan *setting = LIST_AT(*sysctls, struct setting_plan, i);
        _cleanup_close_ int fd = -1;
        char path[256];

        snprintf(path, sizeof(path), "%s", setting->key);
        for (char *dot = path; (dot = strchr(dot, '.')); dot++)
            *dot = '/';
        fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
        if (fd < 0 || write(fd, setting->value, strlen(setting->value)) < 0)
            return failure_errno(failure, "write sysctl key %s", setting->key);
    }
    return 0;
}

static int step_root(struct child *child, struct failure *failure)
{
    child->root = mounts_make_root(child->plan, child->places, failure);
    return child->root < 0 ? child->root : 0;
}

static int step_mounts(struct child *child, struct failure *failure)
{
    return mounts_make_all(child->plan, child->places, child->root, failure);
}

static int step_devices(struct child *child, struct failure *failure)
{
    return devices_make(child->plan, child->root, failure);
}

/* runc makes a missing working directory, as root and before the root becomes read-only. */
static int step_working_directory(struct child *child, struct failure *failure)
{
    const char *cwd = child->plan->cwd;
    _cleanup_close_ int fd = path_create(child->root, cwd, false);

    return fd < 0 ? failure_set(failure, -fd, "mkdir %s: %s", cwd, failure_describe(-fd)) : 0;
}

static int step_restrict(struct child *child, struct failure *failure)
{
    return mounts_restrict(child->plan, child->root, failure);
}

static int step_enter_root(struct child *child, struct failure *failure)
{
    int ret = mounts_enter_root(child->plan, child->root, failure);

    io_close(&child->root);
    return ret;
}

static int step_home(struct child *child, struct failure *failure)
{
    return identity_add_home(child->plan, failure);
}

static int step_limits(struct child *child, struct failure *failure)
{
    umask(child->plan->umask);
    return identity_apply_limits(child->plan, failure);
}

static int load_filter(const struct container_plan *plan, struct failure *failure)
{
    struct sock_fprog program = {
        .len = (unsigned short)(plan->seccomp.length / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)plan->seccomp.data,
    };

    /* Without SPEC_ALLOW a filter would slow the workload down where the CPU leaks. As runc. */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
        return failure_errno(failure, "seccomp");
    return 0;
}

/* With no_new_privs the filter can wait until just before the exec; without, it needs root. */
static int step_privileges(struct child *child, struct failure *failure)
{
    const struct container_plan *plan = child->plan;

    if (plan->no_new_privileges) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            return failure_errno(failure, "no_new_privs");
        return 0;
    }
    return plan->seccomp.length ? load_filter(plan, failure) : 0;
}

static int step_identity(struct child *child, struct failure *failure)
{
    return identity_apply(child->plan, failure);
}

/* In order; each may rely on those before it. */
static int (*const prepare_steps[])(struct child *child, struct failure *failure) = {
    step_session,
    step_stdio,
    step_keyring,
    step_cgroup_namespace,
    step_names,
    step_oom_score,
    step_sysctls,
    step_root,
    step_mounts,
    step_devices,
    step_working_directory,
    step_restrict,
    step_enter_root,
    step_home,
    step_limits,
    step_privileges,
    step_identity,
};

static int child_prepare(struct child *child, struct failure *failure)
{
    for (size_t i = 0; i < sizeof(prepare_steps) / sizeof(prepare_steps[0]); i++) {
        int ret = prepare_steps[i](child, failure);

        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Comes back only when it failed. */
static int child_exec(const struct child *child, struct failure *failure)
{
    const struct container_plan *plan = child->plan;
    char path[PATH_MAX];
    int ret = command_resolve(plan->args[0], plan->env, path, failure);

    if (ret < 0)
        return ret;
    if (plan->no_new_privileges && plan->seccomp.length) {
        ret = load_filter(plan, failure);
        if (ret < 0)
            return ret;
    }
    execve(path, plan->args, plan->env);
    return failure_errno(failure, "exec %s", path);
}

static void report_send(uint32_t kind, const struct failure *failure)
{
    struct report report = { .kind = kind };

    if (failure)
        report.failure = *failure;
    /* When init is gone there is nobody to tell. write(2), because a filter may forbid send(2). */
    if (write(WORKLOAD_REPORT_FD, &report, sizeof(report)) < 0)
        _exit(EXIT_FAILURE);
}

_Noreturn void workload_run(struct workload *workload)
{
    struct child child = { .plan = workload->plan, .places = workload->places, .root = -1 };
    struct failure failure = { 0 };
    char go;

    /* The workload's ends may have any numbers, 0 to 3 too: first out of the way, then in place. */
    for (int i = 0; i < 3; i++)
        child.stdio[i] = fcntl(workload->stdio[i], F_DUPFD_CLOEXEC, WORKLOAD_REPORT_FD + 1);
    if (workload->report != WORKLOAD_REPORT_FD &&
        dup3(workload->report, WORKLOAD_REPORT_FD, O_CLOEXEC) < 0)
        _exit(EXIT_FAILURE);
    if (child_prepare(&child, &failure) == 0) {
        report_send(REPORT_PREPARED, NULL);
        if (read(WORKLOAD_REPORT_FD, &go, 1) == 1)
            child_exec(&child, &failure);
    }
    report_send(REPORT_FAILED, &failure);
    _exit(EXIT_FAILURE);
}
