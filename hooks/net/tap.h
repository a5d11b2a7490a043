/* TAP devices: the host's end of a virtual machine's network card. */
#ifndef VMRT_HOOKS_NET_TAP_H
#define VMRT_HOOKS_NET_TAP_H

#include <net/if.h>
#include <stdint.h>

#include "kernel.h"
#include "lib/error.h"

/* virtio 1.2 §5.1.9.5, queue pairs one interface may have here. */
#define TAP_QUEUES_MAX 8

struct tap {
    char name[IF_NAMESIZE];
    int index; /* interface number */
    unsigned int queues;
    int fds[TAP_QUEUES_MAX]; /* the device is gone when the last copy of the last one is closed */
};

/**
 * tap_create() - make a TAP in the caller's network namespace: up, without IPv6, with vnet headers
 * of 12 bytes (virtio 1.2 §5.1.6).
 * @queues: 1 to TAP_QUEUES_MAX; as many descriptors.
 * @mtu:    bytes.
 * Return: 0 or a negative errno.
 */
int tap_create(struct tap *tap, struct kernel *kernel, unsigned int queues, uint32_t mtu,
               struct error *err);

void tap_close(struct tap *tap);

/* Sets a TAP's MTU, as far as TAPs go. Return: 0 or a negative errno. */
int tap_set_mtu(struct kernel *kernel, int index, uint32_t mtu);

/* The prefix of our TAPs' names; what follows is a number. */
#define TAP_NAME "vmrt"

#endif
