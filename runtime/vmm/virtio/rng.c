/* virtio-rng: each request is filled with random bytes of the host. */
#include "vmm/virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#define RNG_QUEUE_SIZE 8u
/* One kick's work at most; the Linux driver asks for 64 bytes at a time. */
#define RNG_REQUEST_MAX 4096u /* bytes for one request, however large its buffers are */
#define RNG_KICK_MAX    16u   /* requests */

/* Return: bytes filled, fewer than asked only when getrandom(2) fails. */
static uint32_t fill_random(uint8_t *to, uint32_t length)
{
    uint32_t done = 0;

    while (done < length) {
        ssize_t n = getrandom(to + done, length - done, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (uint32_t)n;
    }
    return done;
}

/* §5.4.6.2: the device may fill less than the buffer, but must say how much it did. */
static uint32_t handle_request(struct virtio_device *device, const struct virtqueue_chain *chain)
{
    const struct iovec *parts = &chain->iov[chain->out_count];
    uint32_t left = RNG_REQUEST_MAX;

    (void)device;
    for (unsigned int i = 0; i < chain->in_count && left > 0; i++) {
        uint32_t piece = parts[i].iov_len < left ? (uint32_t)parts[i].iov_len : left;
        uint32_t filled = fill_random(parts[i].iov_base, piece);

        left -= filled;
        if (filled < piece)
            break;
    }
    return RNG_REQUEST_MAX - left;
}

static void kick(struct virtio_device *device)
{
    virtio_device_serve(device, &device->queues[0], RNG_KICK_MAX, handle_request);
}

static const struct virtio_ops rng_ops = {
    .name = "rng",
    .id = VIRTIO_ID_RNG,
    .queue_count = 1,
    .queue_size = RNG_QUEUE_SIZE,
    .kick = kick,
};

struct virtio_device *rng_create(struct guest_memory *memory, int kick_fd, int interrupt_fd)
{
    struct virtio_device *device = malloc(sizeof(*device));

    if (device)
        virtio_device_init(device, &rng_ops, memory, kick_fd, interrupt_fd);
    return device;
}

void rng_destroy(struct virtio_device *device)
{
    if (!device)
        return;
    virtio_device_destroy(device);
    free(device);
}
