/* Further processes: their descriptors, their streams, their ends, and those of their proxies. */
#include <pthread.h>
#include <time.h>

#include "control_proxy.h"

/* ---- the ordinary life of one ---- */

static void test_bytes_both_ways_and_the_status(void **state)
{
    struct world *w = *state;
    struct proxy proxy;
    char seen[16];
    bool eof;

    control_start(w);
    proxy_run(w, &proxy);
    assert_int_equal(proxy.process, 1);
    assert_int_equal(write(proxy.far[0], "in", 2), 2);
    assert_true(world_run(w));
    assert_memory_equal(proxy.streams[0]->outbox, "in", 2);
    fd_close(&proxy.far[0]);
    assert_true(world_run(w));
    assert_true(proxy.streams[0]->eof_sent);
    guest_write(proxy.streams[1], "out", 3);
    guest_write(proxy.streams[2], "err", 3);
    assert_int_equal(see(&proxy, 1, seen, sizeof(seen), &eof), 3);
    assert_false(eof);
    assert_int_equal(see(&proxy, 2, seen, sizeof(seen), NULL), 3);
    assert_int_equal(exited(proxy.fd), -1);
    init_reports_exit(w, 0, 1, 137);
    assert_int_equal(exited(proxy.fd), 137);
    for (int i = 0; i < 3; i++)
        guest_close(proxy.streams[i]);
    see(&proxy, 1, seen, sizeof(seen), &eof);
    assert_true(eof);
    proxy_end(&proxy);
    assert_true(world_run(w));
    /* It has ended: nobody is to be killed. */
    init_expects_nothing(w);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

/* Its own streams are not the first process's. */
static void test_streams_do_not_mix(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;
    struct proxy proxy;
    char seen[16];

    control_start(w);
    out = init_opens_stream(w, 1);
    proxy_run(w, &proxy);
    guest_write(proxy.streams[1], "two", 3);
    guest_write(out, "one", 3);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 3);
    assert_memory_equal(seen, "one", 3);
    assert_int_equal(see(&proxy, 1, seen, sizeof(seen), NULL), 3);
    assert_memory_equal(seen, "two", 3);
    proxy_end(&proxy);
}

static void test_exit_waits_for_the_last_byte(void **state)
{
    struct world *w = *state;
    struct proxy proxy;
    const size_t filled = 65536;
    size_t seen = 0;
    char data[65536];

    control_start(w);
    proxy_run(w, &proxy);
    fcntl(proxy.far[1], F_SETPIPE_SZ, 4096);
    memset(data, 'x', sizeof(data));
    guest_write(proxy.streams[1], data, filled);
    init_reports_exit(w, 0, 1, 0);
    assert_true(world_run(w));
    while (seen < filled) {
        /* What is in the pipe has been handed over. */
        if (filled - seen > 4096)
            assert_int_equal(exited(proxy.fd), -1);
        seen += see(&proxy, 1, data, sizeof(data), NULL);
        assert_true(world_run(w));
    }
    assert_int_equal(exited(proxy.fd), 0);
    proxy_end(&proxy);
}

/* Data and EXIT in one go, before the connection has said whose it is. */
static void test_exit_overtakes_the_name_of_a_stream(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;
    struct protocol_writer writer = { 0 };
    struct proxy proxy;
    char seen[16];

    control_start(w);
    proxy_begin(w, &proxy);
    out = guest_connect(&session_service, w->session, PORT_STREAM);
    stream_header(w, &writer, proxy.process, 1);
    guest_put(out, writer.data, writer.length);
    guest_put(out, "quick", 5);
    free(writer.data);
    init_answers(w, proxy.sequence, 0, NULL);
    init_reports_exit(w, 0, proxy.process, 3);
    assert_int_equal(answer(proxy.fd, NULL, NULL, 0), 0);
    assert_int_equal(exited(proxy.fd), 3);
    assert_int_equal(see(&proxy, 1, seen, sizeof(seen), NULL), 5);
    proxy_end(&proxy);
}

