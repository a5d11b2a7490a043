/* A first process with a terminal: one descriptor both ways, its size, its hang-up; and reports. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "session_world.h"
#include "vmm/report.h"

static int master;

/* Puts a raw terminal in the place of descriptors 0 to 2, as the runtime does. */
static int setup(void **state)
{
    struct world *w;
    struct termios raw;
    char name[64];
    int slave;

    world_setup(state);
    w = *state;
    master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    assert_true(master >= 0);
    assert_int_equal(unlockpt(master), 0);
    assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
    for (int i = 0; i < 3; i++) {
        slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(slave >= 0);
        tcgetattr(slave, &raw);
        cfmakeraw(&raw);
        tcsetattr(slave, TCSANOW, &raw);
        stdio_replace(&w->io, i, slave);
    }
    w->config.terminal = true;
    return 0;
}

static int teardown(void **state)
{
    int ret = world_teardown(state);

    fd_close(&master);
    return ret;
}

/* The kernel hands bytes from one side of a pty to the other in its own time. */
static void run_until_sent(struct world *w, const struct vsock_connection *connection,
                           size_t length)
{
    for (int i = 0; i < 5000 && connection->outbox_length < length; i++) {
        assert_true(world_run(w));
        usleep(1000);
    }
    assert_int_equal(connection->outbox_length, length);
}

static void expect_on_master(const char *text)
{
    struct pollfd ready = { .fd = master, .events = POLLIN };
    size_t length = strlen(text), done = 0;
    char seen[128];

    while (done < length && poll(&ready, 1, 5000) == 1) {
        ssize_t n = read(master, seen + done, sizeof(seen) - done);

        assert_true(n > 0);
        done += (size_t)n;
    }
    assert_int_equal(done, length);
    assert_memory_equal(seen, text, length);
}

static void test_both_ways_over_one_descriptor(void **state)
{
    struct world *w = *state;
    struct vsock_connection *in, *out;

    world_start(w);
    in = init_opens_stream(w, 0);
    out = init_opens_stream(w, 1);
    /* There is no stderr. */
    assert_true(init_opens_stream(w, 2)->reset);
    assert_int_equal(write(master, "ls\r\x03", 4), 4);
    run_until_sent(w, in, 4);
    assert_memory_equal(in->outbox, "ls\r\x03", 4);
    guest_write(out, "a\r\nb\n", 5);
    expect_on_master("a\r\nb\n");
    init_exits(w, 0);
    assert_false(world_run(w));
}

static void test_flags_of_the_terminal_stay(void **state)
{
    struct world *w = *state;

    world_start(w);
    init_opens_stream(w, 0);
    init_opens_stream(w, 1);
    for (int fd = 0; fd < 3; fd++)
        assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void expect_size(struct world *w, unsigned int rows, unsigned int columns)
{
    struct protocol_reader fields = init_expects(w, MESSAGE_RESIZE, NULL);

    assert_int_equal(field_u64(fields, FIELD_PROCESS), 0);
    assert_int_equal(field_u64(fields, FIELD_ROWS), rows);
    assert_int_equal(field_u64(fields, FIELD_COLUMNS), columns);
}

static void test_size_before_the_start_is_not_lost(void **state)
{
    struct world *w = *state;

    world_boot(w);
    session_resize(w->session, 20, 70);
    session_resize(w->session, 24, 80);
    init_says_hello(w);
    init_expects(w, MESSAGE_SETUP, NULL);
    init_expects_nothing(w);
    init_answers(w, 1, 0, NULL);
    expect_size(w, 24, 80);
    session_resize(w->session, 25, 81);
    expect_size(w, 25, 81);
    session_start(w->session, world_answer, w);
    init_expects(w, MESSAGE_START, NULL);
    init_answers(w, 2, 0, NULL);
    session_resize(w->session, 50, 132);
    expect_size(w, 50, 132);
    init_exits(w, 0);
    session_resize(w->session, 1, 1);
    init_expects_nothing(w);
}

static void test_hang_up_is_end_of_file(void **state)
{
    struct world *w = *state;
    struct vsock_connection *in, *out;

    world_start(w);
    in = init_opens_stream(w, 0);
    out = init_opens_stream(w, 1);
    assert_true(world_run(w));
    fd_close(&master);
    assert_true(world_run(w));
    assert_true(in->eof_sent);
    assert_true(out->reset);
    assert_true(stdio_busy_percent(&w->io) < 50);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

static void test_hang_up_before_the_guest_connects(void **state)
{
    struct world *w = *state;
    struct vsock_connection *in;

    world_start(w);
    fd_close(&master);
    assert_true(world_run(w));
    assert_true(stdio_busy_percent(&w->io) < 50);
    in = init_opens_stream(w, 0);
    assert_true(world_run(w));
    assert_true(in->eof_sent);
}

/* Somebody pressed Ctrl-S, or does not read: the guest waits, nothing is lost. */
static void test_terminal_that_is_not_read(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;
    static char data[65536], seen[65536];
    size_t done = 0;
    ssize_t n;

    world_start(w);
    out = init_opens_stream(w, 1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)('a' + i % 26);
    guest_write(out, data, sizeof(data));
    assert_true(world_run(w));
    assert_true(out->inbox_length > 0);
    while (done < sizeof(data)) {
        n = read(master, seen + done, sizeof(seen) - done);
        if (n > 0)
            done += (size_t)n;
        assert_true(world_run(w));
    }
    assert_memory_equal(seen, data, sizeof(data));
}

static void test_reports_on_a_terminal(void **state)
{
    char log[] = "/tmp/session_terminal_test.XXXXXX";
    int fd = mkstemp(log);

    (void)state;
    report_to_terminal();
    report_error("no log");
    expect_on_master("vmrt: no log\r\n");
    report_setup(fd, false);
    report_error("with a log");
    report_setup(-1, false);
    assert_true(lseek(fd, 0, SEEK_END) > 0);
    /* The first that comes after it: it was not on the terminal. */
    report_error("again none");
    expect_on_master("vmrt: again none\r\n");
    close(fd);
    unlink(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_ways_over_one_descriptor),
        TEST(test_flags_of_the_terminal_stay),
        TEST(test_size_before_the_start_is_not_lost),
        TEST(test_hang_up_is_end_of_file),
        TEST(test_hang_up_before_the_guest_connects),
        TEST(test_terminal_that_is_not_read),
        TEST(test_reports_on_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
