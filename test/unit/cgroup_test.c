/* Control groups: limits as files, and a group made, filled and removed on this host. */
#include "oci_world.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/fd.h"

static const struct cgroup_limits no_limits = { .memory_max = SPEC_UNSET,
                                                .memory_swap = SPEC_UNSET,
                                                .memory_low = SPEC_UNSET,
                                                .cpu_shares = SPEC_UNSET,
                                                .cpu_quota = SPEC_UNSET,
                                                .cpu_period = SPEC_UNSET,
                                                .cpu_burst = SPEC_UNSET,
                                                .cpu_idle = SPEC_UNSET };

/* Plain files stand in for the control group's. */
static void expect(const struct world *world, const char *file, const char *content)
{
    char path[160], *text;

    snprintf(path, sizeof(path), "%s/%s", world->directory, file);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
    assert_string_equal(text, content);
    free(text);
}

static void touch_all(const struct world *world, const char *const *files)
{
    for (; *files; files++)
        world_file(world, *files, "", 0644);
}

static void test_limits_of_v2(void **state)
{
    static const char *const files[] = { "memory.max", "memory.swap.max",
                                         "memory.low", "cpu.weight",
                                         "cpu.max",    "cpuset.cpus",
                                         "cpu.idle",   NULL };
    struct world *world = *state;
    struct cgroup_limits limits = no_limits;

    touch_all(world, files);
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err), 0);
    expect(world, "memory.max", "");
    limits.memory_max = 1000;
    limits.memory_swap = 1500;
    limits.cpu_shares = 1024;
    limits.cpu_quota = 50000;
    limits.cpus = "0-1";
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err), 0);
    expect(world, "memory.max", "1000");
    expect(world, "memory.swap.max", "500");
    expect(world, "cpu.weight", "39");
    expect(world, "cpu.max", "50000 100000");
    expect(world, "cpuset.cpus", "0-1");
    touch_all(world, files);
    limits.memory_max = limits.memory_swap = limits.cpu_quota = -1;
    limits.cpu_period = 20000;
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err), 0);
    expect(world, "memory.max", "max");
    expect(world, "memory.swap.max", "max");
    expect(world, "cpu.max", "max 20000");
}

static void test_limits_of_v1(void **state)
{
    static const char *const files[] = {
        "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.shares",
        "cpu.cfs_quota_us",      "cpu.cfs_period_us",           NULL
    };
    struct world *world = *state;
    struct cgroup_limits limits = no_limits;

    touch_all(world, files);
    limits.memory_max = 1000;
    limits.memory_swap = 1500;
    limits.cpu_shares = 512;
    limits.cpu_quota = 50000;
    limits.cpu_period = 100000;
    assert_int_equal(cgroup_write_limits(world->directory, "cpu,cpuacct", false, &limits,
                                         &world->err),
                     0);
    expect(world, "cpu.shares", "512");
    expect(world, "cpu.cfs_quota_us", "50000");
    expect(world, "memory.limit_in_bytes", "");
    assert_int_equal(cgroup_write_limits(world->directory, "memory", false, &limits, &world->err),
                     0);
    expect(world, "memory.limit_in_bytes", "1000");
    expect(world, "memory.memsw.limit_in_bytes", "1500");
}

static void test_a_controller_that_is_not_there_is_named(void **state)
{
    struct world *world = *state;
    struct cgroup_limits limits = no_limits;

    limits.memory_max = 1000;
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err),
                     -ENOTSUP);
    assert_non_null(strstr(world->err.message, "linux.resources.memory.limit: the \"memory\" "
                                               "controller is not available"));
    /* Swap accounting is an option of the kernel. */
    limits = no_limits;
    limits.memory_swap = -1;
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err), 0);
}

static void test_a_group_of_this_host(void **state)
{
    struct world *world = *state;
    struct arena arena = { 0 };
    struct cgroup cgroup;
    struct error err;
    char path[64];
    pid_t pid;
    int ret;

    snprintf(path, sizeof(path), "/vmrt-test-%d", (int)getpid());
    ret = cgroup_create(path, &cgroup, &arena, &err);
    if (ret < 0) {
        print_message("skipped: %s\n", err.message);
        arena_free(&arena);
        skip();
    }
    pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(cgroup_add(&cgroup, pid, &world->err), 0);
    for (size_t i = 0; i < cgroup.count; i++)
        assert_int_equal(access(cgroup.paths[i], F_OK), 0);
    /* It empties while somebody waits for it. */
    kill(pid, SIGKILL);
    assert_int_equal(cgroup_remove(&cgroup, &world->err), 0);
    for (size_t i = 0; i < cgroup.count; i++)
        assert_int_equal(access(cgroup.paths[i], F_OK), -1);
    assert_int_equal(cgroup_remove(&cgroup, &world->err), 0);
    waitpid(pid, NULL, 0);
    arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limits_of_v2),
        TEST(test_limits_of_v1),
        TEST(test_a_controller_that_is_not_there_is_named),
        TEST(test_a_group_of_this_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
