/* run, pause, resume, ps, events, update, kill and delete as engines call them. */
#include "cli_world.h"

static void test_run_in_the_foreground(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "cat; echo err >&2; exit 7", NULL, NULL);
    CLI_FAILS(cli, 7, "in\nerr\n", "echo in | $V run c");
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
    assert_int_equal(cli_shell(cli, "$V run --keep --pid-file pid c </dev/null"), 7);
    CLI_OK(cli, "[ -s pid ] && $V state c && $V delete c");
    CLI_FAILS(cli, 1, "cannot use console socket if vmrt will not detach or allocate tty",
              "$V run --console-socket s c");
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
}

static void test_further_descriptors(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "read a <&3; read b <&4; echo [$a] [$b] $LISTEN_FDS-$LISTEN_PID", NULL, NULL);
    CLI_OK(cli, "echo three >3; echo four >4");
    CLI_FAILS(cli, 0, "[three] [four] -\n", "$V run --preserve-fds 2 c 3<3 4<4 </dev/null");
    CLI_FAILS(cli, 0, "[three] [four] 1-1\n",
              "LISTEN_FDS=1 sh -c 'export LISTEN_PID=$$; exec $V run --preserve-fds 1 c' 3<3 4<4 "
              "</dev/null");
    /* Those of somebody else. */
    CLI_FAILS(cli, 0, "[three] [four] -\n",
              "LISTEN_FDS=1 LISTEN_PID=1 $V run --preserve-fds 2 c 3<3 4<4 </dev/null");
}

static void test_further_descriptors_that_are_refused(void **state)
{
    static const char *const cases[][3] = {
        { "1", "", "--preserve-fds 1: descriptor 3 is not open" },
        { "2", "3</dev/null", "--preserve-fds 2: descriptor 4 is not open" },
        { "1", "3<>f", "descriptor 3 is a file open for reading and writing, which cannot be" },
        { "1", "3<>p", "descriptor 3 is a pipe open for reading and writing, which cannot be" },
        { "1", "3<.", "descriptor 3 is a directory, which cannot be passed into a virtual" },
        { "1", "3</dev/zero", "descriptor 3 is a device, which" },
        { "1", "3</dev/ptmx", "descriptor 3 is a terminal, which" },
        { "-1", "", "--preserve-fds: expected how many descriptors, found \"-1\"" },
        { "1x", "", "--preserve-fds: expected how many descriptors, found \"1x\"" },
    };
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "true", NULL, NULL);
    CLI_OK(cli, "echo f >f; mkfifo p");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CLI_FAILS(cli, 1, cases[i][2], "$V create --preserve-fds %s c %s", cases[i][0],
                  cases[i][1]);
    CLI_FAILS(cli, 1, "--preserve-fds 1: descriptor 3 is not open",
              "$VMRT --root $ROOT --log log create --preserve-fds 1 c; s=$?; cat log; exit $s");
    CLI_FAILS(cli, 1, "LISTEN_FDS=1: descriptor 3 is not open",
              "LISTEN_FDS=1 sh -c 'export LISTEN_PID=$$; exec $V run c'");
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
}

static void test_run_passes_signals_on(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "trap 'exit 5' USR1; echo r >ready; while :; do sleep 0.02; done", NULL, NULL);
    CLI_FAILS(cli, 5, "",
              "$V run c </dev/null & p=$!; while [ ! -s rootfs/ready ]; do sleep 0.02; done; "
              "kill -USR1 $p; wait $p");
    /* Ctrl-C at the terminal is one of them; a workload that does not mind is not ended by it. */
    cli_config(cli, "trap 'exit 6' INT; echo r >ready2; while :; do sleep 0.02; done", NULL, NULL);
    CLI_FAILS(cli, 6, "",
              "$V run c </dev/null & p=$!; while [ ! -s rootfs/ready2 ]; do sleep 0.02; done; "
              "kill -INT $p; wait $p");
}

static void test_hooks_of_run(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "true", NULL,
               "\"hooks\":{\"poststop\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\","
               "\"cat >poststop\"]}]}");
    CLI_OK(cli, "$V run c </dev/null; cat poststop");
    CLI_SAYS(cli, "\"status\":\"stopped\"");
}

