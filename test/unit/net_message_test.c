/* What vmrt-net makes of its connection to the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hooks/net/message.h"
#include "vmm/control.h"

/* It said "Broken pipe" when the guest's kernel had ended before the question, not after it. */
static void a_machine_that_has_ended_before_is_named(void **state)
{
    struct error err = { 0 };
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[1]);
    assert_int_equal(message_pass(ends[0], CONTROL_NETWORK, NULL, 0, &err), -ECONNRESET);
    assert_string_equal(err.message, "the virtual machine has ended");
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_that_has_ended_before_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
