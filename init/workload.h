/* The child that becomes the workload: everything between clone and exec. */
#ifndef VMRT_INIT_WORKLOAD_H
#define VMRT_INIT_WORKLOAD_H

#include <stdint.h>

#include "init/container.h"
#include "init/failure.h"
#include "init/mounts.h"

/* What the child tells init, one packet each. After REPORT_PREPARED it waits for one byte. */
enum report_kind {
    REPORT_PREPARED = 1, /* all but the exec is done */
    REPORT_FAILED = 2,   /* with the failure; the child ends */
};

struct report {
    uint32_t kind;
    struct failure failure;
};

struct workload {
    struct container_plan *plan;
    const struct mount_places *places;
    int report;   /* SOCK_SEQPACKET to init; end of file there means the exec succeeded */
    int stdio[3]; /* the workload's ends of its standard streams */
};

/* Does it all and does not come back. To be called in a child process with its namespaces made. */
_Noreturn void workload_run(struct workload *workload);

#endif
