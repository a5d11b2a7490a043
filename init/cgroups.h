/* One cgroup (v2) per container: what its cgroup namespace shows, and the list of its processes. */
#ifndef VMRT_INIT_CGROUPS_H
#define VMRT_INIT_CGROUPS_H

#include <stdint.h>
#include <sys/types.h>

#include "init/failure.h"
#include "init/plan.h"

/**
 * cgroups_enable_controllers() - let the children of @root use every controller there is.
 * @root: descriptor of a cgroup directory.
 * Return: 0 or -errno.
 */
int cgroups_enable_controllers(int root);

/**
 * cgroups_create() - the cgroup @name below @root.
 * Return: descriptor of its directory (O_CLOEXEC) or -errno.
 */
int cgroups_create(int root, const char *name);

/* Sends @signal to every process in @cgroup and below. Return: 0 or -errno. */
int cgroups_signal(int cgroup, int signal);

/* Removes @name below @root with all that was made in it; processes must be gone. */
void cgroups_remove(int root, const char *name);

/* Writes those limits that @plan has. Return: 0 or -errno with the failure naming the file. */
int cgroups_limit(int cgroup, const struct limits_plan *plan, struct failure *failure);

/**
 * cgroups_of_process() - the cgroup at or below @cgroup in which the process @pid is.
 * @name: the name of @cgroup.
 * Return: descriptor of its directory or -errno.
 */
int cgroups_of_process(int cgroup, const char *name, pid_t pid);

/**
 * cgroups_read() - a number of a file of a cgroup.
 * @key: the word before it on its line; NULL: the file is the number.
 * Return: 0, -ENODATA when it is not there or is "max", or -errno.
 */
int cgroups_read(int cgroup, const char *file, const char *key, uint64_t *value);

#endif
