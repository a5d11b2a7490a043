/* The mount tree: flags, files and directories, what is hidden, and links that lead nowhere good.
 */
#include "init_host.h"

#define BIND (MS_BIND | MS_REC)

/* Makes share @index a directory with one file. */
static void add_share(struct host *host, unsigned int index, const char *content)
{
    char name[32];

    snprintf(name, sizeof(name), "shares/%u", index);
    assert_int_equal(mkdir(host_path(host, name), 0755), 0);
    snprintf(name, sizeof(name), "shares/%u/file", index);
    host_write_file(host_path(host, name), content);
}

/* Runs a script in the CONTAINER begun and compares what it prints. */
static void expect(struct host *host, const char *script, const char *output)
{
    char got[8192];

    host_put_shell(&host->writer, script);
    host_run(host, got, sizeof(got));
    assert_string_equal(got, output);
}

static void test_share_is_mounted_and_its_place_made(void **state)
{
    struct host *host = host_get(state);

    add_share(host, 1, "content\n");
    host_put_share(host_begin_container(host), "/made/for/data", 1, BIND, false);
    expect(host, "cat /made/for/data/file; echo new > /made/for/data/new; cat /made/for/data/new",
           "content\nnew\n");
    assert_int_equal(access(host_path(host, "shares/1/new"), F_OK), 0);
    assert_int_equal(access(host_path(host, "image/made/for/data"), F_OK), 0);
}

static void test_share_flags(void **state)
{
    struct host *host = host_get(state);

    add_share(host, 1, "content\n");
    host_put_share(host_begin_container(host), "/data", 1,
                   BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, false);
    expect(host,
           "cat /data/file; echo x 2>/dev/null > /data/file || echo refused;"
           "grep ' /data ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1-5",
           "content\nrefused\nro,nosuid,nodev,noexec,noatime\n");
}

static void test_single_file(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    host_write_file(host_path(host, "shares/1"), "127.0.0.1 me\n");
    host_write_file(host_path(host, "shares/2"), "other\n");
    host_write_file(host_path(host, "image/etc/hosts"), "covered\n");
    writer = host_begin_container(host);
    host_put_share(writer, "/etc/hosts", 1, MS_BIND | MS_RDONLY, true);
    host_put_share(writer, "/new/place/name", 2, MS_BIND, true);
    expect(host, "cat /etc/hosts /new/place/name; { echo > /etc/hosts; } 2>/dev/null || echo ro",
           "127.0.0.1 me\nother\nro\n");
}

static void test_links_of_the_image_stay_inside(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    add_share(host, 1, "one\n");
    mkdir(host_path(host, "outside"), 0755);
    assert_int_equal(symlink(host_path(host, "outside"), host_path(host, "image/absolute")), 0);
    assert_int_equal(symlink("../../../../../../..", host_path(host, "image/up")), 0);
    assert_int_equal(symlink("/run/made/later", host_path(host, "image/dangling")), 0);
    assert_int_equal(symlink("/proc/self/root", host_path(host, "image/magic")), 0);
    writer = host_begin_container(host);
    host_put_share(writer, "/absolute/x", 1, BIND, false);
    host_put_share(writer, "/up/up/y", 1, BIND, false);
    host_put_share(writer, "/dangling", 1, BIND, false);
    host_put_share(writer, "/a/../../../b/./c", 1, BIND, false);
    expect(host, "cat /absolute/x/file /y/file /run/made/later/file /b/c/file",
           "one\none\none\none\n");
    assert_int_equal(access(host_path(host, "outside/x"), F_OK), -1);
    assert_int_equal(access("/y", F_OK), -1);
}

static void test_dangling_link_for_a_file(void **state)
{
    struct host *host = host_get(state);

    /* What Ubuntu's images have at /etc/resolv.conf. */
    assert_int_equal(symlink("../run/systemd/resolve/stub-resolv.conf",
                             host_path(host, "image/etc/resolv.conf")),
                     0);
    host_write_file(host_path(host, "shares/1"), "nameserver 1.2.3.4\n");
    host_put_share(host_begin_container(host), "/etc/resolv.conf", 1, MS_BIND, true);
    expect(host, "cat /etc/resolv.conf", "nameserver 1.2.3.4\n");
}

static void test_link_loop_is_an_error(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    assert_int_equal(symlink("loop", host_path(host, "image/loop")), 0);
    add_share(host, 1, "one\n");
    writer = host_begin_container(host);
    host_put_share(writer, "/loop/x", 1, BIND, false);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ELOOP);
    assert_string_equal(host->text, "mount /loop/x (share): too many levels of symbolic links");
}

