/* The engine's NOTIFY_SOCKET (sd_notify(3)), to which vmrt-vmm passes on that the workload is
 * ready. */
#ifndef VMRT_OCI_NOTIFY_H
#define VMRT_OCI_NOTIFY_H

#include "lib/error.h"

/**
 * notify_connect() - a datagram socket connected to @path.
 * @path: absolute, or "@name" for an abstract one.
 * Return: descriptor (O_CLOEXEC), or -errno naming NOTIFY_SOCKET and what was expected.
 */
int notify_connect(const char *path, struct error *err);

#endif
