/* Stdio streams: nothing lost, nothing invented, ends of file and broken pipes passed on. */
#include "vmm/stream.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "stdio_world.h"
#include "vsock_fake.h"

#define MEBIBYTE (1u << 20)

struct world {
    struct stdio_world io;
    struct stream *stream;
    struct vsock_connection *connection;
    bool idle;
};

/* ---- between the fake device and the stream, as the session does it ---- */

static void readable(void *context, struct vsock_connection *connection)
{
    struct world *w = context;

    (void)connection;
    if (stream_connected(w->stream))
        stream_readable(w->stream);
}

static void writable(void *context, struct vsock_connection *connection)
{
    struct world *w = context;

    (void)connection;
    stream_writable(w->stream);
}

static void half_closed(void *context, struct vsock_connection *connection, bool receive_closed)
{
    struct world *w = context;

    (void)connection;
    stream_half_closed(w->stream, receive_closed);
}

static void closed(void *context, struct vsock_connection *connection)
{
    struct world *w = context;

    (void)connection;
    stream_disconnected(w->stream);
}

static const struct vsock_service service = {
    .readable = readable, .writable = writable, .half_closed = half_closed, .closed = closed
};

static void set_idle(void *context)
{
    struct world *w = context;

    assert_false(w->idle);
    w->idle = true;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    stdio_begin(&w->io);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    stream_close(w->stream);
    fake_finish(false);
    stdio_end(&w->io);
    free(w);
    return 0;
}

static void open_stream(struct world *w, int number)
{
    const struct stream_config config = { .loop = w->io.loop,
                                          .input = number == 0,
                                          .fd = number,
                                          .ownership = number == 2 ? STREAM_KEEP : STREAM_HOLD,
                                          .proc_fd = w->io.proc_fd };

    w->stream = stream_open(&config);
    assert_non_null(w->stream);
}

static void connect_stream(struct world *w, size_t window)
{
    w->connection = guest_connection(0);
    w->connection->service = &service;
    w->connection->context = w;
    w->connection->window = window;
    stream_connect(w->stream, w->connection);
}

static void feed(const struct world *w, const char *text)
{
    assert_int_equal(write(w->io.far[0], text, strlen(text)), strlen(text));
}

static void expect_sent(const struct world *w, const char *text)
{
    assert_int_equal(w->connection->outbox_length, strlen(text));
    if (*text)
        assert_memory_equal(w->connection->outbox, text, strlen(text));
}

static void expect_output(const struct world *w, int number, const char *text)
{
    char seen[256];
    size_t length = stdio_read(&w->io, number, seen, sizeof(seen), NULL);

    assert_int_equal(length, strlen(text));
    assert_memory_equal(seen, text, length);
}

/* ---- input ---- */

static void test_input_of_a_mebibyte_arrives_whole(void **state)
{
    struct world *w = *state;
    uint8_t *data = malloc(MEBIBYTE);
    size_t fed = 0, step = 0;

    assert_int_equal(getrandom(data, MEBIBYTE, 0), MEBIBYTE);
    open_stream(w, 0);
    connect_stream(w, 100);
    while (w->connection->outbox_length < MEBIBYTE) {
        ssize_t n = write(w->io.far[0], data + fed, MEBIBYTE - fed);

        if (n > 0)
            fed += (size_t)n;
        assert_true(stdio_run_once(&w->io));
        guest_take(w->connection, 1 + (step++ * 7919) % 50000);
    }
    assert_memory_equal(w->connection->outbox, data, MEBIBYTE);
    assert_false(w->connection->eof_sent);
    free(data);
}

static void test_input_end_is_passed_on_after_the_last_byte(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    connect_stream(w, 3);
    feed(w, "hello");
    assert_true(stdio_run(&w->io));
    expect_sent(w, "hel");
    fd_close(&w->io.far[0]);
    assert_true(stdio_run(&w->io));
    assert_false(w->connection->eof_sent);
    guest_take(w->connection, 100);
    assert_true(stdio_run(&w->io));
    expect_sent(w, "hello");
    assert_true(w->connection->eof_sent);
}

static void test_input_that_ended_before_the_guest_came(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    feed(w, "early");
    fd_close(&w->io.far[0]);
    assert_true(stdio_run(&w->io));
    connect_stream(w, SIZE_MAX);
    assert_true(stdio_run(&w->io));
    expect_sent(w, "early");
    assert_true(w->connection->eof_sent);
}

