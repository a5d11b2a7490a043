/*
 * tc-u32(8) filters and their actions on the interfaces of one namespace: the parts that redirects
 * are made of. What is said here in netlink messages is what tc(8) would say.
 */
#ifndef VMRT_HOOKS_NET_TC_H
#define VMRT_HOOKS_NET_TC_H

#include <linux/pkt_sched.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"

/* The two directions of an interface with a clsact qdisc. */
#define TC_INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define TC_EGRESS  TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

/* Compared at `at` bytes after the start of the network header; 4 bytes each, host byte order. */
struct tc_key {
    int at;
    uint32_t value, mask;
};

#define TC_KEYS_MAX 4

/* Where a filter is. All of one place are asked together; lower priorities first. */
struct tc_place {
    int link;              /* interface number */
    uint32_t direction;    /* TC_INGRESS or TC_EGRESS */
    unsigned int priority; /* 1 to 65535 */
    uint16_t protocol;     /* ETH_P_*; one for each priority */
};

/* A filter being written. What fails on the way is told by tc_filter_add(). */
struct tc_filter {
    struct nl_msg *message;
    struct nlattr *options, *actions;
    int action_count;
    bool failed;
};

/* A clsact qdisc (linux/pkt_sched.h). Return: 0 or a negative errno; -EEXIST: there is one. */
int tc_qdisc_add(struct kernel *kernel, int link);
int tc_qdisc_delete(struct kernel *kernel, int link);

/**
 * tc_filter_begin() - start a filter for frames with all of @keys.
 * Without an action its verdict is TC_ACT_OK: the frame goes on, and no later filter is asked.
 * @count: of @keys, at most TC_KEYS_MAX; 0: any frame of the protocol.
 */
void tc_filter_begin(struct tc_filter *filter, const struct tc_place *place,
                     const struct tc_key *keys, size_t count);

/* A copy of the frame is sent by the interface @to; the frame goes on. */
void tc_filter_mirror(struct tc_filter *filter, int to);
/* The frame leaves by the interface @to, or, with @arrive, arrives on it. The last action. */
void tc_filter_redirect(struct tc_filter *filter, int to, bool arrive);
/* Replaces the IPv4 address @from, the source or the destination, by @to; host byte order. */
void tc_filter_nat(struct tc_filter *filter, bool source, uint32_t from, uint32_t to);
/* Sets the Ethernet destination. */
void tc_filter_set_mac(struct tc_filter *filter, const uint8_t mac[6]);
/* The frame counts as addressed to this host, whatever its Ethernet destination. */
void tc_filter_accept(struct tc_filter *filter);

/* Return: 0 or a negative errno with kernel->reason. */
int tc_filter_add(struct kernel *kernel, struct tc_filter *filter);

/* Every filter of the place. Return: 0, -ENOENT and others: there was none. */
int tc_filters_delete(struct kernel *kernel, const struct tc_place *place);

#endif
