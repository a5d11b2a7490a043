/* Terminals: what the process has, what the host gets, sizes, keys, hang-ups. */
#include "init_host.h"

#include <sys/ioctl.h>

static struct protocol_writer *begin_terminal(struct host *host)
{
    struct protocol_writer *writer = host_begin_container(host);

    host->terminal = true;
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    return writer;
}

static void resize(struct host *host, uint32_t process, uint64_t rows, uint64_t columns)
{
    struct protocol_writer *writer = host_begin(host, MESSAGE_RESIZE);

    protocol_put_u64(writer, FIELD_PROCESS, process);
    protocol_put_u64(writer, FIELD_ROWS, rows);
    protocol_put_u64(writer, FIELD_COLUMNS, columns);
    host_send(host);
}

static void type(const struct host *host, const char *keys)
{
    assert_int_equal(write(host->streams[0], keys, strlen(keys)), (ssize_t)strlen(keys));
}

/* The name, the owner, the session, /dev/console; every line ends as a terminal ends it. */
static void test_it_is_a_terminal_of_the_container(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = begin_terminal(host);
    char output[4096];

    protocol_put_u64(writer, FIELD_UID, 1000);
    host_put_shell(
        writer, "tty; stat -c '%u %t:%T' /dev/pts/0 /dev/console; ls -1 /dev/pts;"
                "cut -d' ' -f5-8 /proc/self/stat; echo x > /dev/tty;"
                "echo y > /dev/stdout; for i in 0 1 2; do readlink /proc/$$/fd/$i; done; exit 3");
    host_launch(host);
    host_read_stream(host, 1, output, sizeof(output));
    assert_int_equal(host_wait_exit(host), 3);
    /* 34816 is 136:0. */
    assert_string_equal(output,
                        "/dev/pts/0\r\n1000 88:0\r\n1000 88:0\r\n0\r\nptmx\r\n"
                        "1 1 34816 1\r\nx\r\ny\r\n/dev/pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n");
}

static void test_initial_size_and_resize(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = begin_terminal(host);
    char output[4096];

    protocol_put_u64(writer, FIELD_ROWS, 33);
    protocol_put_u64(writer, FIELD_COLUMNS, 111);
    host_put_shell(writer, "trap 'stty size; exit 4' WINCH; stty size; while true; do sleep 0.1;"
                           "done");
    host_launch(host);
    host_read_until(host->streams[1], "33 111\r\n", output, sizeof(output));
    resize(host, 5, 1, 1);
    resize(host, 0, 44, 222);
    host_read_until(host->streams[1], "44 222\r\n", output, sizeof(output));
    assert_int_equal(host_wait_exit(host), 4);
}

static void test_resize_before_start(void **state)
{
    struct host *host = host_get(state);
    char output[4096];

    host_put_shell(begin_terminal(host), "stty size");
    assert_int_equal(host_prepare(host), 0);
    resize(host, 0, 7, 70);
    assert_int_equal(host_start(host), 0);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "7 70\r\n");
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_typing_and_echo(void **state)
{
    struct host *host = host_get(state);
    char output[4096];

    host_put_shell(begin_terminal(host), "read line; echo \"<$line>\"; read line || exit 6");
    host_launch(host);
    type(host, "hello\n");
    host_read_until(host->streams[1], "<hello>\r\n", output, sizeof(output));
    assert_string_equal(output, "hello\r\n<hello>\r\n");
    type(host, "\004");
    assert_int_equal(host_wait_exit(host), 6);
}

static void check_key(void **state, const char *key, const char *signal)
{
    struct host *host = host_get(state);
    char script[256], output[4096];

    snprintf(script, sizeof(script),
             "trap 'echo got; exit 5' %s; echo r; while true; do sleep 0.1; done", signal);
    host_put_shell(begin_terminal(host), script);
    host_launch(host);
    host_read_until(host->streams[1], "r\r\n", output, sizeof(output));
    type(host, key);
    host_read_until(host->streams[1], "got\r\n", output, sizeof(output));
    assert_int_equal(host_wait_exit(host), 5);
}

static void test_interrupt_key(void **state)
{
    check_key(state, "\003", "INT");
}

static void test_quit_key(void **state)
{
    check_key(state, "\034", "QUIT");
}

static void test_suspend_key(void **state)
{
    check_key(state, "\032", "TSTP");
}

/* End of file on stream 0: the host's terminal is gone, so the session is to hear of it. */
static void test_hang_up(void **state)
{
    struct host *host = host_get(state);
    char output[4096];

    host_put_shell(begin_terminal(host),
                   "trap 'exit 8' HUP; echo r; while true; do sleep 0.1; done");
    host_launch(host);
    host_read_until(host->streams[1], "r\r\n", output, sizeof(output));
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 8);
}