/* A hang-up is level triggered: the loop must not spin on it while the guest takes nothing. */
static void test_input_hang_up_does_not_spin(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    connect_stream(w, 0);
    feed(w, "x");
    fd_close(&w->io.far[0]);
    assert_true(stdio_run(&w->io));
    assert_true(stdio_busy_percent(&w->io) < 50);
    guest_take(w->connection, 10);
    expect_sent(w, "x");
    assert_true(w->connection->eof_sent);
}

/* A named pipe can be opened again by another writer after its first has gone. */
static void test_input_from_a_fifo_with_a_second_writer(void **state)
{
    struct world *w = *state;
    char path[] = "/tmp/stream_test.XXXXXX";
    int writer;

    assert_non_null(mkdtemp(path));
    char fifo[64];
    snprintf(fifo, sizeof(fifo), "%s/fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    stdio_replace(&w->io, 0, open(fifo, O_RDONLY | O_NONBLOCK));
    open_stream(w, 0);
    writer = open(fifo, O_WRONLY);
    close(writer);
    assert_true(stdio_run(&w->io));
    writer = open(fifo, O_WRONLY);
    connect_stream(w, SIZE_MAX);
    assert_true(stdio_run(&w->io));
    assert_int_equal(write(writer, "late", 4), 4);
    assert_true(stdio_run(&w->io));
    expect_sent(w, "late");
    close(writer);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->eof_sent);
    unlink(fifo);
    rmdir(path);
}

static void test_guest_that_closes_stdin_breaks_the_pipe(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    guest_half_close(w->connection, true);
    assert_int_equal(write(w->io.far[0], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_true(stdio_run(&w->io));
}

static void test_guest_that_only_stops_sending_still_reads(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    guest_half_close(w->connection, false);
    feed(w, "x");
    assert_true(stdio_run(&w->io));
    expect_sent(w, "x");
}

static void test_guest_that_disconnects_breaks_the_pipe(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    connect_stream(w, 0);
    feed(w, "never read");
    assert_true(stdio_run(&w->io));
    guest_close(w->connection);
    assert_int_equal(write(w->io.far[0], "x", 1), -1);
    assert_true(stdio_run(&w->io));
    assert_false(stream_connected(w->stream));
}

static void test_bytes_on_an_input_stream_are_thrown_away(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    guest_write(w->connection, "noise", 5);
    assert_int_equal(w->connection->inbox_length, 0);
    assert_false(w->connection->reset);
}

static void test_input_from_files_that_epoll_does_not_take(void **state)
{
    struct world *w = *state;
    int file = memfd_create("input", MFD_CLOEXEC);

    assert_int_equal(write(file, "0123456789", 10), 10);
    /* From where the engine left it, with one offset for both. */
    lseek(file, 4, SEEK_SET);
    stdio_replace(&w->io, 0, file);
    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    expect_sent(w, "456789");
    assert_true(w->connection->eof_sent);
}

static void test_input_from_dev_null(void **state)
{
    struct world *w = *state;

    stdio_replace(&w->io, 0, open("/dev/null", O_RDWR));
    open_stream(w, 0);
    assert_true(stdio_run(&w->io));
    connect_stream(w, SIZE_MAX);
    expect_sent(w, "");
    assert_true(w->connection->eof_sent);
}

static void test_input_that_cannot_be_read_is_an_empty_one(void **state)
{
    struct world *w = *state;

    stdio_replace(&w->io, 0, open("/", O_RDONLY | O_DIRECTORY));
    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    assert_true(w->connection->eof_sent);
}

static void test_input_that_was_never_open(void **state)
{
    struct world *w = *state;

    close(0);
    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    assert_true(w->connection->eof_sent);
    guest_half_close(w->connection, true);
    assert_true(stdio_run(&w->io));
}

static void test_input_from_a_socket(void **state)
{
    struct world *w = *state;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    stdio_replace(&w->io, 0, pair[0]);
    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    assert_int_equal(write(pair[1], "by socket", 9), 9);
    assert_true(stdio_run(&w->io));
    expect_sent(w, "by socket");
    shutdown(pair[1], SHUT_WR);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->eof_sent);
    close(pair[1]);
}

static void test_terminal_both_ways_and_its_hang_up(void **state)
{
    struct world *w = *state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, unlock = 0;
    struct termios raw;

    assert_true(master >= 0);
    assert_int_equal(ioctl(master, TIOCSPTLCK, &unlock), 0);
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    stdio_replace(&w->io, 0, slave);
    open_stream(w, 0);
    connect_stream(w, SIZE_MAX);
    assert_int_equal(write(master, "typed", 5), 5);
    /* The line discipline hands it over in its own time. */
    assert_int_equal(poll(&(struct pollfd) { .fd = 0, .events = POLLIN }, 1, 10000), 1);
    assert_true(stdio_run(&w->io));
    expect_sent(w, "typed");
    close(master);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->eof_sent);
}

