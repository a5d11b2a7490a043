/*
 * MESSAGE_CONTAINER, decoded. Tables say which tag fills which member; one function walks them, for
 * the message itself and for the fields that hold fields. Tags without a row are passed over, as
 * init/protocol.h demands.
 */
#include "init/container.h"

#include <sched.h>
#include <string.h>

/* Namespaces init makes; the network namespace of the machine is the container's own. */
#define CONTAINER_NAMESPACES \
    (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP)
#define CONTAINER_NAMESPACES_IGNORED (CLONE_NEWNET | CLONE_NEWTIME)

typedef int field_parser(void *member, const struct protocol_field *field);

struct field_rule {
    uint16_t tag;
    field_parser *parse;
    size_t offset;  /* of the member that is filled in */
    size_t present; /* offset of a bool that is set; 0: none */
};

/* Fills in @object from the fields that have a rule. */
static int fields_parse(struct protocol_reader reader, const struct field_rule *rules,
                        size_t rule_count, void *object, uint16_t *culprit)
{
    struct protocol_field field;
    int ret;

    while ((ret = protocol_next(&reader, &field)) == 1) {
        for (size_t i = 0; i < rule_count; i++) {
            if (rules[i].tag != field.tag)
                continue;
            ret = rules[i].parse((char *)object + rules[i].offset, &field);
            if (ret < 0) {
                *culprit = field.tag;
                return ret;
            }
            if (rules[i].present)
                *(bool *)((char *)object + rules[i].present) = true;
        }
    }
    return ret;
}

#define FIELDS_PARSE(reader, rules, object, culprit) \
    fields_parse(reader, rules, sizeof(rules) / sizeof((rules)[0]), object, culprit)

/* Appends a zeroed item of @size bytes. Return: the item, or NULL without memory. */
static void *list_append(struct list *list, size_t size)
{
    char *items = list->items;

    /* Room for 1, 2, 4, … items: it is full whenever the count is a power of two (or 0). */
    if ((list->count & (list->count - 1)) == 0) {
        items = reallocarray(items, list->count ? list->count * 2 : 1, size);
        if (!items)
            return NULL;
        list->items = items;
    }
    items += list->count++ * size;
    memset(items, 0, size);
    return items;
}

static int parse_u64(void *member, const struct protocol_field *field)
{
    bool bad = false;

    *(uint64_t *)member = protocol_u64(field, &bad);
    return bad ? -EPROTO : 0;
}

static int parse_u32(void *member, const struct protocol_field *field)
{
    bool bad = false;
    uint64_t value = protocol_u64(field, &bad);

    *(uint32_t *)member = (uint32_t)value;
    return bad ? -EPROTO : value > UINT32_MAX ? -EINVAL : 0;
}

static int parse_flag(void *member, const struct protocol_field *field)
{
    bool bad = false;
    uint64_t value = protocol_u64(field, &bad);

    *(bool *)member = value != 0;
    return bad ? -EPROTO : value > 1 ? -EINVAL : 0;
}

static int parse_string(void *member, const struct protocol_field *field)
{
    bool bad = false;

    *(const char **)member = protocol_string(field, &bad);
    return bad ? -EPROTO : 0;
}

static int parse_string_item(void *member, const struct protocol_field *field)
{
    const char **item = list_append(member, sizeof(*item));

    return item ? parse_string(item, field) : -ENOMEM;
}

static int parse_group(void *member, const struct protocol_field *field)
{
    uint32_t *group = list_append(member, sizeof(*group));

    return group ? parse_u32(group, field) : -ENOMEM;
}

static int parse_seccomp(void *member, const struct protocol_field *field)
{
    *(struct protocol_reader *)member = field->value;
    if (field->value.length % sizeof(struct sock_filter) != 0)
        return -EPROTO;
    return field->value.length / sizeof(struct sock_filter) <= BPF_MAXINSNS ? 0 : -EINVAL;
}

static int parse_capabilities(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_CAP_BOUNDING, parse_u64, offsetof(struct capability_sets, bounding), 0 },
        { FIELD_CAP_EFFECTIVE, parse_u64, offsetof(struct capability_sets, effective), 0 },
        { FIELD_CAP_INHERITABLE, parse_u64, offsetof(struct capability_sets, inheritable), 0 },
        { FIELD_CAP_PERMITTED, parse_u64, offsetof(struct capability_sets, permitted), 0 },
        { FIELD_CAP_AMBIENT, parse_u64, offsetof(struct capability_sets, ambient), 0 },
    };
    uint16_t culprit;

    return FIELDS_PARSE(field->value, rules, member, &culprit);
}

