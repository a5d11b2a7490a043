/* Kernel parameters of a container's namespaces. */
#ifndef VMRT_INIT_SYSCTLS_H
#define VMRT_INIT_SYSCTLS_H

#include <stdbool.h>

#include "init/failure.h"
#include "init/fields.h"

/**
 * sysctls_apply() - write them, in the caller's namespaces; but not those of the network, which are
 * the machine's, and may name interfaces that only appear before the start.
 * @sysctls: of struct setting_plan.
 * Return: 0 or -errno.
 */
int sysctls_apply(const struct list *sysctls, struct failure *failure);

/**
 * sysctls_keep_network() - set the network's aside.
 * @kept: receives copies; sysctls_release() frees them.
 * Return: 0 or -ENOMEM.
 */
int sysctls_keep_network(const struct list *sysctls, struct list *kept);
void sysctls_release(struct list *kept);

/* Writes those of the network, in init. Return: 0 or -errno. */
int sysctls_apply_network(const struct list *kept, struct failure *failure);

#endif