/* ---- output ---- */

static void test_output_of_a_mebibyte_arrives_whole(void **state)
{
    struct world *w = *state;
    uint8_t *data = malloc(MEBIBYTE), *seen = malloc(MEBIBYTE);
    size_t written = 0, done = 0;

    assert_int_equal(getrandom(data, MEBIBYTE, 0), MEBIBYTE);
    open_stream(w, 1);
    connect_stream(w, 0);
    while (done < MEBIBYTE) {
        /* As much credit as the device gives: what is not consumed is not sent. */
        size_t room = VSOCK_BUFFER_SIZE - w->connection->inbox_length;
        size_t step = MEBIBYTE - written < room ? MEBIBYTE - written : room;

        if (step > 0)
            guest_write(w->connection, data + written, step);
        written += step;
        assert_true(stdio_run_once(&w->io));
        done += stdio_read(&w->io, 1, seen + done, MEBIBYTE - done, NULL);
    }
    assert_memory_equal(seen, data, MEBIBYTE);
    free(data);
    free(seen);
}

static void test_full_output_holds_the_guest_back(void **state)
{
    struct world *w = *state;
    char seen[4096];

    open_stream(w, 1);
    connect_stream(w, 0);
    stdio_fill(1);
    guest_write(w->connection, "kept", 4);
    assert_true(stdio_run(&w->io));
    assert_int_equal(w->connection->inbox_length, 4);
    stream_finish(w->stream, set_idle, w);
    assert_false(stream_finished(w->stream));
    assert_false(w->idle);
    while (stdio_read(&w->io, 1, seen, sizeof(seen), NULL) == sizeof(seen))
        ;
    assert_true(stdio_run(&w->io));
    expect_output(w, 1, "kept");
    assert_true(w->idle);
    assert_true(stream_finished(w->stream));
}

static void test_reader_gone_while_output_is_full(void **state)
{
    struct world *w = *state;

    open_stream(w, 1);
    connect_stream(w, 0);
    stdio_fill(1);
    guest_write(w->connection, "lost", 4);
    fd_close(&w->io.far[1]);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->reset);
    assert_true(stream_finished(w->stream));
}

static void test_reader_gone_while_nothing_is_written(void **state)
{
    struct world *w = *state;

    open_stream(w, 1);
    connect_stream(w, 0);
    fd_close(&w->io.far[1]);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->reset);
    assert_false(stream_connected(w->stream));
}

static void test_reader_gone_before_the_guest_came(void **state)
{
    struct world *w = *state;

    open_stream(w, 1);
    fd_close(&w->io.far[1]);
    assert_true(stdio_run(&w->io));
    connect_stream(w, 0);
    guest_write(w->connection, "x", 1);
    assert_true(w->connection->reset);
    assert_true(stream_finished(w->stream));
}

static void test_reader_gone_before_the_stream_was_opened(void **state)
{
    struct world *w = *state;

    fd_close(&w->io.far[1]);
    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, "x", 1);
    assert_true(w->connection->reset);
}

static void test_guest_end_of_stdout_is_passed_on(void **state)
{
    struct world *w = *state;
    char seen[64];
    bool eof;

    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, "last words", 10);
    guest_half_close(w->connection, true);
    assert_true(stdio_run(&w->io));
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), &eof), 10);
    assert_true(eof);
}

static void test_guest_end_of_stdout_waits_for_the_last_byte(void **state)
{
    struct world *w = *state;
    char seen[4096];
    size_t n;
    bool eof;

    open_stream(w, 1);
    connect_stream(w, 0);
    stdio_fill(1);
    guest_write(w->connection, "tail", 4);
    guest_half_close(w->connection, true);
    assert_true(stdio_run(&w->io));
    assert_int_equal(w->connection->inbox_length, 4);
    while ((n = stdio_read(&w->io, 1, seen, sizeof(seen), &eof)) == sizeof(seen))
        ;
    assert_false(eof);
    assert_true(stdio_run(&w->io));
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), &eof), 4);
    assert_true(eof);
}

/* stderr is also where vmrt-vmm reports; its number must not go to another file meanwhile. */
static void test_stderr_stays_open_for_reports(void **state)
{
    struct world *w = *state;

    open_stream(w, 2);
    connect_stream(w, 0);
    guest_write(w->connection, "e", 1);
    guest_half_close(w->connection, true);
    assert_true(stdio_run(&w->io));
    assert_int_equal(write(2, "report", 6), 6);
    expect_output(w, 2, "ereport");
}

