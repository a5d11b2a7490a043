/* The standard streams: lossless, both ends of file, back-pressure, hosts that go away. */
#include "init_host.h"

#include <sys/ioctl.h>
#include <time.h>

#define BLOCK (1u << 20)

/* A number that depends on where it stands, so that lost or moved bytes show. */
static uint8_t byte_at(size_t offset)
{
    return (uint8_t)(offset * 2654435761u >> 13 ^ offset);
}

static void start_command(struct host *host, const char *command, const char *argument)
{
    struct protocol_writer *writer = host_begin_container(host);

    protocol_put_string(writer, FIELD_ARG, command);
    if (argument)
        protocol_put_string(writer, FIELD_ARG, argument);
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
}

static void start_shell(struct host *host, const char *script)
{
    host_put_shell(host_begin_container(host), script);
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
}

/* What the engine has computed so far. */
static uint64_t cpu_time_ns(const struct host *host)
{
    struct timespec time;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(host->init, &clock), 0);
    assert_int_equal(clock_gettime(clock, &time), 0);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Pushes and pulls at once, in pieces of sizes that never fit. */
static void pump(struct host *host, size_t total)
{
    static uint8_t buffer[70001];
    size_t sent = 0, got = 0;

    fcntl(host->streams[0], F_SETFL, O_NONBLOCK);
    while (got < total) {
        struct pollfd wait[2] = { { .fd = sent < total ? host->streams[0] : -1, .events = POLLOUT },
                                  { .fd = host->streams[1], .events = POLLIN } };

        assert_true(poll(wait, 2, HOST_TIMEOUT_S * 1000) > 0);
        if (wait[0].revents & POLLOUT) {
            size_t piece = total - sent < sizeof(buffer) ? total - sent : sizeof(buffer);
            ssize_t n;

            for (size_t i = 0; i < piece; i++)
                buffer[i] = byte_at(sent + i);
            n = write(host->streams[0], buffer, piece);
            assert_true(n > 0 || errno == EAGAIN);
            sent += n > 0 ? (size_t)n : 0;
            if (sent == total)
                assert_int_equal(shutdown(host->streams[0], SHUT_WR), 0);
        }
        if (wait[1].revents & (POLLIN | POLLHUP)) {
            ssize_t n = read(host->streams[1], buffer, 4099);

            assert_true(n > 0);
            for (ssize_t i = 0; i < n; i++)
                if (buffer[i] != byte_at(got + (size_t)i))
                    fail_msg("byte %zu differs", got + (size_t)i);
            got += (size_t)n;
        }
    }
    assert_int_equal(read(host->streams[1], buffer, 1), 0);
}

static void test_16_mib_through_cat(void **state)
{
    struct host *host = host_get(state);

    start_command(host, "cat", NULL);
    pump(host, 16 * BLOCK);
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_end_of_stdin_reaches_the_workload(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    start_shell(host, "cat; echo ended");
    assert_int_equal(write(host->streams[0], "last words\n", 11), 11);
    assert_int_equal(shutdown(host->streams[0], SHUT_WR), 0);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "last words\nended\n");
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_stdin_closed_early_stops_the_host(void **state)
{
    struct host *host = host_get(state);
    static const char data[4096];
    char byte;
    ssize_t n;

    start_shell(host, "exec <&-; echo r; while true; do sleep 1; done");
    host_read_full(host->streams[1], &byte, 1);
    do {
        n = write(host->streams[0], data, sizeof(data));
    } while (n > 0);
    assert_int_equal(errno, EPIPE);
    host_signal(host, SIGKILL, false);
    assert_int_equal(host_wait_exit(host), 137);
}

static void test_stdout_closed_early_ends_at_once(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    start_shell(host, "echo once; exec >&-; read x; exit 5");
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "once\n");
    assert_int_equal(shutdown(host->streams[0], SHUT_WR), 0);
    assert_int_equal(host_wait_exit(host), 5);
}

static void test_output_before_exit_is_not_lost(void **state)
{
    struct host *host = host_get(state);
    static char output[300000];

    /* More than the pipe and the socket hold: it is all still on its way when the process is gone.
     */
    start_shell(host, "head -c 60000 /dev/zero; head -c 200000 /dev/zero & wait; exit 9");
    usleep(300000);
    assert_int_equal(host_read_stream(host, 1, output, sizeof(output)), 260000);
    assert_int_equal(host_wait_exit(host), 9);
}

