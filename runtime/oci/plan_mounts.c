/* Mounts and devices: which are shares of the host, which the guest makes, which cannot be had. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/mount_options.h"
#include "oci/rootpath.h"
#include "oci/plan.h"
#include "oci/rootless.h"
#include "vmm/plan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202 /* ipc/mqueue.c; not in linux/magic.h */
#endif

/* Filesystems that the guest mounts itself; all others come from the host. */
static const char *const guest_types[] = {
    "proc",    "sysfs",   "tmpfs",      "devpts", "mqueue", "cgroup",      "cgroup2",
    "debugfs", "tracefs", "securityfs", "bpf",    "ramfs",  "binfmt_misc", "fusectl",
};

/*
 * Kernel filesystems of the host say nothing about the guest: a bind mount of one's root becomes
 * a fresh one in the guest, a bind mount of something inside is refused.
 */
static const struct {
    unsigned long magic;
    const char *type; /* of the fresh one; NULL: there is none */
    const char *root; /* where the host has it */
} kernel_filesystems[] = {
    { PROC_SUPER_MAGIC, "proc", "/proc" },
    { SYSFS_MAGIC, "sysfs", "/sys" },
    { CGROUP_SUPER_MAGIC, "cgroup2", "/sys/fs/cgroup" },
    { CGROUP2_SUPER_MAGIC, "cgroup2", "/sys/fs/cgroup" },
    { DEVPTS_SUPER_MAGIC, "devpts", "/dev/pts" },
    { MQUEUE_MAGIC, "mqueue", "/dev/mqueue" },
    { DEBUGFS_MAGIC, "debugfs", "/sys/kernel/debug" },
    { TRACEFS_MAGIC, "tracefs", "/sys/kernel/tracing" },
    { SECURITYFS_MAGIC, "securityfs", "/sys/kernel/security" },
    { BPF_FS_MAGIC, "bpf", "/sys/fs/bpf" },
    { NSFS_MAGIC, NULL, NULL },
    { HUGETLBFS_MAGIC, NULL, NULL },
};

/* Places in /proc that may be mounted over, as in runc (checkProcMount). */
static const char *const proc_targets[] = {
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
};

/* Character devices that every guest has. */
static const struct {
    uint32_t major, minor;
} guest_devices[] = {
    { 1, 3 },  { 1, 5 }, { 1, 7 },    { 1, 8 },    { 1, 9 }, /* null zero full random urandom */
    { 1, 11 }, { 5, 0 }, { 10, 229 }, { 10, 200 },           /* kmsg tty fuse net/tun */
};

bool plan_guest_has_device(char type, uint64_t major, uint64_t minor)
{
    for (size_t i = 0; type == 'c' && i < COUNT(guest_devices); i++)
        if (guest_devices[i].major == major && guest_devices[i].minor == minor)
            return true;
    return false;
}

int plan_add_device(struct plan *plan, const struct plan_device *device, struct error *err)
{
    struct plan_device *devices =
        arena_array(&plan->arena, plan->device_count + 1, sizeof(*devices));

    if (!devices)
        return error_set(err, ENOMEM, "out of memory");
    if (plan->device_count)
        memcpy(devices, plan->devices, plan->device_count * sizeof(*devices));
    devices[plan->device_count++] = *device;
    plan->devices = devices;
    return 0;
}

/*
 * A privileged container is given every device of the host: those that a guest lacks are left out,
 * in one line for all of them.
 */
static int leave_out(struct plan *plan, const struct spec_device *d, size_t index, char *list,
                     size_t size, struct error *err)
{
    size_t used = strlen(list);

    if (!plan->spec->resources.all_devices)
        return error_set(err, ENOTSUP,
                         "config.json: linux.devices[%zu]: %s (%c %lld:%lld) cannot be passed to a "
                         "virtual machine",
                         index, d->path, d->type, (long long)d->major, (long long)d->minor);
    snprintf(list + used, size - used, "%s%s", used ? ", " : "", d->path);
    return 0;
}

