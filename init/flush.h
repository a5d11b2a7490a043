/* Bytes that a dead workload left on their way to the host. */
#ifndef VMRT_INIT_FLUSH_H
#define VMRT_INIT_FLUSH_H

#include <stdbool.h>

/**
 * flush_shares() - wait until everything written to the shares has reached the host's page cache.
 * @shares: where virtio-fs is mounted.
 */
void flush_shares(const char *shares);

/**
 * flush_is_pending() - whether pages of files wait to be written, or are being written.
 * @meminfo: the text of /proc/meminfo; what it does not say is taken to be so.
 */
bool flush_is_pending(const char *meminfo);

#endif
