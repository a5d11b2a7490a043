/* virtio-net: the device as the driver's registers see it, its making and its end. See net.h. */
#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/virtio/net_internal.h"

/* Mbit/s and full duplex, as veth says. */
#define LINK_SPEED 10000u
#define LINK_FULL  1u

/*
 * Offered always; the rest depends on what the TAP takes and what the caller knows. Never MTU: to
 * Linux that is the largest ever (drivers/net/virtio_net.c, dev->max_mtu), and the host's interface
 * may get a larger one later. Buffers are merged, so that any packet fits without it.
 */
#define FEATURES_ALWAYS                                                                           \
    (NET_FEATURE(STATUS) | NET_FEATURE(MRG_RXBUF) | NET_FEATURE(CTRL_VQ) | NET_FEATURE(CTRL_RX) | \
     NET_FEATURE(CTRL_RX_EXTRA) | NET_FEATURE(CTRL_VLAN) | NET_FEATURE(CTRL_MAC_ADDR) |           \
     NET_FEATURE(SPEED_DUPLEX))

static const struct {
    uint32_t offloads; /* all of these TUN_F_* … */
    uint64_t features; /* … allow to offer these */
} offered[] = {
    { TUN_F_CSUM, NET_FEATURE(CSUM) | NET_FEATURE(GUEST_CSUM) | NET_FEATURE(CTRL_GUEST_OFFLOADS) },
    { TUN_F_CSUM | TUN_F_TSO4, NET_FEATURE(HOST_TSO4) | NET_FEATURE(GUEST_TSO4) },
    { TUN_F_CSUM | TUN_F_TSO6, NET_FEATURE(HOST_TSO6) | NET_FEATURE(GUEST_TSO6) },
    { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN, NET_FEATURE(HOST_ECN) | NET_FEATURE(GUEST_ECN) },
    { TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6,
      NET_FEATURE(HOST_USO) | NET_FEATURE(GUEST_USO4) | NET_FEATURE(GUEST_USO6) },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct net *from_virtio(struct virtio_device *virtio)
{
    return (struct net *)virtio;
}

void net_hold(struct net *net, bool held)
{
    if (held)
        atomic_store(&net->holding, true);
    for (unsigned int i = 0; i < net->pair_count; i++) {
        if (held)
            pthread_mutex_lock(&net->pairs[i].lock);
        else
            pthread_mutex_unlock(&net->pairs[i].lock);
    }
    if (!held)
        atomic_store(&net->holding, false);
}

static void hold(struct virtio_device *virtio, bool held)
{
    net_hold(from_virtio(virtio), held);
}

static void read_config(struct virtio_device *virtio, uint32_t offset, void *data, uint32_t length)
{
    const struct net *net = from_virtio(virtio);

    virtio_config_copy(&net->config, sizeof(net->config), offset, data, length);
}

/* The TAP follows later, in the worker's thread: a vCPU's may not make such calls. */
static void settle_later(struct net *net)
{
    net->unsettled = true;
    virtio_device_kick_again(&net->virtio);
}

static void activate(struct virtio_device *virtio)
{
    struct net *net = from_virtio(virtio);

    net->features = net_features_effective(virtio->driver_features);
    net->offloads = net->features &
                    (NET_FEATURE(GUEST_CSUM) | NET_FEATURE(GUEST_TSO4) | NET_FEATURE(GUEST_TSO6) |
                     NET_FEATURE(GUEST_ECN) | NET_FEATURE(GUEST_USO4) | NET_FEATURE(GUEST_USO6));
    for (unsigned int i = 0; i < net->pair_count; i++) {
        struct net_pair *pair = &net->pairs[i];

        pair->running = pair->vhost_fd < 0 && (i == 0 || net->features & NET_FEATURE(MQ));
        pair->tap_ready = pair->tx_ready = true;
        pair->starved = false;
    }
    settle_later(net);
}

static void reset(struct virtio_device *virtio)
{
    struct net *net = from_virtio(virtio);

    for (unsigned int i = 0; i < net->pair_count; i++) {
        net->pairs[i].running = false;
        net_vhost_stop(&net->pairs[i]);
        net_receive_reset(&net->pairs[i].receive);
    }
    net->features = net->offloads = 0;
    net_filter_reset(net);
    settle_later(net);
}

static void stop_queue(struct virtio_device *virtio, unsigned int index)
{
    struct net *net = from_virtio(virtio);

    /* The control queue, which may have a pair's number, is served within the lock. */
    if (index / 2 >= net->pair_count)
        return;
    net_vhost_stop_ring(&net->pairs[index / 2], index % 2);
    if (index % 2 == 0)
        net_receive_reset(&net->pairs[index / 2].receive);
}

static const struct virtio_ops net_ops = {
    .name = "net",
    .id = VIRTIO_ID_NET,
    .queue_size = NET_QUEUE_SIZE,
    .read_config = read_config,
    .activate = activate,
    .reset = reset,
    .stop_queue = stop_queue,
    .hold = hold,
};

static uint64_t features_offered(const struct net_config *config)
{
    uint64_t features = FEATURES_ALWAYS;

    for (size_t i = 0; i < COUNT(offered); i++)
        if ((config->offloads & offered[i].offloads) == offered[i].offloads)
            features |= offered[i].features;
    if (config->mac)
        features |= NET_FEATURE(MAC);
    if (config->pairs > 1)
        features |= NET_FEATURE(MQ);
    return features;
}

static void describe(struct net *net, const struct net_config *config)
{
    net->config = (struct virtio_net_config) {
        .status = htole16(config->link ? VIRTIO_NET_S_LINK_UP : 0),
        .max_virtqueue_pairs = htole16((uint16_t)config->pairs),
        .speed = htole32(LINK_SPEED),
        .duplex = LINK_FULL,
    };
    if (config->mac)
        memcpy(net->mac, config->mac, ETH_ALEN);
    net_filter_reset(net);
}

/* @vhost_fd: -1 for a pair that a worker serves. */
static int create_pair(struct net *net, unsigned int index, int tap_fd, int vhost_fd)
{
    struct net_pair *pair = &net->pairs[index];

    pair->net = net;
    pair->index = index;
    pair->attached = true;
    pair->tap_fd = tap_fd;
    pthread_mutex_init(&pair->lock, NULL);
    pair->receive.spill = malloc(NET_PACKET_MAX);
    if (!pair->receive.spill)
        return -ENOMEM;
    if (vhost_fd >= 0)
        return net_vhost_create(pair, vhost_fd);
    if (net->pair_count == 1)
        return 0;
    pair->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return pair->kick_fd < 0 ? -errno : 0;
}

int net_create(struct net **created, const struct net_config *config, struct error *err)
{
    struct net *net;
    int ret = 0;

    if (config->pairs == 0 || config->pairs > NET_PAIRS_MAX)
        return error_set(err, EINVAL, "network device: expected 1 to %u queue pairs, not %u",
                         NET_PAIRS_MAX, config->pairs);
    net = calloc(1, sizeof(*net));
    if (net)
        net->pairs = calloc(config->pairs, sizeof(*net->pairs));
    if (!net || !net->pairs) {
        free(net);
        return error_set(err, ENOMEM, "out of memory");
    }
    net->ops = net_ops;
    net->ops.features = features_offered(config);
    net->ops.queue_count = (uint16_t)(2 * config->pairs + 1);
    virtio_device_init(&net->virtio, &net->ops, config->memory, config->kick_fd,
                       config->interrupt_fd);
    net->workers = config->workers;
    net->pair_count = config->pairs;
    net->tap_offloads = config->offloads;
    describe(net, config);
    if (config->vhost_fds) {
        /* KVM signals the kernel by the queue's number: it must not be the control queue's. */
        net->ops.features_needed = net->ops.features & NET_FEATURE(MQ);
        net->virtio.interrupt_always = VIRTIO_MMIO_INT_VRING;
    }
    for (unsigned int i = 0; i < net->pair_count; i++)
        net->pairs[i] = (struct net_pair) {
            .kick_fd = -1, .tap_fd = -1, .vhost_fd = -1, .vhost_kicks = { -1, -1 }
        };
    for (unsigned int i = 0; i < net->pair_count && ret == 0; i++)
        ret =
            create_pair(net, i, config->tap_fds[i], config->vhost_fds ? config->vhost_fds[i] : -1);
    /* From here on the workers know the device. */
    for (unsigned int i = 0; i < net->pair_count && ret == 0; i++)
        ret = net_worker_add(net->workers, &net->pairs[i], net->workers->next + i);
    if (ret < 0) {
        /* The caller keeps its descriptors. */
        for (unsigned int i = 0; i < net->pair_count; i++) {
            net_worker_remove(&net->pairs[i]);
            net->pairs[i].tap_fd = net->pairs[i].vhost_fd = -1;
        }
        net_destroy(net);
        return error_set(err, -ret, "network device: %s", strerror(-ret));
    }
    net->workers->next += net->pair_count;
    pthread_mutex_lock(&net->virtio.lock);
    settle_later(net);
    pthread_mutex_unlock(&net->virtio.lock);
    *created = net;
    return 0;
}

void net_destroy(struct net *net)
{
    if (!net)
        return;
    for (unsigned int i = 0; i < net->pair_count; i++)
        net_worker_remove(&net->pairs[i]);
    for (unsigned int i = 0; i < net->pair_count; i++) {
        net_vhost_destroy(&net->pairs[i]);
        fd_close(&net->pairs[i].kick_fd);
        fd_close(&net->pairs[i].tap_fd);
        free(net->pairs[i].receive.spill);
        if (net->pairs[i].net)
            pthread_mutex_destroy(&net->pairs[i].lock);
    }
    virtio_device_destroy(&net->virtio);
    free(net->pairs);
    free(net);
}

struct virtio_device *net_virtio(struct net *net)
{
    return &net->virtio;
}

unsigned int net_kick_count(const struct net *net)
{
    return net->pair_count > 1 || net->pairs[0].vhost_fd >= 0 ? net->ops.queue_count : 0;
}

int net_queue_kick_fd(const struct net *net, unsigned int queue)
{
    const struct net_pair *pair = &net->pairs[queue / 2];

    if (queue / 2 < net->pair_count && pair->vhost_fd >= 0)
        return pair->vhost_kicks[queue % 2];
    return queue / 2 < net->pair_count && pair->kick_fd >= 0 ? pair->kick_fd : net->virtio.kick_fd;
}

bool net_link(struct net *net)
{
    bool up;

    pthread_mutex_lock(&net->virtio.lock);
    up = net->config.status & htole16(VIRTIO_NET_S_LINK_UP);
    pthread_mutex_unlock(&net->virtio.lock);
    return up;
}

void net_set_link(struct net *net, bool up)
{
    pthread_mutex_lock(&net->virtio.lock);
    up = up && !net->gone;
    if (up != net_link(net)) {
        net->config.status ^= htole16(VIRTIO_NET_S_LINK_UP);
        virtio_device_config_changed(&net->virtio);
    }
    pthread_mutex_unlock(&net->virtio.lock);
}

static void part_descriptors(struct net *net, bool close_them)
{
    pthread_mutex_lock(&net->virtio.lock);
    net->gone = true;
    net_hold(net, true);
    for (unsigned int i = 0; i < net->pair_count; i++) {
        net_vhost_stop(&net->pairs[i]);
        net_worker_forget_tap(&net->pairs[i]);
        if (close_them)
            fd_close(&net->pairs[i].tap_fd);
        else
            net->pairs[i].tap_fd = net->pairs[i].vhost_fd = -1;
    }
    net_hold(net, false);
    net_set_link(net, false);
    pthread_mutex_unlock(&net->virtio.lock);
}

void net_forget_descriptors(struct net *net)
{
    part_descriptors(net, false);
}

void net_detach(struct net *net)
{
    part_descriptors(net, true);
}

void net_handle_trouble(struct net *net, unsigned int trouble)
{
    if (trouble & NET_TROUBLE_GONE)
        net_detach(net);
    if (!(trouble & NET_TROUBLE_BROKEN))
        return;
    pthread_mutex_lock(&net->virtio.lock);
    net_hold(net, true);
    /* Unless the driver has reset the device since. */
    for (unsigned int i = 0; i < net->ops.queue_count; i++)
        if (net->virtio.queues[i].broken)
            virtio_device_broken(&net->virtio, "the driver broke the rules of virtqueues");
    for (unsigned int i = 0; i < net->pair_count; i++)
        net->pairs[i].running = net->pairs[i].running && virtio_device_active(&net->virtio);
    net_hold(net, false);
    pthread_mutex_unlock(&net->virtio.lock);
}
