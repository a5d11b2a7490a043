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
};

#define CGROUP_PATHS_MAX 24

/* The directories that belong to one container, in every hierarchy. Paths are of the arena. */
struct cgroup {
    bool v2;
    const char *paths[CGROUP_PATHS_MAX];
    const char *controllers[CGROUP_PATHS_MAX]; /* v1: "cpu,cpuacct" */
    size_t count;
};

/**
 * cgroup_path() - where linux.cgroupsPath leads.
 * @wanted:  the field; NULL or "" for a default made from @id.
 * @systemd: the field is "slice:prefix:name"; the scope's directory is made by vmrt itself, without
 *           asking systemd for a unit.
 * Return: 0 with a path relative to the hierarchy's root when it begins with '/', else to the
 * caller's own control group; or -EINVAL.
 */
int cgroup_path(const char *wanted, const char *id, bool systemd, struct arena *arena,
                const char **path, struct error *err);

/**
 * cgroup_create() - make the directories and, on v2, enable the controllers above them.
 * Return: 0, -ENOTSUP when no control group filesystem is mounted, or -errno. On failure
 * what was made is removed again.
 */
int cgroup_create(const char *path, struct cgroup *cgroup, struct arena *arena, struct error *err);

/* Writes the limits. Return: 0, or -errno naming the field's file. */
int cgroup_apply(const struct cgroup *cgroup, const struct cgroup_limits *limits,
                 struct error *err);

/* Moves a process in. Return: 0 or -errno. */
int cgroup_add(const struct cgroup *cgroup, pid_t pid, struct error *err);

/**
 * cgroup_remove() - remove the directories, waiting for the last process to be gone.
 * Return: 0 (also when they are gone already), or -EBUSY after some seconds, or -errno.
 */
int cgroup_remove(const struct cgroup *cgroup, struct error *err);

/* Writes the limits of one hierarchy: oci/cgroup_limits.c. */
int cgroup_write_limits(const char *path, const char *controllers, bool v2,
                        const struct cgroup_limits *limits, struct error *err);
/* Writes @text to @path/@file. Return: 0 or -errno. */
int cgroup_write_file(const char *path, const char *file, const char *text);

#endif
