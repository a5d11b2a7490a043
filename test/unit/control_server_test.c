/* The control socket: requests of the runtime's commands, in order and out of it. */
#include "control_world.h"

#define CLIENTS 1024 /* served at the same time */

/* ---- requests ---- */

static void test_status_and_start(void **state)
{
    struct world *w = *state;
    int fd = dial();
    uint32_t sequence;

    expect_state(w, fd, "created");
    ask(fd, CONTROL_START, 8);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), -1);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    assert_int_equal(answer(fd, NULL, NULL, 0), -1);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(answer(fd, &sequence, NULL, 0), 0);
    assert_int_equal(sequence, 8);
    expect_state(w, fd, "running");
    close(fd);
}

static void test_start_that_fails_says_why(void **state)
{
    struct world *w = *state;
    char text[128];
    int fd = dial();

    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    ask(fd, CONTROL_START, 1);
    world_run(w);
    init_answers(w, 2, ENOENT, "exec: \"nope\": executable file not found in $PATH");
    assert_int_equal(answer(fd, NULL, text, sizeof(text)), ENOENT);
    assert_string_equal(text, "exec: \"nope\": executable file not found in $PATH");
    close(fd);
}

static void test_start_twice(void **state)
{
    struct world *w = *state;
    char text[128];
    int first = dial(), second = dial();

    ask(first, CONTROL_START, 1);
    ask(second, CONTROL_START, 2);
    world_run(w);
    assert_int_equal(answer(second, NULL, text, sizeof(text)), EINVAL);
    assert_string_equal(text, "cannot start a container that has been started");
    assert_int_equal(answer(first, NULL, NULL, 0), -1);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(answer(first, NULL, NULL, 0), 0);
    close(first);
    close(second);
}

/* Each request has its own answer, and no later client gets one that it did not ask for. */
static void test_start_twice_by_the_same_client(void **state)
{
    struct world *w = *state;
    uint32_t sequence;
    int fd = dial();

    ask(fd, CONTROL_START, 1);
    ask(fd, CONTROL_START, 2);
    world_run(w);
    assert_int_equal(answer(fd, &sequence, NULL, 0), EINVAL);
    assert_int_equal(sequence, 2);
    close(fd);
    world_run(w);
    fd = dial();
    world_run(w);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    assert_int_equal(answer(fd, NULL, NULL, 0), -1);
    expect_state(w, fd, "running");
    close(fd);
}

static void test_client_that_does_not_wait_for_its_answer(void **state)
{
    struct world *w = *state;
    int fd = dial();

    ask(fd, CONTROL_START, 1);
    world_run(w);
    close(fd);
    world_run(w);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    fd = dial();
    expect_state(w, fd, "running");
    close(fd);
}

static void test_signals(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;
    static const uint64_t wrong[] = { 0, 65, UINT64_MAX, 1ull << 32 | 9 };
    char text[64];
    int fd = dial();

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ask_signal(fd, wrong[i]);
        world_run(w);
        assert_int_equal(answer(fd, NULL, text, sizeof(text)), EINVAL);
        assert_string_equal(text, "signal: expected 1 to 64");
    }
    ask(fd, CONTROL_SIGNAL, 1);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), EINVAL);
    ask(fd, CONTROL_START, 1);
    world_run(w);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    while (init_receives(w, &header, &fields))
        ;
    ask_signal(fd, 64);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(header.type, MESSAGE_SIGNAL);
    close(fd);
}

static void test_signal_before_start_ends_the_machine(void **state)
{
    struct world *w = *state;
    int fd = dial(), starter = dial();

    ask(starter, CONTROL_START, 1);
    assert_true(world_run(w));
    ask_signal(fd, SIGKILL);
    assert_false(world_run(w));
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    assert_int_equal(answer(starter, NULL, NULL, 0), EINTR);
    assert_int_equal(session_status(w->session), 137);
    close(fd);
    close(starter);
}

/* ---- clients that break the rules ---- */

static void test_unknown_request(void **state)
{
    struct world *w = *state;
    char text[128];
    int fd = dial();

    ask(fd, 4711, 1);
    world_run(w);
    assert_int_equal(answer(fd, NULL, text, sizeof(text)), EOPNOTSUPP);
    assert_string_equal(text, "request 4711 is not known to this vmrt-vmm");
    expect_state(w, fd, "created");
    close(fd);
}

