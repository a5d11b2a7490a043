/* Reading config.json: what is required, what has the wrong type, what is refused by name. */
#include "oci_world.h"

#include "oci/names.h"

static void test_a_minimal_config_is_read(void **state)
{
    struct world *world = *state;

    world_accepts(world,
                  "\"user\":{\"uid\":5,\"gid\":6,\"umask\":18,\"additionalGids\":[7,8]},"
                  "\"oomScoreAdj\":-5,\"noNewPrivileges\":true,"
                  "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,"
                  "\"hard\":18446744073709551615}],"
                  "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
                  "\"ambient\":[\"CAP_FROM_THE_FUTURE\"]}",
                  "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}", "\"hostname\":\"h\"");
    assert_int_equal(world->spec.process.uid, 5);
    assert_int_equal(world->spec.process.gid, 6);
    assert_int_equal(world->spec.process.umask, 18);
    assert_int_equal(world->spec.process.group_count, 2);
    assert_int_equal(world->spec.process.groups[1], 8);
    assert_int_equal(world->spec.process.oom_score_adj, -5);
    assert_true(world->spec.process.no_new_privileges);
    assert_int_equal(world->spec.process.rlimit_count, 1);
    assert_true(world->spec.process.rlimits[0].hard == UINT64_MAX);
    assert_int_equal(world->spec.process.capabilities.bounding, 1u << 0 | 1u << 5);
    assert_int_equal(world->spec.process.capabilities.ambient, 0);
    assert_string_equal(world->spec.hostname, "h");
    assert_int_equal(world->spec.sysctl_count, 1);
    world_release(world);
}

static void test_versions(void **state)
{
    static const char *const good[] = { "1.0.0", "1.0.2-dev", "1.2.1", "1.3" };
    static const char *const bad[] = { "", "1", "1.", "1.x", "2.0.0", "9.0.0", "0.9", "1.0x" };
    struct world *world = *state;
    char top[64];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(top, sizeof(top), "\"ociVersion\":\"%s\"", good[i]);
        world_accepts(world, NULL, NULL, top);
        world_release(world);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(top, sizeof(top), "\"ociVersion\":\"%s\"", bad[i]);
        if (strcmp(bad[i], "1.0x") == 0)
            world_refuses(world, NULL, NULL, top, "ociVersion: expected a version 1.x");
        else
            world_refuses(world, NULL, NULL, top, "ociVersion");
    }
}

