/*
 * What each thread of vmrt-vmm gives up before the guest's first instruction.
 *
 * The process: no_new_privs, no capabilities but those that the file server needs (none without
 * one), RLIMIT_CORE 0, not dumpable. Each thread: a seccomp filter of its own that kills the
 * process. The filters are made at build time from vmm/sandbox_rules.h.
 */
#ifndef VMRT_VMM_SANDBOX_H
#define VMRT_VMM_SANDBOX_H

#include <stdbool.h>

#include "lib/error.h"

enum sandbox_thread {
    SANDBOX_MAIN, /* event loop: vsock, control socket, stdio */
    SANDBOX_VCPU, /* runs the guest */
    SANDBOX_FS,   /* file server */
    SANDBOX_NET,  /* worker of the network devices */
    SANDBOX_THREADS,
};

/**
 * sandbox_process() - the process-wide part; before any other thread exists.
 * @file_server: keep the capabilities of the file server.
 */
int sandbox_process(bool file_server, struct error *err);

/**
 * sandbox_thread() - the calling thread's part: drops capabilities it has no use for and loads its
 * filter. Forbidden calls end the process with SIGSYS from here on.
 */
int sandbox_thread(enum sandbox_thread kind, struct error *err);

#endif
