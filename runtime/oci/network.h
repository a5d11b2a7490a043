/* The container's network: handed to the machine by vmrt-net, a program of its own. */
#ifndef VMRT_OCI_NETWORK_H
#define VMRT_OCI_NETWORK_H

#include "oci/container.h"

/**
 * network_connect() - give the interfaces of the container's network namespace to its machine.
 *
 * At start and not before: Docker 28, podman with user namespaces and buildah put them there
 * between create and start. vmrt-net stays behind in the background and follows changes until the
 * machine ends.
 *
 * Return: 0 once the guest's network works, or -errno in vmrt-net's words.
 */
int network_connect(const struct container *container, struct error *err);

/**
 * network_clean() - once the machine has ended, take off a network namespace that outlives it what
 * vmrt-net could not because it was killed.
 * @path: of the namespace, as in config.json. It may be gone.
 * Return: 0 or -errno in vmrt-net's words.
 */
int network_clean(const char *path, struct error *err);

#endif
