/* The action of a tc filter that sends frames to another interface of the namespace. */
#ifndef VMRT_HOOKS_NET_MIRRED_H
#define VMRT_HOOKS_NET_MIRRED_H

#include <netlink/msg.h>
#include <stdbool.h>

/**
 * mirred_put() - append it to the options of a u32 filter (linux/tc_act/tc_mirred.h).
 * @redirect: the frame itself; otherwise a copy, and the frame goes on.
 * @to: number of the interface that sends it.
 * Return: 0, or -EMSGSIZE.
 */
int mirred_put(struct nl_msg *message, bool redirect, int to);

#endif
