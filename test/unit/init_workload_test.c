/* The workload as it finds itself: streams, identity, surroundings, its end. */
#include "init_host.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

static void test_output_and_exit_code(void **state)
{
    struct host *host = host_get(state);
    char output[4096];

    host_put_shell(host_begin_container(host), "echo hello; exit 7");
    assert_int_equal(host_run(host, output, sizeof(output)), 7);
    assert_string_equal(output, "hello\n");
}

static void test_stdout_and_stderr_are_separate(void **state)
{
    struct host *host = host_get(state);
    char output[4096], errors[4096];

    host_put_shell(host_begin_container(host), "echo out; echo err >&2; echo again > /dev/stdout");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
    host_read_stream(host, 1, output, sizeof(output));
    host_read_stream(host, 2, errors, sizeof(errors));
    assert_string_equal(output, "out\nagain\n");
    assert_string_equal(errors, "err\n");
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_user_groups_umask_cwd(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char output[4096];

    protocol_put_u64(writer, FIELD_UID, 1000);
    protocol_put_u64(writer, FIELD_GID, 1001);
    protocol_put_u64(writer, FIELD_GROUP, 2000);
    protocol_put_u64(writer, FIELD_GROUP, 2001);
    protocol_put_u64(writer, FIELD_UMASK, 027);
    protocol_put_string(writer, FIELD_CWD, "/srv/made/here");
    protocol_put_string(writer, FIELD_ENV, "NAME=a value");
    host_put_shell(writer, "id -u; id -g; grep Groups: /proc/self/status; umask; pwd; echo $NAME;"
                           "echo $HOME; echo x > /dev/stdout; cat /proc/1/comm; true");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "1000\n1001\nGroups:\t2000 2001 \n0027\n/srv/made/here\na value\n"
                                "/home/user\nx\nsh\n");
}

static void test_home_of_unknown_user_is_root_directory(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char output[4096];

    protocol_put_u64(writer, FIELD_UID, 4242);
    protocol_put_string(writer, FIELD_ENV, "HOME=");
    host_put_shell(writer, "env | grep HOME");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "HOME=/\n");
}

static void check_capabilities(struct host *host, uint32_t uid, uint64_t sets[5],
                               const char *expected)
{
    struct protocol_writer *writer = host_begin_container(host);
    char output[4096];

    protocol_put_u64(writer, FIELD_UID, uid);
    protocol_put_u64(writer, FIELD_NO_NEW_PRIVILEGES, uid != 0);
    host_put_capabilities(writer, sets);
    protocol_put_string(writer, FIELD_ARG, "grep");
    protocol_put_string(writer, FIELD_ARG, "-E");
    protocol_put_string(writer, FIELD_ARG, "^(Cap|NoNew)");
    protocol_put_string(writer, FIELD_ARG, "/proc/self/status");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, expected);
}

/* Order of the sets: bounding, effective, inheritable, permitted, ambient. */
static void test_capabilities_of_root(void **state)
{
    uint64_t sets[5] = { 0xa80425fb, 0xa80425fb, 0, 0xa80425fb, 0 };

    check_capabilities(host_get(state), 0, sets,
                       "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n"
                       "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
                       "CapAmb:\t0000000000000000\nNoNewPrivs:\t0\n");
}

static void test_capabilities_of_user_with_ambient(void **state)
{
    uint64_t sets[5] = { 0x401, 0x400, 0x400, 0x400, 0x400 };

    check_capabilities(host_get(state), 1000, sets,
                       "CapInh:\t0000000000000400\nCapPrm:\t0000000000000400\n"
                       "CapEff:\t0000000000000400\nCapBnd:\t0000000000000401\n"
                       "CapAmb:\t0000000000000400\nNoNewPrivs:\t1\n");
}