static void test_hang_up_of_the_output(void **state)
{
    struct host *host = host_get(state);
    char output[4096];

    host_put_shell(begin_terminal(host),
                   "trap 'exit 8' HUP; echo r; while true; do sleep 0.1; done");
    host_launch(host);
    host_read_until(host->streams[1], "r\r\n", output, sizeof(output));
    io_close(&host->streams[1]);
    assert_int_equal(host_wait_exit(host), 8);
}

/* Much output, read slowly, in order and to its last byte. */
static void test_much_output(void **state)
{
    struct host *host = host_get(state);
    char expected[32], line[32];
    size_t length = 0;
    int number = 0;
    char byte;

    host_put_shell(begin_terminal(host),
                   "stty -opost; i=0; while test $i -lt 20000; do echo $i; i=$((i+1)); done");
    host_launch(host);
    while (read(host->streams[1], &byte, 1) == 1) {
        line[length++] = byte;
        if (byte != '\n')
            continue;
        line[length] = '\0';
        snprintf(expected, sizeof(expected), "%d\n", number++);
        assert_string_equal(line, expected);
        length = 0;
    }
    assert_int_equal(number, 20000);
    assert_int_equal(host_wait_exit(host), 0);
}

/* Much input, more than the terminal holds, with a reader that takes its time. */
static void test_much_input(void **state)
{
    struct host *host = host_get(state);
    char output[4096], block[5000];
    size_t sent = 0;

    host_put_shell(begin_terminal(host),
                   "stty raw -echo; echo r; sleep 0.5; dd bs=1000 count=1000 iflag=fullblock |"
                   "md5sum; exit 2");
    host_launch(host);
    host_read_until(host->streams[1], "r\n", output, sizeof(output));
    memset(block, 'x', sizeof(block));
    while (sent < 1000000) {
        ssize_t n = write(host->streams[0], block, sizeof(block));

        assert_true(n > 0);
        sent += (size_t)n;
    }
    /* md5sum of a million x */
    host_read_until(host->streams[1], "ec78dbd963d2fc01e51176ed4dec299e", output, sizeof(output));
    assert_int_equal(host_wait_exit(host), 2);
}

static void test_exec_with_a_terminal(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[4096];

    host_put_shell(host_begin_container(host), "read line; exit 9");
    host_launch(host);
    writer = host_begin_exec(host, 1);
    host->terminal = true;
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    protocol_put_u64(writer, FIELD_ROWS, 12);
    protocol_put_u64(writer, FIELD_COLUMNS, 34);
    host_put_shell(writer,
                   "tty; stty size; echo x > /dev/tty;"
                   "while [ \"$(stty size)\" = \"12 34\" ]; do sleep 0.1; done; stty size; exit 5");
    assert_int_equal(host_exec(host, 1), 0);
    host_read_until(host->further[1], "x\r\n", output, sizeof(output));
    assert_string_equal(output, "/dev/pts/0\r\n12 34\r\nx\r\n");
    resize(host, 1, 21, 43);
    host_read_text(host->further[1], output, sizeof(output));
    assert_string_equal(output, "21 43\r\n");
    assert_int_equal(host_wait_exit_of(host, 1), 5);
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 9);
}

/* A job left behind keeps the terminal; the EXIT comes with what the shell itself had written. */
static void test_exec_leaves_a_job_behind(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[4096];

    host_put_shell(host_begin_container(host), "read line; exit 9");
    host_launch(host);
    writer = host_begin_exec(host, 1);
    host->terminal = true;
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    host_put_shell(writer, "trap '' HUP; { sleep 0.3; echo later; } & echo now; exit 5");
    assert_int_equal(host_exec(host, 1), 0);
    assert_int_equal(host_wait_exit_of(host, 1), 5);
    host_read_until(host->further[1], "now\r\n", output, sizeof(output));
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 9);
}

static void test_no_devpts(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin(host, MESSAGE_CONTAINER);

    host->terminal = true;
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENOENT);
    assert_string_equal(host->text, "open /dev/ptmx: no such file or directory");
}

/* An image may bring any file as its multiplexer: nothing but one is opened. */
static void test_false_multiplexer(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    mkdir(host_path(host, "image/dev"), 0755);
    mkdir(host_path(host, "image/dev/pts"), 0755);
    assert_int_equal(mkfifo(host_path(host, "image/dev/pts/ptmx"), 0666), 0);
    writer = host_begin(host, MESSAGE_CONTAINER);
    host->terminal = true;
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENODEV);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_is_a_terminal_of_the_container),
        TEST(test_initial_size_and_resize),
        TEST(test_resize_before_start),
        TEST(test_typing_and_echo),
        TEST(test_interrupt_key),
        TEST(test_quit_key),
        TEST(test_suspend_key),
        TEST(test_hang_up),
        TEST(test_hang_up_of_the_output),
        TEST(test_much_output),
        TEST(test_much_input),
        TEST(test_exec_with_a_terminal),
        TEST(test_exec_leaves_a_job_behind),
        TEST(test_no_devpts),
        TEST(test_false_multiplexer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