static void test_output_to_files_that_epoll_does_not_take(void **state)
{
    struct world *w = *state;
    int file = memfd_create("output", MFD_CLOEXEC);
    char seen[16] = "";

    assert_int_equal(write(file, "begun ", 6), 6);
    stdio_replace(&w->io, 1, fcntl(file, F_DUPFD_CLOEXEC, 3));
    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, "ended", 5);
    assert_int_equal(pread(file, seen, sizeof(seen), 0), 11);
    assert_string_equal(seen, "begun ended");
    close(file);
}

static void test_output_to_dev_null(void **state)
{
    struct world *w = *state;
    uint8_t *data = calloc(1, VSOCK_BUFFER_SIZE);

    stdio_replace(&w->io, 1, open("/dev/null", O_RDWR));
    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, data, VSOCK_BUFFER_SIZE);
    assert_int_equal(w->connection->inbox_length, 0);
    assert_false(w->connection->reset);
    free(data);
}

/* Only the fact that the writer is told matters: ENOSPC and EPIPE look alike through a pipe. */
static void test_output_to_a_full_device(void **state)
{
    struct world *w = *state;

    stdio_replace(&w->io, 1, open("/dev/full", O_RDWR));
    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, "x", 1);
    assert_true(w->connection->reset);
}

static void test_output_to_a_socket(void **state)
{
    struct world *w = *state;
    int pair[2];
    char seen[16] = "";

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    stdio_replace(&w->io, 1, pair[0]);
    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, "by socket", 9);
    assert_int_equal(read(pair[1], seen, sizeof(seen)), 9);
    close(pair[1]);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->reset);
}

static void test_output_that_was_never_open(void **state)
{
    struct world *w = *state;

    close(1);
    open_stream(w, 1);
    connect_stream(w, 0);
    guest_write(w->connection, "x", 1);
    assert_true(w->connection->reset);
}

/* The engine shares its descriptors with others, who did not ask for O_NONBLOCK. */
static void test_flags_of_the_engine_s_descriptors_stay(void **state)
{
    struct world *w = *state;

    open_stream(w, 0);
    assert_false(fcntl(0, F_GETFL) & O_NONBLOCK);
    stream_close(w->stream);
    open_stream(w, 1);
    assert_false(fcntl(1, F_GETFL) & O_NONBLOCK);
}

static void test_finish_of_an_idle_stream_is_at_once(void **state)
{
    struct world *w = *state;

    open_stream(w, 1);
    stream_finish(w->stream, set_idle, w);
    assert_true(w->idle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_input_of_a_mebibyte_arrives_whole),
        TEST(test_input_end_is_passed_on_after_the_last_byte),
        TEST(test_input_that_ended_before_the_guest_came),
        TEST(test_input_hang_up_does_not_spin),
        TEST(test_input_from_a_fifo_with_a_second_writer),
        TEST(test_guest_that_closes_stdin_breaks_the_pipe),
        TEST(test_guest_that_only_stops_sending_still_reads),
        TEST(test_guest_that_disconnects_breaks_the_pipe),
        TEST(test_bytes_on_an_input_stream_are_thrown_away),
        TEST(test_input_from_files_that_epoll_does_not_take),
        TEST(test_input_from_dev_null),
        TEST(test_input_that_cannot_be_read_is_an_empty_one),
        TEST(test_input_that_was_never_open),
        TEST(test_input_from_a_socket),
        TEST(test_terminal_both_ways_and_its_hang_up),
        TEST(test_output_of_a_mebibyte_arrives_whole),
        TEST(test_full_output_holds_the_guest_back),
        TEST(test_reader_gone_while_output_is_full),
        TEST(test_reader_gone_while_nothing_is_written),
        TEST(test_reader_gone_before_the_guest_came),
        TEST(test_reader_gone_before_the_stream_was_opened),
        TEST(test_guest_end_of_stdout_is_passed_on),
        TEST(test_guest_end_of_stdout_waits_for_the_last_byte),
        TEST(test_stderr_stays_open_for_reports),
        TEST(test_output_to_files_that_epoll_does_not_take),
        TEST(test_output_to_dev_null),
        TEST(test_output_to_a_full_device),
        TEST(test_output_to_a_socket),
        TEST(test_output_that_was_never_open),
        TEST(test_flags_of_the_engine_s_descriptors_stay),
        TEST(test_finish_of_an_idle_stream_is_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
