/* What a network namespace holds: interfaces, and the reading as a whole. */
#include "scan.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "tap.h"

#include "sysctl.h"

/*
 * Readings of a namespace that changes all the time: the last is taken as it is, unless the kernel
 * says that it is none (NLM_F_DUMP_INTR).
 */
#define TRIES 8

/*
 * Kinds that carry Ethernet frames in packets of a network stack: that of this namespace, whose
 * interfaces are the guest's, unless they were made in another one. Some (gretap0, erspan0 …) are
 * in every namespace, and down.
 */
static const char *const tunnel_kinds[] = {
    "vxlan", "geneve", "gretap", "erspan", "ip6gretap", "ip6erspan",
};

static void skip(struct scan *scan, const struct scan_link *link, const char *reason)
{
    struct scan_skipped *skipped = &scan->skipped[scan->skipped_count];

    if (!reason || scan->skipped_count == SCAN_LINKS_MAX)
        return;
    skipped->index = link->index;
    memcpy(skipped->name, link->name, sizeof(skipped->name));
    skipped->reason = reason;
    scan->skipped_count++;
}

/* "vmrt" and a number, of kind "tun": one of ours, whoever made it. */
static bool is_our_tap(const struct scan_link *link)
{
    size_t prefix = strlen(TAP_NAME);

    return strcmp(link->kind, "tun") == 0 && strncmp(link->name, TAP_NAME, prefix) == 0 &&
           link->name[prefix] &&
           strspn(link->name + prefix, "0123456789") == strlen(link->name + prefix);
}

static void copy_string(char *to, size_t size, const struct nlattr *attribute)
{
    if (attribute)
        nla_strlcpy(to, attribute, size);
}

static bool is_tunnel(const struct scan_link *link)
{
    for (size_t i = 0; i < sizeof(tunnel_kinds) / sizeof(tunnel_kinds[0]); i++)
        if (strcmp(link->kind, tunnel_kinds[i]) == 0)
            return true;
    return false;
}

/*
 * Return: whether the guest gets the interface. One that stands on another of this namespace (a
 * VLAN of eth0) gets its frames through that, which the guest has; a bridge's port likewise belongs
 * to the bridge.
 */
static bool is_for_guest(struct scan *scan, const struct ifinfomsg *info,
                         struct nlattr **attributes, const struct scan_link *link)
{
    static const uint8_t no_mac[6];

    if (info->ifi_flags & IFF_LOOPBACK)
        return false;
    if (strcmp(link->kind, "vrf") == 0) {
        skip(scan, link, "a VRF has no frames of its own");
        return false;
    }
    /* IFLA_LINK would not tell: a vxlan has none, whether it stands on an interface or not. */
    if (is_tunnel(link) && !attributes[IFLA_LINK_NETNSID]) {
        skip(scan, link,
             info->ifi_flags & IFF_UP ? "its tunnel leads through interfaces that are passed"
                                      : NULL);
        return false;
    }
    if (info->ifi_type != ARPHRD_ETHER) {
        /* sit0, ip6tnl0 and such are in every namespace, and down. */
        skip(scan, link, info->ifi_flags & IFF_UP ? "it does not carry Ethernet frames" : NULL);
        return false;
    }
    if (memcmp(link->mac, no_mac, sizeof(no_mac)) == 0) {
        skip(scan, link, "it has no hardware address");
        return false;
    }
    if (attributes[IFLA_MASTER]) {
        skip(scan, link, "it is a port of another interface");
        return false;
    }
    if (attributes[IFLA_LINK] && !attributes[IFLA_LINK_NETNSID] &&
        strcmp(link->kind, "veth") != 0 && (int)nla_get_u32(attributes[IFLA_LINK]) != link->index) {
        skip(scan, link, "it stands on another interface, which is passed");
        return false;
    }
    return true;
}

static bool is_same_link(const struct scan_link *a, const struct scan_link *b)
{
    return a->index == b->index && a->mtu == b->mtu && a->flags == b->flags &&
           strcmp(a->name, b->name) == 0 && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

static int take_link(const struct nlmsghdr *message, void *context)
{
    struct scan *scan = context;
    struct nlattr *attributes[IFLA_MAX + 1], *nested[IFLA_INFO_MAX + 1];
    const struct ifinfomsg *info = nlmsg_data(message);
    struct scan_link link = { .index = info->ifi_index, .flags = info->ifi_flags };

    if (message->nlmsg_type != RTM_NEWLINK)
        return 0;
    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)message, sizeof(*info), attributes, IFLA_MAX,
                    NULL) < 0)
        return -EPROTO;
    copy_string(link.name, sizeof(link.name), attributes[IFLA_IFNAME]);
    if (attributes[IFLA_LINKINFO] &&
        nla_parse_nested(nested, IFLA_INFO_MAX, attributes[IFLA_LINKINFO], NULL) == 0)
        copy_string(link.kind, sizeof(link.kind), nested[IFLA_INFO_KIND]);
    if (attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == sizeof(link.mac))
        memcpy(link.mac, nla_data(attributes[IFLA_ADDRESS]), sizeof(link.mac));
    if (attributes[IFLA_MTU])
        link.mtu = nla_get_u32(attributes[IFLA_MTU]);
    /* Unlike IFF_LOWER_UP it is told of an interface that is down, too. */
    link.carrier = !attributes[IFLA_CARRIER] || nla_get_u8(attributes[IFLA_CARRIER]);
    if (is_our_tap(&link)) {
        memcpy(scan->machine, link.name, sizeof(link.name));
        return 0;
    }
    if (!is_for_guest(scan, info, attributes, &link))
        return 0;
    for (size_t i = 0; i < scan->ignored_count; i++)
        if (is_same_link(&scan->ignored[i], &link))
            return 0;
    if (scan->link_count == SCAN_LINKS_MAX)
        return -E2BIG;
    scan->links[scan->link_count++] = link;
    return 0;
}

