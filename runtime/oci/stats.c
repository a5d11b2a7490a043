/* Gathering, and the JSON that runc's `events` prints. */
#include "oci/stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GUEST_TIMEOUT_MS 2000

static void ask_guest(const struct container *container, struct stats *stats)
{
    struct protocol_writer request = { 0 };

    /* While it boots or is paused it cannot say: what the host knows is printed alone. */
    protocol_begin(&request, CONTROL_STATS, 0, 0);
    stats->has_guest =
        control_ask(container->directory, &request, GUEST_TIMEOUT_MS, &stats->guest) == 0 &&
        stats->guest.code == 0;
    if (!stats->has_guest)
        return;
    stats->pids = stats->guest.stats[0];
    stats->pids_limit = stats->guest.stats[FIELD_STAT_PIDS_MAX - FIELD_STAT_PIDS];
    stats->oom_kills += stats->guest.stats[FIELD_STAT_OOM_KILLS - FIELD_STAT_PIDS];
}

int stats_read(const struct container *container, struct stats *stats, struct error *err)
{
    int ret;

    memset(stats, 0, sizeof(*stats));
    ret = stats_read_cgroup(&container->cgroup, stats);
    if (ret < 0)
        return error_set(err, -ret, "out of memory");
    ask_guest(container, stats);
    return 0;
}

void stats_free(struct stats *stats)
{
    arena_free(&stats->arena);
}

/* Counters go to 2^64 - 1 ("no limit"), which the generator's own integers do not. */
static void put_u64(yajl_gen gen, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    json_put_key(gen, key);
    yajl_gen_number(gen, text, strlen(text));
}

/* Go's "omitempty". */
static void put_nonzero(yajl_gen gen, const char *key, uint64_t value)
{
    if (value)
        put_u64(gen, key, value);
}

static void open_map(yajl_gen gen, const char *key)
{
    json_put_key(gen, key);
    yajl_gen_map_open(gen);
}

static void put_cpu(yajl_gen gen, const struct stats *stats)
{
    open_map(gen, "cpu");
    open_map(gen, "usage");
    put_nonzero(gen, "total", stats->cpu_total);
    if (stats->cpu_count) {
        json_put_key(gen, "percpu");
        yajl_gen_array_open(gen);
        for (size_t i = 0; i < stats->cpu_count; i++)
            yajl_gen_integer(gen, (long long)stats->cpu_each[i]);
        yajl_gen_array_close(gen);
    }
    put_u64(gen, "kernel", stats->cpu_kernel);
    put_u64(gen, "user", stats->cpu_user);
    yajl_gen_map_close(gen);
    open_map(gen, "throttling");
    put_nonzero(gen, "periods", stats->periods);
    put_nonzero(gen, "throttledPeriods", stats->throttled_periods);
    put_nonzero(gen, "throttledTime", stats->throttled_time);
    yajl_gen_map_close(gen);
    yajl_gen_map_close(gen);
}

static void put_memory_entry(yajl_gen gen, const char *key, const struct stats_memory *memory)
{
    open_map(gen, key);
    put_u64(gen, "limit", memory->limit);
    put_nonzero(gen, "usage", memory->usage);
    put_nonzero(gen, "max", memory->max);
    put_u64(gen, "failcnt", memory->failures);
    yajl_gen_map_close(gen);
}

static void put_memory(yajl_gen gen, const struct stats *stats)
{
    open_map(gen, "memory");
    put_nonzero(gen, "cache", stats->memory_cache);
    put_memory_entry(gen, "usage", &stats->memory);
    put_memory_entry(gen, "swap", &stats->swap);
    put_memory_entry(gen, "kernel", &stats->kernel);
    put_memory_entry(gen, "kernelTCP", &stats->kernel_tcp);
    open_map(gen, "raw");
    for (size_t i = 0; i < stats->raw_count; i++)
        put_u64(gen, stats->raw[i].key, stats->raw[i].value);
    yajl_gen_map_close(gen);
    yajl_gen_map_close(gen);
}

