/*
 * Whole lives of containers with a stand-in for the VM (fake_vmm.c): what create makes, what
 * failures leave behind, what start, signal and delete do.
 */
#include "oci_world.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "oci/cgroup.h"
#include "oci/creation.h"
#include "oci/lifecycle.h"
#include "oci/process.h"

struct life {
    struct world world;
    char root[128], host[128], output[128], cgroup[64];
    bool has_cgroup;
    struct container container;
    struct creation_request request;
};

static void install_busybox(const struct world *world)
{
    char command[512];

    snprintf(command, sizeof(command),
             "cd %s/rootfs && mkdir bin && cp /bin/busybox bin/ && for a in sh sleep cat; do "
             "ln -s busybox bin/$a; done",
             world->directory);
    assert_int_equal(system(command), 0);
}

static int life_setup(void **state)
{
    struct life *life = calloc(1, sizeof(*life));
    struct arena arena = { 0 };
    struct cgroup cgroup;
    void *world = NULL;
    char text[256], kernel[128];

    if (!life || world_setup(&world) < 0)
        return -1;
    life->world = *(struct world *)world;
    free(world);
    snprintf(life->root, sizeof(life->root), "%s/state", life->world.directory);
    snprintf(life->host, sizeof(life->host), "%s/host.json", life->world.directory);
    snprintf(life->output, sizeof(life->output), "%s/output", life->world.directory);
    snprintf(life->cgroup, sizeof(life->cgroup), "/vmrt-test-%d", (int)getpid());
    snprintf(kernel, sizeof(kernel), "%s/vmlinux", life->world.directory);
    snprintf(text, sizeof(text), "{\"kernel\":\"%s\"}", kernel);
    world_kernel(kernel);
    world_file(&life->world, "host.json", text, 0644);
    life->has_cgroup = cgroup_create(life->cgroup, &cgroup, &arena, NULL) == 0;
    (void)cgroup_remove(&cgroup, NULL);
    arena_free(&arena);
    life->container = (struct container) { .parent = -1, .directory = -1 };
    life->request = (struct creation_request) { .root = life->root,
                                                .host_settings = life->host,
                                                .id = "c1",
                                                .bundle = life->world.directory,
                                                .detach = true,
                                                .no_cgroup = !life->has_cgroup };
    *state = life;
    return 0;
}

