/* Building the mount tree with the descriptor-based mount calls (Linux 5.12). */
#include "oci/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/rootpath.h"
#include "oci/rootproc.h"

/* A detached, private copy of the mount at @path ("": @at itself). Return: descriptor or -errno. */
static int clone_mount(int at, const char *path, bool recursive, uint64_t attributes)
{
    struct mount_attr attr = { .attr_set = attributes, .propagation = MS_PRIVATE };
    unsigned int tree = recursive ? AT_RECURSIVE : 0;
    _cleanup_close_ int fd =
        open_tree(at, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | tree);

    if (fd < 0)
        return -errno;
    if (mount_setattr(fd, "", AT_EMPTY_PATH | tree, &attr, sizeof(attr)) < 0)
        return -errno;
    return steal_fd(&fd);
}

static int attach(int mount_fd, int place)
{
    if (move_mount(mount_fd, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/*
 * The same for the source of a bind mount, which was resolved when it was checked: a symbolic link
 * that came into its path since then would lead where nobody has looked.
 */
static int clone_source(const struct plan_mount *mount, uint64_t attributes)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
    _cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, mount->source, &how, sizeof(how));

    return fd < 0 ? -errno : clone_mount(fd, "", mount->recursive, attributes);
}

/* An empty tmpfs. Return: a detached mount or -errno. */
static int make_placeholder(void)
{
    _cleanup_close_ int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
    int fd;

    if (context < 0)
        return -errno;
    if (fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
        fsconfig(context, FSCONFIG_SET_STRING, "size", "1M", 0) < 0 ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
    return fd < 0 ? -errno : fd;
}

/*
 * What stands at the place of a mount that the guest makes. In a PID namespace of its own vmrt-vmm
 * has a /proc that shows nothing else, for podman top; where the kernel refuses one, it has none.
 * In the host's, rootproc_fill() shows as much.
 */
static int make_stand_in(const struct plan *plan, const struct plan_mount *mount)
{
    _cleanup_close_ int context = -1;
    int fd = -1;

    if (plan->pid_namespace && strcmp(mount->type, "proc") == 0)
        context = fsopen("proc", FSOPEN_CLOEXEC);
    if (context >= 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        fd = fsmount(context, FSMOUNT_CLOEXEC,
                     MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    return fd < 0 ? make_placeholder() : fd;
}

/* What was planned as a file is one still: the guest was told. */
static int check_kind(int fd, const struct plan_mount *mount, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_set_errno(err, "%s.source: %s", mount->where, mount->source);
    if (mount->is_file == S_ISDIR(st.st_mode))
        return error_set(err, EBUSY, "%s.source: %s changed while the container was created",
                         mount->where, mount->source);
    return 0;
}

/* @filled: set to a stand-in that is to be read-only once all mount points in it are made. */
static int add_mount(const struct plan *plan, struct rootfs *rootfs, const struct plan_mount *mount,
                     int *filled, struct error *err)
{
    uint64_t attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
    _cleanup_close_ int place = -1, tree = -1;
    int ret;

    if (mount->readonly)
        attributes |= MOUNT_ATTR_RDONLY;
    if (mount->flags & MS_NOEXEC || mount->attributes & MOUNT_ATTR_NOEXEC)
        attributes |= MOUNT_ATTR_NOEXEC;
    if (mount->bind) {
        int share = clone_source(mount, attributes);

        if (share < 0)
            return error_set(err, -share, "%s.source: cannot share %s: %s", mount->where,
                             mount->source, strerror(-share));
        rootfs->shares[mount->share] = share;
        ret = check_kind(share, mount, err);
        if (ret < 0)
            return ret;
    }
    place = rootpath_make(rootfs->root, mount->target, mount->is_file, err);
    if (place < 0)
        return place;
    tree = mount->bind ? clone_source(mount, attributes) : make_stand_in(plan, mount);
    ret = tree < 0 ? tree : attach(tree, place);
    if (ret < 0)
        return error_set(err, -ret, "%s: error mounting \"%s\" to rootfs at \"%s\": %s",
                         mount->where, mount->source, mount->target, strerror(-ret));
    if (!mount->bind && !plan->pid_namespace && strcmp(mount->type, "proc") == 0) {
        ret = rootproc_fill(tree);
        if (ret < 0)
            log_debug("podman top will show no process: %s", strerror(-ret));
        *filled = steal_fd(&tree);
    }
    return 0;
}

static int add_root(const struct plan *plan, struct rootfs *rootfs, struct error *err)
{
    uint64_t attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
    _cleanup_close_ int place = open(plan->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int ret;

    if (place < 0)
        return error_set_errno(err, "rootfs %s", plan->rootfs);
    /* Mount points must still be made in it: read-only comes last. */
    rootfs->root = clone_mount(AT_FDCWD, plan->rootfs, false, attributes);
    ret = rootfs->root < 0 ? rootfs->root : attach(rootfs->root, place);
    if (ret < 0)
        return error_set(err, -ret, "rootfs %s: %s", plan->rootfs, strerror(-ret));
    if (plan->spec->root_readonly)
        attributes |= MOUNT_ATTR_RDONLY;
    ret = clone_mount(AT_FDCWD, plan->rootfs, false, attributes);
    if (ret < 0)
        return error_set(err, -ret, "rootfs: cannot share %s: %s", plan->rootfs, strerror(-ret));
    rootfs->shares[0] = ret;
    return 0;
}

/* The file alone, not at any place: only the guest looks at it. */
static int add_hook(struct rootfs *rootfs, const struct plan_hook *hook, struct error *err)
{
    int share = clone_mount(AT_FDCWD, hook->source, false,
                            MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY);

    if (share < 0)
        return error_set(err, -share, "config.json: hooks.createContainer: cannot share %s: %s",
                         hook->source, strerror(-share));
    rootfs->shares[hook->share] = share;
    return 0;
}

static int make_readonly(int mount, const char *what, struct error *err)
{
    struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };

    if (mount_setattr(mount, "", AT_EMPTY_PATH, &readonly, sizeof(readonly)) < 0)
        return error_set_errno(err, "%s: make read-only", what);
    return 0;
}

static int add_mounts(struct plan *plan, struct rootfs *rootfs, struct error *err)
{
    int *filled = arena_array(&plan->arena, plan->mount_count, sizeof(*filled));
    int ret = 0;

    if (!filled)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < plan->mount_count; i++)
        filled[i] = -1;
    for (size_t i = 0; ret == 0 && i < plan->mount_count; i++)
        ret = add_mount(plan, rootfs, &plan->mounts[i], &filled[i], err);
    /* Not before: files of lxcfs are mounted below /proc, where the stand-in lacks most places. */
    for (size_t i = 0; i < plan->mount_count; i++) {
        if (ret == 0 && filled[i] >= 0)
            ret = make_readonly(filled[i], plan->mounts[i].where, err);
        fd_close(&filled[i]);
    }
    return ret;
}

int rootfs_build(struct plan *plan, struct rootfs *rootfs, struct error *err)
{
    int ret;

    rootfs->root = -1;
    rootfs->shares = arena_array(&plan->arena, plan->share_count, sizeof(*rootfs->shares));
    if (!rootfs->shares)
        return error_set(err, ENOMEM, "out of memory");
    ret = add_root(plan, rootfs, err);
    if (ret == 0)
        ret = add_mounts(plan, rootfs, err);
    for (size_t i = 0; ret == 0 && i < plan->hook_count; i++)
        ret = add_hook(rootfs, &plan->hooks[i], err);
    if (ret < 0 || !plan->spec->root_readonly)
        return ret;
    return make_readonly(rootfs->root, "rootfs", err);
}

int rootfs_clone_descriptors(void)
{
    int fd = open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int rootfs_enter(const struct rootfs *rootfs, struct error *err)
{
    if (fchdir(rootfs->root) < 0)
        return error_set_errno(err, "rootfs: chdir");
    /* The old root comes to lie on top of the new one, so "." names it until it is taken off. */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return error_set_errno(err, "rootfs: pivot_root");
    if (umount2(".", MNT_DETACH) < 0)
        return error_set_errno(err, "rootfs: umount the host's root");
    return chdir("/") < 0 ? error_set_errno(err, "rootfs: chdir /") : 0;
}
