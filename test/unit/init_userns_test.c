/* Containers with a user namespace: ids, mounts, devices, what is owned by whom. */
#include "init_host.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#define OUTSIDE 100000

static void put_map(struct protocol_writer *writer, uint16_t tag, uint64_t count)
{
    size_t mark = protocol_open(writer, tag);

    protocol_put_u64(writer, FIELD_ID_INSIDE, 0);
    protocol_put_u64(writer, FIELD_ID_OUTSIDE, OUTSIDE);
    protocol_put_u64(writer, FIELD_ID_COUNT, count);
    protocol_close(writer, mark);
}

/* What an engine sends: an image owned by the container's root, all that is usually mounted. */
static struct protocol_writer *begin_mapped(struct host *host, uint64_t count)
{
    struct protocol_writer *writer;
    char command[PATH_MAX];

    snprintf(command, sizeof(command), "chown -hR %d:%d %s", OUTSIDE, OUTSIDE,
             host_path(host, "image"));
    assert_int_equal(system(command), 0);
    writer = host_begin_container(host);
    protocol_put_u64(writer, FIELD_NAMESPACES,
                     CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP |
                         CLONE_NEWUSER);
    put_map(writer, FIELD_UID_MAP, count);
    put_map(writer, FIELD_GID_MAP, count);
    host_put_mount(writer, "/dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV,
                   "mode=1777,size=65536k");
    host_put_mount(writer, "/dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    host_put_mount(writer, "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL);
    host_put_mount(writer, "/sys/fs/cgroup", "cgroup",
                   MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME | MS_RDONLY, NULL);
    protocol_put_string(writer, FIELD_MASKED_PATH, "/proc/timer_list");
    protocol_put_string(writer, FIELD_MASKED_PATH, "/sys/firmware");
    protocol_put_string(writer, FIELD_READONLY_PATH, "/proc/sys");
    protocol_put_string(writer, FIELD_HOSTNAME, "mapped");
    return writer;
}

/* What needs CAP_SYS_RESOURCE, where there is such a thing; else what every root may have. */
static uint64_t high_limit(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    return prctl(PR_CAPBSET_READ, 24) == 1 ? 1u << 20 : limit.rlim_max;
}

static void put_limit(struct protocol_writer *writer, uint64_t soft, uint64_t hard)
{
    size_t mark = protocol_open(writer, FIELD_RLIMIT);

    protocol_put_u64(writer, FIELD_RESOURCE, RLIMIT_NOFILE);
    protocol_put_u64(writer, FIELD_SOFT, soft);
    protocol_put_u64(writer, FIELD_HARD, hard);
    protocol_close(writer, mark);
}

static void test_ids(void **state)
{
    struct host *host = host_get(state);
    struct stat st;
    char output[4096];

    host_put_shell(begin_mapped(host, 65536),
                   "id -u; id -g; tr -s ' ' < /proc/self/uid_map; stat -c '%u %g' / /bin/sh;"
                   "touch /new; hostname; echo x > /dev/stdout; cat /proc/1/comm; true");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "0\n0\n 0 100000 65536\n0 0\n0 0\nmapped\nx\nsh\n");
    assert_int_equal(stat(host_path(host, "image/new"), &st), 0);
    assert_int_equal(st.st_uid, OUTSIDE);
}

static void test_user_limits_and_oom_score(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = begin_mapped(host, 65536);
    int score = prctl(PR_CAPBSET_READ, 24) == 1 ? -500 : 500;
    char output[4096], expected[256];

    /* More than init has itself: a right that the namespace's root does not have. */
    put_limit(writer, 123, high_limit());
    protocol_put_u64(writer, FIELD_OOM_SCORE_ADJ, (uint64_t)score);
    protocol_put_u64(writer, FIELD_UID, 1000);
    protocol_put_u64(writer, FIELD_GID, 1001);
    protocol_put_u64(writer, FIELD_GROUP, 7);
    host_put_shell(writer, "id -u; id -g; grep Groups: /proc/self/status; echo x > /dev/stdout;"
                           "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    snprintf(expected, sizeof(expected), "1000\n1001\nGroups:\t7 \nx\n123\n%llu\n%d\n",
             (unsigned long long)high_limit(), score);
    assert_string_equal(output, expected);
}

static void test_mounts(void **state)
{
    struct host *host = host_get(state);
    char output[4096];

    host_put_shell(begin_mapped(host, 65536),
                   "cut -d' ' -f2,3 /proc/mounts | grep -v -E '^/dev/[nzfrut]|timer';"
                   "touch /dev/shm/x && echo shm; touch /sys/x 2>/dev/null || echo ro;"
                   "head -n 1 /sys/fs/cgroup/cgroup.procs; ls /sys/firmware; cat /proc/timer_list;"
                   "ls -d /sys/class/net/lo; stat -c %u /dev/shm /dev/mqueue /dev/pts");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "/ tmpfs\n/proc proc\n/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n"
                                "/dev/mqueue mqueue\n/sys sysfs\n/sys/fs/cgroup cgroup2\n"
                                "/proc/sys proc\n/sys/firmware tmpfs\n"
                                "shm\nro\n1\n/sys/class/net/lo\n0\n0\n0\n");
}

