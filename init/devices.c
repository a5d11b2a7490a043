/* Device nodes and links of /dev (runtime-spec config-linux.md "Default Devices", "Dev symlinks").
 */
#include "init/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init/io.h"
#include "init/path.h"

#define NUMBER(major, minor) ((uint64_t)(major) << 32 | (minor))

static const struct device_plan default_devices[] = {
    { "/dev/null", S_IFCHR | 0666, NUMBER(1, 3), 0, 0 },
    { "/dev/zero", S_IFCHR | 0666, NUMBER(1, 5), 0, 0 },
    { "/dev/full", S_IFCHR | 0666, NUMBER(1, 7), 0, 0 },
    { "/dev/random", S_IFCHR | 0666, NUMBER(1, 8), 0, 0 },
    { "/dev/urandom", S_IFCHR | 0666, NUMBER(1, 9), 0, 0 },
    { "/dev/tty", S_IFCHR | 0666, NUMBER(5, 0), 0, 0 },
};

static const struct {
    const char *path, *target;
} default_links[] = {
    { "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" },
    { "/dev/stdout", "/proc/self/fd/1" }, { "/dev/stderr", "/proc/self/fd/2" },
    { "/dev/core", "/proc/kcore" },
};

/* Where init keeps the node that user namespaces bind. */
static void provided_path(char path[PATH_MAX], const struct device_plan *device,
                          const struct mount_places *places, uint32_t uid, uint32_t gid)
{
    snprintf(path, PATH_MAX, "%s/%o-%llx-%u-%u", places->devices, device->mode,
             (unsigned long long)device->number, uid, gid);
}

static int device_provide(const struct device_plan *device, const struct container_plan *plan,
                          const struct mount_places *places)
{
    uint32_t uid = id_map_outside(&plan->uid_map, device->uid);
    uint32_t gid = id_map_outside(&plan->gid_map, device->gid);
    dev_t number = makedev((unsigned int)(device->number >> 32), (unsigned int)device->number);
    char path[PATH_MAX];

    provided_path(path, device, places, uid, gid);
    if (mknod(path, device->mode, number) < 0)
        return errno == EEXIST ? 0 : -errno;
    return chown(path, uid, gid) < 0 ? -errno : 0;
}

int devices_provide(const struct container_plan *plan, const struct mount_places *places,
                    struct failure *failure)
{
    size_t count = sizeof(default_devices) / sizeof(default_devices[0]);

    if (mkdir(places->devices, 0755) < 0 && errno != EEXIST)
        return failure_errno(failure, "%s", places->devices);
    for (size_t i = 0; i < plan->devices.count + count; i++) {
        const struct device_plan *device =
            i < count ? &default_devices[i] : LIST_AT(plan->devices, struct device_plan, i - count);
        int ret = device_provide(device, plan, places);

        if (ret < 0)
            return failure_set(failure, -ret, "device %s: %s", device->path,
                               failure_describe(-ret));
    }
    return 0;
}

/* In a user namespace no node can be made: the one init made is bound. */
static int device_bind(const struct device_plan *device, const struct container_plan *plan,
                       const struct mount_places *places, int root)
{
    _cleanup_close_ int target = path_create(root, device->path, true);
    _cleanup_close_ int tree = -1;
    char path[PATH_MAX];

    if (target < 0)
        return target;
    provided_path(path, device, places, id_map_outside(&plan->uid_map, device->uid),
                  id_map_outside(&plan->gid_map, device->gid));
    tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 ||
        move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/* A node that is there already is left alone, as runc does. */
static int device_make(const struct device_plan *device, int root)
{
    const char *name;
    _cleanup_close_ int parent = path_create_parent(root, device->path, &name);
    dev_t number = makedev((unsigned int)(device->number >> 32), (unsigned int)device->number);

    if (parent < 0)
        return parent;
    if (mknodat(parent, name, device->mode, number) < 0)
        return errno == EEXIST ? 0 : -errno;
    if (fchownat(parent, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int devices_make_nodes(const struct device_plan *devices, size_t count,
                              const struct container_plan *plan, const struct mount_places *places,
                              int root, struct failure *failure)
{
    bool bind = plan->namespaces & CLONE_NEWUSER;

    for (size_t i = 0; i < count; i++) {
        int ret =
            bind ? device_bind(&devices[i], plan, places, root) : device_make(&devices[i], root);

        if (ret < 0)
            return failure_set(failure, -ret, "device %s: %s", devices[i].path,
                               failure_describe(-ret));
    }
    return 0;
}

static int link_make(int root, const char *path, const char *target, bool replace)
{
    const char *name;
    _cleanup_close_ int parent = path_create_parent(root, path, &name);

    if (parent < 0)
        return parent;
    if (replace)
        unlinkat(parent, name, 0);
    return symlinkat(target, parent, name) < 0 && errno != EEXIST ? -errno : 0;
}

static int links_make(int root, struct failure *failure)
{
    int ret = link_make(root, "/dev/ptmx", "pts/ptmx", true);

    if (ret < 0)
        return failure_set(failure, -ret, "link /dev/ptmx: %s", failure_describe(-ret));
    for (size_t i = 0; i < sizeof(default_links) / sizeof(default_links[0]); i++) {
        if (strcmp(default_links[i].target, "/proc/kcore") == 0 && access("/proc/kcore", F_OK) < 0)
            continue;
        ret = link_make(root, default_links[i].path, default_links[i].target, false);
        if (ret < 0)
            return failure_set(failure, -ret, "link %s: %s", default_links[i].path,
                               failure_describe(-ret));
    }
    return 0;
}

int devices_make(const struct container_plan *plan, const struct mount_places *places, int root,
                 struct failure *failure)
{
    int ret;

    if (mounts_share_covers_dev(plan))
        return 0;
    ret = devices_make_nodes(plan->devices.items, plan->devices.count, plan, places, root, failure);
    if (ret == 0)
        ret = devices_make_nodes(default_devices,
                                 sizeof(default_devices) / sizeof(default_devices[0]), plan, places,
                                 root, failure);
    return ret < 0 ? ret : links_make(root, failure);
}
