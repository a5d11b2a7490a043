#include "mirred.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/tc_act/tc_mirred.h>

int mirred_put(struct nl_msg *message, bool redirect, int to)
{
    const struct tc_mirred mirred = {
        .action = redirect ? TC_ACT_STOLEN : TC_ACT_OK,
        .eaction = redirect ? TCA_EGRESS_REDIR : TCA_EGRESS_MIRROR,
        .ifindex = (uint32_t)to,
    };
    struct nlattr *actions = nla_nest_start(message, TCA_U32_ACT);
    struct nlattr *action = actions ? nla_nest_start(message, 1) : NULL;
    struct nlattr *options;

    if (!action || nla_put_string(message, TCA_ACT_KIND, "mirred") < 0 ||
        !(options = nla_nest_start(message, TCA_ACT_OPTIONS)) ||
        nla_put(message, TCA_MIRRED_PARMS, sizeof(mirred), &mirred) < 0)
        return -EMSGSIZE;
    nla_nest_end(message, options);
    nla_nest_end(message, action);
    nla_nest_end(message, actions);
    return 0;
}
