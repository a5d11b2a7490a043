/*
 * Connections that somebody makes within the namespace, to the container's own addresses or to
 * 127.0.0.1: rootless podman's port handler does, pasta for what the host sends to its own
 * 127.0.0.1, and whoever debugs with nsenter(1). The namespace's kernel takes these addresses for
 * its own, and nobody listens there.
 *
 *      a socket of the namespace                                                     the guest
 *      10.0.2.100 ─▶ 10.0.2.100:80 ── [ lo ] ── 192.0.0.2 ─▶ 10.0.2.100:80 ── [ vmrt0 ] ──▶
 *                                     [ lo ] ◀─ 10.0.2.100:80 ─▶ 192.0.0.2 ── [ vmrt0 ] ◀──
 *
 * What leaves by the loopback interface is sent to the guest, and what the guest answers arrives on
 * the loopback interface. The guest must not see its own address as a sender, so it gets another
 * one, of the prefix that RFC 7335 keeps for the inside of hosts: no network has it. The guest
 * answers by its default route; one without cannot.
 *
 * IPv4 only: tc(8) has no such action for IPv6.
 */
#ifndef VMRT_HOOKS_NET_LOCAL_H
#define VMRT_HOOKS_NET_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "lib/error.h"
#include "scan.h"
#include "sysctl.h"

/* Further addresses of a namespace are not served. */
#define LOCAL_ADDRESSES_MAX 64

struct local_address {
    uint32_t address; /* host byte order */
    int tap;          /* interface number */
    uint8_t mac[6];
};

struct local {
    struct local_address addresses[LOCAL_ADDRESSES_MAX]; /* the first is what 127.0.0.1 means */
    size_t count;
    bool started;
    bool own_qdisc; /* the qdisc on lo is ours */
    bool failed;    /* not tried again */
    char before[2][SYSCTL_VALUE_MAX];
};

/**
 * local_follow() - serve the IPv4 addresses of @scan, and no others any longer.
 * @local: zero at first.
 * @taps:  for each of scan->links the number of its TAP, or 0.
 * Return: 0, also when the host's kernel has not the actions that it takes (CONFIG_NET_ACT_NAT,
 * CONFIG_NET_ACT_PEDIT, CONFIG_NET_ACT_SKBEDIT), or a negative errno with nothing left behind.
 * Everything else works without.
 */
int local_follow(struct local *local, struct kernel *kernel, const struct scan *scan,
                 const int *taps, struct error *err);

/* Takes everything of ours off the loopback interface. What is on TAPs goes with them. */
void local_undo(struct local *local, struct kernel *kernel);

/* Likewise for what a predecessor that was killed has left. */
void local_clear(struct kernel *kernel);

#endif