static void test_user_without_ambient_has_none(void **state)
{
    uint64_t sets[5] = { 0xa80425fb, 0xa80425fb, 0, 0xa80425fb, 0 };

    check_capabilities(host_get(state), 1000, sets,
                       "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                       "CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"
                       "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
}

static void test_limits_and_oom_score(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    size_t mark = protocol_open(writer, FIELD_RLIMIT);
    char output[4096];

    protocol_put_u64(writer, FIELD_RESOURCE, 7); /* RLIMIT_NOFILE */
    protocol_put_u64(writer, FIELD_SOFT, 123);
    protocol_put_u64(writer, FIELD_HARD, 456);
    protocol_close(writer, mark);
    protocol_put_u64(writer, FIELD_OOM_SCORE_ADJ, 500);
    host_put_shell(writer, "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "123\n456\n500\n");
}

static void test_it_is_alone_and_first(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char output[4096];

    protocol_put_string(writer, FIELD_HOSTNAME, "the-host-name");
    host_put_shell(writer, "echo $$; ls -d /proc/[0-9]*; hostname; grep ^0:: /proc/self/cgroup;"
                           "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status;"
                           "env; cut -d' ' -f4-6 /proc/self/stat; true");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    /* ls has 3 open for the directory it lists. Parent, process group and session of cut: 1. */
    assert_string_equal(output, "1\n/proc/1\nthe-host-name\n0::/\n0\n1\n2\n3\n"
                                "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
                                "SHLVL=1\nHOME=/root\nPATH=/usr/bin:/bin\nPWD=/\n1 1 1\n");
}

/* A filter that fails uname(2) with ENOANO (55), with and without no_new_privs. */
static void check_seccomp(void **state, uint64_t no_new_privileges)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    uint64_t sets[5] = { 1ull << 21, 1ull << 21, 0, 1ull << 21, 0 }; /* CAP_SYS_ADMIN */
    const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 55),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    char output[256];

    host_put_capabilities(writer, sets);
    protocol_put_u64(writer, FIELD_NO_NEW_PRIVILEGES, no_new_privileges);
    protocol_put_bytes(writer, FIELD_SECCOMP, filter, sizeof(filter));
    host_put_shell(writer, "hostname 2>&1 | grep -c .; grep Seccomp: /proc/self/status");
    host_run(host, output, sizeof(output));
    assert_non_null(strstr(output, "Seccomp:\t2\n"));
}

static void test_seccomp_with_no_new_privileges(void **state)
{
    check_seccomp(state, 1);
}

static void test_seccomp_without_no_new_privileges(void **state)
{
    check_seccomp(state, 0);
}

static void test_missing_executable(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    protocol_put_string(writer, FIELD_ARG, "foo");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), ENOENT);
    assert_string_equal(host->text, "exec: \"foo\": executable file not found in $PATH");
}

static void check_exec_fails(void **state, const char *name, int code, const char *text)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    host_write_file(host_path(host, "image/plain"), "not a program");
    writer = host_begin_container(host);
    protocol_put_string(writer, FIELD_ARG, name);
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), code);
    assert_string_equal(host->text, text);
}

static void test_missing_path(void **state)
{
    check_exec_fails(state, "/no/such", ENOENT,
                     "exec: \"/no/such\": stat /no/such: no such file or directory");
}

static void test_permission_denied(void **state)
{
    check_exec_fails(state, "/plain", EACCES, "exec: \"/plain\": permission denied");
}

static void test_directory_is_no_executable(void **state)
{
    check_exec_fails(state, "/bin", EISDIR, "exec: \"/bin\": is a directory: permission denied");
}

/* As with runc the start succeeds, and the container says so itself. */
static void check_exec_ends(void **state, const char *name, const char *content, const char *text)
{
    struct host *host = host_get(state);
    char errors[256];

    host_write_file(host_path(host, "image/program"), content);
    chmod(host_path(host, "image/program"), 0755);
    protocol_put_string(host_begin_container(host), FIELD_ARG, name);
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
    host_read_stream(host, 2, errors, sizeof(errors));
    assert_string_equal(errors, text);
    assert_int_equal(host_wait_exit(host), 1);
}

static void test_missing_interpreter(void **state)
{
    check_exec_ends(state, "/program", "#!/no/such/shell\n",
                    "exec /program: no such file or directory\n");
}

static void test_exec_format_error(void **state)
{
    check_exec_ends(state, "/program", "\177garbage", "exec /program: exec format error\n");
}

