/*
 * vhost-net: the host's kernel serves the queue pairs of a network device (include/uapi/linux/
 * vhost.h). Registers, the control queue and the TAP's offloads stay here.
 *
 * A descriptor of /dev/vhost-net serves one pair. It runs from when the worker settles the device
 * after DRIVER_OK until the driver's reset, in whose register write it is stopped: the rings are
 * the driver's again when that returns (virtio 1.2 §2.4.2). What the kernel has done with the rings
 * is of no interest then, for they begin anew. A driver may also stop a single queue (§4.2.2.2).
 */
#include <endian.h>
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "lib/fd.h"
#include "vmm/report.h"
#include "vmm/virtio/net_internal.h"

/* Of what the driver is offered, what concerns the rings and the packets in them. */
#define FEATURES                                                        \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC | \
     1ull << VIRTIO_RING_F_EVENT_IDX | NET_FEATURE(MRG_RXBUF))

static int give_memory(int fd, const struct guest_memory *memory)
{
    union {
        struct vhost_memory table;
        uint8_t room[sizeof(struct vhost_memory) +
                     MEMORY_REGIONS_MAX * sizeof(struct vhost_memory_region)];
    } request = { .table = { .nregions = memory->count } };

    for (unsigned int i = 0; i < memory->count; i++)
        request.table.regions[i] = (struct vhost_memory_region) {
            .guest_phys_addr = memory->regions[i].gpa,
            .memory_size = memory->regions[i].size,
            .userspace_addr = (uintptr_t)memory->regions[i].hva,
        };
    return ioctl(fd, VHOST_SET_MEM_TABLE, &request) < 0 ? -errno : 0;
}

int net_probe_vhost(int fd, const struct guest_memory *memory, struct error *err)
{
    uint64_t features = 0;
    int ret;

    if (ioctl(fd, VHOST_SET_OWNER, 0) < 0)
        return error_set_errno(err, "vhost-net: VHOST_SET_OWNER");
    if (ioctl(fd, VHOST_GET_FEATURES, &features) < 0)
        return error_set_errno(err, "vhost-net: VHOST_GET_FEATURES");
    if ((features & FEATURES) != FEATURES)
        return error_set(err, ENOTSUP, "vhost-net: expected features %#llx, found %#llx", FEATURES,
                         (unsigned long long)features);
    ret = give_memory(fd, memory);
    return ret < 0 ? error_set(err, -ret, "vhost-net: VHOST_SET_MEM_TABLE: %s", strerror(-ret)) : 0;
}

int net_vhost_create(struct net_pair *pair, int fd)
{
    const int interrupt_fd = pair->net->virtio.interrupt_fd;

    for (unsigned int i = 0; i < 2; i++) {
        struct vhost_vring_file file = { .index = i };

        pair->vhost_kicks[i] = file.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (file.fd < 0 || ioctl(fd, VHOST_SET_VRING_KICK, &file) < 0)
            return -errno;
        /* Straight to the guest, which KVM has connected with the eventfd. */
        file.fd = interrupt_fd;
        if (ioctl(fd, VHOST_SET_VRING_CALL, &file) < 0)
            return -errno;
    }
    pair->vhost_fd = fd;
    return 0;
}

void net_vhost_destroy(struct net_pair *pair)
{
    for (unsigned int i = 0; i < 2; i++)
        fd_close(&pair->vhost_kicks[i]);
    fd_close(&pair->vhost_fd);
}

static int set_ring(const struct net_pair *pair, unsigned int index)
{
    const struct virtqueue *queue = &pair->net->virtio.queues[2 * pair->index + index];
    struct vhost_vring_state state = { .index = index, .num = queue->size };
    struct vhost_vring_addr address = {
        .index = index,
        .desc_user_addr = (uintptr_t)queue->desc,
        .avail_user_addr = (uintptr_t)queue->avail,
        .used_user_addr = (uintptr_t)queue->used,
    };

    if (!queue->ready)
        return -ENODATA;
    if (ioctl(pair->vhost_fd, VHOST_SET_VRING_NUM, &state) < 0)
        return -errno;
    state.num = 0;
    if (ioctl(pair->vhost_fd, VHOST_SET_VRING_BASE, &state) < 0 ||
        ioctl(pair->vhost_fd, VHOST_SET_VRING_ADDR, &address) < 0)
        return -errno;
    return 0;
}

static int set_backend(const struct net_pair *pair, unsigned int index, int fd)
{
    struct vhost_vring_file file = { .index = index, .fd = fd };

    return ioctl(pair->vhost_fd, VHOST_NET_SET_BACKEND, &file) < 0 ? -errno : 0;
}

int net_vhost_start(struct net_pair *pair)
{
    uint64_t features = pair->net->virtio.driver_features & FEATURES;
    int ret = 0;

    if (pair->vhost_runs)
        return 0;
    if (ioctl(pair->vhost_fd, VHOST_SET_FEATURES, &features) < 0)
        return -errno;
    for (unsigned int i = 0; i < 2 && ret == 0; i++)
        ret = set_ring(pair, i);
    for (unsigned int i = 0; i < 2 && ret == 0; i++) {
        /* The rings lie in guest memory: what fails now is the TAP (drivers/vhost/net.c). */
        ret = set_backend(pair, i, pair->tap_fd);
        if (ret < 0) {
            report_error("virtio-net: vhost-net does not take the TAP, whose link goes down: %s",
                         strerror(-ret));
            ret = -ENODEV;
        }
    }
    pair->vhost_runs = true;
    if (ret < 0)
        net_vhost_stop(pair);
    return ret;
}

void net_vhost_stop(struct net_pair *pair)
{
    for (unsigned int i = 0; i < 2; i++)
        net_vhost_stop_ring(pair, i);
    pair->vhost_runs = false;
}

void net_vhost_stop_ring(const struct net_pair *pair, unsigned int index)
{
    /* Returns when the kernel's thread has let go of the ring. */
    if (pair->vhost_runs)
        (void)set_backend(pair, index, -1);
}

void net_vhost_wake(const struct net_pair *pair)
{
    const uint64_t one = 1;

    for (unsigned int i = 0; i < 2; i++)
        fd_write_full(pair->vhost_kicks[i], &one, sizeof(one));
}
