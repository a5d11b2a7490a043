/* From config.json to the plan: size of the machine, namespaces, mounts, devices, guest's orders.
 */
#include "oci_world.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "vmm/plan.h"

#define MIB (1ll << 20)

/* The fields of the guest's orders with @tag: the @index-th as a string. */
static const char *guest_string(const struct world *world, uint16_t tag, size_t index)
{
    struct protocol_reader fields = { world->plan.guest.data + PROTOCOL_HEADER_SIZE,
                                      world->plan.guest.length - PROTOCOL_HEADER_SIZE };
    struct protocol_field field;
    bool bad = false;

    while (protocol_next(&fields, &field) == 1)
        if (field.tag == tag && index-- == 0)
            return protocol_string(&field, &bad);
    return NULL;
}

static uint64_t guest_u64(const struct world *world, uint16_t tag)
{
    struct protocol_reader fields = { world->plan.guest.data + PROTOCOL_HEADER_SIZE,
                                      world->plan.guest.length - PROTOCOL_HEADER_SIZE };
    struct protocol_field field = { 0 };
    bool bad = false;
    uint64_t value;

    assert_int_equal(protocol_find(fields, tag, &field), 1);
    value = protocol_u64(&field, &bad);
    assert_false(bad);
    return value;
}

static void test_memory(void **state)
{
    struct world *world = *state;

    world_accepts(world, NULL, NULL, NULL);
    assert_int_equal(world->plan.memory_mib, 1024);
    assert_true(world->plan.limits.memory_max == SPEC_UNSET);
    assert_int_equal(world->plan.files_max, 43690);
    world_release(world);

    /* The limit is the size, and the host's limit is larger by the overhead. */
    world_accepts(world, NULL,
                  "\"resources\":{\"memory\":{\"limit\":268435456,"
                  "\"swap\":536870912}}",
                  NULL);
    assert_int_equal(world->plan.memory_mib, 256);
    assert_int_equal(world->plan.limits.memory_max, 256 * MIB + 192 * MIB + 4 * MIB);
    assert_int_equal(world->plan.limits.memory_swap, 512 * MIB + 192 * MIB + 4 * MIB);
    assert_int_equal(world->plan.files_max, 43690);
    world_release(world);

    world_accepts(world, NULL, "\"resources\":{\"memory\":{\"limit\":-1,\"swap\":-1}}", NULL);
    assert_int_equal(world->plan.memory_mib, 1024);
    assert_int_equal(world->plan.limits.memory_max, -1);
    assert_int_equal(world->plan.exhaust_mib, 0);
    world_release(world);

    /* docs/decisions/0011: only where nothing can be swapped out, and it may be killed. */
    world_accepts(world, NULL,
                  "\"resources\":{\"memory\":{\"limit\":268435456,\"swap\":268435456}}", NULL);
    assert_int_equal(world->plan.exhaust_mib, 256 + 192 + 4 + 1);
    world_release(world);
    world_accepts(world, "\"oomScoreAdj\":-1000",
                  "\"resources\":{\"memory\":{\"limit\":268435456,\"swap\":268435456}}", NULL);
    assert_int_equal(world->plan.exhaust_mib, 0);
    world_release(world);

    /* More than the host has is what the host has. */
    world_accepts(world, NULL, "\"resources\":{\"memory\":{\"limit\":9223372036854771712}}", NULL);
    assert_true(world->plan.memory_mib > 1024 && world->plan.memory_mib < 1 << 24);
    assert_int_equal(world->plan.limits.memory_max, -1);
    world_release(world);

    world_refuses(world, NULL, "\"resources\":{\"memory\":{\"limit\":4194304}}", NULL,
                  "linux.resources.memory.limit: a virtual machine needs at least 40 MiB");
    world_refuses(world, "\"env\":[\"VMRT_MEMORY=300\"]",
                  "\"resources\":{\"memory\":{\"limit\":268435456}}", NULL,
                  "VMRT_MEMORY: 300 MiB is more than linux.resources.memory.limit (256 MiB)");
    world_accepts(world, "\"env\":[\"VMRT_MEMORY=100\"]",
                  "\"resources\":{\"memory\":{\"limit\":268435456}}", NULL);
    assert_int_equal(world->plan.memory_mib, 100);
    world_release(world);
}

