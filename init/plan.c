/*
 * MESSAGE_CONTAINER and MESSAGE_UPDATE, decoded: what surrounds the process. Tables say which tag
 * fills which member, for the message itself and for the fields that hold fields.
 */
#include "init/plan.h"

#include <sched.h>
#include <string.h>
#include <sys/mount.h>

/* Namespaces init makes; the network namespace of the machine is the container's own. */
#define CONTAINER_NAMESPACES                                                                      \
    (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWUSER | \
     CLONE_NEWTIME)
#define CONTAINER_NAMESPACES_IGNORED CLONE_NEWNET

/* All but MOUNT_ATTR_IDMAP, which needs a descriptor. */
#define MOUNT_ATTRIBUTES                                                            \
    (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | \
     MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW)

static int parse_attributes(void *member, const struct protocol_field *field)
{
    int ret = parse_u64(member, field);

    return ret < 0 ? ret : *(uint64_t *)member & ~(uint64_t)MOUNT_ATTRIBUTES ? -EINVAL : 0;
}

static int parse_mount(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_MOUNT_TARGET, parse_string, offsetof(struct mount_plan, target), 0 },
        { FIELD_MOUNT_TYPE, parse_string, offsetof(struct mount_plan, type), 0 },
        { FIELD_MOUNT_SOURCE, parse_string, offsetof(struct mount_plan, source), 0 },
        { FIELD_MOUNT_DATA, parse_string, offsetof(struct mount_plan, data), 0 },
        { FIELD_MOUNT_FLAGS, parse_u64, offsetof(struct mount_plan, flags), 0 },
        { FIELD_MOUNT_PROPAGATION, parse_u64, offsetof(struct mount_plan, propagation), 0 },
        { FIELD_MOUNT_SHARE, parse_u32, offsetof(struct mount_plan, share),
          offsetof(struct mount_plan, has_share) },
        { FIELD_MOUNT_IS_FILE, parse_flag, offsetof(struct mount_plan, is_file), 0 },
        { FIELD_MOUNT_COPYUP, parse_flag, offsetof(struct mount_plan, copy_up), 0 },
        { FIELD_MOUNT_ATTRIBUTES, parse_attributes, offsetof(struct mount_plan, attributes_set),
          0 },
        { FIELD_MOUNT_ATTRIBUTES_CLEAR, parse_attributes,
          offsetof(struct mount_plan, attributes_clear), 0 },
    };
    struct mount_plan *mount = list_append(member, sizeof(*mount));
    uint16_t culprit;
    int ret;

    if (!mount)
        return -ENOMEM;
    ret = FIELDS_PARSE(field->value, rules, mount, &culprit);
    if (ret < 0)
        return ret;
    if (!mount->target || mount->target[0] != '/' || !mount->type)
        return -EINVAL;
    return strcmp(mount->type, "share") == 0 && !mount->has_share ? -EINVAL : 0;
}

static int parse_device(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_MOUNT_TARGET, parse_string, offsetof(struct device_plan, path), 0 },
        { FIELD_DEVICE_MODE, parse_u32, offsetof(struct device_plan, mode), 0 },
        { FIELD_DEVICE_NUMBER, parse_u64, offsetof(struct device_plan, number), 0 },
        { FIELD_UID, parse_u32, offsetof(struct device_plan, uid), 0 },
        { FIELD_GID, parse_u32, offsetof(struct device_plan, gid), 0 },
    };
    struct device_plan *device = list_append(member, sizeof(*device));
    uint16_t culprit;
    int ret;

    if (!device)
        return -ENOMEM;
    ret = FIELDS_PARSE(field->value, rules, device, &culprit);
    if (ret < 0)
        return ret;
    return device->path && device->path[0] == '/' ? 0 : -EINVAL;
}

static int parse_setting(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_KEY, parse_string, offsetof(struct setting_plan, key), 0 },
        { FIELD_VALUE, parse_string, offsetof(struct setting_plan, value), 0 },
    };
    struct setting_plan *setting = list_append(member, sizeof(*setting));
    uint16_t culprit;
    int ret;

    if (!setting)
        return -ENOMEM;
    ret = FIELDS_PARSE(field->value, rules, setting, &culprit);
    if (ret < 0)
        return ret;
    return setting->key && setting->value ? 0 : -EINVAL;
}

