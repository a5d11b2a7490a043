/* The event loop: one handler per descriptor, and none for events of the past. */
#include "vmm/loop.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    int a, b, stop;
    unsigned int calls_a, calls_b;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->loop = loop_create();
    f->a = eventfd(1, EFD_NONBLOCK);
    f->b = eventfd(1, EFD_NONBLOCK);
    f->stop = eventfd(1, EFD_NONBLOCK);
    *state = f;
    return f->loop ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_destroy(f->loop);
    close(f->a);
    close(f->b);
    close(f->stop);
    free(f);
    return 0;
}

static void stop(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;

    (void)fd;
    (void)events;
    loop_stop(f->loop);
}

static void count_a(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    uint64_t value;

    assert_int_equal(fd, f->a);
    assert_int_equal(events, EPOLLIN);
    assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
    f->calls_a++;
}

static void test_handlers_are_called_and_the_loop_stops(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(loop_add(f->loop, f->a, EPOLLIN, count_a, f), 0);
    assert_int_equal(loop_add(f->loop, f->stop, EPOLLIN, stop, f), 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->calls_a, 1);
    /* A second run is as good as the first. */
    assert_int_equal(loop_run(f->loop), 0);
    /* Stopped before it began. */
    loop_remove(f->loop, f->stop);
    loop_stop(f->loop);
    assert_int_equal(loop_run(f->loop), 0);
}

/* Whichever of two handlers comes first takes the other's turn away. */
static void remove_other(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;

    (void)events;
    if (fd == f->a) {
        f->calls_a++;
        loop_remove(f->loop, f->b);
    } else {
        f->calls_b++;
        loop_remove(f->loop, f->a);
    }
    loop_remove(f->loop, fd);
    assert_int_equal(loop_add(f->loop, f->stop, EPOLLIN, stop, f), 0);
}

static void test_removal_drops_pending_events(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(loop_add(f->loop, f->a, EPOLLIN, remove_other, f), 0);
    assert_int_equal(loop_add(f->loop, f->b, EPOLLIN, remove_other, f), 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->calls_a + f->calls_b, 1);
}

static void count_b(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;

    (void)fd;
    (void)events;
    f->calls_b++;
}

/* The number of a closed descriptor goes to a new one: the old one's event is not for it. */
static void replace_b(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    int number = f->b, fresh = eventfd(0, EFD_NONBLOCK);

    (void)events;
    f->calls_a++;
    loop_remove(f->loop, fd);
    loop_remove(f->loop, number);
    assert_int_equal(dup2(fresh, number), number);
    close(fresh);
    assert_int_equal(loop_add(f->loop, number, EPOLLIN, count_b, f), 0);
    assert_int_equal(loop_add(f->loop, f->stop, EPOLLIN, stop, f), 0);
}

static void test_reused_number_gets_no_stale_event(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(loop_add(f->loop, f->a, EPOLLIN, replace_b, f), 0);
    assert_int_equal(loop_add(f->loop, f->b, EPOLLIN, count_b, f), 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->calls_a, 1);
    assert_int_equal(f->calls_b, 0);
}

static void count_a_and_stop(void *context, int fd, uint32_t events)
{
    count_a(context, fd, events);
    stop(context, fd, events);
}

static void test_modify(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(loop_add(f->loop, f->a, EPOLLIN, count_a_and_stop, f), 0);
    assert_int_equal(loop_modify(f->loop, f->a, 0), 0);
    assert_int_equal(loop_add(f->loop, f->stop, EPOLLIN, stop, f), 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->calls_a, 0);
    loop_remove(f->loop, f->stop);
    assert_int_equal(loop_modify(f->loop, f->a, EPOLLIN), 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->calls_a, 1);
}

static void test_what_cannot_be_watched(void **state)
{
    struct fixture *f = *state;
    int file = open("/etc/passwd", O_RDONLY);

    assert_int_equal(loop_add(f->loop, file, EPOLLIN, count_b, f), -EPERM);
    assert_int_equal(loop_add(f->loop, 4000, EPOLLIN, count_b, f), -EBADF);
    /* Removing what is not there is nothing. */
    loop_remove(f->loop, file);
    loop_remove(f->loop, -1);
    loop_remove(f->loop, 1 << 30);
    close(file);
    loop_destroy(NULL);
}

static void test_large_numbers(void **state)
{
    struct fixture *f = *state;
    int high = fcntl(f->stop, F_DUPFD, 900);

    assert_int_equal(loop_add(f->loop, high, EPOLLIN, stop, f), 0);
    assert_int_equal(loop_run(f->loop), 0);
    loop_remove(f->loop, high);
    close(high);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handlers_are_called_and_the_loop_stops),
        TEST(test_removal_drops_pending_events),
        TEST(test_reused_number_gets_no_stale_event),
        TEST(test_modify),
        TEST(test_what_cannot_be_watched),
        TEST(test_large_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
