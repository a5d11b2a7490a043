/* Dumps of the kernel's tables that fail on the way. Needs root, for a network namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hooks/net/kernel.h"

/* More than one packet has room for. */
#define ROUTES 2000

static int count(const struct nlmsghdr *message, void *context)
{
    ++*(unsigned int *)context;
    return 0;
}

static int fail_at_once(const struct nlmsghdr *message, void *context)
{
    ++*(unsigned int *)context;
    return -EFBIG;
}

static void another_dump_is_possible_after_one_that_was_given_up(void **state)
{
    unsigned int calls = 0, routes = 0;
    struct kernel kernel;
    struct error err;

    if (unshare(CLONE_NEWNET) < 0 || system("ip -V >/dev/null 2>&1") != 0) {
        print_message("skipped: needs root and ip(8)\n");
        skip();
    }
    assert_int_equal(system("ip link set lo up && for i in $(seq 1 2000); do "
                            "echo route add 10.1.$((i / 250)).$((i % 250)) dev lo; done | "
                            "ip -batch -"),
                     0);
    assert_int_equal(kernel_open(&kernel, &err), 0);
    assert_int_equal(kernel_dump(&kernel, RTM_GETROUTE, AF_INET, fail_at_once, &calls), -EFBIG);
    assert_int_equal(calls, 1);
    assert_int_equal(kernel_dump(&kernel, RTM_GETROUTE, AF_INET, count, &routes), 0);
    assert_in_range(routes, ROUTES, ROUTES + 10);
    kernel_close(&kernel);
}

/* The kernel's part: one packet with one message. */
static void say(int fd, uint16_t type, uint16_t flags)
{
    const struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } packet = { .header = { .nlmsg_len = sizeof(packet),
                             .nlmsg_type = type,
                             .nlmsg_flags = NLM_F_MULTI | flags,
                             .nlmsg_seq = 1 } };

    assert_int_equal(send(fd, &packet, sizeof(packet), 0), sizeof(packet));
}

static void a_dump_during_which_things_changed_is_read_to_its_end(void **state)
{
    static uint8_t buffer[32768];
    struct kernel kernel = { .buffer = buffer };
    unsigned int calls = 0;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    kernel.fd = ends[0];
    say(ends[1], RTM_NEWLINK, 0);
    say(ends[1], RTM_NEWLINK, NLM_F_DUMP_INTR);
    say(ends[1], RTM_NEWLINK, 0);
    say(ends[1], NLMSG_DONE, 0);
    assert_int_equal(kernel_dump(&kernel, RTM_GETLINK, AF_UNSPEC, count, &calls), -EAGAIN);
    assert_int_equal(calls, 1);
    assert_int_equal(recv(ends[0], buffer, sizeof(buffer), MSG_DONTWAIT), -1);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_dump_is_possible_after_one_that_was_given_up),
        cmocka_unit_test(a_dump_during_which_things_changed_is_read_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
