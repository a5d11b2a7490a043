/* MESSAGE_NETWORK: what a guest must be told to get from one scan of the namespace to the next. */
#include "message.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "sysctl.h"
#include "vmm/control.h"

/* Lifetimes are seconds and are read at different moments. */
#define LIFETIME_SLACK 2

/* Flags that mean something in the guest. */
#define PASSED_FLAGS (IFF_UP | IFF_NOARP | IFF_MULTICAST)

static void put_link(struct protocol_writer *writer, const struct scan_link *link,
                     const struct message_cards *cards)
{
    size_t mark = protocol_open(writer, FIELD_LINK);

    protocol_put_u64(writer, FIELD_LINK_INDEX, (uint64_t)link->index);
    protocol_put_string(writer, FIELD_LINK_NAME, link->name);
    protocol_put_bytes(writer, FIELD_LINK_MAC, link->mac, sizeof(link->mac));
    protocol_put_u64(writer, FIELD_LINK_MTU, link->mtu);
    protocol_put_u64(writer, FIELD_LINK_FLAGS, link->flags & PASSED_FLAGS);
    protocol_put_u64(writer, FIELD_LINK_QUEUES, cards->queues);
    protocol_put_u64(writer, FIELD_LINK_VHOST, cards->vhost);
    protocol_put_u64(writer, FIELD_LINK_CARRIER, link->carrier);
    /* Room for vmrt-vmm's answer, in place. */
    protocol_put_u64(writer, FIELD_LINK_SLOT, 0);
    protocol_close(writer, mark);
}

/* FIELD_LINK_STATE. Return: 1, or 0 when nothing is different. */
static int put_carrier_change(struct protocol_writer *writer, const struct scan_link *old,
                              const struct scan_link *link)
{
    size_t mark;

    if (old->carrier == link->carrier)
        return 0;
    mark = protocol_open(writer, FIELD_LINK_STATE);
    protocol_put_u64(writer, FIELD_LINK_INDEX, (uint64_t)link->index);
    protocol_put_u64(writer, FIELD_LINK_CARRIER, link->carrier);
    protocol_close(writer, mark);
    return 1;
}

/* RTM_NEWLINK about an interface that the guest has. Return: 1, or 0 when nothing is different. */
static int put_link_change(struct protocol_writer *writer, const struct scan_link *old,
                           const struct scan_link *link)
{
    const struct ifinfomsg info = { .ifi_index = link->index,
                                    .ifi_flags = link->flags & PASSED_FLAGS };
    struct nl_msg *message;

    if (strcmp(old->name, link->name) == 0 && old->mtu == link->mtu &&
        memcmp(old->mac, link->mac, sizeof(link->mac)) == 0 &&
        !((old->flags ^ link->flags) & PASSED_FLAGS))
        return 0;
    message = kernel_message(RTM_NEWLINK, 0, &info, sizeof(info));
    if (!message || nla_put_string(message, IFLA_IFNAME, link->name) < 0 ||
        nla_put_u32(message, IFLA_MTU, link->mtu) < 0 ||
        nla_put(message, IFLA_ADDRESS, sizeof(link->mac), link->mac) < 0)
        writer->failed = true;
    else
        protocol_put_bytes(writer, FIELD_NETLINK, nlmsg_hdr(message),
                           nlmsg_hdr(message)->nlmsg_len);
    nlmsg_free(message);
    return 1;
}

static void put_netlink(struct protocol_writer *writer, const struct scan_item *item, uint16_t type)
{
    uint8_t *copy = protocol_reserve(writer, 8 + item->message->nlmsg_len);

    if (!copy)
        return;
    protocol_store16(copy, FIELD_NETLINK);
    protocol_store16(copy + 2, 0);
    protocol_store32(copy + 4, item->message->nlmsg_len);
    memcpy(copy + 8, item->message, item->message->nlmsg_len);
    memcpy(copy + 8 + offsetof(struct nlmsghdr, nlmsg_type), &type, sizeof(type));
}

/* What takes back each kind of message. */
static uint16_t opposite(uint16_t type)
{
    static const uint16_t types[][2] = {
        { RTM_NEWADDR, RTM_DELADDR },
        { RTM_NEWROUTE, RTM_DELROUTE },
        { RTM_NEWRULE, RTM_DELRULE },
        { RTM_NEWNEIGH, RTM_DELNEIGH },
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i][0] == type)
            return types[i][1];
    return 0;
}

