/* Kernel parameters of a container's namespaces. */
#ifndef VMRT_INIT_SYSCTLS_H
#define VMRT_INIT_SYSCTLS_H

#include <stdbool.h>

#include "init/failure.h"
#include "init/fields.h"

/**
 * sysctls_apply() - write them, in the caller's namespaces.
 * @sysctls: of struct setting_plan.
 * @network: those of net.*, which are the machine's and so init's to write; or the others.
 * Return: 0 or -errno.
 */
int sysctls_apply(const struct list *sysctls, bool network, struct failure *failure);

#endif
