/* What can be done to a container that exists: start, signal, delete. */
#ifndef VMRT_OCI_LIFECYCLE_H
#define VMRT_OCI_LIFECYCLE_H

#include <stdbool.h>

#include "lib/error.h"
#include "oci/container.h"

/**
 * lifecycle_start() - let the workload run, then run the poststart hooks.
 * Return: 0 once its exec has succeeded in the guest, or -errno with the guest's message.
 */
int lifecycle_start(struct container *container, struct error *err);

/**
 * lifecycle_signal() - send a signal to the container's first process.
 * @number: 1..64. SIGKILL ends the whole virtual machine.
 * @all:    to every process of the container.
 * Return: 0, -ESRCH ("container not running"), or -errno.
 */
int lifecycle_signal(const struct container *container, int number, bool all, struct error *err);

/* Stops every vCPU. Return: 0, or -errno in runc's words when it does not run. */
int lifecycle_pause(const struct container *container, struct error *err);

/* Lets them go on. Return: 0, or -errno in runc's words when it is not paused. */
int lifecycle_resume(const struct container *container, struct error *err);

/**
 * lifecycle_delete() - remove a container: its processes when it may, its control group, its
 * state; poststop hooks run.
 * @force: also one that runs.
 * Return: 0, -EBUSY when it runs and @force is false, or -errno.
 */
int lifecycle_delete(const char *root, struct container *container, bool force, struct error *err);

#endif
