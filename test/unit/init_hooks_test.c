/* Hooks in the container, and NOTIFY_SOCKET: what is there when, and what is said when they fail.
 */
#include "init_host.h"

static const char state_text[] = "{\"ociVersion\":\"1.0.2\",\"id\":\"c\",\"status\":\"creating\"}";

static void put_hook(struct protocol_writer *writer, uint64_t kind, const char *path,
                     uint32_t share, uint64_t timeout)
{
    size_t mark = protocol_open(writer, FIELD_HOOK);

    protocol_put_u64(writer, FIELD_HOOK_KIND, kind);
    protocol_put_string(writer, FIELD_HOOK_PATH, path);
    if (kind == 0)
        protocol_put_u64(writer, FIELD_MOUNT_SHARE, share);
    protocol_put_u64(writer, FIELD_HOOK_TIMEOUT, timeout);
    protocol_put_string(writer, FIELD_HOOK_STATE, state_text);
    protocol_put_string(writer, FIELD_ARG, "the-name");
    protocol_put_string(writer, FIELD_ARG, "argument");
    protocol_put_string(writer, FIELD_ENV, "PATH=/bin");
    protocol_put_string(writer, FIELD_ENV, "COLOUR=blue");
    protocol_close(writer, mark);
}

static void write_script(const struct host *host, const char *name, const char *text)
{
    host_write_file(host_path(host, name), text);
    assert_int_equal(chmod(host_path(host, name), 0755), 0);
}

/* The script is the host's, its interpreter and all that it sees are the container's. */
static void test_create_container(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[4096];

    write_script(host, "shares/1",
                 "#!/bin/sh\n"
                 "{ cat; echo; echo $1 $COLOUR $(id -u); pwd; ls /; hostname; } > /log\n"
                 "ls -d /proc/[0-9]* /dev/null /shares 2>/dev/null >> /log; touch /made/by/hook\n");
    mkdir(host_path(host, "image/made"), 0755);
    mkdir(host_path(host, "image/made/by"), 0755);
    writer = host_begin_container(host);
    /* Neither the read-only root nor the user come before it. */
    protocol_put_u64(writer, FIELD_ROOT_READONLY, 1);
    protocol_put_u64(writer, FIELD_UID, 1000);
    protocol_put_string(writer, FIELD_HOSTNAME, "hooked");
    put_hook(writer, 0, "/hook/on/the/host", 1, 0);
    host_put_shell(writer, "cat /log; ls /made/by");
    host_run(host, output, sizeof(output));
    assert_string_equal(output, "{\"ociVersion\":\"1.0.2\",\"id\":\"c\",\"status\":\"creating\"}\n"
                                "argument blue 0\n/\nbin\ndev\netc\nlog\nmade\nproc\nhooked\n"
                                "/dev/null\n/proc/1\n/proc/2\nhook\n");
}

static void test_create_container_fails(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    write_script(host, "shares/1", "#!/bin/sh\nexit 0\n");
    write_script(host, "shares/2", "#!/bin/sh\necho out; echo err >&2; echo >&2; exit 3\n");
    writer = host_begin_container(host);
    put_hook(writer, 0, "/hook", 1, 5);
    put_hook(writer, 0, "/hook", 2, 5);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ECHILD);
    assert_string_equal(host->text, "error running createContainer hook #1: exit status 3, "
                                    "stdout: out, stderr: err");
}

static void test_create_container_is_killed(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    write_script(host, "shares/1", "#!/bin/sh\nkill -TERM $$\n");
    writer = host_begin_container(host);
    put_hook(writer, 0, "/hook", 1, 0);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ECHILD);
    assert_string_equal(host->text, "error running createContainer hook #0: signal: terminated, "
                                    "stdout: , stderr: ");
}

static void test_hook_times_out(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    write_script(host, "shares/1", "#!/bin/sh\nsleep 1000\n");
    writer = host_begin_container(host);
    put_hook(writer, 0, "/hook", 1, 1);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ETIME);
    assert_string_equal(host->text, "error running createContainer hook #0: hook ran past "
                                    "specified timeout of 1.0s");
}

static void test_hook_that_cannot_be_executed(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    host_write_file(host_path(host, "shares/1"), "not a program");
    writer = host_begin_container(host);
    put_hook(writer, 0, "/hook", 1, 1);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), EACCES);
    assert_string_equal(host->text, "error running createContainer hook #0: fork/exec /hook: "
                                    "permission denied");
}