/* docker exec c sh -c 'sleep 1; echo late &' */
static void test_streams_outlive_the_process(void **state)
{
    struct world *w = *state;
    struct proxy proxy;
    char seen[16];
    bool eof;

    control_start(w);
    proxy_run(w, &proxy);
    init_reports_exit(w, 0, 1, 0);
    assert_int_equal(exited(proxy.fd), 0);
    close(proxy.fd);
    proxy.fd = -1;
    assert_true(world_run(w));
    init_expects_nothing(w);
    guest_write(proxy.streams[1], "late", 4);
    assert_int_equal(see(&proxy, 1, seen, sizeof(seen), &eof), 4);
    assert_false(eof);
    for (int i = 0; i < 3; i++)
        guest_close(proxy.streams[i]);
    see(&proxy, 1, seen, sizeof(seen), &eof);
    assert_true(eof);
    proxy_end(&proxy);
}

static void test_exec_that_fails(void **state)
{
    struct world *w = *state;
    struct proxy proxy;
    char text[128], seen[4];
    bool eof;

    control_start(w);
    proxy_begin(w, &proxy);
    proxy.streams[1] = init_opens_stream_of(w, proxy.process, 1);
    init_answers(w, proxy.sequence, ENOENT, "exec: \"x\": executable file not found in $PATH");
    assert_int_equal(answer(proxy.fd, NULL, text, sizeof(text)), ENOENT);
    assert_string_equal(text, "exec: \"x\": executable file not found in $PATH");
    assert_true(proxy.streams[1]->reset);
    see(&proxy, 1, seen, sizeof(seen), &eof);
    assert_true(eof);
    /* The container does not care, and the connection is an ordinary one again. */
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    expect_state(w, proxy.fd, "running");
    proxy_end(&proxy);
    world_run(w);
    init_expects_nothing(w);
}

/* ---- what the proxy says ---- */

static void test_signals_and_sizes_mean_the_process(void **state)
{
    struct world *w = *state;
    struct protocol_writer writer = { 0 };
    struct protocol_reader fields;
    struct proxy proxy;

    control_start(w);
    proxy_run(w, &proxy);
    ask_signal(proxy.fd, SIGINT);
    protocol_begin(&writer, CONTROL_RESIZE, 0, 0);
    protocol_put_u64(&writer, FIELD_ROWS, 40);
    protocol_put_u64(&writer, FIELD_COLUMNS, 132);
    ask_fields(proxy.fd, &writer);
    ask_signal(proxy.fd, 65);
    assert_true(world_run(w));
    fields = init_expects(w, MESSAGE_SIGNAL, NULL);
    assert_int_equal(field_u64(fields, FIELD_PROCESS), 1);
    assert_int_equal(field_u64(fields, FIELD_SIGNAL), SIGINT);
    assert_int_equal(field_u64(fields, FIELD_ALL), 0);
    fields = init_expects(w, MESSAGE_RESIZE, NULL);
    assert_int_equal(field_u64(fields, FIELD_PROCESS), 1);
    assert_int_equal(field_u64(fields, FIELD_ROWS), 40);
    assert_int_equal(field_u64(fields, FIELD_COLUMNS), 132);
    init_expects_nothing(w);
    /* No answers to these; other requests are not for this connection. */
    assert_int_equal(answer(proxy.fd, NULL, NULL, 0), -1);
    ask(proxy.fd, CONTROL_STATS, 1);
    assert_true(world_run(w));
    assert_int_equal(answer(proxy.fd, NULL, NULL, 0), EINVAL);
    proxy_end(&proxy);
}

static void test_process_dies_with_its_proxy(void **state)
{
    struct world *w = *state;
    struct protocol_reader fields;
    struct proxy proxy;

    control_start(w);
    proxy_run(w, &proxy);
    close(proxy.fd);
    proxy.fd = -1;
    assert_true(world_run(w));
    fields = init_expects(w, MESSAGE_SIGNAL, NULL);
    assert_int_equal(field_u64(fields, FIELD_PROCESS), 1);
    assert_int_equal(field_u64(fields, FIELD_SIGNAL), SIGKILL);
    init_reports_exit(w, 0, 1, 137);
    proxy_end(&proxy);
}

static void test_proxy_that_dies_before_the_exec(void **state)
{
    struct world *w = *state;
    struct protocol_reader fields;
    struct proxy proxy;

    control_start(w);
    proxy_begin(w, &proxy);
    close(proxy.fd);
    proxy.fd = -1;
    assert_true(world_run(w));
    init_expects_nothing(w);
    init_answers(w, proxy.sequence, 0, NULL);
    fields = init_expects(w, MESSAGE_SIGNAL, NULL);
    assert_int_equal(field_u64(fields, FIELD_PROCESS), proxy.process);
    assert_int_equal(field_u64(fields, FIELD_SIGNAL), SIGKILL);
    init_reports_exit(w, 0, proxy.process, 137);
    proxy_end(&proxy);
    proxy_begin(w, &proxy);
    close(proxy.fd);
    proxy.fd = -1;
    assert_true(world_run(w));
    init_answers(w, proxy.sequence, ENOENT, "no");
    init_expects_nothing(w);
    proxy_end(&proxy);
}