/* Return: 1 when the guest is to remove something, 0 when not. */
static int put_removal(struct protocol_writer *writer, const struct scan *after,
                       const struct scan_item *item)
{
    uint16_t type = opposite(item->message->nlmsg_type);

    /* What the guest's kernel made by itself goes by itself; so does what goes with a link. */
    if (type == 0 || item->implied || scan_find(after, item) ||
        (item->index > 1 && !scan_find_link(after, item->index)))
        return 0;
    if (type == RTM_DELADDR && scan_has_address(after, item))
        return 0;
    put_netlink(writer, item, type);
    return 1;
}

static bool is_address(const struct scan_item *item)
{
    return item->message->nlmsg_type == RTM_NEWADDR;
}

static bool is_same_time(int64_t a, int64_t b)
{
    return llabs(a - b) <= LIFETIME_SLACK;
}

/*
 * Return: 1 when the guest is to be told, 0 when not. @again: although it was, unless it is an
 * address.
 */
static int put_addition(struct protocol_writer *writer, const struct scan *before,
                        const struct scan_item *item, bool again)
{
    const struct scan_item *old = scan_find(before, item);

    if (old && is_same_time(old->expires, item->expires) &&
        is_same_time(old->deprecated, item->deprecated) && (!again || is_address(item)))
        return 0;
    /* The kernel's route to an address: only when it is back after it was removed. */
    if (item->implied && !scan_find_type(before, item, RTM_DELROUTE))
        return 0;
    put_netlink(writer, item, item->message->nlmsg_type);
    return 1;
}

static bool is_address6(const struct scan_item *item)
{
    return is_address(item) && *(const uint8_t *)nlmsg_data(item->message) == AF_INET6;
}

/*
 * IPv6 addresses go last to first: the kernel puts a new one before those it has
 * (net/ipv6/addrconf.c ipv6_link_dev_addr()), and their order decides ties for the source address.
 *
 * With an address the kernel removes the routes that have it as their source, and with an
 * interface's last one all of its routes and neighbours (net/ipv4/fib_frontend.c
 * fib_inetaddr_event()). Those that the host has all the same were made again there, and are said
 * again.
 */
static int put_items(struct protocol_writer *writer, const struct scan *before,
                     const struct scan *after)
{
    bool lost = false;
    int said = 0;

    for (size_t i = 0; i < before->count; i++) {
        int removed = put_removal(writer, after, &before->items[i]);

        lost = lost || (removed && is_address(&before->items[i]));
        said |= removed;
    }
    for (size_t i = after->count; i-- > 0;)
        if (is_address6(&after->items[i]))
            said |= put_addition(writer, before, &after->items[i], lost);
    for (size_t i = 0; i < after->count; i++)
        if (!is_address6(&after->items[i]))
            said |= put_addition(writer, before, &after->items[i], lost);
    return said;
}

int message_build(struct protocol_writer *writer, const struct scan *before,
                  const struct scan *after, const struct message_cards *cards, bool resolver,
                  struct error *err)
{
    /* Every namespace has the sorted list of its items, if an empty one; only nothing has none. */
    bool first = !before->sorted;
    int said = 0;
    size_t start;

    protocol_begin(writer, MESSAGE_NETWORK, 0, 0);
    for (size_t i = 0; i < after->link_count; i++)
        if (!scan_find_link(before, after->links[i].index)) {
            put_link(writer, &after->links[i], cards);
            said = 1;
        }
    for (size_t i = 0; i < before->link_count; i++)
        if (!scan_find_link(after, before->links[i].index)) {
            protocol_put_u64(writer, FIELD_LINK_GONE, (uint64_t)before->links[i].index);
            said = 1;
        }
    start = writer->length;
    if (first)
        sysctl_describe(writer, NULL);
    else if (before->loopback_ipv6_off != after->loopback_ipv6_off)
        sysctl_describe_ipv6(writer, "lo");
    for (size_t i = 0; i < after->link_count; i++) {
        const struct scan_link *link = &after->links[i];
        const struct scan_link *old = scan_find_link(before, link->index);

        if (old) {
            said |= put_link_change(writer, old, link) | put_carrier_change(writer, old, link);
            /* Engines turn it on and off with a network's addresses, for lo as well. */
            if (link->ipv6_off != old->ipv6_off)
                sysctl_describe_ipv6(writer, link->name);
        } else {
            sysctl_describe(writer, link->name);
        }
    }
    said |= put_items(writer, before, after) || writer->length > start;
    if (resolver) {
        protocol_put_u64(writer, FIELD_RESOLVER, 1);
        said = 1;
    }
    if (protocol_finish(writer) < 0)
        return error_set(err, EMSGSIZE,
                         "network namespace: more addresses and routes than fit a message");
    return said;
}

