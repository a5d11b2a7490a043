/*
 * Netlink messages of the host's kernel, said again to the guest's: FIELD_NETLINK of
 * MESSAGE_NETWORK. What differs between the two are the interfaces' numbers.
 */
#ifndef VMRT_INIT_REPLAY_H
#define VMRT_INIT_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/failure.h"
#include "init/netlink.h"
#include "init/protocol.h"

/* The guest's interface number for that of the host; 0: there is no such interface. */
typedef int replay_map(const void *context, uint32_t host_index);

/*
 * The order in which messages take effect, whatever their order in the field list: what others
 * need comes first. Within a step the order of the message is kept.
 */
enum replay_step {
    REPLAY_DEL_ADDRESS,
    REPLAY_ADDRESS,
    /* After addresses: routes which the kernel made by itself with them, but the host has not. */
    REPLAY_DEL_ROUTE,
    REPLAY_DEL_RULE,
    REPLAY_DEL_NEIGHBOUR,
    REPLAY_NEIGHBOUR,
    REPLAY_RULE,
    REPLAY_ROUTE,         /* without a gateway */
    REPLAY_ROUTE_GATEWAY, /* through one: it must be reachable already */
    REPLAY_STEPS,
    REPLAY_LINK, /* RTM_NEWLINK: not replayed but understood (links.c) */
};

/**
 * replay_classify() - what a FIELD_NETLINK is.
 * Return: enum replay_step, -EPROTO when it is malformed, -EOPNOTSUPP for a type that init does
 * not know.
 */
int replay_classify(const struct protocol_reader *message);

/**
 * replay_prepare() - copy a message and put the guest's interface numbers in.
 * @message: replay_classify() accepted it.
 * @request: receives it, ready but for the flags.
 * Return: 0, -EMSGSIZE, -EPROTO, or -ENODEV: it names an interface that the guest does not have.
 */
int replay_prepare(const struct protocol_reader *message, replay_map *map, const void *context,
                   union netlink_request *request);

/**
 * replay_apply() - prepare and send.
 * @message, @map: as for replay_prepare().
 * Return: 0 or a negative errno with @failure, which names the address, route, rule or neighbour.
 *
 * Something to add that is there already and something to remove that is gone are no failures: the
 * guest's kernel does by itself much of what the host's did.
 */
int replay_apply(struct netlink *netlink, const struct protocol_reader *message, replay_map *map,
                 const void *context, struct failure *failure);

#endif
