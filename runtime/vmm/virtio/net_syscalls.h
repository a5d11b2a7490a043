/*
 * The system calls of virtio-net, for the sandbox.
 *
 * NET_SYSCALLS: a worker's (net_worker_serve()), besides those for memory, locks and eventfds that
 * every such thread makes. NET_CREATE_SYSCALLS: net_probe_tap(), net_create(), net_detach() and
 * net_destroy(), in the thread that calls them. ALLOW and ALLOW_IF as in vmm/sandbox_rules.h.
 */
#ifndef VMRT_VMM_VIRTIO_NET_SYSCALLS_H
#define VMRT_VMM_VIRTIO_NET_SYSCALLS_H

#include <linux/if_tun.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define NET_REQUEST_BITS 0xffffffffull

#define NET_SYSCALLS(ALLOW, ALLOW_IF)                   \
    ALLOW(epoll_ctl)                                    \
    ALLOW(epoll_pwait)                                  \
    ALLOW(epoll_wait)                                   \
    ALLOW(readv)                                        \
    ALLOW(writev)                                       \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETOFFLOAD) \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETQUEUE)

#define NET_CREATE_SYSCALLS(ALLOW, ALLOW_IF)            \
    ALLOW(epoll_ctl)                                    \
    ALLOW(eventfd2)                                     \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, FIONBIO)       \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNGETIFF)     \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETOFFLOAD) \
    ALLOW_IF(ioctl, 1, NET_REQUEST_BITS, TUNSETVNETHDRSZ)

#endif