static void test_cpus(void **state)
{
    static const struct {
        const char *process, *section;
        uint32_t cpus;
    } rows[] = {
        { NULL, "\"resources\":{\"cpu\":{\"quota\":50000,\"period\":100000}}", 1 },
        { NULL, "\"resources\":{\"cpu\":{\"quota\":150000,\"period\":100000}}", 2 },
        { NULL, "\"resources\":{\"cpu\":{\"quota\":300000}}", 3 },
        { NULL, "\"resources\":{\"cpu\":{\"quota\":900000000,\"period\":1000}}", PLAN_CPUS_MAX },
        { NULL, "\"resources\":{\"cpu\":{\"cpus\":\"0\"}}", 1 },
        { NULL, "\"resources\":{\"cpu\":{\"quota\":400000,\"cpus\":\"0-1,5\"}}", 3 },
        { "\"env\":[\"VMRT_CPUS=7\"]", "\"resources\":{\"cpu\":{\"quota\":50000}}", 7 },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_accepts(world, rows[i].process, rows[i].section, NULL);
        assert_int_equal(world->plan.cpus, rows[i].cpus);
        world_release(world);
    }
    world_accepts(world, NULL, NULL, NULL);
    assert_in_range(world->plan.cpus, 1, PLAN_CPUS_DEFAULT_MAX);
    world_release(world);
}

static void test_affinity(void **state)
{
    struct world *world = *state;

    world_accepts(world, NULL, "\"resources\":{\"cpu\":{\"cpus\":\"1,4-5\",\"quota\":300000}}",
                  NULL);
    assert_int_equal(world->plan.affinity_count, 3);
    assert_int_equal(world->plan.affinity[0], 1);
    assert_int_equal(world->plan.affinity[1], 4);
    assert_int_equal(world->plan.affinity[2], 5);
    world_release(world);
    /* Fewer virtual CPUs than real ones move about in the set. */
    world_accepts(world, NULL, "\"resources\":{\"cpu\":{\"cpus\":\"1,4-5\",\"quota\":200000}}",
                  NULL);
    assert_int_equal(world->plan.cpus, 2);
    assert_null(world->plan.affinity);
    world_release(world);
    world_accepts(world, NULL, NULL, NULL);
    assert_null(world->plan.affinity);
    world_release(world);
}

static void test_sysctls_are_those_of_a_namespace(void **state)
{
    struct world *world = *state;

    world_accepts(
        world, NULL,
        "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"net/ipv4/conf/eth0.1/forwarding\":\"1\","
        "\"kernel.shmmax\":\"1\",\"fs.mqueue.msg_max\":\"5\",\"kernel.domainname\":\"x\"}",
        NULL);
    world_release(world);
    world_refuses(world, NULL, "\"sysctl\":{\"vm.swappiness\":\"1\"}", NULL,
                  "sysctl \"vm.swappiness\" is not in a separate kernel namespace");
    world_refuses(world, NULL, "\"sysctl\":{\"kernel/hostname\":\"x\"}", NULL,
                  "sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI "
                  "\"hostname\" field");
    world_refuses(world, NULL, "\"sysctl\":{\"network.x\":\"1\"}", NULL,
                  "separate kernel namespace");
}

static void test_namespaces(void **state)
{
#define NS(list) "\"namespaces\":[" list "]"
#define PID      "{\"type\":\"pid\"}"
#define NET      "{\"type\":\"network\"}"
#define IPC      "{\"type\":\"ipc\"}"
    struct world *world = *state;

    world_refuses(world, NULL, NS(PID "," IPC), NULL, "host networking is not supported");
    world_refuses(world, NULL, NS(NET "," IPC), NULL, "no \"pid\" entry");
    world_refuses(world, NULL, NS(NET "," PID), NULL, "no \"ipc\" entry");
    world_refuses(world, NULL, NS(NET "," PID "," IPC ",{\"type\":\"user\"}"), NULL,
                  "no mappings to apply specified");
    world_refuses(world, NULL,
                  NS(NET "," PID "," IPC ",{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}"), NULL,
                  "linux.namespaces[3].path: joining the user namespace");
    world_refuses(world, NULL, NS(NET "," IPC ",{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}"),
                  NULL, "linux.namespaces[2].path: joining the pid namespace /proc/1/ns/pid");
    world_refuses(world, NULL, NS(NET "," PID "," IPC ",{\"type\":\"moon\"}"), NULL,
                  "linux.namespaces[3].type: expected pid, network");
    world_accepts(world, NULL,
                  NS(PID "," IPC ",{\"type\":\"network\",\"path\":\"/run/netns/x\"},"
                         "{\"type\":\"cgroup\"},{\"type\":\"time\"}"),
                  NULL);
    assert_string_equal(world->plan.network_path, "/run/netns/x");
    assert_true(world->plan.cgroup_namespace);
    world_release(world);
}

