/* Looking for the command and the working directory in a root filesystem that is not ours. */
#include "oci_rootfs_world.h"

#include <sys/resource.h>

#include "lib/fd.h"
#include "oci/resolve.h"
#include "oci/rootfs.h"

static void expect_resolved(struct world *world, const char *process, int ret, const char *text)
{
    _cleanup_close_ int root = open_root(world);

    world_accepts(world, process, NULL,
                  "\"mounts\":[{\"destination\":\"/guest\",\"type\":\"tmpfs\"}]");
    assert_int_equal(resolve_executable(&world->plan, root, &world->err), ret);
    if (text)
        assert_string_equal(world->err.message, text);
    world_release(world);
}

#define START "unable to start container process: exec: "

static void test_executables_are_looked_for_as_runc_does(void **state)
{
    struct world *world = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/rootfs/bin", world->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    world_file(world, "rootfs/bin/good", "x", 0755);
    world_file(world, "rootfs/bin/plain", "x", 0644);
    world_file(world, "rootfs/bin/mine", "x", 0700);
    strcat(path, "/link");
    assert_int_equal(symlink("/bin/good", path), 0);

    expect_resolved(world, "\"args\":[\"good\"]", 0, NULL);
    expect_resolved(world, "\"args\":[\"link\"]", 0, NULL);
    expect_resolved(world, "\"args\":[\"/bin/good\"]", 0, NULL);
    expect_resolved(world, "\"args\":[\"./good\"],\"cwd\":\"/bin\"", 0, NULL);
    expect_resolved(world, "\"args\":[\"good\"],\"env\":[\"PATH=/x:/bin\"]", 0, NULL);
    expect_resolved(world, "\"args\":[\"good\"],\"env\":[\"PATH=/guest\"]", 0, NULL);
    expect_resolved(world, "\"args\":[\"/guest/x\"]", 0, NULL);
    expect_resolved(world, "\"args\":[\"nosuch\"]", -ENOENT,
                    START "\"nosuch\": executable file not found in $PATH");
    expect_resolved(world, "\"args\":[\"good\"],\"env\":[]", -ENOENT,
                    START "\"good\": executable file not found in $PATH");
    expect_resolved(world, "\"args\":[\"plain\"]", -ENOENT,
                    START "\"plain\": executable file not found in $PATH");
    expect_resolved(world, "\"args\":[\"/bin/plain\"]", -EACCES,
                    START "\"/bin/plain\": permission denied");
    expect_resolved(world, "\"args\":[\"/bin\"]", -EISDIR,
                    START "\"/bin\": is a directory: permission denied");
    expect_resolved(world, "\"args\":[\"/nosuch\"]", -ENOENT,
                    START "\"/nosuch\": stat /nosuch: no such file or directory");
    expect_resolved(world, "\"args\":[\"/bin/good/x\"]", -ENOTDIR,
                    START "\"/bin/good/x\": stat /bin/good/x: not a directory");
    expect_resolved(world, "\"args\":[\"good\"],\"env\":[\"PATH=bin\"]", -EACCES,
                    START "\"good\": cannot run executable found relative to current directory");
    expect_resolved(world, "\"args\":[\"good\"],\"env\":[\"PATH=:/x\"],\"cwd\":\"/bin\"", -EACCES,
                    START "\"good\": cannot run executable found relative to current directory");
}

