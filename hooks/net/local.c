#include "local.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "tc.h"

/* The loopback interface of any namespace (include/net/flow.h, LOOPBACK_IFINDEX). */
#define LOOPBACK_INDEX 1

/*
 * Whose the qdisc on lo is, as in redirect.c. On a TAP, asked before the filter that sends
 * everything to the network.
 */
#define PRIORITY_OWN   0xb105u
#define PRIORITY_GUEST 0xb205u

/* Whom the guest sees: 192.0.0.2 for its own addresses, 192.0.0.3 for 127.0.0.1. */
#define SENDER_OWN      0xc0000002u
#define SENDER_LOOPBACK 0xc0000003u

/* Source and destination of IPv4 (RFC 791 §3.1). */
#define AT_SOURCE      12
#define AT_DESTINATION 16

/*
 * Without these, the kernel drops what comes from its own address, and what comes for 127.0.0.1,
 * unless it has just sent it itself (net/ipv4/route.c, ip_route_input_slow()). Of lo alone.
 */
static const char *const settings[] = { "net/ipv4/conf/lo/accept_local",
                                        "net/ipv4/conf/lo/route_localnet" };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct tc_place on_loopback(unsigned int priority)
{
    return (struct tc_place) {
        .link = LOOPBACK_INDEX, .direction = TC_EGRESS, .priority = priority, .protocol = ETH_P_IP
    };
}

static struct tc_place on_tap(int tap)
{
    return (struct tc_place) {
        .link = tap, .direction = TC_INGRESS, .priority = PRIORITY_OWN, .protocol = ETH_P_IP
    };
}

/* Two filters for what goes from @local to itself, which is @guest's, seen there as @sender's. */
static int join(struct kernel *kernel, unsigned int priority, const struct local_address *guest,
                uint32_t local, uint32_t sender)
{
    const struct tc_place out = on_loopback(priority), back = on_tap(guest->tap);
    const struct tc_key asked[] = { { AT_SOURCE, local, UINT32_MAX },
                                    { AT_DESTINATION, local, UINT32_MAX } };
    const struct tc_key answered[] = { { AT_SOURCE, guest->address, UINT32_MAX },
                                       { AT_DESTINATION, sender, UINT32_MAX } };
    struct tc_filter filter;
    int ret;

    /* The way back first: a question must not be without its answer. */
    tc_filter_begin(&filter, &back, answered, COUNT(answered));
    tc_filter_nat(&filter, false, sender, local);
    if (guest->address != local)
        tc_filter_nat(&filter, true, guest->address, local);
    tc_filter_accept(&filter);
    tc_filter_redirect(&filter, LOOPBACK_INDEX, true);
    ret = tc_filter_add(kernel, &filter);
    if (ret < 0)
        return ret;
    tc_filter_begin(&filter, &out, asked, COUNT(asked));
    tc_filter_nat(&filter, true, local, sender);
    if (guest->address != local)
        tc_filter_nat(&filter, false, local, guest->address);
    tc_filter_set_mac(&filter, guest->mac);
    tc_filter_redirect(&filter, guest->tap, false);
    return tc_filter_add(kernel, &filter);
}

static int add(struct local *local, struct kernel *kernel, const struct local_address *guest)
{
    unsigned int priority = local->own_qdisc ? PRIORITY_OWN : PRIORITY_GUEST;
    int ret = join(kernel, priority, guest, guest->address, SENDER_OWN);

    if (ret == 0 && local->count == 0)
        ret = join(kernel, priority, guest, INADDR_LOOPBACK, SENDER_LOOPBACK);
    if (ret == 0)
        local->addresses[local->count++] = *guest;
    return ret;
}

static void remove_all(struct local *local, struct kernel *kernel)
{
    struct tc_place place = on_loopback(local->own_qdisc ? PRIORITY_OWN : PRIORITY_GUEST);

    tc_filters_delete(kernel, &place);
    for (size_t i = 0; i < local->count; i++) {
        place = on_tap(local->addresses[i].tap);
        tc_filters_delete(kernel, &place);
    }
    local->count = 0;
}

