/* Devices that a user may be kept from, and what to do about it. */
#ifndef VMRT_OCI_ACCESS_H
#define VMRT_OCI_ACCESS_H

#include <stddef.h>

/**
 * access_remedy() - how the calling user gets to read and write the device @path.
 * @out: receives one line that names the group to join, where there is one.
 */
void access_remedy(const char *path, char *out, size_t size);

#endif
