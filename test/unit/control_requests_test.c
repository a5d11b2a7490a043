/* Pause and resume, statistics and limits, and a server without descriptors. */
#include <sys/resource.h>

#include "control_world.h"

static struct protocol_reader answer_fields(int fd)
{
    static uint8_t packet[CONTROL_PACKET_MAX];
    struct protocol_header header;
    ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

    assert_true(n >= (ssize_t)PROTOCOL_HEADER_SIZE);
    assert_int_equal(protocol_read_header(packet, &header), 0);
    assert_int_equal(header.type, MESSAGE_RESULT);
    return (struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE, header.length };
}

static void expect_answer(struct world *w, int fd, int code, const char *text)
{
    char said[128];

    world_run(w);
    assert_int_equal(answer(fd, NULL, said, sizeof(said)), code);
    if (text)
        assert_string_equal(said, text);
}

/* ---- pause ---- */

static void test_pause_is_answered_when_nothing_runs(void **state)
{
    struct world *w = *state;
    int fd = dial(), other = dial();

    control_start(w);
    ask(fd, CONTROL_PAUSE, 3);
    world_run(w);
    assert_int_equal(pauses, 1);
    assert_int_equal(answer(fd, NULL, NULL, 0), -1);
    expect_state(w, other, "running");
    ask(other, CONTROL_PAUSE, 1);
    expect_answer(w, other, EBUSY, "container is paused already");
    control_server_paused(server);
    expect_answer(w, fd, 0, NULL);
    expect_state(w, other, "paused");
    /* Once more is once too often. */
    control_server_paused(server);
    expect_answer(w, fd, -1, NULL);
    ask(other, CONTROL_RESUME, 1);
    expect_answer(w, other, 0, NULL);
    assert_int_equal(resumes, 1);
    expect_state(w, fd, "running");
    ask(other, CONTROL_RESUME, 1);
    expect_answer(w, other, EINVAL, "container not paused");
    assert_int_equal(resumes, 1);
    /* A pause that is reported after it was taken back is none. */
    control_server_paused(server);
    expect_state(w, fd, "running");
    close(fd);
    close(other);
}

static void test_resume_before_all_have_stopped(void **state)
{
    struct world *w = *state;
    int fd = dial(), other = dial();

    control_start(w);
    ask(fd, CONTROL_PAUSE, 1);
    world_run(w);
    ask(other, CONTROL_RESUME, 1);
    expect_answer(w, other, 0, NULL);
    expect_answer(w, fd, EINTR, NULL);
    close(fd);
    close(other);
}

static void test_pause_of_a_client_that_does_not_wait(void **state)
{
    struct world *w = *state;
    int fd = dial(), other = dial();

    control_start(w);
    ask(fd, CONTROL_PAUSE, 1);
    close(fd);
    world_run(w);
    control_server_paused(server);
    expect_state(w, other, "paused");
    close(other);
}

static void test_requests_while_paused(void **state)
{
    struct world *w = *state;
    struct protocol_reader fields;
    int fd = dial();

    ask(fd, CONTROL_PAUSE, 1);
    world_run(w);
    control_server_paused(server);
    expect_answer(w, fd, 0, NULL);
    ask(fd, CONTROL_START, 1);
    expect_answer(w, fd, EBUSY, "cannot start a container in the paused state");
    ask(fd, CONTROL_RESUME, 1);
    expect_answer(w, fd, 0, NULL);
    control_start(w);
    ask(fd, CONTROL_PAUSE, 1);
    world_run(w);
    control_server_paused(server);
    expect_answer(w, fd, 0, NULL);
    ask(fd, CONTROL_STATS, 1);
    expect_answer(w, fd, EAGAIN, "the container is paused");
    init_expects_nothing(w);
    /* Passed on; the guest acts on it once it goes on. */
    ask_signal(fd, SIGTERM);
    expect_answer(w, fd, 0, NULL);
    fields = init_expects(w, MESSAGE_SIGNAL, NULL);
    assert_int_equal(field_u64(fields, FIELD_SIGNAL), SIGTERM);
    ask(fd, CONTROL_UPDATE, 1);
    expect_answer(w, fd, 0, NULL);
    init_expects(w, MESSAGE_UPDATE, NULL);
    ask_signal(fd, SIGKILL);
    assert_false(world_run(w));
    assert_int_equal(session_status(w->session), 128 + SIGKILL);
    close(fd);
}

