/* The control queue (virtio 1.2 §5.1.6.5): commands, each a chain that ends in one byte of answer.
 */
#include <endian.h>
#include <string.h>

#include "vmm/virtio/net_internal.h"

/* Commands taken in one turn. */
#define TURN_COMMANDS 16u

#define VLAN_MAX 4095u

/* What follows class and command: parts of guest memory, copied piece by piece. */
struct reader {
    const struct iovec *iov;
    unsigned int count;
    size_t offset;
};

static bool take(struct reader *in, void *to, size_t length)
{
    size_t done = iov_read(in->iov, in->count, in->offset, to, length);

    in->offset += done;
    return done == length;
}

/* §5.1.6.5.1 */
static bool set_receive_mode(struct net *net, uint8_t command, struct reader *in)
{
    struct net_filter *filter = &net->filter;
    bool *const modes[] = {
        [VIRTIO_NET_CTRL_RX_PROMISC] = &filter->promiscuous,
        [VIRTIO_NET_CTRL_RX_ALLMULTI] = &filter->all_multicast,
        [VIRTIO_NET_CTRL_RX_ALLUNI] = &filter->all_unicast,
        [VIRTIO_NET_CTRL_RX_NOMULTI] = &filter->no_multicast,
        [VIRTIO_NET_CTRL_RX_NOUNI] = &filter->no_unicast,
        [VIRTIO_NET_CTRL_RX_NOBCAST] = &filter->no_broadcast,
    };
    uint64_t needed =
        command <= VIRTIO_NET_CTRL_RX_ALLMULTI ? NET_FEATURE(CTRL_RX) : NET_FEATURE(CTRL_RX_EXTRA);
    uint8_t on;

    if (command >= sizeof(modes) / sizeof(modes[0]) || !(net->features & needed) ||
        !take(in, &on, sizeof(on)))
        return false;
    net_hold(net, true);
    *modes[command] = on != 0;
    net_hold(net, false);
    return true;
}

/*
 * One list of addresses, appended to those in @filter. §5.1.6.5.2.2: when there are more than fit,
 * all are to pass. Return: false when the list is longer than the command.
 */
static bool take_addresses(struct net_filter *filter, struct reader *in, unsigned int *count,
                           bool *overflow)
{
    unsigned int room = NET_FILTER_MAX - filter->unicast;
    uint64_t length;
    uint32_t entries;

    if (!take(in, &entries, sizeof(entries)))
        return false;
    entries = le32toh(entries);
    length = (uint64_t)entries * ETH_ALEN;
    if (length > iov_length(in->iov, in->count) - in->offset)
        return false;
    *overflow = entries > room;
    *count = *overflow ? 0 : entries;
    take(in, filter->table[filter->unicast], (size_t)*count * ETH_ALEN);
    if (*overflow)
        in->offset += length;
    return true;
}

static bool set_address_table(struct net *net, struct reader *in)
{
    struct net_filter filter = net->filter;
    unsigned int unicast, multicast;

    filter.unicast = filter.multicast = 0;
    if (!take_addresses(&filter, in, &unicast, &filter.unicast_overflow))
        return false;
    filter.unicast = unicast;
    if (!take_addresses(&filter, in, &multicast, &filter.multicast_overflow))
        return false;
    filter.multicast = multicast;
    net_hold(net, true);
    net->filter = filter;
    net_hold(net, false);
    return true;
}

/* §5.1.6.5.2 */
static bool set_addresses(struct net *net, uint8_t command, struct reader *in)
{
    uint8_t mac[ETH_ALEN];

    if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET)
        return net->features & NET_FEATURE(CTRL_RX) && set_address_table(net, in);
    if (command != VIRTIO_NET_CTRL_MAC_ADDR_SET || !(net->features & NET_FEATURE(CTRL_MAC_ADDR)) ||
        !take(in, mac, sizeof(mac)))
        return false;
    net_hold(net, true);
    memcpy(net->filter.mac, mac, sizeof(mac));
    net->filter.has_mac = true;
    memcpy(net->config.mac, mac, sizeof(mac));
    net_hold(net, false);
    return true;
}