int plan_devices(struct plan *plan, struct error *err)
{
    char left_out[256] = "";

    for (size_t i = 0; i < plan->spec->device_count; i++) {
        const struct spec_device *d = &plan->spec->devices[i];
        bool had = d->type == 'p' ||
                   (d->major >= 0 && d->minor >= 0 &&
                    plan_guest_has_device(d->type, (uint64_t)d->major, (uint64_t)d->minor));
        struct plan_device device = { .path = d->path,
                                      .mode = d->mode | (d->type == 'p' ? S_IFIFO : S_IFCHR),
                                      .major = (uint32_t)d->major,
                                      .minor = (uint32_t)d->minor,
                                      .uid = d->uid,
                                      .gid = d->gid };
        int ret = had ? plan_add_device(plan, &device, err)
                      : leave_out(plan, d, i, left_out, sizeof(left_out), err);

        if (ret < 0)
            return ret;
    }
    if (left_out[0])
        log_warning("config.json: linux.devices: devices of the host that a virtual machine does "
                    "not have are left out: %s",
                    left_out);
    return 0;
}

/* The spec's source, resolved on the host; relative ones are below the bundle. */
static int bind_source(struct plan *plan, const char *source, struct plan_mount *mount,
                       struct error *err)
{
    char joined[PATH_MAX], resolved[PATH_MAX];

    if (!source || !source[0])
        return error_set(err, EINVAL, "%s.source: expected a path, found nothing", mount->where);
    if (snprintf(joined, sizeof(joined), "%s%s%s", source[0] == '/' ? "" : plan->bundle,
                 source[0] == '/' ? "" : "/", source) >= (int)sizeof(joined))
        return error_set(err, ENAMETOOLONG, "%s.source is too long", mount->where);
    if (!realpath(joined, resolved))
        /* The words of runc and Go: engines look for them. */
        return error_set(err, errno,
                         "%s.source: error mounting \"%s\" to rootfs at \"%s\": stat %s: %s",
                         mount->where, source, mount->target, joined,
                         errno == ENOENT ? "no such file or directory" : strerror(errno));
    mount->source = arena_strdup(&plan->arena, resolved);
    return mount->source ? 0 : error_set(err, ENOMEM, "out of memory");
}

/*
 * Who may make no device nodes is given them as bind mounts, a privileged container in rootless
 * podman every one of the host's: no device rule tells it from others, its capabilities do.
 */
static bool is_privileged_rootless(const struct plan *plan)
{
    const uint64_t all = 1ull << CAP_SYS_MODULE | 1ull << CAP_SYS_RAWIO | 1ull << CAP_SYS_ADMIN |
                         1ull << CAP_SYS_BOOT;

    return (plan->spec->process.capabilities.bounding & all) == all &&
           (geteuid() != 0 || rootless_in_user_namespace());
}

/* A bind mount of a device node: the guest's own device of that number. */
static int bind_device(struct plan *plan, const struct plan_mount *mount, const struct stat *st,
                       struct error *err)
{
    struct plan_device device = { .path = mount->target,
                                  .mode = st->st_mode,
                                  .major = major(st->st_rdev),
                                  .minor = minor(st->st_rdev),
                                  .uid = st->st_uid,
                                  .gid = st->st_gid };

    if (!plan_guest_has_device(S_ISCHR(st->st_mode) ? 'c' : 'b', device.major, device.minor)) {
        if (strcmp(mount->source, mount->target) == 0 && is_privileged_rootless(plan)) {
            log_debug("%s: %s is left out: a virtual machine does not have it", mount->where,
                      mount->source);
            return 0;
        }
        return error_set(err, ENOTSUP,
                         "%s.source: %s is a device of the host: it cannot be passed to a virtual "
                         "machine",
                         mount->where, mount->source);
    }
    return plan_add_device(plan, &device, err);
}

/* What the guest mounts at @mount instead of what the host has there. */
static void make_guest_mount(struct plan_mount *mount, const char *type, const char *data)
{
    mount->bind = mount->recursive = false;
    mount->type = type;
    mount->source = type;
    mount->data = data;
}

/* Shared memory is between processes of one kernel: a tmpfs of the same size (as Kata does). */
static int bind_shm(struct plan *plan, struct plan_mount *mount, struct error *err)
{
    struct statfs fs;
    const char *data = "mode=1777";

    if (statfs(mount->source, &fs) == 0 && fs.f_type == TMPFS_MAGIC && fs.f_blocks)
        data = arena_format(&plan->arena, "mode=1777,size=%llu",
                            (unsigned long long)fs.f_blocks * (unsigned long long)fs.f_bsize);
    if (!data)
        return error_set(err, ENOMEM, "out of memory");
    make_guest_mount(mount, "tmpfs", data);
    return 0;
}

