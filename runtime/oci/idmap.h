/*
 * The id maps of a container's user namespace on the host, for callers who are not root.
 *
 * user_namespaces(7): such a caller may map the own id alone; more come from newuidmap(1), which
 * knows whose they are (/etc/subuid). As runc, which calls the same programs.
 */
#ifndef VMRT_OCI_IDMAP_H
#define VMRT_OCI_IDMAP_H

#include <sys/types.h>

#include "lib/error.h"
#include "oci/spec.h"

/* Writes linux.uidMappings and gidMappings for @pid, whose namespace is new. Return: 0 or -errno.
 */
int idmap_write(pid_t pid, const struct spec *spec, struct error *err);

#endif