static int parse_id_map(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_ID_INSIDE, parse_u32, offsetof(struct id_map_plan, inside), 0 },
        { FIELD_ID_OUTSIDE, parse_u32, offsetof(struct id_map_plan, outside), 0 },
        { FIELD_ID_COUNT, parse_u32, offsetof(struct id_map_plan, count), 0 },
    };
    struct id_map_plan *map = list_append(member, sizeof(*map));
    uint16_t culprit;
    int ret;

    if (!map)
        return -ENOMEM;
    ret = FIELDS_PARSE(field->value, rules, map, &culprit);
    if (ret < 0)
        return ret;
    return map->count == 0 || map->inside > UINT32_MAX - map->count ||
                   map->outside > UINT32_MAX - map->count
               ? -EINVAL
               : 0;
}

static int parse_time_offset(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_KEY, parse_string, offsetof(struct time_offset_plan, clock), 0 },
        { FIELD_SECONDS, parse_u64, offsetof(struct time_offset_plan, seconds), 0 },
        { FIELD_NANOSECONDS, parse_u64, offsetof(struct time_offset_plan, nanoseconds), 0 },
    };
    struct time_offset_plan *offset = list_append(member, sizeof(*offset));
    uint16_t culprit;
    int ret;

    if (!offset)
        return -ENOMEM;
    ret = FIELDS_PARSE(field->value, rules, offset, &culprit);
    if (ret < 0)
        return ret;
    if (!offset->clock ||
        (strcmp(offset->clock, "monotonic") != 0 && strcmp(offset->clock, "boottime") != 0))
        return -EINVAL;
    return offset->nanoseconds < 1000000000u ? 0 : -EINVAL;
}

static int parse_hook(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_HOOK_KIND, parse_u32, offsetof(struct hook_plan, kind), 0 },
        { FIELD_HOOK_PATH, parse_string, offsetof(struct hook_plan, path), 0 },
        { FIELD_HOOK_STATE, parse_string, offsetof(struct hook_plan, state), 0 },
        { FIELD_HOOK_TIMEOUT, parse_u64, offsetof(struct hook_plan, timeout), 0 },
        { FIELD_MOUNT_SHARE, parse_u32, offsetof(struct hook_plan, share),
          offsetof(struct hook_plan, has_share) },
        { FIELD_ARG, parse_string_item, offsetof(struct hook_plan, arg_list), 0 },
        { FIELD_ENV, parse_string_item, offsetof(struct hook_plan, env_list), 0 },
    };
    struct hook_plan *hook = list_append(member, sizeof(*hook));
    uint16_t culprit;
    int ret;

    if (!hook)
        return -ENOMEM;
    hook->state = "";
    ret = FIELDS_PARSE(field->value, rules, hook, &culprit);
    if (ret < 0)
        return ret;
    if (!hook->path || hook->path[0] != '/' || hook->kind > HOOK_START_CONTAINER ||
        (hook->kind == HOOK_CREATE_CONTAINER && !hook->has_share))
        return -EINVAL;
    if (hook->arg_list.count == 0) {
        const char **name = list_append(&hook->arg_list, sizeof(*name));

        if (!name)
            return -ENOMEM;
        *name = hook->path;
    }
    hook->args = list_finish(&hook->arg_list);
    hook->env = list_finish(&hook->env_list);
    return hook->args && hook->env ? 0 : -ENOMEM;
}

#define RULE(tag, parse, member)                               \
    {                                                          \
        tag, parse, offsetof(struct container_plan, member), 0 \
    }

static const struct field_rule container_rules[] = {
    RULE(FIELD_ID, parse_string, id),
    RULE(FIELD_HOSTNAME, parse_string, hostname),
    RULE(FIELD_DOMAINNAME, parse_string, domainname),
    RULE(FIELD_NAMESPACES, parse_u64, namespaces),
    { FIELD_ROOT_SHARE, parse_u32, offsetof(struct container_plan, root_share),
      offsetof(struct container_plan, has_root_share) },
    RULE(FIELD_ROOT_READONLY, parse_flag, root_readonly),
    RULE(FIELD_MOUNT_PROPAGATION, parse_u64, root_propagation),
    RULE(FIELD_MOUNT, parse_mount, mounts),
    RULE(FIELD_MASKED_PATH, parse_string_item, masked_paths),
    RULE(FIELD_READONLY_PATH, parse_string_item, readonly_paths),
    RULE(FIELD_SYSCTL, parse_setting, sysctls),
    RULE(FIELD_DEVICE, parse_device, devices),
    RULE(FIELD_UID_MAP, parse_id_map, uid_map),
    RULE(FIELD_GID_MAP, parse_id_map, gid_map),
    RULE(FIELD_NOTIFY, parse_flag, notify),
    RULE(FIELD_HOOK, parse_hook, hooks),
    RULE(FIELD_TIME_OFFSET, parse_time_offset, time_offsets),
};

