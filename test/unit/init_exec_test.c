/* Further processes of a container: where they find themselves, how they and their streams end. */
#include "init_host.h"

#include <sys/ioctl.h>

/* A container whose first process does nothing until it is told. */
static struct host *launch(void **state)
{
    struct host *host = host_get(state);

    host_put_shell(host_begin_container(host), "while read line; do eval \"$line\"; done; exit 9");
    host_launch(host);
    return host;
}

static void end_container(struct host *host)
{
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 9);
}

/* Runs the EXEC begun of process 1 to its end. Return: its status. */
static int run(struct host *host, char *output, size_t size)
{
    char errors[4096];

    if (host_exec(host, 1) != 0)
        fail_msg("exec: %s", host->text);
    io_close(&host->further[0]);
    host_read_text(host->further[1], output, size);
    host_read_text(host->further[2], errors, sizeof(errors));
    if (errors[0])
        print_message("stderr: %s", errors);
    return host_wait_exit_of(host, 1);
}

static void test_output_and_exit_code(void **state)
{
    struct host *host = launch(state);
    char output[4096], errors[4096];

    host_put_shell(host_begin_exec(host, 1), "cat; echo err >&2; exit 3");
    assert_int_equal(host_exec(host, 1), 0);
    assert_int_equal(write(host->further[0], "typed\n", 6), 6);
    io_close(&host->further[0]);
    host_read_text(host->further[1], output, sizeof(output));
    host_read_text(host->further[2], errors, sizeof(errors));
    assert_int_equal(host_wait_exit_of(host, 1), 3);
    assert_string_equal(output, "typed\n");
    assert_string_equal(errors, "err\n");
    end_container(host);
}

/* The namespaces and the cgroup are those of the first process, and so is the root. */
static void test_it_is_in_the_container(void **state)
{
    static const char script[] =
        "for n in mnt pid uts ipc cgroup net user; do readlink /proc/self/ns/$n; done;"
        "cat /proc/self/cgroup; hostname; ls /";
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char first[4096], further[4096];

    protocol_put_string(writer, FIELD_HOSTNAME, "the-host-name");
    host_put_shell(writer, "while read line; do sh -c \"$line\"; done; exit 9");
    host_launch(host);
    assert_true(dprintf(host->streams[0], "%s; echo end\n", script) > 0);
    host_read_until(host->streams[1], "end\n", first, sizeof(first));
    host_put_shell(host_begin_exec(host, 1), script);
    assert_int_equal(run(host, further, sizeof(further)), 0);
    *strstr(first, "end\n") = '\0';
    assert_string_equal(further, first);
    end_container(host);
}

/* Parent, process group, session: its own; PID 1 and its children are there to see. */
static void test_processes_it_sees(void **state)
{
    struct host *host = launch(state);
    char output[4096];

    host_put_shell(host_begin_exec(host, 1),
                   "cut -d' ' -f4 /proc/$$/stat; test $$ = $(cut -d' ' -f6 /proc/$$/stat) && echo "
                   "session; cat /proc/1/comm; ls /proc/self/fd; cat /proc/self/oom_score_adj;"
                   "grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f19,41 /proc/self/stat");
    assert_int_equal(run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "0\nsession\nsh\n0\n1\n2\n3\n0\nSigBlk:\t0000000000000000\n"
                                "SigIgn:\t0000000000000000\n0 0\n");
    end_container(host);
}

static void test_user_groups_umask_cwd_capabilities(void **state)
{
    struct host *host = launch(state);
    struct protocol_writer *writer = host_begin_exec(host, 1);
    uint64_t sets[5] = { 0x400, 0, 0, 0x400, 0 };
    char output[4096];

    protocol_put_u64(writer, FIELD_UID, 1000);
    protocol_put_u64(writer, FIELD_GID, 1001);
    protocol_put_u64(writer, FIELD_GROUP, 2000);
    protocol_put_u64(writer, FIELD_UMASK, 027);
    protocol_put_u64(writer, FIELD_NO_NEW_PRIVILEGES, 1);
    protocol_put_u64(writer, FIELD_OOM_SCORE_ADJ, 300);
    protocol_put_string(writer, FIELD_CWD, "/etc");
    protocol_put_string(writer, FIELD_ENV, "NAME=a value");
    host_put_capabilities(writer, sets);
    host_put_shell(writer, "id -u; id -g; grep Groups: /proc/self/status; umask; pwd; echo $NAME;"
                           "echo $HOME; echo x > /dev/stdout; cat /proc/self/oom_score_adj;"
                           "grep -E '^(CapBnd|CapEff|NoNew)' /proc/self/status");
    assert_int_equal(run(host, output, sizeof(output)), 0);
    assert_string_equal(output,
                        "1000\n1001\nGroups:\t2000 \n0027\n/etc\na value\n/home/user\nx\n300\n"
                        "CapEff:\t0000000000000000\nCapBnd:\t0000000000000400\nNoNewPrivs:\t1\n");
    end_container(host);
}

