/* The guest's orders, field by field: what config.json asks of the process and its surroundings. */
#include "oci_world.h"

#include <linux/ioprio.h>
#include <linux/sched/types.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

/* A window on the fields of the guest's message. */
static struct protocol_reader orders(const struct world *world)
{
    return (struct protocol_reader) { world->plan.guest.data + PROTOCOL_HEADER_SIZE,
                                      world->plan.guest.length - PROTOCOL_HEADER_SIZE };
}

static bool find(struct protocol_reader reader, uint16_t tag, size_t index,
                 struct protocol_field *field)
{
    while (protocol_next(&reader, field) == 1)
        if (field->tag == tag && index-- == 0)
            return true;
    return false;
}

/* UINT64_MAX: there is none. */
static uint64_t number(struct protocol_reader reader, uint16_t tag)
{
    struct protocol_field field;
    bool bad = false;
    uint64_t value;

    if (!find(reader, tag, 0, &field))
        return UINT64_MAX;
    value = protocol_u64(&field, &bad);
    assert_false(bad);
    return value;
}

static const char *text(struct protocol_reader reader, uint16_t tag, size_t index)
{
    struct protocol_field field;
    bool bad = false;

    if (!find(reader, tag, index, &field))
        return "absent";
    return protocol_string(&field, &bad);
}

static struct protocol_reader group(const struct world *world, uint16_t tag, size_t index)
{
    struct protocol_field field;

    if (!find(orders(world), tag, index, &field))
        fail_msg("no field %u at %zu", tag, index);
    return field.value;
}

static void test_terminals(void **state)
{
    struct world *world = *state;

    world_accepts(world, "\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80}", NULL,
                  NULL);
    assert_int_equal(number(orders(world), FIELD_TERMINAL), 1);
    assert_int_equal(number(orders(world), FIELD_ROWS), 24);
    assert_int_equal(number(orders(world), FIELD_COLUMNS), 80);
    world_release(world);
    /* A size without a terminal, as engines write it, means nothing. */
    world_accepts(world, "\"consoleSize\":{\"height\":24,\"width\":80}", NULL, NULL);
    assert_int_equal(number(orders(world), FIELD_TERMINAL), 0);
    assert_int_equal(number(orders(world), FIELD_ROWS), UINT64_MAX);
    world_release(world);
}

static void test_scheduling(void **state)
{
    struct world *world = *state;
    struct protocol_field field;
    struct sched_attr attributes = { 0 };

    world_accepts(
        world,
        "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\","
        "\"SCHED_FLAG_DL_OVERRUN\"],\"runtime\":1,\"deadline\":2,\"period\":3},"
        "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":7}",
        "\"personality\":{\"domain\":\"LINUX32\"}", NULL);
    assert_true(find(orders(world), FIELD_SCHEDULER, 0, &field));
    assert_int_equal(field.value.length, SCHED_ATTR_SIZE_VER0);
    memcpy(&attributes, field.value.data, field.value.length);
    assert_int_equal(attributes.size, SCHED_ATTR_SIZE_VER0);
    assert_int_equal(attributes.sched_policy, 6);
    assert_int_equal(attributes.sched_flags, 1 | 4);
    assert_int_equal(attributes.sched_runtime, 1);
    assert_int_equal(attributes.sched_deadline, 2);
    assert_int_equal(attributes.sched_period, 3);
    assert_int_equal(number(orders(world), FIELD_IO_PRIORITY),
                     IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 7));
    assert_int_equal(number(orders(world), FIELD_PERSONALITY), 8);
    world_release(world);
    world_accepts(world, "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-3}", NULL, NULL);
    assert_true(find(orders(world), FIELD_SCHEDULER, 0, &field));
    memcpy(&attributes, field.value.data, field.value.length);
    assert_int_equal(attributes.sched_policy, SCHED_BATCH);
    assert_int_equal(attributes.sched_nice, -3);
    assert_int_equal(number(orders(world), FIELD_PERSONALITY), UINT64_MAX);
    assert_int_equal(number(orders(world), FIELD_IO_PRIORITY), UINT64_MAX);
    world_release(world);
}

#define BASIC                                                                                    \
    "{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":" \
    "\"mount\"}"