static int life_teardown(void **state)
{
    struct life *life = *state;

    if (life->container.directory >= 0 &&
        faccessat(life->container.directory, CONTAINER_STATE, F_OK, 0) == 0)
        (void)lifecycle_delete(life->root, &life->container, true, NULL);
    container_close(&life->container);
    /* Monitors are children of this process. */
    while (waitpid(-1, NULL, 0) > 0)
        ;
    nftw(life->world.directory, world_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(life);
    return 0;
}

/* Skips the test where nothing of this can be done. */
static void require_host(void)
{
    if (geteuid() != 0 || access("/dev/kvm", R_OK | W_OK) < 0 || access("/bin/busybox", X_OK) < 0) {
        print_message("skipped: needs root, /dev/kvm and busybox-static\n");
        skip();
    }
}

static void write_config(struct life *life, const char *script, const char *env, const char *top)
{
    char process[512], section[256];

    snprintf(process, sizeof(process),
             "\"args\":[\"sh\",\"-c\",\"%s\"],\"env\":[\"PATH=/bin\"%s%s%s]", script,
             env ? ",\"" : "", env ? env : "", env ? "\"" : "");
    snprintf(section, sizeof(section), "\"cgroupsPath\":\"%s\"", life->cgroup);
    world_config(&life->world, process, section, top);
    world_file(&life->world, "config.json", life->world.text, 0644);
}

/* creation_run() with the container's stdio in a file. */
static int create(struct life *life)
{
    int saved[3], file = open(life->output, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), ret;

    for (int i = 0; i < 3; i++)
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
    dup2(null, 0);
    dup2(file, 1);
    dup2(file, 2);
    ret = creation_run(&life->request, NULL, &life->container, &life->world.err);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    close(null);
    close(file);
    return ret;
}

static void create_and_start(struct life *life)
{
    if (create(life) < 0 || lifecycle_start(&life->container, &life->world.err) < 0)
        fail_msg("%s", life->world.err.message);
}

static int wait_status(struct life *life)
{
    int status;

    assert_int_equal(waitpid((pid_t)life->container.pid, &status, 0), life->container.pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Neither state, nor control group, nor process. */
static void expect_nothing_left(struct life *life)
{
    struct arena arena = { 0 };
    struct cgroup cgroup;
    char path[160];

    snprintf(path, sizeof(path), "%s/c1", life->root);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    if (!life->has_cgroup)
        return;
    /* Making it again would not tell: look at every hierarchy. */
    assert_int_equal(cgroup_create("/vmrt-probe", &cgroup, &arena, NULL), 0);
    assert_int_equal(cgroup_remove(&cgroup, NULL), 0);
    for (size_t i = 0; i < cgroup.count; i++) {
        snprintf(path, sizeof(path), "%.*s%s",
                 (int)(strlen(cgroup.paths[i]) - strlen("/vmrt-probe")), cgroup.paths[i],
                 life->cgroup);
        assert_int_equal(access(path, F_OK), -1);
    }
    arena_free(&arena);
}

static char *read_file(const struct life *life, const char *name)
{
    char path[256], *text = NULL;

    snprintf(path, sizeof(path), "%s/%s", life->world.directory, name);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
    return text;
}

/* Until the workload has written @text; fails after half a minute. */
static void wait_for_output(const struct life *life, const char *text)
{
    const struct timespec pause_time = { .tv_nsec = 10000000 };

    for (int tries = 0; tries < 3000; tries++) {
        char *output = read_file(life, "output");
        bool found = strstr(output, text);

        free(output);
        if (found)
            return;
        nanosleep(&pause_time, NULL);
    }
    fail_msg("the workload never wrote \"%s\"", text);
}

static void test_a_whole_life(void **state)
{
    struct life *life = *state;
    struct container again;
    struct error err;
    char pid_file[128], *text, expected[32];

    require_host();
    install_busybox(&life->world);
    write_config(life, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done", NULL, NULL);
    snprintf(pid_file, sizeof(pid_file), "%s/pid", life->world.directory);
    life->request.pid_file = pid_file;
    if (create(life) < 0)
        fail_msg("%s", life->world.err.message);
    text = read_file(life, "pid");
    snprintf(expected, sizeof(expected), "%d", (int)life->container.pid);
    assert_string_equal(text, expected);
    free(text);
    assert_int_equal(container_open(life->root, "c1", &again, &err), 0);
    assert_int_equal(again.pid, life->container.pid);
    assert_int_equal(container_status(&again), CONTAINER_CREATED);
    container_close(&again);

    assert_int_equal(lifecycle_start(&life->container, &err), 0);
    assert_int_equal(container_status(&life->container), CONTAINER_RUNNING);
    assert_true(lifecycle_start(&life->container, &err) < 0);
    assert_string_equal(err.message, "cannot start an already running container");
    assert_int_equal(lifecycle_delete(life->root, &life->container, false, &err), -EBUSY);
    assert_string_equal(err.message, "cannot delete container c1 that is not stopped: running");

    wait_for_output(life, "ready");
    assert_int_equal(lifecycle_signal(&life->container, SIGTERM, false, &err), 0);
    assert_int_equal(wait_status(life), 5);
    assert_int_equal(container_status(&life->container), CONTAINER_STOPPED);
    assert_int_equal(lifecycle_signal(&life->container, SIGTERM, false, &err), -ESRCH);
    assert_string_equal(err.message, "container not running");
    assert_true(lifecycle_start(&life->container, &err) < 0);
    assert_string_equal(err.message, "cannot start a container that has stopped");
    assert_int_equal(lifecycle_delete(life->root, &life->container, false, &err), 0);
    expect_nothing_left(life);
}

static void test_sigkill_ends_the_machine(void **state)
{
    struct life *life = *state;
    struct error err;
    int status;

    require_host();
    install_busybox(&life->world);
    write_config(life, "sleep 1000", NULL, NULL);
    create_and_start(life);
    assert_int_equal(lifecycle_signal(&life->container, SIGKILL, false, &err), 0);
    assert_int_equal(waitpid((pid_t)life->container.pid, &status, 0), life->container.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(lifecycle_delete(life->root, &life->container, false, &err), 0);
    expect_nothing_left(life);
}

/* What a failed create says, and that it leaves nothing. */
static void expect_failure(struct life *life, const char *text)
{
    assert_true(create(life) < 0);
    if (!strstr(life->world.err.message, text))
        fail_msg("expected \"%s\" in \"%s\"", text, life->world.err.message);
    container_close(&life->container);
    expect_nothing_left(life);
}

static void test_failures_leave_nothing_behind(void **state)
{
    struct life *life = *state;
    char path[160];

    require_host();
    install_busybox(&life->world);
    write_config(life, "true", "FAKE_DIE=9", NULL);
    expect_failure(life, "vmrt-vmm ended with status 9 and without a word");
    write_config(life, "true", "FAKE_REFUSE=the VM says no", NULL);
    expect_failure(life, "the VM says no");
    write_config(life, "true", NULL,
                 "\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/sh\","
                 "\"args\":[\"sh\",\"-c\",\"echo oops >&2; exit 4\"]}]}");
    expect_failure(life, "error running createRuntime hook #0: exit status 4");
    write_config(life, "true", "PATH=/nosuch", NULL);
    expect_failure(life, "exec: \"sh\": executable file not found in $PATH");
    write_config(life, "true", NULL,
                 "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},"
                 "{\"type\":\"network\",\"path\":\"/nosuch/netns\"}]}");
    expect_failure(life, "cannot join the network namespace /nosuch/netns");
    life->request.pid_file = "/nosuch/pid";
    write_config(life, "true", NULL, NULL);
    expect_failure(life, "--pid-file /nosuch/pid");
    life->request.pid_file = NULL;
    world_file(&life->world, "vmlinux", "not a kernel", 0644);
    expect_failure(life, "is not a 64-bit ELF file");
    snprintf(path, sizeof(path), "%s/vmlinux", life->world.directory);
    assert_int_equal(unlink(path), 0);
    expect_failure(life, "guest kernel");
    life->request.id = "no/id";
    expect_failure(life, "invalid container ID format");
}

/* Without a limit at create, docker update --memory made vmrt-vmm and its files the OOM victim. */
static void test_files_are_bounded_wherever_a_limit_may_come(void **state)
{
    struct life *life = *state;

    require_host();
    install_busybox(&life->world);
    write_config(life, "true", "FAKE_PLAN=1", NULL);
    if (life->has_cgroup)
        expect_failure(life, "files_max 43690 exhaust_mib 0");
    life->request.no_cgroup = true;
    expect_failure(life, "files_max 0 exhaust_mib 0");
}

static void test_a_refused_start_is_passed_on(void **state)
{
    struct life *life = *state;
    struct error err;

    require_host();
    install_busybox(&life->world);
    write_config(life, "true", "FAKE_START=exec /bin/sh: permission denied", NULL);
    assert_int_equal(create(life), 0);
    assert_int_equal(lifecycle_start(&life->container, &err), -EACCES);
    assert_string_equal(err.message,
                        "unable to start container process: exec /bin/sh: permission denied");
    assert_int_equal(wait_status(life), 126);
}

static void test_a_taken_id_is_refused_and_the_first_lives_on(void **state)
{
    struct life *life = *state;
    struct container first;

    require_host();
    install_busybox(&life->world);
    write_config(life, "true", NULL, NULL);
    assert_int_equal(create(life), 0);
    first = life->container;
    assert_int_equal(create(life), -EEXIST);
    assert_string_equal(life->world.err.message, "container with given ID already exists");
    container_close(&life->container);
    life->container = first;
    assert_int_equal(container_status(&life->container), CONTAINER_CREATED);
}

static void test_the_monitor_holds_only_what_it_was_given(void **state)
{
    struct life *life = *state;
    int leak = open("/etc/passwd", O_RDONLY); /* not O_CLOEXEC, as engines leak them */
    char path[64], link[256];
    struct stat ours, theirs, tree;
    struct dirent *entry;
    ssize_t length;
    DIR *listing;

    require_host();
    install_busybox(&life->world);
    write_config(life, "sleep 1000", NULL, NULL);
    create_and_start(life);
    close(leak);
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)life->container.pid);
    listing = opendir(path);
    assert_non_null(listing);
    while ((entry = readdir(listing))) {
        length = readlinkat(dirfd(listing), entry->d_name, link, sizeof(link) - 1);
        link[length < 0 ? 0 : length] = '\0';
        assert_string_not_equal(link, "/etc/passwd");
    }
    closedir(listing);
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)life->container.pid);
    assert_int_equal(stat(path, &theirs), 0);
    assert_int_equal(stat("/proc/self/ns/net", &ours), 0);
    assert_int_not_equal(ours.st_ino, theirs.st_ino);
    snprintf(path, sizeof(path), "/proc/%d/root/", (int)life->container.pid);
    assert_int_equal(stat(path, &theirs), 0);
    assert_int_equal(stat(life->container.rootfs, &tree), 0);
    assert_int_equal(tree.st_ino, theirs.st_ino);
    assert_int_equal(getsid((pid_t)life->container.pid), life->container.pid);
    /* Its environment and arguments say nothing about the workload. */
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)life->container.pid);
    leak = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(leak, link, sizeof(link)), 0);
    close(leak);
}

