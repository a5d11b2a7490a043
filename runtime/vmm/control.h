/*
 * The control socket of a running vmrt-vmm: <root>/<id>/control.sock, SOCK_SEQPACKET.
 *
 * One request per packet, one answer per request, in the encoding of init/protocol.h. Answers are
 * MESSAGE_RESULT: FIELD_CODE 0, or a positive errno value with FIELD_TEXT. Only the owner of the
 * state directory (0700) can connect.
 */
#ifndef VMRT_VMM_CONTROL_H
#define VMRT_VMM_CONTROL_H

/* Largest request or answer, bytes. */
#define CONTROL_PACKET_MAX 65536

enum control_type {
    CONTROL_STATUS = 64, /* RESULT carries FIELD_STATE: "created" or "running" */
    CONTROL_START = 65,  /* answered once the guest's exec has succeeded or failed */
    CONTROL_SIGNAL = 66, /* FIELD_SIGNAL, FIELD_ALL: passed to the container's first process */
};

#endif
