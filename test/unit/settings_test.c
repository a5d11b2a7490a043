/* Settings: where a value comes from, what is refused, what a container may say. */
#include "oci_world.h"

static void test_precedence(void **state)
{
    struct world *world = *state;
    char file[128];

    snprintf(file, sizeof(file), "%s/host.json", world->directory);
    world_file(world, "host.json", "{\"memory\":100,\"cpus\":\"3\",\"console\":\"stderr\"}", 0644);
    world->host_file = file;
    world_accepts(world, NULL, NULL, NULL);
    assert_int_equal(world->settings.values[SETTING_MEMORY].number, 100);
    assert_int_equal(world->settings.values[SETTING_CPUS].number, 3);
    assert_string_equal(world->settings.values[SETTING_CONSOLE].text, "stderr");
    world_release(world);

    world_accepts(world, NULL, NULL, "\"annotations\":{\"org.vmrt.memory\":\"200\"}");
    assert_int_equal(world->settings.values[SETTING_MEMORY].number, 200);
    assert_int_equal(world->settings.values[SETTING_CPUS].number, 3);
    world_release(world);

    world_accepts(world, "\"env\":[\"VMRT_MEMORY=300M\"]", NULL,
                  "\"annotations\":{\"org.vmrt.memory\":\"200\"}");
    assert_int_equal(world->settings.values[SETTING_MEMORY].number, 300);
    assert_int_equal(world->settings.values[SETTING_MEMORY].source, SETTING_ENVIRONMENT);
    world_release(world);
}

/* The file that is shipped says what holds without one. */
static void test_the_shipped_file(void **state)
{
    struct world *world = *state;

    if (access("config/config.json", R_OK) < 0) {
        print_message("skipped: not run from the top of the tree\n");
        skip();
    }
    world->host_file = "config/config.json";
    world_accepts(world, "\"env\":[\"VMRT_CPUS=1\"]", NULL, NULL);
    assert_int_equal(world->settings.values[SETTING_MEMORY].number, 1024);
    assert_string_equal(world->settings.values[SETTING_CONSOLE].text, "off");
    assert_int_equal(world->settings.values[SETTING_CPUS].number, 1);
    world_release(world);
}

static void test_defaults_without_a_file(void **state)
{
    struct world *world = *state;

    world_accepts(world, NULL, NULL, NULL);
    assert_int_equal(world->settings.values[SETTING_MEMORY].number, 1024);
    assert_int_equal(world->settings.values[SETTING_CPUS].number, 0);
    assert_string_equal(world->settings.values[SETTING_CONSOLE].text, "off");
    assert_string_equal(world->settings.values[SETTING_KERNEL].text, "");
    assert_string_equal(world->settings.values[SETTING_NETWORK_MODE].text, "refuse");
    world_release(world);
}

