/* From linux.resources to the host's control group and to the guest's. */
#include "oci/update.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "oci/control_client.h"
#include "oci/plan.h"

#define GUEST_TIMEOUT_MS 10000
#define MIB              (1ll << 20)
#define UNTOUCHED        UINT64_MAX

struct update {
    struct container *container;
    struct spec spec; /* only its resources */
    struct cgroup_limits limits;
    uint64_t guest_memory, guest_pids; /* UNTOUCHED, 0: no limit, else the limit */
    int64_t memory_limit;              /* the container's from now on */
};

static bool is_given(int64_t value)
{
    /* Engines send 0 for what they do not mean to change. */
    return value != SPEC_UNSET && value != 0;
}

static int check_usage(const struct update *update, int64_t limit, struct error *err)
{
    struct json memory = json_member(&update->spec.document, "memory");
    struct json check = json_member(&memory, "checkBeforeUpdate");
    struct protocol_writer request = { 0 };
    struct control_answer answer;
    bool wanted = false;
    uint64_t usage;
    int ret = json_bool(&check, &wanted, err);

    if (ret < 0 || !wanted || limit < 0)
        return ret;
    protocol_begin(&request, CONTROL_STATS, 0, 0);
    ret = control_ask(update->container->directory, &request, GUEST_TIMEOUT_MS, &answer);
    usage = answer.stats[FIELD_STAT_MEMORY - FIELD_STAT_PIDS];
    if (ret < 0 || answer.code)
        return error_set(err, EAGAIN,
                         "memory.checkBeforeUpdate: the guest does not say how much it uses");
    return (uint64_t)limit < usage
               ? error_set(err, EBUSY, "rejecting memory limit %" PRId64 " < usage %" PRIu64, limit,
                           usage)
               : 0;
}

static int set_memory(struct update *update, struct error *err)
{
    const struct spec_resources *r = &update->spec.resources;
    int64_t ram = (int64_t)update->container->memory_mib * MIB, limit = r->memory_limit;
    int ret;

    if (!is_given(limit))
        return 0;
    ret = check_usage(update, limit, err);
    if (ret < 0)
        return ret;
    update->memory_limit = limit;
    if (limit > ram)
        log_warning("memory.limit: %" PRId64 " bytes are more than the machine's %" PRIu32
                    " MiB, which does not grow yet: the limit is the host's alone",
                    limit, update->container->memory_mib);
    update->guest_memory = limit > 0 && limit < ram ? (uint64_t)limit : 0;
    limit = limit > ram ? limit : limit < 0 ? -1 : ram;
    update->limits.memory_max = plan_host_memory(limit, limit);
    return 0;
}

/* The current limit, where one file is relative to the other and only one of them changes. */
static int64_t host_memory(const struct update *update)
{
    int64_t ram = (int64_t)update->container->memory_mib * MIB;

    if (update->limits.memory_max != SPEC_UNSET)
        return update->limits.memory_max;
    if (update->memory_limit <= 0)
        return -1;
    if (ram < update->memory_limit)
        ram = update->memory_limit;
    return plan_host_memory(ram, ram);
}

static int set_swap(struct update *update, struct error *err)
{
    const struct spec_resources *r = &update->spec.resources;
    int64_t memory = host_memory(update), total;

    /* runc: memory without a limit means both without one, as v1 cannot say it otherwise. */
    if (!is_given(r->memory_swap)) {
        if (is_given(r->memory_limit) && r->memory_limit < 0)
            update->limits.memory_swap = -1;
        return 0;
    }
    update->limits.memory_swap = -1;
    if (r->memory_swap < 0)
        return 0;
    if (update->memory_limit <= 0)
        return error_set(err, EINVAL, "memory.swap: unable to set swap limit without memory limit");
    if (r->memory_swap < update->memory_limit)
        return error_set(err, EINVAL, "memory.swap: memory+swap limit should be >= memory limit");
    if (__builtin_add_overflow(memory, r->memory_swap - update->memory_limit, &total))
        total = -1;
    update->limits.memory_swap = total;
    /* v2 has a file for swap alone: what it may take besides is needed to write it. */
    update->limits.memory_max = memory;
    return 0;
}

