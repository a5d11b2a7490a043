/* The steps of a container's first process that make the container around it. */
#include <errno.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/child.h"
#include "init/devices.h"
#include "init/hooks.h"
#include "init/identity.h"
#include "init/io.h"
#include "init/mounts.h"
#include "init/notify.h"
#include "init/path.h"
#include "init/sysctls.h"

/* init writes the maps meanwhile; set-up is the work of the namespace's root. */
static int step_user_namespace(struct child *child, struct failure *failure)
{
    int ret;

    if (!child->given->user_namespace)
        return 0;
    if (child_wait() < 0)
        return failure_set(failure, EPIPE, "user namespace: init gave up");
    ret = child_become_root(failure);
    /* Only now: the mqueue filesystem belongs to the user who makes the namespace. */
    if (ret == 0 && child->plan->namespaces & CLONE_NEWIPC && unshare(CLONE_NEWIPC) < 0)
        ret = failure_errno(failure, "ipc namespace");
    return ret;
}

/* runc gives every container a session keyring of its own; kernels without keys do without. */
static int step_keyring(struct child *child, struct failure *failure)
{
    char name[128];

    snprintf(name, sizeof(name), "_ses.%s", child->given->id);
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

/* In a user namespace init has done it. */
static int step_oom_score(struct child *child, struct failure *failure)
{
    if (child->given->user_namespace)
        return 0;
    return identity_apply_oom_score(child->process, "/proc/self/oom_score_adj", failure);
}

static int step_scheduling(struct child *child, struct failure *failure)
{
    return identity_apply_scheduling(child->process, failure);
}

static int step_sysctls(struct child *child, struct failure *failure)
{
    return sysctls_apply(&child->plan->sysctls, failure);
}

static int step_root(struct child *child, struct failure *failure)
{
    child->root = mounts_make_root(child->plan, child->given->places, failure);
    return child->root < 0 ? child->root : 0;
}

static int step_mounts(struct child *child, struct failure *failure)
{
    return mounts_make_all(child->plan, child->given->places, child->root, failure);
}

static int step_notify(struct child *child, struct failure *failure)
{
    int ret = 0;

    if (child->plan->notify)
        ret = notify_mount(child->given->places, child->given->number, child->root);
    return ret < 0 ? failure_set(failure, -ret, "mount NOTIFY_SOCKET: %s", failure_describe(-ret))
                   : 0;
}

static int step_devices(struct child *child, struct failure *failure)
{
    return devices_make(child->plan, child->given->places, child->root, failure);
}

static int step_terminal(struct child *child, struct failure *failure)
{
    return child_make_terminal(child, child->root, true, failure);
}

static int step_hooks(struct child *child, struct failure *failure)
{
    return hooks_execute(&child->plan->hooks, HOOK_CREATE_CONTAINER, child->given->places,
                         child->root, failure);
}

/* runc makes a missing working directory, as root and before the root becomes read-only. */
static int step_working_directory(struct child *child, struct failure *failure)
{
    const char *cwd = child->process->cwd;
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

/* In order; each may rely on those before it. */
child_step *const build_steps[] = {
    step_user_namespace,
    step_keyring,
    step_cgroup_namespace,
    step_names,
    step_oom_score,
    step_scheduling,
    step_sysctls,
    step_root,
    step_mounts,
    step_notify,
    step_devices,
    step_terminal,
    step_hooks,
    step_working_directory,
    step_restrict,
    step_enter_root,
    NULL,
};