/* The host's namespace by no entry, and by a path to it, as Docker does. */
static void test_host_network(void **state)
{
#define HOST_MODE "\"env\":[\"VMRT_NETWORK_MODE=host\"]"
#define OWN_NET   "{\"type\":\"network\",\"path\":\"/proc/self/ns/net\"}"
    struct world *world = *state;

    world_refuses(world, NULL, NS(PID "," IPC), NULL, "set VMRT_NETWORK_MODE=host for one");
    world_refuses(world, NULL, NS(PID "," IPC "," OWN_NET), NULL, "set VMRT_NETWORK_MODE=host");
    world_accepts(world, HOST_MODE, NS(PID "," IPC "," NET), NULL);
    assert_false(world->plan.uplink);
    world_release(world);
    if (geteuid() != 0) {
        world_refuses(world, HOST_MODE, NS(PID "," IPC), NULL, "VMRT_NETWORK_MODE: ");
        return;
    }
    world_accepts(world, HOST_MODE, NS(PID "," IPC), NULL);
    assert_true(world->plan.uplink);
    world_release(world);
    world_accepts(world, HOST_MODE, NS(PID "," IPC "," OWN_NET), NULL);
    assert_true(world->plan.uplink);
    assert_null(world->plan.network_path);
    world_release(world);
    world_refuses(world, HOST_MODE, NS(PID "," IPC) ",\"sysctl\":{\"net.ipv4.tcp_mem\":\"1\"}",
                  NULL, "sysctl \"net.ipv4.tcp_mem\" not allowed in host network namespace");
}

/* Runs in network and PID namespaces of its own until it is killed. */
static pid_t spawn_in_namespaces(int flags)
{
    int ends[2];
    pid_t pid;
    char ready;

    assert_int_equal(pipe(ends), 0);
    pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!write(ends[1], "", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &ready, 1), 1);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