/* Return: 1 when it was one, or 0. */
static int read_address(const struct scan_item *item, int link, uint32_t *address)
{
    const struct ifaddrmsg *info = nlmsg_data(item->message);
    struct nlattr *attribute;

    if (item->message->nlmsg_type != RTM_NEWADDR || item->index != link ||
        info->ifa_family != AF_INET)
        return 0;
    attribute = nlmsg_find_attr(item->message, sizeof(*info), IFA_LOCAL);
    if (!attribute || nla_len(attribute) != sizeof(*address))
        return 0;
    *address = ntohl(nla_get_u32(attribute));
    return 1;
}

/* Return: how many. */
static size_t read_addresses(const struct scan *scan, const int *taps,
                             struct local_address wanted[LOCAL_ADDRESSES_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < scan->link_count; i++)
        for (size_t k = 0; taps[i] && k < scan->count && count < LOCAL_ADDRESSES_MAX; k++) {
            struct local_address *guest = &wanted[count];

            *guest = (struct local_address) { .tap = taps[i] };
            memcpy(guest->mac, scan->links[i].mac, sizeof(guest->mac));
            count += (size_t)read_address(&scan->items[k], scan->links[i].index, &guest->address);
        }
    return count;
}

static int start(struct local *local, struct kernel *kernel)
{
    int ret;

    local_clear(kernel);
    local->started = true;
    for (size_t i = 0; i < COUNT(settings); i++) {
        ret = sysctl_read(settings[i], local->before[i]);
        if (ret == 0)
            ret = sysctl_write(settings[i], "1");
        if (ret < 0) {
            local->before[i][0] = '\0';
            return ret;
        }
    }
    ret = tc_qdisc_add(kernel, LOOPBACK_INDEX);
    local->own_qdisc = ret == 0;
    return ret == -EEXIST ? 0 : ret;
}

static bool is_same(const struct local_address *a, const struct local_address *b)
{
    return a->address == b->address && a->tap == b->tap &&
           memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/* Whether @wanted begins with all that there are: what else it has need only be added. */
static bool begins_with(const struct local_address *wanted, size_t count, const struct local *local)
{
    size_t same = 0;

    while (same < local->count && same < count && is_same(&wanted[same], &local->addresses[same]))
        same++;
    return same == local->count;
}

int local_follow(struct local *local, struct kernel *kernel, const struct scan *scan,
                 const int *taps, struct error *err)
{
    struct local_address wanted[LOCAL_ADDRESSES_MAX];
    size_t count;
    int ret = 0;

    if (local->failed)
        return 0;
    count = read_addresses(scan, taps, wanted);
    if (count == 0 && local->count == 0)
        return 0;
    if (!local->started)
        ret = start(local, kernel);
    if (ret == 0 && !begins_with(wanted, count, local))
        remove_all(local, kernel);
    while (ret == 0 && local->count < count)
        ret = add(local, kernel, &wanted[local->count]);
    if (ret == 0)
        return 0;
    kernel_fail(kernel, ret, NULL, err,
                "connections made within the network namespace do not reach the virtual machine: "
                "tc filter");
    local_undo(local, kernel);
    local->failed = true;
    /* A kernel without these actions is as it is: not worth a line for each container. */
    return ret == -ENOENT || ret == -EOPNOTSUPP ? 0 : ret;
}

static void set_back(struct local *local)
{
    for (size_t i = 0; i < COUNT(settings); i++)
        if (local->before[i][0])
            sysctl_write(settings[i], local->before[i]);
}

void local_undo(struct local *local, struct kernel *kernel)
{
    if (!local->started)
        return;
    remove_all(local, kernel);
    if (local->own_qdisc)
        tc_qdisc_delete(kernel, LOOPBACK_INDEX);
    set_back(local);
    *local = (struct local) { 0 };
}

/* Nobody knows what the settings were: what they are by default. */
void local_clear(struct kernel *kernel)
{
    static const unsigned int priorities[] = { PRIORITY_OWN, PRIORITY_GUEST };

    for (size_t i = 0; i < COUNT(priorities); i++) {
        const struct tc_place place = on_loopback(priorities[i]);

        if (tc_filters_delete(kernel, &place) < 0)
            continue;
        if (priorities[i] == PRIORITY_OWN)
            tc_qdisc_delete(kernel, LOOPBACK_INDEX);
        for (size_t k = 0; k < COUNT(settings); k++)
            sysctl_write(settings[k], "0");
    }
}
