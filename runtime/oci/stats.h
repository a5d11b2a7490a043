/*
 * Figures of a container for `events`: CPU, memory and I/O as the host counts them for the whole
 * machine, processes and memory inside as the guest counts them.
 */
#ifndef VMRT_OCI_STATS_H
#define VMRT_OCI_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/error.h"
#include "oci/container.h"
#include "oci/control_client.h"

struct stats_memory {
    uint64_t limit, usage, max, failures;
};

struct stats_io {
    const char *list; /* the member of "blkio" it belongs to */
    uint64_t major, minor, value;
    const char *op;
};

struct stats_raw {
    const char *key;
    uint64_t value;
};

struct stats_hugepages {
    const char *size;
    uint64_t usage, max, failures;
};

struct stats {
    struct arena arena;                                  /* of the lists and strings */
    uint64_t cpu_total, cpu_user, cpu_kernel;            /* ns */
    uint64_t periods, throttled_periods, throttled_time; /* time in ns */
    uint64_t *cpu_each;                                  /* v1 only */
    size_t cpu_count;
    struct stats_memory memory, swap, kernel, kernel_tcp;
    uint64_t memory_cache;
    struct stats_raw *raw;
    size_t raw_count;
    struct stats_io *io;
    size_t io_count;
    struct stats_hugepages *hugepages;
    size_t hugepage_count;
    uint64_t pids, pids_limit; /* the guest's */
    uint64_t oom_kills;        /* the guest's and the host's together */
    struct control_answer guest;
    bool has_guest; /* it answered */
};

/**
 * stats_read() - gather everything that can be had; what a kernel does not count is 0.
 * @stats: call stats_free() whatever is returned.
 * Return: 0 or -ENOMEM.
 */
int stats_read(const struct container *container, struct stats *stats, struct error *err);
void stats_free(struct stats *stats);

/* Parts of it: the host's files (oci/stats_cgroup.c). */
int stats_read_cgroup(const struct cgroup *cgroup, struct stats *stats);

/* One line: {"type":"stats","id":…,"data":…}. Return: text that the caller frees, or NULL. */
char *stats_text(const struct stats *stats, const char *id);

#endif
