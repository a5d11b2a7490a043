/* Bytes that a dead workload left on their way to the host. */
#ifndef VMRT_INIT_FLUSH_H
#define VMRT_INIT_FLUSH_H

/**
 * flush_shares() - wait until everything written to the shares has reached the host's page cache.
 * @shares: where virtio-fs is mounted.
 */
void flush_shares(const char *shares);

#endif
