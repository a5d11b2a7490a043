/* Looking for a command in $PATH. */
#include "init/command.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int resolve(const char *name, char *path, struct failure *failure)
{
    char search[] = "PATH=/nosuch:/bin/sh:/bin:/usr/bin";
    char *env[] = { search, NULL };

    return command_resolve(name, env, path, failure);
}

static void test_found_and_not_found(void **state)
{
    struct failure failure;
    char path[PATH_MAX];

    (void)state;
    assert_int_equal(resolve("sh", path, &failure), 0);
    assert_string_equal(path, "/bin/sh");
    assert_int_equal(resolve("vmrt-no-such", path, &failure), -ENOENT);
    assert_string_equal(failure.text, "exec: \"vmrt-no-such\": executable file not found in $PATH");
}

/* In a process in which stat(2) fails with @code. Return: 0 when all is as it should be. */
static int search_in_trouble(int code, const char *text)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    uint32_t fails = SCMP_ACT_ERRNO((uint32_t)code);
    struct failure failure = { 0 };
    char path[PATH_MAX];

    if (!filter || seccomp_rule_add(filter, fails, SCMP_SYS(newfstatat), 0) < 0 ||
        seccomp_rule_add(filter, fails, SCMP_SYS(stat), 0) < 0 || seccomp_load(filter) < 0)
        return 2;
    return resolve("sh", path, &failure) == -code && strcmp(failure.text, text) == 0 ? 0 : 3;
}

/* A host whose file server had no descriptors left made "not found" of it. */
static void test_trouble_is_not_taken_for_an_answer(void **state)
{
    static const struct {
        int code;
        const char *text;
    } cases[] = {
        { EMFILE, "exec: \"sh\": cannot look for it in $PATH: too many open files" },
        { EIO, "exec: \"sh\": cannot look for it in $PATH: input/output error" },
        { ENOENT, "exec: \"sh\": executable file not found in $PATH" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
            _exit(search_in_trouble(cases[i].code, cases[i].text));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_and_not_found),
        cmocka_unit_test(test_trouble_is_not_taken_for_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
