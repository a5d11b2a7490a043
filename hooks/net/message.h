/* MESSAGE_NETWORK: what a guest must be told to get from one scan of the namespace to the next. */
#ifndef VMRT_HOOKS_NET_MESSAGE_H
#define VMRT_HOOKS_NET_MESSAGE_H

#include <stdbool.h>

#include "init/protocol.h"
#include "lib/error.h"
#include "scan.h"

/* What belongs to each new interface. */
struct message_cards {
    unsigned int queues; /* queue pairs, and TAP descriptors */
    bool vhost;          /* as many descriptors of /dev/vhost-net follow these */
};

/**
 * message_build() - write the message.
 * @before: what the guest has been told; a scan of zeroes at the beginning.
 * @after:  what is so now.
 * @cards:  what the new interfaces are to be.
 * @resolver: the guest is to ask the name server of the namespace from now on.
 * Return: 1 when there is something to say, 0 when not, or a negative errno.
 */
int message_build(struct protocol_writer *writer, const struct scan *before,
                  const struct scan *after, const struct message_cards *cards, bool resolver,
                  struct error *err);

/* The message that takes back what @before does not have of @after: its interfaces are gone. */
int message_build_retraction(struct protocol_writer *writer, const struct scan *before,
                             const struct scan *after);

/**
 * message_send() - hand it to vmrt-vmm (CONTROL_NETWORK) and wait until the guest has done it.
 * @control: connection to vmrt-vmm.
 * @fds:     TAPs of the new interfaces, in their order.
 * Return: 0, a negative errno, or what vmrt-vmm or the guest answered.
 */
int message_send(int control, const struct protocol_writer *writer, const int *fds, size_t fd_count,
                 struct error *err);

/* A request that is nothing but its descriptors. Return: as message_send(). */
int message_pass(int control, uint16_t type, const int *fds, size_t fd_count, struct error *err);

#endif
