/* Making a container: everything that `create` does, and undoing it when something fails. */
#ifndef VMRT_OCI_CREATION_H
#define VMRT_OCI_CREATION_H

#include <stdbool.h>

#include "lib/error.h"
#include "oci/container.h"
#include "oci/descriptors.h"

struct creation_request {
    const char *root;          /* state root */
    const char *host_settings; /* the host's settings file */
    const char *id;
    const char *bundle;                    /* as given */
    const char *config;                    /* config.json's path; NULL: in the bundle */
    const char *pid_file;                  /* NULL: none */
    const char *console_socket;            /* NULL: none */
    const char *notify_socket;             /* the engine's NOTIFY_SOCKET; NULL: nobody waits */
    const struct descriptors *descriptors; /* what the process has beyond its stdio */
    bool detach;                           /* nobody stays who could relay a terminal */
    bool systemd_cgroup, no_cgroup;
    bool rootless; /* a control group that may not be made is done without */
};

/**
 * creation_run() - make a container whose VM exists and whose process waits for `start`.
 * @master: receives the master of the process's terminal when it has one and stays in the
 *          foreground, else -1; may be NULL with `detach`.
 * @container: filled in; call container_close() whatever is returned. Its pid is a child of the
 *             calling process.
 * Return: 0, or -errno; then nothing is left behind.
 */
int creation_run(const struct creation_request *request, int *master, struct container *container,
                 struct error *err);

#endif
