/* What a container uses, for MESSAGE_STATS. */
#ifndef VMRT_INIT_STATS_H
#define VMRT_INIT_STATS_H

#include "init/protocol.h"

/**
 * stats_put() - add FIELD_STAT_* to a message; figures that the kernel does not give are left out.
 * @cgroup: descriptor of the container's cgroup directory, or -1.
 */
void stats_put(struct protocol_writer *writer, int cgroup);

#endif
