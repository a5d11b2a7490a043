/*
 * The container's mount tree (runtime-spec config.md "mounts", config-linux.md "Rootfs Mount
 * Propagation", "Masked Paths", "Readonly Paths").
 *
 * Everything is done from outside the root filesystem, before pivot_root: targets are O_PATH
 * descriptors that path.h resolved inside it, so no link of the image leads anywhere else. Bind
 * mounts are detached trees (open_tree) that get their flags before anybody sees them.
 */
#include "init/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init/copyup.h"
#include "init/io.h"
#include "init/path.h"

#define PROPAGATION_FLAGS (MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE)
/* Flags of mount(2) that only change how init goes about it. */
#define OPERATION_FLAGS (MS_BIND | MS_MOVE | MS_REMOUNT | PROPAGATION_FLAGS | MS_REC)

#define ATIME_FLAGS (MS_NOATIME | MS_RELATIME | MS_STRICTATIME | MS_NODIRATIME)

/* The per-mount flags of mount(2) as mount_setattr(2) names them. */
static const struct {
    unsigned long flag;
    uint64_t set, clear;
} mount_attributes[] = {
    { MS_RDONLY, MOUNT_ATTR_RDONLY, 0 },
    { MS_NOSUID, MOUNT_ATTR_NOSUID, 0 },
    { MS_NODEV, MOUNT_ATTR_NODEV, 0 },
    { MS_NOEXEC, MOUNT_ATTR_NOEXEC, 0 },
    { MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, 0 },
    { MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, 0 },
    { MS_NOATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
    { MS_RELATIME, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
    { MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
};

static int mount_set_flags(int fd, unsigned long flags)
{
    struct mount_attr attr = { 0 };

    for (size_t i = 0; i < sizeof(mount_attributes) / sizeof(mount_attributes[0]); i++) {
        if (!(flags & mount_attributes[i].flag))
            continue;
        attr.attr_set |= mount_attributes[i].set;
        attr.attr_clr |= mount_attributes[i].clear;
    }
    if (!attr.attr_set && !attr.attr_clr)
        return 0;
    return mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int mount_attach(int tree, int target)
{
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/* A detached copy of the mount (and those below it, with MS_REC) at @path. Return: fd or -errno. */
static int mount_clone(int dirfd, const char *path, unsigned long flags)
{
    unsigned int how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    int fd;

    if (flags & MS_REC)
        how |= AT_RECURSIVE;
    if (!path[0])
        how |= AT_EMPTY_PATH;
    fd = open_tree(dirfd, path, how);
    return fd < 0 ? -errno : fd;
}

/* A share as a detached mount. Looking it up mounts it on demand (FUSE_ATTR_SUBMOUNT). */
static int share_clone(const struct mount_places *places, uint32_t share, unsigned long flags)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%u", places->shares, share);
    return mount_clone(AT_FDCWD, path, flags);
}

int mounts_make_root(const struct container_plan *plan, const struct mount_places *places,
                     struct failure *failure)
{
    _cleanup_close_ int place = -1;
    _cleanup_close_ int tree = -1;
    int ret;

    /* Nothing the container mounts is to appear in init's tree, whatever propagation it asks for.
     */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return failure_errno(failure, "mount tree: make private");
    tree = share_clone(places, plan->root_share, MS_REC);
    if (tree < 0)
        return failure_set(failure, -tree, "rootfs: share %u: %s", plan->root_share,
                           failure_describe(-tree));
    place = open(places->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return failure_errno(failure, "rootfs: %s", places->root);
    ret = mount_attach(tree, place);
    if (ret < 0)
        return failure_set(failure, -ret, "rootfs: mount: %s", failure_describe(-ret));
    return steal_fd(&tree);
}

static bool is_dev(const char *target)
{
    return strcmp(target, "/dev") == 0 || strcmp(target, "/dev/") == 0;
}

bool mounts_share_covers_dev(const struct container_plan *plan)
{
    for (size_t i = 0; i < plan->mounts.count; i++) {
        const struct mount_plan *mount = LIST_AT(plan->mounts, struct mount_plan, i);

        if (is_dev(mount->target) && strcmp(mount->type, "share") == 0)
            return true;
    }
    return false;
}

/* Takes over the detached mount @tree. */
static int mount_tree(int tree, unsigned long flags, int target)
{
    _cleanup_close_ int owned = tree;
    int ret;

    if (owned < 0)
        return owned;
    ret = mount_set_flags(owned, flags);
    /* A user namespace may not change how the times of init's mounts are kept. */
    if (ret == -EPERM && flags & ATIME_FLAGS)
        ret = mount_set_flags(owned, flags & ~(unsigned long)ATIME_FLAGS);
    return ret < 0 ? ret : mount_attach(owned, target);
}

static int mount_filesystem(const struct mount_plan *plan, int target)
{
    char where[PATH_OF_FD_MAX], mode_data[PATH_MAX];
    unsigned long flags = plan->flags & ~(unsigned long)OPERATION_FLAGS;
    /* There is no cgroup v1 in the guest: "cgroup" means the unified hierarchy, as in runc. */
    const char *type = strcmp(plan->type, "cgroup") == 0 ? "cgroup2" : plan->type;
    const char *data = plan->data;

    if (strcmp(type, "tmpfs") == 0 || is_dev(plan->target)) {
        /* Things are still to be made in it: mounts_restrict() makes it read-only. */
        flags &= ~(unsigned long)MS_RDONLY;
    }
    if (strcmp(type, "tmpfs") == 0) {
        struct stat st;

        /* As runc does: the directory it covers says its mode unless the options do. */
        if (fstat(target, &st) < 0)
            return -errno;
        if ((size_t)snprintf(mode_data, sizeof(mode_data), "mode=%04o%s%s", st.st_mode & 07777,
                             data && data[0] ? "," : "", data ?: "") >= sizeof(mode_data))
            return -EINVAL;
        data = mode_data;
    }
    if (mount(plan->source ?: type, path_of_fd(where, target), type, flags, data) < 0)
        return -errno;
    return 0;
}

/* proc and sysfs are what the runtime itself relies on: no link may say where they go. */
static int mount_target_open(const struct mount_plan *plan, int root)
{
    if (strcmp(plan->type, "proc") == 0 || strcmp(plan->type, "sysfs") == 0) {
        int fd = path_open(root, plan->target, O_NOFOLLOW);
        struct stat st;

        if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))) {
            close(fd);
            return -ENOTDIR;
        }
        if (fd != -ENOENT)
            return fd;
    }
    return path_create(root, plan->target, plan->is_file);
}

/* Resolves the target again: now it leads to what was mounted there. */
static int mount_change(const struct mount_plan *plan, int root, unsigned long flags)
{
    _cleanup_close_ int fd = path_open(root, plan->target, 0);
    char where[PATH_OF_FD_MAX];

    if (fd < 0)
        return fd;
    return mount(NULL, path_of_fd(where, fd), NULL, flags, NULL) < 0 ? -errno : 0;
}

/* Flags for everything below a mount point too (rro, rnosuid and their like). */
static int mount_set_attributes(const struct mount_plan *plan, int root)
{
    struct mount_attr attr = {
        .attr_set = plan->attributes_set,
        .attr_clr = plan->attributes_clear,
    };
    _cleanup_close_ int fd = -1;

    if (!attr.attr_set && !attr.attr_clr)
        return 0;
    /* The access time settings are one number: it is set by clearing all of it first. */
    if ((attr.attr_set | attr.attr_clr) & MOUNT_ATTR__ATIME)
        attr.attr_clr |= MOUNT_ATTR__ATIME;
    fd = path_open(root, plan->target, 0);
    if (fd < 0)
        return fd;
    return mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno
                                                                                        : 0;
}

/* Mounts a tmpfs on @target and fills it with what @target holds. */
static int mount_copy_up(const struct mount_plan *plan, int root, int target)
{
    _cleanup_close_ int from = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int covered = -1, to = -1;
    int ret;

    if (from < 0)
        return -errno;
    ret = mount_filesystem(plan, target);
    if (ret < 0)
        return ret;
    covered = path_open(root, plan->target, O_DIRECTORY);
    if (covered < 0)
        return covered;
    to = openat(covered, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return to < 0 ? -errno : copyup_tree(from, to);
}

static int mount_make(const struct container_plan *container, const struct mount_plan *plan,
                      const struct mount_places *places, int root)
{
    _cleanup_close_ int target = mount_target_open(plan, root);
    unsigned long propagation = plan->propagation ?: plan->flags & PROPAGATION_FLAGS;
    int ret;

    if (target < 0)
        return target;
    if (strcmp(plan->type, "share") == 0)
        ret = mount_tree(share_clone(places, plan->share, plan->flags), plan->flags, target);
    else if (strcmp(plan->type, "sysfs") == 0 && container->namespaces & CLONE_NEWUSER)
        ret = mount_tree(mount_clone(AT_FDCWD, places->sysfs, 0), plan->flags, target);
    else if (strcmp(plan->type, "tmpfs") == 0 && plan->copy_up)
        ret = mount_copy_up(plan, root, target);
    else
        ret = mount_filesystem(plan, target);
    if (ret == 0)
        ret = mount_set_attributes(plan, root);
    if (ret < 0 || !(propagation & PROPAGATION_FLAGS))
        return ret;
    return mount_change(plan, root, propagation);
}

int mounts_make_all(const struct container_plan *plan, const struct mount_places *places, int root,
                    struct failure *failure)
{
    for (size_t i = 0; i < plan->mounts.count; i++) {
        const struct mount_plan *mount = LIST_AT(plan->mounts, struct mount_plan, i);
        int ret = mount_make(plan, mount, places, root);

        if (ret < 0)
            return failure_set(failure, -ret, "mount %s (%s): %s", mount->target, mount->type,
                               failure_describe(-ret));
    }
    return 0;
}

static int path_is_directory(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode);
}

/*
 * The container's own null device, as runc has it, so that its mount table shows nothing of ours;
 * init's, when somebody put something else in its place.
 */
static int null_device_open(int root)
{
    int fd = path_open(root, "/dev/null", O_NOFOLLOW);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
        return fd;
    io_close(&fd);
    fd = open("/dev/null", O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int mask_file(int root, const char *where)
{
    _cleanup_close_ int null = null_device_open(root);
    char source[PATH_OF_FD_MAX];

    if (null < 0)
        return null;
    return mount(path_of_fd(source, null), where, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* Files look empty, directories are. A path that does not exist needs no mask. */
static int path_mask(int root, const char *path)
{
    _cleanup_close_ int target = path_open(root, path, 0);
    char where[PATH_OF_FD_MAX];
    int ret;

    if (target < 0)
        return target == -ENOENT || target == -ENOTDIR ? 0 : target;
    ret = path_is_directory(target);
    if (ret < 0)
        return ret;
    path_of_fd(where, target);
    if (ret == 0)
        return mask_file(root, where);
    return mount("tmpfs", where, "tmpfs", MS_RDONLY, "") < 0 ? -errno : 0;
}

static int path_make_readonly(int root, const char *path)
{
    _cleanup_close_ int target = path_open(root, path, 0);
    _cleanup_close_ int tree = -1;
    int ret;

    if (target < 0)
        return target == -ENOENT || target == -ENOTDIR ? 0 : target;
    tree = mount_clone(target, "", MS_REC);
    if (tree < 0)
        return tree;
    ret = mount_set_flags(tree, MS_RDONLY);
    return ret < 0 ? ret : mount_attach(tree, target);
}

static int restrict_mounts(const struct container_plan *plan, int root, struct failure *failure)
{
    for (size_t i = 0; i < plan->mounts.count; i++) {
        const struct mount_plan *mount = LIST_AT(plan->mounts, struct mount_plan, i);
        _cleanup_close_ int fd = -1;
        int ret;

        if (!(mount->flags & MS_RDONLY) ||
            (strcmp(mount->type, "tmpfs") != 0 && !is_dev(mount->target)))
            continue;
        fd = path_open(root, mount->target, 0);
        ret = fd < 0 ? fd : mount_set_flags(fd, MS_RDONLY);
        if (ret < 0)
            return failure_set(failure, -ret, "mount %s: make read-only: %s", mount->target,
                               failure_describe(-ret));
    }
    return 0;
}

int mounts_restrict(const struct container_plan *plan, int root, struct failure *failure)
{
    int ret = restrict_mounts(plan, root, failure);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < plan->readonly_paths.count; i++) {
        const char *path = *LIST_AT(plan->readonly_paths, const char *, i);

        ret = path_make_readonly(root, path);
        if (ret < 0)
            return failure_set(failure, -ret, "readonly path %s: %s", path, failure_describe(-ret));
    }
    for (size_t i = 0; i < plan->masked_paths.count; i++) {
        const char *path = *LIST_AT(plan->masked_paths, const char *, i);

        ret = path_mask(root, path);
        if (ret < 0)
            return failure_set(failure, -ret, "masked path %s: %s", path, failure_describe(-ret));
    }
    ret = plan->root_readonly ? mount_set_flags(root, MS_RDONLY) : 0;
    return ret < 0
               ? failure_set(failure, -ret, "rootfs: make read-only: %s", failure_describe(-ret))
               : 0;
}

int mounts_enter_root(const struct container_plan *plan, int root, struct failure *failure)
{
    if (fchdir(root) < 0)
        return failure_errno(failure, "rootfs: chdir");
    /* The old root comes to lie on top of the new one, so "." names it until it is taken off. */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return failure_errno(failure, "rootfs: pivot_root");
    if (umount2(".", MNT_DETACH) < 0)
        return failure_errno(failure, "rootfs: umount the old root");
    if (chdir("/") < 0)
        return failure_errno(failure, "rootfs: chdir /");
    if ((plan->root_propagation & PROPAGATION_FLAGS) &&
        mount(NULL, "/", NULL, plan->root_propagation, NULL) < 0)
        return failure_errno(failure, "rootfs: propagation");
    return 0;
}
