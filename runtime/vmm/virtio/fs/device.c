/* virtio-fs (virtio 1.2 §5.11): feeds the file server from its queues, in a thread of its own. */
#include "vmm/virtio/fs/device.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/*
 * Queue 0 (hiprio) carries FORGET and INTERRUPT, queue 1 the requests (§5.11.2). One request queue:
 * requests are served inline, which beats a pool of threads as long as few are in flight.
 */
enum { QUEUE_HIPRIO, QUEUE_REQUEST, QUEUE_COUNT };

/* A READ or WRITE of 1 MiB needs 256 parts of a page each, and more when they are not aligned. */
#define QUEUE_SIZE QUEUE_SIZE_MAX

/*
 * Requests served before the driver is interrupted and the lock released: the first answer must not
 * wait for the last, nor a reset for the guest to stop asking.
 */
#define BATCH_REQUESTS 16u
#define BATCH_FORGETS  64u

struct fs_device {
    struct virtio_device virtio;
    struct fs_server *server;
    struct virtio_fs_config config;
    bool reset; /* the server still holds what belongs to the driver before */
};

static struct fs_device *from_virtio(struct virtio_device *virtio)
{
    return (struct fs_device *)virtio;
}

static void read_config(struct virtio_device *virtio, uint32_t offset, void *data, uint32_t length)
{
    const struct fs_device *device = from_virtio(virtio);

    virtio_config_copy(&device->config, sizeof(device->config), offset, data, length);
}

/* In a vCPU's thread, which may neither close files nor free memory: left to the server's. */
static void reset(struct virtio_device *virtio)
{
    from_virtio(virtio)->reset = true;
    virtio_device_kick_again(virtio);
}

static void settle(struct virtio_device *virtio)
{
    struct fs_device *device = from_virtio(virtio);

    if (device->reset)
        fs_server_reset(device->server);
    device->reset = false;
}

static uint32_t handle(struct virtio_device *virtio, const struct virtqueue_chain *chain)
{
    return (uint32_t)fs_server_handle(from_virtio(virtio)->server, chain->iov, chain->out_count,
                                      chain->iov + chain->out_count, chain->in_count);
}

static void kick(struct virtio_device *virtio)
{
    virtio_device_serve(virtio, &virtio->queues[QUEUE_HIPRIO], BATCH_FORGETS, handle);
    if (virtio_device_active(virtio))
        virtio_device_serve(virtio, &virtio->queues[QUEUE_REQUEST], BATCH_REQUESTS, handle);
}

static const struct virtio_ops fs_ops = {
    .name = "fs",
    .id = VIRTIO_ID_FS,
    .queue_count = QUEUE_COUNT,
    .queue_size = QUEUE_SIZE,
    .read_config = read_config,
    .reset = reset,
    .kick = kick,
    .settle = settle,
};

struct fs_device *fs_device_create(struct guest_memory *memory, int kick_fd, int interrupt_fd,
                                   const char *tag, struct fs_server *server)
{
    struct fs_device *device;
    size_t length = strlen(tag);

    if (length == 0 || length > sizeof(device->config.tag)) {
        errno = EINVAL;
        return NULL;
    }
    device = calloc(1, sizeof(*device));
    if (!device)
        return NULL;
    virtio_device_init(&device->virtio, &fs_ops, memory, kick_fd, interrupt_fd);
    device->server = server;
    memcpy(device->config.tag, tag, length);
    device->config.num_request_queues = htole32(1);
    return device;
}

struct virtio_device *fs_device_virtio(struct fs_device *device)
{
    return &device->virtio;
}

void fs_device_destroy(struct fs_device *device)
{
    if (!device)
        return;
    virtio_device_destroy(&device->virtio);
    free(device);
}

void fs_device_serve(struct fs_device *device)
{
    struct virtio_device *virtio = &device->virtio;
    struct pollfd kicked = { .fd = virtio->kick_fd, .events = POLLIN };
    struct error err;

    if (fs_server_thread_setup(device->server, &err) < 0) {
        pthread_mutex_lock(&virtio->lock);
        virtio_device_broken(virtio, err.message);
        pthread_mutex_unlock(&virtio->lock);
        return;
    }
    /* ppoll rather than poll: every architecture has it. */
    while (ppoll(&kicked, 1, NULL, NULL) >= 0 || errno == EINTR)
        virtio_device_kicked(virtio);
}
