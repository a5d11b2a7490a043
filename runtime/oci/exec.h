/*
 * A further process in a container that runs.
 *
 * On the host it is represented by its proxy: the process whose pid is the exec's pid, which lives
 * in the container's control group, holds the connection to vmrt-vmm that the process belongs to
 * (vmm/control.h), passes signals on and ends with the process's status. In the foreground that is
 * the calling process itself, with --detach a child of it in a session of its own.
 */
#ifndef VMRT_OCI_EXEC_H
#define VMRT_OCI_EXEC_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"
#include "oci/container.h"
#include "oci/descriptors.h"
#include "oci/spec.h"

/* What a proxy ends with when its machine does: as if the process had been killed. */
#define EXEC_MACHINE_ENDED 137

struct exec_list {
    const char *const *values;
    size_t count;
};

/* Strings are NULL where nothing was given; the choices are -1 then. */
struct exec_request {
    const char *root, *id;
    const char *process;     /* a file with the whole process; the rest below is ignored then */
    const char *const *args; /* NULL-terminated, may be empty */
    const char *user, *cwd;
    struct exec_list groups, env, caps;
    int terminal, no_new_privileges;

    bool detach, ignore_paused;
    const char *pid_file, *console_socket, *pidfd_socket;
    const char *preserve_fds; /* how many, as text */
};

/**
 * exec_run() - run the process.
 * @status: with --detach 0; else what the process ended with, 0..255.
 * Return: 0, or -errno when it could not be started; then nothing is left of it.
 */
int exec_run(const struct exec_request *request, int *status, struct error *err);

/**
 * exec_process_read() - the process document: of its own, or the container's with what was asked
 * for put over it.
 * @config: the container's, as it was at create; may be changed.
 * @own:    holds a document of its own; spec_free() it whatever is returned.
 * @process: receives the process, which lies in @config or @own.
 * Return: 0 or -errno.
 */
int exec_process_read(const struct exec_request *request, struct spec *config, struct spec *own,
                      struct spec_process **process, struct error *err);

/* What a proxy holds. */
struct exec_proxy {
    const struct container *container;
    bool detach;
    int message;            /* memfd with MESSAGE_EXEC */
    bool terminal;          /* the process has one */
    uint32_t rows, columns; /* its size at first */
    const char *console_socket;
    struct descriptors further; /* beyond stdio; closed once the guest has them */
    int slave, master;          /* the terminal; the master only in the foreground */
    int control, signals;       /* connection to vmrt-vmm, signalfd */
};

/**
 * exec_proxy_begin() - become the proxy: join the control group, make the terminal, start the
 * process in the guest.
 * Return: 0 once its exec has succeeded, or -errno.
 */
int exec_proxy_begin(struct exec_proxy *proxy, struct error *err);

/* Passes signals and bytes on until the process has ended. Return: its status. */
int exec_proxy_stay(struct exec_proxy *proxy);

void exec_proxy_close(struct exec_proxy *proxy);

#endif