/* cpu.max (v2) holds both: what is not given stays as it is. */
static void keep_cpu(struct update *update)
{
    struct cgroup_limits *limits = &update->limits;
    const struct cgroup *cgroup = &update->container->cgroup;
    char text[64], quota[32];
    int64_t period;

    if (!cgroup->v2 || cgroup->count == 0 ||
        is_given(limits->cpu_quota) == is_given(limits->cpu_period) ||
        cgroup_read_file(cgroup->paths[0], "cpu.max", text, sizeof(text)) < 0 ||
        sscanf(text, "%31s %" SCNd64, quota, &period) != 2)
        return;
    if (!is_given(limits->cpu_period))
        limits->cpu_period = period;
    else
        limits->cpu_quota = strcmp(quota, "max") == 0 ? -1 : strtoll(quota, NULL, 10);
}

static int check_unsupported(const struct update *update, struct error *err)
{
    static const char *const realtime[] = { "realtimeRuntime", "realtimePeriod" };
    struct json cpu = json_member(&update->spec.document, "cpu");

    for (size_t i = 0; i < 2; i++) {
        struct json json = json_member(&cpu, realtime[i]);
        int64_t value = 0;

        if (json_int(&json, &value, err) < 0)
            return -EINVAL;
        if (value)
            return json_fail(&json, err, ENOTSUP, "realtime CPU time is not supported");
    }
    return plan_check_unified(&update->spec.resources, "", err);
}

static int decide(struct update *update, struct error *err)
{
    const struct spec_resources *r = &update->spec.resources;
    int ret = check_unsupported(update, err);

    update->memory_limit = update->container->memory_limit;
    update->guest_memory = update->guest_pids = UNTOUCHED;
    update->limits = (struct cgroup_limits) { .memory_max = SPEC_UNSET,
                                              .memory_swap = SPEC_UNSET,
                                              .memory_low = r->memory_reservation,
                                              .cpu_shares = r->cpu_shares,
                                              .cpu_quota = r->cpu_quota,
                                              .cpu_period = r->cpu_period,
                                              .cpu_burst = r->cpu_burst,
                                              .cpu_idle = r->cpu_idle,
                                              .cpus = r->cpuset_cpus,
                                              .mems = r->cpuset_mems,
                                              .unified = r->unified,
                                              .unified_count = r->unified_count };
    if (ret == 0)
        ret = cgroup_limits_read(&update->spec.document, &update->limits, &update->spec.arena, err);
    if (ret == 0)
        ret = set_memory(update, err);
    if (ret == 0)
        ret = set_swap(update, err);
    keep_cpu(update);
    if (is_given(r->pids_limit))
        update->guest_pids = r->pids_limit > 0 ? (uint64_t)r->pids_limit : 0;
    return ret;
}

static int tell_guest(const struct update *update, struct error *err)
{
    struct protocol_writer request = { 0 };
    struct control_answer answer;
    int ret;

    if (update->guest_memory == UNTOUCHED && update->guest_pids == UNTOUCHED)
        return 0;
    protocol_begin(&request, CONTROL_UPDATE, 0, 0);
    if (update->guest_pids != UNTOUCHED)
        protocol_put_u64(&request, FIELD_PIDS_MAX, update->guest_pids);
    if (update->guest_memory != UNTOUCHED)
        protocol_put_u64(&request, FIELD_MEMORY_MAX, update->guest_memory);
    ret = control_ask(update->container->directory, &request, GUEST_TIMEOUT_MS, &answer);
    if (ret == -ENOTCONN)
        return error_set(err, ESRCH, "container not running");
    if (ret < 0)
        return error_set(err, -ret, "cannot change the limits in the guest: %s", strerror(-ret));
    return answer.code ? error_set(err, (int)answer.code, "%s", answer.text) : 0;
}

static int apply(struct update *update, struct error *err)
{
    struct container *container = update->container;
    int ret = 0;

    if (container->scope.name)
        ret = scope_update(&container->scope, container->cgroup.v2, &update->limits, err);
    if (ret == 0)
        ret = cgroup_apply(&container->cgroup, &update->limits, err);
    if (ret == 0)
        ret = tell_guest(update, err);
    if (ret < 0 || update->memory_limit == container->memory_limit)
        return ret;
    container->memory_limit = update->memory_limit;
    return container_save(container, err);
}

int update_run(struct container *container, const char *text, struct error *err)
{
    struct update update = { .container = container };
    int ret;

    if (container_status(container) == CONTAINER_STOPPED)
        return error_set(err, ESRCH, "container not running");
    ret = spec_parse_resources(text, &update.spec, err);
    if (ret == 0)
        ret = decide(&update, err);
    if (ret == 0)
        ret = apply(&update, err);
    spec_free(&update.spec);
    return ret;
}
