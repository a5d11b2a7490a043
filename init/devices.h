/* Device nodes and links of the container's /dev. */
#ifndef VMRT_INIT_DEVICES_H
#define VMRT_INIT_DEVICES_H

#include "init/container.h"
#include "init/failure.h"

/**
 * devices_make() - the devices of the plan, those every container has, and the links of /dev.
 * @root: O_PATH descriptor of the root filesystem, mounts made, still writable.
 * Return: 0 or -errno.
 */
int devices_make(const struct container_plan *plan, int root, struct failure *failure);

#endif
