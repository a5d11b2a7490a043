/* Filters on the host's end of a link. */
#include "guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stddef.h>

#include "hooks/net/mirred.h"

/* Asked in this order; nothing of others is on a link that was just made. */
enum { PRIORITY_ADDRESS = 1, PRIORITY_ARP, PRIORITY_REST };

static int add_qdisc(struct kernel *kernel, int index)
{
    const struct tcmsg tc = { .tcm_family = AF_UNSPEC,
                              .tcm_ifindex = index,
                              .tcm_parent = TC_H_CLSACT,
                              .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0) };
    struct nl_msg *message =
        kernel_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));

    if (message && nla_put_string(message, TCA_KIND, "clsact") < 0) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    return kernel_request(kernel, message);
}

/*
 * @sender: of IPv4, host byte order; 0: any frame of the protocol. @pass: up the host's stack;
 * otherwise back to where it came from. The action made for dropping is CONFIG_NET_ACT_GACT, which
 * not every kernel has that can redirect; vmrt-net needs that one anyway.
 */
static int put_filter(struct nl_msg *message, int index, uint32_t sender, bool pass)
{
    const struct {
        struct tc_u32_sel sel;
        struct tc_u32_key key;
    } match = {
        .sel = { .flags = TC_U32_TERMINAL, .nkeys = sender != 0 },
        .key = { .val = htonl(sender), .mask = UINT32_MAX, .off = offsetof(struct iphdr, saddr) },
    };
    const size_t size = sizeof(match.sel) + (sender ? sizeof(match.key) : 0);
    struct nlattr *options;
    int ret;

    if (nla_put_string(message, TCA_KIND, "u32") < 0 ||
        !(options = nla_nest_start(message, TCA_OPTIONS)) ||
        nla_put(message, TCA_U32_SEL, (int)size, &match) < 0)
        return -ENOMEM;
    /* Without an action the verdict is TC_ACT_OK. */
    ret = pass ? 0 : mirred_put(message, true, index);
    nla_nest_end(message, options);
    return ret;
}

static int add_filter(struct kernel *kernel, int index, unsigned int priority, uint16_t protocol,
                      uint32_t sender)
{
    const struct tcmsg tc = { .tcm_family = AF_UNSPEC,
                              .tcm_ifindex = index,
                              .tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                              .tcm_info = TC_H_MAKE(priority << 16, htons(protocol)) };
    struct nl_msg *message =
        kernel_message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));

    if (message && put_filter(message, index, sender, priority != PRIORITY_REST) < 0) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    return kernel_request(kernel, message);
}

int guard_add(struct kernel *kernel, int index, uint32_t address, struct error *err)
{
    int ret = add_qdisc(kernel, index);

    if (ret == 0)
        ret = add_filter(kernel, index, PRIORITY_ADDRESS, ETH_P_IP, address);
    if (ret == 0)
        ret = add_filter(kernel, index, PRIORITY_ARP, ETH_P_ARP, 0);
    if (ret == 0)
        ret = add_filter(kernel, index, PRIORITY_REST, ETH_P_ALL, 0);
    return ret < 0 ? kernel_fail(kernel, ret,
                                 "CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_U32 and "
                                 "CONFIG_NET_ACT_MIRRED",
                                 err, "filter senders (tc filter u32)")
                   : 0;
}