static void check_failure(void **state, const char *name, const char *cwd, int code,
                          const char *text)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    host_write_file(host_path(host, "image/plain"), "not a program");
    launch(state);
    writer = host_begin_exec(host, 1);
    protocol_put_string(writer, FIELD_CWD, cwd);
    protocol_put_string(writer, FIELD_ARG, name);
    assert_int_equal(host_exec(host, 1), code);
    assert_string_equal(host->text, text);
    /* No EXIT of it: the next one is the container's. */
    end_container(host);
}

static void test_missing_executable(void **state)
{
    check_failure(state, "nosuch", "/", ENOENT,
                  "exec: \"nosuch\": executable file not found in $PATH");
}

static void test_permission_denied(void **state)
{
    check_failure(state, "/plain", "/", EACCES, "exec: \"/plain\": permission denied");
}

static void test_missing_cwd(void **state)
{
    check_failure(state, "true", "/x", ENOENT,
                  "chdir to cwd (\"/x\") set in config.json failed: no such file or directory");
}

static void test_signal_to_one_process(void **state)
{
    struct host *host = launch(state);
    char output[64];

    host_put_shell(host_begin_exec(host, 7), "trap 'exit 5' TERM; echo r; while true; do sleep 0.1;"
                                             "done");
    assert_int_equal(host_exec(host, 7), 0);
    host_read_until(host->further[1], "r\n", output, sizeof(output));
    host_signal_process(host, 8, SIGKILL, false);
    host_signal_process(host, 7, SIGTERM, false);
    assert_int_equal(host_wait_exit_of(host, 7), 5);
    end_container(host);
}

static void test_numbers(void **state)
{
    struct host *host = launch(state);

    host_put_shell(host_begin_exec(host, 0), "true");
    host_send(host);
    assert_int_equal(host_result(host), EINVAL);
    host_put_shell(host_begin_exec(host, 3), "sleep 1000");
    assert_int_equal(host_exec(host, 3), 0);
    host_put_shell(host_begin_exec(host, 3), "true");
    host_send(host);
    assert_int_equal(host_result(host), EEXIST);
    host_signal_process(host, 3, SIGKILL, false);
    assert_int_equal(host_wait_exit_of(host, 3), 128 + SIGKILL);
    end_container(host);
}

static void test_of_no_container(void **state)
{
    struct host *host = host_get(state);

    host_put_shell(host_begin_exec(host, 1), "true");
    host_send(host);
    assert_int_equal(host_result(host), ESRCH);
}

/* EXIT comes though a process that was left behind holds the streams, and those go on. */
static void test_streams_outlive_the_process(void **state)
{
    struct host *host = launch(state);
    char output[256];

    host_put_shell(host_begin_exec(host, 1),
                   "exec 3<&0; { read line <&3; echo later $line; } & echo now; exit 4");
    assert_int_equal(host_exec(host, 1), 0);
    assert_int_equal(host_wait_exit_of(host, 1), 4);
    host_read_until(host->further[1], "now\n", output, sizeof(output));
    assert_int_equal(write(host->further[0], "typed\n", 6), 6);
    host_read_text(host->further[1], output, sizeof(output));
    assert_string_equal(output, "later typed\n");
    end_container(host);
}

