/*
 * virtio-net (virtio 1.2 §5.1) over TAP devices.
 *
 * Theory of operation: a TAP queue and a pair of virtqueues are joined by nothing but readv(2) and
 * writev(2) between the TAP and the guest's buffers. The work is done by workers, threads that the
 * caller provides before it gives up the right to make any; every queue pair of every device
 * belongs to one of them, which sleeps in epoll until the driver notifies or the TAP has a packet.
 *
 *   - A packet that the guest has no buffers for stays in the TAP, whose queue then overflows and
 *     drops: nobody waits for a guest. What the guest sends and the host cannot take is dropped.
 *   - What the guest says about a packet (struct virtio_net_hdr_v1) is copied, checked against the
 *     features and the packet's length, and rewritten; one that lies loses the packet, no more.
 *   - The guest may reset or reprogram the device at any moment from a vCPU's thread: ops->hold
 *     keeps the workers off the queues meanwhile.
 *
 * With vhost-net the kernel does what the workers do with packets (net_vhost.c), and raises the
 * interrupts; they still serve the control queue.
 *
 * Locks, in the order they are taken: the worker's, the device's, those of its queue pairs.
 */
#ifndef VMRT_VMM_VIRTIO_NET_H
#define VMRT_VMM_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "vmm/virtio/device.h"

#define NET_PAIRS_MAX 8u

struct net;
struct net_workers;

/**
 * net_workers_create() - what @count threads will need; no thread is made here.
 * @count: 1 to NET_PAIRS_MAX; as many as the machine has vCPUs is enough.
 * Return: the workers, or NULL with errno set.
 */
struct net_workers *net_workers_create(unsigned int count);
/* Every thread has returned from net_worker_serve(), every device is destroyed. */
void net_workers_destroy(struct net_workers *workers);

/**
 * net_worker_setup() - make the calling thread fit to be worker @index; before any sandbox.
 *
 * Unless the process has been given a policy of the scheduler other than the usual one, the worker
 * chooses between SCHED_OTHER and SCHED_BATCH from then on, for itself (net_pace.c).
 */
void net_worker_setup(struct net_workers *workers, unsigned int index);

/**
 * net_worker_serve() - the body of thread @index; system calls: NET_SYSCALLS (net_syscalls.h).
 * Costs nothing but a sleeping thread as long as there is no device. Return: after
 * net_workers_stop(), or -errno of epoll_wait(2).
 */
int net_worker_serve(struct net_workers *workers, unsigned int index);
/* Makes every thread return, now or as soon as it comes. */
void net_workers_stop(struct net_workers *workers);

/**
 * net_worker_step() - one round of worker @index, for tests: what there is to do, up to a budget.
 * @timeout: milliseconds to wait for something, -1: for ever.
 * Return: 1 when there is more to do, 0 when there is not, or -errno.
 */
int net_worker_step(struct net_workers *workers, unsigned int index, int timeout);

/**
 * net_probe_tap() - check a TAP queue and make it ready for use.
 * @offloads: receives the TUN_F_* bits this kernel's TAPs take; all are switched off.
 *
 * Sets O_NONBLOCK and the size of the vnet header. System calls: NET_CREATE_SYSCALLS.
 *
 * Return: 0, -EINVAL for what is no TAP with IFF_NO_PI and IFF_VNET_HDR, or -errno.
 */
int net_probe_tap(int tap_fd, uint32_t *offloads, struct error *err);

/**
 * net_probe_vhost() - make a descriptor of /dev/vhost-net this process's own, and check it.
 * @memory: of the guest; does not change any more.
 * System calls: NET_CREATE_SYSCALLS. Return: 0, -ENOTSUP for a kernel that lacks something, or
 * -errno.
 */
int net_probe_vhost(int vhost_fd, const struct guest_memory *memory, struct error *err);

struct net_config {
    struct guest_memory *memory;
    int kick_fd, interrupt_fd; /* the slot's; not taken over */
    struct net_workers *workers;
    /*
     * One TAP queue for each pair, all of one TAP (IFF_MULTI_QUEUE when there are several), each
     * through net_probe_tap(); taken over when net_create() succeeds.
     */
    const int *tap_fds;
    /*
     * One for each pair, through net_probe_vhost(): packets are moved by the host's kernel. Taken
     * over likewise. NULL: by the workers.
     */
    const int *vhost_fds;
    unsigned int pairs; /* 1 to NET_PAIRS_MAX */
    uint32_t offloads;  /* of net_probe_tap() */
    const uint8_t *mac; /* 6 bytes; NULL: the guest invents one */
    bool link;          /* up */
};

/**
 * net_create() - a device that is ready for a slot.
 *
 * Its queue pairs are spread over the workers, which serve it at once. The driver's notifications
 * may come in two ways. All of them to @kick_fd: then the first pair's worker passes them on to the
 * others. Or each queue's to net_queue_kick_fd(), by KVM_IOEVENTFD_FLAG_DATAMATCH with the queue's
 * number: better when there are several pairs.
 *
 * Return: 0 with @net set, or -errno.
 */
int net_create(struct net **net, const struct net_config *config, struct error *err);
/*
 * Closes the TAPs. The slot is empty already: no vCPU may be on the way into the device. Waits for
 * the workers to finish what they are at.
 */
void net_destroy(struct net *net);

struct virtio_device *net_virtio(struct net *net);
/* How many queues are to have notifications of their own; 0: all go to @kick_fd. */
unsigned int net_kick_count(const struct net *net);
/* Where KVM is to signal notifications of @queue. @kick_fd itself for the control queue. */
int net_queue_kick_fd(const struct net *net, unsigned int queue);

/* The interface's carrier on the host changed; tells the guest. From any thread. */
void net_set_link(struct net *net, bool up);
bool net_link(struct net *net);

/* Gives all descriptors back to the caller of net_create(), which then destroys the device. */
void net_forget_descriptors(struct net *net);

/*
 * The interface is gone from the host: the link goes down for good and the TAPs are closed, which
 * deletes them. The device stays until the guest has let go of it. From any thread.
 *
 * Happens by itself when a worker reads or writes a TAP that has been deleted. With vhost-net no
 * worker does, and the kernel tells nobody that it has lost one: then only when the driver starts
 * the device the next time, with a line that says so.
 */
void net_detach(struct net *net);

#endif
