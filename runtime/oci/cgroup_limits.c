/* Limits as control group files: one table for v2, one for v1. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci/cgroup.h"

#define COUNT(table)   (sizeof(table) / sizeof((table)[0]))
#define PERIOD_DEFAULT 100000 /* microseconds, the kernel's own */

/* Writes the file's new content to @out; false: nothing was asked for. */
typedef bool limit_formatter(const struct cgroup_limits *limits, char *out, size_t size);

struct limit_row {
    const char *file;
    const char *controller;
    const char *field; /* of config.json */
    limit_formatter *format;
    bool optional; /* a kernel may lack the file */
};

static bool format_bytes(int64_t value, const char *unlimited, char *out, size_t size)
{
    if (value == SPEC_UNSET || value == 0)
        return false;
    if (value < 0)
        snprintf(out, size, "%s", unlimited);
    else
        snprintf(out, size, "%" PRId64, value);
    return true;
}

static bool format_number(int64_t value, char *out, size_t size)
{
    if (value == SPEC_UNSET)
        return false;
    snprintf(out, size, "%" PRId64, value);
    return true;
}

static bool format_text(const char *text, char *out, size_t size)
{
    return text && text[0] && snprintf(out, size, "%s", text) < (int)size;
}

static bool memory_max(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_bytes(l->memory_max, "max", out, size);
}

static bool memory_low(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_bytes(l->memory_low, "max", out, size);
}

/* v2 counts swap by itself. */
static bool swap_max(const struct cgroup_limits *l, char *out, size_t size)
{
    if (l->memory_swap == SPEC_UNSET || l->memory_swap == 0)
        return false;
    if (l->memory_swap < 0)
        snprintf(out, size, "max");
    else if (l->memory_max > 0 && l->memory_swap >= l->memory_max)
        snprintf(out, size, "%" PRId64, l->memory_swap - l->memory_max);
    else
        return false;
    return true;
}

uint64_t cgroup_cpu_weight(int64_t shares)
{
    if (shares < 2)
        shares = 2;
    if (shares > 262144)
        shares = 262144;
    return 1 + ((uint64_t)(shares - 2) * 9999) / 262142;
}

static bool cpu_weight(const struct cgroup_limits *l, char *out, size_t size)
{
    if (l->cpu_shares == SPEC_UNSET || l->cpu_shares == 0)
        return false;
    return format_number((int64_t)cgroup_cpu_weight(l->cpu_shares), out, size);
}

static bool cpu_max(const struct cgroup_limits *l, char *out, size_t size)
{
    bool quota = l->cpu_quota != SPEC_UNSET && l->cpu_quota != 0;
    bool period = l->cpu_period != SPEC_UNSET && l->cpu_period > 0;

    if (!quota && !period)
        return false;
    if (quota && l->cpu_quota > 0)
        snprintf(out, size, "%" PRId64 " %" PRId64, l->cpu_quota,
                 period ? l->cpu_period : PERIOD_DEFAULT);
    else
        snprintf(out, size, "max %" PRId64, period ? l->cpu_period : PERIOD_DEFAULT);
    return true;
}

static bool cpu_burst(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_number(l->cpu_burst, out, size);
}

static bool cpu_idle(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_number(l->cpu_idle, out, size);
}

static bool cpuset_cpus(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_text(l->cpus, out, size);
}

static bool cpuset_mems(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_text(l->mems, out, size);
}

static bool v1_memory_limit(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_bytes(l->memory_max, "-1", out, size);
}

static bool v1_memory_soft(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_bytes(l->memory_low, "-1", out, size);
}

static bool v1_memory_swap(const struct cgroup_limits *l, char *out, size_t size)
{
    return format_bytes(l->memory_swap, "-1", out, size);
}

static bool v1_swappiness(const struct cgroup_limits *l, char *out, size_t size)
{
    return l->has_swappiness && format_number((int64_t)l->swappiness, out, size);
}

static bool v1_cpu_shares(const struct cgroup_limits *l, char *out, size_t size)
{
    return l->cpu_shares != 0 && format_number(l->cpu_shares, out, size);
}

static bool v1_cpu_period(const struct cgroup_limits *l, char *out, size_t size)
{
    return l->cpu_period != 0 && format_number(l->cpu_period, out, size);
}

static bool v1_cpu_quota(const struct cgroup_limits *l, char *out, size_t size)
{
    return l->cpu_quota != 0 && format_number(l->cpu_quota, out, size);
}