/* ---- further descriptors ---- */

/* A file that is read, a file that is written and a socket, after stdio. */
static void test_descriptors_beyond_stdio(void **state)
{
    struct world *w = *state;
    static const uint64_t kinds[] = { DESCRIPTOR_INPUT, DESCRIPTOR_OUTPUT, DESCRIPTOR_SOCKET };
    struct protocol_writer writer = { 0 };
    struct protocol_header header;
    struct protocol_field field = { 0 };
    struct protocol_reader fields;
    struct vsock_connection *streams[6];
    int fds[7], pair[2], in[2], out[2], fd = dial();
    size_t seen = 0;
    bool bad = false;
    char text[8];

    protocol_begin(&writer, MESSAGE_EXEC, 0, 0);
    protocol_put_string(&writer, FIELD_ARG, "sh");
    for (int i = 0; i < 3; i++)
        protocol_put_u64(&writer, FIELD_DESCRIPTOR, kinds[i]);
    assert_int_equal(protocol_finish(&writer), 0);
    fds[0] = fd_memfd_sealed("exec", writer.data, writer.length);
    free(writer.data);
    for (int i = 1; i < 4; i++)
        fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fds[4] = in[0];
    fds[5] = out[1];
    fds[6] = pair[0];
    control_start(w);
    ask_exec(fd, fds, 7);
    assert_true(world_run(w));
    fields = init_expects(w, MESSAGE_EXEC, &header);
    while (protocol_next(&fields, &field) == 1)
        if (field.tag == FIELD_DESCRIPTOR)
            assert_int_equal(protocol_u64(&field, &bad), kinds[seen++]);
    assert_int_equal(seen, 3);
    for (uint64_t i = 0; i < 6; i++)
        streams[i] = init_opens_stream_of(w, 1, i);
    assert_true(init_opens_stream_of(w, 1, 6)->reset);
    init_answers(w, header.sequence, 0, NULL);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    assert_int_equal(write(in[1], "in", 2), 2);
    assert_int_equal(write(pair[1], "question", 8), 8);
    guest_write(streams[4], "out", 3);
    guest_write(streams[5], "answer", 6);
    assert_true(world_run(w));
    assert_memory_equal(streams[3]->outbox, "in", 2);
    assert_memory_equal(streams[5]->outbox, "question", 8);
    assert_int_equal(read(out[0], text, sizeof(text)), 3);
    assert_int_equal(read(pair[1], text, sizeof(text)), 6);
    /* Its descriptors end with it, as far as they are in our hands. */
    init_reports_exit(w, 0, 1, 0);
    for (int i = 0; i < 6; i++)
        guest_close(streams[i]);
    assert_true(world_run(w));
    assert_int_equal(exited(fd), 0);
    assert_int_equal(read(out[0], text, sizeof(text)), 0);
    assert_int_equal(read(pair[1], text, sizeof(text)), 0);
    assert_int_equal(write(in[1], "x", 1), -1);
    close(fd);
    close(in[1]);
    close(out[0]);
    close(pair[1]);
}

static void test_descriptors_beyond_stdio_that_do_not_fit(void **state)
{
    struct world *w = *state;
    int fd = dial();

    control_start(w);
    for (unsigned int count = 1; count <= PROTOCOL_DESCRIPTORS_MAX + 1; count += 28) {
        struct protocol_writer writer = { 0 };
        int fds[4];

        protocol_begin(&writer, MESSAGE_EXEC, 0, 0);
        for (unsigned int i = 0; i < count; i++)
            protocol_put_u64(&writer, FIELD_DESCRIPTOR, count == 29 ? 3 : 0);
        assert_int_equal(protocol_finish(&writer), 0);
        fds[0] = fd_memfd_sealed("exec", writer.data, writer.length);
        free(writer.data);
        for (int i = 1; i < 4; i++)
            fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        ask_exec(fd, fds, 4);
        expect_refusal(w, fd, count == 1 ? EINVAL : EPROTO,
                       count == 1 ? "expected as many as the process has, found 3 descriptors"
                                  : "expected one message that describes a process");
    }
    close(fd);
}

