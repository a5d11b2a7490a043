/* Addresses, routes, rules and permanent neighbours of a namespace, as messages for a guest. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "init/protocol.h"
#include "scan.h"

/* The interface number of lo in every namespace (include/net/net_namespace.h). */
#define LO_INDEX 1

/*
 * Of all messages of a scan, bytes. One message may have to take back all of one scan and say all
 * of the next; an eighth is left for interfaces and their settings.
 */
#define BYTES_MAX (PROTOCOL_LENGTH_MAX / 16 * 7)

/* What stands before each: FIELD_NETLINK and its length. */
#define FIELD_SIZE 8

#define BIT(n)     (UINT64_C(1) << (n))
#define ALL_BUT(n) (~BIT(n))

/* Which attributes a guest is told of each kind of message, and the largest number looked at. */
static const uint64_t address_attributes = BIT(IFA_ADDRESS) | BIT(IFA_LOCAL) | BIT(IFA_LABEL) |
                                           BIT(IFA_BROADCAST) | BIT(IFA_FLAGS) |
                                           BIT(IFA_RT_PRIORITY) | BIT(IFA_PROTO);
/* RTA_NH_ID is left out: the next hops it stands for are told too. */
static const uint64_t route_attributes =
    BIT(RTA_DST) | BIT(RTA_SRC) | BIT(RTA_IIF) | BIT(RTA_OIF) | BIT(RTA_GATEWAY) |
    BIT(RTA_PRIORITY) | BIT(RTA_PREFSRC) | BIT(RTA_METRICS) | BIT(RTA_MULTIPATH) | BIT(RTA_FLOW) |
    BIT(RTA_TABLE) | BIT(RTA_VIA) | BIT(RTA_PREF) | BIT(RTA_ENCAP_TYPE) | BIT(RTA_ENCAP) |
    BIT(RTA_TTL_PROPAGATE);
static const uint64_t neighbour_attributes = BIT(NDA_DST) | BIT(NDA_LLADDR) | BIT(NDA_PROTOCOL);
static const uint64_t rule_attributes = ALL_BUT(FRA_PAD);

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_BOOTTIME, &time);
    return time.tv_sec;
}

static int add_item(struct scan *scan, const struct scan_item *item)
{
    if (!item->message)
        return -ENOMEM;
    if (scan->bytes + item->message->nlmsg_len + FIELD_SIZE > BYTES_MAX) {
        free(item->message);
        return -EFBIG;
    }
    if (scan->count == scan->capacity) {
        size_t capacity = scan->capacity ? scan->capacity * 2 : 32;
        struct scan_item *items = realloc(scan->items, capacity * sizeof(*items));

        if (!items) {
            free(item->message);
            return -ENOMEM;
        }
        scan->items = items;
        scan->capacity = capacity;
    }
    scan->bytes += item->message->nlmsg_len + FIELD_SIZE;
    scan->items[scan->count++] = *item;
    return 0;
}

/* A message of its own, without the attributes that are not in @keep. NULL without memory. */
static struct nlmsghdr *normalise(const struct nlmsghdr *message, size_t fixed, uint64_t keep)
{
    struct nlmsghdr *copy = calloc(1, NLMSG_ALIGN(message->nlmsg_len));
    struct nlattr *attribute;
    int left;

    if (!copy)
        return NULL;
    copy->nlmsg_type = message->nlmsg_type;
    copy->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + NLMSG_ALIGN(fixed));
    memcpy(nlmsg_data(copy), nlmsg_data(message), fixed);
    nlmsg_for_each_attr(attribute, (struct nlmsghdr *)(uintptr_t)message, (int)fixed, left)
    {
        if (nla_type(attribute) > 63 || !(keep & BIT(nla_type(attribute))))
            continue;
        memcpy((uint8_t *)copy + copy->nlmsg_len, attribute, attribute->nla_len);
        copy->nlmsg_len += (uint32_t)NLA_ALIGN(attribute->nla_len);
    }
    return copy;
}

