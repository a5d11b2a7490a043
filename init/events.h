/* The event loop: one epoll descriptor, one handler per watched descriptor. */
#ifndef VMRT_INIT_EVENTS_H
#define VMRT_INIT_EVENTS_H

#include <stdint.h>
#include <sys/epoll.h>

struct watch;

/* @events: as epoll_wait(2) gave them. The handler may remove and free any watch, its own too. */
typedef void watch_handler(struct watch *watch, uint32_t events);

struct watch {
    int fd; /* owned; -1 when closed */
    uint32_t events;
    watch_handler *handler;
    void *context;
    int epoll; /* where it is registered; -1: not */
};

/* A watch that owns @fd and is not registered yet. */
static inline struct watch watch_of(int fd, watch_handler *handler, void *context)
{
    return (struct watch) { .fd = fd, .handler = handler, .context = context, .epoll = -1 };
}

/**
 * watch_set() - register @watch with @epoll, or change what it waits for.
 * @events: EPOLLIN, EPOLLOUT, EPOLLRDHUP; errors and hang-ups are always reported.
 * Return: 0 or -errno.
 */
int watch_set(struct watch *watch, int epoll, uint32_t events);

/* Stops waiting; the descriptor stays open. */
void watch_stop(struct watch *watch);

/* Stops waiting and closes the descriptor. */
void watch_close(struct watch *watch);

/* Waits for one event and runs its handler. Return: 0 or -errno. */
int events_run_one(int epoll);

#endif
