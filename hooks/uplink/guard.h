/*
 * Keeps a machine from speaking for others: of what comes from its link, the host sees ARP and IPv4
 * with the address that the machine was given.
 *
 * rp_filter is not enough: the kernel goes by the larger of the interface's and that of conf/all,
 * and 2 there (Ubuntu's default) means any address to which there is a route
 * (Documentation/networking/ip-sysctl.rst). Rules of the packet filter would be forgotten when a
 * firewall is reloaded; these end with the link.
 */
#ifndef VMRT_HOOKS_UPLINK_GUARD_H
#define VMRT_HOOKS_UPLINK_GUARD_H

#include <stdint.h>

#include "hooks/net/kernel.h"
#include "lib/error.h"

/**
 * guard_add() - before the link comes up.
 * @index:   of the host's end.
 * @address: the machine's, host byte order.
 * Return: 0 or a negative errno.
 */
int guard_add(struct kernel *kernel, int index, uint32_t address, struct error *err);

#endif
