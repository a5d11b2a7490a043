/* Which file a command names, in the wording of the engines' users (Go's os/exec, as in runc). */
#ifndef VMRT_INIT_COMMAND_H
#define VMRT_INIT_COMMAND_H

#include <limits.h>

#include "init/failure.h"

/**
 * command_resolve() - find the executable for @name, from the root, working directory and user of
 * the calling process.
 * @name: with a slash it is a path, else it is looked for in PATH.
 * @env:  the workload's environment, NULL-terminated.
 * @path: receives what to give to execve(2).
 * Return: 0, or -ENOENT, -EACCES, -EISDIR, -ENAMETOOLONG with runc's text.
 */
int command_resolve(const char *name, char *const *env, char path[PATH_MAX],
                    struct failure *failure);

#endif