static void ask_network(int fd, bool with_fields)
{
    struct protocol_writer request = { 0 }, message = { 0 };
    int memory;

    protocol_begin(&message, MESSAGE_NETWORK, 0, 0);
    if (with_fields)
        protocol_put_u64(&message, FIELD_LINK_GONE, 5);
    assert_int_equal(protocol_finish(&message), 0);
    memory = fd_memfd_sealed("network", message.data, message.length);
    assert_true(memory >= 0);
    protocol_begin(&request, CONTROL_NETWORK, 0, 1);
    assert_int_equal(protocol_finish(&request), 0);
    assert_int_equal(fd_send_message(fd, request.data, request.length, &memory, 1), 0);
    close(memory);
    free(message.data);
    free(request.data);
}

/* Interfaces come and go while the guest stands still, and none is forgotten for it. */
static void test_network_of_a_paused_guest_changes_when_it_goes_on(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    int fd = dial(), net = dial();

    control_start(w);
    ask(fd, CONTROL_PAUSE, 1);
    world_run(w);
    control_server_paused(server);
    expect_answer(w, fd, 0, NULL);
    ask_network(net, true);
    world_run(w);
    assert_int_equal(networks, 1);
    assert_int_equal(answer(net, NULL, NULL, 0), -1);
    ask(fd, CONTROL_RESUME, 1);
    expect_answer(w, fd, 0, NULL);
    init_expects(w, MESSAGE_NETWORK, &header);
    assert_int_equal(network_answers, 0);
    init_answers(w, header.sequence, 0, NULL);
    expect_answer(w, net, 0, NULL);
    assert_int_equal(network_answers, 1);
    close(fd);
    close(net);
}

/* The machine takes back what the guest has let go of, whoever asked, and whoever is still there.
 */
static void test_network_is_answered_once_for_each_that_succeeded(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    int net = dial();

    control_start(w);
    ask_network(net, false);
    expect_answer(w, net, ENOSPC, "no room");
    assert_int_equal(network_answers, 0);
    ask_network(net, true);
    world_run(w);
    init_expects(w, MESSAGE_NETWORK, &header);
    close(net);
    world_run(w);
    assert_int_equal(network_answers, 0);
    init_answers(w, header.sequence, EIO, "it does not come off");
    world_run(w);
    assert_int_equal(network_answers, 1);
    assert_int_equal(networks, 2);
}

/* ---- what the guest answers ---- */

static void test_stats_of_the_guest(void **state)
{
    struct world *w = *state;
    struct protocol_writer writer = { 0 };
    struct protocol_header header;
    struct protocol_reader fields;
    int fd = dial(), other = dial();

    ask(fd, CONTROL_STATS, 1);
    expect_answer(w, fd, EAGAIN, "container not running");
    control_start(w);
    ask(fd, CONTROL_STATS, 1);
    world_run(w);
    init_expects(w, MESSAGE_STATS, &header);
    /* Only one at a time from each. */
    ask(fd, CONTROL_STATS, 2);
    expect_answer(w, fd, EBUSY, "the request before this one is still being answered");
    protocol_begin(&writer, MESSAGE_RESULT, 0, header.sequence);
    protocol_put_u64(&writer, FIELD_CODE, 0);
    protocol_put_u64(&writer, FIELD_STAT_PIDS, 17);
    protocol_put_u64(&writer, FIELD_STAT_OOM_KILLS, 2);
    init_sends(w, &writer);
    fields = answer_fields(fd);
    assert_int_equal(field_u64(fields, FIELD_CODE), 0);
    assert_int_equal(field_u64(fields, FIELD_STAT_PIDS), 17);
    assert_int_equal(field_u64(fields, FIELD_STAT_OOM_KILLS), 2);
    /* One that has gone meanwhile. */
    ask(other, CONTROL_STATS, 1);
    world_run(w);
    close(other);
    world_run(w);
    init_expects(w, MESSAGE_STATS, &header);
    init_answers(w, header.sequence, 0, NULL);
    expect_state(w, fd, "running");
    close(fd);
}

