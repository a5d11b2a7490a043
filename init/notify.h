/* The socket to which a container says that it is ready (sd_notify(3)). */
#ifndef VMRT_INIT_NOTIFY_H
#define VMRT_INIT_NOTIFY_H

#include <stdint.h>
#include <sys/types.h>

#include "init/mounts.h"

/* Longer datagrams are cut; systemd itself takes no more. */
#define NOTIFY_DATAGRAM_MAX 4096

/**
 * notify_open() - make the socket of the container @number.
 * Return: a non-blocking descriptor or -errno.
 */
int notify_open(const struct mount_places *places, uint32_t number);

/* Removes it again. */
void notify_remove(const struct mount_places *places, uint32_t number);

/**
 * notify_mount() - make it visible in the container as /run/notify/notify.sock.
 * Return: 0 or -errno.
 */
int notify_mount(const struct mount_places *places, uint32_t number, int root);

#endif