/* The order is that of writing: a period before its quota, memory before memory and swap. */
static const struct limit_row rows_v2[] = {
    { "memory.max", "memory", "memory.limit", memory_max, false },
    { "memory.swap.max", "memory", "memory.swap", swap_max, true },
    { "memory.low", "memory", "memory.reservation", memory_low, false },
    { "cpu.idle", "cpu", "cpu.idle", cpu_idle, false },
    { "cpu.weight", "cpu", "cpu.shares", cpu_weight, false },
    { "cpu.max", "cpu", "cpu.quota", cpu_max, false },
    { "cpu.max.burst", "cpu", "cpu.burst", cpu_burst, false },
    { "cpuset.cpus", "cpuset", "cpu.cpus", cpuset_cpus, false },
    { "cpuset.mems", "cpuset", "cpu.mems", cpuset_mems, false },
};

static const struct limit_row rows_v1[] = {
    { "memory.limit_in_bytes", "memory", "memory.limit", v1_memory_limit, false },
    { "memory.memsw.limit_in_bytes", "memory", "memory.swap", v1_memory_swap, true },
    { "memory.soft_limit_in_bytes", "memory", "memory.reservation", v1_memory_soft, false },
    { "memory.swappiness", "memory", "memory.swappiness", v1_swappiness, false },
    { "cpu.idle", "cpu", "cpu.idle", cpu_idle, true },
    { "cpu.shares", "cpu", "cpu.shares", v1_cpu_shares, false },
    { "cpu.cfs_period_us", "cpu", "cpu.period", v1_cpu_period, false },
    { "cpu.cfs_quota_us", "cpu", "cpu.quota", v1_cpu_quota, false },
    { "cpu.cfs_burst_us", "cpu", "cpu.burst", cpu_burst, true },
    { "cpuset.cpus", "cpuset", "cpu.cpus", cpuset_cpus, false },
    { "cpuset.mems", "cpuset", "cpu.mems", cpuset_mems, false },
};

bool cgroup_has_controller(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, name, length) == 0 && (p[length] == ',' || p[length] == '\0'))
            return true;
    }
    return false;
}

static int write_unified(const char *path, const struct cgroup_limits *limits, struct error *err)
{
    for (size_t i = 0; i < limits->unified_count; i++) {
        int ret = cgroup_write_file(path, limits->unified[i].key, limits->unified[i].value);

        if (ret < 0)
            return error_set(err, -ret, "linux.resources.unified: %s/%s: %s", path,
                             limits->unified[i].key, strerror(-ret));
    }
    return 0;
}

static bool is_asked(const struct limit_row *row, const char *controllers, bool v2,
                     const struct cgroup_limits *limits, char *text, size_t size)
{
    return (v2 || cgroup_has_controller(controllers, row->controller)) &&
           row->format(limits, text, size);
}

static int write_row(const char *path, const struct limit_row *row, const char *text,
                     struct error *err)
{
    int ret = cgroup_write_file(path, row->file, text);

    if (ret == 0 || (ret == -ENOENT && row->optional))
        return 0;
    if (ret == -ENOENT)
        return error_set(err, ENOTSUP,
                         "linux.resources.%s: the \"%s\" controller is not available in %s",
                         row->field, row->controller, path);
    return error_set(err, -ret, "linux.resources.%s: cannot write \"%s\" to %s/%s: %s", row->field,
                     text, path, row->file, strerror(-ret));
}

/*
 * Some files must agree with each other at every moment (v1: memory with memory and swap, period
 * with quota): what is invalid beside the old value of its neighbour is written again once that
 * has its new one.
 */
int cgroup_write_limits(const char *path, const char *controllers, bool v2,
                        const struct cgroup_limits *limits, struct error *err)
{
    const struct limit_row *rows = v2 ? rows_v2 : rows_v1;
    size_t count = v2 ? COUNT(rows_v2) : COUNT(rows_v1);
    uint64_t again = 0;
    char text[4096];
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < count; i++) {
        if (!is_asked(&rows[i], controllers, v2, limits, text, sizeof(text)))
            continue;
        ret = write_row(path, &rows[i], text, err);
        if (ret == -EINVAL) {
            again |= 1ull << i;
            ret = 0;
        }
    }
    for (size_t i = 0; ret == 0 && i < count; i++)
        if ((again & 1ull << i) && is_asked(&rows[i], controllers, v2, limits, text, sizeof(text)))
            ret = write_row(path, &rows[i], text, err);
    if (ret == 0)
        ret = cgroup_write_io(path, controllers, v2, limits, err);
    return ret == 0 && v2 ? write_unified(path, limits, err) : ret;
}