static void test_update_and_its_failure(void **state)
{
    struct world *w = *state;
    struct protocol_writer writer = { 0 };
    struct protocol_header header;
    struct protocol_reader fields;
    int fd = dial();

    control_start(w);
    protocol_begin(&writer, CONTROL_UPDATE, 0, 1);
    protocol_put_u64(&writer, FIELD_PIDS_MAX, 20);
    protocol_put_u64(&writer, FIELD_MEMORY_MAX, 1 << 20);
    ask_fields(fd, &writer);
    world_run(w);
    fields = init_expects(w, MESSAGE_UPDATE, &header);
    assert_int_equal(field_u64(fields, FIELD_PIDS_MAX), 20);
    assert_int_equal(field_u64(fields, FIELD_MEMORY_MAX), 1 << 20);
    init_answers(w, header.sequence, EBUSY, "memory.max: device or resource busy");
    expect_answer(w, fd, EBUSY, "memory.max: device or resource busy");
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    close(fd);
}

/* They stayed counted: after 1024, two seconds each, nobody could reach the container any more. */
static void test_clients_that_give_up_on_a_silent_guest_keep_no_place(void **state)
{
    static const uint16_t types[] = { CONTROL_STATS, CONTROL_UPDATE };
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;
    int fd;

    control_start(w);
    for (int i = 0; i < 1030; i++) {
        fd = dial();
        ask(fd, types[i % 2], 1);
        world_run(w);
        close(fd);
        world_run(w);
    }
    fd = dial();
    expect_state(w, fd, "running");
    /* The answers, all at once, are nobody's. */
    ask(fd, CONTROL_STATS, 2);
    world_run(w);
    for (int i = 0; i < 1030; i++) {
        assert_true(init_receives(w, &header, &fields));
        init_answers(w, header.sequence, i % 3, "late");
    }
    expect_answer(w, fd, -1, NULL);
    init_expects(w, MESSAGE_STATS, &header);
    init_answers(w, header.sequence, 0, NULL);
    expect_answer(w, fd, 0, NULL);
    close(fd);
}

/* Each question would wait in this process's memory. */
static void test_stats_of_a_guest_that_does_not_read_are_refused(void **state)
{
    struct world *w = *state;
    int fd;

    control_start(w);
    w->control->window = 0;
    for (size_t asked = 0; asked <= 256u << 10; asked += PROTOCOL_HEADER_SIZE) {
        fd = dial();
        ask(fd, CONTROL_STATS, 1);
        world_run(w);
        assert_int_equal(answer(fd, NULL, NULL, 0), -1);
        close(fd);
        world_run(w);
    }
    fd = dial();
    ask(fd, CONTROL_STATS, 1);
    expect_answer(w, fd, EAGAIN, "the guest does not keep up");
    guest_take(w->control, 1u << 20);
    ask(fd, CONTROL_STATS, 2);
    expect_answer(w, fd, -1, NULL);
    close(fd);
}

static void test_end_answers_what_is_open(void **state)
{
    struct world *w = *state;
    int fd = dial();

    control_start(w);
    ask(fd, CONTROL_STATS, 1);
    world_run(w);
    init_exits(w, 0);
    expect_answer(w, fd, ESRCH, "the container has stopped");
    close(fd);
}

/* ---- no descriptors left ---- */

static void test_no_descriptor_for_a_client(void **state)
{
    struct world *w = *state;
    struct rlimit before, none;
    int fd = dial();

    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    ask(fd, CONTROL_STATUS, 1);
    setrlimit(RLIMIT_NOFILE, &none);
    world_run(w);
    setrlimit(RLIMIT_NOFILE, &before);
    /* It waits, without spinning, and comes back by itself. */
    assert_true(stdio_busy_percent(&w->io) < 50);
    assert_int_equal(answer(fd, NULL, NULL, 0), -1);
    usleep(150000);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_setup, control_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pause_is_answered_when_nothing_runs),
        TEST(test_resume_before_all_have_stopped),
        TEST(test_pause_of_a_client_that_does_not_wait),
        TEST(test_requests_while_paused),
        TEST(test_network_of_a_paused_guest_changes_when_it_goes_on),
        TEST(test_network_is_answered_once_for_each_that_succeeded),
        TEST(test_stats_of_the_guest),
        TEST(test_update_and_its_failure),
        TEST(test_clients_that_give_up_on_a_silent_guest_keep_no_place),
        TEST(test_stats_of_a_guest_that_does_not_read_are_refused),
        TEST(test_end_answers_what_is_open),
        TEST(test_no_descriptor_for_a_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