static void test_hooks_of_a_life(void **state)
{
    struct life *life = *state;
    struct error err;
    char top[1024], *text;

    require_host();
    install_busybox(&life->world);
    snprintf(top, sizeof(top),
             "\"hooks\":{"
             "\"prestart\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"cat >prestart\"]}],"
             "\"poststart\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"cat >poststart\"]}],"
             "\"poststop\":[{\"path\":\"/bin/false\"},"
             "{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"cat >poststop\"]}]}");
    write_config(life, "sleep 1000", NULL, top);
    create_and_start(life);
    text = read_file(life, "prestart");
    assert_non_null(strstr(text, "\"status\":\"creating\""));
    assert_non_null(strstr(text, "\"pid\":"));
    free(text);
    text = read_file(life, "poststart");
    assert_non_null(strstr(text, "\"status\":\"running\""));
    free(text);
    /* Failing poststop hooks are said, and hinder nothing. */
    assert_int_equal(lifecycle_delete(life->root, &life->container, true, &err), 0);
    assert_int_equal(waitpid((pid_t)life->container.pid, NULL, 0), life->container.pid);
    expect_nothing_left(life);
}

static void test_a_failing_poststart_hook_stops_the_container(void **state)
{
    struct life *life = *state;
    struct error err;

    require_host();
    install_busybox(&life->world);
    write_config(life, "sleep 1000", NULL, "\"hooks\":{\"poststart\":[{\"path\":\"/bin/false\"}]}");
    assert_int_equal(create(life), 0);
    assert_int_equal(lifecycle_start(&life->container, &err), -ECHILD);
    assert_non_null(strstr(err.message, "poststart hook #0"));
    assert_int_equal(container_status(&life->container), CONTAINER_STOPPED);
}

