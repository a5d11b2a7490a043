/* Hooks that run in the container (runtime-spec config.md "POSIX-platform Hooks"). */
#ifndef VMRT_INIT_HOOKS_H
#define VMRT_INIT_HOOKS_H

#include "init/failure.h"
#include "init/mounts.h"
#include "init/plan.h"

/**
 * hooks_execute() - run those of one kind, one after the other, until one fails.
 * @hooks: of struct hook_plan.
 * @places: where the shares are; needed for HOOK_CREATE_CONTAINER only, as is
 * @root: the container's root filesystem, not yet entered.
 * Return: 0 or -errno with a failure worded as runc words it.
 */
int hooks_execute(const struct list *hooks, enum hook_kind kind, const struct mount_places *places,
                  int root, struct failure *failure);

#endif
