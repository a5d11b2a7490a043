/*
 * SIGKILL at any step of any command: whatever it leaves, `delete --force` cleans up.
 *
 * strace(1) lists the system calls of a command, then has the command killed at one after the
 * other. VMRT_KILL_STEPS=all takes each of them, otherwise it is a sample.
 */
#include "cli_world.h"

#define STEPS_MAX    4096
#define STEPS_SAMPLE 25

struct step {
    char name[32];
    unsigned int when; /* counted for each name */
};

struct scenario {
    const char *before; /* shell: what there is when the command begins */
    const char *command;
};

/* The system calls of one undisturbed run. */
static size_t list_steps(struct cli *cli, const struct scenario *scenario, struct step *steps)
{
    char *text, *save = NULL;
    char path[160];
    size_t count = 0;

    CLI_OK(cli, "%s", scenario->before);
    CLI_OK(cli, "strace -qq -o calls %s", scenario->command);
    snprintf(path, sizeof(path), "%s/calls", cli->world.directory);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 16u << 20, &text, NULL), 0);
    for (char *line = strtok_r(text, "\n", &save); line && count < STEPS_MAX;
         line = strtok_r(NULL, "\n", &save)) {
        struct step *step = &steps[count];
        size_t length = strcspn(line, "(");

        if (line[length] != '(' || length >= sizeof(step->name) || line[0] < 'a' || line[0] > 'z')
            continue;
        snprintf(step->name, sizeof(step->name), "%.*s", (int)length, line);
        step->when = 1;
        for (size_t i = 0; i < count; i++)
            step->when += strcmp(steps[i].name, step->name) == 0;
        count++;
    }
    free(text);
    CLI_OK(cli, "$V delete --force c");
    return count;
}

static void reap_all(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void expect_nothing_left(struct cli *cli, const char *where)
{
    char condition[1024];

    reap_all();
    if (cli_shell(cli,
                  "[ ! -e $ROOT/c ] && ! grep -q %s /proc/self/mountinfo && "
                  "[ -z \"$(find /sys/fs/cgroup -ignore_readdir_race -type d -path '*%s')\" ]",
                  cli->world.directory, cli->cgroup) != 0)
        fail_msg("left behind after %s: %s", where, cli->out);
    /* A monitor dies with its runtime, which may take a moment. */
    snprintf(condition, sizeof(condition), "! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '%s'",
             cli->world.directory);
    cli_wait_for(cli, condition);
    reap_all();
}

static void kill_at_every_step(struct cli *cli, const struct scenario *scenario)
{
    const char *wish = getenv("VMRT_KILL_STEPS");
    struct step *steps = calloc(STEPS_MAX, sizeof(*steps));
    size_t count, stride, killed = 0;
    char where[256];

    count = list_steps(cli, scenario, steps);
    stride = wish && strcmp(wish, "all") == 0 ? 1 : 1 + count / STEPS_SAMPLE;
    assert_true(count > 10);
    /* The first call is the execve(2) of the command itself. */
    for (size_t i = 1; i < count; i += stride) {
        snprintf(where, sizeof(where), "%.100s killed at call %zu, %s", scenario->command, i,
                 steps[i].name);
        CLI_OK(cli, "%s", scenario->before);
        (void)cli_shell(cli, "strace -qq -o /dev/null -e inject=%s:signal=KILL:when=%u %s",
                        steps[i].name, steps[i].when, scenario->command);
        killed += cli->status == 137;
        reap_all();
        if (cli_shell(cli, "timeout 30 $V delete --force c") != 0)
            fail_msg("delete --force after %s: %s", where, cli->out);
        expect_nothing_left(cli, where);
    }
    /* Addresses and sizes differ from run to run, and with them a few calls. */
    print_message("%s: killed at %zu of %zu calls\n", scenario->command, killed, count);
    assert_true(killed >= count / stride / 2);
    free(steps);
}

static void run_scenario(struct cli *cli, const char *before, const char *command)
{
    const struct scenario scenario = { before, command };

    cli_require_host();
    /* The leak detector traces, and cannot under strace. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    if (access("/usr/bin/strace", X_OK) < 0) {
        print_message("skipped: needs strace\n");
        skip();
    }
    cli_config(cli, "sleep 1000", NULL,
               "\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/true\"}],"
               "\"poststart\":[{\"path\":\"/bin/true\"}],\"poststop\":[{\"path\":\"/bin/true\"}]}");
    kill_at_every_step(cli, &scenario);
}

#define QUIET   " </dev/null >/dev/null 2>&1"
#define CREATED "$V create c" QUIET
#define RUNNING "$V run --detach c" QUIET

static void test_create(void **state)
{
    run_scenario(*state, "true", "$V create --pid-file pid c" QUIET);
}

static void test_run(void **state)
{
    run_scenario(*state, "true", "$V run --detach c" QUIET);
}

static void test_start(void **state)
{
    run_scenario(*state, CREATED, "$V start c" QUIET);
}

static void test_exec(void **state)
{
    run_scenario(*state, RUNNING, "$V exec c sh -c :" QUIET);
}

static void test_exec_detached(void **state)
{
    run_scenario(*state, RUNNING, "$V exec --detach --pid-file pid c sleep 1000" QUIET);
}

static void test_pause_and_update(void **state)
{
    run_scenario(*state, RUNNING, "$V pause c" QUIET);
    run_scenario(*state, RUNNING, "$V update --memory 100m --cpu-share 512 c" QUIET);
}

static void test_kill(void **state)
{
    run_scenario(*state, RUNNING, "$V kill c KILL" QUIET);
}

static void test_delete(void **state)
{
    run_scenario(*state, RUNNING, "$V delete --force c" QUIET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLI_TEST(test_create), CLI_TEST(test_run),           CLI_TEST(test_start),
        CLI_TEST(test_exec),   CLI_TEST(test_exec_detached), CLI_TEST(test_pause_and_update),
        CLI_TEST(test_kill),   CLI_TEST(test_delete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
