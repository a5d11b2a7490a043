/* virtio-rng (virtio 1.2 §5.4): entropy from getrandom(2) of the host. */
#ifndef VMRT_VMM_VIRTIO_RNG_H
#define VMRT_VMM_VIRTIO_RNG_H

#include "vmm/virtio/device.h"

/* Return: the device, or NULL with errno set. */
struct virtio_device *rng_create(struct guest_memory *memory, int kick_fd, int interrupt_fd);
void rng_destroy(struct virtio_device *device);

#endif
