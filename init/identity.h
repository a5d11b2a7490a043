/* Who the workload is: limits, user, groups, capabilities. Applied to the calling process. */
#ifndef VMRT_INIT_IDENTITY_H
#define VMRT_INIT_IDENTITY_H

#include "init/container.h"
#include "init/failure.h"

/* Sets the resource limits of the plan. Return: 0 or -errno. */
int identity_apply_limits(const struct container_plan *plan, struct failure *failure);

/**
 * identity_apply() - become the user of the plan, in its working directory, with exactly its
 * capabilities. What was not granted is gone afterwards.
 * Return: 0 or -errno.
 */
int identity_apply(const struct container_plan *plan, struct failure *failure);

/**
 * identity_add_home() - HOME of the user's entry in the container's /etc/passwd, or "/", unless the
 * environment has one; runc does the same. Must run with the container's root as root.
 * @plan: its env is extended.
 * Return: 0 or -ENOMEM.
 */
int identity_add_home(struct container_plan *plan, struct failure *failure);

#endif
