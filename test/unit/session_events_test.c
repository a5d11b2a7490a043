/* What a guest tells besides results: readiness, lack of memory, and its last words. */
#include <stdio.h>
#include <sys/socket.h>

#include "session_world.h"

static int engine = -1;

static int setup(void **state)
{
    struct world *w;
    int ends[2];

    world_setup(state);
    w = *state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    engine = ends[0];
    w->config.notify_fd = ends[1];
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    int fd = w->config.notify_fd, ret = world_teardown(state);

    fd_close(&fd);
    fd_close(&engine);
    return ret;
}

static void init_notifies(const struct world *w, uint32_t container, const char *text)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_NOTIFY, container, 0);
    protocol_put_bytes(&writer, FIELD_DATA, text, strlen(text));
    init_sends(w, &writer);
}

static void engine_expects(const char *text)
{
    char seen[8192];
    ssize_t n = recv(engine, seen, sizeof(seen) - 1, MSG_DONTWAIT);

    if (!text) {
        assert_int_equal(n, -1);
        return;
    }
    assert_true(n > 0);
    seen[n] = '\0';
    assert_string_equal(seen, text);
}

static void test_readiness_is_passed_on(void **state)
{
    struct world *w = *state;
    char pid[32];

    world_start(w);
    snprintf(pid, sizeof(pid), "MAINPID=%d\n", (int)getpid());
    init_notifies(w, 0, "READY=1");
    engine_expects("READY=1\n");
    engine_expects(pid);
    init_notifies(w, 0, "STATUS=up\nMAINPID=1\nREADY=1\nFDSTORE=1\n");
    engine_expects("READY=1\n");
    engine_expects(pid);
    /* Nothing else of what a container says concerns the engine, nor what another one says. */
    init_notifies(w, 0, "STOPPING=1\nMAINPID=1\nXREADY=1\nREADY\n\n");
    init_notifies(w, 0, "");
    init_notifies(w, 3, "READY=1");
    init_says(w, MESSAGE_NOTIFY, 0);
    engine_expects(NULL);
}

static void test_readiness_is_bounded(void **state)
{
    struct world *w = *state;
    unsigned int count = 0;
    char seen[64];

    world_start(w);
    for (int i = 0; i < 1000; i++) {
        init_notifies(w, 0, "READY=1\nREADY=2");
        while (recv(engine, seen, sizeof(seen), MSG_DONTWAIT) > 0)
            count++;
    }
    assert_int_equal(count, 2 * 64);
}

