/* Which packets the driver wants (virtio 1.2 §5.1.6.5.1 and §5.1.6.5.2). */
#include <string.h>

#include "vmm/virtio/net_internal.h"

static const uint8_t broadcast[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* Everything, until the driver says what it wants: one without a control queue never does. */
void net_filter_reset(struct net *net)
{
    memset(&net->filter, 0, sizeof(net->filter));
    net->filter.promiscuous = true;
    net->filter.has_mac = net->ops.features & NET_FEATURE(MAC);
    memcpy(net->filter.mac, net->mac, ETH_ALEN);
    memcpy(net->config.mac, net->mac, ETH_ALEN);
}

static bool in_table(const struct net_filter *filter, unsigned int first, unsigned int count,
                     const uint8_t *address)
{
    for (unsigned int i = first; i < first + count; i++)
        if (memcmp(filter->table[i], address, ETH_ALEN) == 0)
            return true;
    return false;
}

bool net_filter_wants(const struct net_filter *filter, const uint8_t *address)
{
    if (filter->promiscuous)
        return true;
    if (memcmp(address, broadcast, ETH_ALEN) == 0)
        return !filter->no_broadcast;
    if (address[0] & 1) {
        if (filter->no_multicast)
            return false;
        return filter->all_multicast || filter->multicast_overflow ||
               in_table(filter, filter->unicast, filter->multicast, address);
    }
    if (filter->no_unicast)
        return false;
    return filter->all_unicast || filter->unicast_overflow || !filter->has_mac ||
           memcmp(filter->mac, address, ETH_ALEN) == 0 ||
           in_table(filter, 0, filter->unicast, address);
}
