/* vmrt features and vmrt spec: what is printed is true of the code, and can be used. */
#include "oci_world.h"

#include "commands/command.h"
#include "lib/fd.h"
#include "oci/mount_options.h"

/* Runs a command with its output in files. Return: stdout, to be freed; *@err_length: of stderr. */
static char *capture(const struct world *world,
                     int (*run)(const struct context *, const struct command *, int, char **),
                     const char *name, char *option, int *status, size_t *err_length)
{
    static const struct command self = { .name = "test" };
    struct context context = { 0 };
    char *argv[] = { (char *)name, option, NULL };
    char out_path[128], err_path[128], *text, *err_text;
    int saved[2] = { dup(1), dup(2) };

    snprintf(out_path, sizeof(out_path), "%s/out", world->directory);
    snprintf(err_path, sizeof(err_path), "%s/err", world->directory);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        int fd = open(i ? err_path : out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        dup2(fd, i + 1);
        close(fd);
    }
    *status = run(&context, &self, option ? 2 : 1, argv);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
    assert_int_equal(fd_read_file(AT_FDCWD, out_path, 1 << 20, &text, NULL), 0);
    assert_int_equal(fd_read_file(AT_FDCWD, err_path, 1 << 20, &err_text, err_length), 0);
    free(err_text);
    return text;
}

static bool lists(const struct json *root, const char *first, const char *second, const char *name)
{
    struct json list = json_member(root, first);

    if (second)
        list = json_member(&list, second);
    for (size_t i = 0; i < json_length(&list); i++) {
        struct json element = json_element(&list, i);
        const char *text = "";

        assert_int_equal(json_string(&element, &text, NULL), 0);
        if (strcmp(text, name) == 0)
            return true;
    }
    return false;
}

static bool linux_flag(const struct json *root, const char *part, const char *name)
{
    struct json section = json_member(root, "linux"), member = json_member(&section, part);
    struct json flag = json_member(&member, name);
    bool value = false;

    assert_true(json_present(&flag));
    assert_int_equal(json_bool(&flag, &value, NULL), 0);
    return value;
}

static void test_features(void **state)
{
    struct world *world = *state;
    struct json root, section, seccomp;
    size_t err_length;
    int status;
    char *text = capture(world, command_features, "features", NULL, &status, &err_length);

    assert_int_equal(status, 0);
    /* CRI-O reads both streams as one document. */
    assert_int_equal(err_length, 0);
    assert_int_equal(json_parse(text, "features", &root, NULL), 0);
    section = json_member(&root, "linux");
    seccomp = json_member(&section, "seccomp");
    for (size_t i = 0; i < HOOK_KINDS; i++)
        assert_true(lists(&root, "hooks", NULL, spec_hook_names[i]));
    for (unsigned int i = 0; mount_options_name(i); i++)
        assert_true(lists(&root, "mountOptions", NULL, mount_options_name(i)));
    assert_true(lists(&root, "mountOptions", NULL, "rro"));
    assert_true(lists(&root, "mountOptions", NULL, "tmpcopyup"));
    assert_false(lists(&root, "mountOptions", NULL, "rshared"));
    assert_true(lists(&root, "linux", "namespaces", "user"));
    assert_true(lists(&root, "linux", "capabilities", "CAP_CHECKPOINT_RESTORE"));
    assert_true(lists(&seccomp, "actions", NULL, "SCMP_ACT_KILL_PROCESS"));
    assert_false(lists(&seccomp, "actions", NULL, "SCMP_ACT_NOTIFY"));
    assert_true(lists(&seccomp, "operators", NULL, "SCMP_CMP_MASKED_EQ"));
    assert_true(lists(&seccomp, "archs", NULL, "SCMP_ARCH_X32"));
    assert_true(lists(&seccomp, "knownFlags", NULL, "SECCOMP_FILTER_FLAG_LOG"));
    assert_true(linux_flag(&root, "seccomp", "enabled"));
    assert_true(linux_flag(&root, "cgroup", "v1") && linux_flag(&root, "cgroup", "v2"));
    assert_true(linux_flag(&root, "cgroup", "systemd"));
    assert_false(linux_flag(&root, "apparmor", "enabled"));
    assert_false(linux_flag(&root, "selinux", "enabled"));
    assert_false(linux_flag(&root, "intelRdt", "enabled"));
    json_free(&root);
    free(text);
}

/* In the world's directory, where it writes; the result can be planned. */
static void check_spec(struct world *world, char *option)
{
    char path[128], *text;
    size_t err_length;
    int status;

    assert_int_equal(chdir(world->directory), 0);
    free(capture(world, command_spec, "spec", option, &status, &err_length));
    assert_int_equal(status, 0);
    assert_int_equal(err_length, 0);
    free(capture(world, command_spec, "spec", option, &status, &err_length));
    assert_int_equal(status, 1);
    assert_int_equal(chdir("/"), 0);
    snprintf(path, sizeof(path), "%s/config.json", world->directory);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
    snprintf(world->text, sizeof(world->text), "%s", text);
    free(text);
    if (world_plan(world) < 0)
        fail_msg("%s", world->err.message);
    assert_true(world->spec.process.terminal);
    assert_int_equal(unlink(path), 0);
}

static void test_spec(void **state)
{
    struct world *world = *state;

    check_spec(world, NULL);
    assert_int_equal(world->spec.uid_map_count, 0);
    assert_true(world->spec.root_readonly);
    world_release(world);
    check_spec(world, (char *)"--rootless");
    assert_int_equal(world->spec.uid_map_count, 1);
    assert_int_equal(world->spec.uid_maps[0].outside, geteuid());
    assert_int_equal(world->spec.gid_maps[0].outside, getegid());
    world_release(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(test_features), TEST(test_spec) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
