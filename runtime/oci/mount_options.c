/* The table of mount options (runtime-spec config-linux.md, mount(8)). */
#include "oci/mount_options.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum option_kind { OPTION_SET, OPTION_CLEAR, OPTION_BIND, OPTION_PROPAGATION, OPTION_REFUSED };

struct option_row {
    const char *name;
    enum option_kind kind;
    uint64_t flags;
};

/* The r… forms act on the whole tree; here every bind mount's flags do (see mounts[].options). */
static const struct option_row rows[] = {
    { "async", OPTION_CLEAR, MS_SYNCHRONOUS },
    { "atime", OPTION_CLEAR, MS_NOATIME },
    { "bind", OPTION_BIND, 0 },
    { "defaults", OPTION_SET, 0 },
    { "dev", OPTION_CLEAR, MS_NODEV },
    { "diratime", OPTION_CLEAR, MS_NODIRATIME },
    { "dirsync", OPTION_SET, MS_DIRSYNC },
    { "exec", OPTION_CLEAR, MS_NOEXEC },
    { "iversion", OPTION_SET, MS_I_VERSION },
    { "lazytime", OPTION_SET, MS_LAZYTIME },
    { "loud", OPTION_CLEAR, MS_SILENT },
    { "mand", OPTION_SET, MS_MANDLOCK },
    { "noatime", OPTION_SET, MS_NOATIME },
    { "nodev", OPTION_SET, MS_NODEV },
    { "nodiratime", OPTION_SET, MS_NODIRATIME },
    { "noexec", OPTION_SET, MS_NOEXEC },
    { "noiversion", OPTION_CLEAR, MS_I_VERSION },
    { "nolazytime", OPTION_CLEAR, MS_LAZYTIME },
    { "nomand", OPTION_CLEAR, MS_MANDLOCK },
    { "norelatime", OPTION_CLEAR, MS_RELATIME },
    { "nostrictatime", OPTION_CLEAR, MS_STRICTATIME },
    { "nosuid", OPTION_SET, MS_NOSUID },
    { "nosymfollow", OPTION_SET, MS_NOSYMFOLLOW },
    { "private", OPTION_PROPAGATION, MS_PRIVATE },
    { "rbind", OPTION_BIND, MS_REC },
    { "relatime", OPTION_SET, MS_RELATIME },
    { "remount", OPTION_REFUSED, 0 },
    { "rnoatime", OPTION_SET, MS_NOATIME },
    { "rnodev", OPTION_SET, MS_NODEV },
    { "rnodiratime", OPTION_SET, MS_NODIRATIME },
    { "rnoexec", OPTION_SET, MS_NOEXEC },
    { "rnosuid", OPTION_SET, MS_NOSUID },
    { "ro", OPTION_SET, MS_RDONLY },
    { "rprivate", OPTION_PROPAGATION, MS_PRIVATE | MS_REC },
    { "rro", OPTION_SET, MS_RDONLY },
    { "rshared", OPTION_REFUSED, 0 },
    { "rslave", OPTION_PROPAGATION, MS_SLAVE | MS_REC },
    { "runbindable", OPTION_PROPAGATION, MS_UNBINDABLE | MS_REC },
    { "rw", OPTION_CLEAR, MS_RDONLY },
    { "shared", OPTION_REFUSED, 0 },
    { "silent", OPTION_SET, MS_SILENT },
    { "slave", OPTION_PROPAGATION, MS_SLAVE },
    { "strictatime", OPTION_SET, MS_STRICTATIME },
    { "suid", OPTION_CLEAR, MS_NOSUID },
    { "symfollow", OPTION_CLEAR, MS_NOSYMFOLLOW },
    { "sync", OPTION_SET, MS_SYNCHRONOUS },
    { "unbindable", OPTION_PROPAGATION, MS_UNBINDABLE },
    { "idmap", OPTION_REFUSED, 0 },
    { "ridmap", OPTION_REFUSED, 0 },
};

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
            break;
        case OPTION_CLEAR:
            parsed->flags &= ~row->flags;
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
            return error_set(err, ENOTSUP,
                             "%s: option \"%s\" is not supported: mounts of a virtual machine are "
                             "not shared with the host's mount table",
                             where, *options);
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
