/* What control groups count, v2 and v1, as runc reads it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/stats.h"

#define FILE_MAX 262144
/* The kernel's clock tick for cpuacct.stat, USER_HZ. */
#define TICK_NS 10000000ull

static char *read_text(const char *path, const char *file)
{
    char name[PATH_MAX], *text = NULL;

    if (snprintf(name, sizeof(name), "%s/%s", path, file) >= (int)sizeof(name))
        return NULL;
    return fd_read_file(AT_FDCWD, name, FILE_MAX, &text, NULL) == 0 ? text : NULL;
}

/* A file of one number; "max" is the largest. */
static uint64_t read_number(const char *path, const char *file)
{
    _cleanup_free_ char *text = read_text(path, file);

    if (text && strncmp(text, "max", 3) == 0)
        return UINT64_MAX;
    return text ? strtoull(text, NULL, 10) : 0;
}

/* The value of "key value" in a flat keyed file. */
static uint64_t find_key(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
    }
    return 0;
}

/* All of such a file, as "raw". Return: 0 or -ENOMEM. */
static int take_raw(struct stats *stats, const char *text)
{
    size_t lines = 0;

    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    stats->raw = arena_array(&stats->arena, lines + 1, sizeof(*stats->raw));
    if (!stats->raw)
        return -ENOMEM;
    while (*text && stats->raw_count < lines) {
        size_t key = strcspn(text, " \n"), length = strcspn(text, "\n");
        struct stats_raw *row = &stats->raw[stats->raw_count];

        if (text[key] == ' ') {
            row->key = arena_format(&stats->arena, "%.*s", (int)key, text);
            row->value = strtoull(text + key, NULL, 10);
            if (!row->key)
                return -ENOMEM;
            stats->raw_count++;
        }
        text += length + (text[length] == '\n');
    }
    return 0;
}

static int add_io(struct stats *stats, size_t *room, const struct stats_io *io)
{
    if (stats->io_count == *room) {
        size_t larger = *room ? 2 * *room : 32;
        struct stats_io *list = arena_array(&stats->arena, larger, sizeof(*list));

        if (!list)
            return -ENOMEM;
        if (stats->io_count)
            memcpy(list, stats->io, stats->io_count * sizeof(*list));
        stats->io = list;
        *room = larger;
    }
    stats->io[stats->io_count++] = *io;
    return 0;
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
static int take_io_v2(struct stats *stats, char *text)
{
    static const struct {
        const char *key, *list, *op;
    } rows[] = {
        { "rbytes", "ioServiceBytesRecursive", "Read" },
        { "wbytes", "ioServiceBytesRecursive", "Write" },
        { "rios", "ioServicedRecursive", "Read" },
        { "wios", "ioServicedRecursive", "Write" },
    };
    char *lines = NULL;
    size_t room = 0;

    for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
        struct stats_io io = { 0 };
        char *words = NULL, *word = strtok_r(line, " ", &words);

        if (!word || sscanf(word, "%" SCNu64 ":%" SCNu64, &io.major, &io.minor) != 2)
            continue;
        while ((word = strtok_r(NULL, " ", &words))) {
            size_t key = strcspn(word, "=");

            for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                if (strlen(rows[i].key) != key || strncmp(word, rows[i].key, key) != 0)
                    continue;
                io.list = rows[i].list;
                io.op = rows[i].op;
                io.value = word[key] ? strtoull(word + key + 1, NULL, 10) : 0;
                if (add_io(stats, &room, &io) < 0)
                    return -ENOMEM;
            }
        }
    }
    return 0;
}

