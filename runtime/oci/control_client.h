/* Asking a running vmrt-vmm: one request over its control socket (vmm/control.h). */
#ifndef VMRT_OCI_CONTROL_CLIENT_H
#define VMRT_OCI_CONTROL_CLIENT_H

#include <stdbool.h>

#include "init/protocol.h"
#include "lib/error.h"
#include "vmm/control.h"

/* The figures of CONTROL_STATS, by FIELD_STAT_* minus FIELD_STAT_PIDS. */
#define CONTROL_STATS_COUNT (FIELD_STAT_CPU_SYSTEM - FIELD_STAT_PIDS + 1)

struct control_answer {
    uint64_t code; /* positive errno value, 0 for success */
    char text[1024];
    char state[32]; /* CONTROL_STATUS */
    uint64_t stats[CONTROL_STATS_COUNT];
    bool has_stat[CONTROL_STATS_COUNT];
};

/**
 * control_listen() - make the socket in the state directory @directory.
 * Return: a listening descriptor or -errno.
 */
int control_listen(int directory, struct error *err);

/**
 * control_ask() - connect to send @request, and wait for its answer.
 * @directory:  the state directory.
 * @request:    begun by protocol_begin(); its memory is freed.
 * @timeout_ms: for both together; -1: as long as it takes. The end of vmrt-vmm ends the wait in any
 *              case.
 * Return: 0 with the answer, -ENOTCONN when nobody is there or left while we waited, -ETIMEDOUT,
 * or -errno.
 */
int control_ask(int directory, struct protocol_writer *request, int timeout_ms,
                struct control_answer *answer);

/**
 * control_connect() - a connection of one's own, for several requests.
 * Return: descriptor, -ENOTCONN when nobody is there, -ETIMEDOUT, or -errno.
 */
int control_connect(int directory, int timeout_ms);

/**
 * control_exchange() - as control_ask(), on a connection.
 * @request: finished by this call, not freed.
 * @fds:     passed along with it; @fd_count may be 0.
 */
int control_exchange(int fd, struct protocol_writer *request, const int *fds, size_t fd_count,
                     int timeout_ms, struct control_answer *answer);

/* Sends a request that has no answer; its memory is freed. Return: 0 or -errno. */
int control_tell(int fd, struct protocol_writer *request);

#endif