static void test_garbage_is_hung_up_on(void **state)
{
    struct world *w = *state;
    static char garbage[CONTROL_PACKET_MAX + 4096];
    static const size_t sizes[] = { 1, 23, 24, 1000, CONTROL_PACKET_MAX, sizeof(garbage) };
    struct protocol_writer writer = { 0 };
    int size = 1 << 20, fd;

    for (int i = 0; i < 40; i++) {
        size_t length = sizes[i % 6];

        fd = dial();
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        memset(garbage, i < 6 ? 0 : 0xff, sizeof(garbage));
        if (i >= 12) {
            protocol_store32((uint8_t *)garbage, PROTOCOL_MAGIC);
            protocol_store16((uint8_t *)garbage + 4, PROTOCOL_VERSION);
            protocol_store32((uint8_t *)garbage + 16, (uint32_t)length - 24 + (i % 5 ? 1 : -1u));
        }
        assert_int_equal(send(fd, garbage, length, 0), length);
        world_run(w);
        assert_int_equal(answer(fd, NULL, NULL, 0), -2);
        close(fd);
    }
    /* An empty packet is an end. */
    fd = dial();
    send(fd, "", 0, 0);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), -2);
    close(fd);
    /* Descriptors that nobody asked for are not kept. */
    fd = dial();
    protocol_begin(&writer, CONTROL_STATUS, 0, 1);
    protocol_finish(&writer);
    assert_int_equal(fd_send_message(fd, writer.data, writer.length, (int[]) { 0, 1, 2 }, 3), 0);
    free(writer.data);
    int before = dup(fd);
    world_run(w);
    int after = dup(fd);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    assert_true(after <= before + 2); /* one for the client */
    close(before);
    close(after);
    close(fd);
}

static void test_more_clients_than_are_served(void **state)
{
    struct world *w = *state;
    int fds[CLIENTS + 4];

    for (int i = 0; i < CLIENTS + 4; i++) {
        fds[i] = dial();
        ask(fds[i], CONTROL_STATUS, 1);
        world_run(w);
    }
    for (int i = 0; i < CLIENTS + 4; i++)
        assert_int_equal(answer(fds[i], NULL, NULL, 0), i < CLIENTS ? 0 : -1);
    /* Waiting costs nothing, and the next is served as soon as one has gone. */
    assert_true(stdio_busy_percent(&w->io) < 50);
    for (int i = 0; i < 4; i++) {
        close(fds[i]);
        world_run(w);
        assert_int_equal(answer(fds[CLIENTS + i], NULL, NULL, 0), 0);
    }
    for (int i = 4; i < CLIENTS + 4; i++)
        close(fds[i]);
}

/* A place is kept for the answer to a client that has gone: it must not keep others out for good.
 */
static void test_all_places_taken_while_a_start_is_pending(void **state)
{
    struct world *w = *state;
    int starter = dial(), fds[CLIENTS], late;

    ask(starter, CONTROL_START, 1);
    world_run(w);
    close(starter);
    world_run(w);
    for (int i = 0; i < CLIENTS - 1; i++) {
        fds[i] = dial();
        world_run(w);
    }
    late = dial();
    world_run(w);
    assert_true(stdio_busy_percent(&w->io) < 50);
    close(fds[0]);
    world_run(w);
    expect_state(w, late, "created");
    fds[0] = dial();
    world_run(w);
    /* The answer frees the kept place. */
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    expect_state(w, fds[0], "running");
    close(late);
    for (int i = 0; i < CLIENTS - 1; i++)
        close(fds[i]);
}

static void test_client_that_never_reads(void **state)
{
    struct world *w = *state;
    int fd = dial(), other;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 5000; i++) {
        struct protocol_writer writer = { 0 };

        protocol_begin(&writer, CONTROL_STATUS, 0, 1);
        protocol_finish(&writer);
        if (send(fd, writer.data, writer.length, MSG_NOSIGNAL) < 0)
            assert_int_equal(errno, EAGAIN);
        free(writer.data);
        if (i % 50 == 0)
            world_run(w);
    }
    other = dial();
    expect_state(w, other, "created");
    close(other);
    close(fd);
}

/* A client that goes with an answer unread resets the connection; stdin was closed by that once. */
static void test_reset_connection_closes_nothing_else(void **state)
{
    struct world *w = *state;
    int fd = dial();

    ask(fd, CONTROL_STATUS, 1);
    world_run(w);
    close(fd);
    world_run(w);
    assert_true(fcntl(0, F_GETFD) >= 0);
    fd = dial();
    expect_state(w, fd, "created");
    close(fd);
}

static void test_what_is_no_listening_socket(void **state)
{
    struct world *w = *state;
    struct control_config config = { .loop = w->io.loop, .session = w->session };
    struct control_server *none = NULL;
    struct error err;
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);

    config.listen_fd = file;
    assert_int_equal(control_server_create(&none, &config, &err), -EPERM);
    assert_string_equal(err.message, "control_fd: expected a listening socket");
    close(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_setup, control_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_status_and_start),
        TEST(test_start_that_fails_says_why),
        TEST(test_start_twice),
        TEST(test_start_twice_by_the_same_client),
        TEST(test_client_that_does_not_wait_for_its_answer),
        TEST(test_signals),
        TEST(test_signal_before_start_ends_the_machine),
        TEST(test_unknown_request),
        TEST(test_garbage_is_hung_up_on),
        TEST(test_more_clients_than_are_served),
        TEST(test_all_places_taken_while_a_start_is_pending),
        TEST(test_client_that_never_reads),
        TEST(test_reset_connection_closes_nothing_else),
        TEST(test_what_is_no_listening_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
