#include "tc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_nat.h>
#include <linux/tc_act/tc_pedit.h>
#include <linux/tc_act/tc_skbedit.h>
#include <string.h>

static int qdisc_request(struct kernel *kernel, int type, int flags, int link)
{
    const struct tcmsg tc = { .tcm_family = AF_UNSPEC,
                              .tcm_ifindex = link,
                              .tcm_parent = TC_H_CLSACT,
                              .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0) };
    struct nl_msg *message = kernel_message(type, flags, &tc, sizeof(tc));

    if (message && nla_put_string(message, TCA_KIND, "clsact") < 0) {
        nlmsg_free(message);
        message = NULL;
    }
    return kernel_request(kernel, message);
}

int tc_qdisc_add(struct kernel *kernel, int link)
{
    return qdisc_request(kernel, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link);
}

int tc_qdisc_delete(struct kernel *kernel, int link)
{
    return qdisc_request(kernel, RTM_DELQDISC, 0, link);
}

static struct nl_msg *filter_message(int type, int flags, const struct tc_place *place)
{
    const struct tcmsg tc = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = place->link,
        .tcm_parent = place->direction,
        .tcm_info = TC_H_MAKE(place->priority << 16, htons(place->protocol)),
    };

    return kernel_message(type, flags, &tc, sizeof(tc));
}

static void put(struct tc_filter *filter, int type, const void *data, size_t size)
{
    filter->failed = filter->failed || nla_put(filter->message, type, (int)size, data) < 0;
}

static struct nlattr *open_nest(struct tc_filter *filter, int type)
{
    struct nlattr *nest = filter->failed ? NULL : nla_nest_start(filter->message, type);

    filter->failed = !nest;
    return nest;
}

static void close_nest(struct tc_filter *filter, struct nlattr *nest)
{
    if (!filter->failed)
        nla_nest_end(filter->message, nest);
}

void tc_filter_begin(struct tc_filter *filter, const struct tc_place *place,
                     const struct tc_key *keys, size_t count)
{
    struct {
        struct tc_u32_sel sel;
        struct tc_u32_key keys[TC_KEYS_MAX];
    } match = { .sel = { .flags = TC_U32_TERMINAL, .nkeys = (uint8_t)count } };

    for (size_t i = 0; i < count; i++)
        match.keys[i] = (struct tc_u32_key) { .val = htonl(keys[i].value),
                                              .mask = htonl(keys[i].mask),
                                              .off = keys[i].at };
    *filter = (struct tc_filter) { .message = filter_message(RTM_NEWTFILTER,
                                                             NLM_F_CREATE | NLM_F_EXCL, place) };
    filter->failed = !filter->message;
    put(filter, TCA_KIND, "u32", sizeof("u32"));
    filter->options = open_nest(filter, TCA_OPTIONS);
    put(filter, TCA_U32_SEL, &match, sizeof(match.sel) + count * sizeof(match.keys[0]));
}

/* One action (linux/pkt_cls.h); its parameters are put between the two. */
struct action {
    struct nlattr *nest, *options;
};

static struct action open_action(struct tc_filter *filter, const char *kind)
{
    struct action action;

    if (!filter->actions)
        filter->actions = open_nest(filter, TCA_U32_ACT);
    /* Done in the order of these numbers, from 1. */
    action.nest = open_nest(filter, ++filter->action_count);
    put(filter, TCA_ACT_KIND, kind, strlen(kind) + 1);
    action.options = open_nest(filter, TCA_ACT_OPTIONS);
    return action;
}

static void close_action(struct tc_filter *filter, const struct action *action)
{
    close_nest(filter, action->options);
    close_nest(filter, action->nest);
}

static void put_mirred(struct tc_filter *filter, int verdict, int what, int to)
{
    const struct tc_mirred mirred = {
        .action = verdict,
        .eaction = what,
        .ifindex = (uint32_t)to,
    };
    struct action action = open_action(filter, "mirred");

    put(filter, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
    close_action(filter, &action);
}

void tc_filter_mirror(struct tc_filter *filter, int to)
{
    put_mirred(filter, TC_ACT_OK, TCA_EGRESS_MIRROR, to);
}

void tc_filter_redirect(struct tc_filter *filter, int to, bool arrive)
{
    put_mirred(filter, TC_ACT_STOLEN, arrive ? TCA_INGRESS_REDIR : TCA_EGRESS_REDIR, to);
}

void tc_filter_nat(struct tc_filter *filter, bool source, uint32_t from, uint32_t to)
{
    const struct tc_nat nat = {
        .action = TC_ACT_PIPE,
        .old_addr = htonl(from),
        .new_addr = htonl(to),
        .mask = UINT32_MAX,
        .flags = source ? TCA_NAT_FLAG_EGRESS : 0,
    };
    struct action action = open_action(filter, "nat");

    put(filter, TCA_NAT_PARMS, &nat, sizeof(nat));
    close_action(filter, &action);
}

void tc_filter_set_mac(struct tc_filter *filter, const uint8_t mac[6])
{
    /* Two words from the start of the Ethernet header; the masks are of what stays. */
    struct {
        struct tc_pedit_sel sel;
        struct tc_pedit_key keys[2];
    } edit = {
        .sel = { .action = TC_ACT_PIPE, .nkeys = 2 },
        .keys = { { .mask = 0, .off = 0 }, { .mask = htonl(0x0000ffff), .off = 4 } },
    };
    const uint16_t header = TCA_PEDIT_KEY_EX_HDR_TYPE_ETH, command = TCA_PEDIT_KEY_EX_CMD_SET;
    struct action action = open_action(filter, "pedit");
    struct nlattr *keys;

    memcpy(&edit.keys[0].val, mac, 4);
    memcpy(&edit.keys[1].val, mac + 4, 2);
    put(filter, TCA_PEDIT_PARMS_EX, &edit, sizeof(edit));
    keys = open_nest(filter, TCA_PEDIT_KEYS_EX | NLA_F_NESTED);
    for (size_t i = 0; i < edit.sel.nkeys; i++) {
        struct nlattr *key = open_nest(filter, TCA_PEDIT_KEY_EX | NLA_F_NESTED);

        put(filter, TCA_PEDIT_KEY_EX_HTYPE, &header, sizeof(header));
        put(filter, TCA_PEDIT_KEY_EX_CMD, &command, sizeof(command));
        close_nest(filter, key);
    }
    close_nest(filter, keys);
    close_action(filter, &action);
}

void tc_filter_accept(struct tc_filter *filter)
{
    const struct tc_skbedit edit = { .action = TC_ACT_PIPE };
    const uint16_t type = PACKET_HOST;
    struct action action = open_action(filter, "skbedit");

    put(filter, TCA_SKBEDIT_PARMS, &edit, sizeof(edit));
    put(filter, TCA_SKBEDIT_PTYPE, &type, sizeof(type));
    close_action(filter, &action);
}

int tc_filter_add(struct kernel *kernel, struct tc_filter *filter)
{
    if (filter->actions)
        close_nest(filter, filter->actions);
    close_nest(filter, filter->options);
    if (filter->failed && filter->message) {
        nlmsg_free(filter->message);
        filter->message = NULL;
    }
    return kernel_request(kernel, filter->message);
}

int tc_filters_delete(struct kernel *kernel, const struct tc_place *place)
{
    return kernel_request(kernel, filter_message(RTM_DELTFILTER, 0, place));
}
