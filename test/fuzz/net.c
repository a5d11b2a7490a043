/*
 * A hostile driver of a network device: arbitrary registers, rings, packet headers and commands,
 * and arbitrary packets with arbitrary headers from the TAP (here a socket).
 *
 * Input: one byte that chooses pairs and features, then operations of one byte and their arguments
 * (see run_operation()). Guest memory is two small regions of their own malloc, so that every step
 * outside is seen.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "vmm/virtio/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REGION_SIZE 65536u
#define PAIRS       2u
#define QUEUES      (2 * PAIRS + 1)

/* Buffers, behind the rings. */
#define RECEIVE_GPA 0x8000u
#define COMMAND_GPA 0xf000u
#define PACKET_GPA  REGION_SIZE /* all of region 1 */

enum { MODE_BROUGHT_UP = 1, MODE_MULTI = 2, MODE_EVENT_IDX = 4, MODE_MERGE = 8, MODE_OFFLOAD = 16 };

struct machine {
    struct driver driver;
    struct net_workers *workers;
    struct net *net;
    uint8_t mode;
    unsigned int pairs;
    int host[PAIRS];
};

static int kick_fd = -1, interrupt_fd;

static uint64_t features(const struct machine *m)
{
    uint64_t wanted = m->driver.device->ops->features | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
                      1ull << VIRTIO_F_VERSION_1;

    if (m->mode & MODE_EVENT_IDX)
        wanted |= 1ull << VIRTIO_RING_F_EVENT_IDX;
    if (!(m->mode & MODE_MERGE))
        wanted &= ~(1ull << VIRTIO_NET_F_MRG_RXBUF);
    if (m->mode & MODE_OFFLOAD)
        wanted &= ~(1ull << VIRTIO_NET_F_GUEST_CSUM);
    return wanted;
}

/* Runs the worker until it is idle, which must come soon: the rings do not change. */
static void run_device(struct machine *m)
{
    static char packet[70000];
    uint64_t count;
    unsigned int quiet = 0;

    for (unsigned int i = 0; quiet < 3; i++) {
        if (i > 1000)
            abort();
        quiet = net_worker_step(m->workers, 0, 0) ? 0 : quiet + 1;
    }
    while (read(interrupt_fd, &count, sizeof(count)) > 0)
        ;
    for (unsigned int i = 0; i < m->pairs; i++)
        while (m->host[i] >= 0 && recv(m->host[i], packet, sizeof(packet), 0) > 0)
            ;
}

/* The header of a packet: any, or one that is likely to be taken. */
static void make_header(struct input *in, struct virtio_net_hdr_v1 *header)
{
    static const uint8_t types[] = { 0, 1, 4, 5, 3, 0x81, 0x84, 0xff };
    uint8_t what = (uint8_t)take(in, 1);

    *header = (struct virtio_net_hdr_v1) { .flags = what & 3,
                                           .gso_type = types[what >> 2 & 7],
                                           .gso_size = what & 32 ? (uint16_t)take(in, 2) : 1000,
                                           .hdr_len = what & 64 ? (uint16_t)take(in, 2) : 54,
                                           .csum_start = what & 128 ? (uint16_t)take(in, 2) : 34,
                                           .csum_offset = what & 128 ? (uint16_t)take(in, 2) : 16 };
}

static const uint16_t lengths[] = { 0, 1, 13, 14, 60, 1514, 9000, 65000 };

static void packet_from_host(struct machine *m, struct input *in)
{
    static uint8_t packet[sizeof(struct virtio_net_hdr_v1) + 65536];
    struct virtio_net_hdr_v1 header;
    uint8_t what = (uint8_t)take(in, 1);
    unsigned int pair = what % m->pairs;
    size_t length = sizeof(header) + lengths[what >> 5];

    make_header(in, &header);
    memcpy(packet, &header, sizeof(header));
    memset(packet + sizeof(header), what & 4 ? 0xff : what & 8 ? 1 : 2, 6);
    if (what & 16)
        length = take(in, 2);
    if (length && m->host[pair] >= 0)
        (void)!send(m->host[pair], packet, length, 0);
}

static void packet_from_guest(struct machine *m, struct input *in)
{
    struct virtio_net_hdr_v1 header;
    uint8_t what = (uint8_t)take(in, 1);
    uint32_t queue = 2 * (what % PAIRS) + 1, index = what >> 1 & 3;
    uint32_t length = sizeof(header) + lengths[what >> 5], first = (uint32_t)take(in, 1) + 1;

    make_header(in, &header);
    memcpy(memory_translate(&m->driver.memory, PACKET_GPA, sizeof(header)), &header,
           sizeof(header));
    if (first >= length)
        first = length;
    set_descriptor(&m->driver, queue, 2 * index, PACKET_GPA, first,
                   length > first ? VRING_DESC_F_NEXT : 0, (uint16_t)(2 * index + 1));
    set_descriptor(&m->driver, queue, 2 * index + 1, PACKET_GPA + first, length - first, 0, 0);
    offer(&m->driver, queue, (uint16_t)(2 * index));
}

static void command(struct machine *m, struct input *in)
{
    uint32_t queue = m->driver.device->driver_features & 1ull << VIRTIO_NET_F_MQ ? 2 * m->pairs : 2;
    uint32_t length = (uint32_t)take(in, 1) % 64 + 1;
    uint8_t *p = memory_translate(&m->driver.memory, COMMAND_GPA, 512);

    memset(p, 0, 512);
    for (uint32_t i = 0; i < length; i++)
        p[i] = (uint8_t)take(in, 1);
    set_descriptor(&m->driver, queue, 0, COMMAND_GPA, length, VRING_DESC_F_NEXT, 1);
    set_descriptor(&m->driver, queue, 1, COMMAND_GPA + 511, 1, VRING_DESC_F_WRITE, 0);
    offer(&m->driver, queue, 0);
}

