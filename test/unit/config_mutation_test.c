/*
 * Configurations as engines write them, with one thing wrong: each member and element dropped,
 * given another type, or an extreme value; and the text itself damaged. Everything ends in a plan
 * that can be carried out or in one line that says where it is wrong, and leaves nothing.
 *
 * The cases are numbered and always the same; a failure names its own.
 */
#include "config_mutations.h"

#include "lib/fd.h"
#include "lib/log.h"
#include "vmm/plan.h"

#define CASES_AT_LEAST 500

/* The guest's orders are well-formed and the machine is one that can be built. */
static void check_plan(const struct plan *plan, const char *what)
{
    struct protocol_reader reader = { plan->guest.data + PROTOCOL_HEADER_SIZE,
                                      plan->guest.length - PROTOCOL_HEADER_SIZE };
    struct protocol_header header;
    struct protocol_field field;
    int ret;

    if (protocol_read_header(plan->guest.data, &header) < 0 || header.length != reader.length)
        fail_msg("%s: the message's header", what);
    while ((ret = protocol_next(&reader, &field)) == 1)
        ;
    if (ret < 0 || plan->memory_mib < PLAN_MEMORY_MIN_MIB ||
        plan->memory_mib > PLAN_MEMORY_MAX_MIB || plan->cpus < 1 || plan->cpus > PLAN_CPUS_MAX ||
        plan->share_count > PLAN_SHARES_MAX || plan->rootfs[0] != '/' || !plan->cgroup_path)
        fail_msg("%s: the plan", what);
    for (size_t i = 0; i < plan->mount_count; i++)
        if (plan->mounts[i].target[0] != '/' || strstr(plan->mounts[i].target, "/../"))
            fail_msg("%s: mount %zu at %s", what, i, plan->mounts[i].target);
}

/* Does the message say where to look: a part of the path, or what runc says of it? */
static bool names_place(const char *message, const char *path)
{
    static const char *const others[] = { "invalid rootfs", "hook #", "VMRT_", "annotation " };
    char copy[256], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *part = strtok_r(copy, ".[]", &save); part; part = strtok_r(NULL, ".[]", &save))
        if (part[0] > '9' && strstr(message, part))
            return true;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strstr(message, others[i]))
            return true;
    return false;
}

/* @path: NULL where the text itself was damaged. Return: was it accepted? */
static bool try(struct world *world, const char *text, const char *path, const char *what)
{
    struct plan_request request = { .id = "c1", .bundle = world->directory };
    struct error *err = &world->err;
    int ret;

    memset(&world->settings, 0, sizeof(world->settings));
    memset(&world->plan, 0, sizeof(world->plan));
    *err = (struct error) { 0 };
    ret = spec_parse(text, &world->spec, err);
    if (ret == 0)
        ret = fields_check(&world->spec.document, err);
    if (ret == 0)
        ret = settings_load("/nonexistent", &world->spec, &world->settings, err);
    if (ret == 0)
        ret = plan_make(&world->spec, &world->settings, &request, &world->plan, err);
    if (ret == 0)
        check_plan(&world->plan, what);
    else if (err->code != -ret || !err->message[0] || strchr(err->message, '\n'))
        fail_msg("%s: %d, \"%s\"", what, ret, err->message);
    else if (path && !names_place(err->message, path))
        fail_msg("%s: \"%s\" does not name %s", what, err->message, path);
    world_release(world);
    return ret == 0;
}

static void try_damaged_text(struct world *world, const char *text)
{
    size_t length = strlen(text);
    char *copy = malloc(length + 1), what[64];

    assert_non_null(copy);
    for (size_t cut = 0; cut < length; cut += 1 + length / 200) {
        memcpy(copy, text, cut);
        copy[cut] = '\0';
        snprintf(what, sizeof(what), "cut at %zu", cut);
        assert_false(try(world, copy, NULL, what));
    }
    for (size_t i = 0; i < 400; i++) {
        size_t at = (i * 2654435761u + 7) % length;

        memcpy(copy, text, length + 1);
        copy[at] = (char)("\"{}[],:0-x\\\n\x80\xff"[i % 14]);
        snprintf(what, sizeof(what), "byte %zu, case %zu", at, i);
        (void)try(world, copy, NULL, what);
    }
    free(copy);
}

static void mutate_all(struct world *world, const char *name)
{
    size_t cases = 0, accepted = 0, entries, descriptors;
    char file[64], path[256], what[400];
    struct json document;
    char *text;
    bool done = false;

    mutation_prepare(world);
    entries = mutation_count_entries(world->directory);
    snprintf(file, sizeof(file), "test/data/config-%s.json", name);
    assert_int_equal(fd_read_file(AT_FDCWD, file, 1 << 20, &text, NULL), 0);
    assert_int_equal(json_parse(text, name, &document, NULL), 0);
    if (!try(world, text, NULL, name))
        fail_msg("%s itself is refused: %s", file, world->err.message);
    descriptors = mutation_count_entries("/proc/self/fd");
    for (size_t target = 1; !done; target++)
        for (size_t r = 0; r <= MUTATION_REPLACEMENTS; r++) {
            const char *change = r ? mutation_replacements[r - 1] : NULL;
            char *mutated = mutation_apply(&document, target, change, path, &done);

            if (!done) {
                snprintf(what, sizeof(what), "%s: %s %s", name, path,
                         !change           ? "dropped"
                         : change[0] < ' ' ? "long or twice"
                                           : change);
                accepted += try(world, mutated, path, what);
                cases++;
            }
            free(mutated);
        }
    try_damaged_text(world, text);
    assert_int_equal(mutation_count_entries("/proc/self/fd"), descriptors);
    assert_int_equal(mutation_count_entries(world->directory), entries);
    assert_true(cases >= CASES_AT_LEAST);
    print_message("%s: %zu cases, %zu of them plans\n", name, cases, accepted);
    json_free(&document);
    free(text);
}

static void test_docker(void **state)
{
    mutate_all(*state, "docker");
}

static void test_podman(void **state)
{
    mutate_all(*state, "podman");
}

static void test_containerd(void **state)
{
    mutate_all(*state, "containerd");
}

static void test_runc_spec(void **state)
{
    mutate_all(*state, "runc");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_docker),
        TEST(test_podman),
        TEST(test_containerd),
        TEST(test_runc_spec),
    };
    struct log_options log = { .path = "/dev/null" };

    /* Warnings are not what is tested here. */
    if (log_open(&log, NULL) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