static void test_user_and_time_namespaces(void **state)
{
    struct world *world = *state;
    struct protocol_reader map;

    world_accepts(world, NULL,
                  "\"namespaces\":[" BASIC ",{\"type\":\"user\"},{\"type\":\"time\"}],"
                  "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
                  "\"gidMappings\":[{\"containerID\":0,\"hostID\":5,\"size\":1},"
                  "{\"containerID\":1,\"hostID\":200000,\"size\":9}],"
                  "\"timeOffsets\":{\"boottime\":{\"secs\":-7,\"nanosecs\":5}}",
                  NULL);
    assert_int_equal(number(orders(world), FIELD_NAMESPACES), CLONE_NEWPID | CLONE_NEWIPC |
                                                                  CLONE_NEWUTS | CLONE_NEWNS |
                                                                  CLONE_NEWUSER | CLONE_NEWTIME);
    map = group(world, FIELD_UID_MAP, 0);
    assert_int_equal(number(map, FIELD_ID_INSIDE), 0);
    assert_int_equal(number(map, FIELD_ID_OUTSIDE), 100000);
    assert_int_equal(number(map, FIELD_ID_COUNT), 65536);
    map = group(world, FIELD_GID_MAP, 1);
    assert_int_equal(number(map, FIELD_ID_INSIDE), 1);
    assert_int_equal(number(map, FIELD_ID_OUTSIDE), 200000);
    map = group(world, FIELD_TIME_OFFSET, 0);
    assert_string_equal(text(map, FIELD_KEY, 0), "boottime");
    assert_int_equal((int64_t)number(map, FIELD_SECONDS), -7);
    assert_int_equal(number(map, FIELD_NANOSECONDS), 5);
    world_release(world);
    world_accepts(world, NULL, "\"namespaces\":[" BASIC ",{\"type\":\"cgroup\"}]", NULL);
    assert_int_equal(number(orders(world), FIELD_NAMESPACES),
                     CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP);
    world_release(world);
}

static void test_pids_and_notification(void **state)
{
    static const struct {
        const char *section;
        uint64_t max;
    } rows[] = {
        { NULL, UINT64_MAX },
        { "\"resources\":{\"pids\":{\"limit\":7}}", 7 },
        { "\"resources\":{\"pids\":{\"limit\":-1}}", 0 },
        { "\"resources\":{\"pids\":{\"limit\":0}}", UINT64_MAX },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_accepts(world, NULL, rows[i].section, NULL);
        assert_int_equal(number(orders(world), FIELD_PIDS_MAX), rows[i].max);
        assert_int_equal(number(orders(world), FIELD_NOTIFY), UINT64_MAX);
        world_release(world);
    }
    world->notify = true;
    world_accepts(world, NULL, NULL, NULL);
    assert_int_equal(number(orders(world), FIELD_NOTIFY), 1);
    assert_string_equal(text(orders(world), FIELD_ENV, 1), "NOTIFY_SOCKET=/run/notify/notify.sock");
    world_release(world);
}

/* The soft limit of @resource in the process of the guest plan, the last one given; or UINT64_MAX.
 */
static uint64_t rlimit_of(struct world *world, unsigned int resource, size_t *times)
{
    uint64_t soft = UINT64_MAX;
    struct protocol_field field;

    *times = 0;
    for (size_t i = 0; find(orders(world), FIELD_RLIMIT, i, &field); i++) {
        struct protocol_reader limit = group(world, FIELD_RLIMIT, i);

        if (number(limit, FIELD_RESOURCE) != resource)
            continue;
        soft = number(limit, FIELD_SOFT);
        (*times)++;
    }
    return soft;
}

static void test_limits_that_are_not_named_are_the_callers(void **state)
{
    struct world *world = *state;
    struct rlimit before, changed;
    size_t times;

    assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &before), 0);
    changed = (struct rlimit) { 43, before.rlim_max };
    assert_int_equal(prlimit(0, RLIMIT_SIGPENDING, &changed, NULL), 0);
    world_accepts(world, "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":5,\"hard\":6}]", NULL,
                  NULL);
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &before), 0);
    assert_int_equal(rlimit_of(world, RLIMIT_SIGPENDING, &times), 43);
    assert_int_equal(times, 1);
    assert_int_equal(rlimit_of(world, RLIMIT_NOFILE, &times), 5);
    assert_int_equal(times, 1);
    world_release(world);
}

