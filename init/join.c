/*
 * The steps of a further process that take it into a container. Whoever is in the container already
 * sees it as soon as it is in the PID namespace, that is from its birth: until its exec it is a
 * copy of init, so nobody may look into it (as in CVE-2016-9962), and all that needs init's
 * privileges or files is done before it has joined.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/child.h"
#include "init/identity.h"
#include "init/io.h"

static int step_hide(struct child *child, struct failure *failure)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return failure_errno(failure, "dumpable");
    return 0;
}

static int step_oom_score(struct child *child, struct failure *failure)
{
    return identity_apply_oom_score(child->process, "/proc/self/oom_score_adj", failure);
}

static int step_scheduling(struct child *child, struct failure *failure)
{
    return identity_apply_scheduling(child->process, failure);
}

static int step_limits(struct child *child, struct failure *failure)
{
    return identity_raise_limits(child->process, 0, failure);
}

/* Those in which the first process is now, wherever it may have gone. */
static int step_namespaces(struct child *child, struct failure *failure)
{
    int flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;

    /* The own user namespace cannot be joined again. */
    if (child->given->user_namespace)
        flags |= CLONE_NEWUSER;
    if (child->given->time_namespace)
        flags |= CLONE_NEWTIME;
    if (setns(CHILD_JOIN_FD, flags) < 0)
        return failure_errno(failure, "join the container's namespaces");
    close(CHILD_JOIN_FD);
    return child->given->user_namespace ? child_become_root(failure) : 0;
}

static int step_keyring(struct child *child, struct failure *failure)
{
    char name[128];

    snprintf(name, sizeof(name), "_ses.%s", child->given->id);
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    return 0;
}

static int step_terminal(struct child *child, struct failure *failure)
{
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return failure_errno(failure, "/");
    return child_make_terminal(child, root, false, failure);
}

/* In order; each may rely on those before it. */
child_step *const join_steps[] = {
    step_hide,       step_oom_score, step_scheduling, step_limits,
    step_namespaces, step_keyring,   step_terminal,   NULL,
};