/*
 * §5.1.6.5.3: filtering is best-effort, and a container on a veth sees all VLANs. Nothing is
 * filtered.
 */
static bool set_vlan(struct net *net, uint8_t command, struct reader *in)
{
    uint16_t vlan;

    return net->features & NET_FEATURE(CTRL_VLAN) && command <= VIRTIO_NET_CTRL_VLAN_DEL &&
           take(in, &vlan, sizeof(vlan)) && le16toh(vlan) <= VLAN_MAX;
}

/* §5.1.6.5.5 */
static bool set_pairs(struct net *net, uint8_t command, struct reader *in)
{
    uint16_t pairs;

    if (!(net->features & NET_FEATURE(MQ)) || command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
        !take(in, &pairs, sizeof(pairs)))
        return false;
    pairs = le16toh(pairs);
    return pairs > 0 && pairs <= net->pair_count && net_set_pairs(net, pairs) == 0;
}

/* §5.1.6.5.6 */
static bool set_offloads(struct net *net, uint8_t command, struct reader *in)
{
    const uint64_t possible = NET_FEATURE(GUEST_CSUM) | NET_FEATURE(GUEST_TSO4) |
                              NET_FEATURE(GUEST_TSO6) | NET_FEATURE(GUEST_ECN) |
                              NET_FEATURE(GUEST_USO4) | NET_FEATURE(GUEST_USO6);
    uint64_t wanted;

    if (!(net->features & NET_FEATURE(CTRL_GUEST_OFFLOADS)) ||
        command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || !take(in, &wanted, sizeof(wanted)))
        return false;
    wanted = le64toh(wanted);
    if (wanted & ~(net->features & possible))
        return false;
    net_hold(net, true);
    net->offloads = net_features_effective(wanted);
    net_hold(net, false);
    return net_set_offloads(net) == 0;
}

static bool run_command(struct net *net, struct reader *in)
{
    struct virtio_net_ctrl_hdr header;

    if (!take(in, &header, sizeof(header)))
        return false;
    switch (header.class) {
    case VIRTIO_NET_CTRL_RX:
        return set_receive_mode(net, header.cmd, in);
    case VIRTIO_NET_CTRL_MAC:
        return set_addresses(net, header.cmd, in);
    case VIRTIO_NET_CTRL_VLAN:
        return set_vlan(net, header.cmd, in);
    case VIRTIO_NET_CTRL_MQ:
        return set_pairs(net, header.cmd, in);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return set_offloads(net, header.cmd, in);
    default:
        return false;
    }
}

static uint32_t handle(struct virtio_device *virtio, const struct virtqueue_chain *chain)
{
    struct net *net = (struct net *)virtio;
    struct reader in = { .iov = chain->iov, .count = chain->out_count };
    virtio_net_ctrl_ack ack = run_command(net, &in) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;

    return (uint32_t)iov_write(&chain->iov[chain->out_count], chain->in_count, 0, &ack,
                               sizeof(ack));
}

void net_control_run(struct net *net)
{
    /* §5.1.2: behind the queues of one pair, unless there are more pairs to be used. */
    unsigned int pairs = net->features & NET_FEATURE(MQ) ? net->pair_count : 1;
    struct virtqueue *queue = &net->virtio.queues[2 * pairs];

    if (!virtio_device_active(&net->virtio) || !(net->features & NET_FEATURE(CTRL_VQ)) ||
        !virtqueue_has_next(queue))
        return;
    virtio_device_serve(&net->virtio, queue, TURN_COMMANDS, handle);
    if (virtio_device_active(&net->virtio))
        return;
    net_hold(net, true);
    for (unsigned int i = 0; i < net->pair_count; i++)
        net->pairs[i].running = false;
    net_hold(net, false);
}