static int parse_rlimit(void *member, const struct protocol_field *field)
{
    static const struct field_rule rules[] = {
        { FIELD_RESOURCE, parse_u32, offsetof(struct rlimit_plan, resource), 0 },
        { FIELD_SOFT, parse_u64, offsetof(struct rlimit_plan, soft), 0 },
        { FIELD_HARD, parse_u64, offsetof(struct rlimit_plan, hard), 0 },
    };
    struct rlimit_plan *rlimit = list_append(member, sizeof(*rlimit));
    uint16_t culprit;

    return rlimit ? FIELDS_PARSE(field->value, rules, rlimit, &culprit) : -ENOMEM;
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

#define RULE(tag, parse, member)                               \
    {                                                          \
        tag, parse, offsetof(struct container_plan, member), 0 \
    }
#define RULE_PRESENT(tag, parse, member, flag)                                                     \
    {                                                                                              \
        tag, parse, offsetof(struct container_plan, member), offsetof(struct container_plan, flag) \
    }

static const struct field_rule container_rules[] = {
    RULE(FIELD_ARG, parse_string_item, arg_list),
    RULE(FIELD_ENV, parse_string_item, env_list),
    RULE(FIELD_CWD, parse_string, cwd),
    RULE(FIELD_UID, parse_u32, uid),
    RULE(FIELD_GID, parse_u32, gid),
    RULE(FIELD_GROUP, parse_group, groups),
    RULE(FIELD_UMASK, parse_u32, umask),
    RULE(FIELD_CAPABILITIES, parse_capabilities, capabilities),
    RULE(FIELD_NO_NEW_PRIVILEGES, parse_flag, no_new_privileges),
    RULE_PRESENT(FIELD_OOM_SCORE_ADJ, parse_u64, oom_score_adj, has_oom_score_adj),
    RULE(FIELD_RLIMIT, parse_rlimit, rlimits),
    RULE(FIELD_TERMINAL, parse_flag, terminal),
    RULE(FIELD_SECCOMP, parse_seccomp, seccomp),
    RULE(FIELD_ID, parse_string, id),
    RULE(FIELD_HOSTNAME, parse_string, hostname),
    RULE(FIELD_DOMAINNAME, parse_string, domainname),
    RULE(FIELD_NAMESPACES, parse_u64, namespaces),
    RULE_PRESENT(FIELD_ROOT_SHARE, parse_u32, root_share, has_root_share),
    RULE(FIELD_ROOT_READONLY, parse_flag, root_readonly),
    RULE(FIELD_MOUNT_PROPAGATION, parse_u64, root_propagation),
    RULE(FIELD_MOUNT, parse_mount, mounts),
    RULE(FIELD_MASKED_PATH, parse_string_item, masked_paths),
    RULE(FIELD_READONLY_PATH, parse_string_item, readonly_paths),
    RULE(FIELD_SYSCTL, parse_setting, sysctls),
    RULE(FIELD_DEVICE, parse_device, devices),
};

/* The list as an array that ends with NULL, as execve(2) takes it. */
static char **list_finish(struct list *list)
{
    const char **end = list_append(list, sizeof(*end));

    if (!end)
        return NULL;
    list->count--;
    return list->items;
}

/* What no single field can tell. */
static int container_plan_check(struct container_plan *plan, struct failure *failure)
{
    if (!plan->has_root_share)
        return failure_set(failure, EINVAL, "container: no root filesystem was given");
    if (plan->arg_list.count == 0)
        return failure_set(failure, EINVAL, "container: no arguments were given");
    if (plan->cwd[0] != '/')
        return failure_set(failure, EINVAL, "container: cwd \"%s\" is not absolute", plan->cwd);
    /* The id becomes the name of a directory. */
    if (!plan->id[0] || strchr(plan->id, '/') || plan->id[0] == '.')
        return failure_set(failure, EINVAL, "container: bad id \"%s\"", plan->id);
    if (plan->umask > 07777)
        return failure_set(failure, EINVAL, "container: bad umask %#o", plan->umask);
    if (plan->terminal)
        return failure_set(failure, ENOTSUP, "terminals are not supported yet");
    plan->namespaces &= ~(uint64_t)CONTAINER_NAMESPACES_IGNORED;
    plan->namespaces |= CLONE_NEWPID | CLONE_NEWNS;
    if (plan->namespaces & ~(uint64_t)CONTAINER_NAMESPACES)
        return failure_set(failure, ENOTSUP, "container: namespaces %#llx are not supported",
                           (unsigned long long)plan->namespaces);
    return 0;
}

int container_plan_parse(struct container_plan *plan, struct protocol_reader fields,
                         struct failure *failure)
{
    uint16_t culprit = 0;
    int ret;

    *plan = (struct container_plan) { .cwd = "/", .id = "container", .umask = 0022 };
    ret = FIELDS_PARSE(fields, container_rules, plan, &culprit);
    if (ret < 0 && culprit)
        return failure_set(failure, -ret, "container: field %u: %s", culprit,
                           failure_describe(-ret));
    if (ret < 0)
        return failure_set(failure, -ret, "container: malformed fields");
    plan->args = list_finish(&plan->arg_list);
    plan->env = list_finish(&plan->env_list);
    if (!plan->args || !plan->env)
        return failure_set(failure, ENOMEM, "container: out of memory");
    return container_plan_check(plan, failure);
}

void container_plan_free(struct container_plan *plan)
{
    struct list *const lists[] = {
        &plan->arg_list,     &plan->env_list,       &plan->groups,  &plan->rlimits, &plan->mounts,
        &plan->masked_paths, &plan->readonly_paths, &plan->sysctls, &plan->devices,
    };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        free(lists[i]->items);
    *plan = (struct container_plan) { 0 };
}
