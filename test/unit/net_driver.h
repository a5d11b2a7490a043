/*
 * A network device with its driver and the other side of its TAP for tests: packets go over a
 * socket that keeps their bounds, or over a real TAP, and the worker runs in the test's thread.
 */
#ifndef VMRT_TEST_UNIT_NET_DRIVER_H
#define VMRT_TEST_UNIT_NET_DRIVER_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <sys/socket.h>

#include "virtio_driver.h"
#include "vmm/virtio/net.h"

#define HDR       12u
#define NIC_PAIRS 4u
#define NIC_RING  256u
#define F(name)   (1ull << VIRTIO_NET_F_##name)
#define F_USO     (1ull << 54 | 1ull << 55 | 1ull << 56)

#define OFFLOADS_ALL (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | 0x20 | 0x40)

/* What the Linux driver takes of an ordinary NIC. */
#define FEATURES_USUAL                                                                           \
    (DRIVER_FEATURES_ALL | F(MAC) | F(STATUS) | F(MRG_RXBUF) | F(CTRL_VQ) | F(CTRL_RX) |         \
     F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR) | F(CTRL_VLAN) | F(CTRL_GUEST_OFFLOADS) | F(CSUM) |     \
     F(GUEST_CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) | F(GUEST_TSO4) | F(GUEST_TSO6) | \
     F(GUEST_ECN) | F_USO)

static const uint8_t nic_mac[6] = { 0x02, 0x42, 0xac, 0x11, 0x00, 0x02 };

struct nic {
    struct driver driver;
    struct net_workers *workers;
    struct net *net;
    struct virtio_device *device;
    unsigned int pairs, worker_count;
    int tap[NIC_PAIRS], host[NIC_PAIRS]; /* the device's side of each, and ours */
    struct driver_ring rings[2 * NIC_PAIRS + 1];
    uint64_t control_gpa, buffers_gpa;
};

/* The control queue's number: behind those in use (§5.1.2). */
static inline unsigned int nic_control(const struct nic *w)
{
    return w->device->driver_features & F(MQ) ? 2 * w->pairs : 2;
}

/* @tap_fds: NULL for sockets. @vhost_fds: NULL for pairs that workers serve. */
static inline void nic_create_with(struct nic *w, unsigned int pairs, unsigned int workers,
                                   const int *tap_fds, const int *vhost_fds, uint32_t offloads)
{
    struct net_config config = { .offloads = offloads, .mac = nic_mac, .link = true };
    struct error err;

    memset(w, 0, sizeof(*w));
    driver_init(&w->driver);
    w->pairs = pairs;
    w->worker_count = workers;
    for (unsigned int i = 0; i < pairs; i++) {
        int pair[2] = { -1, -1 };

        if (!tap_fds && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0)
            abort();
        w->tap[i] = tap_fds ? tap_fds[i] : pair[0];
        w->host[i] = pair[1];
    }
    w->workers = net_workers_create(workers);
    config.memory = &w->driver.memory;
    config.kick_fd = w->driver.kick_fd;
    config.interrupt_fd = w->driver.interrupt_fd;
    config.workers = w->workers;
    config.tap_fds = w->tap;
    config.vhost_fds = vhost_fds;
    config.pairs = pairs;
    if (!w->workers || net_create(&w->net, &config, &err) < 0)
        abort();
    w->device = net_virtio(w->net);
    w->device->reported = true;
    for (unsigned int i = 0; i < 2 * pairs + 1; i++)
        ring_init(&w->rings[i], &w->driver, NIC_RING);
    w->control_gpa = driver_alloc(&w->driver, 8192);
    w->buffers_gpa = driver_alloc(&w->driver, 4096);
}

static inline void nic_create(struct nic *w, unsigned int pairs, unsigned int workers,
                              const int *tap_fds, uint32_t offloads)
{
    nic_create_with(w, pairs, workers, tap_fds, NULL, offloads);
}

static inline void nic_destroy(struct nic *w)
{
    net_destroy(w->net);
    net_workers_destroy(w->workers);
    for (unsigned int i = 0; i < w->pairs; i++)
        if (w->host[i] >= 0)
            close(w->host[i]);
    driver_finish(&w->driver);
}

/* Rounds of every worker until none has anything left to do. */
static inline void nic_run(struct nic *w)
{
    unsigned int quiet = 0;

    for (unsigned int i = 0; quiet < 3; i++) {
        bool busy = false;

        if (i > 100000)
            abort(); /* a worker that does not come to rest */
        for (unsigned int j = 0; j < w->worker_count; j++)
            busy |= net_worker_step(w->workers, j, 0) != 0;
        quiet = busy ? 0 : quiet + 1;
    }
}

/* What a driver does from reset to DRIVER_OK, with empty rings; nothing has run since. */
static inline bool nic_start(struct nic *w, uint64_t features)
{
    unsigned int pairs = features & F(MQ) ? w->pairs : 1;

    if (!driver_negotiate(w->device, features))
        return false;
    for (unsigned int i = 0; i < 2 * pairs + 1; i++) {
        struct driver_ring *r = &w->rings[i];

        memset(r->avail, 0, 6 + 2ull * r->size);
        memset(r->used, 0, 6 + 8ull * r->size);
        r->next_avail = r->last_used = 0;
        if (!driver_setup_queue(w->device, i, r))
            return false;
    }
    driver_add_status(w->device, VIRTIO_CONFIG_S_DRIVER_OK);
    return true;
}

static inline bool nic_bring_up(struct nic *w, uint64_t features)
{
    bool started = nic_start(w, features);

    nic_run(w);
    return started;
}

static inline void nic_kick(struct nic *w, unsigned int queue)
{
    register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
    nic_run(w);
}

/* Offers a receive buffer of one part at @gpa. */
static inline void nic_give(struct nic *w, unsigned int pair, uint16_t head, uint64_t gpa,
                            uint32_t length)
{
    ring_set(&w->rings[2 * pair], head, gpa, length, VRING_DESC_F_WRITE, 0);
    ring_offer(&w->rings[2 * pair], head);
}

/* One command. Return: the answer. */
static inline uint8_t nic_command(struct nic *w, uint8_t class, uint8_t cmd, const void *data,
                                  uint32_t length)
{
    unsigned int queue = nic_control(w);
    struct driver_ring *r = &w->rings[queue];
    uint8_t *p = driver_at(&w->driver, w->control_gpa, 8192);
    uint32_t head, written;

    p[0] = class;
    p[1] = cmd;
    memcpy(p + 2, data, length);
    p[8000] = 0xee;
    ring_set(r, 0, w->control_gpa, 2, VRING_DESC_F_NEXT, 1);
    ring_set(r, 1, w->control_gpa + 2, length, VRING_DESC_F_NEXT, 2);
    ring_set(r, 2, w->control_gpa + 8000, 1, VRING_DESC_F_WRITE, 0);
    ring_offer(r, 0);
    nic_kick(w, queue);
    if (!ring_take(r, &head, &written) || written != 1)
        return 0xee;
    return p[8000];
}

/* Fills @length bytes with what can be told from any other packet. */
static inline void nic_fill(uint8_t *data, size_t length, uint32_t seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    if (length >= 6)
        memcpy(data, nic_mac, 6);
}

#endif
