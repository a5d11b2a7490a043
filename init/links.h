/*
 * The network interfaces that the host gave this machine: which device slot each one sits in, what
 * it is called, and how it is set up.
 */
#ifndef VMRT_INIT_LINKS_H
#define VMRT_INIT_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/failure.h"
#include "init/netlink.h"
#include "init/protocol.h"

/* More than there are device slots. */
#define LINKS_MAX 64

/* Where interfaces come from; tests have some that need no device. */
struct links_source {
    /* Makes the device in @slot an interface. Return: its number, or a negative errno. */
    int (*attach)(uint64_t slot);
    /* Takes the interface away again, device and all. Return: 0 or a negative errno. */
    int (*detach)(uint64_t slot);
};

/* Device slots of the machine (virtio-mmio). */
extern const struct links_source links_of_slots;

struct link {
    uint32_t host_index; /* the number that messages use */
    int index;           /* the guest's own */
    uint64_t slot;
    char name[IF_NAMESIZE]; /* as it is to be called */
    uint8_t mac[6];
    bool has_mac;
    uint32_t mtu;          /* bytes; 0: leave */
    uint32_t flags;        /* IFF_* */
    uint32_t mask;         /* of those flags that are to change; 0: leave */
    bool carrier;          /* the device reports one */
    char addr_gen_mode[4]; /* to be put back when its link-local address has come; "": nothing */
    /* Of the message that is being applied. */
    bool is_new, has_changed, renames, renamed_away;
};

struct links {
    struct link items[LINKS_MAX];
    size_t count;
};

/* replay_map of init/replay.h; @context is a struct links. lo is 1 on both sides. */
int links_map(const void *context, uint32_t host_index);

/**
 * links_add() - take in a FIELD_LINK; links_settle() makes it so.
 * Return: 0 or a negative errno with @failure.
 */
int links_add(struct links *links, const struct protocol_reader *fields,
              const struct links_source *source, struct failure *failure);

/* Takes in an RTM_NEWLINK about an interface that is there already, likewise. */
int links_change(struct links *links, const struct protocol_reader *message,
                 struct failure *failure);

/**
 * links_rename() - give every interface that was added or renamed its name. They may swap names:
 * each goes by a temporary one in between.
 * Return: 0, or the first failure; the others have theirs all the same. So does links_settle().
 */
int links_rename(struct links *links, struct netlink *netlink, struct failure *failure);

/* Addresses, sizes and flags of those that were added or changed: up, when the host's is. */
int links_settle(struct links *links, struct netlink *netlink, struct failure *failure);

/**
 * links_wait() - wait until each that is new, up and has a carrier can send.
 *
 * The driver hears of its carrier after it is up, from the kernel's workers, and until they have
 * been at work the interface drops what is sent, and says NO-CARRIER: the first packet of a
 * workload that does not wait would be lost. @events: an open netlink_open_events(), from before
 * links_settle(). Not for longer than a second: then the workload sees for itself.
 */
void links_wait(const struct links *links, struct netlink *netlink, const struct netlink *events);

/* Forgets what is new and what has changed. */
void links_done(struct links *links);

/* FIELD_LINK_GONE: the interface disappears. One that is not known is none. */
int links_remove(struct links *links, uint32_t host_index, const struct links_source *source,
                 struct failure *failure);

#endif
