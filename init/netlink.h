/*
 * rtnetlink(7), as much of it as init needs: one request, one answer. Every length that is read or
 * written is bounded by the buffer it belongs to.
 */
#ifndef VMRT_INIT_NETLINK_H
#define VMRT_INIT_NETLINK_H

#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

/* Largest request, bytes: a route with its next hops is a few kilobytes at most. */
#define NETLINK_REQUEST_MAX 32768

struct netlink {
    int fd;
    uint32_t sequence;
    char reason[128]; /* what the kernel said about the last request that failed; "": only errno */
};

/* A request under construction. */
union netlink_request {
    struct nlmsghdr header;
    uint8_t bytes[NETLINK_REQUEST_MAX];
};

/* Opens the socket. Return: 0 or -errno. */
int netlink_open(struct netlink *netlink);

/* Opens one that only hears what happens to interfaces. Return: 0 or -errno. */
int netlink_open_events(struct netlink *netlink);

/* Closes it; a struct of zeroes with fd -1 may be closed too. */
void netlink_close(struct netlink *netlink);

/**
 * netlink_send() - send a request and wait for the kernel's verdict.
 * @request: its type, flags (NLM_F_REQUEST and NLM_F_ACK are added) and length are set.
 * Return: 0, or the kernel's -errno with netlink->reason.
 */
int netlink_send(struct netlink *netlink, struct nlmsghdr *request);

/* Starts a request: @fixed is the struct of @size bytes that follows the header. */
void netlink_begin(union netlink_request *request, uint16_t type, uint16_t flags, const void *fixed,
                   size_t size);

/* Appends an attribute. Return: 0, or -EMSGSIZE when it does not fit. */
int netlink_put(union netlink_request *request, uint16_t type, const void *data, size_t length);

/* The first attribute of a run of them, or NULL when not even its header fits or it is malformed.
 */
struct rtattr *netlink_first(void *data, size_t length);

/*
 * The one after @attribute in the run that ends at @end; NULL when there is none. Trailing bytes
 * too few for an attribute are passed over, as the kernel does.
 */
struct rtattr *netlink_next(struct rtattr *attribute, const void *end);

#endif
