/* rtnetlink(7) of one network namespace. */
#include "kernel.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fd.h"

/* The kernel fills a dump's packets up to this (NLMSG_GOODSIZE grows to 32 KiB). */
#define BUFFER_SIZE 32768

static const int watched_groups[] = {
    RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,   RTNLGRP_NEIGH,
};

int kernel_open(struct kernel *kernel, struct error *err)
{
    const struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    int on = 1;

    *kernel = (struct kernel) { .fd = -1, .events_fd = -1 };
    kernel->buffer = malloc(BUFFER_SIZE);
    kernel->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (!kernel->buffer || kernel->fd < 0 ||
        connect(kernel->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int ret = error_set_errno(err, "netlink socket");

        kernel_close(kernel);
        return ret;
    }
    setsockopt(kernel->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    setsockopt(kernel->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    return 0;
}

int kernel_watch(struct kernel *kernel, struct error *err)
{
    const struct sockaddr_nl address = { .nl_family = AF_NETLINK };

    kernel->events_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (kernel->events_fd < 0 ||
        bind(kernel->events_fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, "netlink socket");
    for (size_t i = 0; i < sizeof(watched_groups) / sizeof(watched_groups[0]); i++)
        if (setsockopt(kernel->events_fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &watched_groups[i],
                       sizeof(watched_groups[i])) < 0 &&
            errno != ENOENT) /* a kernel without IPv6 */
            return error_set_errno(err, "netlink socket: group %d", watched_groups[i]);
    return 0;
}

void kernel_drain_events(struct kernel *kernel)
{
    ssize_t n;

    do
        n = recv(kernel->events_fd, kernel->buffer, BUFFER_SIZE, 0);
    while (n >= 0 || errno == EINTR || errno == ENOBUFS);
}

bool kernel_has_events(const struct kernel *kernel)
{
    struct pollfd events = { .fd = kernel->events_fd, .events = POLLIN };

    return poll(&events, 1, 0) > 0;
}

void kernel_close(struct kernel *kernel)
{
    fd_close(&kernel->fd);
    fd_close(&kernel->events_fd);
    free(kernel->buffer);
    kernel->buffer = NULL;
}

struct nl_msg *kernel_message(int type, int flags, const void *fixed, size_t size)
{
    struct nl_msg *message = nlmsg_alloc_simple(type, flags | NLM_F_REQUEST);

    if (message && nlmsg_append(message, (void *)(uintptr_t)fixed, size, NLMSG_ALIGNTO) == 0)
        return message;
    nlmsg_free(message);
    return NULL;
}

static int kernel_send(struct kernel *kernel, struct nlmsghdr *header)
{
    header->nlmsg_seq = ++kernel->sequence;
    kernel->reason[0] = '\0';
    return send(kernel->fd, header, header->nlmsg_len, 0) < 0 ? -errno : 0;
}

/* NLMSGERR_ATTR_MSG of an answer whose request was not copied into it (NETLINK_CAP_ACK). */
static void take_reason(struct kernel *kernel, struct nlmsghdr *answer)
{
    struct nlattr *words = NULL;

    if (answer->nlmsg_flags & NLM_F_ACK_TLVS)
        words = nlmsg_find_attr(answer, sizeof(struct nlmsgerr), NLMSGERR_ATTR_MSG);
    if (words)
        snprintf(kernel->reason, sizeof(kernel->reason), "%.*s", nla_len(words),
                 (const char *)nla_data(words));
}

/*
 * One packet of answers. @first: the first failure of them all, or 0; nothing is given to @each any
 * more after one. Return: whether more are to come.
 *
 * A dump is read to its end whatever becomes of it: the kernel refuses another one with EBUSY until
 * then (net/netlink/af_netlink.c __netlink_dump_start()).
 */
static bool take_answers(struct kernel *kernel, size_t length, kernel_each *each, void *context,
                         int *first)
{
    struct nlmsghdr *answer = (struct nlmsghdr *)kernel->buffer;
    int left = (int)length;

    for (; nlmsg_ok(answer, left); answer = nlmsg_next(answer, &left)) {
        if (answer->nlmsg_seq != kernel->sequence)
            continue;
        if (*first == 0 && answer->nlmsg_flags & NLM_F_DUMP_INTR)
            *first = -EAGAIN;
        if (answer->nlmsg_type == NLMSG_DONE)
            return false;
        if (answer->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *verdict = nlmsg_data(answer);
            bool valid = nlmsg_valid_hdr(answer, sizeof(*verdict));

            if (*first == 0)
                *first = valid ? verdict->error : -EPROTO;
            if (valid && verdict->error)
                take_reason(kernel, answer);
            return false;
        }
        if (*first == 0 && each)
            *first = each(answer, context);
    }
    return true;
}

static int kernel_receive(struct kernel *kernel, kernel_each *each, void *context)
{
    bool more = true;
    int first = 0;

    while (more) {
        ssize_t n = recv(kernel->fd, kernel->buffer, BUFFER_SIZE, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        more = take_answers(kernel, (size_t)n, each, context, &first);
    }
    return first;
}

int kernel_request(struct kernel *kernel, struct nl_msg *message)
{
    int ret;

    if (!message)
        return -ENOMEM;
    nlmsg_hdr(message)->nlmsg_flags |= NLM_F_ACK;
    ret = kernel_send(kernel, nlmsg_hdr(message));
    nlmsg_free(message);
    return ret < 0 ? ret : kernel_receive(kernel, NULL, NULL);
}

int kernel_dump(struct kernel *kernel, int type, int family, kernel_each *each, void *context)
{
    /* Larger than struct ifinfomsg, rtmsg, ifaddrmsg and ndmsg are, all of which begin so. */
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } request = {
        .header = { .nlmsg_len = sizeof(request),
                    .nlmsg_type = (uint16_t)type,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
        .body = { .ifi_family = (unsigned char)family },
    };
    int ret = kernel_send(kernel, &request.header);

    return ret < 0 ? ret : kernel_receive(kernel, each, context);
}

int kernel_fail(const struct kernel *kernel, int code, const char *needs, struct error *err,
                const char *what)
{
    /*
     * What the kernel answers for a qdisc, classifier or action that it has not (net/sched:
     * qdisc_create(), tcf_proto_lookup_ops(), tc_action_load_ops()). ENODEV is an interface's.
     */
    bool missing = code == -ENOENT || code == -EOPNOTSUPP;
    const char *text = kernel->reason[0] ? kernel->reason : strerror(-code);

    if (needs && missing)
        return error_set(err, -code, "%s: %s; is %s in the host's kernel?", what, text, needs);
    return error_set(err, -code, "%s: %s", what, text);
}
