/* Settings of the network namespace: read, changed for a while, and put back. */
#ifndef VMRT_HOOKS_NET_SYSCTL_H
#define VMRT_HOOKS_NET_SYSCTL_H

#include "init/protocol.h"

/* Largest value that is read, bytes with the NUL. */
#define SYSCTL_VALUE_MAX 128

/* Keys are paths below /proc/sys. Both return 0 or a negative errno; values have no newline. */
int sysctl_read(const char *key, char value[SYSCTL_VALUE_MAX]);
int sysctl_write(const char *key, const char *value);

/**
 * sysctl_describe() - write a FIELD_SYSCTL for every setting that differs from the kernel's
 * default.
 * @interface: its name, or NULL for those of the whole namespace.
 */
void sysctl_describe(struct protocol_writer *writer, const char *interface);

/* Writes a FIELD_SYSCTL that says whether the interface has IPv6. */
void sysctl_describe_ipv6(struct protocol_writer *writer, const char *interface);

/**
 * sysctl_reserve_ports() - keep the namespace's own sockets to ports 61440 to 65535, so that the
 * answers they get can be told from the guest's traffic (redirect.h).
 * @before: receives the range as it was, or "" when nothing was changed.
 * Return: 0 or a negative errno.
 */
int sysctl_reserve_ports(char before[SYSCTL_VALUE_MAX]);

/* What a process that was killed has reserved: back to the kernel's default. */
void sysctl_free_ports(void);

/* Puts it back, unless somebody else has changed it since. */
void sysctl_restore_ports(const char *before);

#endif