static void test_proc_through_a_link_is_refused(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    mkdir(host_path(host, "image/elsewhere"), 0755);
    assert_int_equal(symlink("elsewhere", host_path(host, "image/proc2")), 0);
    writer = host_begin_container(host);
    host_put_mount(writer, "/proc2", "proc", 0, NULL);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENOTDIR);
    assert_string_equal(host->text, "mount /proc2 (proc): not a directory");
}

static void test_missing_share_names_the_mount(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    host_put_share(writer, "/data", 9, BIND, false);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENOENT);
    assert_string_equal(host->text, "mount /data (share): no such file or directory");
}

static void test_masked_and_readonly_paths(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    mkdir(host_path(host, "image/secret"), 0755);
    host_write_file(host_path(host, "image/secret/key"), "key");
    host_write_file(host_path(host, "image/secret.txt"), "text");
    writer = host_begin_container(host);
    protocol_put_string(writer, FIELD_MASKED_PATH, "/secret");
    protocol_put_string(writer, FIELD_MASKED_PATH, "/secret.txt");
    protocol_put_string(writer, FIELD_MASKED_PATH, "/proc/timer_list");
    protocol_put_string(writer, FIELD_MASKED_PATH, "/no/such/path");
    protocol_put_string(writer, FIELD_READONLY_PATH, "/proc/sys");
    protocol_put_string(writer, FIELD_READONLY_PATH, "/etc");
    protocol_put_string(writer, FIELD_READONLY_PATH, "/not/there");
    expect(host,
           "ls /secret; cat /secret.txt; cat /proc/timer_list; touch /secret/x 2>/dev/null ||"
           "echo 1; touch /etc/x 2>/dev/null || echo 2;"
           "{ echo 1 > /proc/sys/kernel/shm_rmid_forced; } 2>/dev/null || echo 3; touch /ok",
           "1\n2\n3\n");
}

static void test_readonly_root(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    protocol_put_u64(writer, FIELD_ROOT_READONLY, 1);
    protocol_put_string(writer, FIELD_CWD, "/made/before");
    host_put_mount(writer, "/tmp", "tmpfs", MS_NOSUID, "size=1m");
    expect(host, "touch /x 2>/dev/null || echo refused; touch /tmp/x && pwd; ls /dev/null",
           "refused\n/made/before\n/dev/null\n");
}

static void test_tmpfs_keeps_the_mode_it_covers(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    mkdir(host_path(host, "image/sticky"), 0755);
    chmod(host_path(host, "image/sticky"), 01777);
    mkdir(host_path(host, "image/told"), 0755);
    writer = host_begin_container(host);
    host_put_mount(writer, "/sticky", "tmpfs", MS_NOSUID, NULL);
    host_put_mount(writer, "/told", "tmpfs", MS_NOSUID, "mode=700");
    host_put_mount(writer, "/sealed", "tmpfs", MS_RDONLY, NULL);
    expect(host, "stat -c %a /sticky /told; touch /sealed/x 2>/dev/null || echo sealed",
           "1777\n700\nsealed\n");
}

static void test_devices(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    size_t mark = protocol_open(writer, FIELD_DEVICE);

    protocol_put_string(writer, FIELD_MOUNT_TARGET, "/dev/net/tun");
    protocol_put_u64(writer, FIELD_DEVICE_MODE, S_IFCHR | 0620);
    protocol_put_u64(writer, FIELD_DEVICE_NUMBER, 10ull << 32 | 200);
    protocol_put_u64(writer, FIELD_UID, 3);
    protocol_put_u64(writer, FIELD_GID, 4);
    protocol_close(writer, mark);
    expect(host,
           "for d in null zero full random urandom tty net/tun; do"
           "  stat -c '%n %A %u %g %t %T' /dev/$d; done;"
           "for l in ptmx fd stdin stdout stderr; do readlink /dev/$l; done; echo x > /dev/null",
           "/dev/null crw-rw-rw- 0 0 1 3\n/dev/zero crw-rw-rw- 0 0 1 5\n"
           "/dev/full crw-rw-rw- 0 0 1 7\n/dev/random crw-rw-rw- 0 0 1 8\n"
           "/dev/urandom crw-rw-rw- 0 0 1 9\n/dev/tty crw-rw-rw- 0 0 5 0\n"
           "/dev/net/tun crw--w---- 3 4 a c8\npts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n"
           "/proc/self/fd/1\n/proc/self/fd/2\n");
}