static void test_poststop_hooks_follow_a_hook_that_failed(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "true", NULL,
               "\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/false\"}],"
               "\"poststop\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\","
               "\"cat >poststop\"]}]}");
    CLI_FAILS(cli, 1, "error running createRuntime hook #0", "$V create c");
    CLI_OK(cli, "[ ! -e $ROOT/c ] && cat poststop && rm poststop");
    CLI_SAYS(cli, "\"status\":\"stopped\"");
    /* An id that is taken is somebody else's container. */
    CLI_OK(cli, "mkdir -p $ROOT/c && ! $V create c && [ ! -e poststop ] && rmdir $ROOT/c");
}

static void test_pause_and_resume(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    CLI_FAILS(cli, 1, "container does not exist", "$V pause nosuch");
    cli_start(cli, "sleep 1000");
    CLI_FAILS(cli, 1, "container not paused", "$V resume c");
    CLI_OK(cli, "$V pause c");
    CLI_OK(cli, "$V state c");
    CLI_SAYS(cli, "\"status\": \"paused\"");
    CLI_OK(cli, "$V list");
    CLI_SAYS(cli, "paused");
    CLI_FAILS(cli, 1, "container not running", "$V pause c");
    CLI_FAILS(cli, 1, "cannot start a container in the paused state", "$V start c");
    CLI_FAILS(cli, 1, "cannot delete container c that is not stopped: paused", "$V delete c");
    CLI_OK(cli, "$V resume c && $V state c");
    CLI_SAYS(cli, "\"status\": \"running\"");
    /* KILL does not wait for the machine to go on. */
    CLI_OK(cli, "$V pause c && $V kill c KILL");
    assert_int_equal(cli_reap(cli_read_pid(cli, "pid")), 137);
    CLI_FAILS(cli, 1, "container not running", "$V pause c");
    CLI_FAILS(cli, 1, "container not paused", "$V resume c");
    CLI_OK(cli, "$V delete c");
}

static void test_a_paused_container_is_deleted_by_force(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "$V pause c && $V delete --force c && [ ! -e $ROOT/c ]");
}

static void test_kill_on_a_stopped_container(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "true");
    cli_reap(cli_read_pid(cli, "pid"));
    CLI_FAILS(cli, 1, "container not running", "$V kill c");
    CLI_OK(cli, "$V kill --all c KILL");
    CLI_FAILS(cli, 1, "unknown signal \"NOSUCH\"", "$V kill c NOSUCH");
    CLI_FAILS(cli, 1, "container does not exist", "$V kill --all nosuch KILL");
}

static void test_ps(void **state)
{
    struct cli *cli = *state;
    char pid[16];

    cli_require_host();
    CLI_FAILS(cli, 1, "container does not exist", "$V ps nosuch");
    cli_start(cli, "sleep 1000");
    snprintf(pid, sizeof(pid), "%d", (int)cli_read_pid(cli, "pid"));
    CLI_OK(cli, "$V ps c");
    CLI_SAYS(cli, "UID");
    CLI_SAYS(cli, pid);
    CLI_SAYS(cli, "vmrt-vmm");
    if (strstr(cli->out, "kthreadd"))
        fail_msg("others are listed: %s", cli->out);
    CLI_OK(cli, "$V ps --format json c");
    assert_int_equal(cli->out[0], '[');
    CLI_SAYS(cli, pid);
    /* What follows the id is for ps(1). */
    CLI_OK(cli, "$V ps c -o pid,comm -A");
    CLI_SAYS(cli, "PID COMMAND");
    CLI_FAILS(cli, 1, "couldn't find PID field in ps output", "$V ps c -o comm -A");
    CLI_FAILS(cli, 1, "invalid format option", "$V ps -f yaml c");
    CLI_FAILS(cli, 1, "exit status", "$V ps c --no-such-option");
    CLI_OK(cli, "$V kill c KILL");
    cli_reap(cli_read_pid(cli, "pid"));
    CLI_OK(cli, "$V ps -f json c");
    assert_string_equal(cli->out, "[]\n");
}

/* A number somewhere in the last output, which is JSON. */
static int64_t get_number(struct cli *cli, const char *const *path)
{
    struct json root, value;
    struct error err;
    int64_t number = -1;

    assert_int_equal(json_parse(cli->out, "events", &root, &err), 0);
    value = root;
    for (; *path; path++)
        value = json_member(&value, *path);
    assert_int_equal(json_int(&value, &number, &err), 0);
    json_free(&root);
    return number;
}

