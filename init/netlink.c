/* One request, one answer. */
#include "init/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/io.h"

int netlink_open(struct netlink *netlink)
{
    const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    int on = 1;

    *netlink = (struct netlink) { .fd = -1 };
    netlink->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink->fd < 0)
        return -errno;
    /* Words for what is wrong, and no copy of the request in the answer. Both may be missing. */
    setsockopt(netlink->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    setsockopt(netlink->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    if (connect(netlink->fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        int ret = -errno;

        netlink_close(netlink);
        return ret;
    }
    return 0;
}

int netlink_open_events(struct netlink *netlink)
{
    const struct sockaddr_nl self = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };

    *netlink = (struct netlink) { .fd = -1 };
    netlink->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (netlink->fd < 0)
        return -errno;
    if (bind(netlink->fd, (const struct sockaddr *)&self, sizeof(self)) < 0) {
        int ret = -errno;

        netlink_close(netlink);
        return ret;
    }
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    io_close(&netlink->fd);
}

struct rtattr *netlink_first(void *data, size_t length)
{
    struct rtattr *attribute = data;

    if (length < sizeof(*attribute) || attribute->rta_len < sizeof(*attribute) ||
        attribute->rta_len > length)
        return NULL;
    return attribute;
}

struct rtattr *netlink_next(struct rtattr *attribute, const void *end)
{
    size_t left = (size_t)((const uint8_t *)end - (uint8_t *)attribute);
    size_t step = RTA_ALIGN(attribute->rta_len);

    return step < left ? netlink_first((uint8_t *)attribute + step, left - step) : NULL;
}

/* NLMSGERR_ATTR_MSG, which follows the header of the request that failed (NETLINK_CAP_ACK). */
static void netlink_take_reason(struct netlink *netlink, struct nlmsghdr *answer)
{
    uint8_t *at = (uint8_t *)NLMSG_DATA(answer) + sizeof(struct nlmsgerr);
    uint8_t *end = (uint8_t *)answer + answer->nlmsg_len;

    netlink->reason[0] = '\0';
    if (!(answer->nlmsg_flags & NLM_F_ACK_TLVS) || at >= end)
        return;
    for (struct rtattr *attribute = netlink_first(at, (size_t)(end - at)); attribute;
         attribute = netlink_next(attribute, end))
        if ((attribute->rta_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG)
            snprintf(netlink->reason, sizeof(netlink->reason), "%.*s", (int)RTA_PAYLOAD(attribute),
                     (const char *)RTA_DATA(attribute));
}

/* Return: 1 and the verdict in @verdict, or 0 when @answer is not about @sequence. */
static bool netlink_is_verdict(struct netlink *netlink, struct nlmsghdr *answer, int *verdict)
{
    const struct nlmsgerr *error = NLMSG_DATA(answer);

    if (answer->nlmsg_type != NLMSG_ERROR || answer->nlmsg_seq != netlink->sequence ||
        answer->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
        return false;
    *verdict = error->error;
    if (error->error)
        netlink_take_reason(netlink, answer);
    return true;
}

int netlink_send(struct netlink *netlink, struct nlmsghdr *request)
{
    union {
        struct nlmsghdr header;
        uint8_t bytes[8192];
    } answers;

    netlink->reason[0] = '\0';
    request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    request->nlmsg_seq = ++netlink->sequence;
    request->nlmsg_pid = 0;
    if (send(netlink->fd, request, request->nlmsg_len, 0) < 0)
        return -errno;
    for (;;) {
        ssize_t n = recv(netlink->fd, &answers, sizeof(answers), 0);
        size_t left = n > 0 ? (size_t)n : 0;
        int verdict;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        for (struct nlmsghdr *answer = &answers.header; NLMSG_OK(answer, left);
             answer = NLMSG_NEXT(answer, left))
            if (netlink_is_verdict(netlink, answer, &verdict))
                return verdict;
    }
}

void netlink_begin(union netlink_request *request, uint16_t type, uint16_t flags, const void *fixed,
                   size_t size)
{
    memset(&request->header, 0, sizeof(request->header));
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = flags;
    request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
    memcpy(NLMSG_DATA(&request->header), fixed, size);
}

int netlink_put(union netlink_request *request, uint16_t type, const void *data, size_t length)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    struct rtattr *attribute = (struct rtattr *)(request->bytes + at);

    if (length > sizeof(request->bytes) - at - sizeof(*attribute) - RTA_ALIGNTO)
        return -EMSGSIZE;
    memset(request->bytes + request->header.nlmsg_len, 0, at - request->header.nlmsg_len);
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), data, length);
    request->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(length));
    return 0;
}