static int compare_links(const void *a, const void *b)
{
    return ((const struct scan_link *)a)->index - ((const struct scan_link *)b)->index;
}

static int compare_items(const void *a, const void *b)
{
    const struct scan_item *left = *(const struct scan_item *const *)a;
    const struct scan_item *right = *(const struct scan_item *const *)b;

    if (left->same != right->same)
        return left->same < right->same ? -1 : 1;
    return memcmp(left->message, right->message, left->same);
}

static int sort_items(struct scan *scan)
{
    scan->sorted = calloc(scan->count + 1, sizeof(struct scan_item *));
    if (!scan->sorted)
        return -ENOMEM;
    for (size_t i = 0; i < scan->count; i++)
        scan->sorted[i] = &scan->items[i];
    qsort(scan->sorted, scan->count, sizeof(struct scan_item *), compare_items);
    return 0;
}

static bool is_ipv6_off(const char *name)
{
    char key[64], value[SYSCTL_VALUE_MAX];

    snprintf(key, sizeof(key), "net/ipv6/conf/%s/disable_ipv6", name);
    return sysctl_read(key, value) == 0 && strcmp(value, "0") != 0;
}

/* What netlink does not tell of interfaces. It notifies of the addresses that come and go with it.
 */
static void read_settings(struct scan *scan)
{
    scan->loopback_ipv6_off = is_ipv6_off("lo");
    for (size_t i = 0; i < scan->link_count; i++)
        scan->links[i].ipv6_off = is_ipv6_off(scan->links[i].name);
}

static int take_once(struct scan *scan, struct kernel *kernel, const struct scan_link *ignored,
                     size_t ignored_count)
{
    int ret;

    memset(scan, 0, sizeof(*scan));
    scan->ignored = ignored;
    scan->ignored_count = ignored_count;
    kernel_drain_events(kernel);
    ret = kernel_dump(kernel, RTM_GETLINK, AF_UNSPEC, take_link, scan);
    qsort(scan->links, scan->link_count, sizeof(scan->links[0]), compare_links);
    read_settings(scan);
    if (ret == 0)
        ret = scan_read_items(scan, kernel);
    if (ret == 0)
        ret = sort_items(scan);
    return ret;
}

int scan_take(struct scan *scan, struct kernel *kernel, const struct scan_link *ignored,
              size_t ignored_count, struct error *err)
{
    int ret = 0;

    for (int i = 0; i < TRIES; i++) {
        ret = take_once(scan, kernel, ignored, ignored_count);
        if (ret < 0 && ret != -EAGAIN)
            break;
        if (ret == 0 && (i == TRIES - 1 || !kernel_has_events(kernel)))
            return 0;
        scan_free(scan);
    }
    scan_free(scan);
    if (ret == -E2BIG)
        return error_set(err, E2BIG, "network namespace: more than %d interfaces", SCAN_LINKS_MAX);
    if (ret == -EFBIG)
        return error_set(err, EFBIG,
                         "network namespace: more addresses and routes than fit a message");
    return error_set(err, -ret, "network namespace: read its interfaces and routes: %s",
                     kernel->reason[0] ? kernel->reason : strerror(-ret));
}

void scan_free(struct scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        free(scan->items[i].message);
    free(scan->items);
    free(scan->sorted);
    memset(scan, 0, sizeof(*scan));
}

const struct scan_link *scan_find_link(const struct scan *scan, int index)
{
    for (size_t i = 0; i < scan->link_count; i++)
        if (scan->links[i].index == index)
            return &scan->links[i];
    return NULL;
}

const struct scan_item *scan_find(const struct scan *scan, const struct scan_item *item)
{
    struct scan_item *const *found;

    /* A scan of zeroes, which is nothing told yet, has no list at all. */
    if (!scan->sorted)
        return NULL;
    found = bsearch(&item, scan->sorted, scan->count, sizeof(struct scan_item *), compare_items);
    return found ? *found : NULL;
}

const struct scan_item *scan_find_type(const struct scan *scan, const struct scan_item *item,
                                       uint16_t type)
{
    uint16_t before = item->message->nlmsg_type;
    const struct scan_item *found;

    item->message->nlmsg_type = type;
    found = scan_find(scan, item);
    item->message->nlmsg_type = before;
    return found;
}