/* A lack of descriptors (ulimit -n) was taken for a lack of the file. */
static void test_a_search_that_fails_does_not_say_not_found(void **state)
{
    struct world *world = *state;
    _cleanup_close_ int root = open_root(world), next = -1;
    struct rlimit before, none;
    int ret;

    world_accepts(world, "\"args\":[\"good\"]", NULL, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    next = dup(root);
    none = (struct rlimit) { (rlim_t)next, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    ret = resolve_executable(&world->plan, root, &world->err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(ret, -EMFILE);
    assert_string_equal(world->err.message,
                        START "\"good\": cannot look for it in $PATH: Too many open files");
    world_release(world);
}

/* A filesystem whose server is gone: to look for anything in it is ENOTCONN. */
static int mount_dead_directory(const struct world *world)
{
    _cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char path[128], options[64];

    if (fd < 0)
        return -errno;
    snprintf(path, sizeof(path), "%s/rootfs/dead", world->directory);
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    return mount("none", path, "fuse", 0, options) < 0 ? -errno : 0;
}

static int resolve_behind_dead_directory(struct world *world)
{
    _cleanup_close_ int root = -1;

    CHECK(mount_dead_directory(world) == 0);
    root = open_root(world);
    CHECK(resolve_executable(&world->plan, root, &world->err) == 0);
    world->spec.process.args[0] = "nosuch";
    CHECK(resolve_executable(&world->plan, root, &world->err) == -ENOTCONN);
    CHECK(strstr(world->err.message, START "\"nosuch\": cannot look for it in $PATH: "));
    return 0;
}

/* The first directory of $PATH that could not be looked into ended the search. */
static void test_a_directory_of_the_path_that_fails_does_not_hide_the_next(void **state)
{
    struct world *world = *state;
    int probe = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char path[128];

    if (probe < 0) {
        print_message("skipped: needs /dev/fuse\n");
        skip();
    }
    close(probe);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/rootfs/%s", world->directory, i ? "bin" : "dead");
        assert_int_equal(mkdir(path, 0755), 0);
    }
    world_file(world, "rootfs/bin/good", "x", 0755);
    world_accepts(world, "\"args\":[\"good\"],\"env\":[\"PATH=/dead:/bin\"]", NULL, NULL);
    in_namespace(world, resolve_behind_dead_directory);
    world_release(world);
}

static void expect_directory(struct world *world, const char *cwd, const char *text)
{
    _cleanup_close_ int root = open_root(world);
    char process[128];

    snprintf(process, sizeof(process), "\"cwd\":\"%s\"", cwd);
    world_accepts(world, process, NULL,
                  "\"mounts\":[{\"destination\":\"/guest\",\"type\":\"tmpfs\"}]");
    assert_int_equal(resolve_directory(&world->plan, root, &world->err), text ? -ENOTDIR : 0);
    if (text)
        assert_string_equal(world->err.message, text);
    world_release(world);
}

/* runc makes the directory in create, where it finds what is in its way. */
static void test_a_working_directory_that_is_a_file_fails_create(void **state)
{
    struct world *world = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/rootfs/dir", world->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    world_file(world, "rootfs/dir/file", "x", 0644);
    strcat(path, "/link");
    assert_int_equal(symlink("/dir/file", path), 0);
    expect_directory(world, "/", NULL);
    expect_directory(world, "/dir", NULL);
    expect_directory(world, "/dir/", NULL);
    expect_directory(world, "/new", NULL);
    expect_directory(world, "/dir/new/deeper", NULL);
    expect_directory(world, "/guest/whatever", NULL);
#define MKDIR "unable to start container process: error during container init: mkdir "
    expect_directory(world, "/dir/file", MKDIR "/dir/file: not a directory");
    expect_directory(world, "/dir/file/below", MKDIR "/dir/file: not a directory");
    expect_directory(world, "/dir/link", MKDIR "/dir/link: not a directory");
}

/* "a/.." was taken for what it looks like: there was a file where nobody would go. */
static void test_a_working_directory_behind_a_link_is_where_the_link_leads(void **state)
{
    static const char *const places[] = { "dir", "dir/below", "dir/x", "y" };
    struct world *world = *state;
    char path[128];

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s/rootfs/%s", world->directory, places[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    snprintf(path, sizeof(path), "%s/rootfs/link", world->directory);
    assert_int_equal(symlink("/dir/below", path), 0);
    world_file(world, "rootfs/x", "x", 0644);
    world_file(world, "rootfs/dir/y", "y", 0644);
    expect_directory(world, "/link/../x", NULL);
    expect_directory(world, "/link/../x/new", NULL);
    expect_directory(world, "/link/../new", NULL);
    expect_directory(world, "/link/../y", MKDIR "/link/../y: not a directory");
    expect_directory(world, "/x", MKDIR "/x: not a directory");
}

#define NOBODY ",\"user\":{\"uid\":1000,\"gid\":1000,\"additionalGids\":[1001]}"

static void test_executables_are_judged_with_the_users_eyes(void **state)
{
    struct world *world = *state;
    char path[128];

    if (geteuid() != 0)
        skip();
    /* mkdtemp(3) lets nobody in; a bundle's root filesystem is open. */
    assert_int_equal(chmod(world->directory, 0755), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/rootfs/%s", world->directory, i ? "locked" : "bin");
        assert_int_equal(mkdir(path, 0755), 0);
    }
    world_file(world, "rootfs/bin/mine", "x", 0700);
    world_file(world, "rootfs/bin/group", "x", 0710);
    world_file(world, "rootfs/locked/good", "x", 0755);
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/rootfs/bin/group", world->directory);
    assert_int_equal(chown(path, 0, 1001), 0);

    expect_resolved(world, "\"args\":[\"mine\"]" NOBODY, -EACCES,
                    "unable to start container process: exec /bin/mine: permission denied");
    expect_resolved(world, "\"args\":[\"/bin/mine\"]" NOBODY, -EACCES,
                    "unable to start container process: exec /bin/mine: permission denied");
    expect_resolved(world, "\"args\":[\"/locked/good\"]" NOBODY, -EACCES,
                    START "\"/locked/good\": stat /locked/good: permission denied");
    expect_resolved(world, "\"args\":[\"/bin/group\"]" NOBODY, 0, NULL);
    expect_resolved(world, "\"args\":[\"/bin/mine\"]", 0, NULL);
    expect_resolved(world,
                    "\"args\":[\"/locked/good\"],\"capabilities\":{\"effective\":"
                    "[\"CAP_DAC_OVERRIDE\"]}" NOBODY,
                    0, NULL);
    /* Our own eyes are open again. */
    snprintf(path, sizeof(path), "%s/rootfs/locked/good", world->directory);
    assert_int_equal(access(path, R_OK), 0);
}

static int build_noexec(struct world *world)
{
    struct rootfs rootfs;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    CHECK(resolve_executable(&world->plan, rootfs.root, &world->err) == -EACCES);
    CHECK(strcmp(world->err.message,
                 "unable to start container process: exec /n/good: permission denied") == 0);
    return 0;
}

static void test_nothing_is_executed_on_a_noexec_mount(void **state)
{
    struct world *world = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/volume", world->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    world_file(world, "volume/good", "x", 0755);
    world_accepts(world, "\"args\":[\"good\"],\"env\":[\"PATH=/n\"]", NULL,
                  "\"mounts\":[{\"destination\":\"/n\",\"type\":\"bind\",\"source\":\"volume\","
                  "\"options\":[\"bind\",\"noexec\"]}]");
    in_namespace(world, build_noexec);
    world_release(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_executables_are_looked_for_as_runc_does),
        TEST(test_a_search_that_fails_does_not_say_not_found),
        TEST(test_a_directory_of_the_path_that_fails_does_not_hide_the_next),
        TEST(test_a_working_directory_that_is_a_file_fails_create),
        TEST(test_a_working_directory_behind_a_link_is_where_the_link_leads),
        TEST(test_executables_are_judged_with_the_users_eyes),
        TEST(test_nothing_is_executed_on_a_noexec_mount),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
