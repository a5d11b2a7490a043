/* The pair of interfaces between the host and a container's network namespace. */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hooks/net/kernel.h"
#include "guard.h"
#include "hooks/net/sysctl.h"
#include "lib/fd.h"
#include "subnet.h"

#define SUBNET_PREFIX 30
#define MTU_DEFAULT   1500u

/* What the host's routes say. */
struct routes {
    struct subnet_map map;
    int way_out;     /* interface of the default route; 0: none */
    uint32_t metric; /* of that route */
};

static int take_route(const struct nlmsghdr *message, void *context)
{
    struct routes *routes = context;
    struct nlattr *attributes[RTA_MAX + 1];
    const struct rtmsg *route = nlmsg_data(message);
    struct nlattr **a = attributes;
    uint32_t address = 0, metric;

    if (message->nlmsg_type != RTM_NEWROUTE ||
        nlmsg_parse((struct nlmsghdr *)(uintptr_t)message, sizeof(*route), a, RTA_MAX, NULL) < 0)
        return 0;
    if (a[RTA_DST] && nla_len(a[RTA_DST]) == sizeof(address))
        address = ntohl(nla_get_u32(a[RTA_DST]));
    subnet_exclude(&routes->map, address, route->rtm_dst_len);
    metric = a[RTA_PRIORITY] ? nla_get_u32(a[RTA_PRIORITY]) : 0;
    if (route->rtm_dst_len == 0 && route->rtm_type == RTN_UNICAST &&
        route->rtm_table == RT_TABLE_MAIN && a[RTA_OIF] &&
        (!routes->way_out || metric < routes->metric)) {
        routes->way_out = (int)nla_get_u32(a[RTA_OIF]);
        routes->metric = metric;
    }
    return 0;
}

/* Packets as large as the way out takes need no answer that they are too large. */
static uint32_t find_mtu(int index)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { 0 };

    if (fd < 0 || !index || !if_indextoname((unsigned int)index, request.ifr_name) ||
        ioctl(fd, SIOCGIFMTU, &request) < 0)
        return MTU_DEFAULT;
    return (uint32_t)request.ifr_mtu;
}

static int put_peer(struct nl_msg *message, int namespace, uint32_t mtu)
{
    const struct ifinfomsg info = { 0 };
    struct nlattr *kind = nla_nest_start(message, IFLA_LINKINFO), *data, *peer;

    if (!kind || nla_put_string(message, IFLA_INFO_KIND, "veth") < 0)
        return -ENOMEM;
    data = nla_nest_start(message, IFLA_INFO_DATA);
    peer = data ? nla_nest_start(message, VETH_INFO_PEER) : NULL;
    if (!peer || nlmsg_append(message, (void *)(uintptr_t)&info, sizeof(info), NLMSG_ALIGNTO) < 0 ||
        nla_put_string(message, IFLA_IFNAME, LINK_GUEST_NAME) < 0 ||
        nla_put_u32(message, IFLA_MTU, mtu) < 0 ||
        nla_put_u32(message, IFLA_NET_NS_FD, (uint32_t) namespace) < 0)
        return -ENOMEM;
    nla_nest_end(message, peer);
    nla_nest_end(message, data);
    nla_nest_end(message, kind);
    return 0;
}

static int make_pair(struct kernel *kernel, const char *name, int namespace, uint32_t mtu)
{
    const struct ifinfomsg info = { 0 };
    struct nl_msg *message =
        kernel_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));

    if (message &&
        (nla_put_string(message, IFLA_IFNAME, name) < 0 ||
         nla_put_u32(message, IFLA_MTU, mtu) < 0 || put_peer(message, namespace, mtu) < 0)) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    return kernel_request(kernel, message);
}

static int set_address(struct kernel *kernel, int index, uint32_t address)
{
    const struct ifaddrmsg body = { .ifa_family = AF_INET,
                                    .ifa_prefixlen = SUBNET_PREFIX,
                                    .ifa_index = (unsigned int)index };
    struct nl_msg *message =
        kernel_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));

    if (message && (nla_put_u32(message, IFA_LOCAL, htonl(address)) < 0 ||
                    nla_put_u32(message, IFA_ADDRESS, htonl(address)) < 0 ||
                    nla_put_u32(message, IFA_BROADCAST, htonl(address | 3)) < 0)) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    return kernel_request(kernel, message);
}

static int set_up(struct kernel *kernel, int index)
{
    const struct ifinfomsg info = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

    return kernel_request(kernel, kernel_message(RTM_NEWLINK, 0, &info, sizeof(info)));
}

