/* What a process has beyond its standard streams: at the right number, as the right thing. */
#include "init_host.h"

/* Takes the @count stream connections of a process, by number. */
static void accept_streams(struct host *host, uint64_t process, int *streams, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = host_accept(host);
        uint64_t stream;

        host_receive(host, fd);
        assert_int_equal(host->header.type, MESSAGE_STREAM);
        assert_int_equal(host_field_u64(host, FIELD_PROCESS), process);
        stream = host_field_u64(host, FIELD_STREAM);
        assert_true(stream < (uint64_t)count);
        streams[stream] = fd;
    }
}

static void put_kinds(struct protocol_writer *writer)
{
    protocol_put_u64(writer, FIELD_DESCRIPTOR, DESCRIPTOR_INPUT);
    protocol_put_u64(writer, FIELD_DESCRIPTOR, DESCRIPTOR_OUTPUT);
    protocol_put_u64(writer, FIELD_DESCRIPTOR, DESCRIPTOR_SOCKET);
}

static const char script[] =
    "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> \\([a-z]*\\):.*/\\1 \\2/p' "
    "| grep -v '^[0126]'; cat <&3 >&4; read word <&5; echo \"got $word\" >&5";

static void expect_traffic(const int streams[6])
{
    char text[256];

    host_read_until(streams[1], "5 socket\n", text, sizeof(text));
    assert_string_equal(text, "3 pipe\n4 pipe\n5 socket\n");
    assert_int_equal(write(streams[3], "through", 7), 7);
    assert_int_equal(shutdown(streams[3], SHUT_WR), 0);
    host_read_until(streams[4], "through", text, sizeof(text));
    assert_int_equal(write(streams[5], "it\n", 3), 3);
    host_read_text(streams[5], text, sizeof(text));
    assert_string_equal(text, "got it\n");
    assert_int_equal(host_read_text(streams[4], text, sizeof(text)), 0);
}

static void close_streams(int streams[6])
{
    for (int i = 0; i < 6; i++)
        io_close(&streams[i]);
}

static void test_descriptors_of_a_container(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    int streams[6];

    host_put_shell(writer, script);
    put_kinds(writer);
    host_send(host);
    accept_streams(host, 0, streams, 6);
    assert_int_equal(host_result(host), 0);
    assert_int_equal(host_start(host), 0);
    expect_traffic(streams);
    assert_int_equal(host_wait_exit_of(host, 0), 0);
    close_streams(streams);
}

static void test_descriptors_of_a_further_process(void **state)
{
    struct host *host = host_get(state);
    int streams[6];

    host_put_shell(host_begin_container(host), "read x");
    host_launch(host);
    host_put_shell(host_begin_exec(host, 7), script);
    put_kinds(&host->writer);
    host_send(host);
    accept_streams(host, 7, streams, 6);
    assert_int_equal(host_result(host), 0);
    expect_traffic(streams);
    assert_int_equal(host_wait_exit_of(host, 7), 0);
    close_streams(streams);
    io_close(&host->streams[0]);
    host_wait_exit_of(host, 0);
}

/* What it wrote last into one of them arrives before its EXIT, as with stdout. */
static void test_exit_waits_for_a_further_output(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    static char text[200001];
    int streams[4];

    host_put_shell(writer, "head -c 200000 /dev/zero | tr '\\000' x >&3; exit 4");
    protocol_put_u64(writer, FIELD_DESCRIPTOR, DESCRIPTOR_OUTPUT);
    host_send(host);
    accept_streams(host, 0, streams, 4);
    assert_int_equal(host_result(host), 0);
    assert_int_equal(host_start(host), 0);
    assert_int_equal(host_read_text(streams[3], text, sizeof(text)), 200000);
    assert_int_equal(host_wait_exit_of(host, 0), 4);
    for (int i = 0; i < 4; i++)
        io_close(&streams[i]);
}

/* As many as there may be, one of which takes the place of what the child itself uses. */
static void test_as_many_as_there_may_be(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    int streams[3 + PROTOCOL_DESCRIPTORS_MAX];
    int count = 3 + (int)PROTOCOL_DESCRIPTORS_MAX;
    char text[8192];

    host_put_shell(writer, "ls /proc/self/fd | sort -n | tail -n 2; exec 2>&-; exit 9");
    for (unsigned int i = 0; i < PROTOCOL_DESCRIPTORS_MAX; i++)
        protocol_put_u64(writer, FIELD_DESCRIPTOR, i % 3);
    host_send(host);
    accept_streams(host, 0, streams, count);
    assert_int_equal(host_result(host), 0);
    assert_int_equal(host_start(host), 0);
    host_read_text(streams[1], text, sizeof(text));
    /* The last one, and the directory that is being read. */
    assert_string_equal(text, "58\n59\n");
    assert_int_equal(host_wait_exit_of(host, 0), 9);
    for (int i = 0; i < count; i++)
        io_close(&streams[i]);
}

static void test_descriptors_that_make_no_sense(void **state)
{
    struct host *host = host_get(state);

    host_put_shell(host_begin_container(host), "true");
    protocol_put_u64(&host->writer, FIELD_DESCRIPTOR, DESCRIPTOR_SOCKET + 1);
    host_send(host);
    assert_int_equal(host_result(host), EINVAL);
    host_put_shell(host_begin_container(host), "true");
    for (unsigned int i = 0; i <= PROTOCOL_DESCRIPTORS_MAX; i++)
        protocol_put_u64(&host->writer, FIELD_DESCRIPTOR, DESCRIPTOR_INPUT);
    host_send(host);
    assert_int_equal(host_result(host), EINVAL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptors_of_a_container),      TEST(test_descriptors_of_a_further_process),
        TEST(test_exit_waits_for_a_further_output), TEST(test_as_many_as_there_may_be),
        TEST(test_descriptors_that_make_no_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
