/* What init does for a container that has a user namespace and so cannot do it itself. */
#ifndef VMRT_INIT_USERNS_H
#define VMRT_INIT_USERNS_H

#include <sys/types.h>

#include "init/failure.h"
#include "init/mounts.h"
#include "init/plan.h"

/* Before the child: what it cannot make, for it to bind: device nodes and a sysfs. */
int userns_prepare(const struct container_plan *plan, const struct mount_places *places,
                   struct failure *failure);

/* For the child, while it waits: its id maps, its OOM score, limits above those of init. */
int userns_admit(pid_t pid, const struct container_plan *plan, struct failure *failure);

#endif