static void test_dev_link_in_the_image_cannot_make_nodes_elsewhere(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    mkdir(host_path(host, "outside"), 0755);
    assert_int_equal(symlink(host_path(host, "outside"), host_path(host, "image/dev")), 0);
    writer = host_begin(host, MESSAGE_CONTAINER);
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_string(writer, FIELD_ENV, "PATH=/bin");
    expect(host, "test -c /dev/null && echo inside", "inside\n");
    assert_int_equal(access(host_path(host, "outside/null"), F_OK), -1);
}

static void test_nothing_of_init_is_left(void **state)
{
    struct host *host = host_get(state);

    host_begin_container(host);
    expect(host, "cut -d' ' -f5 /proc/self/mountinfo; ls /",
           "/\n/proc\n/dev\n/dev/pts\nbin\ndev\n"
           "etc\nproc\n");
}

static void test_cgroup_mount_shows_only_the_container(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    host_put_mount(writer, "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL);
    host_put_mount(writer, "/sys/fs/cgroup", "cgroup",
                   MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME | MS_RDONLY, NULL);
    expect(host,
           "head -n 1 /sys/fs/cgroup/cgroup.procs; ls -d /sys/fs/cgroup/*/ 2>/dev/null;"
           "grep -o 'cgroup2 ro' /proc/mounts; touch /sys/x 2>/dev/null || echo ro",
           "1\ncgroup2 ro\nro\n");
}

static void test_cgroups_made_by_the_workload_go_with_it(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);

    mkdir(host_path(host, "image/sys"), 0755);
    host_put_mount(writer, "/cgroup", "cgroup", 0, NULL);
    expect(host, "mkdir -p /cgroup/a/b && echo made", "made\n");
    usleep(100000);
    assert_int_equal(access(host_path(host, "group/test-container"), F_OK), -1);
}

static void test_sysctl(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    size_t mark = protocol_open(writer, FIELD_SYSCTL);

    protocol_put_string(writer, FIELD_KEY, "kernel.shmmni");
    protocol_put_string(writer, FIELD_VALUE, "1234");
    protocol_close(writer, mark);
    expect(host, "cat /proc/sys/kernel/shmmni", "1234\n");
}

static void test_sysctl_cannot_leave_its_tree(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    size_t mark = protocol_open(writer, FIELD_SYSCTL);

    protocol_put_string(writer, FIELD_KEY, "/../1/comm");
    protocol_put_string(writer, FIELD_VALUE, "x");
    protocol_close(writer, mark);
    host_put_shell(writer, "true");
    assert_int_not_equal(host_prepare(host), 0);
}

static void test_propagation_of_a_mount(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    add_share(host, 1, "one\n");
    writer = host_begin_container(host);
    host_put_share(writer, "/data", 1, BIND | MS_SHARED, false);
    expect(host,
           "grep ' /data ' /proc/self/mountinfo | grep -o shared;"
           "grep -c shared /proc/self/mountinfo",
           "shared\n1\n");
}

static void put_tmpfs(struct protocol_writer *writer, const char *target, const char *data)
{
    size_t mark = protocol_open(writer, FIELD_MOUNT);

    protocol_put_string(writer, FIELD_MOUNT_TARGET, target);
    protocol_put_string(writer, FIELD_MOUNT_TYPE, "tmpfs");
    protocol_put_u64(writer, FIELD_MOUNT_COPYUP, 1);
    protocol_put_u64(writer, FIELD_MOUNT_FLAGS, MS_RDONLY);
    protocol_put_string(writer, FIELD_MOUNT_DATA, data);
    protocol_close(writer, mark);
}

static void test_tmpcopyup(void **state)
{
    struct host *host = host_get(state);

    mkdir(host_path(host, "image/up"), 0755);
    mkdir(host_path(host, "image/up/below"), 0755);
    host_write_file(host_path(host, "image/up/file"), "content\n");
    host_write_file(host_path(host, "image/up/below/deep"), "deep\n");
    assert_int_equal(symlink("/etc/passwd", host_path(host, "image/up/link")), 0);
    assert_int_equal(symlink("/no/such", host_path(host, "image/up/below/dangling")), 0);
    assert_int_equal(mkfifo(host_path(host, "image/up/fifo"), 0640), 0);
    chown(host_path(host, "image/up/file"), 3, 4);
    chmod(host_path(host, "image/up/file"), 04755);
    chown(host_path(host, "image/up/below"), 5, 6);
    chmod(host_path(host, "image/up/below"), 01775);
    lchown(host_path(host, "image/up/link"), 7, 8);
    chown(host_path(host, "image/up"), 9, 10);
    host_begin_container(host);
    put_tmpfs(&host->writer, "/up", "size=1m");
    put_tmpfs(&host->writer, "/empty", "size=1m");
    expect(host,
           "cd /up; stat -c '%n %a %u %g %F' . * below/*; cat file below/deep; readlink link;"
           "ls /empty; grep -c ' /up tmpfs ro' /proc/mounts; touch /up/x 2>/dev/null || echo ro",
           ". 755 9 10 directory\nbelow 1775 5 6 directory\nfifo 640 0 0 fifo\n"
           "file 4755 3 4 regular file\nlink 777 7 8 symbolic link\n"
           "below/dangling 777 0 0 symbolic link\nbelow/deep 644 0 0 regular file\n"
           "content\ndeep\n/etc/passwd\n1\nro\n");
}