static void test_cwd_that_is_a_file(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    protocol_put_string(writer, FIELD_CWD, "/etc/passwd");
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENOTDIR);
    assert_string_equal(host->text, "chdir to cwd (\"/etc/passwd\") set in config.json failed: "
                                    "not a directory");
}

static void test_cwd_without_permission(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    uint64_t none[5] = { 0 };

    mkdir(host_path(host, "image/closed"), 0700);
    mkdir(host_path(host, "image/closed/in"), 0700);
    protocol_put_u64(writer, FIELD_UID, 1000);
    host_put_capabilities(writer, none);
    protocol_put_string(writer, FIELD_CWD, "/closed/in");
    host_put_shell(writer, "true");
    /* Root could enter: so the workload starts there, as with runc. */
    assert_int_equal(host_prepare(host), 0);
}

static void test_signals(void **state)
{
    struct host *host = host_get(state);
    char byte;

    host_put_shell(host_begin_container(host),
                   "trap 'echo got; exit 3' TERM; echo r; while true; do sleep 0.1; done");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
    host_read_full(host->streams[1], &byte, 1);
    host_signal(host, SIGTERM, false);
    assert_int_equal(host_wait_exit(host), 3);
}

static void test_killed_status_and_no_delay_by_children(void **state)
{
    struct host *host = host_get(state);
    char output[64];
    char byte;

    host_put_shell(host_begin_container(host), "sleep 1000 & sleep 1000 & echo r; sleep 1000");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
    host_read_full(host->streams[1], &byte, 1);
    host_signal(host, SIGKILL, false);
    host_read_stream(host, 1, output, sizeof(output));
    assert_int_equal(host_wait_exit(host), 128 + SIGKILL);
}

static void test_signal_to_all(void **state)
{
    struct host *host = host_get(state);
    char output[256];

    host_put_shell(
        host_begin_container(host),
        "trap 'echo parent' USR1; mkdir -p /none;"
        "sh -c 'trap \"echo child; exit\" USR1; echo r; while true; do sleep 0.1; done' &"
        "while ! wait; do true; done");
    assert_int_equal(host_prepare(host), 0);
    assert_int_equal(host_start(host), 0);
    host_read_full(host->streams[1], output, 2);
    host_signal(host, SIGUSR1, true);
    host_read_stream(host, 1, output, sizeof(output));
    assert_non_null(strstr(output, "parent\n"));
    assert_non_null(strstr(output, "child\n"));
    assert_int_equal(host_wait_exit(host), 0);
}

static void test_kill_before_start(void **state)
{
    struct host *host = host_get(state);

    host_put_shell(host_begin_container(host), "true");
    assert_int_equal(host_prepare(host), 0);
    host_signal(host, SIGKILL, false);
    assert_int_equal(host_wait_exit(host), 128 + SIGKILL);
    assert_int_equal(host_start(host), ESRCH);
}

static void test_second_container_with_same_number(void **state)
{
    struct host *host = host_get(state);

    host_put_shell(host_begin_container(host), "true");
    assert_int_equal(host_prepare(host), 0);
    host_put_shell(host_begin_container(host), "true");
    host_send(host);
    assert_int_equal(host_result(host), EEXIST);
}

static void test_number_can_be_used_again(void **state)
{
    struct host *host = host_get(state);
    char output[64];

    for (int i = 0; i < 3; i++) {
        host_put_shell(host_begin_container(host), "echo again");
        assert_int_equal(host_run(host, output, sizeof(output)), 0);
        assert_string_equal(output, "again\n");
        for (int j = 0; j < 3; j++)
            io_close(&host->streams[j]);
    }
}

static void test_unknown_message_and_tag(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[64];

    host_begin(host, (enum message_type)999);
    host_send(host);
    assert_int_equal(host_result(host), ENOSYS);
    writer = host_begin_container(host);
    protocol_put_u64(writer, 9999, 1);
    host_put_shell(writer, "echo fine");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
}