static void test_seccomp_holds_for_every_process(void **state)
{
    struct world *world = *state;
    struct protocol_writer writer = { 0 };
    struct protocol_field field, again;
    struct protocol_reader reader;
    struct spec exec;

    world_accepts(world, NULL,
                  "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[],\"syscalls\":["
                  "{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_ERRNO\"}]},"
                  "\"personality\":{\"domain\":\"LINUX32\"}",
                  NULL);
    assert_true(find(orders(world), FIELD_SECCOMP, 0, &field));
    assert_in_range(field.value.length, 8, 8 * 64);
    assert_int_equal(field.value.length % 8, 0);
    assert_int_equal(number(orders(world), FIELD_SECCOMP_FLAGS), 0);

    assert_int_equal(spec_parse_process("{\"args\":[\"id\"],\"cwd\":\"/tmp\"}", &exec, NULL), 0);
    protocol_begin(&writer, MESSAGE_EXEC, 0, 0);
    assert_int_equal(plan_put_process(&writer, &world->spec, &exec.process, NULL, &world->err), 0);
    assert_int_equal(protocol_finish(&writer), 0);
    reader = (struct protocol_reader) { writer.data + PROTOCOL_HEADER_SIZE,
                                        writer.length - PROTOCOL_HEADER_SIZE };
    assert_true(find(reader, FIELD_SECCOMP, 0, &again));
    assert_int_equal(again.value.length, field.value.length);
    assert_memory_equal(again.value.data, field.value.data, field.value.length);
    assert_int_equal(number(reader, FIELD_PERSONALITY), 8);
    assert_string_equal(text(reader, FIELD_ARG, 0), "id");
    assert_string_equal(text(reader, FIELD_CWD, 0), "/tmp");
    free(writer.data);
    spec_free(&exec);
    world_release(world);
    world_refuses(world, NULL, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", NULL,
                  "config.json: linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported");
}

static void test_mount_options_of_the_whole_tree(void **state)
{
    static const struct {
        const char *options;
        uint64_t set, clear;
        bool readonly;
    } rows[] = {
        { "\"rbind\",\"rro\"", MOUNT_ATTR_RDONLY, 0, true },
        { "\"rbind\",\"ro\",\"rrw\"", 0, MOUNT_ATTR_RDONLY, false },
        { "\"rbind\",\"rro\",\"rrw\"", 0, MOUNT_ATTR_RDONLY, false },
        { "\"rbind\",\"rnosuid\",\"rnodev\",\"rnoexec\"",
          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, false },
        { "\"rbind\",\"rnoexec\",\"rexec\"", 0, MOUNT_ATTR_NOEXEC, false },
        { "\"rbind\",\"rnoatime\"", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, false },
        { "\"rbind\",\"rnoatime\",\"rrelatime\"", 0, MOUNT_ATTR__ATIME, false },
        { "\"rbind\",\"rnoatime\",\"rstrictatime\"", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME,
          false },
        { "\"bind\",\"ro\"", 0, 0, true },
        { "\"bind\",\"acl\",\"rslave\"", 0, 0, false },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct protocol_reader mount;
        char top[512];

        snprintf(top, sizeof(top),
                 "\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"rootfs\","
                 "\"options\":[%s]}]",
                 rows[i].options);
        world_accepts(world, NULL, NULL, top);
        mount = group(world, FIELD_MOUNT, 0);
        if (number(mount, FIELD_MOUNT_ATTRIBUTES) != (rows[i].set ? rows[i].set : UINT64_MAX) ||
            number(mount, FIELD_MOUNT_ATTRIBUTES_CLEAR) !=
                (rows[i].clear ? rows[i].clear : UINT64_MAX) ||
            world->plan.mounts[0].readonly != rows[i].readonly)
            fail_msg("%s", rows[i].options);
        world_release(world);
    }
}