/* Appends an attribute to a message of ours. NULL without memory, and the message is gone. */
static struct nlmsghdr *append(struct nlmsghdr *message, uint16_t type, const void *data,
                               size_t length)
{
    struct nlmsghdr *grown;
    struct nlattr *attribute;

    if (!message)
        return NULL;
    grown = realloc(message, message->nlmsg_len + NLA_HDRLEN + NLA_ALIGN(length));
    if (!grown) {
        free(message);
        return NULL;
    }
    attribute = (struct nlattr *)((uint8_t *)grown + grown->nlmsg_len);
    memset(attribute, 0, NLA_HDRLEN + NLA_ALIGN(length));
    attribute->nla_type = type;
    attribute->nla_len = (uint16_t)(NLA_HDRLEN + length);
    memcpy(nla_data(attribute), data, length);
    grown->nlmsg_len += (uint32_t)(NLA_HDRLEN + NLA_ALIGN(length));
    return grown;
}

static bool is_passed(const struct scan *scan, int index)
{
    return index == LO_INDEX || scan_find_link(scan, index);
}

/* 127.0.0.1/8 and ::1/128, which every kernel gives its lo. */
static bool is_loopback_address(const struct ifaddrmsg *info, const struct nlattr *address)
{
    static const uint8_t local4[4] = { 127, 0, 0, 1 }, local6[16] = { [15] = 1 };

    if (info->ifa_index != LO_INDEX)
        return false;
    if (info->ifa_family == AF_INET)
        return nla_len(address) == 4 && memcmp(nla_data(address), local4, 4) == 0;
    return nla_len(address) == 16 && memcmp(nla_data(address), local6, 16) == 0;
}

/* The network's address: the first @bits of @address. */
static void mask_address(uint8_t *address, size_t size, unsigned int bits)
{
    for (size_t i = 0; i < size; i++) {
        unsigned int left = bits > i * 8 ? bits - (unsigned int)i * 8 : 0;

        if (left < 8)
            address[i] &= (uint8_t)(0xff00u >> left);
    }
}

/*
 * The route that the kernel makes with an address (net/ipv4/fib_frontend.c fib_add_ifaddr(),
 * net/ipv6/addrconf.c addrconf_prefix_route()), which has the protocol "kernel". An engine may have
 * removed it (CNI's ptp does); then the guest's is to go too.
 */
static struct nlmsghdr *route_of_address(const struct ifaddrmsg *info, struct nlattr **attributes)
{
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
    } fixed = {
        .header = { .nlmsg_len = sizeof(fixed), .nlmsg_type = RTM_DELROUTE },
        .route = { .rtm_family = info->ifa_family,
                   .rtm_dst_len = info->ifa_prefixlen,
                   .rtm_table = RT_TABLE_MAIN,
                   .rtm_protocol = RTPROT_KERNEL,
                   .rtm_scope = info->ifa_family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                   .rtm_type = RTN_UNICAST },
    };
    size_t size = info->ifa_family == AF_INET ? 4 : 16;
    /* net/ipv6/addrconf.c: IP6_RT_PRIO_ADDRCONF */
    uint32_t index = info->ifa_index, metric = info->ifa_family == AF_INET ? 0 : 256;
    const struct nlattr *local = attributes[IFA_LOCAL] ?: attributes[IFA_ADDRESS];
    void *copy = malloc(sizeof(fixed));
    struct nlmsghdr *message = copy;
    uint8_t network[16];

    memcpy(network, nla_data(attributes[IFA_ADDRESS]), size);
    mask_address(network, size, info->ifa_prefixlen);
    if (attributes[IFA_RT_PRIORITY])
        metric = nla_get_u32(attributes[IFA_RT_PRIORITY]);
    if (copy)
        memcpy(copy, &fixed, sizeof(fixed));
    message = append(message, RTA_DST, network, size);
    message = append(message, RTA_OIF, &index, sizeof(index));
    if (metric)
        message = append(message, RTA_PRIORITY, &metric, sizeof(metric));
    if (size == 4)
        message = append(message, RTA_PREFSRC, nla_data(local), size);
    return message;
}

/* Whether the kernel makes a route with this address. */
static bool makes_route(const struct scan *scan, const struct ifaddrmsg *info, uint32_t flags,
                        struct nlattr **attributes)
{
    const struct scan_link *link = scan_find_link(scan, (int)info->ifa_index);
    const struct nlattr *local = attributes[IFA_LOCAL], *peer = attributes[IFA_ADDRESS];
    /* IFF_RUNNING: an interface that is up but has no carrier may not have its routes yet. */
    const unsigned int on = IFF_UP | IFF_RUNNING;

    if (!link || (link->flags & on) != on || flags & IFA_F_NOPREFIXROUTE)
        return false;
    if (info->ifa_family != AF_INET)
        return true;
    if (flags & IFA_F_SECONDARY || *(const uint8_t *)nla_data(peer) == 0)
        return false;
    return info->ifa_prefixlen < 32 || (local && memcmp(nla_data(local), nla_data(peer), 4) != 0);
}

