/* Paths inside a root, and the mount tree. */
#include "oci_rootfs_world.h"

#include <limits.h>
#include <sys/statvfs.h>

#include "lib/fd.h"
#include "oci/rootfs.h"
#include "oci/rootpath.h"

static void test_paths_are_cleaned(void **state)
{
    static const struct {
        const char *path, *cleaned;
    } rows[] = {
        { "/", "/" },           { "", "/" },           { "a", "/a" },
        { "//a///b/", "/a/b" }, { "/a/./b", "/a/b" },  { "/a/../b", "/b" },
        { "/../../x", "/x" },   { "/a/b/../..", "/" }, { "/...", "/..." },
        { "/a/..b", "/a/..b" },
    };
    char out[PATH_MAX], *longest = malloc(2 * PATH_MAX);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rootpath_clean(rows[i].path, out), 0);
        assert_string_equal(out, rows[i].cleaned);
    }
    memset(longest, 'a', 2 * PATH_MAX);
    longest[2 * PATH_MAX - 1] = '\0';
    assert_int_equal(rootpath_clean(longest, out), -ENAMETOOLONG);
    free(longest);
    assert_true(rootpath_is_below("/a/b", "/a"));
    assert_true(rootpath_is_below("/a", "/a"));
    assert_true(rootpath_is_below("/a", "/"));
    assert_false(rootpath_is_below("/ab", "/a"));
}