/* What it wrote before it ended is on its way when EXIT is sent, however slowly it is read. */
static void test_exit_comes_after_the_output(void **state)
{
    struct host *host = launch(state);
    char buffer[4096];
    int waiting = 0;
    size_t total = 0;
    ssize_t n;

    host_put_shell(host_begin_exec(host, 1),
                   "sleep 1000 & dd if=/dev/zero bs=65536 count=8 2>/dev/null");
    assert_int_equal(host_exec(host, 1), 0);
    /* The rest fits into the socket, in pieces of whatever size it came. */
    while (total < 15 * 32768 && (n = read(host->further[1], buffer, sizeof(buffer))) > 0) {
        total += (size_t)n;
        /* Nothing on the control connection as long as it cannot have ended. */
        if (total < 65536)
            assert_int_equal(recv(host->control, buffer, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    }
    assert_int_equal(host_wait_exit_of(host, 1), 0);
    /* All that is left is in the socket now. */
    assert_int_equal(ioctl(host->further[1], FIONREAD, &waiting), 0);
    while (total < 8 * 65536 && (n = read(host->further[1], buffer, sizeof(buffer))) > 0)
        total += (size_t)n;
    assert_int_equal(total, 8 * 65536);
    assert_true(waiting > 0);
    end_container(host);
}

static void test_end_of_the_container_ends_it(void **state)
{
    struct host *host = launch(state);
    char output[64];
    int stdout_of_first;

    host_put_shell(host_begin_exec(host, 1), "echo r; sleep 1000");
    assert_int_equal(host_exec(host, 1), 0);
    stdout_of_first = steal_fd(&host->further[1]);
    /* It has got that far before it is killed. */
    assert_int_equal(recv(stdout_of_first, output, 1, MSG_PEEK), 1);
    host_put_shell(host_begin_exec(host, 2), "sleep 1000 & exit 0");
    assert_int_equal(host_exec(host, 2), 0);
    assert_int_equal(host_wait_exit_of(host, 2), 0);
    host_signal(host, SIGKILL, false);
    assert_int_equal(host_wait_exit_of(host, 1), 128 + SIGKILL);
    assert_int_equal(host_wait_exit(host), 128 + SIGKILL);
    host_read_text(stdout_of_first, output, sizeof(output));
    assert_string_equal(output, "r\n");
    close(stdout_of_first);
}

/* Until no more arrives. */
static void wait_until_full(int fd)
{
    int before = -1, now = 0;

    while (now == 0 || now != before) {
        before = now;
        usleep(100000);
        assert_int_equal(ioctl(fd, FIONREAD, &now), 0);
    }
}

/* Nobody reads what it writes: the container's end waits for that, but not for ever. */
static void test_stuck_reader_does_not_hold_the_container(void **state)
{
    struct host *host = launch(state);
    char output[8];

    host_put_shell(host_begin_exec(host, 1), "echo r; dd if=/dev/zero bs=65536 count=100");
    assert_int_equal(host_exec(host, 1), 0);
    host_read_full(host->further[1], output, 2);
    wait_until_full(host->further[1]);
    host_signal(host, SIGKILL, false);
    assert_int_equal(host_wait_exit_of(host, 1), 128 + SIGKILL);
    assert_int_equal(host_wait_exit(host), 128 + SIGKILL);
}

/* Its orphans are PID 1's, as in any container, and not init's. */
static void test_orphans_go_to_the_first_process(void **state)
{
    struct host *host = launch(state);
    char output[64];

    host_put_shell(host_begin_exec(host, 1),
                   "sh -c 'sh -c \"while test -d /proc/$$; do sleep 0.1; done;"
                   "cut -d\\\" \\\" -f4 /proc/self/stat; echo \\$PPID >/dev/null;"
                   "grep PPid /proc/\\$\\$/status\" & exit 0'");
    run(host, output, sizeof(output));
    assert_non_null(strstr(output, "PPid:\t1\n"));
    end_container(host);
}

static void test_before_start(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    host_put_shell(host_begin_container(host), "exit 9");
    assert_int_equal(host_prepare(host), 0);
    host_put_shell(host_begin_exec(host, 1), "echo early");
    assert_int_equal(run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "early\n");
    assert_int_equal(host_start(host), 0);
    assert_int_equal(host_wait_exit(host), 9);
}

/* The workload shares its cgroup's controllers out, so no process may be born right in it. */
static void test_cgroup_that_takes_no_processes(void **state)
{
    struct host *host = host_get(state);
    char output[4096], controllers[64];
    struct protocol_writer *writer;

    if (io_read_file(AT_FDCWD, host_path(host, "group/cgroup.controllers"), controllers,
                     sizeof(controllers)) <= 1) {
        print_message("skipped: this kernel's cgroup2 has no controllers\n");
        skip();
    }
    writer = host_begin_container(host);
    host_put_mount(writer, "/cgroup", "cgroup", 0, NULL);
    host_put_shell(writer, "mkdir /cgroup/below; echo 1 > /cgroup/below/cgroup.procs;"
                           "read controller rest < /cgroup/cgroup.controllers;"
                           "echo +$controller > /cgroup/cgroup.subtree_control;"
                           "echo r; read line; exit 9");
    host_launch(host);
    host_read_until(host->streams[1], "r\n", output, sizeof(output));
    host_put_shell(host_begin_exec(host, 1), "grep ^0: /proc/self/cgroup; sleep 0");
    assert_int_equal(run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "0::/below\n");
    end_container(host);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_output_and_exit_code),
        TEST(test_it_is_in_the_container),
        TEST(test_processes_it_sees),
        TEST(test_user_groups_umask_cwd_capabilities),
        TEST(test_missing_executable),
        TEST(test_permission_denied),
        TEST(test_missing_cwd),
        TEST(test_signal_to_one_process),
        TEST(test_numbers),
        TEST(test_of_no_container),
        TEST(test_streams_outlive_the_process),
        TEST(test_exit_comes_after_the_output),
        TEST(test_end_of_the_container_ends_it),
        TEST(test_stuck_reader_does_not_hold_the_container),
        TEST(test_orphans_go_to_the_first_process),
        TEST(test_before_start),
        TEST(test_cgroup_that_takes_no_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
