/*
 * Host networking for a virtual machine: a network of its own with a way out through the host, made
 * by vmrt-uplink, a program of its own.
 */
#ifndef VMRT_OCI_UPLINK_H
#define VMRT_OCI_UPLINK_H

#include "oci/container.h"

/**
 * uplink_add() - connect the container's network namespace with the host.
 * @container: with pid and start time, by which what is made can be found again; saved already.
 * Return: 0 or -errno.
 */
int uplink_add(const struct container *container, struct error *err);

/* Takes away what uplink_add() made, however far it came. Return: 0 or -errno. */
int uplink_remove(const struct container *container, struct error *err);

#endif
