/* The pair of interfaces between the host and a container's network namespace. */
#ifndef VMRT_HOOKS_UPLINK_LINK_H
#define VMRT_HOOKS_UPLINK_LINK_H

#include <net/if.h>
#include <stdint.h>

#include "lib/error.h"

/* Names of the host's ends: this and the number of the subnet, so that one number has one owner. */
#define LINK_NAME "vmrtu"
/* The container's end. */
#define LINK_GUEST_NAME "eth0"

struct link {
    char name[IF_NAMESIZE];
    uint32_t subnet; /* host byte order; .1 is the host, .2 the container */
};

/**
 * link_make() - make the pair, give both ends their addresses, and the namespace its default route.
 *
 * The pair ends with the namespace: there is nothing to take back.
 *
 * @namespace: descriptor; the caller's thread is in the host's namespace, and there again at the
 *             end.
 * Return: 0 or a negative errno.
 */
int link_make(int namespace, struct link *link, struct error *err);

#endif