static void test_slow_reader_slows_the_writer(void **state)
{
    struct host *host = host_get(state);
    int waiting, before = -1;
    uint64_t busy;

    start_command(host, "cat", "/dev/zero");
    /* What is under way has a bound: nobody reads, so it stops growing. */
    for (int i = 0; i < 100; i++) {
        usleep(50000);
        assert_int_equal(ioctl(host->streams[1], FIONREAD, &waiting), 0);
        if (waiting == before)
            break;
        before = waiting;
    }
    assert_true(waiting > 0 && waiting < (int)BLOCK);
    busy = cpu_time_ns(host);
    usleep(300000);
    assert_true(cpu_time_ns(host) - busy < 100000000);
    io_close(&host->streams[1]);
    /* The first process of a pid namespace does not die of SIGPIPE; cat sees EPIPE. */
    assert_int_equal(host_wait_exit(host), 1);
}

static void test_host_that_closes_stdout_breaks_the_pipe(void **state)
{
    struct host *host = host_get(state);
    char byte;

    start_shell(host, "echo r; while echo x 2>/dev/null; do sleep 0.05; done; exit 4");
    host_read_full(host->streams[1], &byte, 1);
    io_close(&host->streams[1]);
    assert_int_equal(host_wait_exit(host), 4);
}

static void test_host_that_says_nothing_on_stdout_is_no_broken_pipe(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    host_put_shell(host_begin_container(host), "read x; echo still; sleep 0.2; echo here");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(shutdown(host->streams[1], SHUT_WR), 0);
    assert_int_equal(shutdown(host->streams[2], SHUT_WR), 0);
    assert_int_equal(host_start(host), 0);
    assert_int_equal(write(host->streams[0], "\n", 1), 1);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "still\nhere\n");
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_stdout_can_be_opened_again_by_the_user(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char output[64];

    protocol_put_u64(writer, FIELD_UID, 1234);
    host_put_shell(writer, "echo one > /dev/stdout; cat < /dev/stdin; echo two > /proc/1/fd/1");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "one\ntwo\n");
}

static void test_child_that_keeps_stdout_does_not_delay_the_end(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    start_shell(host, "sleep 1000 & echo gone");
    host_read_stream(host, 1, output, sizeof(output));
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_workload_that_does_not_read_costs_nothing(void **state)
{
    struct host *host = host_get(state);
    static const char data[4096];
    uint64_t busy;
    char byte;

    start_shell(host, "echo r; sleep 1000");
    host_read_full(host->streams[1], &byte, 1);
    fcntl(host->streams[0], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 100; i++)
        if (write(host->streams[0], data, sizeof(data)) < 0)
            usleep(1000);
    /* The host hangs up with bytes still under way: they wait for the workload, and so do we. */
    io_close(&host->streams[0]);
    busy = cpu_time_ns(host);
    usleep(300000);
    assert_true(cpu_time_ns(host) - busy < 100000000);
    host_signal(host, SIGKILL, false);
    assert_int_equal(host_wait_exit(host), 137);
}

static void test_stdin_sent_before_start_arrives(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    host_put_shell(host_begin_container(host), "cat");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(write(host->streams[0], "early\n", 6), 6);
    io_close(&host->streams[0]);
    usleep(50000);
    assert_int_equal(host_start(host), 0);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "early\n");
    assert_int_equal(host_wait_exit(host), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_16_mib_through_cat),
        TEST(test_end_of_stdin_reaches_the_workload),
        TEST(test_stdin_closed_early_stops_the_host),
        TEST(test_stdout_closed_early_ends_at_once),
        TEST(test_output_before_exit_is_not_lost),
        TEST(test_slow_reader_slows_the_writer),
        TEST(test_host_that_closes_stdout_breaks_the_pipe),
        TEST(test_host_that_says_nothing_on_stdout_is_no_broken_pipe),
        TEST(test_stdout_can_be_opened_again_by_the_user),
        TEST(test_child_that_keeps_stdout_does_not_delay_the_end),
        TEST(test_workload_that_does_not_read_costs_nothing),
        TEST(test_stdin_sent_before_start_arrives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
