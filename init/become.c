/* The steps that make a child, in its container, the process that was asked for; and its exec. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/child.h"
#include "init/command.h"
#include "init/hooks.h"
#include "init/identity.h"

static int step_home(struct child *child, struct failure *failure)
{
    return identity_add_home(child->process, failure);
}

static int step_limits(struct child *child, struct failure *failure)
{
    umask(child->process->umask);
    return identity_apply_limits(child->process, failure);
}

static int step_personality(struct child *child, struct failure *failure)
{
    if (child->process->has_personality && personality(child->process->personality) < 0)
        return failure_errno(failure, "personality %#x", child->process->personality);
    return 0;
}

static int load_filter(const struct process_plan *plan, struct failure *failure)
{
    struct sock_fprog program = {
        .len = (unsigned short)(plan->seccomp.length / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)plan->seccomp.data,
    };

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, plan->seccomp_flags, &program) < 0)
        return failure_errno(failure, "seccomp");
    return 0;
}

/* With no_new_privs the filter can wait until just before the exec; without, it needs root. */
static int step_privileges(struct child *child, struct failure *failure)
{
    const struct process_plan *plan = child->process;

    if (plan->no_new_privileges) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            return failure_errno(failure, "no_new_privs");
        return 0;
    }
    return plan->seccomp.length ? load_filter(plan, failure) : 0;
}

static int step_identity(struct child *child, struct failure *failure)
{
    return identity_apply(child->process, failure);
}

/* In order; each may rely on those before it. */
child_step *const become_steps[] = {
    step_home,       child_keep_descriptors, step_limits, step_personality,
    step_privileges, step_identity,          NULL,
};

int become_exec(struct child *child, struct failure *failure)
{
    const struct process_plan *plan = child->process;
    char path[PATH_MAX];
    int ret = command_resolve(plan->args[0], plan->env, path, failure);

    if (ret == 0 && child->plan)
        ret = hooks_execute(&child->plan->hooks, HOOK_START_CONTAINER, NULL, -1, failure);
    if (ret == 0 && plan->no_new_privileges && plan->seccomp.length)
        ret = load_filter(plan, failure);
    if (ret < 0)
        return ret;
    execve(path, plan->args, plan->env);
    ret = failure_errno(failure, "exec %s", path);
    if (!child->plan)
        return ret;
    /*
     * The container's first process: with runc its start has succeeded by then, and a missing
     * interpreter or a file of another machine is what the container itself says and ends with.
     */
    dprintf(STDERR_FILENO, "%s\n", failure->text);
    _exit(EXIT_FAILURE);
}