/* A virtual machine would take the other's interfaces over. */
static void test_the_network_of_another_container(void **state)
{
    static const struct {
        int flags;
        bool refused;
    } rows[] = { { CLONE_NEWNET | CLONE_NEWPID, true }, { CLONE_NEWNET, false } };
    struct world *world = *state;

    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pid_t pid = spawn_in_namespaces(rows[i].flags);
        char section[256];

        snprintf(section, sizeof(section),
                 NS(PID "," IPC ",{\"type\":\"network\",\"path\":\"/proc/%d/ns/net\"}"), (int)pid);
        if (rows[i].refused) {
            world_refuses(world, NULL, section, NULL, "is that of another container");
        } else {
            world_accepts(world, NULL, section, NULL);
            world_release(world);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void test_rootfs(void **state)
{
    struct world *world = *state;
    char link[128], top[256];

    world_refuses(world, NULL, NULL, "\"root\":{\"path\":\"nosuch\"}", "invalid rootfs: stat");
    world_refuses(world, NULL, NULL, "\"root\":{\"path\":\"/\"}", "the host's own root");
    world_file(world, "file", "x", 0644);
    world_refuses(world, NULL, NULL, "\"root\":{\"path\":\"file\"}", "is not a directory");
    snprintf(link, sizeof(link), "%s/link", world->directory);
    assert_int_equal(symlink("rootfs", link), 0);
    snprintf(top, sizeof(top), "\"root\":{\"path\":\"%s\"}", link);
    world_accepts(world, NULL, NULL, top);
    assert_string_equal(strrchr(world->plan.rootfs, '/'), "/rootfs");
    world_release(world);
}

#define MOUNT(destination, type, source, options)                                                 \
    "\"mounts\":[{\"destination\":\"" destination "\",\"type\":\"" type "\",\"source\":\"" source \
    "\",\"options\":[" options "]}]"

static void test_bind_mounts_become_shares(void **state)
{
    struct world *world = *state;

    world_file(world, "file", "x", 0644);
    world_accepts(
        world, NULL, NULL,
        "\"mounts\":[{\"destination\":\"/a/../b//c\",\"type\":\"bind\",\"source\":\"file\","
        "\"options\":[\"rbind\",\"ro\",\"rprivate\",\"noexec\"]},"
        "{\"destination\":\"d\",\"source\":\"/tmp\",\"options\":[\"bind\"]}]");
    assert_int_equal(world->plan.share_count, 3);
    assert_int_equal(world->plan.mount_count, 2);
    assert_string_equal(world->plan.mounts[0].target, "/b/c");
    assert_true(world->plan.mounts[0].is_file && world->plan.mounts[0].readonly);
    assert_true(world->plan.mounts[0].recursive);
    assert_int_equal(world->plan.mounts[0].share, 1);
    assert_int_equal(world->plan.mounts[0].flags, MS_RDONLY | MS_NOEXEC);
    assert_int_equal(world->plan.mounts[0].propagation, MS_PRIVATE | MS_REC);
    assert_string_equal(world->plan.mounts[1].target, "/d");
    assert_false(world->plan.mounts[1].is_file || world->plan.mounts[1].readonly ||
                 world->plan.mounts[1].recursive);
    assert_int_equal(world->plan.mounts[1].share, 2);
    world_release(world);
}

static void test_guest_mounts(void **state)
{
    struct world *world = *state;

    world_accepts(world, NULL, NULL,
                  MOUNT("/t", "tmpfs", "tmpfs",
                        "\"nosuid\",\"strictatime\",\"mode=755\",\"size=1k\",\"tmpcopyup\""));
    assert_false(world->plan.mounts[0].bind);
    assert_string_equal(world->plan.mounts[0].data, "mode=755,size=1k");
    assert_int_equal(world->plan.mounts[0].flags, MS_NOSUID | MS_STRICTATIME);
    world_release(world);

    /* Without "mode": that of the directory it covers, tmpfs's own where there is none. */
    world_file(world, "rootfs/there", "x", 0644);
    world_accepts(
        world, NULL, NULL,
        "\"mounts\":[{\"destination\":\"/new\",\"type\":\"tmpfs\",\"options\":[\"size=1k\"]},"
        "{\"destination\":\"/new/sub\",\"type\":\"tmpfs\"},"
        "{\"destination\":\"/there\",\"type\":\"tmpfs\"},"
        "{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"rootfs\"},"
        "{\"destination\":\"/v/there\",\"type\":\"tmpfs\"},"
        "{\"destination\":\"/v/new\",\"type\":\"tmpfs\"}]");
    assert_string_equal(world->plan.mounts[0].data, "size=1k,mode=1777");
    assert_string_equal(world->plan.mounts[1].data, "mode=1777");
    assert_null(world->plan.mounts[2].data);
    assert_null(world->plan.mounts[4].data);
    assert_string_equal(world->plan.mounts[5].data, "mode=1777");
    world_release(world);

    /* Kernel filesystems and shared memory of the host are the guest's own. */
    world_accepts(world, NULL, NULL, MOUNT("/host-sys", "bind", "/sys", "\"rbind\",\"ro\""));
    assert_string_equal(world->plan.mounts[0].type, "sysfs");
    assert_int_equal(world->plan.share_count, 1);
    world_release(world);
    /* Also where a tmpfs lies there, with the hierarchies of cgroup v1 below it. */
    world_accepts(world, NULL, NULL,
                  MOUNT("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", "\"rbind\",\"ro\""));
    assert_string_equal(world->plan.mounts[0].type, "cgroup2");
    assert_int_equal(world->plan.share_count, 1);
    world_release(world);
    world_accepts(world, NULL, NULL, MOUNT("/dev/shm", "bind", "/tmp", "\"rbind\",\"noexec\""));
    assert_string_equal(world->plan.mounts[0].type, "tmpfs");
    assert_int_equal(world->plan.mounts[0].flags, MS_NOEXEC);
    assert_non_null(strstr(world->plan.mounts[0].data, "mode=1777"));
    world_release(world);
    world_accepts(world, NULL, NULL, MOUNT("/x", "bind", "/dev/null", "\"bind\""));
    assert_int_equal(world->plan.mount_count, 0);
    assert_int_equal(world->plan.device_count, 1);
    assert_string_equal(world->plan.devices[0].path, "/x");
    assert_int_equal(world->plan.devices[0].minor, 3);
    world_release(world);
}

static void test_mounts_that_cannot_be_had(void **state)
{
    struct world *world = *state;

    world_refuses(
        world, NULL, NULL, MOUNT("/x", "bind", "/nosuch", "\"bind\""),
        "mounts[0].source: error mounting \"/nosuch\" to rootfs at \"/x\": stat /nosuch: no such "
        "file or directory");
    world_refuses(world, NULL, NULL, MOUNT("/x", "nfs", "h:/", ""), "mounts[0].type: \"nfs\"");
    world_refuses(world, NULL, NULL, MOUNT("/", "tmpfs", "t", ""), "mounts[0].destination");
    world_refuses(world, NULL, NULL, MOUNT("/proc/1/x", "tmpfs", "t", ""), "is inside /proc");
    world_refuses(world, NULL, NULL, MOUNT("/proc/../proc/self", "tmpfs", "t", ""),
                  "is inside /proc");
    world_refuses(world, NULL, NULL, MOUNT("/x", "bind", "/tmp", "\"rshared\""),
                  "option \"rshared\" is not supported");
    world_refuses(world, NULL, NULL, MOUNT("/x", "bind", "/tmp", "\"idmap\""), "\"idmap\"");
    world_refuses(world, NULL, NULL, MOUNT("/x", "bind", "/proc/self", "\"bind\""),
                  "belongs to the host's kernel");
    world_refuses(world, NULL, NULL, MOUNT("/x", "bind", "/dev", "\"bind\""), "/dev");
    world_refuses(world, NULL, NULL, MOUNT("/x", "bind", "/dev/ptmx", "\"bind\""),
                  "is a device of the host");
    world_refuses(world, NULL, NULL, MOUNT("/x", "bind", "", "\"bind\""), "mounts[0].source");
}

/* What a socket is, is seen in the guest; who listens to it is not there. */
static void test_sockets_and_fifos_are_files(void **state)
{
    struct world *world = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char top[512];

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", world->directory);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    snprintf(top, sizeof(top),
             "\"mounts\":[{\"destination\":\"/s\",\"type\":\"bind\",\"source\":\"%s\"}]",
             address.sun_path);
    world_accepts(world, NULL, NULL, top);
    assert_true(world->plan.mounts[0].is_file);
    assert_int_equal(world->plan.mounts[0].share, 1);
    world_release(world);
    close(fd);
}

static void test_devices(void **state)
{
#define DEVICE(path, major, minor) \
    "\"devices\":[{\"path\":\"" path "\",\"type\":\"c\",\"major\":" major ",\"minor\":" minor "}]"
    struct world *world = *state;

    world_accepts(world, NULL, DEVICE("/dev/fuse", "10", "229"), NULL);
    assert_int_equal(world->plan.device_count, 1);
    assert_int_equal(world->plan.devices[0].mode, S_IFCHR | 0666);
    world_release(world);
    world_accepts(world, NULL, DEVICE("/dev/net/tun", "10", "200"), NULL);
    assert_int_equal(world->plan.device_count, 1);
    world_release(world);
    world_refuses(world, NULL, DEVICE("/dev/sda", "8", "0"), NULL,
                  "linux.devices[0]: /dev/sda (c 8:0) cannot be passed");
    /* A privileged container names every device there is. */
    world_accepts(world, NULL,
                  DEVICE("/dev/sda", "8", "0") ",\"resources\":{\"devices\":["
                                               "{\"allow\":false,\"access\":\"rwm\"},"
                                               "{\"allow\":true,\"access\":\"rwm\"}]}",
                  NULL);
    assert_int_equal(world->plan.device_count, 0);
    world_release(world);
}

static void test_orders_of_the_guest(void **state)
{
    struct world *world = *state;

    world_accepts(world,
                  "\"args\":[\"sh\",\"-c\",\"\"],\"cwd\":\"/w\",\"user\":{\"uid\":1,\"gid\":2},"
                  "\"env\":[\"A=1\",\"VMRT_CPUS=2\",\"B=\"]",
                  "\"maskedPaths\":[\"/proc/kcore\"],\"sysctl\":{\"kernel.sem\":\"1 2 3 4\"}",
                  "\"hostname\":\"box\",\"root\":{\"path\":\"rootfs\",\"readonly\":true}");
    assert_string_equal(guest_string(world, FIELD_ARG, 1), "-c");
    assert_string_equal(guest_string(world, FIELD_ARG, 2), "");
    assert_null(guest_string(world, FIELD_ARG, 3));
    assert_string_equal(guest_string(world, FIELD_ENV, 0), "A=1");
    assert_string_equal(guest_string(world, FIELD_ENV, 1), "B=");
    assert_null(guest_string(world, FIELD_ENV, 2));
    assert_string_equal(guest_string(world, FIELD_CWD, 0), "/w");
    assert_string_equal(guest_string(world, FIELD_HOSTNAME, 0), "box");
    assert_string_equal(guest_string(world, FIELD_MASKED_PATH, 0), "/proc/kcore");
    assert_string_equal(guest_string(world, FIELD_ID, 0), "c1");
    assert_int_equal(guest_u64(world, FIELD_UID), 1);
    assert_int_equal(guest_u64(world, FIELD_GID), 2);
    assert_int_equal(guest_u64(world, FIELD_ROOT_READONLY), 1);
    assert_int_equal(world->plan.cpus, 2);
    world_release(world);
}

static void test_cgroup_paths(void **state)
{
    static const struct {
        const char *wanted, *path;
        bool systemd;
    } rows[] = {
        { "/docker/x", "/docker/x", false },
        { NULL, "c1", false },
        { "", "c1", false },
        { "a/b", "a/b", false },
        { "/a/../b", NULL, false },
        { "..", NULL, false },
        { "/a..b", "/a..b", false },
        { "system.slice:docker:x", "/system.slice/docker-x.scope", true },
        { "a-b-c.slice:p:x", "/a.slice/a-b.slice/a-b-c.slice/p-x.scope", true },
        { "-.slice:p:x", "/p-x.scope", true },
        { ":p:x", "/system.slice/p-x.scope", true },
        { "m.slice::x", "/m.slice/x.scope", true },
        { "m.slice:p:x.slice", "/m.slice/x.slice", true },
        { NULL, "/system.slice/vmrt-c1.scope", true },
        { "/docker/x", NULL, true },
        { "nope:p:x", NULL, true },
        { "a--b.slice:p:x", NULL, true },
        { "m.slice:p:", NULL, true },
        { "m.slice:p:a:b", NULL, true },
        { "m.slice:../..:x", NULL, true },
    };
    struct arena arena = { 0 };
    struct error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *path = NULL;
        int ret =
            cgroup_path(rows[i].wanted, "c1", rows[i].systemd ? CGROUP_SYSTEMD : CGROUP_CGROUPFS,
                        &arena, &path, &err);

        if (rows[i].path) {
            assert_int_equal(ret, 0);
            assert_string_equal(path, rows[i].path);
        } else {
            assert_int_equal(ret, -EINVAL);
            assert_non_null(strstr(err.message, "linux.cgroupsPath"));
        }
    }
    arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_memory),
        TEST(test_cpus),
        TEST(test_namespaces),
        TEST(test_host_network),
        TEST(test_the_network_of_another_container),
        TEST(test_rootfs),
        TEST(test_bind_mounts_become_shares),
        TEST(test_guest_mounts),
        TEST(test_mounts_that_cannot_be_had),
        TEST(test_sockets_and_fifos_are_files),
        TEST(test_affinity),
        TEST(test_sysctls_are_those_of_a_namespace),
        TEST(test_devices),
        TEST(test_orders_of_the_guest),
        cmocka_unit_test(test_cgroup_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
