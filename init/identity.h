/* Who the workload is: limits, user, groups, capabilities. Applied to the calling process. */
#ifndef VMRT_INIT_IDENTITY_H
#define VMRT_INIT_IDENTITY_H

#include <sys/types.h>

#include "init/failure.h"
#include "init/plan.h"

/* Writes the OOM score of the plan, if it has one, to the file @path. Return: 0 or -errno. */
int identity_apply_oom_score(const struct process_plan *plan, const char *path,
                             struct failure *failure);

/**
 * identity_raise_limits() - make room for limits that only init may allow; the soft ones stay.
 * @pid: whose; 0: the caller's.
 * Return: 0 or -errno.
 */
int identity_raise_limits(const struct process_plan *plan, pid_t pid, struct failure *failure);

/* Sets scheduler and I/O priority. Return: 0 or -errno. */
int identity_apply_scheduling(const struct process_plan *plan, struct failure *failure);

/* Sets the resource limits of the plan. Return: 0 or -errno. */
int identity_apply_limits(const struct process_plan *plan, struct failure *failure);

/**
 * identity_apply() - become the user of the plan, in its working directory, with exactly its
 * capabilities. What was not granted is gone afterwards.
 * Return: 0 or -errno.
 */
int identity_apply(const struct process_plan *plan, struct failure *failure);

/**
 * identity_add_home() - HOME of the user's entry in the container's /etc/passwd, or "/", unless the
 * environment has one; runc does the same. Must run with the container's root as root.
 * @plan: its env is extended.
 * Return: 0 or -ENOMEM.
 */
int identity_add_home(struct process_plan *plan, struct failure *failure);

#endif
