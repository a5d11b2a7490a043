/*
 * The system calls of virtio-net, for the sandbox.
 *
 * NET_SYSCALLS: a worker's (net_worker_serve()), besides those for memory, locks and eventfds that
 * every such thread makes; the scheduler's policy of the thread itself (0). NET_CREATE_SYSCALLS:
 * net_probe_tap(), net_probe_vhost(), net_create(), net_detach() and net_destroy(), in the thread
 * that calls them. NET_RESET_SYSCALLS: in the vCPUs' threads, whose register writes come here.
 * ALLOW and ALLOW_IF as in vmm/sandbox_rules.h.
 */
#ifndef VMRT_VMM_VIRTIO_NET_SYSCALLS_H
#define VMRT_VMM_VIRTIO_NET_SYSCALLS_H

#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define NET_REQUEST_BITS 0xffffffffull

#define NET_SYSCALLS(ALLOW, ALLOW_IF)                           \
    ALLOW(epoll_ctl)                                            \
    ALLOW(epoll_pwait)                                          \
    ALLOW(epoll_wait)                                           \
    ALLOW(readv)                                                \
    ALLOW_IF(sched_setscheduler, 0, NET_REQUEST_BITS, 0)        \
    ALLOW(writev)                                               \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETOFFLOAD)         \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETQUEUE)           \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_NET_SET_BACKEND) \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_FEATURES)    \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_VRING_ADDR)  \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_VRING_BASE)  \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_VRING_NUM)

/* The driver's reset is done when its register write is: the kernel gives the rings back in it. */
#define NET_RESET_SYSCALLS(ALLOW, ALLOW_IF) \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_NET_SET_BACKEND)

#define NET_CREATE_SYSCALLS(ALLOW, ALLOW_IF)                    \
    ALLOW(epoll_ctl)                                            \
    ALLOW(eventfd2)                                             \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, FIONBIO)               \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNGETIFF)             \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETOFFLOAD)         \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETVNETHDRSZ)       \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_GET_FEATURES)    \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_NET_SET_BACKEND) \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_MEM_TABLE)   \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_OWNER)       \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_VRING_CALL)  \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, VHOST_SET_VRING_KICK)

#endif