int message_build_retraction(struct protocol_writer *writer, const struct scan *before,
                             const struct scan *after)
{
    protocol_begin(writer, MESSAGE_NETWORK, 0, 0);
    for (size_t i = 0; i < after->link_count; i++)
        if (!scan_find_link(before, after->links[i].index))
            protocol_put_u64(writer, FIELD_LINK_GONE, (uint64_t)after->links[i].index);
    return protocol_finish(writer);
}

static int take_answer(int control, struct error *err)
{
    static uint8_t answer[CONTROL_PACKET_MAX];
    struct protocol_header header;
    struct protocol_field field, text;
    struct protocol_reader fields;
    size_t none = 0;
    bool bad = false;
    uint64_t code;
    ssize_t n = fd_receive_message(control, answer, sizeof(answer), NULL, &none);

    if (n == 0 || n == -ECONNRESET)
        return error_set(err, ECONNRESET, "the virtual machine has ended");
    if (n < 0)
        return error_set(err, (int)-n, "vmrt-vmm: %s", strerror((int)-n));
    if (n < (ssize_t)PROTOCOL_HEADER_SIZE || protocol_read_header(answer, &header) < 0 ||
        header.type != MESSAGE_RESULT || header.length != (size_t)n - PROTOCOL_HEADER_SIZE)
        return error_set(err, EPROTO, "vmrt-vmm: malformed answer");
    fields = (struct protocol_reader) { answer + PROTOCOL_HEADER_SIZE, header.length };
    if (protocol_find(fields, FIELD_CODE, &field) != 1)
        return error_set(err, EPROTO, "vmrt-vmm: malformed answer");
    code = protocol_u64(&field, &bad);
    if (bad || code > 4095)
        return error_set(err, EPROTO, "vmrt-vmm: malformed answer");
    if (code && protocol_find(fields, FIELD_TEXT, &text) == 1)
        return error_set(err, (int)code, "%s", protocol_string(&text, &bad));
    return code ? error_set(err, (int)code, "vmrt-vmm: %s", strerror((int)code)) : 0;
}

int message_pass(int control, uint16_t type, const int *fds, size_t fd_count, struct error *err)
{
    struct protocol_writer request = { 0 };
    int ret;

    protocol_begin(&request, type, 0, 0);
    ret = protocol_finish(&request);
    if (ret == 0)
        ret = fd_send_message(control, request.data, request.length, fds, fd_count);
    free(request.data);
    if (ret == -EPIPE || ret == -ECONNRESET)
        return error_set(err, ECONNRESET, "the virtual machine has ended");
    if (ret < 0)
        return error_set(err, -ret, "message to the virtual machine: %s", strerror(-ret));
    return take_answer(control, err);
}

int message_send(int control, const struct protocol_writer *writer, const int *fds, size_t fd_count,
                 struct error *err)
{
    _cleanup_close_ int memory = fd_memfd_sealed("vmrt-network", writer->data, writer->length);
    int all[FD_MESSAGE_MAX];
    int ret = memory;

    if (fd_count >= FD_MESSAGE_MAX)
        return error_set(err, E2BIG, "%zu queues of interfaces, at most %d at once", fd_count,
                         FD_MESSAGE_MAX - 1);
    if (memory < 0)
        return error_set(err, -ret, "message to the virtual machine: %s", strerror(-ret));
    all[0] = memory;
    if (fd_count)
        memcpy(all + 1, fds, fd_count * sizeof(*fds));
    return message_pass(control, CONTROL_NETWORK, all, fd_count + 1, err);
}
