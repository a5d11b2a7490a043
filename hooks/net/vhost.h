/* Descriptors of /dev/vhost-net: the host's kernel moves packets between guest and TAP. */
#ifndef VMRT_HOOKS_NET_VHOST_H
#define VMRT_HOOKS_NET_VHOST_H

#include <stddef.h>

#include "lib/error.h"

/**
 * vhost_open() - open @count descriptors, one for each queue pair.
 * Return: 0, or a negative errno with none of them open.
 */
int vhost_open(int *fds, size_t count, struct error *err);

#endif
