/* virtio-fs (virtio 1.2 §5.11): feeds the file server from its queues, in a thread of its own. */
#ifndef VMRT_VMM_VIRTIO_FS_DEVICE_H
#define VMRT_VMM_VIRTIO_FS_DEVICE_H

#include "vmm/virtio/device.h"
#include "vmm/virtio/fs/server.h"

struct fs_device;

/*
 * @tag: what the guest mounts it by, 1 to 36 bytes.
 * Return: the device, or NULL with errno set. @server is owned by the caller.
 */
struct fs_device *fs_device_create(struct guest_memory *memory, int kick_fd, int interrupt_fd,
                                   const char *tag, struct fs_server *server);
struct virtio_device *fs_device_virtio(struct fs_device *device);
void fs_device_destroy(struct fs_device *device);

/**
 * fs_device_serve() - serve the queues until the process ends.
 *
 * Waits for the kick eventfd and handles what is there. The caller provides the thread (and its
 * sandbox), and calls fs_server_thread_setup() in it before it gives up what the setup needs;
 * otherwise this function does so, and returns when it cannot.
 */
void fs_device_serve(struct fs_device *device);

#endif
