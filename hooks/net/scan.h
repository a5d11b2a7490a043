/* What a network namespace holds: its interfaces and everything that a guest is to be told. */
#ifndef VMRT_HOOKS_NET_SCAN_H
#define VMRT_HOOKS_NET_SCAN_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "lib/error.h"

#define SCAN_LINKS_MAX 64

/* An interface that a guest gets. */
struct scan_link {
    int index;
    char name[IF_NAMESIZE];
    char kind[24]; /* "veth", "macvlan", …; "" for hardware */
    uint8_t mac[6];
    uint32_t mtu, flags; /* bytes; IFF_* */
    bool carrier;
    bool ipv6_off; /* its sysctl disable_ipv6 */
};

/* One that it does not get. */
struct scan_skipped {
    int index;
    char name[IF_NAMESIZE];
    const char *reason;
};

/*
 * A netlink message for the guest, without what is of this moment only (statistics, flags that the
 * kernel keeps), so that the same thing found twice is the same bytes.
 */
struct scan_item {
    struct nlmsghdr *message;
    uint32_t same;   /* bytes of it that must be equal for two items to be the same */
    int64_t expires; /* s of CLOCK_BOOTTIME; INT64_MAX: never */
    /* Of an address: when it is no longer preferred, likewise; 0: it is not now. */
    int64_t deprecated;
    int index; /* interface it belongs to; 0: none or several */
    /* A route that the guest's kernel makes by itself with an address. */
    bool implied;
};

struct scan {
    /* Interfaces that are treated as if they were not there, while they are as they were. */
    const struct scan_link *ignored;
    size_t ignored_count;
    struct scan_link links[SCAN_LINKS_MAX];
    size_t link_count;
    struct scan_skipped skipped[SCAN_LINKS_MAX];
    size_t skipped_count;
    struct scan_item *items;
    size_t count, capacity, bytes;
    struct scan_item **sorted; /* for scan_find() */
    bool loopback_ipv6_off;
    char machine[IF_NAMESIZE]; /* a TAP of a virtual machine, if there is one */
};

/**
 * scan_take() - read the namespace. Repeated while it changes under the reading.
 * @scan:    overwritten; scan_free() it.
 * @ignored: interfaces to leave out as long as they are the same.
 * Return: 0 or a negative errno with @err.
 */
int scan_take(struct scan *scan, struct kernel *kernel, const struct scan_link *ignored,
              size_t ignored_count, struct error *err);

void scan_free(struct scan *scan);

const struct scan_link *scan_find_link(const struct scan *scan, int index);

/* The item of @scan that is the same as @item, or NULL. */
const struct scan_item *scan_find(const struct scan *scan, const struct scan_item *item);

/* Likewise, but a message of @type: of another direction. */
const struct scan_item *scan_find_type(const struct scan *scan, const struct scan_item *item,
                                       uint16_t type);

/* Whether @scan has the address of @item and its peer, whatever its flags and lifetimes. */
bool scan_has_address(const struct scan *scan, const struct scan_item *item);

/* One pass of the reading, for scan_take(): links, then items (scan_items.c). */
int scan_read_items(struct scan *scan, struct kernel *kernel);

#endif
