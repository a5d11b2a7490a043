/*
 * The control socket of a running vmrt-vmm: <root>/<id>/control.sock, SOCK_SEQPACKET.
 *
 * One request per packet, one answer per request, in the encoding of init/protocol.h. Answers are
 * MESSAGE_RESULT: FIELD_CODE 0, or a positive errno value with FIELD_TEXT. Only the owner of the
 * state directory (0700) can connect.
 *
 * A connection that sent CONTROL_EXEC belongs to that process from then on (its "proxy"):
 *   - the RESULT comes once the guest's exec has succeeded or failed;
 *   - then CONTROL_EXITED is sent when the process has ended and what it wrote before has been
 *     handed to the descriptors given; further requests on it may be SIGNAL and RESIZE, which mean
 *     this process;
 *   - when the proxy closes the connection (it died), the process is killed with SIGKILL;
 *   - when the machine ends, vmrt-vmm ends and with it the connection: the proxy is to end as well.
 */
#ifndef VMRT_VMM_CONTROL_H
#define VMRT_VMM_CONTROL_H

/* Largest request or answer, bytes. */
#define CONTROL_PACKET_MAX 65536

enum control_type {
    CONTROL_STATUS = 64, /* RESULT carries FIELD_STATE: "created", "running" or "paused" */
    CONTROL_START = 65,  /* answered once the guest's exec has succeeded or failed */
    CONTROL_SIGNAL = 66, /* FIELD_SIGNAL, FIELD_ALL: to the container's first process, or to the
                            proxy's own; no RESULT on a proxy's connection */
    /*
     * SCM_RIGHTS: a memfd that holds one MESSAGE_EXEC (its process number and sequence are filled
     * in by vmrt-vmm), then stdin, stdout, stderr; or only the terminal when FIELD_TERMINAL is 1 in
     * the message; then one for each FIELD_DESCRIPTOR. A stream that is closed is given as
     * /dev/null.
     */
    CONTROL_EXEC = 67,
    CONTROL_EXITED = 68, /* to the proxy: FIELD_STATUS 0..255 */
    CONTROL_RESIZE = 69, /* FIELD_ROWS, FIELD_COLUMNS; from a proxy; no RESULT. The first process's
                            size vmrt-vmm learns by itself from SIGWINCH */
    CONTROL_PAUSE = 70,  /* answered when no vCPU runs any more; EBUSY: is paused already */
    CONTROL_RESUME = 71, /* EINVAL: is not paused */
    CONTROL_STATS =
        72, /* RESULT carries the guest's FIELD_STAT_*; EAGAIN while paused or booting */
    CONTROL_UPDATE = 73, /* FIELD_PIDS_MAX, FIELD_MEMORY_MAX: passed to the guest */
    /*
     * SCM_RIGHTS: a memfd that holds one MESSAGE_NETWORK (slots and sequence are filled in by
     * vmrt-vmm), then the descriptors of its FIELD_LINKs, in order: of each FIELD_LINK_QUEUES
     * of its TAP, and as many of /dev/vhost-net if FIELD_LINK_VHOST is 1.
     * Answered when init has set everything up. May come before CONTROL_START and after.
     */
    CONTROL_NETWORK = 74,
    /*
     * SCM_RIGHTS: a stream socket on whose far end the engine's name server is asked. What init
     * sends as MESSAGE_QUERY goes there as it is, and MESSAGE_ANSWERs come back; vmrt-vmm looks
     * into neither. Replaces one that came before. The guest is told by FIELD_RESOLVER in a
     * CONTROL_NETWORK.
     */
    CONTROL_RESOLVER = 75,
    /* The machine will be killed now: ends the proxies first, answered when they have gone. */
    CONTROL_PARTING = 76,
};

#endif