/* Receive buffers: a run of them, of a size that the input says. */
static void give_buffers(struct machine *m, struct input *in)
{
    uint8_t what = (uint8_t)take(in, 1);
    uint32_t queue = 2 * (what & 1), size = what & 2 ? (uint32_t)take(in, 1) + 1 : 2048;

    for (uint32_t i = 0; i < (what >> 2) % 9u; i++) {
        uint16_t index = m->driver.next_avail[queue] % RING_SIZE;

        set_descriptor(&m->driver, queue, index, RECEIVE_GPA + index * 2048u, size,
                       VRING_DESC_F_WRITE, 0);
        offer(&m->driver, queue, index);
    }
}

static void host_acts(struct machine *m, struct input *in)
{
    uint8_t what = (uint8_t)take(in, 1);
    unsigned int pair = what % m->pairs;

    if (what < 200) {
        net_set_link(m->net, what & 2);
    } else if (what < 220) {
        net_detach(m->net);
    } else if (m->host[pair] >= 0) {
        close(m->host[pair]);
        m->host[pair] = -1;
    }
}

static void run_operation(struct machine *m, struct input *in)
{
    uint8_t op = (uint8_t)take(in, 1);
    uint32_t queue = (op >> 4) % QUEUES, index;
    uint16_t *avail;

    switch (op & 15) {
    case 0:
        access_register(&m->driver, in, true);
        break;
    case 1:
        access_register(&m->driver, in, false);
        break;
    case 2:
        write_memory(&m->driver, in);
        break;
    case 3: /* any descriptor */
        index = (uint32_t)take(in, 1);
        set_descriptor(&m->driver, queue, index, take(in, 2), (uint32_t)take(in, 2),
                       (uint16_t)take(in, 1), (uint16_t)take(in, 1));
        break;
    case 4:
        offer(&m->driver, queue, (uint16_t)take(in, 1));
        break;
    case 5: /* any available index */
        avail = memory_translate(&m->driver.memory, AVAIL_GPA(queue), 6);
        avail[1] = m->driver.next_avail[queue] = (uint16_t)take(in, 2);
        break;
    case 6:
        give_buffers(m, in);
        break;
    case 7:
        packet_from_host(m, in);
        break;
    case 8:
        packet_from_guest(m, in);
        break;
    case 9:
        command(m, in);
        break;
    case 10:
        bring_up(&m->driver, features(m));
        break;
    case 11:
        host_acts(m, in);
        break;
    default:
        write_register(&m->driver, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
        run_device(m);
        break;
    }
}

static void create(struct machine *m)
{
    static const uint8_t mac[6] = { 2, 2, 2, 2, 2, 2 };
    int taps[PAIRS];
    struct net_config config = { .memory = &m->driver.memory,
                                 .kick_fd = kick_fd,
                                 .interrupt_fd = interrupt_fd,
                                 .tap_fds = taps,
                                 .offloads = 0x6f, /* TUN_F_*: all but UFO */
                                 .mac = mac,
                                 .link = true };
    struct error err;

    for (unsigned int i = 0; i < 2; i++) {
        uint8_t *hva = aligned_alloc(4096, REGION_SIZE);

        memset(hva, 0, REGION_SIZE);
        m->driver.memory.regions[i] = (struct memory_region) { i * REGION_SIZE, REGION_SIZE, hva };
    }
    m->driver.memory.count = 2;
    m->pairs = m->mode & MODE_MULTI ? PAIRS : 1;
    for (unsigned int i = 0; i < m->pairs; i++) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0)
            abort();
        taps[i] = pair[0];
        m->host[i] = pair[1];
    }
    m->workers = net_workers_create(1);
    config.workers = m->workers;
    config.pairs = m->pairs;
    if (!m->workers || net_create(&m->net, &config, &err) < 0)
        abort();
    m->driver.device = net_virtio(m->net);
    m->driver.device->reported = true; /* stderr is the fuzzer's */
}

static void destroy(struct machine *m)
{
    net_destroy(m->net);
    net_workers_destroy(m->workers);
    for (unsigned int i = 0; i < m->pairs; i++)
        if (m->host[i] >= 0)
            close(m->host[i]);
    for (unsigned int i = 0; i < 2; i++)
        free(m->driver.memory.regions[i].hva);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    struct machine m = { 0 };
    uint64_t count;

    if (kick_fd < 0) {
        kick_fd = eventfd(0, EFD_NONBLOCK);
        interrupt_fd = eventfd(0, EFD_NONBLOCK);
        signal(SIGPIPE, SIG_IGN); /* TAPs do not have it */
    }
    while (read(kick_fd, &count, sizeof(count)) > 0)
        ;
    m.mode = (uint8_t)take(&in, 1);
    create(&m);
    if (m.mode & MODE_BROUGHT_UP)
        bring_up(&m.driver, features(&m));
    for (unsigned int i = 0; in.size > 0 && i < 400; i++)
        run_operation(&m, &in);
    run_device(&m);
    /* Whatever has happened, a driver that starts over has a working device. */
    bring_up(&m.driver, features(&m));
    if (m.driver.device->status != 15)
        abort();
    run_device(&m);
    if (!virtio_device_active(m.driver.device))
        abort();
    destroy(&m);
    return 0;
}