static void put_io(yajl_gen gen, const struct stats *stats)
{
    static const char *const lists[] = {
        "ioServiceBytesRecursive", "ioServicedRecursive", "ioQueueRecursive",
        "ioServiceTimeRecursive",  "ioWaitTimeRecursive", "ioMergedRecursive",
        "ioTimeRecursive",         "sectorsRecursive",
    };

    open_map(gen, "blkio");
    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++) {
        bool open = false;

        for (size_t i = 0; i < stats->io_count; i++) {
            const struct stats_io *io = &stats->io[i];

            if (strcmp(io->list, lists[list]) != 0)
                continue;
            if (!open) {
                json_put_key(gen, lists[list]);
                yajl_gen_array_open(gen);
                open = true;
            }
            yajl_gen_map_open(gen);
            put_nonzero(gen, "major", io->major);
            put_nonzero(gen, "minor", io->minor);
            json_put_string(gen, "op", io->op);
            put_nonzero(gen, "value", io->value);
            yajl_gen_map_close(gen);
        }
        if (open)
            yajl_gen_array_close(gen);
    }
    yajl_gen_map_close(gen);
}

static void put_hugepages(yajl_gen gen, const struct stats *stats)
{
    open_map(gen, "hugetlb");
    for (size_t i = 0; i < stats->hugepage_count; i++) {
        open_map(gen, stats->hugepages[i].size);
        put_nonzero(gen, "usage", stats->hugepages[i].usage);
        put_nonzero(gen, "max", stats->hugepages[i].max);
        put_u64(gen, "failcnt", stats->hugepages[i].failures);
        yajl_gen_map_close(gen);
    }
    yajl_gen_map_close(gen);
}

/* Not in runc's output: what the guest says of itself. */
static void put_guest(yajl_gen gen, const struct stats *stats)
{
    static const struct {
        uint16_t tag;
        const char *key;
    } rows[] = {
        { FIELD_STAT_MEMORY, "memoryUsage" },       { FIELD_STAT_MEMORY_PEAK, "memoryPeak" },
        { FIELD_STAT_MEMORY_TOTAL, "memoryTotal" }, { FIELD_STAT_MEMORY_CACHE, "memoryCache" },
        { FIELD_STAT_OOM_KILLS, "oomKills" },       { FIELD_STAT_CPU_USER, "cpuUser" },
        { FIELD_STAT_CPU_SYSTEM, "cpuSystem" },
    };

    if (!stats->has_guest)
        return;
    open_map(gen, "guest");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (stats->guest.has_stat[rows[i].tag - FIELD_STAT_PIDS])
            put_u64(gen, rows[i].key, stats->guest.stats[rows[i].tag - FIELD_STAT_PIDS]);
    yajl_gen_map_close(gen);
}

char *stats_text(const struct stats *stats, const char *id)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    char *text = NULL;

    if (!gen)
        return NULL;
    yajl_gen_map_open(gen);
    json_put_string(gen, "type", "stats");
    json_put_string(gen, "id", id);
    open_map(gen, "data");
    put_cpu(gen, stats);
    put_memory(gen, stats);
    open_map(gen, "pids");
    put_nonzero(gen, "current", stats->pids);
    put_nonzero(gen, "limit", stats->pids_limit);
    yajl_gen_map_close(gen);
    put_io(gen, stats);
    put_hugepages(gen, stats);
    open_map(gen, "intel_rdt");
    yajl_gen_map_close(gen);
    json_put_key(gen, "network_interfaces");
    yajl_gen_array_open(gen);
    yajl_gen_array_close(gen);
    put_guest(gen, stats);
    yajl_gen_map_close(gen);
    yajl_gen_map_close(gen);
    return json_take_text(gen, &text) == 0 ? text : NULL;
}
