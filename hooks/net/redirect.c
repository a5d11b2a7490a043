/* Joins an interface of the namespace with a TAP. */
#include "redirect.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "tc.h"

/*
 * Filter priorities tell ours from others', and whose the qdisc is: from OWN on, the qdisc was made
 * by us; from GUEST on, it was there.
 */
#define PRIORITY_OWN   0xb100u
#define PRIORITY_GUEST 0xb200u

enum verdict {
    TO_PEER, /* only */
    TO_BOTH, /* a copy to the peer, and up the host's stack */
    TO_HOST, /* only */
};

struct filter {
    uint16_t priority; /* added to PRIORITY_*; lower is asked first. One protocol each. */
    uint16_t protocol; /* ETH_P_* */
    enum verdict verdict;
    uint8_t key_count;
    struct tc_key keys[TC_KEYS_MAX];
};

/* IPv4 without options; not a later fragment; its protocol. The next header of IPv6. */
#define IPV4_PLAIN                \
    {                             \
        0, 0x45000000, 0xff000000 \
    }
#define IPV4_FIRST       \
    {                    \
        4, 0, 0x00001fff \
    }
#define IPV4_PROTOCOL(p)                   \
    {                                      \
        8, (uint32_t)(p) << 16, 0x00ff0000 \
    }
#define IPV6_NEXT(n)                      \
    {                                     \
        4, (uint32_t)(n) << 8, 0x0000ff00 \
    }
/*
 * IPv6 in fragments (RFC 8200 §4.5): the fragment header's next header, and whether its offset is
 * 0. Senders say what the whole datagram carries in every fragment.
 */
#define IPV6_FRAGMENT IPV6_NEXT(44)
#define IPV6_FRAGMENT_OF(n)                 \
    {                                       \
        40, (uint32_t)(n) << 24, 0xff000000 \
    }
#define IPV6_FIRST         \
    {                      \
        40, 0, 0x0000fff8u \
    }
/* Source port 53; destination port 0xf000 (61440) and above. */
#define ANSWER_AT(at)                       \
    {                                       \
        at, 53u << 16 | 0xf000u, 0xfffff000 \
    }

/*
 * What arrives on the engine's interface. UDP answers go to both, because a guest with its own
 * resolver may send from any port: whoever did not ask drops them.
 *
 * A large answer comes in fragments, of which only the first has ports. Both get later fragments of
 * UDP, whatever they belong to; but only the guest gets the first one of anything else, without
 * which the host's stack drops the rest, and says nothing (net/ipv4/ip_fragment.c ip_expire(),
 * net/ipv6/reassembly.c).
 */
static const struct filter link_filters[] = {
    /* Operation 2: a reply (RFC 826) */
    { 1, ETH_P_ARP, TO_BOTH, 1, { { 4, 2, 0x0000ffff } } },
    { 2, ETH_P_IP, TO_BOTH, 4, { IPV4_PLAIN, IPV4_FIRST, IPV4_PROTOCOL(17), ANSWER_AT(20) } },
    { 2, ETH_P_IP, TO_HOST, 4, { IPV4_PLAIN, IPV4_FIRST, IPV4_PROTOCOL(6), ANSWER_AT(20) } },
    { 2, ETH_P_IP, TO_PEER, 2, { IPV4_FIRST, IPV4_PROTOCOL(17) } },
    { 2, ETH_P_IP, TO_BOTH, 1, { IPV4_PROTOCOL(17) } },
    /* ICMPv6 134, 136: router and neighbour advertisement (RFC 4861 §4.2, §4.4) */
    { 3, ETH_P_IPV6, TO_BOTH, 2, { IPV6_NEXT(58), { 40, 134u << 24, 0xff000000 } } },
    { 3, ETH_P_IPV6, TO_BOTH, 2, { IPV6_NEXT(58), { 40, 136u << 24, 0xff000000 } } },
    { 3, ETH_P_IPV6, TO_BOTH, 2, { IPV6_NEXT(17), ANSWER_AT(40) } },
    { 3, ETH_P_IPV6, TO_HOST, 2, { IPV6_NEXT(6), ANSWER_AT(40) } },
    { 3,
      ETH_P_IPV6,
      TO_BOTH,
      4,
      { IPV6_FRAGMENT, IPV6_FIRST, IPV6_FRAGMENT_OF(17), ANSWER_AT(48) } },
    { 3, ETH_P_IPV6, TO_PEER, 2, { IPV6_FRAGMENT, IPV6_FIRST } },
    { 3, ETH_P_IPV6, TO_BOTH, 2, { IPV6_FRAGMENT, IPV6_FRAGMENT_OF(17) } },
    { 9, ETH_P_ALL, TO_PEER, 0, { { 0 } } },
};
/*
 * What the guest sends. It has no socket for the answers that the engine asked for, and would tell
 * the name server so: the namespace's stack, where these end, ignores frames to another's address.
 */
