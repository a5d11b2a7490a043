/* --systemd-cgroup: what systemd is asked, and what becomes of its answers. */
#include "cli_world.h"

#include "fake_systemd.h"

struct bus {
    struct cli *cli;
    pid_t pid;
};

/* From now on vmrt finds a systemd. */
static struct bus start_systemd(struct cli *cli, struct fake_systemd *fake)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct bus bus = { .cli = cli };
    char variable[160], *log = malloc(160);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(log, 160, "%s/log", cli->world.directory);
    fake->log = log;
    snprintf(address.sun_path, sizeof(address.sun_path), "%.64s/bus", cli->world.directory);
    unlink(address.sun_path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 8), 0);
    snprintf(variable, sizeof(variable), "unix:path=%s", address.sun_path);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", variable, 1);
    bus.pid = fork();
    if (bus.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fake_serve(fake, listener);
    }
    close(listener);
    free(log);
    return bus;
}

static void stop_systemd(const struct bus *bus)
{
    kill(bus->pid, SIGKILL);
    waitpid(bus->pid, NULL, 0);
    unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
}

static void write_config(struct cli *cli, const char *path, const char *resources)
{
    char section[512];

    snprintf(section, sizeof(section), "\"cgroupsPath\":\"%s\",\"resources\":{%s}", path,
             resources);
    world_config(&cli->world, "\"args\":[\"sh\",\"-c\",\"sleep 1000\"]", section, NULL);
    world_file(&cli->world, "config.json", cli->world.text, 0644);
}

static void test_a_scope_is_started_changed_and_stopped(void **state)
{
    struct cli *cli = *state;
    char group[160];
    struct fake_systemd fake = { .result = "done", .control_group = group };
    struct bus bus;

    cli_require_host();
    snprintf(group, sizeof(group), "/vmrt.slice/vmrt-cli.slice/engine-%s.scope", "c1");
    bus = start_systemd(cli, &fake);
    write_config(cli, "vmrt-cli.slice:engine:c1",
                 "\"memory\":{\"limit\":268435456},\"cpu\":{\"quota\":25500,\"period\":100000}");
    CLI_OK(cli, "$V --systemd-cgroup run -d --pid-file pid c >/dev/null </dev/null 2>out || "
                "{ cat out; false; }");
    CLI_OK(cli, "cat log; rm log");
    CLI_SAYS(cli, "StartTransientUnit engine-c1.scope replace\n");
    CLI_SAYS(cli, " Description=vmrt container c\n");
    CLI_SAYS(cli, " Slice=vmrt-cli.slice\n");
    CLI_SAYS(cli, " Delegate=true\n");
    CLI_SAYS(cli, " PIDs=[1]\n");
    CLI_SAYS(cli, " MemoryAccounting=true\n");
    CLI_SAYS(cli, " DefaultDependencies=false\n");
    CLI_SAYS(cli, "=473956352\n");
    CLI_SAYS(cli, " CPUQuotaPeriodUSec=100000\n");
    /* A quarter of a CPU and a half percent: rounded up to whole percents. */
    CLI_SAYS(cli, " CPUQuotaPerSecUSec=260000\n");
    CLI_SAYS(cli, "Get /org/freedesktop/systemd1/unit/engine_2dc1_2escope\n");
    CLI_OK(cli, "find /sys/fs/cgroup -ignore_readdir_race -type d -path '*%s' | grep -q .", group);
    CLI_OK(cli, "$V --systemd-cgroup update --cpu-share 2048 c && cat log; rm log");
    CLI_SAYS(cli, "SetUnitProperties engine-c1.scope 1\n");
    CLI_OK(cli, "$V delete --force c && cat log; rm log");
    CLI_SAYS(cli, "StopUnit engine-c1.scope replace\nResetFailedUnit engine-c1.scope\n");
    CLI_OK(cli,
           "[ -z \"$(find /sys/fs/cgroup -ignore_readdir_race -type d -path '*%s')\" ] && [ ! -e "
           "$ROOT/c ]",
           group);
    CLI_OK(cli, "find /sys/fs/cgroup -ignore_readdir_race -depth -type d -path '*/vmrt.slice*' "
                "-exec rmdir {} +");
    stop_systemd(&bus);
}

