/* The host's packet filter: what lets a container out, under the address of the host. */
#ifndef VMRT_HOOKS_UPLINK_RULES_H
#define VMRT_HOOKS_UPLINK_RULES_H

#include "lib/error.h"
#include "link.h"

/* Longest tag, which names chains (XT_EXTENSION_MAXNAMELEN) and tables. */
#define RULES_TAG_MAX 28

/**
 * rules_add() - masquerade what comes from @link, and let it be forwarded.
 *
 * By iptables where the host has it, because Docker drops there what it does not know, and an
 * accept elsewhere would not change that; else by nft.
 *
 * Return: 0, or -errno in the words of the tool, or naming the missing tools.
 */
int rules_add(const char *tag, const struct link *link, struct error *err);

/* Takes away all rules of @tag, however many there are: none is fine. Return: 0 or -errno. */
int rules_remove(const char *tag, struct error *err);

#endif
