/* A stream socket of the host as one of the guest: both directions and every order of their ends.
 */
#include "vmm/stream.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include "stdio_world.h"
#include "vsock_fake.h"

struct world {
    struct stdio_world io;
    struct stream *stream;
    struct vsock_connection *connection;
    int far;   /* the engine's end */
    int other; /* the same socket as the guest's, in somebody else's hands; -1: nobody has it */
};

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

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct stream_config config = { .both = true, .ownership = STREAM_TAKE };
    int pair[2];

    stdio_begin(&w->io);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    w->far = pair[1];
    w->other = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
    fcntl(w->far, F_SETFL, O_NONBLOCK);
    config.loop = w->io.loop;
    config.proc_fd = w->io.proc_fd;
    config.fd = pair[0];
    w->stream = stream_open(&config);
    assert_non_null(w->stream);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    stream_close(w->stream);
    fake_finish(false);
    fd_close(&w->far);
    fd_close(&w->other);
    stdio_end(&w->io);
    free(w);
    return 0;
}

static void connect_stream(struct world *w, size_t window)
{
    w->connection = guest_connection(0);
    w->connection->service = &service;
    w->connection->context = w;
    w->connection->window = window;
    stream_connect(w->stream, w->connection);
    assert_true(stdio_run(&w->io));
}

/* Return: bytes read, 0 at the end, -1 when there is nothing. */
static ssize_t far_reads(struct world *w, char *text, size_t size)
{
    assert_true(stdio_run(&w->io));
    return read(w->far, text, size);
}

