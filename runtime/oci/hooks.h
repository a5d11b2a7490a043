/* Running the hooks of config.json on the host (runtime-spec config.md "POSIX-platform Hooks"). */
#ifndef VMRT_OCI_HOOKS_H
#define VMRT_OCI_HOOKS_H

#include "lib/error.h"
#include "oci/spec.h"

/**
 * hooks_run() - run all hooks of one kind, one after the other.
 * @state:  JSON text of the container's state, given to each on stdin.
 * @bundle: their working directory, as with runc; NULL: the caller's.
 * Return: 0, or -ECHILD (-ETIMEDOUT) for the first that failed, naming it and what it wrote. The
 * rest are not run.
 */
int hooks_run(const struct spec_hooks *hooks, enum spec_hook_kind kind, const char *state,
              const char *bundle, struct error *err);

#endif