struct pass {
    struct scan *scan;
    /* Routes that the kernel should have made; those that are found are marked `implied`. */
    struct scan_item *expected;
    size_t expected_count, expected_capacity;
};

static int expect_route(struct pass *pass, struct nlmsghdr *route, int index)
{
    if (!route)
        return -ENOMEM;
    if (pass->expected_count == pass->expected_capacity) {
        size_t capacity = pass->expected_capacity ? pass->expected_capacity * 2 : 16;
        struct scan_item *grown = realloc(pass->expected, capacity * sizeof(*grown));

        if (!grown) {
            free(route);
            return -ENOMEM;
        }
        pass->expected = grown;
        pass->expected_capacity = capacity;
    }
    pass->expected[pass->expected_count++] = (struct scan_item) {
        .message = route, .same = route->nlmsg_len, .expires = INT64_MAX, .index = index
    };
    return 0;
}

/* The flags are what was asked for, not how it went since. */
static void set_address_flags(struct nlmsghdr *message, uint32_t flags)
{
    struct ifaddrmsg *info = nlmsg_data(message);
    struct nlattr *attribute = nlmsg_find_attr(message, sizeof(*info), IFA_FLAGS);

    info->ifa_flags = (uint8_t)flags;
    if (attribute)
        memcpy(nla_data(attribute), &flags, sizeof(flags));
}

static int take_address(const struct nlmsghdr *message, void *context)
{
    const uint32_t kept = IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR |
                          IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
    struct pass *pass = context;
    const struct ifaddrmsg *info = nlmsg_data(message);
    struct nlattr *attributes[IFA_MAX + 1];
    struct scan_item item = { .expires = INT64_MAX,
                              .deprecated = INT64_MAX,
                              .index = (int)info->ifa_index };
    const struct ifa_cacheinfo *times;
    uint32_t flags = info->ifa_flags;
    int ret;

    if (message->nlmsg_type != RTM_NEWADDR || !is_passed(pass->scan, item.index))
        return 0;
    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)message, sizeof(*info), attributes, IFA_MAX,
                    NULL) < 0)
        return -EPROTO;
    if (!attributes[IFA_ADDRESS] ||
        nla_len(attributes[IFA_ADDRESS]) != (info->ifa_family == AF_INET ? 4 : 16))
        return 0;
    if (attributes[IFA_FLAGS])
        flags = nla_get_u32(attributes[IFA_FLAGS]);
    /* A privacy address is the guest's own business; a duplicate is nobody's. */
    if (is_loopback_address(info, attributes[IFA_LOCAL] ?: attributes[IFA_ADDRESS]) ||
        (info->ifa_family == AF_INET6 && flags & (IFA_F_TEMPORARY | IFA_F_DADFAILED)))
        return 0;
    item.message = normalise(message, sizeof(*info), address_attributes);
    if (!item.message)
        return -ENOMEM;
    set_address_flags(item.message, flags & kept);
    item.same = item.message->nlmsg_len;
    times = attributes[IFA_CACHEINFO] ? nla_data(attributes[IFA_CACHEINFO]) : NULL;
    if (times && (times->ifa_valid != UINT32_MAX || times->ifa_prefered != UINT32_MAX)) {
        item.message = append(item.message, IFA_CACHEINFO, times, sizeof(*times));
        if (times->ifa_valid != UINT32_MAX)
            item.expires = now() + times->ifa_valid;
        if (times->ifa_prefered != UINT32_MAX)
            item.deprecated = times->ifa_prefered ? now() + times->ifa_prefered : 0;
    }
    ret = add_item(pass->scan, &item);
    if (ret == 0 && makes_route(pass->scan, info, flags, attributes))
        ret = expect_route(pass, route_of_address(info, attributes), item.index);
    return ret;
}

/* Whether every interface that a route names is the guest's. */
static bool route_is_passed(const struct scan *scan, struct nlattr **attributes)
{
    static const int indexes[] = { RTA_OIF, RTA_IIF };
    struct rtnexthop *hop;
    int left;

    for (size_t i = 0; i < 2; i++)
        if (attributes[indexes[i]] && !is_passed(scan, (int)nla_get_u32(attributes[indexes[i]])))
            return false;
    if (!attributes[RTA_MULTIPATH])
        return true;
    hop = nla_data(attributes[RTA_MULTIPATH]);
    for (left = nla_len(attributes[RTA_MULTIPATH]); left > 0 && RTNH_OK(hop, left);) {
        int length = RTNH_ALIGN(hop->rtnh_len);

        if (!is_passed(scan, hop->rtnh_ifindex))
            return false;
        left -= length;
        hop = RTNH_NEXT(hop);
    }
    return true;
}