static const struct filter tap_filters[] = {
    /* Type 3, code 3: port unreachable (RFC 792), with the answer's headers behind it */
    { 1,
      ETH_P_IP,
      TO_HOST,
      4,
      { IPV4_PLAIN, IPV4_PROTOCOL(1), { 20, 0x0303u << 16, 0xffff0000 }, ANSWER_AT(48) } },
    /* Type 1, code 4 (RFC 4443 §3.1) */
    { 2,
      ETH_P_IPV6,
      TO_HOST,
      3,
      { IPV6_NEXT(58), { 40, 0x0104u << 16, 0xffff0000 }, ANSWER_AT(88) } },
    { 9, ETH_P_ALL, TO_PEER, 0, { { 0 } } },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct tc_place place_of(const struct filter *filter, int link, unsigned int base)
{
    return (struct tc_place) {
        .link = link,
        .direction = TC_INGRESS,
        .priority = base + filter->priority,
        .protocol = filter->protocol,
    };
}

static int filter_add(struct kernel *kernel, int from, int to, unsigned int base,
                      const struct filter *filter)
{
    const struct tc_place place = place_of(filter, from, base);
    struct tc_filter message;

    tc_filter_begin(&message, &place, filter->keys, filter->key_count);
    if (filter->verdict == TO_PEER)
        tc_filter_redirect(&message, to, false);
    else if (filter->verdict == TO_BOTH)
        tc_filter_mirror(&message, to);
    return tc_filter_add(kernel, &message);
}

/* What has failed: the kernel's words are the same for some kernels, so it is tried without. */
static int filter_fail(struct kernel *kernel, int code, int from, unsigned int base,
                       const struct filter *filter, struct error *err)
{
    const struct kernel failed = *kernel; /* its words, before they are overwritten */
    struct filter plain = *filter;

    plain.verdict = TO_HOST;
    if (filter->verdict == TO_HOST || filter_add(kernel, from, 0, base, &plain) < 0)
        return kernel_fail(&failed, code, "CONFIG_NET_CLS_U32", err,
                           "redirect frames (tc filter u32)");
    return kernel_fail(&failed, code, "CONFIG_NET_ACT_MIRRED", err,
                       "redirect frames (tc action mirred)");
}

/* Return: 0, or a negative errno with some left behind, and maybe one without an action. */
static int filters_add(struct kernel *kernel, int from, int to, unsigned int base,
                       const struct filter *filters, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        int ret = filter_add(kernel, from, to, base, &filters[i]);

        if (ret < 0)
            return filter_fail(kernel, ret, from, base, &filters[i], err);
    }
    return 0;
}

/* Every row of a priority goes at once. Return: whether the last, for everything else, was there.
 */
static bool filters_delete(struct kernel *kernel, int link, unsigned int base)
{
    int ret = -ENOENT;

    for (size_t i = 0; i < COUNT(link_filters); i++)
        if (i == 0 || link_filters[i].priority != link_filters[i - 1].priority) {
            const struct tc_place place = place_of(&link_filters[i], link, base);

            ret = tc_filters_delete(kernel, &place);
        }
    return ret == 0;
}

/* Return: 1 when it was made, 0 when there was one, or a negative errno. */
static int qdisc_add(struct kernel *kernel, int link, struct error *err)
{
    int ret = tc_qdisc_add(kernel, link);

    if (ret == -EEXIST)
        return 0;
    if (ret < 0)
        return kernel_fail(kernel, ret, "CONFIG_NET_SCH_INGRESS", err,
                           "redirect frames (tc qdisc clsact)");
    return 1;
}

int redirect_join(struct redirect *redirect, struct kernel *kernel, const char *name,
                  struct error *err)
{
    struct error reason = { 0 };
    int ret = qdisc_add(kernel, redirect->tap, &reason);

    if (ret >= 0)
        ret = filters_add(kernel, redirect->tap, redirect->link, PRIORITY_OWN, tap_filters,
                          COUNT(tap_filters), &reason);
    if (ret >= 0)
        ret = qdisc_add(kernel, redirect->link, &reason);
    if (ret >= 0) {
        redirect->own_qdisc = ret == 1;
        ret = filters_add(kernel, redirect->link, redirect->tap,
                          redirect->own_qdisc ? PRIORITY_OWN : PRIORITY_GUEST, link_filters,
                          COUNT(link_filters), &reason);
        if (ret < 0)
            redirect_part(redirect, kernel);
    }
    return ret < 0 ? error_set(err, -ret, "interface %s: %s", name, reason.message) : 0;
}

void redirect_part(const struct redirect *redirect, struct kernel *kernel)
{
    if (redirect->own_qdisc)
        tc_qdisc_delete(kernel, redirect->link);
    else
        filters_delete(kernel, redirect->link, PRIORITY_GUEST);
}

void redirect_clear(struct kernel *kernel, int link)
{
    if (filters_delete(kernel, link, PRIORITY_OWN))
        tc_qdisc_delete(kernel, link);
    filters_delete(kernel, link, PRIORITY_GUEST);
}