/* "8:0 Read 4096" */
static int take_io_v1(struct stats *stats, const char *path, const char *file, const char *list,
                      size_t *room)
{
    _cleanup_free_ char *text = read_text(path, file);
    char *lines = NULL;

    for (char *line = text ? strtok_r(text, "\n", &lines) : NULL; line;
         line = strtok_r(NULL, "\n", &lines)) {
        struct stats_io io = { .list = list };
        char op[16];

        if (sscanf(line, "%" SCNu64 ":%" SCNu64 " %15s %" SCNu64, &io.major, &io.minor, op,
                   &io.value) != 4)
            continue;
        io.op = arena_strdup(&stats->arena, op);
        if (!io.op || add_io(stats, room, &io) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int take_hugepages(struct stats *stats, const char *path, bool v2)
{
    const char *tail = v2 ? ".current" : ".usage_in_bytes";
    DIR *directory = opendir(path);
    struct dirent *entry;
    int ret = 0;

    stats->hugepages = arena_array(&stats->arena, 16, sizeof(*stats->hugepages));
    while (stats->hugepages && ret == 0 && directory && stats->hugepage_count < 16 &&
           (entry = readdir(directory))) {
        struct stats_hugepages *row = &stats->hugepages[stats->hugepage_count];
        size_t length = strcspn(entry->d_name, ".");
        char size[32], file[96];

        /* "hugetlb.2MB.current", but not "hugetlb.2MB.rsvd.current". */
        if (strncmp(entry->d_name, "hugetlb.", 8) != 0 ||
            sscanf(entry->d_name + length + 1, "%31[0-9A-Z]", size) != 1 ||
            strcmp(entry->d_name + length + 1 + strlen(size), tail) != 0)
            continue;
        row->size = arena_strdup(&stats->arena, size);
        row->usage = read_number(path, entry->d_name);
        snprintf(file, sizeof(file), "hugetlb.%s.%s", size, v2 ? "events" : "max_usage_in_bytes");
        if (v2) {
            _cleanup_free_ char *events = read_text(path, file);

            row->failures = find_key(events, "max");
        } else {
            row->max = read_number(path, file);
            snprintf(file, sizeof(file), "hugetlb.%s.failcnt", size);
            row->failures = read_number(path, file);
        }
        ret = row->size ? 0 : -ENOMEM;
        stats->hugepage_count++;
    }
    if (directory)
        closedir(directory);
    return stats->hugepages ? ret : -ENOMEM;
}

static int read_v2(const char *path, struct stats *stats)
{
    _cleanup_free_ char *cpu = read_text(path, "cpu.stat"),
                        *memory = read_text(path, "memory.stat");
    _cleanup_free_ char *events = read_text(path, "memory.events"),
                        *io = read_text(path, "io.stat");
    int ret = 0;

    stats->cpu_total = find_key(cpu, "usage_usec") * 1000;
    stats->cpu_user = find_key(cpu, "user_usec") * 1000;
    stats->cpu_kernel = find_key(cpu, "system_usec") * 1000;
    stats->periods = find_key(cpu, "nr_periods");
    stats->throttled_periods = find_key(cpu, "nr_throttled");
    stats->throttled_time = find_key(cpu, "throttled_usec") * 1000;
    stats->memory_cache = find_key(memory, "file");
    stats->memory = (struct stats_memory) { .limit = read_number(path, "memory.max"),
                                            .usage = read_number(path, "memory.current"),
                                            .max = read_number(path, "memory.peak"),
                                            .failures = find_key(events, "max") };
    stats->swap = (struct stats_memory) { .limit = read_number(path, "memory.swap.max"),
                                          .usage = read_number(path, "memory.swap.current") };
    /* As v1 counts: memory and swap together. */
    stats->swap.usage += stats->memory.usage;
    if (stats->swap.limit != UINT64_MAX && stats->memory.limit != UINT64_MAX)
        stats->swap.limit += stats->memory.limit;
    stats->oom_kills = find_key(events, "oom_kill");
    if (memory)
        ret = take_raw(stats, memory);
    if (ret == 0 && io)
        ret = take_io_v2(stats, io);
    return ret == 0 ? take_hugepages(stats, path, true) : ret;
}

static int read_v1_cpuacct(const char *path, struct stats *stats)
{
    _cleanup_free_ char *split = read_text(path, "cpuacct.stat");
    _cleanup_free_ char *each = read_text(path, "cpuacct.usage_percpu");
    size_t room = 0;

    stats->cpu_total = read_number(path, "cpuacct.usage");
    stats->cpu_user = find_key(split, "user") * TICK_NS;
    stats->cpu_kernel = find_key(split, "system") * TICK_NS;
    for (const char *p = each; p && (p = strchr(p, ' ')); p++)
        room++;
    stats->cpu_each = arena_array(&stats->arena, room + 1, sizeof(*stats->cpu_each));
    if (!stats->cpu_each)
        return -ENOMEM;
    for (char *p = each, *end; p && stats->cpu_count <= room; p = end) {
        uint64_t value = strtoull(p, &end, 10);

        if (end == p)
            break;
        stats->cpu_each[stats->cpu_count++] = value;
    }
    return 0;
}

static struct stats_memory read_v1_entry(const char *path, const char *name)
{
    struct stats_memory entry;
    char file[64];

    snprintf(file, sizeof(file), "memory.%slimit_in_bytes", name);
    entry.limit = read_number(path, file);
    snprintf(file, sizeof(file), "memory.%susage_in_bytes", name);
    entry.usage = read_number(path, file);
    snprintf(file, sizeof(file), "memory.%smax_usage_in_bytes", name);
    entry.max = read_number(path, file);
    snprintf(file, sizeof(file), "memory.%sfailcnt", name);
    entry.failures = read_number(path, file);
    return entry;
}

static int read_v1_memory(const char *path, struct stats *stats)
{
    _cleanup_free_ char *memory = read_text(path, "memory.stat");
    _cleanup_free_ char *control = read_text(path, "memory.oom_control");

    stats->memory = read_v1_entry(path, "");
    stats->swap = read_v1_entry(path, "memsw.");
    stats->kernel = read_v1_entry(path, "kmem.");
    stats->kernel_tcp = read_v1_entry(path, "kmem.tcp.");
    stats->memory_cache = find_key(memory, "cache");
    stats->oom_kills = find_key(control, "oom_kill");
    return memory ? take_raw(stats, memory) : 0;
}

static int read_v1_io(const char *path, struct stats *stats)
{
    static const char *const rows[][2] = {
        { "blkio.throttle.io_service_bytes_recursive", "ioServiceBytesRecursive" },
        { "blkio.throttle.io_serviced_recursive", "ioServicedRecursive" },
        { "blkio.bfq.io_queued_recursive", "ioQueueRecursive" },
        { "blkio.bfq.io_service_time_recursive", "ioServiceTimeRecursive" },
        { "blkio.bfq.io_wait_time_recursive", "ioWaitTimeRecursive" },
        { "blkio.bfq.io_merged_recursive", "ioMergedRecursive" },
    };
    size_t room = 0;
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
        ret = take_io_v1(stats, path, rows[i][0], rows[i][1], &room);
    return ret;
}

static int read_v1(const char *path, const char *controllers, struct stats *stats)
{
    int ret = 0;

    if (cgroup_has_controller(controllers, "cpuacct"))
        ret = read_v1_cpuacct(path, stats);
    if (cgroup_has_controller(controllers, "cpu")) {
        _cleanup_free_ char *throttling = read_text(path, "cpu.stat");

        stats->periods = find_key(throttling, "nr_periods");
        stats->throttled_periods = find_key(throttling, "nr_throttled");
        stats->throttled_time = find_key(throttling, "throttled_time");
    }
    if (ret == 0 && cgroup_has_controller(controllers, "memory"))
        ret = read_v1_memory(path, stats);
    if (ret == 0 && cgroup_has_controller(controllers, "blkio"))
        ret = read_v1_io(path, stats);
    if (ret == 0 && cgroup_has_controller(controllers, "hugetlb"))
        ret = take_hugepages(stats, path, false);
    return ret;
}

int stats_read_cgroup(const struct cgroup *cgroup, struct stats *stats)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < cgroup->count; i++)
        ret = cgroup->v2 ? read_v2(cgroup->paths[i], stats)
                         : read_v1(cgroup->paths[i], cgroup->controllers[i], stats);
    return ret;
}