/* What the kernel reports about a next hop, rather than what it was told. */
static void reset_hops(struct nlmsghdr *message)
{
    struct nlattr *multipath = nlmsg_find_attr(message, sizeof(struct rtmsg), RTA_MULTIPATH);
    struct rtnexthop *hop = multipath ? nla_data(multipath) : NULL;

    for (int left = multipath ? nla_len(multipath) : 0; left > 0 && RTNH_OK(hop, left);) {
        int length = RTNH_ALIGN(hop->rtnh_len);

        hop->rtnh_flags &= RTNH_F_ONLINK;
        left -= length;
        hop = RTNH_NEXT(hop);
    }
}

/* A route of the kernel's own: one that came with an address is marked as found. */
static void find_expected(struct pass *pass, const struct rtmsg *route, struct nlattr **attributes)
{
    if (!attributes[RTA_DST] || !attributes[RTA_OIF])
        return;
    for (size_t i = 0; i < pass->expected_count; i++) {
        struct scan_item *item = &pass->expected[i];
        const struct rtmsg *other = nlmsg_data(item->message);
        const struct nlattr *network = nlmsg_find_attr(item->message, sizeof(*other), RTA_DST);

        if (other->rtm_family == route->rtm_family && other->rtm_dst_len == route->rtm_dst_len &&
            item->index == (int)nla_get_u32(attributes[RTA_OIF]) &&
            nla_len(network) == nla_len(attributes[RTA_DST]) &&
            memcmp(nla_data(network), nla_data(attributes[RTA_DST]), (size_t)nla_len(network)) == 0)
            item->implied = true;
    }
}

/* Routes that kernels make by themselves, or that are only a memory of packets. */
static bool is_kernels_route(const struct rtmsg *route)
{
    return route->rtm_protocol == RTPROT_KERNEL || route->rtm_protocol == RTPROT_REDIRECT ||
           route->rtm_protocol == RTPROT_RA || route->rtm_flags & RTM_F_CLONED ||
           route->rtm_type == RTN_BROADCAST || route->rtm_type == RTN_ANYCAST ||
           (route->rtm_family == AF_INET6 && route->rtm_table == RT_TABLE_LOCAL &&
            route->rtm_type == RTN_MULTICAST);
}

static int take_route(const struct nlmsghdr *message, void *context)
{
    struct pass *pass = context;
    const struct rtmsg *info = nlmsg_data(message);
    struct nlattr *attributes[RTA_MAX + 1];
    struct scan_item item = { .expires = INT64_MAX };
    struct rtmsg *route;

    if (message->nlmsg_type != RTM_NEWROUTE ||
        (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
        return 0;
    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)message, sizeof(*info), attributes, RTA_MAX,
                    NULL) < 0)
        return -EPROTO;
    if (info->rtm_protocol == RTPROT_KERNEL && info->rtm_table == RT_TABLE_MAIN)
        find_expected(pass, info, attributes);
    if (is_kernels_route(info) || !route_is_passed(pass->scan, attributes))
        return 0;
    item.message = normalise(message, sizeof(*info), route_attributes);
    if (!item.message)
        return -ENOMEM;
    route = nlmsg_data(item.message);
    route->rtm_flags &= RTNH_F_ONLINK;
    reset_hops(item.message);
    item.same = item.message->nlmsg_len;
    item.index = attributes[RTA_OIF] ? (int)nla_get_u32(attributes[RTA_OIF]) : 0;
    return add_item(pass->scan, &item);
}

static int take_rule(const struct nlmsghdr *message, void *context)
{
    struct pass *pass = context;
    const struct fib_rule_hdr *info = nlmsg_data(message);
    struct nlattr *attributes[FRA_MAX + 1];
    struct scan_item item = { .expires = INT64_MAX };

    if (message->nlmsg_type != RTM_NEWRULE || (info->family != AF_INET && info->family != AF_INET6))
        return 0;
    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)message, sizeof(*info), attributes, FRA_MAX,
                    NULL) < 0)
        return -EPROTO;
    /* The three that every namespace begins with, and that of VRFs. */
    if ((attributes[FRA_PROTOCOL] && nla_get_u8(attributes[FRA_PROTOCOL]) == RTPROT_KERNEL) ||
        attributes[FRA_L3MDEV])
        return 0;
    item.message = normalise(message, sizeof(*info), rule_attributes);
    if (!item.message)
        return -ENOMEM;
    ((struct fib_rule_hdr *)nlmsg_data(item.message))->flags &= FIB_RULE_INVERT;
    item.same = item.message->nlmsg_len;
    return add_item(pass->scan, &item);
}

