/* Asking a running vmrt-vmm: one request over its control socket (vmm/control.h). */
#ifndef VMRT_OCI_CONTROL_CLIENT_H
#define VMRT_OCI_CONTROL_CLIENT_H

#include "init/protocol.h"
#include "lib/error.h"
#include "vmm/control.h"

struct control_answer {
    uint64_t code; /* positive errno value, 0 for success */
    char text[1024];
    char state[32]; /* CONTROL_STATUS */
};

/**
 * control_listen() - make the socket in the state directory @directory.
 * Return: a listening descriptor or -errno.
 */
int control_listen(int directory, struct error *err);

/**
 * control_ask() - send @request and wait for its answer.
 * @directory:  the state directory.
 * @request:    begun by protocol_begin(); its memory is freed.
 * @timeout_ms: -1: as long as it takes. The end of vmrt-vmm ends the wait in any case.
 * Return: 0 with the answer, -ENOTCONN when nobody is there or left while we waited, -ETIMEDOUT,
 * or -errno.
 */
int control_ask(int directory, struct protocol_writer *request, int timeout_ms,
                struct control_answer *answer);

#endif
