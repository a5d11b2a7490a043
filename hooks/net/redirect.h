/*
 * Joins an interface of the namespace with a TAP: whatever arrives on the one leaves by the other.
 *
 *        the network                 the namespace                       the guest
 *     ───────────────▶ [ eth0 ] ── ingress filters ──▶ [ vmrt0 ] ───────▶ virtio-net
 *     ◀─────────────── [ eth0 ] ◀── ingress filter ─── [ vmrt0 ] ◀───────
 *                          │ ▲
 *                          ▼ │ few answers; what the namespace's own sockets send
 *                     the host's stack
 *
 * eth0 keeps its addresses, because the engine's own sockets in the namespace use them: dockerd
 * asks name servers from there. What they need still reaches the host's stack, beside the guest:
 * ARP replies, neighbour and router advertisements, and what comes from port 53 to the ports
 * reserved by sysctl_reserve_ports().
 *
 * The filters are u32 and mirred, which every kernel since 2.6 has; a frame goes through with its
 * checksum and segmentation state, so nothing is computed that the far end can do.
 */
#ifndef VMRT_HOOKS_NET_REDIRECT_H
#define VMRT_HOOKS_NET_REDIRECT_H

#include <stdbool.h>

#include "kernel.h"
#include "lib/error.h"

struct redirect {
    int link;       /* interface number of the engine's interface */
    int tap;        /* and of ours */
    bool own_qdisc; /* the ingress qdisc on link is ours: it goes when we go */
};

/**
 * redirect_join() - join two interfaces.
 * @redirect: link and tap are set; own_qdisc is filled in.
 * @name: of link, for messages.
 * Return: 0, or a negative errno with nothing left behind.
 */
int redirect_join(struct redirect *redirect, struct kernel *kernel, const char *name,
                  struct error *err);

/* Takes everything of ours off the engine's interface. What is on the TAP goes with it. */
void redirect_part(const struct redirect *redirect, struct kernel *kernel);

/* Likewise for whatever a predecessor that was killed has left on the interface @link. */
void redirect_clear(struct kernel *kernel, int link);

#endif
