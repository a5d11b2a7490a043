/* One cgroup (v2) per container: what its cgroup namespace shows, and the list of its processes. */
#ifndef VMRT_INIT_CGROUPS_H
#define VMRT_INIT_CGROUPS_H

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

#endif