static int take_neighbour(const struct nlmsghdr *message, void *context)
{
    struct pass *pass = context;
    const struct ndmsg *info = nlmsg_data(message);
    struct scan_item item = { .expires = INT64_MAX, .index = info->ndm_ifindex };

    if (message->nlmsg_type != RTM_NEWNEIGH || !(info->ndm_state & NUD_PERMANENT) ||
        (info->ndm_family != AF_INET && info->ndm_family != AF_INET6) || item.index == LO_INDEX ||
        !is_passed(pass->scan, item.index))
        return 0;
    item.message = normalise(message, sizeof(*info), neighbour_attributes);
    if (!item.message)
        return -ENOMEM;
    ((struct ndmsg *)nlmsg_data(item.message))->ndm_flags &= NTF_ROUTER;
    item.same = item.message->nlmsg_len;
    return add_item(pass->scan, &item);
}

/* Found, it is an implied route; missing, it is a route to remove. */
static int add_expected(struct pass *pass)
{
    int ret = 0;

    for (size_t i = 0; i < pass->expected_count; i++) {
        struct scan_item *item = &pass->expected[i];

        if (item->implied)
            item->message->nlmsg_type = RTM_NEWROUTE;
        if (ret == 0)
            ret = add_item(pass->scan, item);
        else
            free(item->message);
    }
    return ret;
}

int scan_read_items(struct scan *scan, struct kernel *kernel)
{
    static const struct {
        int type;
        kernel_each *each;
    } dumps[] = {
        { RTM_GETADDR, take_address },
        { RTM_GETNEIGH, take_neighbour },
        { RTM_GETRULE, take_rule },
        { RTM_GETROUTE, take_route },
    };
    static const int families[] = { AF_INET, AF_INET6 };
    struct pass pass = { .scan = scan };
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < sizeof(dumps) / sizeof(dumps[0]); i++)
        for (size_t j = 0; ret == 0 && j < 2; j++) {
            ret = kernel_dump(kernel, dumps[i].type, families[j], dumps[i].each, &pass);
            /* A kernel without IPv6, or without policy routing. */
            if (ret == -EOPNOTSUPP || ret == -EAFNOSUPPORT)
                ret = 0;
        }
    if (ret == 0)
        ret = add_expected(&pass);
    else
        for (size_t i = 0; i < pass.expected_count; i++)
            free(pass.expected[i].message);
    free(pass.expected);
    return ret;
}

static bool has_same(const struct nlmsghdr *a, const struct nlmsghdr *b, int type)
{
    const size_t fixed = sizeof(struct ifaddrmsg);
    const struct nlattr *left = nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)a, fixed, type);
    const struct nlattr *right = nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)b, fixed, type);

    if (!left || !right)
        return left == right;
    return nla_len(left) == nla_len(right) &&
           memcmp(nla_data(left), nla_data(right), (size_t)nla_len(left)) == 0;
}

/*
 * An address with another peer is another address: of IPv4 the kernel keeps both, or the peer as it
 * was (net/ipv4/devinet.c find_matching_ifa()), and of IPv6 it does not forget one that there is
 * not any more (net/ipv6/addrconf.c inet6_addr_modify()).
 */
bool scan_has_address(const struct scan *scan, const struct scan_item *item)
{
    const struct ifaddrmsg *info = nlmsg_data(item->message);

    for (size_t i = 0; i < scan->count; i++) {
        const struct nlmsghdr *message = scan->items[i].message;
        const struct ifaddrmsg *other = nlmsg_data(message);

        if (message->nlmsg_type == RTM_NEWADDR && other->ifa_family == info->ifa_family &&
            other->ifa_prefixlen == info->ifa_prefixlen && other->ifa_index == info->ifa_index &&
            has_same(message, item->message, IFA_LOCAL) &&
            has_same(message, item->message, IFA_ADDRESS))
            return true;
    }
    return false;
}
