/* The process of a MESSAGE_CONTAINER or MESSAGE_EXEC, decoded. */
#include <linux/sched/types.h>
#include <linux/seccomp.h>
#include <string.h>

#include "init/plan.h"

/* Those that change how a filter acts; a listener would have to go somewhere. */
#define SECCOMP_FLAGS \
    (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW)

static int parse_group(void *member, const struct protocol_field *field)
{
    uint32_t *group = list_append(member, sizeof(*group));

    return group ? parse_u32(group, field) : -ENOMEM;
}

static int parse_descriptor(void *member, const struct protocol_field *field)
{
    struct list *descriptors = member;
    uint64_t *kind = NULL;
    int ret;

    if (descriptors->count >= PROTOCOL_DESCRIPTORS_MAX)
        return -EINVAL;
    kind = list_append(descriptors, sizeof(*kind));
    ret = kind ? parse_u64(kind, field) : -ENOMEM;
    return ret == 0 && *kind > DESCRIPTOR_SOCKET ? -EINVAL : ret;
}

static int parse_seccomp(void *member, const struct protocol_field *field)
{
    *(struct protocol_reader *)member = field->value;
    if (field->value.length % sizeof(struct sock_filter) != 0)
        return -EPROTO;
    return field->value.length / sizeof(struct sock_filter) <= BPF_MAXINSNS ? 0 : -EINVAL;
}

static int parse_seccomp_flags(void *member, const struct protocol_field *field)
{
    int ret = parse_u64(member, field);

    return ret < 0 ? ret : *(uint64_t *)member & ~SECCOMP_FLAGS ? -EINVAL : 0;
}

static int parse_scheduler(void *member, const struct protocol_field *field)
{
    size_t length = field->value.length;

    *(struct protocol_reader *)member = field->value;
    return length >= SCHED_ATTR_SIZE_VER0 && length <= SCHEDULER_LENGTH_MAX ? 0 : -EINVAL;
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

#define RULE(tag, parse, member)                             \
    {                                                        \
        tag, parse, offsetof(struct process_plan, member), 0 \
    }
#define RULE_PRESENT(tag, parse, member)                   \
    {                                                      \
        tag, parse, offsetof(struct process_plan, member), \
            offsetof(struct process_plan, has_##member)    \
    }

static const struct field_rule process_rules[] = {
    RULE(FIELD_ARG, parse_string_item, arg_list),
    RULE(FIELD_ENV, parse_string_item, env_list),
    RULE(FIELD_CWD, parse_string, cwd),
    RULE(FIELD_UID, parse_u32, uid),
    RULE(FIELD_GID, parse_u32, gid),
    RULE(FIELD_GROUP, parse_group, groups),
    RULE(FIELD_UMASK, parse_u32, umask),
    RULE(FIELD_CAPABILITIES, parse_capabilities, capabilities),
    RULE(FIELD_NO_NEW_PRIVILEGES, parse_flag, no_new_privileges),
    RULE_PRESENT(FIELD_OOM_SCORE_ADJ, parse_u64, oom_score_adj),
    RULE(FIELD_RLIMIT, parse_rlimit, rlimits),
    RULE(FIELD_TERMINAL, parse_flag, terminal),
    RULE(FIELD_SECCOMP, parse_seccomp, seccomp),
    RULE(FIELD_SECCOMP_FLAGS, parse_seccomp_flags, seccomp_flags),
    RULE(FIELD_ROWS, parse_u16, rows),
    RULE(FIELD_COLUMNS, parse_u16, columns),
    RULE(FIELD_SCHEDULER, parse_scheduler, scheduler),
    RULE_PRESENT(FIELD_IO_PRIORITY, parse_u32, io_priority),
    RULE_PRESENT(FIELD_PERSONALITY, parse_u32, personality),
    RULE(FIELD_DESCRIPTOR, parse_descriptor, descriptors),
};

/* What no single field can tell. */
static int process_plan_check(const struct process_plan *plan, struct failure *failure)
{
    if (plan->arg_list.count == 0)
        return failure_set(failure, EINVAL, "process: no arguments were given");
    if (plan->cwd[0] != '/')
        return failure_set(failure, EINVAL, "process: cwd \"%s\" is not absolute", plan->cwd);
    if (plan->umask > 07777)
        return failure_set(failure, EINVAL, "process: bad umask %#o", plan->umask);
    return 0;
}

int process_plan_parse(struct process_plan *plan, struct protocol_reader fields,
                       struct failure *failure)
{
    uint16_t culprit = 0;
    int ret;

    *plan = (struct process_plan) { .cwd = "/", .umask = 0022 };
    ret = FIELDS_PARSE(fields, process_rules, plan, &culprit);
    if (ret < 0 && culprit)
        return failure_set(failure, -ret, "process: field %u: %s", culprit, failure_describe(-ret));
    if (ret < 0)
        return failure_set(failure, -ret, "process: malformed fields");
    plan->args = list_finish(&plan->arg_list);
    plan->env = list_finish(&plan->env_list);
    if (!plan->args || !plan->env)
        return failure_set(failure, ENOMEM, "process: out of memory");
    return process_plan_check(plan, failure);
}

void process_plan_free(struct process_plan *plan)
{
    struct list *const lists[] = { &plan->arg_list, &plan->env_list, &plan->groups, &plan->rlimits,
                                   &plan->descriptors };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        free(lists[i]->items);
    *plan = (struct process_plan) { 0 };
}
