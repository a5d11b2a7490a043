/* Running vmrt-net: what the runtime makes of what it says. */
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
#include "oci/network.h"

/* As many as vmrt-net knows interfaces: SCAN_LINKS_MAX of hooks/net/scan.h. */
#define SKIPPED_MAX 64
#define NOISE       "interface with-a-name-of- is not passed to the virtual machine: "

/* The part of vmrt-net in a namespace with many interfaces that cannot be passed, and a failure. */
static int act_as_helper(void)
{
    /* The longest lines that there are. */
    for (int i = 0; i < SKIPPED_MAX; i++)
        fprintf(stderr, "vmrt-net: " NOISE "%0*d\n", 159 - (int)strlen(NOISE), i);
    fputs("vmrt-net: the reason why it failed\n", stderr);
    return 1;
}

/* The part of vmrt: on stdout, how it ended. */
static int act_as_runtime(void)
{
    struct error err = { 0 };
    int ret = network_clean("/proc/self/ns/net", &err);

    printf("%d %s\n", ret, err.message);
    return 0;
}

/* This program once more, beside copies of itself called as the runtime's helpers are. */
static void run_runtime(char *output, size_t size)
{
    char directory[] = "/tmp/vmrt-network-XXXXXX", command[512], own[PATH_MAX] = "";
    FILE *runtime;
    size_t length;

    assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
    assert_non_null(mkdtemp(directory));
    snprintf(
        command, sizeof(command),
        "cd %s && cp %.300s vmrt && ln vmrt vmrt-net && ln vmrt vmrt-vmm && ./vmrt runtime 2>&1",
        directory, own);
    runtime = popen(command, "re");
    assert_non_null(runtime);
    length = fread(output, 1, size - 1, runtime);
    output[length] = '\0';
    assert_int_equal(pclose(runtime), 0);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

/* What came after the first 4 KiB was cut off, the error first of all. */
static void test_a_failure_after_many_warnings_keeps_its_reason(void **state)
{
    static char output[1 << 16];
    unsigned int warnings = 0;

    (void)state;
    run_runtime(output, sizeof(output));
    for (const char *p = output; (p = strstr(p, "warning: network: " NOISE)); p++)
        warnings++;
    assert_int_equal(warnings, SKIPPED_MAX);
    if (!strstr(output, "-5 network: the reason why it failed\n"))
        fail_msg("%s", output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failure_after_many_warnings_keeps_its_reason),
    };

    if (strcmp(argv[0], "vmrt-net") == 0)
        return act_as_helper();
    if (argc == 2 && strcmp(argv[1], "runtime") == 0)
        return act_as_runtime();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