/* Return: 1 when @mount is settled, 0 when it is an ordinary bind mount, or -errno. */
static int bind_kernel_filesystem(struct plan_mount *mount, struct error *err)
{
    struct statfs fs;

    if (statfs(mount->source, &fs) < 0)
        return error_set_errno(err, "%s.source: statfs %s", mount->where, mount->source);
    for (size_t i = 0; i < COUNT(kernel_filesystems); i++) {
        const char *type = kernel_filesystems[i].type;
        bool groups = type && strcmp(type, "cgroup2") == 0 &&
                      strcmp(mount->source, kernel_filesystems[i].root) == 0;

        /* With cgroup v1 a tmpfs lies there, and the hierarchies below it. */
        if (kernel_filesystems[i].magic != (unsigned long)fs.f_type && !groups)
            continue;
        if (!type || strcmp(mount->source, kernel_filesystems[i].root) != 0)
            return error_set(err, ENOTSUP,
                             "%s.source: %s belongs to the host's kernel: it means nothing in a "
                             "virtual machine",
                             mount->where, mount->source);
        make_guest_mount(mount, type, NULL);
        return 1;
    }
    if (strcmp(mount->source, "/dev") == 0)
        return error_set(err, ENOTSUP,
                         "%s.source: the host's /dev cannot be shared with a virtual machine",
                         mount->where);
    return 0;
}

/* A bind mount of a place that is noexec, nosuid or nodev is so as well, unless asked not to be. */
static int inherit_flags(struct plan_mount *mount, uint64_t cleared, struct error *err)
{
    struct statvfs fs;
    uint64_t flags;

    if (statvfs(mount->source, &fs) < 0)
        return error_set_errno(err, "%s.source: statfs %s", mount->where, mount->source);
    flags = (fs.f_flag & ST_NOEXEC ? MS_NOEXEC : 0) | (fs.f_flag & ST_NOSUID ? MS_NOSUID : 0) |
            (fs.f_flag & ST_NODEV ? MS_NODEV : 0);
    mount->flags |= flags & ~cleared;
    return 0;
}

/* Return: 1 when the guest has something at the target anyway and no mount is needed. */
static int plan_bind(struct plan *plan, struct plan_mount *mount, uint64_t cleared,
                     struct error *err)
{
    struct stat st;
    int ret;

    if (stat(mount->source, &st) < 0)
        return error_set_errno(err, "%s.source: stat %s", mount->where, mount->source);
    if (strcmp(mount->target, "/dev/shm") == 0)
        return bind_shm(plan, mount, err);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        return (ret = bind_device(plan, mount, &st, err)) < 0 ? ret : 1;
    if (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))
        log_warning("%s.source: %s is a %s of the host: the container sees it, but nothing passes "
                    "through it into a virtual machine",
                    mount->where, mount->source, S_ISSOCK(st.st_mode) ? "socket" : "fifo");
    ret = bind_kernel_filesystem(mount, err);
    if (ret != 0)
        return ret < 0 ? ret : 0;
    if (plan->share_count >= PLAN_SHARES_MAX)
        return error_set(err, E2BIG, "%s: more than %d bind mounts", mount->where,
                         PLAN_SHARES_MAX - 1);
    mount->is_file = !S_ISDIR(st.st_mode);
    mount->share = plan->share_count++;
    return inherit_flags(mount, cleared, err);
}

/* The mount planned so far that @target will lie on; NULL: the root filesystem. */
static const struct plan_mount *find_cover(const struct plan *plan, const char *target)
{
    const struct plan_mount *cover = NULL;

    for (size_t i = 0; i < plan->mount_count; i++)
        if (rootpath_is_below(target, plan->mounts[i].target) &&
            (!cover || strlen(plan->mounts[i].target) >= strlen(cover->target)))
            cover = &plan->mounts[i];
    return cover;
}

/* Is there something at the target before the mount points are made? */
static bool target_exists(const struct plan *plan, const char *target)
{
    const struct plan_mount *cover = find_cover(plan, target);
    const char *base = cover ? cover->source : plan->rootfs;
    const char *rest = target + (cover ? strlen(cover->target) : 0);
    _cleanup_close_ int root = -1, fd = -1;

    if (cover && !cover->bind)
        return false;
    root = open(base, O_PATH | O_CLOEXEC);
    fd = root < 0 ? -1 : rest[0] ? rootpath_open(root, rest, O_PATH) : steal_fd(&root);
    return fd >= 0;
}

static bool has_mode(const char *data)
{
    for (const char *p = data; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, "mode=", 5) == 0)
            return true;
    }
    return false;
}

