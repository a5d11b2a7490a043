/* An end for want of memory that the host sees (docs/decisions/0011). */
#ifndef VMRT_VMM_EXHAUST_H
#define VMRT_VMM_EXHAUST_H

#include <stdint.h>

/**
 * exhaust_memory() - use memory until the host's kernel kills this process for it.
 * @mib: the limit of this process's control group; no more than this is used.
 *
 * Comes back when the limit turns out not to hold.
 */
void exhaust_memory(uint32_t mib);

#endif
