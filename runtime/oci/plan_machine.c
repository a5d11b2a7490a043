/* The size of the machine: memory, virtual CPUs and where those run. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "oci/plan.h"
#include "vmm/plan.h"

#define MIB (1ll << 20)
/* Larger than any CPU's number (CONFIG_NR_CPUS). */
#define CPU_NUMBER_MAX 8191

/* Bytes of RAM in the host. */
static int64_t host_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (int64_t)pages * size : INT64_MAX;
}

static int plan_memory(struct plan *plan, const struct settings *settings, struct error *err)
{
    const struct setting *setting = &settings->values[SETTING_MEMORY];
    int64_t limit = plan->spec->resources.memory_limit;
    uint64_t mib = setting->number;

    if (limit > host_memory())
        limit = host_memory();
    if (limit > 0 && settings_from_container(setting)) {
        if (mib > (uint64_t)(limit / MIB))
            return error_set(err, EINVAL,
                             "%s: %llu MiB is more than linux.resources.memory.limit (%lld MiB)",
                             setting->origin, (unsigned long long)mib, (long long)(limit / MIB));
    } else if (limit > 0) {
        mib = (uint64_t)(limit / MIB);
        if (mib < PLAN_MEMORY_MIN_MIB)
            return error_set(err, EINVAL,
                             "config.json: linux.resources.memory.limit: a virtual machine needs "
                             "at least %u MiB, found %lld bytes",
                             PLAN_MEMORY_MIN_MIB, (long long)limit);
    }
    plan->memory_mib = (uint32_t)(mib < PLAN_MEMORY_MAX_MIB ? mib : PLAN_MEMORY_MAX_MIB);
    return 0;
}

/*
 * CPUs in a list such as "0-3,7" (cpuset(7)), the first @room of them in @cpus.
 * Return: how many there are; 0: no list, or one that the kernel will refuse.
 */
static uint64_t parse_cpus(const char *list, uint32_t *cpus, size_t room)
{
    uint64_t count = 0;

    while (list && *list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list)
            return 0;
        if (*end == '-') {
            list = end + 1;
            last = strtoul(list, &end, 10);
        }
        if (last < first || last > CPU_NUMBER_MAX)
            return 0;
        for (unsigned long cpu = first; cpu <= last; cpu++, count++)
            if (count < room)
                cpus[count] = (uint32_t)cpu;
        list = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return 0;
    }
    return count;
}

/* As many virtual CPUs as the container has real ones: each gets its own. */
static int plan_affinity(struct plan *plan, struct error *err)
{
    plan->affinity = arena_array(&plan->arena, plan->cpus, sizeof(*plan->affinity));
    if (!plan->affinity)
        return error_set(err, ENOMEM, "out of memory");
    plan->affinity_count = plan->cpus;
    (void)parse_cpus(plan->spec->resources.cpuset_cpus, plan->affinity, plan->cpus);
    return 0;
}

static uint64_t allowed_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return (uint64_t)CPU_COUNT(&set);
}

static int plan_cpus(struct plan *plan, const struct settings *settings, struct error *err)
{
    const struct setting *setting = &settings->values[SETTING_CPUS];
    const struct spec_resources *r = &plan->spec->resources;
    uint64_t cpus = setting->number, set = parse_cpus(r->cpuset_cpus, NULL, 0);
    int64_t period = r->cpu_period > 0 ? r->cpu_period : 100000;

    if (!(cpus && settings_from_container(setting))) {
        if (r->cpu_quota > 0)
            /* Half a CPU is one virtual CPU that the host holds back half the time. */
            cpus = (uint64_t)(r->cpu_quota / period) + (r->cpu_quota % period != 0);
        else if (cpus == 0)
            cpus = allowed_cpus() < PLAN_CPUS_DEFAULT_MAX ? allowed_cpus() : PLAN_CPUS_DEFAULT_MAX;
        if (set && cpus > set)
            cpus = set;
    }
    plan->cpus = cpus < PLAN_CPUS_MAX ? (uint32_t)cpus : PLAN_CPUS_MAX;
    return set == plan->cpus ? plan_affinity(plan, err) : 0;
}

/*
 * Engines learn of a lack of memory from the host's control group, which the guest's own lack does
 * not reach (docs/decisions/0011): where the limit is sure to be met, vmrt-vmm is to meet it.
 */
static void plan_exhaustion(struct plan *plan)
{
    const struct spec_resources *r = &plan->spec->resources;
    int64_t limit = plan->limits.memory_max;
    struct sysinfo host;

    if (limit <= 0 || limit > host_memory() || plan->spec->process.oom_score_adj == -1000)
        return;
    if (sysinfo(&host) == 0 && (host.totalswap == 0 || r->memory_swap == r->memory_limit))
        plan->exhaust_mib = (uint32_t)(limit / MIB + 1);
}

int plan_machine(struct plan *plan, const struct settings *settings, struct error *err)
{
    int ret = plan_memory(plan, settings, err);

    if (ret < 0)
        return ret;
    plan_exhaustion(plan);
    /* Also without a limit now: update may set one, and a parent's control group may have one. */
    plan->files_max = PLAN_FILES_BYTES / PLAN_FILE_BYTES;
    return plan_cpus(plan, settings, err);
}
