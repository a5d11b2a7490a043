/*
 * The guest's way to the name server that an engine runs inside a container's network namespace:
 * Docker's at 127.0.0.11, behind rules for the namespace's own packets, which the guest's are not.
 *
 * A process of its own asks it on the guest's behalf: it is in the namespace, it has no
 * capabilities, and nothing open but its sockets. What the guest says comes to it through
 * vmrt-vmm, and all that the guest decides is the bytes of a question: they go to that address and
 * port, and nowhere else.
 */
#ifndef VMRT_HOOKS_NET_RESOLVER_H
#define VMRT_HOOKS_NET_RESOLVER_H

#include <stdbool.h>

#include "lib/error.h"

/* Whether the caller's namespace has a server there: somebody has a UDP socket on the address. */
bool resolver_is_there(void);

/**
 * resolver_start() - start the process, and tell vmrt-vmm about it (CONTROL_RESOLVER). It ends with
 * the virtual machine, or when the guest breaks the protocol.
 * @control: connection to vmrt-vmm.
 * Return: 0 or a negative errno.
 */
int resolver_start(int control, struct error *err);

#endif