static int set_default_route(struct kernel *kernel, uint32_t gateway)
{
    const struct rtmsg body = { .rtm_family = AF_INET,
                                .rtm_table = RT_TABLE_MAIN,
                                .rtm_protocol = RTPROT_BOOT,
                                .rtm_scope = RT_SCOPE_UNIVERSE,
                                .rtm_type = RTN_UNICAST };
    struct nl_msg *message =
        kernel_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));

    if (message && nla_put_u32(message, RTA_GATEWAY, htonl(gateway)) < 0) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    return kernel_request(kernel, message);
}

/*
 * What comes from the machine is not to be trusted: no IPv6, so that it cannot announce itself as
 * the host's router (as CVE-2020-13401 was for bridges), and only with the address that it has
 * (guard_add(); rp_filter as well, for who looks there).
 */
static int harden(const char *name)
{
    char key[64];
    int ret;

    snprintf(key, sizeof(key), "net/ipv6/conf/%s/disable_ipv6", name);
    ret = sysctl_write(key, "1");
    if (ret < 0 && ret != -ENOENT)
        return ret;
    snprintf(key, sizeof(key), "net/ipv4/conf/%s/rp_filter", name);
    return sysctl_write(key, "1");
}

static int set_up_host(struct kernel *kernel, const struct link *link, struct error *err)
{
    int index = (int)if_nametoindex(link->name);
    int ret = harden(link->name);

    if (ret < 0)
        return error_set(err, -ret, "%s: sysctl: %s", link->name, strerror(-ret));
    ret = guard_add(kernel, index, link->subnet + 2, err);
    if (ret < 0)
        return ret;
    ret = set_address(kernel, index, link->subnet + 1);
    if (ret == 0)
        ret = set_up(kernel, index);
    return ret < 0 ? kernel_fail(kernel, ret, NULL, err, link->name) : 0;
}

static int set_up_guest(const struct link *link, struct error *err)
{
    struct kernel kernel;
    int index = (int)if_nametoindex(LINK_GUEST_NAME);
    int ret = kernel_open(&kernel, err);

    if (ret < 0)
        return ret;
    ret = set_address(&kernel, index, link->subnet + 2);
    if (ret == 0)
        ret = set_up(&kernel, index);
    if (ret == 0)
        ret = set_default_route(&kernel, link->subnet + 1);
    if (ret < 0)
        kernel_fail(&kernel, ret, NULL, err, LINK_GUEST_NAME);
    kernel_close(&kernel);
    return ret;
}

static int enter_and_set_up(int namespace, const struct link *link, struct error *err)
{
    _cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int ret;

    if (own < 0 || setns(namespace, CLONE_NEWNET) < 0)
        return error_set_errno(err, "enter the container's network namespace");
    ret = set_up_guest(link, err);
    if (setns(own, CLONE_NEWNET) < 0)
        return error_set_errno(err, "leave the container's network namespace");
    return ret;
}

/* The name is the claim: two that look at the same time do not get the same one. */
static int claim(struct kernel *kernel, int namespace, const struct routes *routes,
                 struct link *link, struct error *err)
{
    uint32_t mtu = find_mtu(routes->way_out), number = 0;
    int ret = -EEXIST;

    while (ret == -EEXIST) {
        number = subnet_next(&routes->map, number);
        if (number == SUBNET_COUNT)
            return error_set(err, EADDRNOTAVAIL,
                             "no private network is free: the host's routes cover 10.237.0.0/16, "
                             "172.29.0.0/16, 192.168.224.0/19 and 198.18.0.0/15");
        snprintf(link->name, sizeof(link->name), LINK_NAME "%u", number);
        link->subnet = subnet_address(number++);
        ret = make_pair(kernel, link->name, namespace, mtu);
    }
    return ret < 0 ? kernel_fail(kernel, ret, "CONFIG_VETH", err, "make a veth pair") : 0;
}

int link_make(int namespace, struct link *link, struct error *err)
{
    struct routes routes;
    struct kernel kernel;
    int ret = kernel_open(&kernel, err);

    if (ret < 0)
        return ret;
    do {
        memset(&routes, 0, sizeof(routes));
        ret = kernel_dump(&kernel, RTM_GETROUTE, AF_INET, take_route, &routes);
    } while (ret == -EAGAIN);
    if (ret < 0)
        kernel_fail(&kernel, ret, NULL, err, "read the host's routes");
    else
        ret = claim(&kernel, namespace, &routes, link, err);
    if (ret == 0)
        ret = set_up_host(&kernel, link, err);
    if (ret == 0)
        ret = enter_and_set_up(namespace, link, err);
    kernel_close(&kernel);
    return ret;
}
