/* The connection of a network namespace with a virtual machine, from beginning to end. */
#ifndef VMRT_HOOKS_NET_NETWORK_H
#define VMRT_HOOKS_NET_NETWORK_H

#include "kernel.h"
#include "lib/error.h"
#include "local.h"
#include "redirect.h"
#include "scan.h"
#include "sysctl.h"

/* An interface that the guest has. */
struct joint {
    struct redirect redirect;
    bool allmulti; /* we made the interface take every multicast frame */
};

struct network {
    struct kernel kernel;
    int control;         /* connection to vmrt-vmm */
    unsigned int queues; /* of each interface */
    bool vhost;          /* each is to get descriptors of /dev/vhost-net, too */
    void (*warn)(const char *line);
    struct scan told; /* what the guest has been told */
    struct joint joints[SCAN_LINKS_MAX];
    size_t joint_count;
    /* Interfaces that could not be given to the guest: not tried again as they are. */
    struct scan_link refused[SCAN_LINKS_MAX];
    size_t refused_count;
    struct local local;
    bool stale; /* an interface went between the last reading and its joining */
    bool again; /* the last change could not be read or told, and may be without another one */
    char ports_before[SYSCTL_VALUE_MAX];
    /* The namespace's name server, and what has been done about it. */
    enum { RESOLVER_NONE, RESOLVER_FAILED, RESOLVER_STARTED, RESOLVER_TOLD } resolver;
};

/**
 * network_open() - prepare, in the namespace that the caller is in.
 * Return: 0 or a negative errno.
 */
int network_open(struct network *network, int control, unsigned int queues, bool vhost,
                 void (*warn)(const char *line), struct error *err);

/**
 * network_sync() - read the namespace, and make the guest's network the same: TAPs and redirects
 * for new interfaces, one message, its answer.
 * Return: 0 or a negative errno; -EBUSY when another virtual machine uses the namespace. The first
 * time the guest has no network then. Later, the guest has everything else; new interfaces are not
 * joined, and not tried again until they change. What could not be read or told at all is left for
 * the next call; network->again: it may work then although nothing has changed.
 */
int network_sync(struct network *network, struct error *err);

/* Follows the namespace until the virtual machine ends. What fails is said and passed over. */
void network_watch(struct network *network);

/* Takes everything of ours off the namespace. */
void network_undo(struct network *network);

/**
 * network_clean() - take what a watcher that was killed has left off the namespace that the caller
 * is in. Nothing is done while a virtual machine is connected.
 * Return: 0 or a negative errno.
 */
int network_clean(struct error *err);

void network_close(struct network *network);

#endif
