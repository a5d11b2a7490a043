/* The machine's network: MESSAGE_NETWORK made so. */
#ifndef VMRT_INIT_NETWORK_H
#define VMRT_INIT_NETWORK_H

#include "init/failure.h"
#include "init/links.h"
#include "init/protocol.h"

/* What the host's interfaces are here; lives as long as the machine. */
struct network {
    const struct links_source *source;
    struct links links;
};

/* @source: &links_of_slots, but for tests. */
void network_init(struct network *network, const struct links_source *source);

/**
 * network_apply() - make a MESSAGE_NETWORK so: interfaces appear and disappear, are named and
 * brought up, and have their addresses, neighbours, rules and routes, when it returns.
 * @fields: those of the message.
 * Return: 0 or a negative errno with @failure, which names the interface or the address: the first
 * of what failed. What was done before stays, and unless the message is malformed or an interface
 * does not appear, all the rest is done.
 */
int network_apply(struct network *network, struct protocol_reader fields, struct failure *failure);

/**
 * network_is_sysctl() - whether a sysctl of config.json belongs to the network. Such may name
 * interfaces ("net.ipv4.conf.eth0.forwarding"), so they wait for START.
 */
bool network_is_sysctl(const char *key);

/**
 * network_apply_sysctl() - write one of these. The key is spelt as runc takes it: dots for slashes.
 * Return: 0 or a negative errno with @failure.
 */
int network_apply_sysctl(const char *key, const char *value, struct failure *failure);

/* Brings up the loopback interface, which gets 127.0.0.1 and ::1 by that. Return: 0 or -errno. */
int network_loopback_up(void);

#endif