/* ---- the end ---- */

static void test_container_ends_under_its_processes(void **state)
{
    struct world *w = *state;
    struct proxy gone, running, waiting;

    control_start(w);
    proxy_run(w, &gone);
    proxy_run(w, &running);
    proxy_begin(w, &waiting);
    guest_write(running.streams[1], "last words", 10);
    init_reports_exit(w, 0, gone.process, 9);
    init_exits(w, 0);
    assert_false(world_run(w));
    assert_int_equal(exited(gone.fd), 9);
    /* Nobody said how this one ended: its connection will close with this process. */
    assert_int_equal(exited(running.fd), -1);
    assert_int_equal(answer(waiting.fd, NULL, NULL, 0), ESRCH);
    char seen[16];
    assert_int_equal(see(&running, 1, seen, sizeof(seen), NULL), 10);
    proxy_end(&gone);
    proxy_end(&running);
    proxy_end(&waiting);
}

/* A reader that reads gets all there is; one that does not cannot keep the container from ending.
 */
static void test_end_waits_a_moment_for_readers(void **state)
{
    struct world *w = *state;
    struct proxy reading, stuck;
    static char data[65536 * 3];
    size_t seen = 0;

    control_start(w);
    proxy_run(w, &reading);
    proxy_run(w, &stuck);
    guest_write(reading.streams[1], data, sizeof(data));
    guest_write(stuck.streams[1], data, sizeof(data));
    init_reports_exit(w, 0, reading.process, 1);
    init_reports_exit(w, 0, stuck.process, 2);
    init_exits(w, 0);
    assert_true(world_run(w));
    while (seen < sizeof(data)) {
        seen += see(&reading, 1, data, sizeof(data), NULL);
        assert_true(world_run(w));
    }
    assert_int_equal(exited(reading.fd), 1);
    assert_int_equal(exited(stuck.fd), -1);
    usleep(1100000);
    assert_false(world_run(w));
    /* Its output is cut off, its status is not. */
    assert_int_equal(exited(stuck.fd), 2);
    proxy_end(&reading);
    proxy_end(&stuck);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *hang_up_when_told(void *context)
{
    const struct timespec moment = { .tv_nsec = 200000000 };
    const struct proxy *proxy = context;
    char byte;

    assert_int_equal(recv(proxy->fd, &byte, 1, 0), 0);
    nanosleep(&moment, NULL);
    shutdown(proxy->fd, SHUT_RDWR);
    return NULL;
}

/* docker exec hung for ever when its process ended after the container had. */
static void test_the_end_waits_for_proxies(void **state)
{
    struct world *w = *state;
    struct proxy proxy;
    pthread_t thread;
    double begin;

    control_start(w);
    proxy_run(w, &proxy);
    assert_int_equal(pthread_create(&thread, NULL, hang_up_when_told, &proxy), 0);
    begin = seconds();
    control_server_part(server);
    assert_true(seconds() - begin > 0.15 && seconds() - begin < 0.9);
    pthread_join(thread, NULL);
    proxy_end(&proxy);
}

/* Nor for one whose process has ended already, which is about to pass on its status. */
static void test_the_end_does_not_wait_for_ever(void **state)
{
    struct world *w = *state;
    struct proxy proxy;
    double begin;

    control_start(w);
    proxy_run(w, &proxy);
    init_reports_exit(w, 0, proxy.process, 9);
    assert_int_equal(exited(proxy.fd), 9);
    begin = seconds();
    control_server_part(server);
    assert_true(seconds() - begin > 0.9 && seconds() - begin < 5);
    proxy_end(&proxy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_setup, control_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_both_ways_and_the_status),
        TEST(test_streams_do_not_mix),
        TEST(test_exit_waits_for_the_last_byte),
        TEST(test_exit_overtakes_the_name_of_a_stream),
        TEST(test_streams_outlive_the_process),
        TEST(test_exec_that_fails),
        TEST(test_signals_and_sizes_mean_the_process),
        TEST(test_process_dies_with_its_proxy),
        TEST(test_proxy_that_dies_before_the_exec),
        TEST(test_descriptors_beyond_stdio),
        TEST(test_descriptors_beyond_stdio_that_do_not_fit),
        TEST(test_container_ends_under_its_processes),
        TEST(test_end_waits_a_moment_for_readers),
        TEST(test_the_end_waits_for_proxies),
        TEST(test_the_end_does_not_wait_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
