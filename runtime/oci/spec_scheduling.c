/* config.json: process.scheduler and process.ioPriority. The rules and words are runc's. */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include "oci/bind.h"
#include "oci/spec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* sched_setattr(2); glibc's <sched.h> and <linux/sched.h> do not go together. */
#define SCHED_DEADLINE_POLICY 6

struct name_value {
    const char *name;
    uint64_t value;
};

static const struct name_value policies[] = {
    { "SCHED_OTHER", SCHED_OTHER },
    { "SCHED_FIFO", SCHED_FIFO },
    { "SCHED_RR", SCHED_RR },
    { "SCHED_BATCH", SCHED_BATCH },
    { "SCHED_ISO", 4 }, /* reserved, not implemented: the kernel says EINVAL */
    { "SCHED_IDLE", SCHED_IDLE },
    { "SCHED_DEADLINE", SCHED_DEADLINE_POLICY },
};

/* SCHED_FLAG_* of <linux/sched.h>. */
static const struct name_value scheduler_flags[] = {
    { "SCHED_FLAG_RESET_ON_FORK", 0x01 },  { "SCHED_FLAG_RECLAIM", 0x02 },
    { "SCHED_FLAG_DL_OVERRUN", 0x04 },     { "SCHED_FLAG_KEEP_POLICY", 0x08 },
    { "SCHED_FLAG_KEEP_PARAMS", 0x10 },    { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
    { "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 },
};

static const struct name_value io_classes[] = {
    { "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
    { "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
    { "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
};

static const struct name_value *find(const struct name_value *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, table[i].name) == 0)
            return &table[i];
    return NULL;
}

/* configs/validate: what belongs to which policy. */
static int check_scheduler(const struct json *json, const char *policy,
                           const struct spec_scheduler *s, struct error *err)
{
    bool realtime = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

    if (s->nice < -20 || s->nice > 19)
        return json_fail(json, err, EINVAL,
                         "invalid scheduler.nice: %lld when scheduler.policy is %s",
                         (long long)s->nice, policy);
    if (s->priority && !realtime)
        return json_fail(
            json, err, EINVAL,
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy");
    if (s->priority < 0 || s->priority > 99)
        return json_fail(json, err, EINVAL, "priority: expected 0 to 99, found %lld",
                         (long long)s->priority);
    if (s->policy != SCHED_DEADLINE_POLICY && (s->runtime || s->deadline || s->period))
        return json_fail(json, err, EINVAL,
                         "scheduler runtime/deadline/period can only be specified for "
                         "SchedDeadline policy");
    return 0;
}

static int read_scheduler(struct spec *spec, const struct json *json, struct error *err)
{
    static const struct binding rows[] = {
        { "nice", BIND_I64, offsetof(struct spec_scheduler, nice), NULL },
        { "priority", BIND_I64, offsetof(struct spec_scheduler, priority), NULL },
        { "runtime", BIND_U64, offsetof(struct spec_scheduler, runtime), NULL },
        { "deadline", BIND_U64, offsetof(struct spec_scheduler, deadline), NULL },
        { "period", BIND_U64, offsetof(struct spec_scheduler, period), NULL },
    };
    struct json policy = json_member(json, "policy"), flags = json_member(json, "flags");
    struct spec_scheduler *s = &spec->process.scheduler;
    const struct name_value *found;
    const char *name = "", *flag_name;
    int ret;

    if (!json_present(json))
        return 0;
    ret = bind_object(json, rows, COUNT(rows), s, &spec->arena, err);
    if (ret == 0)
        ret = json_string(&policy, &name, err);
    if (ret == 0)
        ret = json_expect_array(&flags, err);
    if (ret < 0)
        return ret;
    if (!name[0])
        return json_fail(json, err, EINVAL, "scheduler policy is required");
    found = find(policies, COUNT(policies), name);
    if (!found)
        return json_fail(&policy, err, EINVAL,
                         "expected a policy such as SCHED_OTHER, found \"%s\"", name);
    s->policy = (uint32_t)found->value;
    for (size_t i = 0; i < json_length(&flags); i++) {
        struct json flag = json_element(&flags, i);

        flag_name = "";
        ret = json_string(&flag, &flag_name, err);
        if (ret < 0)
            return ret;
        found = find(scheduler_flags, COUNT(scheduler_flags), flag_name);
        if (!found)
            return json_fail(&flag, err, EINVAL,
                             "expected a flag such as SCHED_FLAG_RESET_ON_FORK, found \"%s\"",
                             flag_name);
        s->flags |= found->value;
    }
    spec->process.has_scheduler = true;
    return check_scheduler(json, name, s, err);
}

static int read_io_priority(struct spec *spec, const struct json *json, struct error *err)
{
    struct json class = json_member(json, "class"), priority = json_member(json, "priority");
    const struct name_value *found;
    const char *name = "";
    int64_t level = 0;
    int ret;

    if (!json_present(json))
        return 0;
    ret = json_expect_object(json, err);
    if (ret == 0)
        ret = json_string(&class, &name, err);
    if (ret == 0)
        ret = json_int(&priority, &level, err);
    if (ret < 0)
        return ret;
    if (level < 0 || level > 7)
        return json_fail(&priority, err, EINVAL, "invalid ioPriority.Priority: %lld",
                         (long long)level);
    found = find(io_classes, COUNT(io_classes), name);
    if (!found)
        return json_fail(&class, err, EINVAL, "invalid ioPriority.Class: \"%s\"", name);
    spec->process.io_priority = IOPRIO_PRIO_VALUE((int)found->value, (int)level);
    return 0;
}

int spec_read_scheduling(struct spec *spec, const struct json *process, struct error *err)
{
    struct json scheduler = json_member(process, "scheduler");
    struct json io_priority = json_member(process, "ioPriority");
    int ret = read_scheduler(spec, &scheduler, err);

    return ret == 0 ? read_io_priority(spec, &io_priority, err) : ret;
}
