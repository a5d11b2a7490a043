/*
 * The mount tree of a container on the host: what vmrt-vmm is pivoted into, and the shares.
 *
 * A share is a detached clone (open_tree(2)) of the root filesystem or of a bind mount's source:
 * no mount of the tree lies on it, and nodev, nosuid and read-only are enforced on it by the host's
 * kernel whatever the file server does. The tree itself is for engines that enter the monitor's
 * mount namespace (podman cp), and so that vmrt-vmm sees nothing else of the host.
 */
#ifndef VMRT_OCI_ROOTFS_H
#define VMRT_OCI_ROOTFS_H

#include "lib/error.h"
#include "oci/plan.h"

struct rootfs {
    int root;    /* O_PATH on the tree's root */
    int *shares; /* detached mounts, plan->share_count of them, in the plan's arena */
};

/**
 * rootfs_build() - build the tree at plan->rootfs in the caller's mount namespace, which must be a
 * private one.
 *
 * Missing mount points are made, in the image or in what was mounted before; for mounts that the
 * guest makes itself an empty tmpfs stands in, so that mount points below are not made in the
 * image.
 *
 * Return: 0, or -errno naming the mount.
 */
int rootfs_build(struct plan *plan, struct rootfs *rootfs, struct error *err);

/**
 * rootfs_clone_descriptors() - /proc/self/fd alone, for a process that sees nothing else of /proc.
 *
 * A detached clone of that one directory: its root is where ".." ends, so whoever has taken over
 * vmrt-vmm reaches its own descriptors through it, but no /proc/sys and no other process.
 *
 * Return: O_PATH descriptor (O_CLOEXEC) or -errno.
 */
int rootfs_clone_descriptors(void);

/* Makes the tree the root of the calling process and forgets the host's. Return: 0 or -errno. */
int rootfs_enter(const struct rootfs *rootfs, struct error *err);

#endif
