/* The files of a cgroup, played by plain ones; what a container uses; when a flush is due. */
#include "init_host.h"

#include "init/flush.h"
#include "init/plan.h"
#include "init/stats.h"

/* A directory with files as the kernel has them. */
struct place {
    char path[64];
    int fd;
};

static int place_setup(void **state)
{
    static struct place place;

    snprintf(place.path, sizeof(place.path), "/tmp/vmrt-cgroup-test-XXXXXX");
    assert_non_null(mkdtemp(place.path));
    place.fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &place;
    return place.fd < 0 ? -1 : 0;
}

static const char *const files[] = {
    "pids.max",    "memory.max",    "pids.current", "memory.current",
    "memory.peak", "memory.events", "memory.stat",  "cpu.stat",
};

static int place_teardown(void **state)
{
    struct place *place = *state;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlinkat(place->fd, files[i], 0);
    close(place->fd);
    return rmdir(place->path);
}

static void put_file(const struct place *place, const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", place->path, name);
    host_write_file(path, text);
}

static void expect_file(const struct place *place, const char *name, const char *text)
{
    char got[64];

    assert_true(io_read_file(place->fd, name, got, sizeof(got)) >= 0);
    assert_string_equal(got, text);
}

static void test_limits(void **state)
{
    const struct place *place = *state;
    struct failure failure;

    put_file(place, "pids.max", "");
    put_file(place, "memory.max", "");
    assert_int_equal(cgroups_limit(place->fd,
                                   &(struct limits_plan) { .pids_max = 77, .has_pids_max = true },
                                   &failure),
                     0);
    expect_file(place, "pids.max", "77");
    expect_file(place, "memory.max", "");
    assert_int_equal(cgroups_limit(place->fd, &(struct limits_plan) { .has_memory_max = true },
                                   &failure),
                     0);
    expect_file(place, "memory.max", "max");
}

static void test_limit_without_controller_is_named(void **state)
{
    const struct place *place = *state;
    struct failure failure;

    assert_int_equal(cgroups_limit(place->fd,
                                   &(struct limits_plan) { .memory_max = 4096,
                                                           .has_memory_max = true },
                                   &failure),
                     -ENOENT);
    assert_string_equal(failure.text, "cgroup: memory.max 4096: no such file or directory");
}

static void test_stats(void **state)
{
    static const struct {
        uint16_t tag;
        uint64_t value;
    } expected[] = {
        { FIELD_STAT_PIDS, 5 },           { FIELD_STAT_MEMORY, 1000 },
        { FIELD_STAT_MEMORY_PEAK, 2000 }, { FIELD_STAT_MEMORY_CACHE, 300 },
        { FIELD_STAT_OOM_KILLS, 2 },      { FIELD_STAT_CPU_USER, 11 },
        { FIELD_STAT_CPU_SYSTEM, 22 },
    };
    const struct place *place = *state;
    struct protocol_writer writer = { 0 };
    struct protocol_reader reader;
    struct protocol_field field = { 0 };
    bool bad = false;

    put_file(place, "pids.current", "5\n");
    put_file(place, "pids.max", "max\n");
    put_file(place, "memory.current", "1000\n");
    put_file(place, "memory.peak", "2000\n");
    put_file(place, "memory.stat", "anon 100\nfile_mapped 7\nfile 300\nkernel 9\n");
    put_file(place, "memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n");
    put_file(place, "cpu.stat", "usage_usec 33\nuser_usec 11\nsystem_usec 22\n");
    protocol_begin(&writer, MESSAGE_RESULT, 0, 0);
    stats_put(&writer, place->fd);
    assert_int_equal(protocol_finish(&writer), 0);
    reader = (struct protocol_reader) { writer.data + PROTOCOL_HEADER_SIZE,
                                        writer.length - PROTOCOL_HEADER_SIZE };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(protocol_find(reader, expected[i].tag, &field), 1);
        assert_int_equal(protocol_u64(&field, &bad), expected[i].value);
    }
    /* No limit has no number; the machine's memory is the kernel's word. */
    assert_int_equal(protocol_find(reader, FIELD_STAT_PIDS_MAX, &field), 0);
    assert_int_equal(protocol_find(reader, FIELD_STAT_MEMORY_TOTAL, &field), 1);
    assert_true(protocol_u64(&field, &bad) > 16u << 20);
    free(writer.data);
}

static void test_cgroup_of_a_process_elsewhere(void **state)
{
    const struct place *place = *state;

    assert_int_equal(cgroups_of_process(place->fd, "no-such-name", getpid()), -ENOENT);
}

