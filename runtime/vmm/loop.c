/* The event loop: a table from descriptor to handler over epoll. */
#include "vmm/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 32

struct watch {
    loop_handler *handler; /* NULL: not watched */
    void *context;
    uint32_t generation; /* tells a new watch from a stale event for the same number */
};

struct loop {
    int epoll_fd;
    bool stopped;
    struct watch *watches; /* indexed by descriptor */
    int room;
    uint32_t generation;
};

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (!loop)
        return NULL;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    return loop;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    close(loop->epoll_fd);
    free(loop->watches);
    free(loop);
}

static int make_room(struct loop *loop, int fd)
{
    int room = loop->room ? loop->room : 64;
    struct watch *watches;

    if (fd < loop->room)
        return 0;
    while (room <= fd)
        room *= 2;
    watches = realloc(loop->watches, (size_t)room * sizeof(*watches));
    if (!watches)
        return -ENOMEM;
    for (int i = loop->room; i < room; i++)
        watches[i] = (struct watch) { 0 };
    loop->watches = watches;
    loop->room = room;
    return 0;
}

static int control(struct loop *loop, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)loop->watches[fd].generation << 32 | (uint32_t)fd,
    };

    return epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_handler *handler, void *context)
{
    int ret = make_room(loop, fd);

    if (ret < 0)
        return ret;
    loop->watches[fd] =
        (struct watch) { .handler = handler, .context = context, .generation = ++loop->generation };
    ret = control(loop, EPOLL_CTL_ADD, fd, events);
    if (ret < 0)
        loop->watches[fd].handler = NULL;
    return ret;
}

int loop_modify(struct loop *loop, int fd, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, fd, events);
}

void loop_remove(struct loop *loop, int fd)
{
    if (fd < 0 || fd >= loop->room || !loop->watches[fd].handler)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    loop->watches[fd].handler = NULL;
}

int loop_run(struct loop *loop)
{
    struct epoll_event events[EVENTS_MAX];

    while (!loop->stopped) {
        int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, -1);

        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count && !loop->stopped; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            const struct watch *watch = &loop->watches[fd];

            if (watch->handler && watch->generation == events[i].data.u64 >> 32)
                watch->handler(watch->context, fd, events[i].events);
        }
    }
    loop->stopped = false;
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
