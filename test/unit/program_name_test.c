/*
 * What programs are called that vmrt executes by descriptor: before Linux 6.14 such a process has
 * the descriptor's number for a name, and was no virtual machine's monitor to plan_network().
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"

/* A file of the build, in which the test lies two directories down. */
static void build_path(const char *name, char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 64);

    assert_true(n > 0);
    out[n] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(out, '/') = '\0';
    snprintf(out + strlen(out), 64, "/%s", name);
}

/* A link called "9" is to every kernel what the descriptor is to an old one. */
static void expect_name(const char *program)
{
    char directory[] = "/tmp/vmrt-name-XXXXXX", path[PATH_MAX], link[64], expected[32];
    _cleanup_free_ char *name = NULL;
    siginfo_t info;
    pid_t pid;

    build_path(program, path);
    assert_non_null(mkdtemp(directory));
    snprintf(link, sizeof(link), "%s/9", directory);
    assert_int_equal(symlink(path, link), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (dup2(null, STDOUT_FILENO) >= 0)
            execl(link, program, "--version", NULL);
        _exit(127);
    }
    /* It keeps its name until it is reaped. */
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 64, &name, NULL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
    snprintf(expected, sizeof(expected), "%s\n", program);
    assert_string_equal(name, expected);
}

static void test_the_monitor_has_its_name_however_it_was_executed(void **state)
{
    (void)state;
    expect_name("vmrt-vmm");
}

static void test_the_network_helper_has_its_name_however_it_was_executed(void **state)
{
    (void)state;
    expect_name("vmrt-net");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_monitor_has_its_name_however_it_was_executed),
        cmocka_unit_test(test_the_network_helper_has_its_name_however_it_was_executed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