static void test_what_a_killed_create_leaves_can_be_deleted(void **state)
{
    struct life *life = *state;
    struct error err;
    char path[160];
    pid_t pid;

    require_host();
    install_busybox(&life->world);
    write_config(life, "true", NULL,
                 "\"hooks\":{\"prestart\":[{\"path\":\"/bin/sh\","
                 "\"args\":[\"sh\",\"-c\",\"echo hook >output; exec sleep 1000\"],"
                 "\"timeout\":30}]}");
    world_file(&life->world, "output", "", 0644);
    pid = fork();
    if (pid == 0) {
        (void)creation_run(&life->request, NULL, &life->container, &err);
        _exit(0);
    }
    wait_for_output(life, "hook");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(container_open(life->root, "c1", &life->container, &err), 0);
    assert_false(life->container.complete);
    assert_int_equal(lifecycle_delete(life->root, &life->container, true, &err), 0);
    /* The monitor died with its runtime. */
    assert_false(process_is_alive((pid_t)life->container.pid, life->container.start_time));
    snprintf(path, sizeof(path), "%s/c1", life->root);
    assert_int_equal(access(path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, life_setup, life_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_whole_life),
        TEST(test_sigkill_ends_the_machine),
        TEST(test_failures_leave_nothing_behind),
        TEST(test_files_are_bounded_wherever_a_limit_may_come),
        TEST(test_a_refused_start_is_passed_on),
        TEST(test_a_taken_id_is_refused_and_the_first_lives_on),
        TEST(test_the_monitor_holds_only_what_it_was_given),
        TEST(test_hooks_of_a_life),
        TEST(test_a_failing_poststart_hook_stops_the_container),
        TEST(test_what_a_killed_create_leaves_can_be_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
