/* virtio-console (virtio 1.2 §5.3), output only: hvc0 for the guest kernel's log. */
#ifndef VMRT_VMM_VIRTIO_CONSOLE_H
#define VMRT_VMM_VIRTIO_CONSOLE_H

#include <stddef.h>

#include "vmm/virtio/device.h"

/*
 * @output: descriptor that gets the bytes; not taken over. At most CONSOLE_OUTPUT_MAX bytes are
 * written in a machine's life, then one line says that the rest is dropped.
 * Return: the device, or NULL with errno set.
 */
#define CONSOLE_OUTPUT_MAX (4u << 20)
struct virtio_device *console_create(struct guest_memory *memory, int kick_fd, int interrupt_fd,
                                     int output);
/* Text that does not come by way of the driver; from any thread. Counts like that which does. */
void console_write(struct virtio_device *device, const char *text, size_t length);
void console_destroy(struct virtio_device *device);

#endif
