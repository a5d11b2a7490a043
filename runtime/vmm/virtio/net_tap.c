/* The TAP behind a network device: what it takes, and making it what the driver negotiated. */
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/virtio/net_internal.h"

/* TUN_F_* for the GUEST features in force. */
static const struct {
    uint64_t features;
    uint32_t offloads;
} offload_bits[] = {
    { NET_FEATURE(GUEST_CSUM), TUN_F_CSUM },
    { NET_FEATURE(GUEST_TSO4), TUN_F_TSO4 },
    { NET_FEATURE(GUEST_TSO6), TUN_F_TSO6 },
    { NET_FEATURE(GUEST_ECN), TUN_F_TSO_ECN },
    /* The kernel knows them only together. */
    { NET_FEATURE(GUEST_USO4) | NET_FEATURE(GUEST_USO6), TUN_F_USO4 | TUN_F_USO6 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int net_probe_tap(int tap_fd, uint32_t *offloads, struct error *err)
{
    static const uint32_t sets[] = {
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, /* before Linux 6.2 */
        TUN_F_CSUM,
    };
    const short needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int header_size = NET_HEADER_SIZE, on = 1;
    struct ifreq request = { 0 };

    if (ioctl(tap_fd, TUNGETIFF, &request) < 0)
        return error_set_errno(err, "network device: expected a TAP device");
    if ((request.ifr_flags & needed) != needed)
        return error_set(err, EINVAL, "%.*s: expected a TAP with IFF_NO_PI and IFF_VNET_HDR",
                         IFNAMSIZ, request.ifr_name);
    if (ioctl(tap_fd, FIONBIO, &on) < 0 || ioctl(tap_fd, TUNSETVNETHDRSZ, &header_size) < 0)
        return error_set_errno(err, "%.*s: set up", IFNAMSIZ, request.ifr_name);
    *offloads = 0;
    for (size_t i = 0; i < COUNT(sets) && !*offloads; i++)
        if (ioctl(tap_fd, TUNSETOFFLOAD, (unsigned long)sets[i]) == 0)
            *offloads = sets[i];
    if (ioctl(tap_fd, TUNSETOFFLOAD, 0ul) < 0)
        return error_set_errno(err, "%.*s: TUNSETOFFLOAD", IFNAMSIZ, request.ifr_name);
    return 0;
}

/* A descriptor that carries packets and is no TAP has nothing to be set: tests use sockets. */
static int result(int ret)
{
    return ret < 0 && errno != ENOTTY ? -errno : 0;
}

int net_set_offloads(struct net *net)
{
    unsigned long offloads = 0;

    if (net->gone)
        return 0;
    for (size_t i = 0; i < COUNT(offload_bits); i++)
        if ((net->offloads & offload_bits[i].features) == offload_bits[i].features)
            offloads |= offload_bits[i].offloads;
    return result(ioctl(net->pairs[0].tap_fd, TUNSETOFFLOAD, offloads));
}

/* The flag that the queue's reader goes by is down whenever the TAP's queue is not there. */
static int attach(struct net_pair *pair, bool attached)
{
    struct ifreq request = { .ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
    int ret;

    if (!attached) {
        pthread_mutex_lock(&pair->lock);
        pair->attached = false;
        pthread_mutex_unlock(&pair->lock);
    }
    ret = result(ioctl(pair->tap_fd, TUNSETQUEUE, &request));
    if (ret < 0 || !attached)
        return ret;
    pthread_mutex_lock(&pair->lock);
    pair->attached = pair->tap_ready = true;
    pthread_mutex_unlock(&pair->lock);
    return 0;
}

int net_set_pairs(struct net *net, unsigned int count)
{
    int ret = 0;

    for (unsigned int i = 1; i < net->pair_count && !net->gone; i++) {
        struct net_pair *pair = &net->pairs[i];
        bool wanted = i < count;
        int one = pair->attached == wanted ? 0 : attach(pair, wanted);

        if (ret == 0)
            ret = one;
        /* Its worker looks at the TAP without being told by it. */
        if (pair->attached && pair->vhost_fd < 0)
            net_worker_wake(pair);
    }
    return ret;
}

/* Once the driver is ready; net_vhost_stop() needs no thread of its own. */
static void start_vhost(struct net *net)
{
    bool mq = net->features & NET_FEATURE(MQ);
    int ret = 0;

    if (!virtio_device_active(&net->virtio) || net->gone)
        return;
    for (unsigned int i = 0; i < (mq ? net->pair_count : 1) && ret == 0; i++) {
        if (net->pairs[i].vhost_fd >= 0)
            ret = net_vhost_start(&net->pairs[i]);
        /* A driver that leaves out queues it has no use for is within its rights. */
        if (ret == -ENODATA)
            ret = 0;
    }
    /* The TAP is no business of the driver's. */
    if (ret == -ENODEV)
        net_detach(net);
    else if (ret < 0)
        virtio_device_broken(&net->virtio, "vhost-net refuses the driver's queues");
}

void net_settle(struct net *net)
{
    if (!net->unsettled)
        return;
    net->unsettled = false;
    /* What fails here fails because the TAP is gone: its readers or start_vhost() find out. */
    net_set_offloads(net);
    net_set_pairs(net, 1);
    start_vhost(net);
}