static void test_a_unit_that_was_left_behind_is_reset(void **state)
{
    struct cli *cli = *state;
    struct fake_systemd fake = { .result = "done",
                                 .control_group = "/system.slice/engine-c2.scope",
                                 .exists = true };
    struct bus bus;

    cli_require_host();
    bus = start_systemd(cli, &fake);
    write_config(cli, ":engine:c2", "\"cpu\":{\"cpus\":\"0\"}");
    CLI_OK(cli, "$V --cgroup-manager systemd create c </dev/null >/dev/null 2>out || "
                "{ cat out; false; }");
    CLI_OK(cli, "cat log");
    CLI_SAYS(cli, "StartTransientUnit engine-c2.scope replace\nResetFailedUnit engine-c2.scope\n"
                  "StartTransientUnit engine-c2.scope replace\n");
    CLI_SAYS(cli, " Slice=system.slice\n");
    stop_systemd(&bus);
    /* A unit that systemd has forgotten is no obstacle. */
    fake.unknown = true;
    bus = start_systemd(cli, &fake);
    CLI_OK(cli, "$V delete --force c");
    stop_systemd(&bus);
}

/* The user's own manager, on the session's bus: also for root in a user namespace. */
static void test_rootless_asks_the_users_own_systemd(void **state)
{
    struct cli *cli = *state;
    struct fake_systemd fake = { .result = "done",
                                 .control_group = "/vmrt.slice/vmrt-u.slice/vmrt-c.scope" };
    struct bus bus;

    cli_require_host();
    bus = start_systemd(cli, &fake);
    setenv("DBUS_SESSION_BUS_ADDRESS", getenv("DBUS_SYSTEM_BUS_ADDRESS"), 1);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nosuch/bus", 1);
    write_config(cli, "", "");
    CLI_OK(cli, "$V --rootless=true --systemd-cgroup create c </dev/null >/dev/null 2>out || "
                "{ cat out; false; }");
    CLI_OK(cli, "cat log");
    CLI_SAYS(cli, "StartTransientUnit vmrt-c.scope replace\n");
    CLI_SAYS(cli, " Slice=user.slice\n");
    CLI_OK(cli, "$V delete --force c && cat log");
    CLI_SAYS(cli, "StopUnit vmrt-c.scope replace\n");
    unsetenv("DBUS_SESSION_BUS_ADDRESS");
    stop_systemd(&bus);
    CLI_OK(cli, "find /sys/fs/cgroup -ignore_readdir_race -depth -type d "
                "-path '*/vmrt.slice*' -exec rmdir {} +");
}

static void test_failures_of_systemd_are_told(void **state)
{
    struct cli *cli = *state;
    struct fake_systemd fake = { .result = "failed", .control_group = "/x" };
    struct bus bus;

    cli_require_host();
    write_config(cli, ":engine:c3", "");
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nosuch/bus", 1);
    CLI_FAILS(cli, 1,
              "systemd cgroup flag passed, but systemd support for managing cgroups is not "
              "available",
              "$V --systemd-cgroup create c");
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
    bus = start_systemd(cli, &fake);
    CLI_FAILS(cli, 1, "cannot start systemd unit engine-c3.scope: got \"failed\"",
              "$V --systemd-cgroup create c");
    stop_systemd(&bus);
    write_config(cli, "a/b:engine:c3", "");
    CLI_FAILS(cli, 1, "expected \"slice:prefix:name\" for systemd cgroups, found \"a/b:engine:c3\"",
              "$V --systemd-cgroup create c");
    write_config(cli, "a--b.slice:engine:c3", "");
    CLI_FAILS(cli, 1, "\"a--b.slice\" is not the name of a slice", "$V --systemd-cgroup create c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLI_TEST(test_a_scope_is_started_changed_and_stopped),
        CLI_TEST(test_a_unit_that_was_left_behind_is_reset),
        CLI_TEST(test_rootless_asks_the_users_own_systemd),
        CLI_TEST(test_failures_of_systemd_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
