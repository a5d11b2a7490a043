/* Host processes by pid and start time, so that a pid used again is not taken for its last owner.
 */
#ifndef VMRT_OCI_PROCESS_H
#define VMRT_OCI_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"

/* Start time of @pid in clock ticks since boot. Return: 0 or -errno; -ESRCH for a dead one. */
int process_start_time(pid_t pid, uint64_t *start_time);

/* Does that very process still run? Zombies do not. */
bool process_is_alive(pid_t pid, uint64_t start_time);

/* KVM's helpers of a machine are in its control group, but they are the kernel's. */
bool process_is_kernel_thread(pid_t pid);

/**
 * process_open() - a pidfd for that very process.
 * Return: descriptor, or -ESRCH when it is gone.
 */
int process_open(pid_t pid, uint64_t start_time);

/**
 * process_kill() - SIGKILL and wait until it is gone.
 * @timeout_ms: how long to wait.
 * Return: 0 (also when it was gone already), -ETIMEDOUT, or -errno.
 */
int process_kill(pid_t pid, uint64_t start_time, int timeout_ms);

#endif
