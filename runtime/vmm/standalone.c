/* The smallest useful container: one directory as root, one command, root's rights. */
#include "vmm/standalone.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "init/protocol.h"

static const struct {
    const char *target, *type, *data;
    unsigned long flags;
} mounts[] = {
    { "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
    { "/dev", "tmpfs", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME },
    { "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
};

static int add_root_share(struct vm_plan *plan, struct error *err)
{
    struct plan_share *shares =
        realloc(plan->shares, (plan->share_count + 1) * sizeof(*plan->shares));

    if (!shares)
        return error_set(err, ENOMEM, "out of memory");
    plan->shares = shares;
    shares[plan->share_count] = (struct plan_share) { .path = strdup(plan->root), .fd = -1 };
    return shares[plan->share_count++].path ? 0 : error_set(err, ENOMEM, "out of memory");
}

static void put_capabilities(struct protocol_writer *writer)
{
    const uint64_t all = (1ull << 41) - 1;
    size_t mark = protocol_open(writer, FIELD_CAPABILITIES);

    protocol_put_u64(writer, FIELD_CAP_BOUNDING, all);
    protocol_put_u64(writer, FIELD_CAP_EFFECTIVE, all);
    protocol_put_u64(writer, FIELD_CAP_PERMITTED, all);
    protocol_close(writer, mark);
}

int standalone_container(struct vm_plan *plan, unsigned char **message, size_t *length,
                         struct error *err)
{
    struct protocol_writer writer = { 0 };
    int ret = add_root_share(plan, err);

    if (ret < 0)
        return ret;
    protocol_begin(&writer, MESSAGE_CONTAINER, 0, 0);
    protocol_put_string(&writer, FIELD_ID, plan->id ? plan->id : "vm");
    protocol_put_u64(&writer, FIELD_NAMESPACES, CLONE_NEWPID | CLONE_NEWNS);
    protocol_put_u64(&writer, FIELD_ROOT_SHARE, plan->share_count - 1);
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        size_t mark = protocol_open(&writer, FIELD_MOUNT);

        protocol_put_string(&writer, FIELD_MOUNT_TARGET, mounts[i].target);
        protocol_put_string(&writer, FIELD_MOUNT_TYPE, mounts[i].type);
        protocol_put_string(&writer, FIELD_MOUNT_SOURCE, mounts[i].type);
        protocol_put_u64(&writer, FIELD_MOUNT_FLAGS, mounts[i].flags);
        if (mounts[i].data)
            protocol_put_string(&writer, FIELD_MOUNT_DATA, mounts[i].data);
        protocol_close(&writer, mark);
    }
    for (char **arg = plan->args; *arg; arg++)
        protocol_put_string(&writer, FIELD_ARG, *arg);
    for (char **variable = plan->env; variable && *variable; variable++)
        protocol_put_string(&writer, FIELD_ENV, *variable);
    if (!plan->env)
        protocol_put_string(&writer, FIELD_ENV,
                            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    protocol_put_string(&writer, FIELD_CWD, plan->cwd ? plan->cwd : "/");
    protocol_put_u64(&writer, FIELD_UID, 0);
    protocol_put_u64(&writer, FIELD_GID, 0);
    put_capabilities(&writer);
    if (protocol_finish(&writer) < 0) {
        free(writer.data);
        return error_set(err, E2BIG, "args and env: expected at most %u bytes in all",
                         PROTOCOL_LENGTH_MAX);
    }
    *message = writer.data;
    *length = writer.length;
    return 0;
}