/* A program of the host that wants what only the host has. */
static void test_hook_without_its_interpreter(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    write_script(host, "shares/1", "#!/no/such/interpreter\n");
    writer = host_begin_container(host);
    put_hook(writer, 0, "/hook", 1, 1);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENOENT);
    assert_string_equal(host->text, "error running createContainer hook #0: fork/exec /hook: "
                                    "no such file or directory (its interpreter is looked for in "
                                    "the container)");
}

/* Much output is cut, so that the failure stays one that can be read. */
static void test_output_of_a_failed_hook_is_bounded(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    write_script(host, "shares/1",
                 "#!/bin/sh\ndd if=/dev/zero bs=1000 count=1000 2>/dev/null |"
                 "tr '\\0' 'x\\n' >&2; exit 1\n");
    writer = host_begin_container(host);
    put_hook(writer, 0, "/hook", 1, 0);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ECHILD);
    assert_true(strlen(host->text) < 512);
    assert_non_null(strstr(host->text, "exit status 1, stdout: , stderr: xxxxxx"));
}

/* At START, in the container, as its user. */
static void test_start_container(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[4096];

    write_script(host, "image/bin/hook",
                 "#!/bin/sh\n{ echo $0 $1 $COLOUR; id -u; cat; } > /tmp/log\n");
    mkdir(host_path(host, "image/tmp"), 0777);
    chmod(host_path(host, "image/tmp"), 01777);
    writer = host_begin_container(host);
    protocol_put_u64(writer, FIELD_UID, 1000);
    put_hook(writer, 1, "/bin/hook", 0, 0);
    host_put_shell(writer, "cat /tmp/log");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(access(host_path(host, "image/tmp/log"), F_OK), -1);
    assert_int_equal(host_start(host), 0);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "/bin/hook argument blue\n1000\n"
                                "{\"ociVersion\":\"1.0.2\",\"id\":\"c\",\"status\":\"creating\"}");
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_start_container_fails(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    writer = host_begin_container(host);
    put_hook(writer, 1, "/bin/nosuch", 0, 0);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), ENOENT);
    assert_string_equal(host->text, "error running startContainer hook #0: fork/exec /bin/nosuch: "
                                    "no such file or directory");
}

static void expect_datagram(struct host *host, const char *text, size_t length)
{
    struct protocol_field field = { 0 };

    host_receive(host, host->control);
    assert_int_equal(host->header.type, MESSAGE_NOTIFY);
    assert_int_equal(protocol_find(host->fields, FIELD_DATA, &field), 1);
    assert_int_equal(field.value.length, length);
    assert_memory_equal(field.value.data, text, strlen(text));
}

/* busybox has no client for datagrams: the test sends them through the workload's root. */
static int connect_notify(const struct host *host, pid_t pid)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/%d/root/run/notify/notify.sock",
             pid);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static pid_t child_of(pid_t parent)
{
    char path[64], text[32];

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
    assert_true(io_read_file(AT_FDCWD, path, text, sizeof(text)) > 0);
    return (pid_t)strtol(text, NULL, 10);
}

static void test_notify(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char output[4096], big[8192];
    int fd;

    protocol_put_u64(writer, FIELD_NOTIFY, 1);
    protocol_put_u64(writer, FIELD_UID, 1000);
    host_put_mount(writer, "/run", "tmpfs", MS_NOSUID, "mode=755");
    host_put_shell(writer, "stat -c '%F %a' /run/notify/notify.sock; touch /run/notify/x || echo;"
                           "grep ' /run/notify ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1-4;"
                           "read line; exit 3");
    host_launch(host);
    host_read_until(host->streams[1], "noexec\n", output, sizeof(output));
    assert_string_equal(output, "socket 777\n\nro,nosuid,nodev,noexec\n");
    fd = connect_notify(host, child_of(host->init));
    assert_int_equal(send(fd, "READY=1", 7, 0), 7);
    expect_datagram(host, "READY=1", 7);
    memset(big, 'x', sizeof(big));
    assert_int_equal(send(fd, big, sizeof(big), 0), (ssize_t)sizeof(big));
    expect_datagram(host, "xxxx", 4096);
    close(fd);
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 3);
    /* Nothing of it is left. */
    usleep(50000);
    assert_int_equal(access(host_path(host, "notify/0"), F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create_container),
        TEST(test_create_container_fails),
        TEST(test_create_container_is_killed),
        TEST(test_hook_times_out),
        TEST(test_hook_that_cannot_be_executed),
        TEST(test_hook_without_its_interpreter),
        TEST(test_output_of_a_failed_hook_is_bounded),
        TEST(test_start_container),
        TEST(test_start_container_fails),
        TEST(test_notify),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
