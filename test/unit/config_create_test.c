/*
 * A sample of the cases of config_mutation_test.c, carried out: every container that is refused, or
 * made and deleted again, leaves no state, no control group, no process, no descriptor, no mount.
 */
#include "config_mutations.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/creation.h"
#include "oci/lifecycle.h"

#define SAMPLES 100

static void write_kernel(const struct world *world)
{
    char path[128], text[256];

    snprintf(path, sizeof(path), "%s/vmlinux", world->directory);
    world_kernel(path);
    snprintf(text, sizeof(text), "{\"kernel\":\"%s\"}", path);
    world_file(world, "host.json", text, 0644);
}

static void install_program(const struct world *world)
{
    char command[512];

    snprintf(command, sizeof(command),
             "cd %s/rootfs && mkdir bin && cp /bin/busybox bin/ && ln -s busybox bin/sh && "
             "ln -s busybox bin/sleep && cp /bin/busybox pause",
             world->directory);
    assert_int_equal(system(command), 0);
}

static size_t count_lines(const char *path)
{
    char *text;
    size_t count = 0;

    assert_int_equal(fd_read_file(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
    for (const char *c = text; *c; c++)
        count += *c == '\n';
    free(text);
    return count;
}

/* What a container could leave in the world around it. */
struct traces {
    size_t descriptors, mounts, entries;
};

static struct traces look(const struct world *world)
{
    return (struct traces) { mutation_count_entries("/proc/self/fd"),
                             count_lines("/proc/self/mountinfo"),
                             mutation_count_entries(world->directory) };
}

static void expect_unchanged(const struct world *world, const struct traces *before,
                             const char *what)
{
    struct traces now = look(world);
    char path[128];

    snprintf(path, sizeof(path), "%s/state/c1", world->directory);
    if (access(path, F_OK) == 0 || waitpid(-1, NULL, WNOHANG) != -1 ||
        now.descriptors != before->descriptors || now.mounts != before->mounts ||
        now.entries != before->entries)
        fail_msg("%s: left something behind (descriptors %zu, mounts %zu, entries %zu)", what,
                 now.descriptors - before->descriptors, now.mounts - before->mounts,
                 now.entries - before->entries);
}

/* Without control groups: their paths are mutated as well, and the machine has others. */
static bool create_and_delete(struct world *world, const char *what)
{
    char root[128], host[128];
    struct creation_request request = { .root = root,
                                        .host_settings = host,
                                        .id = "c1",
                                        .bundle = world->directory,
                                        .no_cgroup = true };
    struct container container;
    struct error *err = &world->err;
    int master = -1, ret;

    *err = (struct error) { 0 };
    snprintf(root, sizeof(root), "%s/state", world->directory);
    snprintf(host, sizeof(host), "%s/host.json", world->directory);
    ret = creation_run(&request, &master, &container, err);
    if (ret < 0 && (err->code != -ret || !err->message[0] || strchr(err->message, '\n')))
        fail_msg("%s: %d, \"%s\"", what, ret, err->message);
    if (ret == 0) {
        if (lifecycle_delete(root, &container, true, err) < 0)
            fail_msg("%s: delete: %s", what, err->message);
        while (waitpid(-1, NULL, 0) > 0)
            ;
    }
    container_close(&container);
    fd_close(&master);
    return ret == 0;
}

static void create_samples(struct world *world, const char *name)
{
    size_t created = 0, samples = 0;
    struct traces before;
    struct json document;
    char file[64], path[256], what[400], *text;
    bool done = false;

    if (geteuid() != 0 || access("/dev/kvm", R_OK | W_OK) < 0 || access("/bin/busybox", X_OK) < 0) {
        print_message("skipped: needs root, /dev/kvm and busybox-static\n");
        skip();
    }
    assert_int_equal(chmod(world->directory, 0755), 0);
    mutation_prepare(world);
    write_kernel(world);
    install_program(world);
    snprintf(file, sizeof(file), "test/data/config-%s.json", name);
    assert_int_equal(fd_read_file(AT_FDCWD, file, 1 << 20, &text, NULL), 0);
    assert_int_equal(json_parse(text, name, &document, NULL), 0);
    world_file(world, "config.json", text, 0644);
    /* The first makes mount points in the image and the state's root. */
    if (!create_and_delete(world, name))
        fail_msg("%s itself is refused: %s", file, world->err.message);
    before = look(world);
    for (size_t target = 1, c = 0; !done && samples < SAMPLES; target += 3, c += 7) {
        size_t r = c % (MUTATION_REPLACEMENTS + 1);
        char *mutated =
            mutation_apply(&document, target, r ? mutation_replacements[r - 1] : NULL, path, &done);

        if (!done) {
            snprintf(what, sizeof(what), "%s: %s, replacement %zu", name, path, r);
            world_file(world, "config.json", mutated, 0644);
            created += create_and_delete(world, what);
            expect_unchanged(world, &before, what);
            samples++;
        }
        free(mutated);
    }
    print_message("%s: %zu samples, %zu of them containers\n", name, samples, created);
    assert_true(samples >= SAMPLES / 2);
    json_free(&document);
    free(text);
}

static void test_podman(void **state)
{
    create_samples(*state, "podman");
}

static void test_containerd(void **state)
{
    create_samples(*state, "containerd");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_podman),
        TEST(test_containerd),
    };
    struct log_options log = { .path = "/dev/null" };

    if (log_open(&log, NULL) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
