/* Filters on the host's end of a link. */
#include "guard.h"

#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <stddef.h>

#include "hooks/net/tc.h"

/* Asked in this order; nothing of others is on a link that was just made. */
enum { PRIORITY_ADDRESS = 1, PRIORITY_ARP, PRIORITY_REST };

/*
 * @sender: of IPv4, host byte order; 0: any frame of the protocol. PRIORITY_REST goes back to where
 * it came from: the action made for dropping is CONFIG_NET_ACT_GACT, which not every kernel has
 * that can redirect; vmrt-net needs that one anyway.
 */
static int add_filter(struct kernel *kernel, int index, unsigned int priority, uint16_t protocol,
                      uint32_t sender)
{
    const struct tc_place place = {
        .link = index, .direction = TC_INGRESS, .priority = priority, .protocol = protocol
    };
    const struct tc_key key = { .at = offsetof(struct iphdr, saddr),
                                .value = sender,
                                .mask = UINT32_MAX };
    struct tc_filter filter;

    tc_filter_begin(&filter, &place, &key, sender != 0);
    if (priority == PRIORITY_REST)
        tc_filter_redirect(&filter, index, false);
    return tc_filter_add(kernel, &filter);
}

int guard_add(struct kernel *kernel, int index, uint32_t address, struct error *err)
{
    int ret = tc_qdisc_add(kernel, index);

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
