/* State directories, processes, hooks, logs: what the commands keep and run on the host. */
#include "oci_world.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/container.h"
#include "oci/hooks.h"
#include "oci/lifecycle.h"
#include "oci/process.h"
#include "oci/seccomp_cache.h"

static void test_ids(void **state)
{
    static const char *const good[] = { "a", "A-b_c.d+e", "...", "0", ".hidden" };
    static const char *const bad[] = { "", ".", "..", "a/b", "a b", "\xc3\xa4", "a\n", "a:b" };
    struct error err;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(container_check_id(good[i], &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(container_check_id(bad[i], &err), -EINVAL);
}

static void test_state_survives_writing_and_reading(void **state)
{
    struct world *world = *state;
    struct spec_pair annotations[] = { { "a.b", "c \"quoted\"" } };
    struct container made, again, other;
    struct error err;
    char root[128];

    snprintf(root, sizeof(root), "%s/state/root", world->directory);
    assert_int_equal(container_open(root, "c1", &again, &err), -ENOENT);
    assert_string_equal(err.message, "container does not exist");
    container_close(&again);
    assert_int_equal(container_reserve(root, "c1", &made, &err), 0);
    assert_int_equal(container_reserve(root, "c1", &other, &err), -EEXIST);
    assert_string_equal(err.message, "container with given ID already exists");
    container_close(&other);
    assert_int_equal(container_open(root, "c1", &again, &err), -EINVAL);
    container_close(&again);

    made.oci_version = "1.0.2";
    made.bundle = "/b";
    made.rootfs = "/b/rootfs";
    made.created = "2026-01-02T03:04:05.6Z";
    made.pid = getpid();
    assert_int_equal(process_start_time(getpid(), &made.start_time), 0);
    made.annotations = annotations;
    made.annotation_count = 1;
    made.cgroup.paths[made.cgroup.count++] = "/sys/fs/cgroup/x";
    assert_int_equal(container_save(&made, &err), 0);

    assert_int_equal(container_open(root, "c1", &again, &err), 0);
    assert_string_equal(again.bundle, "/b");
    assert_int_equal(again.pid, getpid());
    assert_true(again.start_time == made.start_time);
    assert_int_equal(again.annotation_count, 1);
    assert_string_equal(again.annotations[0].value, "c \"quoted\"");
    assert_int_equal(again.cgroup.count, 1);
    /* Nobody listens, but the process lives and create has not finished. */
    assert_int_equal(container_status(&again), CONTAINER_CREATING);
    again.complete = true;
    assert_int_equal(container_status(&again), CONTAINER_CREATED);
    again.started = true;
    assert_int_equal(container_status(&again), CONTAINER_RUNNING);
    again.start_time++; /* another process with the same pid */
    assert_int_equal(container_status(&again), CONTAINER_STOPPED);

    /* Also what a killed command left half written goes. */
    close(openat(again.directory, "state.json.7.tmp", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(container_discard(root, &again, &err), 0);
    container_close(&again);
    assert_int_equal(container_open(root, "c1", &again, &err), -ENOENT);
    container_close(&again);
    container_close(&made);
}

static void test_a_root_made_for_nothing_is_taken_away(void **state)
{
    struct world *world = *state;
    struct container container;
    struct error err;
    char root[128];

    snprintf(root, sizeof(root), "%s/state", world->directory);
    assert_int_equal(container_reserve(root, "c1", &container, &err), 0);
    assert_int_equal(container_discard(root, &container, &err), 0);
    container_close(&container);
    assert_int_equal(access(root, F_OK), -1);
}

/* run at a root of its own, with an exec meanwhile that kept its filter there, left both. */
static void test_a_root_with_nothing_but_kept_filters_is_taken_away(void **state)
{
    struct world *world = *state;
    struct container container, other;
    struct error err;
    char root[128], path[160];

    snprintf(root, sizeof(root), "%s/state", world->directory);
    snprintf(path, sizeof(path), "%s/" SECCOMP_CACHE_DIRECTORY, root);
    assert_int_equal(container_reserve(root, "c1", &container, &err), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    world_file(world, "state/" SECCOMP_CACHE_DIRECTORY "/0123456789abcdef", "x", 0600);
    world_file(world, "state/" SECCOMP_CACHE_DIRECTORY "/0123456789abcdef.7.tmp", "x", 0600);
    /* Not while there are others. */
    assert_int_equal(container_reserve(root, "c2", &other, &err), 0);
    assert_int_equal(container_discard(root, &container, &err), 0);
    strcat(path, "/0123456789abcdef");
    assert_int_equal(access(path, F_OK), 0);
    container_close(&container);
    other.made_root = true;
    assert_int_equal(container_discard(root, &other, &err), 0);
    container_close(&other);
    assert_int_equal(access(root, F_OK), -1);
}

/* What is called like it, but is not ours to remove. */
static void test_a_root_with_somebodys_own_things_stays(void **state)
{
    struct world *world = *state;
    struct container container;
    struct error err;
    char root[128], path[160];

    snprintf(root, sizeof(root), "%s/state", world->directory);
    snprintf(path, sizeof(path), "%s/" SECCOMP_CACHE_DIRECTORY, root);
    assert_int_equal(container_reserve(root, "c1", &container, &err), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0755), 0);
    world_file(world, "state/" SECCOMP_CACHE_DIRECTORY "/file", "x", 0600);
    assert_int_equal(container_discard(root, &container, &err), 0);
    container_close(&container);
    strcat(path, "/file");
    assert_int_equal(access(path, F_OK), 0);
}

/*
 * run and create delete what they made without asking for the reason of a failure; the warning
 * that took its place read one. A number that no tag has room for fails without touching the host.
 */
static void test_delete_warns_of_rules_that_stay_when_nobody_asks_why(void **state)
{
    struct world *world = *state;
    struct container container;
    struct error err;
    char root[128];

    snprintf(root, sizeof(root), "%s/state", world->directory);
    assert_int_equal(container_reserve(root, "c1", &container, &err), 0);
    container.uplink = true;
    container.pid = -1;
    container.start_time = UINT64_MAX;
    assert_int_equal(lifecycle_delete(root, &container, false, &err), -ERANGE);
    assert_string_equal(err.message, "network: the host has been up for too long");
    assert_int_equal(lifecycle_delete(root, &container, false, NULL), -ERANGE);
    assert_int_equal(lifecycle_delete(root, &container, true, NULL), 0);
    container_close(&container);
    assert_int_equal(access(root, F_OK), -1);
}

static void test_states_text(void **state)
{
    struct spec_pair annotations[] = { { "k", "v" } };
    struct container container = { .parent = -1,
                                   .directory = -1,
                                   .id = "c",
                                   .oci_version = "1.0.2",
                                   .bundle = "/b",
                                   .rootfs = "/r",
                                   .created = "t",
                                   .pid = 42,
                                   .annotations = annotations,
                                   .annotation_count = 1 };
    char *text = container_state_text(&container, CONTAINER_RUNNING, CONTAINER_FOR_HOOKS);

    assert_string_equal(text, "{\"ociVersion\":\"1.0.2\",\"id\":\"c\",\"pid\":42,"
                              "\"status\":\"running\",\"bundle\":\"/b\","
                              "\"annotations\":{\"k\":\"v\"}}");
    free(text);
    text = container_state_text(&container, CONTAINER_STOPPED, CONTAINER_FOR_STATE);
    assert_non_null(strstr(text, "\"pid\": 0"));
    assert_non_null(strstr(text, "\"rootfs\": \"/r\""));
    assert_non_null(strstr(text, "\"owner\": \"\""));
    free(text);
}

static void test_processes(void **state)
{
    uint64_t start = 0, parent = 0;
    pid_t pid = fork();
    int fd;

    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(process_start_time(pid, &start), 0);
    assert_int_equal(process_start_time(getpid(), &parent), 0);
    assert_true(start >= parent);
    assert_true(process_is_alive(pid, start));
    assert_false(process_is_alive(pid, start + 1));
    assert_int_equal(process_open(pid, start + 1), -ESRCH);
    fd = process_open(pid, start);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(process_kill(pid, start + 1, 1000), 0);
    assert_true(process_is_alive(pid, start));
    assert_int_equal(process_kill(pid, start, 10000), 0);
    /* A zombie is dead. */
    assert_false(process_is_alive(pid, start));
    waitpid(pid, NULL, 0);
    assert_int_equal(process_start_time(pid, &start), -ESRCH);
    assert_int_equal(process_kill(pid, start, 1000), 0);
}

static int run_shell(struct world *world, const char *script, int64_t timeout, const char *env)
{
    const char *args[] = { "name", "-c", script, NULL };
    const char *environment[] = { env, NULL };
    struct spec_hook hook = {
        .path = "/bin/sh", .args = args, .env = env ? environment : NULL, .timeout = timeout
    };
    struct spec_hooks hooks = { .list[HOOK_PRESTART] = &hook, .count[HOOK_PRESTART] = 1 };

    return hooks_run(&hooks, HOOK_PRESTART, "{\"pid\":7}", world->directory, &world->err);
}

static void expect_file(const struct world *world, const char *name, const char *content)
{
    char path[256], *text;

    snprintf(path, sizeof(path), "%s/%s", world->directory, name);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
    assert_string_equal(text, content);
    free(text);
}

static void test_hooks_get_the_state_their_name_and_environment(void **state)
{
    struct world *world = *state;

    assert_int_equal(run_shell(world, "cat >got; echo $0 $A >name", SPEC_UNSET, "A=1"), 0);
    expect_file(world, "got", "{\"pid\":7}");
    expect_file(world, "name", "name 1\n");
}

static void test_hooks_that_fail(void **state)
{
    struct world *world = *state;
    struct spec_hook hook = { .path = "/nosuch", .timeout = SPEC_UNSET };
    struct spec_hooks hooks = { .list[HOOK_POSTSTOP] = &hook, .count[HOOK_POSTSTOP] = 1 };

    assert_int_equal(run_shell(world, "echo out; echo err >&2; exit 3", SPEC_UNSET, NULL), -ECHILD);
    assert_string_equal(world->err.message, "error running prestart hook #0: exit status 3, "
                                            "stdout: out?, stderr: err?");
    assert_int_equal(run_shell(world, "kill -9 $$", SPEC_UNSET, NULL), -ECHILD);
    assert_non_null(strstr(world->err.message, "signal 9"));
    assert_int_equal(hooks_run(&hooks, HOOK_POSTSTOP, "{}", NULL, &world->err), -ECHILD);
    assert_non_null(strstr(world->err.message, "no such file or directory"));
}

static void test_a_hook_is_stopped_at_its_timeout(void **state)
{
    struct world *world = *state;
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(run_shell(world, "exec sleep 100", 1, NULL), -ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 30);
    assert_non_null(strstr(world->err.message, "ran past its timeout of 1 s"));
}

static void test_hooks_may_write_much_and_leave_daemons(void **state)
{
    struct world *world = *state;
    struct timespec begin, end;

    assert_int_equal(run_shell(world, "head -c 1000000 /dev/zero; exit 1", SPEC_UNSET, NULL),
                     -ECHILD);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    /* The daemon keeps the pipes open: nobody waits for it. */
    assert_int_equal(run_shell(world, "sleep 20 & echo $! >daemon", SPEC_UNSET, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 15);
    assert_int_equal(run_shell(world, "kill $(cat daemon)", SPEC_UNSET, NULL), 0);
}

static void test_log_lines(void **state)
{
    struct world *world = *state;
    char path[128], err_path[128], *text;
    struct log_options options = { .path = path, .json = true };
    struct error err;
    int saved = dup(STDERR_FILENO), file;

    snprintf(path, sizeof(path), "%s/log", world->directory);
    snprintf(err_path, sizeof(err_path), "%s/stderr", world->directory);
    file = open(err_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(log_open(&options, &err), 0);
    dup2(file, STDERR_FILENO);
    log_error("a \"quoted\"\n%s", "\\x");
    log_debug("not asked for");
    log_warning("nor this");
    options.json = false;
    options.debug = true;
    assert_int_equal(log_open(&options, &err), 0);
    log_error("b \"q\"");
    log_debug("c");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    /* Errors go there as well; with a log, warnings do not: create's stderr is the container's. */
    assert_int_equal(fd_read_file(AT_FDCWD, err_path, 4096, &text, NULL), 0);
    assert_non_null(strstr(text, "a \"quoted\""));
    assert_null(strstr(text, "nor this"));
    free(text);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
    assert_ptr_equal(strstr(text,
                            "{\"level\":\"error\",\"msg\":\"a \\\"quoted\\\"?\\\\x\",\"time\":\""),
                     text);
    assert_non_null(strstr(text, " level=error msg=\"b \\\"q\\\"\"\n"));
    assert_non_null(strstr(text, " level=debug msg=\"c\"\n"));
    assert_null(strstr(text, "not asked"));
    assert_null(strstr(text, "nor this"));
    free(text);
    options.path = "/nosuch/log";
    assert_int_equal(log_open(&options, &err), -ENOENT);
    assert_non_null(strstr(err.message, "--log /nosuch/log"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        TEST(test_state_survives_writing_and_reading),
        TEST(test_a_root_made_for_nothing_is_taken_away),
        TEST(test_a_root_with_nothing_but_kept_filters_is_taken_away),
        TEST(test_a_root_with_somebodys_own_things_stays),
        TEST(test_delete_warns_of_rules_that_stay_when_nobody_asks_why),
        cmocka_unit_test(test_states_text),
        cmocka_unit_test(test_processes),
        TEST(test_hooks_get_the_state_their_name_and_environment),
        TEST(test_hooks_that_fail),
        TEST(test_a_hook_is_stopped_at_its_timeout),
        TEST(test_hooks_may_write_much_and_leave_daemons),
        TEST(test_log_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
