/*
 * The control group of a container on the host: cgroup v2, or every mounted v1 hierarchy.
 *
 * Only vmrt-vmm lives in it. Limits on the guest's own processes are the guest's business.
 */
#ifndef VMRT_OCI_CGROUP_H
#define VMRT_OCI_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/arena.h"
#include "lib/error.h"
#include "oci/spec.h"

/* Numbers are SPEC_UNSET when not asked for, -1 for "no limit". Memory in bytes. */
struct cgroup_limits {
    int64_t memory_max;  /* overhead included */
    int64_t memory_swap; /* memory and swap together, overhead included */
    int64_t memory_low;
    int64_t cpu_shares, cpu_quota, cpu_period, cpu_burst, cpu_idle;
    const char *cpus, *mems;         /* NULL or "": not asked for */
    const struct spec_pair *unified; /* files of cgroup v2 */
    size_t unified_count;

    /* What cgroup_limits_read() adds; zero where nothing was asked for. */
    bool has_swappiness;
    uint64_t swappiness;                /* v1: 0..100 */
    uint64_t io_weight, io_leaf_weight; /* 10..1000 */
    struct cgroup_io_rule *io_rules;
    size_t io_rule_count;
    struct cgroup_hugepages *hugepages;
    size_t hugepage_count;
};

enum cgroup_io_kind {
    CGROUP_IO_WEIGHT,
    CGROUP_IO_LEAF_WEIGHT,
    CGROUP_IO_READ_BPS,
    CGROUP_IO_WRITE_BPS,
    CGROUP_IO_READ_IOPS,
    CGROUP_IO_WRITE_IOPS,
};

/* One device's share or limit of I/O. */
struct cgroup_io_rule {
    enum cgroup_io_kind kind;
    uint64_t major, minor, value;
};

struct cgroup_hugepages {
    const char *size; /* "2MB" */
    uint64_t limit;   /* bytes */
};

#define CGROUP_PATHS_MAX 24

/* The directories that belong to one container, in every hierarchy. Paths are of the arena. */
struct cgroup {
    bool v2;
    const char *paths[CGROUP_PATHS_MAX];
    const char *controllers[CGROUP_PATHS_MAX]; /* v1: "cpu,cpuacct" */
    const char *mounts[CGROUP_PATHS_MAX];      /* where the hierarchy is mounted */
    bool unified[CGROUP_PATHS_MAX];            /* this one is a v2 hierarchy */
    size_t count;
};

/* Who makes control groups; with systemd linux.cgroupsPath is "slice:prefix:name". */
enum cgroup_driver {
    CGROUP_CGROUPFS,
    CGROUP_SYSTEMD,
    CGROUP_SYSTEMD_USER, /* the user's own manager */
};

/**
 * cgroup_path() - where linux.cgroupsPath leads.
 * @wanted: the field; NULL or "" for a default made from @id.
 * Return: 0 with a path relative to the hierarchy's root when it begins with '/', else to the
 * caller's own control group; or -EINVAL.
 */
int cgroup_path(const char *wanted, const char *id, enum cgroup_driver driver, struct arena *arena,
                const char **path, struct error *err);

/* The unit of a container whose engine has systemd manage control groups. */
struct cgroup_unit {
    const char *name;  /* "docker-<id>.scope" */
    const char *slice; /* "system.slice" */
};

/* What "slice:prefix:name" means to systemd. Return: 0 or -EINVAL. */
int cgroup_unit(const char *wanted, const char *id, enum cgroup_driver driver,
                struct cgroup_unit *unit, struct arena *arena, struct error *err);

/**
 * cgroup_find() - where the directories of @path are in every hierarchy, there or not.
 * Return: 0, -ENOTSUP when no control group filesystem is mounted, or -errno.
 */
int cgroup_find(const char *path, struct cgroup *cgroup, struct arena *arena, struct error *err);

/**
 * cgroup_make() - make the directories and, on v2, enable the controllers above them.
 * Return: 0 or -errno. On failure what was made is removed again.
 */
int cgroup_make(const struct cgroup *cgroup, struct error *err);

/* May the caller make it and put a process into it? Return: 0, or -errno naming what it may not. */
int cgroup_check_rights(const struct cgroup *cgroup, struct error *err);

/* A group that others live in is not a container's: it could be neither limited nor removed. */
int cgroup_check_free(const struct cgroup *cgroup, struct error *err);

/* cgroup_find() and cgroup_make(). */
int cgroup_create(const char *path, struct cgroup *cgroup, struct arena *arena, struct error *err);

/* Writes the limits. Return: 0, or -errno naming the field's file. */
int cgroup_apply(const struct cgroup *cgroup, const struct cgroup_limits *limits,
                 struct error *err);

/* Moves a process in. Return: 0 or -errno. */
int cgroup_add(const struct cgroup *cgroup, pid_t pid, struct error *err);

/* Every process in it and below it. */
struct cgroup_pids {
    pid_t *list;
    size_t count, capacity;
};

/* Return: 0, -ENOENT when the group is gone, or -errno. cgroup_free_pids() in any case. */
int cgroup_read_pids(const struct cgroup *cgroup, struct cgroup_pids *pids);
void cgroup_free_pids(struct cgroup_pids *pids);

/* Processes in a frozen group do not die (v1); whoever froze it meant them to wait, not to stay. */
void cgroup_thaw(const struct cgroup *cgroup);

/**
 * cgroup_remove() - remove the directories, waiting for the last process to be gone; what does not
 * go by itself is killed.
 * Return: 0 (also when they are gone already), or -EBUSY after some seconds, or -errno.
 */
int cgroup_remove(const struct cgroup *cgroup, struct error *err);

/* Writes the limits of one hierarchy: oci/cgroup_limits.c. */
int cgroup_write_limits(const char *path, const char *controllers, bool v2,
                        const struct cgroup_limits *limits, struct error *err);
/* Shares 2..262144 as a weight 1..10000, as runc and systemd convert them. */
uint64_t cgroup_cpu_weight(int64_t shares);
/* Block I/O and huge pages, likewise: oci/cgroup_io.c. */
int cgroup_write_io(const char *path, const char *controllers, bool v2,
                    const struct cgroup_limits *limits, struct error *err);
/**
 * cgroup_limits_read() - the limits that need no decision of the plan: block I/O, huge pages,
 * swappiness.
 * @resources: linux.resources.
 * Return: 0, or -EINVAL naming the field.
 */
int cgroup_limits_read(const struct json *resources, struct cgroup_limits *limits,
                       struct arena *arena, struct error *err);

/* Writes @text to @path/@file. Return: 0 or -errno. */
int cgroup_write_file(const char *path, const char *file, const char *text);
/* Reads the first line of @path/@file. Return: 0, -E2BIG or -errno. */
int cgroup_read_file(const char *path, const char *file, char *out, size_t size);
/* Is @name one of the comma-separated @controllers? */
bool cgroup_has_controller(const char *controllers, const char *name);

#endif
