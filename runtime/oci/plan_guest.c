/* The guest's orders: one MESSAGE_CONTAINER (init/protocol.h). */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "oci/plan.h"

#define FIRST_CONTAINER 0

static void put_strings(struct protocol_writer *writer, uint16_t tag, const char *const *strings)
{
    for (; strings && *strings; strings++)
        protocol_put_string(writer, tag, *strings);
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
    if (mount->attributes)
        protocol_put_u64(writer, FIELD_MOUNT_ATTRIBUTES, mount->attributes);
    if (mount->attributes_clear)
        protocol_put_u64(writer, FIELD_MOUNT_ATTRIBUTES_CLEAR, mount->attributes_clear);
    if (mount->copyup)
        protocol_put_u64(writer, FIELD_MOUNT_COPYUP, 1);
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

static void put_map(struct protocol_writer *writer, uint16_t tag, const struct spec_id_map *maps,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t mark = protocol_open(writer, tag);

        protocol_put_u64(writer, FIELD_ID_INSIDE, maps[i].inside);
        protocol_put_u64(writer, FIELD_ID_OUTSIDE, maps[i].outside);
        protocol_put_u64(writer, FIELD_ID_COUNT, maps[i].count);
        protocol_close(writer, mark);
    }
}

static void put_identity(struct protocol_writer *writer, const struct plan *plan)
{
    const struct spec *spec = plan->spec;

    if (!plan->user_namespace) {
        put_map(writer, FIELD_UID_MAP, spec->uid_maps, spec->uid_map_count);
        put_map(writer, FIELD_GID_MAP, spec->gid_maps, spec->gid_map_count);
    }
    for (size_t i = 0; i < spec->time_offset_count; i++) {
        size_t mark = protocol_open(writer, FIELD_TIME_OFFSET);

        protocol_put_string(writer, FIELD_KEY, spec->time_offsets[i].clock);
        protocol_put_u64(writer, FIELD_SECONDS, (uint64_t)spec->time_offsets[i].seconds);
        protocol_put_u64(writer, FIELD_NANOSECONDS, spec->time_offsets[i].nanoseconds);
        protocol_close(writer, mark);
    }
}

static void put_resources(struct protocol_writer *writer, const struct plan *plan)
{
    int64_t pids = plan->spec->resources.pids_limit;

    /* As runc: 0 asks for nothing, less for no limit. */
    if (pids != SPEC_UNSET && pids != 0)
        protocol_put_u64(writer, FIELD_PIDS_MAX, pids > 0 ? (uint64_t)pids : 0);
    if (plan->notify) {
        protocol_put_string(writer, FIELD_ENV, "NOTIFY_SOCKET=/run/notify/notify.sock");
        protocol_put_u64(writer, FIELD_NOTIFY, 1);
    }
}

int plan_guest(struct plan *plan, struct error *err)
{
    struct protocol_writer *writer = &plan->guest;
    const struct spec *spec = plan->spec;
    int ret;

    protocol_begin(writer, MESSAGE_CONTAINER, FIRST_CONTAINER, 0);
    ret = plan_put_process(writer, spec, &spec->process, plan->root, err);
    if (ret < 0)
        return ret;
    if (plan->descriptors)
        descriptors_put(writer, plan->descriptors);
    protocol_put_string(writer, FIELD_ID, plan->id);
    protocol_put_string(writer, FIELD_HOSTNAME, plan->hostname);
    if (spec->domainname && spec->domainname[0])
        protocol_put_string(writer, FIELD_DOMAINNAME, spec->domainname);
    protocol_put_u64(writer, FIELD_NAMESPACES, plan->namespaces);
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_u64(writer, FIELD_ROOT_READONLY, spec->root_readonly);
    for (size_t i = 0; i < plan->mount_count; i++)
        put_mount(writer, &plan->mounts[i]);
    put_strings(writer, FIELD_MASKED_PATH, spec->masked_paths);
    put_strings(writer, FIELD_READONLY_PATH, spec->readonly_paths);
    put_sysctl(writer, spec);
    put_devices(writer, plan);
    put_identity(writer, plan);
    put_resources(writer, plan);
    ret = plan_put_hooks(writer, plan, err);
    if (ret < 0)
        return ret;
    if (protocol_finish(writer) < 0)
        return error_set(err, E2BIG,
                         "config.json: arguments, environment and mounts are larger than %u bytes "
                         "together",
                         PROTOCOL_LENGTH_MAX);
    return 0;
}
