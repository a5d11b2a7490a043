/* New limits for a container that exists. */
#ifndef VMRT_OCI_UPDATE_H
#define VMRT_OCI_UPDATE_H

#include "lib/error.h"
#include "oci/container.h"

/**
 * update_run() - change the limits that are named, leave the others.
 * @text: a document like linux.resources of config.json.
 *
 * CPU, cpuset and I/O are the host's business. Processes are limited in the guest, and so is
 * memory: the machine keeps its RAM, and the host's limit never falls below what that needs.
 *
 * Return: 0, or -errno naming the field.
 */
int update_run(struct container *container, const char *text, struct error *err);

#endif
