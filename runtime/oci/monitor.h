/*
 * The monitor: the process whose pid is the container's, from fork to the exec of vmrt-vmm.
 *
 * It goes through three stages, each let go by the runtime and each reported back, so that the
 * control group, the hooks and the state directory can be seen to in between by the runtime, which
 * still sees the host:
 *
 *   1 moved into its control group, it enters its namespaces (a user namespace first, whose id maps
 *     are the runtime's business);
 *   2 hooks having run, it builds the mount tree, looks for the executable, and becomes vmrt-vmm;
 *   3 vmrt-vmm says on the ready pipe that the VM exists.
 *
 * Until then it dies with the runtime.
 */
#ifndef VMRT_OCI_MONITOR_H
#define VMRT_OCI_MONITOR_H

#include <sys/types.h>

#include "lib/error.h"
#include "oci/files.h"
#include "oci/plan.h"

struct monitor_request {
    struct plan *plan;
    const struct machine_files *files;
    int control;  /* listening control socket */
    int notify;   /* socket connected to the engine's NOTIFY_SOCKET; -1: none */
    int terminal; /* slave of the process's terminal; -1: it has stdio */
};

struct monitor {
    const struct plan *plan;
    pid_t pid;
    int channel; /* to the child's first stages */
    int ready;   /* reading end */
};

/* Forks the child, which waits. Return: 0 or -errno. */
int monitor_spawn(const struct monitor_request *request, struct monitor *monitor,
                  struct error *err);

/* Stage 1; in between it writes the id maps of a user namespace. Return: 0, or -errno with the
 * child's own message. */
int monitor_enter_namespaces(struct monitor *monitor, struct error *err);

/* Stages 2 and 3. Return: 0 once the VM exists, or -errno saying what went wrong. */
int monitor_start_vmm(struct monitor *monitor, struct error *err);

/* Kills the child and waits for it. */
void monitor_kill(struct monitor *monitor);

/* Lets go of it: from now on it lives by itself. */
void monitor_release(struct monitor *monitor);

/* The child's side of the stages: oci/monitor_child.c. Return: only on failure, -errno. */
int monitor_child(const struct monitor_request *request, int channel, int ready, struct error *err);

/* Child: waits to be let go. Return: 0, or -EPIPE when the runtime is gone. */
int monitor_wait(int channel);
/* Child: reports success or failure of a stage. */
int monitor_report(int channel, const struct error *err);

#endif