static void test_events(void **state)
{
    static const char *const pids[] = { "data", "pids", "current", NULL };
    static const char *const usage[] = { "data", "guest", "memoryUsage", NULL };
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "$V events --stats c");
    CLI_SAYS(cli, "{\"type\":\"stats\",\"id\":\"c\",\"data\":{\"cpu\":{\"usage\":{");
    CLI_SAYS(cli, "\"intel_rdt\":{},\"network_interfaces\":[]");
    assert_int_equal(get_number(cli, pids), 7);
    assert_int_equal(get_number(cli, usage), 40 << 20);
    /* A paused guest cannot be asked: what the host counts is still there. */
    CLI_OK(cli, "$V pause c && $V events --stats c && $V resume c");
    CLI_SAYS(cli, "\"pids\":{}");
    CLI_FAILS(cli, 1, "duration interval must be greater than 0", "$V events --interval 0s c");
    CLI_FAILS(cli, 1, "--interval: expected a duration", "$V events --interval 5 c");
    CLI_FAILS(cli, 1, "--interval: expected a duration", "$V events --interval 5x c");
    /* It goes on until the container ends, and ends at once then. */
    CLI_OK(cli, "$V events --interval 20ms c >ev & p=$!; until [ \"$(wc -l <ev)\" -ge 3 ]; do "
                "sleep 0.02; done; $V kill c KILL; wait $p");
    cli_reap(cli_read_pid(cli, "pid"));
    CLI_FAILS(cli, 1, "container with id c is not running", "$V events --stats c");
}

/* Content of a file of the container's control group; "" where the host has none such. */
static const char *cgroup_file(struct cli *cli, const char *v1, const char *v2)
{
    (void)cli_shell(cli,
                    "for f in /sys/fs/cgroup/*/%s/%s /sys/fs/cgroup%s/%s; do [ -e $f ] && cat $f "
                    "&& exit; done; true",
                    cli->cgroup + 1, v1, cli->cgroup, v2);
    cli->out[strcspn(cli->out, "\n")] = '\0';
    return cli->out;
}

static void test_update(void **state)
{
    static const char *const limit[] = { "data", "pids", "limit", NULL };
    static const char *const peak[] = { "data", "guest", "memoryPeak", NULL };
    struct cli *cli = *state;
    char before[64];

    cli_require_host();
    CLI_FAILS(cli, 1, "container does not exist", "$V update --memory 1g nosuch");
    cli_config(cli, "sleep 1000", NULL, NULL);
    CLI_OK(cli, "sed -i 's/\"cgroupsPath\"/\"resources\":{\"memory\":{\"limit\":268435456}},&/' "
                "config.json && $V run -d --pid-file pid c >/dev/null 2>&1 </dev/null");
    snprintf(before, sizeof(before), "%.60s",
             cgroup_file(cli, "memory.limit_in_bytes", "memory.max"));
    /* 256 MiB, 192 MiB and a 64th of the first. */
    if (before[0])
        assert_string_equal(before, "473956352");

    /* Less than the machine has: the guest keeps to it, the host must leave the machine its RAM. */
    CLI_OK(cli, "$V update --memory 128m --pids-limit 50 c && $V events --stats c");
    assert_int_equal(get_number(cli, limit), 50);
    assert_int_equal(get_number(cli, peak), 128 << 20);
    assert_string_equal(cgroup_file(cli, "memory.limit_in_bytes", "memory.max"), before);
    /* More: the host's alone. */
    CLI_OK(cli, "$V update --memory 512m c");
    CLI_SAYS(cli, "more than the machine's 256 MiB, which does not grow yet");
    if (before[0])
        assert_string_equal(cgroup_file(cli, "memory.limit_in_bytes", "memory.max"), "746586112");
    CLI_OK(cli, "$V events --stats c");
    assert_int_equal(get_number(cli, peak), 0);
    CLI_OK(cli, "echo '{\"pids\":{\"limit\":-1},\"cpu\":{\"shares\":2048}}' | "
                "$V update --resources=- c && $V events --stats c");
    CLI_SAYS(cli, "\"pids\":{\"current\":7}");
    if (cgroup_file(cli, "cpu.shares", "cpu.weight")[0] && strcmp(cli->out, "79") != 0)
        assert_string_equal(cli->out, "2048");
    CLI_OK(cli, "echo '{\"memory\":{\"limit\":134217728,\"checkBeforeUpdate\":true}}' >r.json && "
                "$V update -r r.json c");
    CLI_FAILS(cli, 1, "rejecting memory limit 1048576 < usage 41943040",
              "echo '{\"memory\":{\"limit\":1048576,\"checkBeforeUpdate\":true}}' | "
              "$V update -r - c");
    CLI_FAILS(cli, 1, "invalid value for memory: \"lots\"", "$V update --memory lots c");
    CLI_FAILS(cli, 1, "invalid value for cpu-share: \"-5\"", "$V update --cpu-share=-5 c");
    CLI_FAILS(cli, 1, "memory+swap limit should be >= memory limit",
              "$V update --memory 256m --memory-swap 128m c");
    CLI_FAILS(cli, 1, "realtime CPU time is not supported", "$V update --cpu-rt-period 1000 c");
    CLI_FAILS(cli, 1, "l3 cache schema is not enabled", "$V update --l3-cache-schema x c");
    CLI_FAILS(cli, 1, "open /nosuch: no such file or directory", "$V update -r /nosuch c");
    CLI_FAILS(cli, 1, "weight: expected 10 to 1000, found 5", "$V update --blkio-weight 5 c");
    CLI_FAILS(cli, 1, "cpu: expected an object, found a number",
              "echo '{\"cpu\":3}' | $V update -r - c");
    CLI_OK(cli, "$V kill c KILL");
    cli_reap(cli_read_pid(cli, "pid"));
    CLI_FAILS(cli, 1, "container not running", "$V update --memory 1g c");
}

