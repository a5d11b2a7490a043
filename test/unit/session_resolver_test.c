/* The guest's way to the engine's name server: who may use it, and what passes. */
#include <stdio.h>
#include <sys/socket.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "session_world.h"
#include "vmm/session.h"

enum { ANSWERS, QUESTIONS };

/* Return: the far end of a name server's socket. */
static int give_resolver(const struct world *w)
{
    struct error err;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(session_set_resolver(w->session, ends[0], &err), 0);
    return ends[1];
}

static void put_name(struct protocol_writer *writer, const void *secret, uint64_t number)
{
    protocol_begin(writer, MESSAGE_RESOLVER, 0, 0);
    protocol_put_bytes(writer, FIELD_SECRET, secret, PROTOCOL_SECRET_SIZE);
    protocol_put_u64(writer, FIELD_STREAM, number);
    assert_int_equal(protocol_finish(writer), 0);
}

static struct vsock_connection *open_with(const struct world *w, const void *secret,
                                          uint64_t number)
{
    struct vsock_connection *connection = guest_connect(&session_service, w->session, PORT_STREAM);
    struct protocol_writer writer = { 0 };

    assert_non_null(connection);
    put_name(&writer, secret, number);
    guest_write(connection, writer.data, writer.length);
    free(writer.data);
    return connection;
}

static struct vsock_connection *init_opens(const struct world *w, uint64_t number)
{
    return open_with(w, init_secret(w).data, number);
}

static void test_questions_and_answers_pass_as_they_are(void **state)
{
    struct world *w = *state;
    struct vsock_connection *answers, *questions;
    char text[32];
    int server;

    world_start(w);
    server = give_resolver(w);
    answers = init_opens(w, ANSWERS);
    questions = init_opens(w, QUESTIONS);
    guest_write(questions, "who is peer?", 12);
    assert_int_equal(recv(server, text, sizeof(text), 0), 12);
    assert_memory_equal(text, "who is peer?", 12);
    assert_int_equal(send(server, "10.0.0.1", 8, 0), 8);
    world_run(w);
    assert_int_equal(answers->outbox_length, 8);
    assert_memory_equal(answers->outbox, "10.0.0.1", 8);
    assert_int_equal(questions->outbox_length, 0);
    close(server);
}

static void test_without_a_name_server_there_is_no_way(void **state)
{
    struct world *w = *state;

    world_start(w);
    assert_true(init_opens(w, ANSWERS)->reset);
    assert_true(init_opens(w, QUESTIONS)->reset);
}

static void test_processes_of_the_container_have_no_way(void **state)
{
    static const uint8_t guess[PROTOCOL_SECRET_SIZE];
    struct world *w = *state;
    int server;

    world_start(w);
    server = give_resolver(w);
    assert_true(open_with(w, guess, QUESTIONS)->reset);
    assert_false(init_opens(w, QUESTIONS)->reset);
    /* Each once, and no others. */
    assert_true(init_opens(w, QUESTIONS)->reset);
    assert_true(init_opens(w, 2)->reset);
    assert_true(init_opens(w, UINT64_MAX)->reset);
    close(server);
}

/* Nothing piles up here: the guest runs out of credit, the far end out of its socket. */
static void test_a_side_that_does_not_read_makes_the_other_wait(void **state)
{
    static uint8_t block[65536];
    struct world *w = *state;
    struct vsock_connection *answers, *questions;
    size_t given = 0;
    int server;

    world_start(w);
    server = give_resolver(w);
    answers = init_opens(w, ANSWERS);
    questions = init_opens(w, QUESTIONS);
    answers->window = 1000;
    for (int i = 0; i < 64; i++)
        guest_write(questions, block, sizeof(block));
    assert_true(questions->inbox_length > 1u << 20);
    for (ssize_t n; (n = send(server, block, sizeof(block), MSG_DONTWAIT)) > 0; given += (size_t)n)
        world_run(w);
    assert_true(given < 4u << 20);
    assert_int_equal(answers->outbox_length, 1000);
    /* What is read makes room again, on both sides. */
    guest_take(answers, SIZE_MAX / 2);
    world_run(w);
    assert_int_equal(answers->outbox_length, given);
    for (size_t left = 64 * sizeof(block); left > 0;) {
        ssize_t n = recv(server, block, sizeof(block), MSG_DONTWAIT);

        if (n < 0)
            world_run(w);
        else
            left -= (size_t)n;
    }
    assert_int_equal(questions->inbox_length, 0);
    close(server);
}

static void test_a_name_server_that_goes_is_noticed(void **state)
{
    struct world *w = *state;
    struct vsock_connection *answers, *questions;

    world_start(w);
    close(give_resolver(w));
    world_run(w);
    answers = init_opens(w, ANSWERS);
    questions = init_opens(w, QUESTIONS);
    assert_true(answers->eof_sent);
    guest_write(questions, "?", 1);
    assert_true(questions->reset);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

static void test_another_name_server_takes_the_place_of_the_first(void **state)
{
    struct world *w = *state;
    struct vsock_connection *answers, *questions, *again;
    char text[8];
    int first, second;

    world_start(w);
    first = give_resolver(w);
    answers = init_opens(w, ANSWERS);
    questions = init_opens(w, QUESTIONS);
    second = give_resolver(w);
    assert_true(answers->reset);
    assert_true(questions->reset);
    assert_int_equal(recv(first, text, sizeof(text), 0), 0);
    again = init_opens(w, QUESTIONS);
    guest_write(again, "?", 1);
    assert_int_equal(recv(second, text, sizeof(text), 0), 1);
    close(first);
    close(second);
}

static void test_what_is_no_socket_is_refused(void **state)
{
    struct world *w = *state;
    struct error err;

    world_start(w);
    assert_int_equal(session_set_resolver(w->session, dup(w->io.proc_fd), &err), -ENOTSOCK);
    assert_string_equal(err.message, "name server: expected a socket");
    assert_true(init_opens(w, QUESTIONS)->reset);
}

static void test_the_end_does_not_wait_for_it(void **state)
{
    struct world *w = *state;
    struct vsock_connection *questions;
    char text[8];
    int server;

    world_start(w);
    server = give_resolver(w);
    questions = init_opens(w, QUESTIONS);
    (void)questions;
    init_exits(w, 0);
    assert_int_equal(session_state(w->session), SESSION_EXITED);
    assert_false(world_run(w));
    fake_finish(true);
    session_destroy(w->session);
    w->session = NULL;
    assert_int_equal(recv(server, text, sizeof(text), 0), 0);
    close(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_questions_and_answers_pass_as_they_are),
        TEST(test_without_a_name_server_there_is_no_way),
        TEST(test_processes_of_the_container_have_no_way),
        TEST(test_a_side_that_does_not_read_makes_the_other_wait),
        TEST(test_a_name_server_that_goes_is_noticed),
        TEST(test_another_name_server_takes_the_place_of_the_first),
        TEST(test_what_is_no_socket_is_refused),
        TEST(test_the_end_does_not_wait_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