/*
 * As with runc, a tmpfs without "mode" has that of the directory it covers, and tmpfs's own default
 * where there was none. The guest only sees the one that was made as its mount point.
 */
static int settle_mode(struct plan *plan, struct plan_mount *mount, struct error *err)
{
    if (strcmp(mount->type, "tmpfs") != 0 || has_mode(mount->data) ||
        target_exists(plan, mount->target))
        return 0;
    mount->data = arena_format(&plan->arena, "%s%smode=1777", mount->data ? mount->data : "",
                               mount->data ? "," : "");
    return mount->data ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int plan_guest_mount(struct plan *plan, const struct spec_mount *spec,
                            struct plan_mount *mount, const char *data, struct error *err)
{
    for (size_t i = 0; i < COUNT(guest_types); i++)
        if (spec->type && strcmp(spec->type, guest_types[i]) == 0) {
            make_guest_mount(mount, spec->type, data);
            if (spec->source && spec->source[0])
                mount->source = spec->source;
            return settle_mode(plan, mount, err);
        }
    return error_set(err, ENOTSUP, "%s.type: \"%s\" is not supported in a virtual machine",
                     mount->where, spec->type ? spec->type : "");
}

static int check_target(const struct plan_mount *mount, const char *source, struct error *err)
{
    if (strcmp(mount->target, "/") == 0)
        return error_set(err, EINVAL, "%s.destination: mounting over / is not possible",
                         mount->where);
    if (strcmp(mount->target, "/proc") == 0 || !rootpath_is_below(mount->target, "/proc"))
        return 0;
    for (size_t i = 0; i < COUNT(proc_targets); i++)
        if (strcmp(mount->target, proc_targets[i]) == 0)
            return 0;
    /* runc's words. */
    return error_set(err, EINVAL,
                     "%s: error mounting \"%s\" to rootfs at \"%s\": \"%s\" cannot be mounted "
                     "because it is inside /proc",
                     mount->where, source ? source : "", mount->target, mount->target);
}

/* Return: 1 when nothing is left to mount. */
static int plan_mount(struct plan *plan, size_t index, struct plan_mount *mount, struct error *err)
{
    const struct spec_mount *spec = &plan->spec->mounts[index];
    struct mount_options options = { 0 };
    char target[PATH_MAX];
    int ret;

    mount->where = arena_format(&plan->arena, "config.json: mounts[%zu]", index);
    if (!mount->where)
        return error_set(err, ENOMEM, "out of memory");
    if (rootpath_clean(spec->destination, target) < 0)
        return error_set(err, ENAMETOOLONG, "%s.destination is too long", mount->where);
    mount->target = arena_strdup(&plan->arena, target);
    if (!mount->target)
        return error_set(err, ENOMEM, "out of memory");
    ret = check_target(mount, spec->source, err);
    if (ret == 0)
        ret = mount_options_parse(spec->options, mount->where, &options, &plan->arena, err);
    if (ret < 0)
        return ret;
    mount->flags = options.flags;
    mount->propagation = options.propagation;
    mount->attributes = options.attributes;
    mount->attributes_clear = options.attributes_clear;
    mount->copyup = options.copyup && spec->type && strcmp(spec->type, "tmpfs") == 0;
    mount->readonly = (options.flags & MS_RDONLY || options.attributes & MOUNT_ATTR_RDONLY) &&
                      !(options.attributes_clear & MOUNT_ATTR_RDONLY);
    mount->bind = options.bind || (spec->type && strcmp(spec->type, "bind") == 0);
    mount->recursive = mount->bind && options.recursive;
    if (!mount->bind)
        return plan_guest_mount(plan, spec, mount, options.data, err);
    if (options.data)
        log_debug("%s.options: \"%s\" ignored: they mean nothing to a bind mount", mount->where,
                  options.data);
    ret = bind_source(plan, spec->source, mount, err);
    return ret < 0 ? ret : plan_bind(plan, mount, options.cleared, err);
}

int plan_mounts(struct plan *plan, struct error *err)
{
    plan->share_count = 1;
    plan->mounts = arena_array(&plan->arena, plan->spec->mount_count, sizeof(*plan->mounts));
    if (!plan->mounts)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < plan->spec->mount_count; i++) {
        struct plan_mount *mount = &plan->mounts[plan->mount_count];
        int ret = plan_mount(plan, i, mount, err);

        if (ret < 0)
            return ret;
        if (ret == 0)
            plan->mount_count++;
        else
            memset(mount, 0, sizeof(*mount));
    }
    return 0;
}
