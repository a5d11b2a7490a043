/* Netlink messages of the host's kernel, said again to the guest's. */
#include "init/replay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define NO_ATTRIBUTE 0xffff

/* Where each kind of message names interfaces. Attributes of type 0 exist nowhere. */
static const struct replay_kind {
    uint16_t type;
    uint16_t size;     /* of the struct after the header */
    uint16_t index_at; /* offset of its int interface number; NO_ATTRIBUTE: has none */
    uint16_t maps[2];  /* attributes that are interface numbers (u32) */
    uint16_t multipath;
    uint16_t subject; /* the attribute that names it for people */
    uint8_t step;
    uint16_t flags;
    int tolerated[2]; /* errors that mean: is so already */
    const char *name;
} replay_kinds[] = {
    { RTM_NEWADDR,
      sizeof(struct ifaddrmsg),
      offsetof(struct ifaddrmsg, ifa_index),
      { 0, 0 },
      NO_ATTRIBUTE,
      IFA_ADDRESS,
      REPLAY_ADDRESS,
      NLM_F_CREATE | NLM_F_REPLACE,
      { EEXIST, EEXIST },
      "address" },
    { RTM_DELADDR,
      sizeof(struct ifaddrmsg),
      offsetof(struct ifaddrmsg, ifa_index),
      { 0, 0 },
      NO_ATTRIBUTE,
      IFA_ADDRESS,
      REPLAY_DEL_ADDRESS,
      0,
      { EADDRNOTAVAIL, ENODEV },
      "address to remove" },
    { RTM_NEWROUTE,
      sizeof(struct rtmsg),
      NO_ATTRIBUTE,
      { RTA_OIF, RTA_IIF },
      RTA_MULTIPATH,
      RTA_DST,
      REPLAY_ROUTE,
      NLM_F_CREATE | NLM_F_APPEND,
      { EEXIST, EEXIST },
      "route" },
    { RTM_DELROUTE,
      sizeof(struct rtmsg),
      NO_ATTRIBUTE,
      { RTA_OIF, RTA_IIF },
      RTA_MULTIPATH,
      RTA_DST,
      REPLAY_DEL_ROUTE,
      0,
      { ESRCH, ENODEV },
      "route to remove" },
    { RTM_NEWRULE,
      sizeof(struct fib_rule_hdr),
      NO_ATTRIBUTE,
      { 0, 0 },
      NO_ATTRIBUTE,
      FRA_SRC,
      REPLAY_RULE,
      NLM_F_CREATE | NLM_F_EXCL,
      { EEXIST, EEXIST },
      "rule" },
    { RTM_DELRULE,
      sizeof(struct fib_rule_hdr),
      NO_ATTRIBUTE,
      { 0, 0 },
      NO_ATTRIBUTE,
      FRA_SRC,
      REPLAY_DEL_RULE,
      0,
      { ENOENT, ENOENT },
      "rule to remove" },
    { RTM_NEWNEIGH,
      sizeof(struct ndmsg),
      offsetof(struct ndmsg, ndm_ifindex),
      { NDA_IFINDEX, NDA_MASTER },
      NO_ATTRIBUTE,
      NDA_DST,
      REPLAY_NEIGHBOUR,
      NLM_F_CREATE | NLM_F_REPLACE,
      { EEXIST, EEXIST },
      "neighbour" },
    { RTM_DELNEIGH,
      sizeof(struct ndmsg),
      offsetof(struct ndmsg, ndm_ifindex),
      { NDA_IFINDEX, NDA_MASTER },
      NO_ATTRIBUTE,
      NDA_DST,
      REPLAY_DEL_NEIGHBOUR,
      0,
      { ENOENT, ENODEV },
      "neighbour to remove" },
    { RTM_NEWLINK,
      sizeof(struct ifinfomsg),
      offsetof(struct ifinfomsg, ifi_index),
      { 0, 0 },
      NO_ATTRIBUTE,
      IFLA_IFNAME,
      REPLAY_LINK,
      0,
      { 0, 0 },
      "link" },
};

static uint16_t attribute_type(const struct rtattr *attribute)
{
    return attribute->rta_type & NLA_TYPE_MASK;
}

/* The bytes of a FIELD_NETLINK are at any address: the header is copied out. */
static const struct replay_kind *replay_kind(const struct protocol_reader *message, int *error)
{
    struct nlmsghdr header;

    *error = -EPROTO;
    if (message->length < sizeof(header))
        return NULL;
    memcpy(&header, message->data, sizeof(header));
    if (header.nlmsg_len != message->length)
        return NULL;
    for (size_t i = 0; i < sizeof(replay_kinds) / sizeof(replay_kinds[0]); i++) {
        if (replay_kinds[i].type != header.nlmsg_type)
            continue;
        return message->length < (size_t)NLMSG_LENGTH(replay_kinds[i].size) ? NULL
                                                                            : &replay_kinds[i];
    }
    *error = -EOPNOTSUPP;
    return NULL;
}

