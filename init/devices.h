/* Device nodes and links of a container's /dev. */
#ifndef VMRT_INIT_DEVICES_H
#define VMRT_INIT_DEVICES_H

#include "init/failure.h"
#include "init/mounts.h"
#include "init/plan.h"

/**
 * devices_make() - the nodes of the plan, the default ones and the links; unless the plan brings a
 * /dev of its own.
 * @root: the container's root filesystem.
 * Return: 0 or -errno.
 */
int devices_make(const struct container_plan *plan, const struct mount_places *places, int root,
                 struct failure *failure);

/* In init, for a container with a user namespace: the nodes it is to bind. Return: 0 or -errno. */
int devices_provide(const struct container_plan *plan, const struct mount_places *places,
                    struct failure *failure);

#endif