static void far_writes(struct world *w, const char *text)
{
    assert_int_equal(send(w->far, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    assert_true(stdio_run(&w->io));
}

static void expect_guest_has(const struct world *w, const char *text)
{
    assert_int_equal(w->connection->outbox_length, strlen(text));
    assert_memory_equal(w->connection->outbox, text, strlen(text));
}

static void test_bytes_go_both_ways(void **state)
{
    struct world *w = *state;
    char text[16];

    far_writes(w, "early ");
    connect_stream(w, 8);
    far_writes(w, "question");
    expect_guest_has(w, "early qu");
    guest_write(w->connection, "answer", 6);
    assert_int_equal(far_reads(w, text, sizeof(text)), 6);
    assert_memory_equal(text, "answer", 6);
    guest_take(w->connection, 100);
    expect_guest_has(w, "early question");
    assert_true(stdio_busy_percent(&w->io) < 50);
}

/* shutdown(2) in the guest: the other side reads to the end and may still answer. */
static void test_guest_shuts_its_side_down(void **state)
{
    struct world *w = *state;
    char text[16];

    connect_stream(w, SIZE_MAX);
    guest_write(w->connection, "all", 3);
    guest_half_close(w->connection, false);
    assert_int_equal(far_reads(w, text, sizeof(text)), 3);
    assert_int_equal(far_reads(w, text, sizeof(text)), 0);
    far_writes(w, "reply");
    expect_guest_has(w, "reply");
    fd_close(&w->far);
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->eof_sent);
}

/* close(2) in the guest is no shutdown(2): others may have the same socket. */
static void test_guest_closes_what_others_use(void **state)
{
    struct world *w = *state;
    char text[16];

    connect_stream(w, SIZE_MAX);
    guest_write(w->connection, "last", 4);
    guest_half_close(w->connection, true);
    guest_close(w->connection);
    assert_int_equal(far_reads(w, text, sizeof(text)), 4);
    assert_int_equal(far_reads(w, text, sizeof(text)), -1);
    assert_int_equal(write(w->other, "mine", 4), 4);
    assert_int_equal(far_reads(w, text, sizeof(text)), 4);
    fd_close(&w->other);
    assert_int_equal(far_reads(w, text, sizeof(text)), 0);
}

static void test_far_side_shuts_its_side_down(void **state)
{
    struct world *w = *state;
    char text[16];

    connect_stream(w, SIZE_MAX);
    far_writes(w, "question");
    assert_int_equal(shutdown(w->far, SHUT_WR), 0);
    assert_true(stdio_run(&w->io));
    expect_guest_has(w, "question");
    assert_true(w->connection->eof_sent);
    guest_write(w->connection, "answer", 6);
    assert_int_equal(far_reads(w, text, sizeof(text)), 6);
    guest_half_close(w->connection, true);
    guest_close(w->connection);
    fd_close(&w->other);
    assert_int_equal(far_reads(w, text, sizeof(text)), 0);
    assert_true(stdio_busy_percent(&w->io) < 50);
}

/* What it had said before it went is the guest's, even if the guest was still writing. */
static void test_far_side_goes_away_with_a_last_word(void **state)
{
    struct world *w = *state;

    connect_stream(w, 0);
    far_writes(w, "no");
    fd_close(&w->far);
    assert_true(stdio_run(&w->io));
    guest_write(w->connection, "too late", 8);
    assert_true(stdio_run(&w->io));
    assert_int_equal(w->connection->inbox_length, 0);
    assert_false(w->connection->reset);
    assert_true(stdio_busy_percent(&w->io) < 50);
    guest_take(w->connection, 100);
    assert_true(stdio_run(&w->io));
    expect_guest_has(w, "no");
    /* Then the guest's writer is to get SIGPIPE. */
    assert_true(w->connection->reset);
    assert_false(stream_connected(w->stream));
}

static void test_far_side_is_gone_before_the_guest_comes(void **state)
{
    struct world *w = *state;

    far_writes(w, "bye");
    fd_close(&w->far);
    assert_true(stdio_run(&w->io));
    assert_true(stdio_busy_percent(&w->io) < 50);
    connect_stream(w, SIZE_MAX);
    expect_guest_has(w, "bye");
    assert_true(w->connection->reset);
}

static void test_far_side_that_does_not_read(void **state)
{
    struct world *w = *state;
    static char block[1 << 16], text[1 << 16];
    size_t sent = 0, got = 0;
    ssize_t n;

    connect_stream(w, SIZE_MAX);
    for (int i = 0; i < 32; i++, sent += sizeof(block))
        guest_write(w->connection, block, sizeof(block));
    assert_true(stdio_run(&w->io));
    assert_true(w->connection->inbox_length > 0);
    far_writes(w, "other way");
    expect_guest_has(w, "other way");
    while ((n = far_reads(w, text, sizeof(text))) > 0)
        got += (size_t)n;
    assert_int_equal(got, sent);
    assert_int_equal(w->connection->inbox_length, 0);
}

static void test_connection_breaks(void **state)
{
    struct world *w = *state;
    char text[16];

    connect_stream(w, SIZE_MAX);
    guest_close(w->connection);
    fd_close(&w->other);
    assert_int_equal(far_reads(w, text, sizeof(text)), 0);
    assert_false(stream_connected(w->stream));
}

/* Or who is at its far end would wait for an end that never comes. */
static void test_socket_is_closed_when_descriptors_run_out(void **state)
{
    struct world *w = *state;
    struct stream_config config = {
        .loop = w->io.loop, .proc_fd = w->io.proc_fd, .both = true, .ownership = STREAM_TAKE
    };
    struct rlimit limit, none;
    char text[16];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    config.fd = pair[0];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit) { 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_null(stream_open(&config));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(recv(pair[1], text, sizeof(text), MSG_DONTWAIT), 0);
    fd_close(&pair[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_go_both_ways),
        TEST(test_guest_shuts_its_side_down),
        TEST(test_guest_closes_what_others_use),
        TEST(test_far_side_shuts_its_side_down),
        TEST(test_far_side_goes_away_with_a_last_word),
        TEST(test_far_side_is_gone_before_the_guest_comes),
        TEST(test_far_side_that_does_not_read),
        TEST(test_connection_breaks),
        TEST(test_socket_is_closed_when_descriptors_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
