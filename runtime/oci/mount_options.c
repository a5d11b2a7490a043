/* The table of mount options (runtime-spec config-linux.md, mount(8)). */
#include "oci/mount_options.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum option_kind {
    OPTION_SET,         /* flags: MS_* */
    OPTION_CLEAR,       /* likewise */
    OPTION_TREE_SET,    /* flags: MOUNT_ATTR_*, for the mount and all below it */
    OPTION_TREE_CLEAR,  /* likewise */
    OPTION_BIND,        /* flags: MS_REC or 0 */
    OPTION_PROPAGATION, /* flags: MS_* */
    OPTION_COPYUP,
    OPTION_REFUSED,
};

struct option_row {
    const char *name;
    enum option_kind kind;
    uint64_t flags;
    const char *why; /* refused */
};

#define NOT_SHARED "mounts of a virtual machine are not shared with the host's mount table"
#define NO_IDMAP   "id-mapped mounts are not supported"

/* Sorted by name, as runc prints them. Access lists are always on where a filesystem has them. */
static const struct option_row rows[] = {
    { "acl", OPTION_SET, 0, NULL },
    { "async", OPTION_CLEAR, MS_SYNCHRONOUS, NULL },
    { "atime", OPTION_CLEAR, MS_NOATIME, NULL },
    { "bind", OPTION_BIND, 0, NULL },
    { "defaults", OPTION_SET, 0, NULL },
    { "dev", OPTION_CLEAR, MS_NODEV, NULL },
    { "diratime", OPTION_CLEAR, MS_NODIRATIME, NULL },
    { "dirsync", OPTION_SET, MS_DIRSYNC, NULL },
    { "exec", OPTION_CLEAR, MS_NOEXEC, NULL },
    { "idmap", OPTION_REFUSED, 0, NO_IDMAP },
    { "iversion", OPTION_SET, MS_I_VERSION, NULL },
    { "lazytime", OPTION_SET, MS_LAZYTIME, NULL },
    { "loud", OPTION_CLEAR, MS_SILENT, NULL },
    { "mand", OPTION_SET, MS_MANDLOCK, NULL },
    { "noacl", OPTION_SET, 0, NULL },
    { "noatime", OPTION_SET, MS_NOATIME, NULL },
    { "nodev", OPTION_SET, MS_NODEV, NULL },
    { "nodiratime", OPTION_SET, MS_NODIRATIME, NULL },
    { "noexec", OPTION_SET, MS_NOEXEC, NULL },
    { "noiversion", OPTION_CLEAR, MS_I_VERSION, NULL },
    { "nolazytime", OPTION_CLEAR, MS_LAZYTIME, NULL },
    { "nomand", OPTION_CLEAR, MS_MANDLOCK, NULL },
    { "norelatime", OPTION_CLEAR, MS_RELATIME, NULL },
    { "nostrictatime", OPTION_CLEAR, MS_STRICTATIME, NULL },
    { "nosuid", OPTION_SET, MS_NOSUID, NULL },
    { "nosymfollow", OPTION_SET, MS_NOSYMFOLLOW, NULL },
    { "private", OPTION_PROPAGATION, MS_PRIVATE, NULL },
    { "ratime", OPTION_TREE_CLEAR, MOUNT_ATTR_NOATIME, NULL },
    { "rbind", OPTION_BIND, MS_REC, NULL },
    { "rdev", OPTION_TREE_CLEAR, MOUNT_ATTR_NODEV, NULL },
    { "rdiratime", OPTION_TREE_CLEAR, MOUNT_ATTR_NODIRATIME, NULL },
    { "relatime", OPTION_SET, MS_RELATIME, NULL },
    { "remount", OPTION_REFUSED, 0, "a container begins without mounts that could be changed" },
    { "rexec", OPTION_TREE_CLEAR, MOUNT_ATTR_NOEXEC, NULL },
    { "ridmap", OPTION_REFUSED, 0, NO_IDMAP },
    { "rnoatime", OPTION_TREE_SET, MOUNT_ATTR_NOATIME, NULL },
    { "rnodev", OPTION_TREE_SET, MOUNT_ATTR_NODEV, NULL },
    { "rnodiratime", OPTION_TREE_SET, MOUNT_ATTR_NODIRATIME, NULL },
    { "rnoexec", OPTION_TREE_SET, MOUNT_ATTR_NOEXEC, NULL },
    { "rnorelatime", OPTION_TREE_CLEAR, MOUNT_ATTR_RELATIME, NULL },
    { "rnostrictatime", OPTION_TREE_CLEAR, MOUNT_ATTR_STRICTATIME, NULL },
    { "rnosuid", OPTION_TREE_SET, MOUNT_ATTR_NOSUID, NULL },
    { "rnosymfollow", OPTION_TREE_SET, MOUNT_ATTR_NOSYMFOLLOW, NULL },
    { "ro", OPTION_SET, MS_RDONLY, NULL },
    { "rprivate", OPTION_PROPAGATION, MS_PRIVATE | MS_REC, NULL },
    { "rrelatime", OPTION_TREE_SET, MOUNT_ATTR_RELATIME, NULL },
    { "rro", OPTION_TREE_SET, MOUNT_ATTR_RDONLY, NULL },
    { "rrw", OPTION_TREE_CLEAR, MOUNT_ATTR_RDONLY, NULL },
    { "rshared", OPTION_REFUSED, 0, NOT_SHARED },
    { "rslave", OPTION_PROPAGATION, MS_SLAVE | MS_REC, NULL },
    { "rstrictatime", OPTION_TREE_SET, MOUNT_ATTR_STRICTATIME, NULL },
    { "rsuid", OPTION_TREE_CLEAR, MOUNT_ATTR_NOSUID, NULL },
    { "rsymfollow", OPTION_TREE_CLEAR, MOUNT_ATTR_NOSYMFOLLOW, NULL },
    { "runbindable", OPTION_PROPAGATION, MS_UNBINDABLE | MS_REC, NULL },
    { "rw", OPTION_CLEAR, MS_RDONLY, NULL },
    { "shared", OPTION_REFUSED, 0, NOT_SHARED },
    { "silent", OPTION_SET, MS_SILENT, NULL },
    { "slave", OPTION_PROPAGATION, MS_SLAVE, NULL },
    { "strictatime", OPTION_SET, MS_STRICTATIME, NULL },
    { "suid", OPTION_CLEAR, MS_NOSUID, NULL },
    { "symfollow", OPTION_CLEAR, MS_NOSYMFOLLOW, NULL },
    { "sync", OPTION_SET, MS_SYNCHRONOUS, NULL },
    { "tmpcopyup", OPTION_COPYUP, 0, NULL },
    { "unbindable", OPTION_PROPAGATION, MS_UNBINDABLE, NULL },
};