static void test_bad_values_are_named(void **state)
{
    static const struct {
        const char *process, *top, *text;
    } rows[] = {
        { "\"env\":[\"VMRT_NOSUCH=1\"]", NULL, "process.env: VMRT_NOSUCH is not a setting" },
        { "\"env\":[\"VMRT_=1\"]", NULL, "VMRT_ is not a setting" },
        { "\"env\":[\"VMRT_MEMORY\"]", NULL, "VMRT_MEMORY: expected MiB" },
        { "\"env\":[\"VMRT_MEMORY=\"]", NULL, "VMRT_MEMORY" },
        { "\"env\":[\"VMRT_MEMORY=1\"]", NULL, "40M to 1024G, found \"1\"" },
        { "\"env\":[\"VMRT_MEMORY=-100\"]", NULL, "VMRT_MEMORY" },
        { "\"env\":[\"VMRT_MEMORY=100T\"]", NULL, "VMRT_MEMORY" },
        { "\"env\":[\"VMRT_MEMORY=18446744073709551615G\"]", NULL, "VMRT_MEMORY" },
        { "\"env\":[\"VMRT_MEMORY=99999999999999999999\"]", NULL, "VMRT_MEMORY" },
        { "\"env\":[\"VMRT_CPUS=many\"]", NULL, "VMRT_CPUS: expected number" },
        { "\"env\":[\"VMRT_CPUS=0\"]", NULL, "VMRT_CPUS" },
        { "\"env\":[\"VMRT_CPUS=65\"]", NULL, "VMRT_CPUS" },
        { "\"env\":[\"VMRT_KERNEL_ARGS=a\\nb\"]", NULL, "VMRT_KERNEL_ARGS" },
        { "\"env\":[\"VMRT_NETWORK_MODE=none\"]", NULL,
          "VMRT_NETWORK_MODE: expected refuse or host, found \"none\"" },
        { "\"env\":[\"VMRT_CONSOLE=loud\"]", NULL, "VMRT_CONSOLE: expected off, stderr or path" },
        { NULL, "\"annotations\":{\"org.vmrt.nosuch\":\"1\"}", "annotation org.vmrt.nosuch" },
        { NULL, "\"annotations\":{\"org.vmrt.cpus\":\"x\"}", "annotation org.vmrt.cpus" },
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        world_refuses(world, rows[i].process, NULL, rows[i].top, rows[i].text);
}

static void test_the_host_decides_what_a_container_may_say(void **state)
{
    struct world *world = *state;
    char file[128];

    snprintf(file, sizeof(file), "%s/host.json", world->directory);
    world->host_file = file;
    world_file(world, "host.json", "{\"allowed_settings\":[\"cpus\"]}", 0644);
    world_refuses(world, "\"env\":[\"VMRT_MEMORY=100\"]", NULL, NULL,
                  "VMRT_MEMORY: \"allowed_settings\"");
    world_refuses(world, NULL, NULL, "\"annotations\":{\"org.vmrt.memory\":\"100\"}",
                  "allowed_settings");
    world_accepts(world, "\"env\":[\"VMRT_CPUS=1\"]", NULL, NULL);
    world_release(world);
    world_file(world, "host.json", "{\"allowed_settings\":[\"nosuch\"]}", 0644);
    world_refuses(world, NULL, NULL, NULL, "\"nosuch\" is not a setting");
    world_file(world, "host.json", "{\"nosuch\":1}", 0644);
    world_refuses(world, NULL, NULL, NULL, "nosuch: not a setting");
    world_file(world, "host.json", "{\"memory\":[]}", 0644);
    world_refuses(world, NULL, NULL, NULL, "memory: expected a string");
    world_file(world, "host.json", "{", 0644);
    world_refuses(world, NULL, NULL, NULL, "host.json: not valid JSON");
}

static void test_paths_of_a_container_stay_in_the_hosts_directories(void **state)
{
    struct world *world = *state;
    char file[128], host[512], process[256], path[160];

    snprintf(file, sizeof(file), "%s/host.json", world->directory);
    world->host_file = file;
    snprintf(path, sizeof(path), "%s/kernels", world->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    world_file(world, "kernels/good", "x", 0644);
    world_file(world, "outside", "x", 0644);
    snprintf(path, sizeof(path), "%s/kernels/link", world->directory);
    assert_int_equal(symlink("../outside", path), 0);

    /* Without the host's word, nowhere. */
    snprintf(process, sizeof(process), "\"env\":[\"VMRT_KERNEL=%s/kernels/good\"]",
             world->directory);
    world_refuses(world, process, NULL, NULL, "VMRT_KERNEL");
    world_refuses(world, "\"env\":[\"VMRT_CONSOLE=/tmp/console\"]", NULL, NULL,
                  "\"console_directories\"");

    snprintf(host, sizeof(host),
             "{\"kernel_directories\":[\"%s/kernels\"],\"console_directories\":[\"%s/kernels\"]}",
             world->directory, world->directory);
    world_file(world, "host.json", host, 0644);
    world_accepts(world, process, NULL, NULL);
    assert_non_null(strstr(world->plan.kernel, "/kernels/good"));
    world_release(world);

    snprintf(process, sizeof(process), "\"env\":[\"VMRT_KERNEL=%s/kernels/link\"]",
             world->directory);
    world_refuses(world, process, NULL, NULL, "is in none of the directories");
    snprintf(process, sizeof(process), "\"env\":[\"VMRT_KERNEL=%s/kernels/../outside\"]",
             world->directory);
    world_refuses(world, process, NULL, NULL, "is in none of the directories");
    snprintf(process, sizeof(process), "\"env\":[\"VMRT_CONSOLE=%s/kernels/../new\"]",
             world->directory);
    world_refuses(world, process, NULL, NULL, "is in none of the directories");
    snprintf(process, sizeof(process), "\"env\":[\"VMRT_CONSOLE=%s/kernels/new\"]",
             world->directory);
    world_accepts(world, process, NULL, NULL);
    world_release(world);
    world_refuses(world, "\"env\":[\"VMRT_KERNEL=vmlinux\"]", NULL, NULL, "VMRT_KERNEL: expected");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_precedence),
        TEST(test_defaults_without_a_file),
        TEST(test_the_shipped_file),
        TEST(test_bad_values_are_named),
        TEST(test_the_host_decides_what_a_container_may_say),
        TEST(test_paths_of_a_container_stay_in_the_hosts_directories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
