/* Asking a vmrt-vmm that is slow, or does not answer: how long that takes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/container.h"
#include "oci/control_client.h"

#define TIMEOUT_MS 2000
/* After so long there is room for one more connection. */
#define ACCEPT_MS 1500

struct place {
    char path[32];
    int directory, listener;
    int other; /* takes the only place in the backlog */
    pid_t server;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct error err;

    if (!place)
        return -1;
    *state = place;
    *place = (struct place) { "/tmp/vmrt-control-XXXXXX", -1, -1, -1, -1 };
    if (!mkdtemp(place->path))
        return -1;
    place->directory = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->listener = control_listen(place->directory, &err);
    if (place->listener < 0 || listen(place->listener, 0) < 0)
        return -1;
    place->other = control_connect(place->directory, -1);
    return place->other < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    if (place->server > 0) {
        kill(place->server, SIGKILL);
        waitpid(place->server, NULL, 0);
    }
    fd_close(&place->other);
    fd_close(&place->listener);
    unlinkat(place->directory, CONTAINER_CONTROL, 0);
    fd_close(&place->directory);
    rmdir(place->path);
    free(place);
    return 0;
}

/* Return: how long it took until nobody had answered. */
static int64_t ask_in_vain(const struct place *place)
{
    struct protocol_writer request = { 0 };
    struct control_answer answer;
    int64_t begun = now_ms();

    protocol_begin(&request, CONTROL_STATUS, 0, 0);
    assert_int_equal(control_ask(place->directory, &request, TIMEOUT_MS, &answer), -ETIMEDOUT);
    return now_ms() - begun;
}

static void test_nobody_takes_the_connection(void **state)
{
    int64_t took = ask_in_vain(*state);

    assert_true(took >= TIMEOUT_MS - 10 && took < 2 * TIMEOUT_MS);
}

/* Connecting and waiting had the timeout each: kill waited 2.4 s where 1.2 s were meant. */
static void test_a_late_connection_does_not_prolong_the_wait_for_the_answer(void **state)
{
    struct place *place = *state;
    int64_t took;

    place->server = fork();
    assert_true(place->server >= 0);
    if (place->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        poll(NULL, 0, ACCEPT_MS);
        (void)accept4(place->listener, NULL, NULL, SOCK_CLOEXEC);
        for (;;)
            pause();
    }
    took = ask_in_vain(place);
    /* In the middle between the one and the other. */
    assert_true(took >= TIMEOUT_MS - 10 && took < TIMEOUT_MS + ACCEPT_MS / 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_takes_the_connection),
        TEST(test_a_late_connection_does_not_prolong_the_wait_for_the_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