/* What no single field can tell. */
static int container_plan_check(struct container_plan *plan, struct failure *failure)
{
    if (!plan->has_root_share)
        return failure_set(failure, EINVAL, "container: no root filesystem was given");
    /* The id becomes the name of a directory. */
    if (!plan->id[0] || strchr(plan->id, '/') || plan->id[0] == '.')
        return failure_set(failure, EINVAL, "container: bad id \"%s\"", plan->id);
    plan->namespaces &= ~(uint64_t)CONTAINER_NAMESPACES_IGNORED;
    plan->namespaces |= CLONE_NEWPID | CLONE_NEWNS;
    if (plan->namespaces & ~(uint64_t)CONTAINER_NAMESPACES)
        return failure_set(failure, ENOTSUP, "container: namespaces %#llx are not supported",
                           (unsigned long long)plan->namespaces);
    if (plan->namespaces & CLONE_NEWUSER ? !plan->uid_map.count || !plan->gid_map.count
                                         : plan->uid_map.count || plan->gid_map.count)
        return failure_set(failure, EINVAL,
                           "container: a user namespace and maps of user and group ids are "
                           "expected together");
    if (plan->time_offsets.count && !(plan->namespaces & CLONE_NEWTIME))
        return failure_set(failure, EINVAL, "container: time offsets without a time namespace");
    return 0;
}

int container_plan_parse(struct container_plan *plan, struct protocol_reader fields,
                         struct failure *failure)
{
    uint16_t culprit = 0;
    int ret;

    *plan = (struct container_plan) { .id = "container" };
    ret = process_plan_parse(&plan->process, fields, failure);
    if (ret == 0)
        ret = limits_plan_parse(&plan->limits, fields, failure);
    if (ret < 0)
        return ret;
    ret = FIELDS_PARSE(fields, container_rules, plan, &culprit);
    if (ret < 0)
        return failure_set(failure, -ret, "container: field %u: %s", culprit,
                           failure_describe(-ret));
    return container_plan_check(plan, failure);
}

void container_plan_free(struct container_plan *plan)
{
    struct list *const lists[] = {
        &plan->mounts,  &plan->masked_paths, &plan->readonly_paths, &plan->sysctls, &plan->devices,
        &plan->uid_map, &plan->gid_map,      &plan->time_offsets,   &plan->hooks,
    };

    process_plan_free(&plan->process);
    for (size_t i = 0; i < plan->hooks.count; i++) {
        free(LIST_AT(plan->hooks, struct hook_plan, i)->arg_list.items);
        free(LIST_AT(plan->hooks, struct hook_plan, i)->env_list.items);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        free(lists[i]->items);
    *plan = (struct container_plan) { 0 };
}

int limits_plan_parse(struct limits_plan *plan, struct protocol_reader fields,
                      struct failure *failure)
{
    static const struct field_rule rules[] = {
        { FIELD_PIDS_MAX, parse_u64, offsetof(struct limits_plan, pids_max),
          offsetof(struct limits_plan, has_pids_max) },
        { FIELD_MEMORY_MAX, parse_u64, offsetof(struct limits_plan, memory_max),
          offsetof(struct limits_plan, has_memory_max) },
    };
    uint16_t culprit = 0;
    int ret;

    *plan = (struct limits_plan) { 0 };
    ret = FIELDS_PARSE(fields, rules, plan, &culprit);
    return ret < 0
               ? failure_set(failure, -ret, "limits: field %u: %s", culprit, failure_describe(-ret))
               : 0;
}

uint32_t id_map_outside(const struct list *map, uint32_t inside)
{
    if (map->count == 0)
        return inside;
    for (size_t i = 0; i < map->count; i++) {
        const struct id_map_plan *range = LIST_AT(*map, struct id_map_plan, i);

        if (inside >= range->inside && inside - range->inside < range->count)
            return range->outside + (inside - range->inside);
    }
    return UINT32_MAX;
}
