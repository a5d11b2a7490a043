/*
 * Finding the executable inside the mount tree, so that create can say that it is not there.
 *
 * The checks and the words are those of runc (Go's exec.LookPath), because engines turn the words
 * into exit codes 126 and 127.
 */
#ifndef VMRT_OCI_RESOLVE_H
#define VMRT_OCI_RESOLVE_H

#include "lib/error.h"
#include "oci/plan.h"

/**
 * resolve_directory() - check that process.cwd is a directory, or can be made one.
 * @root: O_PATH on the mount tree's root.
 * Return: 0, or -ENOTDIR naming what is in the way. What only the guest can tell passes.
 */
int resolve_directory(const struct plan *plan, int root, struct error *err);

/**
 * resolve_executable() - check that process.args[0] can be executed.
 * @root: O_PATH on the mount tree's root.
 *
 * Places where the guest mounts something of its own (a tmpfs) cannot be judged from here: they
 * pass, and start says what is wrong.
 *
 * Return: 0, -ENOENT, -EACCES, -EISDIR or what opening gave.
 */
int resolve_executable(const struct plan *plan, int root, struct error *err);

#endif
