/* Shared by the files of virtio-net: see net.h for how they work together. */
#ifndef VMRT_VMM_VIRTIO_NET_INTERNAL_H
#define VMRT_VMM_VIRTIO_NET_INTERNAL_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/virtio/net.h"

/* Linux 6.2 and virtio 1.2 have these, the headers of older systems do not. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NET_FEATURE(name) (1ull << VIRTIO_NET_F_##name)

#define NET_QUEUE_SIZE  256u
#define NET_HEADER_SIZE ((uint32_t)sizeof(struct virtio_net_hdr_v1))
/*
 * Longest packet: what a TAP's gso_max_size allows (64 KiB) with Ethernet, VLAN and IPv6 headers
 * in front, with room to spare.
 */
#define NET_PACKET_MAX (65536u + 128u)

/* One turn of a queue: the other direction and other devices of the same worker wait meanwhile. */
#define NET_TURN_PACKETS 64u
#define NET_TURN_BYTES   (256u << 10)

/* Receive buffers taken from the driver and not yet filled. */
struct net_buffer {
    uint16_t head;
    uint16_t parts;
    uint32_t capacity; /* bytes */
};

/* Twice what a turn needs; beside header and spill it still fits one readv(2). */
#define NET_PARTS_MAX 768u

struct net_receive {
    struct net_buffer buffers[NET_QUEUE_SIZE]; /* a ring */
    unsigned int first, count;
    struct iovec parts[NET_PARTS_MAX]; /* of all buffers, in order: [parts_begin, parts_end) */
    unsigned int parts_begin, parts_end;
    uint64_t capacity;   /* of all buffers */
    bool large;          /* make room for the largest packet, rather than for a small one */
    unsigned int small;  /* small packets in a row */
    unsigned int unsaid; /* used entries written and not yet published */
    /* The packet being delivered: kept while it waits for the driver to give more buffers. */
    bool pending;
    uint32_t spill_begin, spill_end; /* what no buffer has taken yet */
    struct virtio_net_hdr_v1 header;
    struct iovec header_parts[sizeof(struct virtio_net_hdr_v1)]; /* where the guest expects it */
    unsigned int header_count;
    struct net_buffer used[NET_QUEUE_SIZE]; /* `capacity`: bytes written */
    unsigned int used_count;
    uint8_t *spill; /* NET_PACKET_MAX bytes; rarely touched */
};

struct net_pair {
    struct net *net;
    struct net_worker *worker;
    struct net_pair *next; /* of the same worker; under the worker's lock */
    unsigned int index;
    uint32_t id;         /* names the pair in epoll events, never used again */
    int kick_fd;         /* eventfd, or -1 when the slot's is enough */
    unsigned int events; /* NET_EVENT_*: what the worker has yet to look at; its alone */
    bool again;          /* the last turn did not finish; the worker's alone */
    bool waits;          /* `starved`, as the last turn left it; the worker's alone */

    pthread_mutex_t lock; /* held for each turn */
    int tap_fd;           /* -1 once the interface is gone */
    bool running;         /* from DRIVER_OK to reset, unless the device is broken */
    bool attached;        /* the TAP spreads packets over its attached queues only */
    bool tap_ready;       /* the TAP may have packets */
    bool starved;         /* the driver has to give buffers first */
    bool tx_ready;        /* there may be packets to send */
    int vhost_fd;         /* -1: the worker serves the pair */
    int vhost_kicks[2]; /* eventfds: what the driver tells the kernel of receive, transmit queue */
    bool vhost_runs;    /* the rings are the kernel's; under the device's lock */
    struct net_receive receive;
};

enum { NET_EVENT_TAP = 1u, NET_EVENT_KICK = 2u, NET_EVENT_DEVICE = 4u };

/* What a turn came upon, besides packets. */
enum { NET_TROUBLE_BROKEN = 1u, NET_TROUBLE_GONE = 2u };

#define NET_FILTER_MAX 64u

/* Which packets the driver wants (§5.1.6.5.1, §5.1.6.5.2). */
struct net_filter {
    bool promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
    bool unicast_overflow, multicast_overflow; /* more addresses than fit here: all pass */
    unsigned int unicast, multicast;           /* count of each in `table`, in this order */
    uint8_t table[NET_FILTER_MAX][ETH_ALEN];
    bool has_mac;
    uint8_t mac[ETH_ALEN];
};

struct net {
    struct virtio_device virtio;
    struct virtio_ops ops; /* of this very device: features and queues differ */
    struct net_workers *workers;
    unsigned int pair_count;
    uint32_t tap_offloads; /* TUN_F_* that the TAP takes */
    uint8_t mac[ETH_ALEN]; /* as created */
    bool gone;             /* net_detach() was called */
    bool unsettled;        /* the TAP is not yet what the driver's status asks for */
    atomic_bool holding;   /* somebody waits for the workers to let go of the queues */
    /* Changed under ops->hold only, so that a pair's lock is enough to read them. */
    struct virtio_net_config config;
    uint64_t features; /* negotiated, and with what they depend on */
    uint64_t offloads; /* VIRTIO_NET_F_GUEST_*: what packets to the guest may be like now */
    struct net_filter filter;
    struct net_pair *pairs;
};