static void test_flush_is_due(void **state)
{
    static const char clean[] = "MemTotal: 1 kB\nDirty:             0 kB\nWriteback:  0 kB\n"
                                "WritebackTmp:   0 kB\n";
    char text[256];

    assert_false(flush_is_pending(clean));
    for (const char *at = clean; (at = strstr(at, " 0 kB")); at++) {
        snprintf(text, sizeof(text), "%s", clean);
        text[at - clean + 1] = '4';
        assert_true(flush_is_pending(text));
    }
    assert_true(flush_is_pending("MemTotal: 1 kB\nDirty: 0 kB\n"));
}

/* A container that runs: its RESULT of STATS and UPDATE. */
static void test_messages(void **state)
{
    struct host *host = host_get(state);

    host_begin(host, MESSAGE_STATS);
    host_send(host);
    assert_int_equal(host_result(host), ESRCH);
    host_put_shell(host_begin_container(host), "read line");
    host_launch(host);
    host_begin(host, MESSAGE_STATS);
    host_send(host);
    assert_int_equal(host_result(host), 0);
    assert_true(host_field_u64(host, FIELD_STAT_MEMORY_TOTAL) > 0);
    host_field_u64(host, FIELD_STAT_CPU_USER);
    /* Nothing asked for is nothing done; a malformed number is named. */
    host_begin(host, MESSAGE_UPDATE);
    host_send(host);
    assert_int_equal(host_result(host), 0);
    protocol_put_string(host_begin(host, MESSAGE_UPDATE), FIELD_PIDS_MAX, "many");
    host_send(host);
    assert_int_equal(host_result(host), EPROTO);
    assert_string_equal(host->text, "limits: field 93: protocol error");
}

static void need_controller(const struct host *host, const char *name)
{
    char controllers[256] = "";

    io_read_file(AT_FDCWD, host_path(host, "group/cgroup.controllers"), controllers,
                 sizeof(controllers));
    if (!strstr(controllers, name)) {
        print_message("skipped: this kernel's cgroup2 has no %s controller\n", name);
        skip();
    }
}

static void test_pids_limit(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[256];

    need_controller(host, "pids");
    writer = host_begin_container(host);
    protocol_put_u64(writer, FIELD_PIDS_MAX, 3);
    host_put_shell(writer, "sleep 1000 & sleep 1000 & sleep 1000 & echo reached");
    host_run(host, output, sizeof(output));
    assert_string_equal(output, "");
}

/* The host hears of it before it hears of the victim's end; and of each time once. */
static void test_out_of_memory(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    need_controller(host, "memory");
    writer = host_begin_container(host);
    protocol_put_u64(writer, FIELD_MEMORY_MAX, 16 << 20);
    protocol_put_string(writer, FIELD_ARG, "dd");
    protocol_put_string(writer, FIELD_ARG, "if=/dev/zero");
    protocol_put_string(writer, FIELD_ARG, "of=/dev/null");
    protocol_put_string(writer, FIELD_ARG, "bs=64M");
    host_launch(host);
    host_receive(host, host->control);
    assert_int_equal(host->header.type, MESSAGE_OOM);
    assert_int_equal(host_wait_exit(host), 128 + SIGKILL);
}

/* A victim that is not the first process; the limit is one that was set later. */
static void test_out_of_memory_after_an_update(void **state)
{
    struct host *host = host_get(state);
    char line[8];

    need_controller(host, "memory");
    host_put_shell(host_begin_container(host),
                   "read line; dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?; exit 5");
    host_launch(host);
    protocol_put_u64(host_begin(host, MESSAGE_UPDATE), FIELD_MEMORY_MAX, 16 << 20);
    host_send(host);
    assert_int_equal(host_result(host), 0);
    io_close(&host->streams[0]);
    host_receive(host, host->control);
    assert_int_equal(host->header.type, MESSAGE_OOM);
    host_read_until(host->streams[1], "137\n", line, sizeof(line));
    assert_int_equal(host_wait_exit(host), 5);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)
#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(test_limits),
        PLACE_TEST(test_limit_without_controller_is_named),
        PLACE_TEST(test_stats),
        PLACE_TEST(test_cgroup_of_a_process_elsewhere),
        cmocka_unit_test(test_flush_is_due),
        TEST(test_messages),
        TEST(test_pids_limit),
        TEST(test_out_of_memory),
        TEST(test_out_of_memory_after_an_update),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