static void test_tmpfs_filled_from_below(void **state)
{
    struct world *world = *state;
    struct protocol_reader mount;

    world_accepts(
        world, NULL, NULL,
        "\"mounts\":[{\"destination\":\"/t\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\","
        "\"size=1k\",\"mode=700\",\"uid=5\"]},"
        "{\"destination\":\"/s\",\"type\":\"sysfs\",\"options\":[\"tmpcopyup\"]}]");
    mount = group(world, FIELD_MOUNT, 0);
    assert_int_equal(number(mount, FIELD_MOUNT_COPYUP), 1);
    assert_string_equal(text(mount, FIELD_MOUNT_DATA, 0), "size=1k,mode=700,uid=5");
    assert_int_equal(number(group(world, FIELD_MOUNT, 1), FIELD_MOUNT_COPYUP), UINT64_MAX);
    world_release(world);
}

static void test_hooks_of_the_container(void **state)
{
    struct world *world = *state;
    struct protocol_reader hook;
    char top[1024];

    world_file(world, "hook", "#!/bin/sh\n", 0755);
    snprintf(top, sizeof(top),
             "\"annotations\":{\"k\":\"v\"},\"mounts\":[{\"destination\":\"/m\",\"type\":\"bind\","
             "\"source\":\"rootfs\"}],\"hooks\":{\"createContainer\":[{\"path\":\"%s/hook\"},"
             "{\"path\":\"%s/hook\",\"args\":[\"h\",\"-x\"],\"env\":[\"A=1\"],\"timeout\":3}],"
             "\"startContainer\":[{\"path\":\"/bin/started\",\"env\":[]}]}",
             world->directory, world->directory);
    world_accepts(world, "\"env\":[\"PATH=/p\",\"VMRT_CPUS=1\"]", NULL, top);
    assert_int_equal(world->plan.share_count, 4);
    assert_int_equal(world->plan.hook_count, 2);
    assert_string_equal(strrchr(world->plan.hooks[1].source, '/'), "/hook");

    hook = group(world, FIELD_HOOK, 0);
    assert_int_equal(number(hook, FIELD_HOOK_KIND), 0);
    assert_int_equal(number(hook, FIELD_MOUNT_SHARE), 2);
    assert_int_equal(number(hook, FIELD_HOOK_TIMEOUT), 0);
    assert_non_null(strstr(text(hook, FIELD_ARG, 0), "/hook"));
    /* Without "env": the container's, less the settings. */
    assert_string_equal(text(hook, FIELD_ENV, 0), "PATH=/p");
    assert_string_equal(text(hook, FIELD_ENV, 1), "absent");
    snprintf(top, sizeof(top),
             "{\"ociVersion\":\"1.0.2\",\"id\":\"c1\",\"status\":\"creating\",\"pid\":1,\"bundle\":"
             "\"%s\","
             "\"annotations\":{\"k\":\"v\"}}",
             world->directory);
    assert_string_equal(text(hook, FIELD_HOOK_STATE, 0), top);

    hook = group(world, FIELD_HOOK, 1);
    assert_int_equal(number(hook, FIELD_MOUNT_SHARE), 3);
    assert_int_equal(number(hook, FIELD_HOOK_TIMEOUT), 3);
    assert_string_equal(text(hook, FIELD_ARG, 1), "-x");
    assert_string_equal(text(hook, FIELD_ENV, 0), "A=1");

    hook = group(world, FIELD_HOOK, 2);
    assert_int_equal(number(hook, FIELD_HOOK_KIND), 1);
    assert_int_equal(number(hook, FIELD_MOUNT_SHARE), UINT64_MAX);
    assert_string_equal(text(hook, FIELD_HOOK_PATH, 0), "/bin/started");
    assert_string_equal(text(hook, FIELD_ENV, 0), "absent");
    assert_non_null(strstr(text(hook, FIELD_HOOK_STATE, 0), "\"status\":\"created\",\"pid\":1"));
    world_release(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_terminals),
        TEST(test_scheduling),
        TEST(test_user_and_time_namespaces),
        TEST(test_pids_and_notification),
        TEST(test_limits_that_are_not_named_are_the_callers),
        TEST(test_seccomp_holds_for_every_process),
        TEST(test_mount_options_of_the_whole_tree),
        TEST(test_tmpfs_filled_from_below),
        TEST(test_hooks_of_the_container),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