static mode_t mode_of(int root, const char *path)
{
    struct stat st;

    return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static void make(int root, const char *path, bool is_file)
{
    struct error err;
    int fd = rootpath_make(root, path, is_file, &err);

    if (fd < 0)
        fail_msg("%s", err.message);
    close(fd);
}

static void test_mount_points_are_made(void **state)
{
    struct world *world = *state;
    _cleanup_close_ int root = open_root(world);
    struct error err;

    make(root, "/a/b/c", false);
    assert_true(S_ISDIR(mode_of(root, "a/b/c")));
    make(root, "/a/b/f", true);
    assert_true(S_ISREG(mode_of(root, "a/b/f")));
    make(root, "/a/b/f", true);
    make(root, "/", false);
    assert_int_equal(rootpath_make(root, "/a/b/f/g", false, &err), -ENOTDIR);
    assert_non_null(strstr(err.message, "/a/b/f/g"));
}

static void test_symlinks_of_the_image_stay_inside(void **state)
{
    struct world *world = *state;
    _cleanup_close_ int root = open_root(world);
    char outside[128];

    snprintf(outside, sizeof(outside), "%s/outside", world->directory);
    assert_int_equal(mkdir(outside, 0755), 0);
    assert_int_equal(symlinkat(outside, root, "absolute"), 0);
    assert_int_equal(symlinkat("../../../outside", root, "relative"), 0);
    make(root, "/absolute/x", false);
    make(root, "/relative/y", true);
    assert_true(S_ISREG(mode_of(root, "outside/y")));
    strcat(outside, "/x");
    assert_int_equal(access(outside, F_OK), -1);
    /* The absolute one was made inside, at the same path. */
    assert_true(S_ISDIR(mode_of(root, outside + 1)));
}

static void test_dangling_links_are_followed_as_runc_does(void **state)
{
    struct world *world = *state;
    _cleanup_close_ int root = open_root(world);
    struct error err;

    make(root, "/etc", false);
    assert_int_equal(symlinkat("../run/resolve/stub.conf", root, "etc/resolv.conf"), 0);
    make(root, "/etc/resolv.conf", true);
    assert_true(S_ISLNK(mode_of(root, "etc/resolv.conf")));
    assert_true(S_ISREG(mode_of(root, "run/resolve/stub.conf")));
    assert_int_equal(symlinkat("loop2", root, "loop1"), 0);
    assert_int_equal(symlinkat("loop1", root, "loop2"), 0);
    assert_int_equal(rootpath_make(root, "/loop1/x", false, &err), -ELOOP);
}

static int build_and_enter(struct world *world)
{
    struct rootfs rootfs;
    struct statvfs fs;
    struct stat st;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    /* Shares: nothing of the tree lies on them, and the host refuses what is read-only. */
    CHECK(faccessat(rootfs.shares[0], "data/inside", F_OK, 0) < 0);
    CHECK(mkdirat(rootfs.shares[0], "made-by-share", 0755) == 0);
    CHECK(faccessat(rootfs.shares[1], "inside", F_OK, 0) == 0);
    CHECK(mkdirat(rootfs.shares[1], "x", 0755) < 0 && errno == EROFS);
    CHECK(fstat(rootfs.shares[2], &st) == 0 && S_ISREG(st.st_mode));
    CHECK(fstatvfs(rootfs.shares[0], &fs) == 0 && (fs.f_flag & ST_NODEV) &&
          (fs.f_flag & ST_NOSUID));
    CHECK(rootfs_enter(&rootfs, &world->err) == 0);
    CHECK(access("/data/inside", F_OK) == 0);
    CHECK(mkdir("/data/x", 0755) < 0 && errno == EROFS);
    CHECK(access("/etc/file", F_OK) == 0);
    CHECK(access("/tmp-mount/sub/inside", F_OK) == 0);
    CHECK(access(world->directory, F_OK) < 0);
    return 0;
}

static void test_the_tree(void **state)
{
    struct world *world = *state;
    char path[128], top[2048];

    snprintf(path, sizeof(path), "%s/volume", world->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    world_file(world, "volume/inside", "x", 0644);
    snprintf(top, sizeof(top),
             "\"mounts\":["
             "{\"destination\":\"/data\",\"source\":\"volume\",\"options\":[\"rbind\",\"ro\"]},"
             "{\"destination\":\"/etc/file\",\"source\":\"volume/inside\",\"type\":\"bind\"},"
             "{\"destination\":\"/tmp-mount\",\"source\":\"tmpfs\",\"type\":\"tmpfs\"},"
             "{\"destination\":\"/tmp-mount/sub\",\"source\":\"volume\",\"type\":\"bind\"}]");
    world_accepts(world, NULL, NULL, top);
    in_namespace(world, build_and_enter);
    /* Mount points on the guest's own mounts were not made in the image. */
    snprintf(path, sizeof(path), "%s/rootfs/tmp-mount", world->directory);
    assert_int_equal(access(path, F_OK), 0);
    strcat(path, "/sub");
    assert_int_equal(access(path, F_OK), -1);
    world_release(world);
}

static int build_readonly(struct world *world)
{
    struct rootfs rootfs;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    CHECK(mkdirat(rootfs.shares[0], "x", 0755) < 0 && errno == EROFS);
    CHECK(mkdirat(rootfs.root, "x", 0755) < 0 && errno == EROFS);
    CHECK(faccessat(rootfs.shares[0], "new/deep", F_OK, 0) == 0);
    return 0;
}

static void test_a_readonly_root_still_gets_mount_points(void **state)
{
    struct world *world = *state;

    world_accepts(world, NULL, NULL,
                  "\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
                  "\"mounts\":[{\"destination\":\"/new/deep\",\"type\":\"tmpfs\"}]");
    in_namespace(world, build_readonly);
    world_release(world);
}

static int build_after_change(struct world *world)
{
    struct rootfs rootfs;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == -EBUSY);
    CHECK(strstr(world->err.message, "changed while the container was created"));
    return 0;
}

static void test_a_source_that_changes_its_kind_is_refused(void **state)
{
    struct world *world = *state;
    char path[128];

    world_file(world, "source", "x", 0644);
    world_accepts(world, NULL, NULL,
                  "\"mounts\":[{\"destination\":\"/x\",\"source\":\"source\",\"type\":\"bind\"}]");
    snprintf(path, sizeof(path), "%s/source", world->directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    in_namespace(world, build_after_change);
    world_release(world);
}

/* A volume with a filesystem of its own below, files over files, a link in the way. */
static int build_nested(struct world *world)
{
    char path[128];
    struct rootfs rootfs;
    struct statvfs fs;
    struct stat st;

    snprintf(path, sizeof(path), "%s/volume/below", world->directory);
    CHECK(mount("tmpfs", path, "tmpfs", MS_NOEXEC, "size=64k") == 0);
    snprintf(path, sizeof(path), "%s/volume/below/deep", world->directory);
    CHECK(mkdir(path, 0755) == 0);
    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    /* rbind takes it along, read-only as well; bind leaves it behind. */
    CHECK(faccessat(rootfs.shares[1], "below/deep", F_OK, 0) == 0);
    CHECK(mkdirat(rootfs.shares[1], "below/x", 0755) < 0 && errno == EROFS);
    CHECK(faccessat(rootfs.shares[2], "below/deep", F_OK, 0) < 0);
    CHECK(mkdirat(rootfs.shares[2], "writable", 0755) == 0);
    CHECK(fstat(rootfs.shares[3], &st) == 0 && S_ISREG(st.st_mode));
    CHECK(fstat(rootfs.shares[4], &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK(rootfs_enter(&rootfs, &world->err) == 0);
    CHECK(access("/a/below/deep", F_OK) == 0);
    CHECK(access("/b/inside", F_OK) == 0 && access("/a/mounted-over", F_OK) < 0);
    CHECK(stat("/etc/old", &st) == 0 && st.st_size == 1);
    CHECK(access("/real/target", F_OK) == 0);
    CHECK(lstat("/link", &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(statvfs("/a", &fs) == 0 && (fs.f_flag & ST_RDONLY));
    return 0;
}

static void test_bind_mounts_of_every_kind(void **state)
{
    struct world *world = *state;
    char path[128];

    for (const char *const *name =
             (const char *const[]) { "volume", "volume/below", "rootfs/etc", "rootfs/real", NULL };
         *name; name++) {
        snprintf(path, sizeof(path), "%s/%s", world->directory, *name);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    world_file(world, "volume/inside", "x", 0644);
    world_file(world, "rootfs/etc/old", "longer", 0644);
    snprintf(path, sizeof(path), "%s/rootfs/link", world->directory);
    assert_int_equal(symlink("/real", path), 0);
    snprintf(path, sizeof(path), "%s/fifo", world->directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    world_accepts(
        world, NULL, NULL,
        "\"mounts\":["
        "{\"destination\":\"/a\",\"source\":\"volume\",\"options\":[\"rbind\",\"rro\"]},"
        "{\"destination\":\"/b\",\"source\":\"volume\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/etc/old\",\"source\":\"volume/inside\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/link/target\",\"source\":\"fifo\",\"options\":[\"bind\"]}]");
    in_namespace(world, build_nested);
    world_release(world);
}

static int build_hook(struct world *world)
{
    struct rootfs rootfs;
    struct stat st;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    CHECK(fstat(rootfs.shares[1], &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 0100);
    CHECK(fchownat(rootfs.shares[1], "", 1, 1, AT_EMPTY_PATH) < 0 && errno == EROFS);
    return 0;
}

static void test_a_hooks_file_is_shared_readonly(void **state)
{
    struct world *world = *state;
    char top[256];

    world_file(world, "hook", "x", 0755);
    snprintf(top, sizeof(top), "\"hooks\":{\"createContainer\":[{\"path\":\"%s/hook\"}]}",
             world->directory);
    world_accepts(world, NULL, NULL, top);
    in_namespace(world, build_hook);
    world_release(world);
}

static int build_refused(struct world *world)
{
    struct rootfs rootfs;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == -ELOOP);
    CHECK(strstr(world->err.message, "mounts[0].source"));
    return 0;
}

/* What was looked at is what is shared: somebody may own the directory that the volume is in. */
static void test_a_source_with_a_new_link_in_its_path_is_refused(void **state)
{
    struct world *world = *state;
    char parent[128], moved[128];

    snprintf(parent, sizeof(parent), "%s/parent", world->directory);
    snprintf(moved, sizeof(moved), "%s/moved", world->directory);
    assert_int_equal(mkdir(parent, 0755), 0);
    world_file(world, "parent/volume", "x", 0644);
    world_accepts(world, NULL, NULL,
                  "\"mounts\":[{\"destination\":\"/a\",\"source\":\"parent/volume\","
                  "\"options\":[\"bind\"]}]");
    assert_int_equal(rename(parent, moved), 0);
    assert_int_equal(symlink("moved", parent), 0);
    in_namespace(world, build_refused);
    world_release(world);
}

/* A monitor that was taken over opens through it, as user 0: not /proc/sys, not other processes. */
static void test_descriptors_of_the_monitor_lead_nowhere_else(void **state)
{
    static const char *const ways[] = { "../../sys/kernel/hostname", "../status",
                                        "../root/etc/hostname",      "../../1/status",
                                        "../../../etc/hostname",     "../environ" };
    char name[32], self[64];
    int fd = rootfs_clone_descriptors();

    if (fd == -EPERM) {
        print_message("skipped: needs root\n");
        skip();
    }
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        assert_int_equal(openat(fd, ways[i], O_RDONLY | O_CLOEXEC), -1);
    snprintf(name, sizeof(name), "%d/../../sys/kernel/hostname", fd);
    assert_int_equal(openat(fd, name, O_RDONLY | O_CLOEXEC), -1);
    /* Its own descriptors are there. */
    snprintf(name, sizeof(name), "%d", fd);
    assert_true(readlinkat(fd, name, self, sizeof(self)) > 0);
    close(fd);
}

static int build_proc(struct world *world)
{
    static const char *const closed[] = { "fd",   "root", "exe",    "mem", "oom_score_adj",
                                          "self", "cwd",  "environ" };
    struct rootfs rootfs;
    char path[64], text[64], line[4096];
    int tree, count = 0;
    FILE *file;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    CHECK(rootfs_enter(&rootfs, &world->err) == 0);
    tree = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(tree >= 0 && openat(tree, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)getpid(), closed[i]);
        CHECK(access(path, F_OK) < 0 && errno == ENOENT);
    }
    CHECK(access("/proc/sys", F_OK) < 0 && access("/proc/1", F_OK) < 0);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)getpid());
    file = fopen(path, "re");
    snprintf(text, sizeof(text), "Pid:\t%d\n", (int)getpid());
    while (file && fgets(line, sizeof(line), file))
        count += strcmp(line, text) == 0;
    CHECK(file && fclose(file) == 0 && count == 1);
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)getpid());
    CHECK(readlink(path, text, sizeof(text)) > 5 && strncmp(text, "pid:[", 5) == 0);
    return 0;
}

/* psgo reads it in the monitor's mount namespace; vmrt-vmm, taken over, gains nothing by it. */
static void test_podman_top_finds_the_monitor_in_proc_and_nothing_else(void **state)
{
    struct world *world = *state;

    world_accepts(world, NULL, NULL, "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\"}]");
    in_namespace(world, build_proc);
    world_release(world);
}

/* What lxcfs is mounted on, as engines ask for it; the stand-in was read-only before. */
static const char *const lxcfs_targets[] = { "meminfo", "uptime", "stat", "net/dev",
                                             "sys/kernel/ns_last_pid" };

static int build_lxcfs(struct world *world)
{
    static const char *const places[] = { "/proc/new", "/proc/net/new", "/proc/sys/kernel/new" };
    struct rootfs rootfs;
    char path[64], text[16] = "";
    int ret;

    CHECK(rootfs_build(&world->plan, &rootfs, &world->err) == 0);
    CHECK(rootfs_enter(&rootfs, &world->err) == 0);
    for (size_t i = 0; i < sizeof(lxcfs_targets) / sizeof(lxcfs_targets[0]); i++) {
        int fd;

        snprintf(path, sizeof(path), "/proc/%s", lxcfs_targets[i]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 5 && memcmp(text, "lxcfs", 5) == 0);
        close(fd);
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        ret = open(places[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        CHECK(ret < 0 && errno == EROFS);
    }
    /* And podman top still finds what it needs. */
    snprintf(path, sizeof(path), "/proc/%d/status", (int)getpid());
    CHECK(access(path, R_OK) == 0);
    return 0;
}

static void test_files_of_lxcfs_are_mounted_below_proc_which_stays_readonly(void **state)
{
    struct world *world = *state;
    char top[2048];
    size_t length;

    world_file(world, "lxcfs", "lxcfs", 0644);
    length = (size_t)snprintf(top, sizeof(top),
                              "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\"}");
    for (size_t i = 0; i < sizeof(lxcfs_targets) / sizeof(lxcfs_targets[0]); i++)
        length += (size_t)snprintf(top + length, sizeof(top) - length,
                                   ",{\"destination\":\"/proc/%s\",\"source\":\"lxcfs\","
                                   "\"type\":\"bind\",\"options\":[\"bind\"]}",
                                   lxcfs_targets[i]);
    snprintf(top + length, sizeof(top) - length, "]");
    world_accepts(world, NULL, NULL, top);
    in_namespace(world, build_lxcfs);
    world_release(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_cleaned),
        TEST(test_mount_points_are_made),
        TEST(test_symlinks_of_the_image_stay_inside),
        TEST(test_dangling_links_are_followed_as_runc_does),
        TEST(test_the_tree),
        TEST(test_a_readonly_root_still_gets_mount_points),
        TEST(test_a_source_that_changes_its_kind_is_refused),
        TEST(test_bind_mounts_of_every_kind),
        TEST(test_a_hooks_file_is_shared_readonly),
        TEST(test_a_source_with_a_new_link_in_its_path_is_refused),
        TEST(test_descriptors_of_the_monitor_lead_nowhere_else),
        TEST(test_podman_top_finds_the_monitor_in_proc_and_nothing_else),
        TEST(test_files_of_lxcfs_are_mounted_below_proc_which_stays_readonly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
