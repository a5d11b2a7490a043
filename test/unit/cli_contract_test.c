/* What callers rely on besides results: texts, the log's form, and what a caller leaves us with. */
#include "cli_world.h"

static void test_failures_read_as_those_of_runc(void **state)
{
    static const struct {
        const char *command, *message;
    } cases[] = {
        { "create -b /nosuch c", "vmrt create failed: bundle /nosuch: No such file or directory" },
        { "run -b /nosuch c", "vmrt run failed: bundle /nosuch: No such file or directory" },
        { "exec c true", "exec failed: container does not exist" },
        { "start c", "container does not exist" },
        { "kill c NOSUCH", "container does not exist" },
    };
    struct cli *cli = *state;
    char line[256];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)cli_shell(cli, "$V --log log --log-format json %s", cases[i].command);
        snprintf(line, sizeof(line), "%s\n", cases[i].message);
        assert_string_equal(cli->out, line);
        /* podman reads the file as one object. */
        CLI_OK(cli, "cat log && [ $(wc -l <log) = 1 ] && rm log");
        snprintf(line, sizeof(line), "{\"level\":\"error\",\"msg\":\"%s\",\"time\":\"",
                 cases[i].message);
        assert_memory_equal(cli->out, line, strlen(line));
        (void)cli_shell(cli, "$V --log-format json %s", cases[i].command);
        assert_memory_equal(cli->out, line, strlen(line));
    }
}

static void test_the_log_is_written_though_nobody_reads_stderr(void **state)
{
    struct cli *cli = *state;

    CLI_OK(cli, "mkfifo pipe && exec 8<>pipe 9>pipe 8<&- && ! $V --log log state nosuch 2>&9 && "
                "grep -q 'does not exist' log");
}

static void test_kill_takes_any_number(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "sleep 1000", NULL, NULL);
    CLI_OK(cli, "$V create --pid-file pid c >output 2>&1 </dev/null && $V kill c 0");
    CLI_FAILS(cli, 1, "unable to signal init: invalid argument", "$V kill c 65");
    CLI_FAILS(cli, 1, "unable to signal init: invalid argument", "$V kill c 99999");
    CLI_FAILS(cli, 1, "unknown signal \"9x\"", "$V kill c 9x");
    CLI_FAILS(cli, 1, "unknown signal \"99999999999\"", "$V kill c 99999999999");
    CLI_OK(cli, "$V state c && $V kill c 9");
    assert_int_equal(cli_reap(cli_read_pid(cli, "pid")), 137);
    CLI_FAILS(cli, 1, "container not running", "$V kill c 0");
}

static void test_a_half_made_container_does_not_exist(void **state)
{
    struct cli *cli = *state;

    CLI_OK(cli, "mkdir -p $ROOT/half");
    CLI_FAILS(cli, 1, "container does not exist", "$V state half");
    CLI_FAILS(cli, 1, "container does not exist", "$V kill half KILL");
    CLI_FAILS(cli, 255, "container does not exist", "$V exec half true");
    /* It may be one that is being made. */
    CLI_FAILS(cli, 1, "container does not exist", "$V delete half");
    CLI_OK(cli, "[ -d $ROOT/half ] && $V delete --force half && [ ! -e $ROOT/half ]");
}

static void test_children_are_waited_for_where_sigchld_is_ignored(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    /* A shell would not let it be ignored. */
    CLI_OK(cli, "echo '$SIG{CHLD} = \"IGNORE\"; exec @ARGV' >ignore");
    cli_config(cli, "exit 7", NULL, NULL);
    assert_int_equal(cli_shell(cli, "timeout 60 perl ignore $V run c </dev/null"), 7);
    cli_config(cli, "true", NULL, "\"hooks\":{\"prestart\":[{\"path\":\"/bin/false\"}]}");
    CLI_FAILS(cli, 1, "error running prestart hook #0",
              "timeout 60 perl ignore $V create c </dev/null");
}

static void test_a_signal_that_the_caller_ignores_is_passed_on(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done", NULL, NULL);
    assert_int_equal(cli_shell(cli, "trap '' INT; mkfifo out; $V run c >out 2>&1 </dev/null & "
                                    "exec 7<out; read line <&7; kill -INT $!; wait $!"),
                     9);
}

static void test_nothing_that_the_caller_left_open_is_inherited(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "sleep 1000", NULL,
               "\"hooks\":{\"prestart\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\","
               "\"ls -l /proc/self/fd >hook\"]}]}");
    CLI_OK(cli, "echo x >leaked && exec 7<leaked 9<leaked && "
                "$V run -d --pid-file pid c >output 2>&1 </dev/null && "
                "$V exec -d --pid-file exec c sleep 1000 >output 2>&1 </dev/null");
    CLI_OK(cli, "cat hook && [ -s hook ] && ! grep leaked hook");
    CLI_OK(cli, "for p in $(cat pid) $(cat exec); do ls -l /proc/$p/fd; done && "
                "! ls -l /proc/$(cat pid)/fd /proc/$(cat exec)/fd | grep leaked");
    /* But it may be meant for us. */
    CLI_OK(cli, "echo '{\"cwd\":\"/\",\"args\":[\"echo\",\"hi\"]}' >p && exec 7<p && "
                "$V exec --process /dev/fd/7 c");
    assert_string_equal(cli->out, "hi\n");
}

static void test_an_odd_caller(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "umask; sleep 1000", NULL, NULL);
    /* Nothing in the environment, a mask for everything, few descriptors, nowhere to be. */
    CLI_OK(cli, "B=$PWD; mkdir gone; cd gone; rmdir ../gone; umask 0777; ulimit -n 100; "
                "env -i $V create -b $B --pid-file $B/pid c >$B/output 2>&1 </dev/null && "
                "env -i $V start c && env -i $V state c >/dev/null && env -i $V list >/dev/null");
    CLI_OK(cli, "[ $(ps -o sid= -p $(cat pid)) = $(cat pid) ]");
    cli_wait_for(cli, "grep -q 0022 output");
    /* The bundle need not outlive the container's start. */
    CLI_OK(cli, "rm config.json && env -i $V delete --force c && [ ! -e $ROOT/c ]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLI_TEST(test_failures_read_as_those_of_runc),
        CLI_TEST(test_the_log_is_written_though_nobody_reads_stderr),
        CLI_TEST(test_kill_takes_any_number),
        CLI_TEST(test_a_half_made_container_does_not_exist),
        CLI_TEST(test_children_are_waited_for_where_sigchld_is_ignored),
        CLI_TEST(test_a_signal_that_the_caller_ignores_is_passed_on),
        CLI_TEST(test_nothing_that_the_caller_left_open_is_inherited),
        CLI_TEST(test_an_odd_caller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