/* SCHED_BATCH is 3, and its class takes a nice value. */
static void test_scheduler_io_priority_and_personality(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    const struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = { .size = 48, .policy = 3, .nice = 7 };
    char output[256];

    protocol_put_bytes(writer, FIELD_SCHEDULER, &attr, sizeof(attr));
    protocol_put_u64(writer, FIELD_IO_PRIORITY, 2 << 13 | 5);
    protocol_put_u64(writer, FIELD_PERSONALITY, 8); /* PER_LINUX32 */
    host_put_shell(writer, "cut -d' ' -f19,41 /proc/self/stat; cat /proc/self/personality;"
                           "busybox ionice; busybox uname -m");
    host_run(host, output, sizeof(output));
    assert_string_equal(output, "7 3\n00000008\nbest-effort: prio 5\ni686\n");
}

static void test_seccomp_flags_are_checked(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    protocol_put_u64(writer, FIELD_SECCOMP_FLAGS, 1 << 3); /* NEW_LISTENER */
    host_put_shell(writer, "true");
    host_send(host);
    assert_int_equal(host_result(host), EINVAL);
    assert_string_equal(host->text, "process: field 53: invalid argument");
}

static void put_time_offset(struct protocol_writer *writer, const char *clock, int64_t seconds)
{
    size_t mark = protocol_open(writer, FIELD_TIME_OFFSET);

    protocol_put_string(writer, FIELD_KEY, clock);
    protocol_put_u64(writer, FIELD_SECONDS, (uint64_t)seconds);
    protocol_put_u64(writer, FIELD_NANOSECONDS, 0);
    protocol_close(writer, mark);
}

/* The first process itself is in the namespace, and the next container is not. */
static void test_time_namespace(void **state)
{
    static const char script[] = "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    char output[256];

    protocol_put_u64(writer, FIELD_NAMESPACES, CLONE_NEWTIME);
    put_time_offset(writer, "boottime", 1000000000);
    put_time_offset(writer, "monotonic", 86400);
    host_put_shell(writer, script);
    host_run(host, output, sizeof(output));
    assert_non_null(strstr(output, "boottime   1000000000"));
    assert_non_null(strstr(output, "monotonic       86400"));
    assert_non_null(strstr(output, "\n100"));
    for (int i = 0; i < 3; i++)
        io_close(&host->streams[i]);
    host_put_shell(host_begin_container(host), script);
    host_run(host, output, sizeof(output));
    assert_non_null(strstr(output, "boottime            0"));
    assert_null(strstr(output, "\n100"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

/*
 * make starts its commands by posix_spawn(3), which leaves glibc's own signals 32 and 33 ignored;
 * only the system call can change that. The guest's init is started by a kernel.
 */
static void reset_internal_signals(void)
{
    const struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        unsigned long mask;
    } standard = { 0 };

    for (int number = 32; number <= 33; number++)
        syscall(SYS_rt_sigaction, number, &standard, NULL, sizeof(standard.mask));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_output_and_exit_code),
        TEST(test_stdout_and_stderr_are_separate),
        TEST(test_user_groups_umask_cwd),
        TEST(test_home_of_unknown_user_is_root_directory),
        TEST(test_capabilities_of_root),
        TEST(test_capabilities_of_user_with_ambient),
        TEST(test_user_without_ambient_has_none),
        TEST(test_limits_and_oom_score),
        TEST(test_it_is_alone_and_first),
        TEST(test_seccomp_with_no_new_privileges),
        TEST(test_seccomp_without_no_new_privileges),
        TEST(test_missing_executable),
        TEST(test_missing_path),
        TEST(test_permission_denied),
        TEST(test_directory_is_no_executable),
        TEST(test_missing_interpreter),
        TEST(test_exec_format_error),
        TEST(test_cwd_that_is_a_file),
        TEST(test_cwd_without_permission),
        TEST(test_signals),
        TEST(test_killed_status_and_no_delay_by_children),
        TEST(test_signal_to_all),
        TEST(test_kill_before_start),
        TEST(test_second_container_with_same_number),
        TEST(test_number_can_be_used_again),
        TEST(test_unknown_message_and_tag),
        TEST(test_scheduler_io_priority_and_personality),
        TEST(test_seccomp_flags_are_checked),
        TEST(test_time_namespace),
    };

    reset_internal_signals();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