/* An engine that does not read its socket holds nobody up. */
static void test_engine_that_does_not_listen(void **state)
{
    struct world *w = *state;
    static char filler[65536];

    world_start(w);
    while (send(w->config.notify_fd, filler, sizeof(filler), MSG_DONTWAIT) > 0)
        ;
    init_notifies(w, 0, "READY=1");
    fd_close(&engine);
    init_notifies(w, 0, "READY=1");
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

static void test_nobody_asked_for_readiness(void **state)
{
    struct world *w = *state;
    int fd = w->config.notify_fd;

    w->config.notify_fd = -1;
    world_start(w);
    init_notifies(w, 0, "READY=1");
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    w->config.notify_fd = fd;
}

static void test_lack_of_memory_is_reported(void **state)
{
    struct world *w = *state;
    char seen[65536 * 2];
    size_t total = 0;

    world_start(w);
    init_says(w, MESSAGE_OOM, 0);
    world_expect_report(
        w, "vmrt: the guest ran out of memory: a process of the container was killed\n");
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    /* As with all that a guest causes to be said, there is an end to it. */
    for (int i = 0; i < 20000; i++) {
        init_says(w, MESSAGE_OOM, 0);
        total += stdio_read(&w->io, 2, seen, sizeof(seen), NULL);
    }
    assert_true(total < 70000);
}

/* A panic: what the workload wrote just before is not lost. */
/* The status alone does not tell: somebody may have killed it. */
static void test_end_for_want_of_memory(void **state)
{
    struct world *w = *state;

    world_start(w);
    init_says(w, MESSAGE_OOM, 0);
    world_run(w);
    assert_false(session_out_of_memory(w->session));
    init_exits(w, 137);
    world_run(w);
    assert_true(session_out_of_memory(w->session));
    assert_int_equal(session_status(w->session), 137);
}

static void test_other_ends_are_not_for_want_of_memory(void **state)
{
    struct world *w = *state;

    world_start(w);
    init_says(w, MESSAGE_OOM, 0);
    init_exits(w, 1);
    world_run(w);
    assert_false(session_out_of_memory(w->session));
}

/* ---- create that waits for the container ---- */

static unsigned int prepared;
static struct error prepared_failure;

static void note_prepared(void *context, const struct error *failure)
{
    (void)context;
    prepared++;
    prepared_failure = failure ? *failure : (struct error) { 0 };
}

static void boot_waited_for(struct world *w)
{
    prepared = 0;
    w->config.prepared = note_prepared;
    w->plan = NULL;
    world_boot(w);
    init_says_hello(w);
    world_run(w);
    assert_int_equal(prepared, 0);
}

static void test_prepared_is_told_once(void **state)
{
    struct world *w = *state;

    boot_waited_for(w);
    init_answers(w, 1, 0, NULL);
    world_run(w);
    assert_int_equal(prepared, 1);
    assert_int_equal(prepared_failure.code, 0);
    session_machine_ended(w->session, "later");
    assert_int_equal(prepared, 1);
    world_expect_report(w, "later");
}

static void test_failed_preparation_is_told_to_who_waits(void **state)
{
    struct world *w = *state;

    boot_waited_for(w);
    init_answers(w, 1, ENOEXEC, "error running createContainer hook #0: exit status 3");
    world_run(w);
    assert_int_equal(prepared, 1);
    assert_int_equal(prepared_failure.code, ENOEXEC);
    assert_string_equal(prepared_failure.message,
                        "error running createContainer hook #0: exit status 3");
    world_expect_report(w, NULL);
}

static void test_machine_that_dies_before_it_is_prepared(void **state)
{
    struct world *w = *state;

    boot_waited_for(w);
    session_machine_ended(w->session, "the guest's kernel panicked");
    assert_int_equal(prepared, 1);
    assert_string_equal(prepared_failure.message, "the guest's kernel panicked");
}

static void test_killed_before_it_is_prepared(void **state)
{
    struct world *w = *state;

    boot_waited_for(w);
    session_kill(w->session);
    assert_int_equal(prepared, 1);
    assert_int_equal(prepared_failure.code, EINTR);
}

static void test_last_words_of_a_machine_that_dies(void **state)
{
    struct world *w = *state;
    static char data[VSOCK_BUFFER_SIZE], seen[VSOCK_BUFFER_SIZE];
    struct vsock_connection *out;
    struct protocol_writer writer = { 0 };
    size_t done = 0;

    world_start(w);
    /* Not even a connection that has not been looked at. */
    out = guest_connect(&session_service, w->session, PORT_STREAM);
    stream_header(w, &writer, 0, 1);
    guest_put(out, writer.data, writer.length);
    free(writer.data);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)i;
    guest_put(out, data, sizeof(data));
    session_machine_ended(w->session, "the guest ended in a triple fault");
    assert_true(world_run(w));
    assert_int_equal(session_state(w->session), SESSION_FAILED);
    world_expect_report(w, "triple fault");
    while (done < sizeof(data)) {
        bool running;

        done += stdio_read(&w->io, 1, seen + done, sizeof(seen) - done, NULL);
        running = world_run(w);
        if (!running)
            done += stdio_read(&w->io, 1, seen + done, sizeof(seen) - done, NULL);
        assert_true(running || done == sizeof(data));
    }
    assert_memory_equal(seen, data, sizeof(data));
    assert_int_equal(session_status(w->session), SESSION_STATUS_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_readiness_is_passed_on),
        TEST(test_readiness_is_bounded),
        TEST(test_engine_that_does_not_listen),
        TEST(test_nobody_asked_for_readiness),
        TEST(test_lack_of_memory_is_reported),
        TEST(test_end_for_want_of_memory),
        TEST(test_other_ends_are_not_for_want_of_memory),
        TEST(test_prepared_is_told_once),
        TEST(test_failed_preparation_is_told_to_who_waits),
        TEST(test_machine_that_dies_before_it_is_prepared),
        TEST(test_killed_before_it_is_prepared),
        TEST(test_last_words_of_a_machine_that_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