static void test_devices(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = begin_mapped(host, 65536);
    size_t mark = protocol_open(writer, FIELD_DEVICE);
    char output[4096];

    protocol_put_string(writer, FIELD_MOUNT_TARGET, "/dev/some/name");
    protocol_put_u64(writer, FIELD_DEVICE_MODE, S_IFCHR | 0620);
    protocol_put_u64(writer, FIELD_DEVICE_NUMBER, 1ull << 32 | 5);
    protocol_put_u64(writer, FIELD_UID, 3);
    protocol_put_u64(writer, FIELD_GID, 4);
    protocol_close(writer, mark);
    host_put_shell(writer, "for d in null zero full random urandom tty some/name; do"
                           "  stat -c '%n %A %u %g %t %T' /dev/$d; done; echo x > /dev/null;"
                           "head -c 3 /dev/zero | wc -c;"
                           "busybox mknod /tmp-node c 1 3 2>/dev/null || echo refused");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "/dev/null crw-rw-rw- 0 0 1 3\n/dev/zero crw-rw-rw- 0 0 1 5\n"
                                "/dev/full crw-rw-rw- 0 0 1 7\n/dev/random crw-rw-rw- 0 0 1 8\n"
                                "/dev/urandom crw-rw-rw- 0 0 1 9\n/dev/tty crw-rw-rw- 0 0 5 0\n"
                                "/dev/some/name crw--w---- 3 4 1 5\n3\nrefused\n");
}

static void test_shares_and_readonly_root(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[4096];

    mkdir(host_path(host, "shares/1"), 0755);
    host_write_file(host_path(host, "shares/1/file"), "content\n");
    host_write_file(host_path(host, "shares/2"), "127.0.0.1 me\n");
    writer = begin_mapped(host, 65536);
    host_put_share(writer, "/data", 1, MS_BIND | MS_REC | MS_RDONLY | MS_NOATIME, false);
    host_put_share(writer, "/etc/hosts", 2, MS_BIND | MS_REC, true);
    protocol_put_u64(writer, FIELD_ROOT_READONLY, 1);
    host_put_shell(writer, "cat /data/file /etc/hosts; touch /data/x 2>/dev/null || echo ro;"
                           "touch /x 2>/dev/null || echo root; stat -c %u /data/file;"
                           "mount -o remount,rw,bind /data 2>/dev/null || echo locked");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "content\n127.0.0.1 me\nro\nroot\n65534\nlocked\n");
}

static void test_exec_joins_it(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[4096], expected[256];

    host_put_shell(begin_mapped(host, 65536), "read line; exit 9");
    host_launch(host);
    writer = host_begin_exec(host, 1);
    host->terminal = true;
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    protocol_put_u64(writer, FIELD_UID, 1000);
    put_limit(writer, high_limit(), high_limit());
    host_put_shell(writer, "id -u; tty; stat -c %u /dev/pts/0; tr -s ' ' < /proc/self/uid_map;"
                           "test $(readlink /proc/self/ns/pid) = $(readlink /proc/$$/ns/pid) &&"
                           "echo same; ulimit -n");
    assert_int_equal(host_exec(host, 1), 0);
    host_read_text(host->further[1], output, sizeof(output));
    assert_int_equal(host_wait_exit_of(host, 1), 0);
    snprintf(expected, sizeof(expected),
             "1000\r\n/dev/pts/0\r\n1000\r\n 0 100000 65536\r\nsame\r\n%llu\r\n",
             (unsigned long long)high_limit());
    assert_string_equal(output, expected);
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 9);
}

static void test_terminal(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = begin_mapped(host, 65536);
    char output[4096];

    host->terminal = true;
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    host_put_shell(writer, "tty; stat -c %u /dev/pts/0 /dev/console");
    host_launch(host);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "/dev/pts/0\r\n0\r\n0\r\n");
    assert_int_equal(host_wait_exit(host), 0);
}

/* The group of terminals (5) has no id in the container: the kernel refuses the devpts. */
static void test_unmapped_id_is_an_error(void **state)
{
    struct host *host = host_get(state);

    host_put_shell(begin_mapped(host, 2), "true");
    assert_int_equal(host_prepare(host), EINVAL);
    assert_string_equal(host->text, "mount /dev/pts (devpts): invalid argument");
}

static void test_overlapping_map_is_an_error(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer = begin_mapped(host, 65536);

    put_map(writer, FIELD_UID_MAP, 3);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), EINVAL);
    assert_string_equal(host->text, "uid_map: invalid argument");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ids),
        TEST(test_user_limits_and_oom_score),
        TEST(test_mounts),
        TEST(test_devices),
        TEST(test_shares_and_readonly_root),
        TEST(test_exec_joins_it),
        TEST(test_terminal),
        TEST(test_unmapped_id_is_an_error),
        TEST(test_overlapping_map_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
