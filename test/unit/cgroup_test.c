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

/* Reads a resources document into limits. */
static int read_limits(struct world *world, const char *text, struct cgroup_limits *limits,
                       struct arena *arena, struct json *document)
{
    *limits = no_limits;
    assert_int_equal(json_parse(text, "resources", document, &world->err), 0);
    return cgroup_limits_read(document, limits, arena, &world->err);
}

static void test_block_io_and_huge_pages(void **state)
{
    static const char text[] =
        "{\"memory\":{\"swappiness\":10},\"blockIO\":{\"weight\":505,"
        "\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":600}]},"
        "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]}";
    static const char *const v2[] = { "io.weight", "io.max", "hugetlb.2MB.max", NULL };
    static const char *const v1[] = { "blkio.weight", "blkio.throttle.read_bps_device",
                                      "hugetlb.2MB.limit_in_bytes", "memory.swappiness", NULL };
    struct world *world = *state;
    struct cgroup_limits limits;
    struct arena arena = { 0 };
    struct json document;

    assert_int_equal(read_limits(world, text, &limits, &arena, &document), 0);
    touch_all(world, v2);
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err), 0);
    expect(world, "io.weight", "5000");
    expect(world, "io.max", "8:0 rbps=600");
    expect(world, "hugetlb.2MB.max", "4194304");
    touch_all(world, v1);
    assert_int_equal(cgroup_write_limits(world->directory, "blkio", false, &limits, &world->err),
                     0);
    expect(world, "blkio.weight", "505");
    expect(world, "blkio.throttle.read_bps_device", "8:0 600");
    expect(world, "memory.swappiness", "");
    assert_int_equal(cgroup_write_limits(world->directory, "memory,hugetlb", false, &limits,
                                         &world->err),
                     0);
    expect(world, "memory.swappiness", "10");
    expect(world, "hugetlb.2MB.limit_in_bytes", "4194304");
    json_free(&document);
    arena_free(&arena);
}

static void test_bad_block_io_is_named(void **state)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        { "{\"blockIO\":{\"weight\":5}}", "blockIO.weight: expected 10 to 1000, found 5" },
        { "{\"blockIO\":{\"throttleWriteIOPSDevice\":[{\"major\":8}]}}",
          "blockIO.throttleWriteIOPSDevice[0]: expected \"major\" and \"minor\"" },
        { "{\"blockIO\":{\"weightDevice\":{}}}", "blockIO.weightDevice: expected an array" },
        { "{\"memory\":{\"swappiness\":101}}", "memory.swappiness" },
        { "{\"hugepageLimits\":[{\"pageSize\":\"../x\"}]}",
          "hugepageLimits[0].pageSize: expected a page size" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cgroup_limits limits;
        struct arena arena = { 0 };
        struct json document;

        assert_true(read_limits(world, rows[i].text, &limits, &arena, &document) < 0);
        if (!strstr(world->err.message, rows[i].said))
            fail_msg("expected \"%s\" in \"%s\"", rows[i].said, world->err.message);
        json_free(&document);
        arena_free(&arena);
    }
}

/* A limit that cannot be kept is refused, a weight that nothing looks at is not. */
static void test_a_throttle_without_its_controller_is_refused(void **state)
{
    struct world *world = *state;
    struct cgroup_io_rule rule = { CGROUP_IO_WRITE_BPS, 8, 0, 100 };
    struct cgroup_limits limits = no_limits;

    limits.io_weight = 100;
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err), 0);
    limits.io_rules = &rule;
    limits.io_rule_count = 1;
    assert_int_equal(cgroup_write_limits(world->directory, "", true, &limits, &world->err),
                     -ENOTSUP);
    assert_non_null(strstr(world->err.message, "blockIO.throttleWriteBpsDevice: the \"io\""));
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
        TEST(test_block_io_and_huge_pages),
        TEST(test_bad_block_io_is_named),
        TEST(test_a_throttle_without_its_controller_is_refused),
        TEST(test_a_group_of_this_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