static void test_what_is_missing_is_named(void **state)
{
    static const struct {
        const char *process, *section, *top, *text;
    } rows[] = {
        { NULL, NULL, "\"ociVersion\":null", "ociVersion: expected a version 1.x, found nothing" },
        { NULL, NULL, "\"root\":{}", "root.path: expected the root filesystem's path" },
        { NULL, NULL, "\"root\":null", "root.path" },
        { NULL, NULL, "\"process\":null", "process: expected the process to run, found nothing" },
        { NULL, NULL, "\"linux\":null", "linux: expected" },
        { "\"args\":null", NULL, NULL, "process.args: expected the command to run" },
        { "\"args\":[]", NULL, NULL, "args must not be empty" },
        { "\"cwd\":null", NULL, NULL, "process.cwd: expected an absolute path, found nothing" },
        { "\"cwd\":\"tmp\"", NULL, NULL, "Cwd must be an absolute path" },
        { NULL, NULL, "\"mounts\":[{\"type\":\"tmpfs\"}]",
          "mounts[0].destination: expected a path" },
        { NULL, NULL, "\"hooks\":{\"poststop\":[{\"args\":[]}]}", "hooks.poststop[0].path" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        world_refuses(world, rows[i].process, rows[i].section, rows[i].top, rows[i].text);
}

static void test_wrong_types_are_named(void **state)
{
    static const struct {
        const char *process, *section, *top, *text;
    } rows[] = {
        { "\"args\":\"sh\"", NULL, NULL, "process.args: expected an array, found a string" },
        { "\"args\":[1]", NULL, NULL, "process.args[0]: expected a string, found a number" },
        { "\"args\":[null]", NULL, NULL, "process.args[0]: expected a string, found null" },
        { "\"env\":{}", NULL, NULL, "process.env: expected an array" },
        { "\"env\":[\"=x\"]", NULL, NULL, "env[0]: expected NAME=VALUE" },
        { "\"user\":{\"uid\":-1}", NULL, NULL, "process.user.uid: expected a non-negative" },
        { "\"user\":{\"uid\":4294967295}", NULL, NULL, "process.user.uid: expected at most" },
        { "\"user\":{\"umask\":512}", NULL, NULL, "process.user.umask: expected at most 511" },
        { "\"user\":{\"additionalGids\":[-4]}", NULL, NULL, "additionalGids[0]" },
        { "\"oomScoreAdj\":1001", NULL, NULL, "oomScoreAdj: expected -1000 to 1000" },
        { "\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]", NULL, NULL,
          "process.rlimits[0].type: expected a limit such as" },
        { "\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":1}]", NULL, NULL, "rlimits[0].hard" },
        { "\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1},"
          "{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1}]",
          NULL, NULL, "RLIMIT_AS is given twice" },
        { "\"capabilities\":[]", NULL, NULL, "process.capabilities: expected an object" },
        { NULL, "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]", NULL,
          "\"pid\" is given twice" },
        { NULL, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"q\"}]", NULL,
          "linux.devices[0].type: expected c, u, b or p" },
        { NULL, "\"sysctl\":{\"a\":1}", NULL, "linux.sysctl.a: expected a string" },
        { NULL, NULL, "\"annotations\":[1]", "annotations: expected an object" },
        { NULL, NULL, "\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}",
          "hooks.prestart[0]: path: expected an absolute path" },
        { NULL, NULL, "\"hooks\":{\"prestart\":[{\"path\":\"/x\",\"timeout\":0}]}",
          "timeout: expected seconds" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        world_refuses(world, rows[i].process, rows[i].section, rows[i].top, rows[i].text);
}

static void test_what_cannot_be_done_is_refused_by_name(void **state)
{
    static const struct {
        const char *process, *section, *top, *text;
    } rows[] = {
        { NULL, "\"seccomp\":{\"listenerPath\":\"/x\"}", NULL, "linux.seccomp.listenerPath" },
        { NULL, "\"intelRdt\":{\"closID\":\"x\"}", NULL, "linux.intelRdt" },
        { NULL, "\"personality\":{\"domain\":\"BSD\"}", NULL,
          "linux.personality.domain: expected LINUX or LINUX32, found \"BSD\"" },
        { NULL, "\"rootfsPropagation\":\"rshared\"", NULL, "linux.rootfsPropagation: \"rshared\"" },
        { NULL, "\"resources\":{\"rdma\":{\"mlx\":{}}}", NULL, "linux.resources.rdma" },
        { NULL, "\"resources\":{\"unified\":{\"memory.high\":\"1\"}}", NULL,
          "linux.resources.unified: \"memory.high\"" },
        { NULL, "\"resources\":{\"unified\":{\"cpu./../x\":\"1\"}}", NULL, "unified" },
        { NULL, NULL, "\"hooks\":{\"createContainer\":[{\"path\":\"/nosuch\"}]}",
          "error running createContainer hook #0: fork/exec /nosuch: no such file or directory" },
        { NULL, NULL, "\"hooks\":{\"createContainer\":[{\"path\":\"/etc/passwd\"}]}",
          "error running createContainer hook #0: fork/exec /etc/passwd: permission denied" },
        { NULL, NULL, "\"windows\":{\"layerFolders\":[\"x\"]}",
          "windows: this is a Linux runtime" },
        { NULL, NULL, "\"vm\":{\"kernel\":{\"path\":\"/x\"}}", "vm: use the settings" },
        { NULL, NULL,
          "\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/tmp\","
          "\"uidMappings\":[{\"containerID\":0}]}]",
          "mounts[0].uidMappings: id-mapped" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        world_refuses(world, rows[i].process, rows[i].section, rows[i].top, rows[i].text);
}

static void test_empty_members_ask_for_nothing(void **state)
{
    struct world *world = *state;

    world_accepts(world, "\"terminal\":false,\"scheduler\":null,\"apparmorProfile\":\"docker\"",
                  "\"uidMappings\":[],\"timeOffsets\":{},\"intelRdt\":{},"
                  "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"\"},"
                  "\"resources\":{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":0}],"
                  "\"rdma\":{},\"pids\":{\"limit\":5},\"devices\":null},"
                  "\"rootfsPropagation\":\"\",\"personality\":{\"domain\":\"LINUX\"}",
                  "\"hooks\":{\"createContainer\":null,\"startContainer\":[]},"
                  "\"fromTheFuture\":{\"x\":[1]},\"annotations\":{\"a\":\"b\"}");
    assert_int_equal(world->spec.annotation_count, 1);
    world_release(world);
}

static void test_scheduling_is_checked_as_runc_does(void **state)
{
    static const struct {
        const char *process, *text;
    } rows[] = {
        { "\"scheduler\":{}", "process.scheduler: scheduler policy is required" },
        { "\"scheduler\":{\"policy\":\"SCHED_FAST\"}",
          "process.scheduler.policy: expected a policy such as SCHED_OTHER, found \"SCHED_FAST\"" },
        { "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}",
          "invalid scheduler.nice: 20 when scheduler.policy is SCHED_OTHER" },
        { "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"priority\":1}",
          "scheduler.priority can only be specified for SchedFIFO or SchedRR policy" },
        { "\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":100}", "expected 0 to 99" },
        { "\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":1,\"runtime\":5}",
          "scheduler runtime/deadline/period can only be specified for SchedDeadline policy" },
        { "\"scheduler\":{\"policy\":\"SCHED_RR\",\"flags\":[\"SCHED_FLAG_X\"]}",
          "process.scheduler.flags[0]: expected a flag" },
        { "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}",
          "invalid ioPriority.Priority: 8" },
        { "\"ioPriority\":{\"class\":\"BEST\",\"priority\":1}",
          "invalid ioPriority.Class: \"BEST\"" },
        { "\"consoleSize\":{\"height\":65536,\"width\":1}", "process.consoleSize.height" },
        { "\"selinuxLabel\":\"system_u:x:y:z\"",
          "selinux label is specified in config, but selinux is disabled or not supported" },
    };
    struct world *world = *state;

    if (access("/sys/fs/selinux/status", F_OK) == 0)
        skip();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        world_refuses(world, rows[i].process, NULL, NULL, rows[i].text);
}

static void test_identity_is_checked(void **state)
{
#define USER                                                                                  \
    "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":" \
    "\"user\"}]"
#define MAP(inside, outside, size) \
    "{\"containerID\":" inside ",\"hostID\":" outside ",\"size\":" size "}"
    static const struct {
        const char *section, *text;
    } rows[] = {
        { "\"uidMappings\":[" MAP("0", "1000", "1") "]",
          "user namespace mappings specified, but user namespace isn't enabled in the config" },
        { USER, "user namespaces enabled, but no mappings to apply specified" },
        { USER ",\"uidMappings\":[" MAP("0", "0", "0") "]",
          "linux.uidMappings[0]: size: expected at least 1, found 0" },
        { USER ",\"uidMappings\":[{\"containerID\":0}]",
          "linux.uidMappings[0].hostID: expected an id, found nothing" },
        { USER ",\"gidMappings\":[" MAP("0", "4294967290", "10") "]",
          "linux.gidMappings[0]: expected ids below 4294967295" },
        { USER ",\"gidMappings\":[" MAP("0", "100", "10") "," MAP("9", "900", "1") "]",
          "linux.gidMappings[1]: overlaps" },
        { USER ",\"gidMappings\":[" MAP("0", "100", "10") "," MAP("10", "109", "1") "]",
          "linux.gidMappings[1]: overlaps" },
        { "\"timeOffsets\":{\"boottime\":{\"secs\":1}}",
          "time namespace offsets specified, but time namespace isn't enabled in the config" },
        { "\"timeOffsets\":{\"realtime\":{\"secs\":1}}",
          "linux.timeOffsets.realtime: expected monotonic or boottime" },
        { "\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}", "nanosecs: expected 0 to" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        world_refuses(world, NULL, rows[i].section, NULL, rows[i].text);
    /* user_namespaces(7): the whole range is one mapping. */
    world_accepts(world, NULL, USER ",\"uidMappings\":[" MAP("0", "0", "4294967295") "]", NULL);
    world_release(world);
}

static void test_documents_of_their_own(void **state)
{
    struct spec spec;
    struct error err;

    assert_int_equal(spec_parse_process("{\"args\":[\"sh\"],\"cwd\":\"/\",\"terminal\":true,"
                                        "\"consoleSize\":{\"height\":24,\"width\":80},"
                                        "\"user\":{\"uid\":7}}",
                                        &spec, &err),
                     0);
    assert_true(spec.process.terminal);
    assert_int_equal(spec.process.console_rows, 24);
    assert_int_equal(spec.process.console_columns, 80);
    assert_int_equal(spec.process.uid, 7);
    assert_true(spec.process.oom_score_adj == SPEC_UNSET);
    spec_free(&spec);
    assert_int_equal(spec_parse_process("{\"args\":[\"sh\"],\"cwd\":7}", &spec, &err), -EINVAL);
    assert_string_equal(err.message, "process: cwd: expected a string, found a number");
    spec_free(&spec);
    assert_int_equal(spec_parse_process("[]", &spec, &err), -EINVAL);
    spec_free(&spec);

    assert_int_equal(spec_parse_resources("{\"memory\":{\"limit\":5},\"pids\":{\"limit\":-1}}",
                                          &spec, &err),
                     0);
    assert_int_equal(spec.resources.memory_limit, 5);
    assert_int_equal(spec.resources.pids_limit, -1);
    assert_true(spec.resources.cpu_quota == SPEC_UNSET);
    assert_int_equal(fields_check_part(&spec.document, "linux.resources", &err), 0);
    spec_free(&spec);
    assert_int_equal(spec_parse_resources("{\"cpu\":{\"quota\":\"x\"}}", &spec, &err), -EINVAL);
    assert_non_null(strstr(err.message, "resources: cpu.quota"));
    spec_free(&spec);
    assert_int_equal(spec_parse_resources("{\"rdma\":{\"x\":{}}}", &spec, &err), 0);
    assert_int_equal(fields_check_part(&spec.document, "linux.resources", &err), -ENOTSUP);
    assert_non_null(strstr(err.message, "resources: rdma"));
    spec_free(&spec);
}

static void test_text_that_is_not_json(void **state)
{
    static const char *const texts[] = { "", "{", "[]", "\"x\"", "{\"ociVersion\":", "nul", "{}}" };
    struct error err;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct spec spec;

        err.message[0] = '\0';
        assert_true(spec_parse(texts[i], &spec, &err) < 0);
        assert_non_null(strstr(err.message, "config.json"));
        assert_null(strchr(err.message, '\n'));
        spec_free(&spec);
    }
}

static void test_a_missing_file_is_said_as_runc_says_it(void **state)
{
    struct world *world = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/config.json", world->directory);
    assert_int_equal(spec_load(path, &world->spec, NULL, &world->err), -ENOENT);
    assert_non_null(strstr(world->err.message, "JSON specification file"));
    spec_free(&world->spec);
}

static void test_names(void **state)
{
    assert_int_equal(names_signal_number("9"), 9);
    assert_int_equal(names_signal_number("KILL"), 9);
    assert_int_equal(names_signal_number("sigterm"), 15);
    assert_int_equal(names_signal_number("SIGRTMIN+3"), 37);
    assert_int_equal(names_signal_number("RTMAX"), 64);
    assert_int_equal(names_signal_number("RTMAX-30"), 34);
    assert_int_equal(names_signal_number("RTMAX-31"), -1);
    assert_int_equal(names_signal_number("RTMIN-1"), -1);
    assert_int_equal(names_signal_number("0"), 0);
    assert_int_equal(names_signal_number("65"), 65);
    assert_int_equal(names_signal_number("9x"), -1);
    assert_int_equal(names_signal_number(""), -1);
    assert_int_equal(names_signal_number("NOSUCH"), -1);
    assert_int_equal(names_capability_number("CAP_CHECKPOINT_RESTORE"), 40);
    assert_null(names_capability(41));
    assert_int_equal(names_rlimit_number("RLIMIT_NOFILE"), 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_minimal_config_is_read),
        TEST(test_versions),
        TEST(test_what_is_missing_is_named),
        TEST(test_wrong_types_are_named),
        TEST(test_what_cannot_be_done_is_refused_by_name),
        TEST(test_empty_members_ask_for_nothing),
        TEST(test_scheduling_is_checked_as_runc_does),
        TEST(test_identity_is_checked),
        cmocka_unit_test(test_documents_of_their_own),
        cmocka_unit_test(test_text_that_is_not_json),
        TEST(test_a_missing_file_is_said_as_runc_says_it),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
