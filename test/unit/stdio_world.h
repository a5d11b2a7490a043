/*
 * Stdio for tests: puts pipes or other files in the place of descriptors 0 to 2, gives the test the
 * far ends, and puts the real ones back. With an event loop that can be run until it is quiet.
 */
#ifndef VMRT_TEST_UNIT_STDIO_WORLD_H
#define VMRT_TEST_UNIT_STDIO_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/loop.h"

struct stdio_world {
    int saved[3];
    int far[3]; /* far[0] feeds stdin; far[1] and far[2] see what is written */
    int proc_fd;
    struct loop *loop;
    int quiet_fd;
    unsigned int rounds;
    bool quiet; /* the loop ran out of work, nobody stopped it */
};

static inline void stdio_quiet(void *context, int fd, uint32_t events)
{
    struct stdio_world *world = context;

    (void)fd;
    (void)events;
    /* The second time: everything that was ready the first time has had its turn. */
    if (++world->rounds < 2)
        return;
    world->quiet = true;
    loop_stop(world->loop);
}

/* Handles what is ready, once. Return: false when a handler stopped the loop. */
static inline bool stdio_run_once(struct stdio_world *world)
{
    world->rounds = 0;
    world->quiet = false;
    assert_int_equal(loop_run(world->loop), 0);
    return world->quiet;
}

/* Handles what is ready and what follows from it. Return: false when a handler stopped the loop. */
static inline bool stdio_run(struct stdio_world *world)
{
    for (int i = 0; i < 8; i++)
        if (!stdio_run_once(world))
            return false;
    return true;
}

static inline void stdio_time_is_up(void *context, int fd, uint32_t events)
{
    struct stdio_world *world = context;

    (void)fd;
    (void)events;
    loop_stop(world->loop);
}

/* Share of 40 ms without new work that the loop spends running: near 100 when it spins. */
static inline unsigned int stdio_busy_percent(struct stdio_world *world)
{
    const struct itimerspec soon = { .it_value.tv_nsec = 40000000 };
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct timespec before, after;
    int64_t spent;

    loop_remove(world->loop, world->quiet_fd);
    timerfd_settime(timer, 0, &soon, NULL);
    assert_int_equal(loop_add(world->loop, timer, EPOLLIN, stdio_time_is_up, world), 0);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_int_equal(loop_run(world->loop), 0);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    loop_remove(world->loop, timer);
    close(timer);
    assert_int_equal(loop_add(world->loop, world->quiet_fd, EPOLLIN, stdio_quiet, world), 0);
    spent = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    return (unsigned int)(spent / 400000);
}

static inline void stdio_pipe(struct stdio_world *world, int number)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(dup2(ends[number == 0 ? 0 : 1], number), number);
    close(ends[number == 0 ? 0 : 1]);
    world->far[number] = ends[number == 0 ? 1 : 0];
    fcntl(world->far[number], F_SETFL, O_NONBLOCK);
}

/* Puts @fd, which is taken over, in the place of descriptor @number. */
static inline void stdio_replace(struct stdio_world *world, int number, int fd)
{
    fd_close(&world->far[number]);
    assert_true(fd >= 0);
    assert_int_equal(dup2(fd, number), number);
    close(fd);
}

/* A loop and three pipes. */
static inline void stdio_begin(struct stdio_world *world)
{
    memset(world, 0, sizeof(*world));
    signal(SIGPIPE, SIG_IGN);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 3; i++) {
        world->saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        stdio_pipe(world, i);
    }
    world->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(world->proc_fd >= 0);
    world->loop = loop_create();
    assert_non_null(world->loop);
    world->quiet_fd = eventfd(1, EFD_CLOEXEC);
    assert_true(world->quiet_fd >= 0);
    assert_int_equal(loop_add(world->loop, world->quiet_fd, EPOLLIN, stdio_quiet, world), 0);
    /* A test that would wait for ever is a failed one. */
    alarm(60);
}

static inline void stdio_end(struct stdio_world *world)
{
    alarm(0);
    loop_destroy(world->loop);
    close(world->quiet_fd);
    close(world->proc_fd);
    for (int i = 0; i < 3; i++) {
        fd_close(&world->far[i]);
        if (world->saved[i] < 0) {
            close(i);
            continue;
        }
        dup2(world->saved[i], i);
        close(world->saved[i]);
    }
}

/* What the far end of an output has seen by now. Return: bytes; @eof: its writers are gone. */
static inline size_t stdio_read(const struct stdio_world *world, int number, void *data,
                                size_t size, bool *eof)
{
    size_t done = 0;
    ssize_t n = -1;

    while (done < size && (n = read(world->far[number], (char *)data + done, size - done)) > 0)
        done += (size_t)n;
    if (eof)
        *eof = n == 0;
    return done;
}

/* Fills a pipe to the last byte. Return: bytes it took. */
static inline size_t stdio_fill(int fd)
{
    static const char page[4096];
    int flags = fcntl(fd, F_GETFL);
    size_t total = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while ((n = write(fd, page, sizeof(page))) > 0 || (n = write(fd, page, 1)) > 0)
        total += (size_t)n;
    fcntl(fd, F_SETFL, flags);
    return total;
}

#endif
