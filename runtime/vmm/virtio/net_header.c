/* What driver and TAP say about a packet (virtio 1.2 §5.1.6): checked, and cut to what is true. */
#include <endian.h>

#include "vmm/virtio/net_internal.h"

/* Kinds of segmentation, and the features that allow them in either direction. */
static const struct {
    uint8_t type;
    uint64_t transmit, receive;
} kinds[] = {
    { VIRTIO_NET_HDR_GSO_TCPV4, NET_FEATURE(HOST_TSO4), NET_FEATURE(GUEST_TSO4) },
    { VIRTIO_NET_HDR_GSO_TCPV6, NET_FEATURE(HOST_TSO6), NET_FEATURE(GUEST_TSO6) },
    { VIRTIO_NET_HDR_GSO_UDP_L4, NET_FEATURE(HOST_USO),
      NET_FEATURE(GUEST_USO4) | NET_FEATURE(GUEST_USO6) },
};

/* §5.1.3.1: a feature without the one in the second column is as good as not negotiated. */
static const struct {
    uint64_t features, needs;
} dependencies[] = {
    { NET_FEATURE(HOST_TSO4) | NET_FEATURE(HOST_TSO6) | NET_FEATURE(HOST_USO), NET_FEATURE(CSUM) },
    { NET_FEATURE(GUEST_TSO4) | NET_FEATURE(GUEST_TSO6) | NET_FEATURE(GUEST_USO4) |
          NET_FEATURE(GUEST_USO6),
      NET_FEATURE(GUEST_CSUM) },
    { NET_FEATURE(HOST_ECN), NET_FEATURE(HOST_TSO4) | NET_FEATURE(HOST_TSO6) },
    { NET_FEATURE(GUEST_ECN), NET_FEATURE(GUEST_TSO4) | NET_FEATURE(GUEST_TSO6) },
    { NET_FEATURE(CTRL_RX) | NET_FEATURE(CTRL_RX_EXTRA) | NET_FEATURE(CTRL_VLAN) |
          NET_FEATURE(CTRL_MAC_ADDR) | NET_FEATURE(CTRL_GUEST_OFFLOADS) | NET_FEATURE(MQ),
      NET_FEATURE(CTRL_VQ) },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

uint64_t net_features_effective(uint64_t features)
{
    for (size_t i = 0; i < COUNT(dependencies); i++)
        if (!(features & dependencies[i].needs))
            features &= ~dependencies[i].features;
    return features;
}

/* The features that allow packets of @gso_type, one of which is enough; 0: nothing allows them. */
static uint64_t kind_features(uint8_t gso_type, bool transmit)
{
    uint8_t type = (uint8_t)(gso_type & ~VIRTIO_NET_HDR_GSO_ECN);

    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].type == type)
            return transmit ? kinds[i].transmit : kinds[i].receive;
    return 0;
}

static bool check_segmentation(struct virtio_net_hdr_v1 *header, uint64_t features, bool transmit)
{
    uint64_t ecn = transmit ? NET_FEATURE(HOST_ECN) : NET_FEATURE(GUEST_ECN);

    if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        header->gso_size = 0;
        return true;
    }
    /* §5.1.6.2.1: a packet that is to be cut needs its checksum computed. */
    return features & kind_features(header->gso_type, transmit) && header->gso_size != 0 &&
           header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
           (!(header->gso_type & VIRTIO_NET_HDR_GSO_ECN) || features & ecn);
}

bool net_header_check_transmit(struct virtio_net_hdr_v1 *header, uint64_t features, uint64_t length)
{
    if (length < ETH_HLEN || length > NET_PACKET_MAX)
        return false;
    /* §5.1.6.2.2: other flags are to be ignored. */
    header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->num_buffers = 0;
    if (header->flags) {
        uint32_t end = (uint32_t)le16toh(header->csum_start) + le16toh(header->csum_offset) + 2;

        if (!(features & NET_FEATURE(CSUM)) || end > length ||
            le16toh(header->csum_start) < ETH_HLEN)
            return false;
    } else {
        header->csum_start = header->csum_offset = 0;
    }
    /* §5.1.6.2.2: only a hint. The TAP insists that it be possible. */
    if (le16toh(header->hdr_len) < ETH_HLEN || le16toh(header->hdr_len) > length)
        header->hdr_len = 0;
    return check_segmentation(header, features, true);
}

bool net_header_check_receive(struct virtio_net_hdr_v1 *header, uint64_t offloads)
{
    header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
    if (!(offloads & NET_FEATURE(GUEST_CSUM))) {
        /* It was in the TAP before the driver changed its mind; there is nobody to finish it. */
        if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
            return false;
        header->flags = 0;
    }
    return check_segmentation(header, offloads, false);
}
