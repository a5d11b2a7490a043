/* What a container uses: one table of the files that say it. */
#include "init/stats.h"

#include <fcntl.h>

#include "init/cgroups.h"
#include "init/io.h"

static const struct {
    uint16_t tag;
    const char *file, *key;
} stat_sources[] = {
    { FIELD_STAT_PIDS, "pids.current", NULL },
    { FIELD_STAT_PIDS_MAX, "pids.max", NULL },
    { FIELD_STAT_MEMORY, "memory.current", NULL },
    { FIELD_STAT_MEMORY_PEAK, "memory.peak", NULL },
    { FIELD_STAT_MEMORY_CACHE, "memory.stat", "file" },
    { FIELD_STAT_OOM_KILLS, "memory.events", "oom_kill" },
    { FIELD_STAT_CPU_USER, "cpu.stat", "user_usec" },
    { FIELD_STAT_CPU_SYSTEM, "cpu.stat", "system_usec" },
};

static void stats_put_total(struct protocol_writer *writer)
{
    uint64_t kib;

    if (cgroups_read(AT_FDCWD, "/proc/meminfo", "MemTotal:", &kib) == 0)
        protocol_put_u64(writer, FIELD_STAT_MEMORY_TOTAL, kib * 1024);
}

void stats_put(struct protocol_writer *writer, int cgroup)
{
    stats_put_total(writer);
    for (size_t i = 0; cgroup >= 0 && i < sizeof(stat_sources) / sizeof(stat_sources[0]); i++) {
        uint64_t value;

        if (cgroups_read(cgroup, stat_sources[i].file, stat_sources[i].key, &value) == 0)
            protocol_put_u64(writer, stat_sources[i].tag, value);
    }
}