struct net_worker {
    int epoll_fd;
    pthread_mutex_t
        turnstile; /* passed on the way to `lock`, so that a busy worker is not unfair */
    pthread_mutex_t lock;
    struct net_pair *pairs;
    uint32_t next_id;
    bool busy; /* a pair is not finished; the worker's alone */
    /* Of this round: packets of all pairs, and of the one direction of a pair that had most. */
    unsigned int moved, most;
    /* When to give way to who makes packets: see net_pace.c. The worker's alone. */
    struct net_pace {
        bool adapts;        /* the policy is ours to choose */
        bool prompt;        /* it runs at once, rather than when others are through */
        bool lonely;        /* packets come one at a time */
        unsigned int count; /* of what ends `lonely`, or begins it */
    } pace;
    struct virtqueue_chain chain; /* scratch for turns */
    struct iovec vector[1 + NET_PARTS_MAX + 1];
};

struct net_workers {
    unsigned int count;
    unsigned int next; /* spreads devices over workers */
    int stop_fd;
    struct net_worker workers[];
};

/* net.c: with the device's lock held. */
void net_hold(struct net *net, bool held);
/* Takes note of what @trouble says; no lock but the worker's is held. */
void net_handle_trouble(struct net *net, unsigned int trouble);

/* net_worker.c. Return: 0 or -errno. */
int net_worker_add(struct net_workers *workers, struct net_pair *pair, unsigned int number);
void net_worker_remove(struct net_pair *pair);
void net_worker_forget_tap(struct net_pair *pair);
/* Gives @pair, of a device with several, a turn. */
void net_worker_wake(struct net_pair *pair);

/*
 * net_pace.c: after a round that moved @moved packets, @most of them in one direction of one pair.
 * @starved: packets wait for the driver to give buffers.
 */
void net_pace_round(struct net_pace *pace, unsigned int moved, unsigned int most, bool starved);
/* Notes, within a round, that a pair moved @packets in one direction. */
static inline void net_moved(struct net_pair *pair, unsigned int packets)
{
    pair->worker->moved += packets;
    if (packets > pair->worker->most)
        pair->worker->most = packets;
}

/*
 * net_control.c, net_tap.c: with the device's lock held, in the thread of the first pair's worker,
 * or of the second's, whose receive queue may have been, or be, the control queue. Settling comes
 * first.
 */
void net_control_run(struct net *net);
void net_settle(struct net *net);
/* Changes the pairs in use, TAP and all. Return: 0 or -errno. */
int net_set_pairs(struct net *net, unsigned int count);
/* Puts net->offloads, as TUN_F_*, in force. Return: 0 or -errno. */
int net_set_offloads(struct net *net);

/*
 * net_vhost.c: with the device's lock held, but for create and destroy. Return: 0 or -errno; of
 * net_vhost_start() -ENODATA when the driver left a queue out, -ENODEV when the kernel does not
 * take the TAP, which has been reported. @fd is the pair's when net_vhost_create() succeeds.
 */
int net_vhost_create(struct net_pair *pair, int fd);
void net_vhost_destroy(struct net_pair *pair);
int net_vhost_start(struct net_pair *pair);
void net_vhost_stop(struct net_pair *pair);
/* @index: 0 for the receive queue, 1 for the transmit queue. */
void net_vhost_stop_ring(const struct net_pair *pair, unsigned int index);
/* Makes the kernel look at both queues. */
void net_vhost_wake(const struct net_pair *pair);

/* net_filter.c */
void net_filter_reset(struct net *net);
/* @address: destination of a packet. */
bool net_filter_wants(const struct net_filter *filter, const uint8_t *address);

/*
 * net_header.c: whether a packet of @length bytes may pass with @header, which is rewritten to what
 * is known to be true.
 */
bool net_header_check_transmit(struct virtio_net_hdr_v1 *header, uint64_t features,
                               uint64_t length);
bool net_header_check_receive(struct virtio_net_hdr_v1 *header, uint64_t offloads);
/* The part of @features that stands on others also in @features (§5.1.3.1). */
uint64_t net_features_effective(uint64_t features);

/* One turn, with the pair's lock held. Return: NET_TROUBLE_*. */
unsigned int net_receive_run(struct net_pair *pair);
unsigned int net_transmit_run(struct net_pair *pair);
/* Whether a turn may deliver something: there is a packet, or may be, and the driver has buffers.
 */
bool net_receive_ready(const struct net_pair *pair);
/* Forgets the driver's buffers. */
void net_receive_reset(struct net_receive *receive);

static inline struct virtqueue *net_receive_queue(struct net_pair *pair)
{
    return &pair->net->virtio.queues[2 * pair->index];
}

static inline struct virtqueue *net_transmit_queue(struct net_pair *pair)
{
    return &pair->net->virtio.queues[2 * pair->index + 1];
}

/* @vector: [first, …) of the parts of @iov from byte @skip on. Return: parts used. */
unsigned int net_skip_parts(struct iovec *vector, const struct iovec *iov, unsigned int count,
                            size_t skip);

#endif
