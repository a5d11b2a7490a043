/* The event loop. */
#include "init/events.h"

#include <errno.h>
#include <stddef.h>

#include "init/io.h"

int watch_set(struct watch *watch, int epoll, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };
    int op = watch->epoll < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (op == EPOLL_CTL_MOD && watch->events == events)
        return 0;
    if (epoll_ctl(epoll, op, watch->fd, &event) < 0)
        return -errno;
    watch->epoll = epoll;
    watch->events = events;
    return 0;
}

void watch_stop(struct watch *watch)
{
    if (watch->epoll < 0)
        return;
    epoll_ctl(watch->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->epoll = -1;
}

void watch_close(struct watch *watch)
{
    watch_stop(watch);
    io_close(&watch->fd);
}

int events_run_one(int epoll)
{
    struct epoll_event event;
    /* One at a time: a batch could hold events of watches that an earlier handler has freed. */
    int n = epoll_wait(epoll, &event, 1, -1);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (n == 1) {
        struct watch *watch = event.data.ptr;

        watch->handler(watch, event.events);
    }
    return 0;
}
