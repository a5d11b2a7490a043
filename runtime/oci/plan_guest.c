/* The guest's orders: one MESSAGE_CONTAINER (init/protocol.h). */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "oci/plan.h"
#include "oci/settings.h"

#define FIRST_CONTAINER 0

static void put_strings(struct protocol_writer *writer, uint16_t tag, const char *const *strings)
{
    for (; strings && *strings; strings++)
        protocol_put_string(writer, tag, *strings);
}

static void put_capabilities(struct protocol_writer *writer, const struct spec_capabilities *caps)
{
    size_t mark = protocol_open(writer, FIELD_CAPABILITIES);

    protocol_put_u64(writer, FIELD_CAP_BOUNDING, caps->bounding);
    protocol_put_u64(writer, FIELD_CAP_EFFECTIVE, caps->effective);
    protocol_put_u64(writer, FIELD_CAP_INHERITABLE, caps->inheritable);
    protocol_put_u64(writer, FIELD_CAP_PERMITTED, caps->permitted);
    protocol_put_u64(writer, FIELD_CAP_AMBIENT, caps->ambient);
    protocol_close(writer, mark);
}

static void put_process(struct protocol_writer *writer, const struct spec_process *process)
{
    put_strings(writer, FIELD_ARG, process->args);
    for (const char **env = process->env; env && *env; env++)
        if (!settings_is_variable(*env))
            protocol_put_string(writer, FIELD_ENV, *env);
    protocol_put_string(writer, FIELD_CWD, process->cwd);
    protocol_put_u64(writer, FIELD_UID, process->uid);
    protocol_put_u64(writer, FIELD_GID, process->gid);
    for (size_t i = 0; i < process->group_count; i++)
        protocol_put_u64(writer, FIELD_GROUP, process->groups[i]);
    if (process->umask != SPEC_UNSET)
        protocol_put_u64(writer, FIELD_UMASK, (uint64_t)process->umask);
    put_capabilities(writer, &process->capabilities);
    protocol_put_u64(writer, FIELD_NO_NEW_PRIVILEGES, process->no_new_privileges);
    if (process->oom_score_adj != SPEC_UNSET)
        protocol_put_u64(writer, FIELD_OOM_SCORE_ADJ, (uint64_t)process->oom_score_adj);
    for (size_t i = 0; i < process->rlimit_count; i++) {
        size_t mark = protocol_open(writer, FIELD_RLIMIT);

        protocol_put_u64(writer, FIELD_RESOURCE, process->rlimits[i].resource);
        protocol_put_u64(writer, FIELD_SOFT, process->rlimits[i].soft);
        protocol_put_u64(writer, FIELD_HARD, process->rlimits[i].hard);
        protocol_close(writer, mark);
    }
    protocol_put_u64(writer, FIELD_TERMINAL, process->terminal);
}

static void put_mount(struct protocol_writer *writer, const struct plan_mount *mount)
{
    size_t mark = protocol_open(writer, FIELD_MOUNT);

    protocol_put_string(writer, FIELD_MOUNT_TARGET, mount->target);
    protocol_put_string(writer, FIELD_MOUNT_TYPE, mount->bind ? "share" : mount->type);
    if (mount->bind) {
        protocol_put_u64(writer, FIELD_MOUNT_SHARE, mount->share);
        protocol_put_u64(writer, FIELD_MOUNT_IS_FILE, mount->is_file);
        protocol_put_u64(writer, FIELD_MOUNT_FLAGS,
                         mount->flags | (mount->recursive ? MS_BIND | MS_REC : MS_BIND));
    } else {
        protocol_put_string(writer, FIELD_MOUNT_SOURCE, mount->source);
        protocol_put_u64(writer, FIELD_MOUNT_FLAGS, mount->flags);
        if (mount->data)
            protocol_put_string(writer, FIELD_MOUNT_DATA, mount->data);
    }
    if (mount->propagation)
        protocol_put_u64(writer, FIELD_MOUNT_PROPAGATION, mount->propagation);
    protocol_close(writer, mark);
}

static void put_devices(struct protocol_writer *writer, const struct plan *plan)
{
    for (size_t i = 0; i < plan->device_count; i++) {
        const struct plan_device *device = &plan->devices[i];
        size_t mark = protocol_open(writer, FIELD_DEVICE);

        protocol_put_string(writer, FIELD_MOUNT_TARGET, device->path);
        protocol_put_u64(writer, FIELD_DEVICE_MODE, device->mode);
        protocol_put_u64(writer, FIELD_DEVICE_NUMBER,
                         (uint64_t)device->major << 32 | device->minor);
        protocol_put_u64(writer, FIELD_UID, device->uid);
        protocol_put_u64(writer, FIELD_GID, device->gid);
        protocol_close(writer, mark);
    }
}

static void put_sysctl(struct protocol_writer *writer, const struct spec *spec)
{
    for (size_t i = 0; i < spec->sysctl_count; i++) {
        size_t mark = protocol_open(writer, FIELD_SYSCTL);

        protocol_put_string(writer, FIELD_KEY, spec->sysctl[i].key);
        protocol_put_string(writer, FIELD_VALUE, spec->sysctl[i].value);
        protocol_close(writer, mark);
    }
}

int plan_guest(struct plan *plan, struct error *err)
{
    struct protocol_writer *writer = &plan->guest;
    const struct spec *spec = plan->spec;
    uint64_t namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;

    if (plan->cgroup_namespace)
        namespaces |= CLONE_NEWCGROUP;
    protocol_begin(writer, MESSAGE_CONTAINER, FIRST_CONTAINER, 0);
    put_process(writer, &spec->process);
    protocol_put_string(writer, FIELD_ID, plan->id);
    protocol_put_string(writer, FIELD_HOSTNAME, plan->hostname);
    if (spec->domainname && spec->domainname[0])
        protocol_put_string(writer, FIELD_DOMAINNAME, spec->domainname);
    protocol_put_u64(writer, FIELD_NAMESPACES, namespaces);
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_u64(writer, FIELD_ROOT_READONLY, spec->root_readonly);
    for (size_t i = 0; i < plan->mount_count; i++)
        put_mount(writer, &plan->mounts[i]);
    put_strings(writer, FIELD_MASKED_PATH, spec->masked_paths);
    put_strings(writer, FIELD_READONLY_PATH, spec->readonly_paths);
    put_sysctl(writer, spec);
    put_devices(writer, plan);
    if (protocol_finish(writer) < 0)
        return error_set(err, E2BIG,
                         "config.json: arguments, environment and mounts are larger than %u bytes "
                         "together",
                         PROTOCOL_LENGTH_MAX);
    return 0;
}