static void test_tmpcopyup_that_does_not_fit(void **state)
{
    struct host *host = host_get(state);
    static char big[100000];

    mkdir(host_path(host, "image/up"), 0755);
    memset(big, 'x', sizeof(big) - 1);
    host_write_file(host_path(host, "image/up/big"), big);
    host_begin_container(host);
    put_tmpfs(&host->writer, "/up", "size=8k");
    host_put_shell(&host->writer, "true");
    assert_int_equal(host_prepare(host), ENOSPC);
    assert_string_equal(host->text, "mount /up (tmpfs): no space left on device");
}

/* Not only the mount itself but what is mounted below it: "rro". */
static void test_recursive_attributes(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    size_t mark;

    add_share(host, 1, "one\n");
    mkdir(host_path(host, "shares/1/below"), 0755);
    assert_int_equal(mount("tmpfs", host_path(host, "shares/1/below"), "tmpfs", 0, NULL), 0);
    writer = host_begin_container(host);
    host_put_share(writer, "/plain", 1, BIND | MS_RDONLY, false);
    mark = protocol_open(writer, FIELD_MOUNT);
    protocol_put_string(writer, FIELD_MOUNT_TARGET, "/data");
    protocol_put_string(writer, FIELD_MOUNT_TYPE, "share");
    protocol_put_u64(writer, FIELD_MOUNT_SHARE, 1);
    protocol_put_u64(writer, FIELD_MOUNT_FLAGS, BIND);
    protocol_put_u64(writer, FIELD_MOUNT_ATTRIBUTES,
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME);
    protocol_put_u64(writer, FIELD_MOUNT_ATTRIBUTES_CLEAR, MOUNT_ATTR_NOEXEC);
    protocol_close(writer, mark);
    expect(host,
           "touch /plain/below/x && echo plain; touch /data/x 2>/dev/null || echo ro;"
           "touch /data/below/x 2>/dev/null || echo rro;"
           "grep ' /data' /proc/mounts | cut -d' ' -f4 | cut -d, -f1-3",
           "plain\nro\nrro\nro,nosuid,noatime\nro,nosuid,noatime\n");
}

static void test_attributes_are_checked(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = host_begin_container(host);
    size_t mark = protocol_open(writer, FIELD_MOUNT);

    protocol_put_string(writer, FIELD_MOUNT_TARGET, "/x");
    protocol_put_string(writer, FIELD_MOUNT_TYPE, "tmpfs");
    protocol_put_u64(writer, FIELD_MOUNT_ATTRIBUTES, MOUNT_ATTR_IDMAP);
    protocol_close(writer, mark);
    host_put_shell(writer, "true");
    host_send(host);
    assert_int_equal(host_result(host), EINVAL);
    assert_string_equal(host->text, "container: field 70: invalid argument");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_share_is_mounted_and_its_place_made),
        TEST(test_share_flags),
        TEST(test_single_file),
        TEST(test_links_of_the_image_stay_inside),
        TEST(test_dangling_link_for_a_file),
        TEST(test_link_loop_is_an_error),
        TEST(test_proc_through_a_link_is_refused),
        TEST(test_missing_share_names_the_mount),
        TEST(test_masked_and_readonly_paths),
        TEST(test_readonly_root),
        TEST(test_tmpfs_keeps_the_mode_it_covers),
        TEST(test_devices),
        TEST(test_dev_link_in_the_image_cannot_make_nodes_elsewhere),
        TEST(test_nothing_of_init_is_left),
        TEST(test_cgroup_mount_shows_only_the_container),
        TEST(test_cgroups_made_by_the_workload_go_with_it),
        TEST(test_sysctl),
        TEST(test_sysctl_cannot_leave_its_tree),
        TEST(test_propagation_of_a_mount),
        TEST(test_tmpcopyup),
        TEST(test_tmpcopyup_that_does_not_fit),
        TEST(test_recursive_attributes),
        TEST(test_attributes_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