/* Copied to where it is aligned, with the attributes' bounds. */
static int replay_copy(const struct protocol_reader *message, const struct replay_kind *kind,
                       union netlink_request *request, struct rtattr **first, const uint8_t **end)
{
    uint8_t *attributes = request->bytes + NLMSG_ALIGN(NLMSG_LENGTH(kind->size));

    if (message->length > sizeof(request->bytes))
        return -EMSGSIZE;
    memcpy(request->bytes, message->data, message->length);
    *end = request->bytes + message->length;
    *first = attributes < *end ? netlink_first(attributes, (size_t)(*end - attributes)) : NULL;
    return 0;
}

/*
 * A host that says what is not so could only hurt its own guest; still, nothing is read past a
 * length, so that a mistake shows as a failure and not as a crash of PID 1.
 */
static bool replay_has_gateway(const struct protocol_reader *message,
                               const struct replay_kind *kind, union netlink_request *scratch)
{
    struct rtattr *attribute;
    const uint8_t *end;

    if (replay_copy(message, kind, scratch, &attribute, &end) < 0)
        return false;
    for (; attribute; attribute = netlink_next(attribute, end))
        if (attribute_type(attribute) == RTA_GATEWAY || attribute_type(attribute) == RTA_VIA ||
            attribute_type(attribute) == RTA_MULTIPATH)
            return true;
    return false;
}

int replay_classify(const struct protocol_reader *message)
{
    static union netlink_request scratch;
    int error;
    const struct replay_kind *kind = replay_kind(message, &error);

    if (!kind)
        return error;
    if (kind->step == REPLAY_ROUTE && replay_has_gateway(message, kind, &scratch))
        return REPLAY_ROUTE_GATEWAY;
    return kind->step;
}

static int replay_map_index(void *index, replay_map *map, const void *context)
{
    uint32_t value;

    memcpy(&value, index, sizeof(value));
    if (value == 0)
        return 0;
    value = (uint32_t)map(context, value);
    memcpy(index, &value, sizeof(value));
    return value ? 0 : -ENODEV;
}

