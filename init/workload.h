/* The child that becomes a process of a container: everything between clone and exec. */
#ifndef VMRT_INIT_WORKLOAD_H
#define VMRT_INIT_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "init/failure.h"
#include "init/mounts.h"
#include "init/plan.h"
#include "init/protocol.h"

/*
 * What the child tells init, one packet each. The first process of a container waits for a byte
 * when it is PREPARED; in a user namespace also at its very start, until that is set up.
 */
enum report_kind {
    REPORT_PREPARED = 1, /* all but the exec is done */
    REPORT_FAILED = 2,   /* with the failure; the child ends */
    REPORT_TERMINAL = 3, /* with the master of its terminal */
};

struct report {
    uint32_t kind;
    struct failure failure;
};

struct workload {
    struct process_plan *process;
    struct container_plan *plan; /* of the container to make; NULL: join one */
    const struct mount_places *places;
    const char *id;  /* of the container */
    uint32_t number; /* of the container */
    int report;      /* SOCK_SEQPACKET to init; end of file there means the exec succeeded */
    int stdio[3];    /* the workload's ends of its standard streams; -1: a terminal */
    int further[PROTOCOL_DESCRIPTORS_MAX]; /* those of process->descriptors */
    int join; /* pidfd of the container's first process, to join it; else -1 */
    bool user_namespace, time_namespace; /* the container has them */
};

/* Does it all and does not come back. To be called in a child process with its namespaces made. */
_Noreturn void workload_run(const struct workload *workload);

#endif
