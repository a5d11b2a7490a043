/* The container's mount tree, built in its own mount namespace before its process runs. */
#ifndef VMRT_INIT_MOUNTS_H
#define VMRT_INIT_MOUNTS_H

#include "init/failure.h"
#include "init/plan.h"

/* Directories of init's own mount tree that mounts are made from and on. */
struct mount_places {
    const char *shares; /* holds the shares by index: "0", "1", … */
    const char *root;   /* an empty directory: the root filesystem is mounted here */
    /* Made when a container wants them. */
    const char *notify;  /* directories with NOTIFY_SOCKETs, by container */
    const char *devices; /* device nodes to bind into user namespaces */
    const char *sysfs;   /* a sysfs to bind into user namespaces */
};

/**
 * mounts_make_root() - make the namespace private and mount the root filesystem.
 * Return: O_PATH descriptor of the root filesystem's mount, or -errno.
 */
int mounts_make_root(const struct container_plan *plan, const struct mount_places *places,
                     struct failure *failure);

/* Makes every mount of the plan in @root. Return: 0 or -errno. */
int mounts_make_all(const struct container_plan *plan, const struct mount_places *places, int root,
                    struct failure *failure);

/**
 * mounts_restrict() - all that takes away: read-only tmpfs and /dev, masked and read-only paths,
 * the read-only root; to be called when nothing has to be created any more. Return: 0 or -errno.
 */
int mounts_restrict(const struct container_plan *plan, int root, struct failure *failure);

/* Makes @root the root of this process and lets go of what was there. Return: 0 or -errno. */
int mounts_enter_root(const struct container_plan *plan, int root, struct failure *failure);

/* Whether the plan brings a /dev of its own from the host, in which nothing is to be made. */
bool mounts_share_covers_dev(const struct container_plan *plan);

#endif
