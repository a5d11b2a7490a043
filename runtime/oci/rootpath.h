/* Paths: cleaned as text, and resolved and made inside a root that they cannot leave. */
#ifndef VMRT_OCI_ROOTPATH_H
#define VMRT_OCI_ROOTPATH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

/**
 * rootpath_clean() - an absolute path without "//", "." and "..", as text only.
 * @path: need not begin with '/'.
 * @out:  PATH_MAX bytes.
 * Return: 0, or -ENAMETOOLONG.
 */
int rootpath_clean(const char *path, char *out);

/* Is @path @directory itself or below it? Both cleaned. */
bool rootpath_is_below(const char *path, const char *directory);

/**
 * rootpath_open() - open what @path names inside @root, following symlinks as if @root were "/".
 * @flags: of open(2); O_CLOEXEC is added. Use O_PATH, or O_NONBLOCK: it may be a fifo.
 * Return: descriptor or -errno.
 */
int rootpath_open(int root, const char *path, int flags);

/**
 * rootpath_make() - open the directory or file at @path inside @root, making what is missing.
 *
 * Dangling symlinks are followed to where they point inside @root, as runc does: an image's
 * /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf gets its file in /run.
 *
 * @is_file: make an empty file (0755 as runc), not a directory, at the end.
 * Return: an O_PATH descriptor or -errno with a message naming the path.
 */
int rootpath_make(int root, const char *path, bool is_file, struct error *err);

#endif