/* What the last of several options says holds. */
static void apply_tree(struct mount_options *parsed, uint64_t flags, bool set)
{
    /* mount_setattr(2): the access time settings are one field, not bits: clear it to set one. */
    bool atime = (flags & MOUNT_ATTR__ATIME) == flags;

    if (set) {
        if (atime)
            parsed->attributes &= ~(uint64_t)MOUNT_ATTR__ATIME;
        parsed->attributes |= flags;
        parsed->attributes_clear &= ~flags;
        if (atime)
            parsed->attributes_clear |= MOUNT_ATTR__ATIME;
    } else {
        parsed->attributes &= ~flags;
        parsed->attributes_clear |= atime ? MOUNT_ATTR__ATIME : flags;
    }
}

static const struct option_row *find_row(const char *name)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strcmp(name, rows[i].name) == 0)
            return &rows[i];
    return NULL;
}

int mount_options_parse(const char *const *options, const char *where, struct mount_options *parsed,
                        struct arena *arena, struct error *err)
{
    memset(parsed, 0, sizeof(*parsed));
    for (; options && *options; options++) {
        const struct option_row *row = find_row(*options);

        if (!row) {
            parsed->data = parsed->data ? arena_format(arena, "%s,%s", parsed->data, *options)
                                        : arena_strdup(arena, *options);
            if (!parsed->data)
                return error_set(err, ENOMEM, "out of memory");
            continue;
        }
        switch (row->kind) {
        case OPTION_SET:
            parsed->flags |= row->flags;
            parsed->cleared &= ~row->flags;
            break;
        case OPTION_CLEAR:
            parsed->flags &= ~row->flags;
            parsed->cleared |= row->flags;
            break;
        case OPTION_TREE_SET:
        case OPTION_TREE_CLEAR:
            apply_tree(parsed, row->flags, row->kind == OPTION_TREE_SET);
            break;
        case OPTION_COPYUP:
            parsed->copyup = true;
            break;
        case OPTION_BIND:
            parsed->bind = true;
            parsed->recursive = row->flags & MS_REC;
            break;
        case OPTION_PROPAGATION:
            parsed->propagation = row->flags;
            break;
        case OPTION_REFUSED:
        default:
            return error_set(err, ENOTSUP, "%s: option \"%s\" is not supported: %s", where,
                             *options, row->why);
        }
    }
    return 0;
}

const char *mount_options_name(unsigned int index)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].kind != OPTION_REFUSED && index-- == 0)
            return rows[i].name;
    return NULL;
}
