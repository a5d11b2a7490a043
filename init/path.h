/* Paths inside a container's root filesystem, which no symbolic link can leave. */
#ifndef VMRT_INIT_PATH_H
#define VMRT_INIT_PATH_H

#include <stdbool.h>

/* Room for path_of_fd(). */
#define PATH_OF_FD_MAX 32

/**
 * path_open() - an O_PATH descriptor of @path below @root.
 * @path:  symbolic links, absolute ones too, and ".." are taken inside @root.
 * @flags: O_NOFOLLOW, O_DIRECTORY or 0.
 * Return: descriptor (O_CLOEXEC) or -errno.
 */
int path_open(int root, const char *path, int flags);

/**
 * path_create() - path_open() that makes what is missing: directories on the way, and at the end a
 * directory or an empty file (mode 0755, as runc does). Links that point at nothing are followed
 * to where they would lead inside @root.
 * Return: descriptor or -errno.
 */
int path_create(int root, const char *path, bool is_file);

/**
 * path_create_parent() - path_create() of the directory that holds the last component of @path.
 * @name: receives that component, a pointer into @path; never "", "." or "..".
 * Return: descriptor of the directory, -EINVAL when there is no such component, or -errno.
 */
int path_create_parent(int root, const char *path, const char **name);

/* The name under which mount(2) reaches an O_PATH descriptor; init's /proc must be mounted. */
const char *path_of_fd(char text[PATH_OF_FD_MAX], int fd);

#endif
