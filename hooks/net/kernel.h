/*
 * rtnetlink(7) of one network namespace: requests, dumps and notifications. Messages are built and
 * taken apart with libnl's nlmsg_ and nla_ functions; the exchange is done here, because its error
 * codes are coarser than the kernel's and lack the kernel's words.
 */
#ifndef VMRT_HOOKS_NET_KERNEL_H
#define VMRT_HOOKS_NET_KERNEL_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

struct kernel {
    int fd;        /* requests and dumps */
    int events_fd; /* notifications; -1: none wanted */
    uint32_t sequence;
    char reason[160]; /* the kernel's words about the last request that failed; may be "" */
    uint8_t *buffer;
};

/* Opens a socket in the namespace that the caller is in. Return: 0 or a negative errno. */
int kernel_open(struct kernel *kernel, struct error *err);

/* Subscribes to links, addresses, routes, rules and neighbours: events_fd becomes readable. */
int kernel_watch(struct kernel *kernel, struct error *err);

/* Whether something was notified that kernel_drain_events() has not thrown away. */
bool kernel_has_events(const struct kernel *kernel);

/* Throws away what was notified: the state is read anew. Lost notifications are no loss so. */
void kernel_drain_events(struct kernel *kernel);

void kernel_close(struct kernel *kernel);

/**
 * kernel_message() - start a request.
 * @fixed: the struct of @size bytes after the header.
 * Return: the message, which kernel_request() frees; NULL without memory.
 */
struct nl_msg *kernel_message(int type, int flags, const void *fixed, size_t size);

/**
 * kernel_request() - send a request, wait for the verdict.
 * @message: freed here; may be NULL (-ENOMEM).
 * Return: 0, or the kernel's -errno with kernel->reason.
 */
int kernel_request(struct kernel *kernel, struct nl_msg *message);

/* Return: 0 to go on, or a negative errno: it is not called for the rest of the dump. */
typedef int kernel_each(const struct nlmsghdr *message, void *context);

/**
 * kernel_dump() - every object of a kind.
 * @type:   RTM_GET*.
 * @family: AF_*.
 * Return: 0, -EAGAIN when the kernel says that things changed meanwhile, or a negative errno.
 */
int kernel_dump(struct kernel *kernel, int type, int family, kernel_each *each, void *context);

/* Fills in @err: "@what: reason", and the hint @needs when the kernel lacks the feature. */
int kernel_fail(const struct kernel *kernel, int code, const char *needs, struct error *err,
                const char *what);

#endif