static void test_a_control_group_that_is_in_use_is_refused(void **state)
{
    struct cli *cli = *state;
    const char *name = cli->cgroup;

    cli_require_host();
    cli_config(cli, "true", NULL, NULL);
    CLI_FAILS(cli, 1, "container's cgroup is not empty: 1 process(es) found",
              "d=/sys/fs/cgroup; [ -e $d/cgroup.procs ] || d=$d/freezer; mkdir -p $d%s; "
              "sleep 1000 & p=$!; echo $p >$d%s/cgroup.procs; "
              "timeout 20 $V create c; s=$?; kill -0 $p || s=9; kill $p; wait $p; "
              "rmdir $d%s; exit $s",
              name, name, name);
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
}

static void test_a_frozen_or_removed_control_group_does_not_hinder_delete(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli,
           "for f in /sys/fs/cgroup/freezer%s/freezer.state; do [ ! -e $f ] || echo FROZEN >$f; "
           "done; f=/sys/fs/cgroup%s/cgroup.freeze; [ ! -e $f ] || echo 1 >$f; "
           "timeout 20 $V delete --force c",
           cli->cgroup, cli->cgroup);
    cli_start(cli, "true");
    cli_reap(cli_read_pid(cli, "pid"));
    CLI_OK(cli,
           "find /sys/fs/cgroup -ignore_readdir_race -depth -type d -path '*%s' -exec rmdir {} +; "
           "$V delete c",
           cli->cgroup);
}

static void test_the_notify_socket_is_checked(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "true", NULL, NULL);
    CLI_FAILS(cli, 1, "NOTIFY_SOCKET: expected an absolute path or @name, found \"x\"",
              "NOTIFY_SOCKET=x $V run c");
    CLI_FAILS(cli, 1, "NOTIFY_SOCKET /nosuch: No such file", "NOTIFY_SOCKET=/nosuch $V run c");
    CLI_FAILS(cli, 1, "NOTIFY_SOCKET", "NOTIFY_SOCKET=$PWD/config.json $V run c");
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
}

static void test_checkpoints_are_refused_as_engines_probe(void **state)
{
    struct cli *cli = *state;

    CLI_FAILS(cli, 1, "checkpoint is not supported", "$V checkpoint --help");
    CLI_FAILS(cli, 1, "restore is not supported", "$V restore --lsm-mount-context");
    CLI_OK(cli, "$V --criu /x --rootless=auto --rootless true list -q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLI_TEST(test_run_in_the_foreground),
        CLI_TEST(test_further_descriptors),
        CLI_TEST(test_further_descriptors_that_are_refused),
        CLI_TEST(test_run_passes_signals_on),
        CLI_TEST(test_hooks_of_run),
        CLI_TEST(test_poststop_hooks_follow_a_hook_that_failed),
        CLI_TEST(test_pause_and_resume),
        CLI_TEST(test_a_paused_container_is_deleted_by_force),
        CLI_TEST(test_kill_on_a_stopped_container),
        CLI_TEST(test_ps),
        CLI_TEST(test_events),
        CLI_TEST(test_update),
        CLI_TEST(test_a_control_group_that_is_in_use_is_refused),
        CLI_TEST(test_a_frozen_or_removed_control_group_does_not_hinder_delete),
        CLI_TEST(test_the_notify_socket_is_checked),
        CLI_TEST(test_checkpoints_are_refused_as_engines_probe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
