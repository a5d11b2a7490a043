/* Compiled filters that are kept: what is found is what would be compiled, or nothing is found. */
#include "oci_world.h"

#include <dirent.h>

#include "lib/fd.h"
#include "oci/plan.h"
#include "oci/seccomp_cache.h"

#define DOCKER "test/data/seccomp-docker.json"

static struct json parse(const char *text)
{
    struct json document;

    assert_int_equal(json_parse(text, "config.json", &document, NULL), 0);
    return document;
}

static bool look(const char *root, const struct json *profile, struct seccomp_program *program)
{
    struct seccomp_cache cache;
    bool found;

    *program = (struct seccomp_program) { 0 };
    seccomp_cache_open(root, profile, &cache);
    found = seccomp_cache_read(&cache, program);
    seccomp_cache_close(&cache);
    return found;
}

static void store(const char *root, const struct json *profile,
                  const struct seccomp_program *program)
{
    struct seccomp_cache cache;

    seccomp_cache_open(root, profile, &cache);
    seccomp_cache_write(&cache, program);
    seccomp_cache_close(&cache);
}

static bool is_known(const char *root, const struct json *profile)
{
    struct seccomp_program program;
    bool found = look(root, profile, &program);

    seccomp_free_program(&program);
    return found;
}

/* Return: entries of the cache, the name of one in @name. */
static unsigned int count_entries(const struct world *world, char *name)
{
    char path[160];
    const struct dirent *entry;
    unsigned int count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "%s/" SECCOMP_CACHE_DIRECTORY, world->directory);
    directory = opendir(path);
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.') {
            count++;
            if (name)
                snprintf(name, 512, "%s/%s", path, entry->d_name);
        }
    if (directory)
        closedir(directory);
    return count;
}

static void test_what_is_found_is_what_was_compiled(void **state)
{
    struct world *world = *state;
    _cleanup_free_ char *text = NULL;
    struct seccomp_program compiled, found;
    struct json profile;
    struct error err;
    char name[512];
    struct stat st;

    assert_int_equal(fd_read_file(AT_FDCWD, DOCKER, 1 << 20, &text, NULL), 0);
    profile = parse(text);
    assert_false(is_known(world->directory, &profile));
    assert_int_equal(seccomp_compile_profile(&profile, &compiled, &err), 0);
    store(world->directory, &profile, &compiled);
    assert_true(look(world->directory, &profile, &found));
    assert_int_equal(found.count, compiled.count);
    assert_int_equal(found.flags, compiled.flags);
    assert_memory_equal(found.filter, compiled.filter, found.count * sizeof(*found.filter));
    assert_int_equal(count_entries(world, name), 1);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* Where there is no state root yet, nothing is made. */
    assert_false(is_known("/nosuch", &profile));
    assert_false(is_known(NULL, &profile));
    seccomp_free_program(&found);
    seccomp_free_program(&compiled);
    json_free(&profile);
}

/* Each differs from the first in one thing. */
static void test_other_profiles_are_others(void **state)
{
    static const char *const texts[] = {
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\",\"c\"],\"x\":1}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\",\"bc\"],\"x\":1}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\",\"c\"],\"x\":\"1\"}"
        "]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"c\":[],\"x\":1}]"
        "}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\",\"c\"]}],\"x\":1}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\",[\"c\"]],\"x\":1}]"
        "}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\",true],\"x\":1}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\",false],\"x\":1}]}",
    };
    struct world *world = *state;
    struct sock_filter instruction = { .code = 6 };
    const struct seccomp_program program = { .filter = &instruction, .count = 1 };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct json profile = parse(texts[i]);

        assert_false(is_known(world->directory, &profile));
        store(world->directory, &profile, &program);
        assert_true(is_known(world->directory, &profile));
        json_free(&profile);
    }
}

static void test_a_damaged_entry_is_none(void **state)
{
    struct world *world = *state;
    struct sock_filter instructions[3] = { { .code = 6, .k = 1 }, { .code = 6 }, { .code = 6 } };
    const struct seccomp_program program = { .filter = instructions, .count = 3, .flags = 2 };
    struct json profile = parse("{\"defaultAction\":\"SCMP_ACT_ERRNO\"}");
    char name[512];
    uint8_t byte;
    off_t size;
    int fd;

    store(world->directory, &profile, &program);
    assert_int_equal(count_entries(world, name), 1);
    fd = open(name, O_RDWR | O_CLOEXEC);
    size = lseek(fd, 0, SEEK_END);
    for (off_t at = 0; at < size; at++) {
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_false(is_known(world->directory, &profile));
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    assert_true(is_known(world->directory, &profile));
    for (off_t at = size - 1; at >= 0; at -= 7) {
        assert_int_equal(ftruncate(fd, at), 0);
        assert_false(is_known(world->directory, &profile));
    }
    close(fd);
    /* It is written anew. */
    store(world->directory, &profile, &program);
    assert_true(is_known(world->directory, &profile));
    json_free(&profile);
}

/* What somebody else could have written there is not believed. */
static void test_a_directory_of_others_is_not_used(void **state)
{
    struct world *world = *state;
    struct sock_filter instruction = { .code = 6 };
    const struct seccomp_program program = { .filter = &instruction, .count = 1 };
    struct json profile = parse("{\"defaultAction\":\"SCMP_ACT_ERRNO\"}");
    char path[160], other[160];

    snprintf(path, sizeof(path), "%s/" SECCOMP_CACHE_DIRECTORY, world->directory);
    snprintf(other, sizeof(other), "%s/other", world->directory);
    store(world->directory, &profile, &program);
    assert_int_equal(chmod(path, 0770), 0);
    assert_false(is_known(world->directory, &profile));
    assert_int_equal(chmod(path, 0700), 0);
    assert_true(is_known(world->directory, &profile));
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink("other", path), 0);
    assert_false(is_known(world->directory, &profile));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(other, path), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 1, 1), 0);
        assert_false(is_known(world->directory, &profile));
    }
    json_free(&profile);
}

static void test_the_cache_does_not_grow_without_end(void **state)
{
    struct world *world = *state;
    struct sock_filter instruction = { .code = 6 };
    const struct seccomp_program program = { .filter = &instruction, .count = 1 };
    char text[64];

    for (unsigned int i = 0; i < SECCOMP_CACHE_ENTRIES + 8; i++) {
        struct json profile;

        snprintf(text, sizeof(text), "{\"defaultErrnoRet\":%u}", i);
        profile = parse(text);
        store(world->directory, &profile, &program);
        assert_true(is_known(world->directory, &profile));
        json_free(&profile);
    }
    assert_int_equal(count_entries(world, NULL), SECCOMP_CACHE_ENTRIES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_found_is_what_was_compiled),
        TEST(test_other_profiles_are_others),
        TEST(test_a_damaged_entry_is_none),
        TEST(test_a_directory_of_others_is_not_used),
        TEST(test_the_cache_does_not_grow_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