/* RTA_MULTIPATH: a run of struct rtnexthop, each with its length and attributes. */
static int replay_map_hops(struct rtattr *multipath, replay_map *map, const void *context)
{
    uint8_t *at = RTA_DATA(multipath);
    size_t left = RTA_PAYLOAD(multipath);

    while (left >= sizeof(struct rtnexthop)) {
        struct rtnexthop *hop = (struct rtnexthop *)at;
        size_t step = RTNH_ALIGN(hop->rtnh_len);
        int ret;

        if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
            return -EPROTO;
        ret = replay_map_index(&hop->rtnh_ifindex, map, context);
        if (ret < 0)
            return ret;
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return 0;
}

static bool replay_is_index(const struct replay_kind *kind, const struct rtattr *attribute)
{
    return attribute_type(attribute) != 0 && RTA_PAYLOAD(attribute) == sizeof(uint32_t) &&
           (attribute_type(attribute) == kind->maps[0] ||
            attribute_type(attribute) == kind->maps[1]);
}

int replay_prepare(const struct protocol_reader *message, replay_map *map, const void *context,
                   union netlink_request *request)
{
    int ret;
    const struct replay_kind *kind = replay_kind(message, &ret);
    struct rtattr *attribute;
    const uint8_t *end;

    if (!kind)
        return ret;
    ret = replay_copy(message, kind, request, &attribute, &end);
    if (ret == 0 && kind->index_at != NO_ATTRIBUTE)
        ret = replay_map_index((uint8_t *)NLMSG_DATA(&request->header) + kind->index_at, map,
                               context);
    for (; ret == 0 && attribute; attribute = netlink_next(attribute, end)) {
        if (replay_is_index(kind, attribute))
            ret = replay_map_index(RTA_DATA(attribute), map, context);
        else if (attribute_type(attribute) == kind->multipath)
            ret = replay_map_hops(attribute, map, context);
    }
    return ret;
}

/*
 * The byte with the length of the subject's prefix: struct ifaddrmsg and rtmsg begin with the
 * family and that; struct fib_rule_hdr has the destination's before the source's.
 */
static unsigned int replay_prefix(const struct replay_kind *kind, const uint8_t *fixed)
{
    if (kind->type == RTM_NEWRULE || kind->type == RTM_DELRULE)
        return fixed[offsetof(struct fib_rule_hdr, src_len)];
    return fixed[1];
}

/* "10.0.0.0/8", from whatever the message says; "default" for a route without a destination. */
static void replay_describe(union netlink_request *request, const struct replay_kind *kind,
                            char *text, size_t size)
{
    uint8_t *fixed = NLMSG_DATA(&request->header);
    uint8_t *attributes = request->bytes + NLMSG_ALIGN(NLMSG_LENGTH(kind->size));
    const uint8_t *end = request->bytes + request->header.nlmsg_len;
    struct rtattr *attribute =
        attributes < end ? netlink_first(attributes, (size_t)(end - attributes)) : NULL;
    char address[INET6_ADDRSTRLEN];

    snprintf(text, size, "%s%s", kind->name,
             kind->type == RTM_NEWROUTE || kind->type == RTM_DELROUTE ? " default" : "");
    for (; attribute; attribute = netlink_next(attribute, end)) {
        size_t length = RTA_PAYLOAD(attribute);

        if (attribute_type(attribute) != kind->subject || (length != 4 && length != 16) ||
            !inet_ntop(length == 4 ? AF_INET : AF_INET6, RTA_DATA(attribute), address,
                       sizeof(address)))
            continue;
        /* struct ndmsg has no prefix. */
        if (kind->type == RTM_NEWNEIGH || kind->type == RTM_DELNEIGH)
            snprintf(text, size, "%s %s", kind->name, address);
        else
            snprintf(text, size, "%s %s/%u", kind->name, address, replay_prefix(kind, fixed));
        return;
    }
}

static int replay_send(struct netlink *netlink, union netlink_request *request,
                       const struct replay_kind *kind, struct failure *failure)
{
    char what[128];
    int ret;

    request->header.nlmsg_flags = kind->flags;
    ret = netlink_send(netlink, &request->header);
    if (ret == 0 || -ret == kind->tolerated[0] || -ret == kind->tolerated[1])
        return 0;
    replay_describe(request, kind, what, sizeof(what));
    return failure_set(failure, -ret, "network: %s: %s%s%s%s", what, failure_describe(-ret),
                       netlink->reason[0] ? " (" : "", netlink->reason,
                       netlink->reason[0] ? ")" : "");
}

/* Sets @on and clears @off in both places that hold an address's flags. Return: what they were. */
static uint32_t replay_address_flags(union netlink_request *request, uint32_t on, uint32_t off)
{
    struct ifaddrmsg *address = NLMSG_DATA(&request->header);
    uint8_t *attributes = request->bytes + NLMSG_ALIGN(NLMSG_LENGTH(sizeof(*address)));
    const uint8_t *end = request->bytes + request->header.nlmsg_len;
    struct rtattr *attribute =
        attributes < end ? netlink_first(attributes, (size_t)(end - attributes)) : NULL;
    uint32_t before = address->ifa_flags;

    address->ifa_flags = (uint8_t)((address->ifa_flags | on) & ~off);
    for (; attribute; attribute = netlink_next(attribute, end)) {
        uint32_t flags;

        if (attribute_type(attribute) != IFA_FLAGS || RTA_PAYLOAD(attribute) != sizeof(flags))
            continue;
        memcpy(&flags, RTA_DATA(attribute), sizeof(flags));
        before = flags;
        flags = (flags | on) & ~off;
        memcpy(RTA_DATA(attribute), &flags, sizeof(flags));
    }
    return before;
}

/*
 * An IPv6 address was checked for duplicates where it came from; it is to work at once here, and
 * the check would find the host's. "nodad" is shown by ip(8), so an address that does not have it
 * on the host loses it again: changing an address starts no new check.
 */
static int replay_send_address6(struct netlink *netlink, union netlink_request *request,
                                const struct replay_kind *kind, struct failure *failure)
{
    uint32_t before = replay_address_flags(request, IFA_F_NODAD, IFA_F_TENTATIVE);
    int ret = replay_send(netlink, request, kind, failure);

    if (ret < 0 || before & IFA_F_NODAD)
        return ret;
    replay_address_flags(request, 0, IFA_F_NODAD);
    return replay_send(netlink, request, kind, failure);
}

int replay_apply(struct netlink *netlink, const struct protocol_reader *message, replay_map *map,
                 const void *context, struct failure *failure)
{
    static union netlink_request request;
    int ret;
    const struct replay_kind *kind = replay_kind(message, &ret);
    char what[128];

    if (!kind)
        return failure_set(failure, -ret, "network: malformed netlink message");
    ret = replay_prepare(message, map, context, &request);
    /* What is to go went with its interface. */
    if (ret == -ENODEV && (kind->tolerated[0] == ENODEV || kind->tolerated[1] == ENODEV))
        return 0;
    if (ret == -ENODEV)
        replay_describe(&request, kind, what, sizeof(what));
    if (ret < 0)
        return failure_set(failure, -ret, "network: %s: %s", ret == -ENODEV ? what : kind->name,
                           ret == -ENODEV ? "names an interface that was not passed"
                                          : failure_describe(-ret));
    if (kind->type == RTM_NEWADDR && *(uint8_t *)NLMSG_DATA(&request.header) == AF_INET6)
        return replay_send_address6(netlink, &request, kind, failure);
    return replay_send(netlink, &request, kind, failure);
}
