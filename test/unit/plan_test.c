/* The VM plan: every key, what is refused, and that writing and reading agree. */
#include "vmm/plan.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init/protocol.h"
#include "vmm/standalone.h"

static struct vm_plan plan;
static struct error err;

static int teardown(void **state)
{
    (void)state;
    plan_free(&plan);
    return 0;
}

static void parse(const char *text)
{
    if (plan_parse(text, &plan, &err) != 0)
        fail_msg("%s", err.message);
}

static void expect_refused(const char *text, const char *message)
{
    assert_int_equal(plan_parse(text, &plan, &err), -EINVAL);
    assert_string_equal(err.message, message);
    plan_free(&plan);
}

static void test_defaults(void **state)
{
    (void)state;
    parse("{\"kernel\":\"k\"}");
    assert_string_equal(plan.kernel, "k");
    assert_int_equal(plan.memory_mib, 256);
    assert_int_equal(plan.cpus, 1);
    assert_true(plan.sandbox);
    assert_false(plan.rng_late || plan.exit_stats || plan.log_json);
    assert_int_equal(plan.console, CONSOLE_OFF);
    assert_int_equal(plan.share_count, 0);
    assert_int_equal(plan.kernel_fd, -1);
    assert_int_equal(plan.init_fd, -1);
    assert_int_equal(plan.kvm_fd, -1);
    assert_int_equal(plan.control_fd, -1);
    assert_int_equal(plan.guest_fd, -1);
    assert_int_equal(plan.ready_fd, -1);
    assert_int_equal(plan.log_fd, -1);
    assert_int_equal(plan.proc_fd, -1);
    assert_int_equal(plan.console_fd, -1);
    assert_int_equal(plan.notify_fd, -1);
    assert_false(plan.terminal);
    assert_null(plan.affinity);
}

static const char everything[] =
    "{\"id\":\"i\",\"kernel\":\"k\",\"kernel_fd\":3,\"init\":\"n\",\"init_fd\":4,"
    "\"cmdline\":\"c\",\"memory_mib\":40,\"cpus\":64,\"rng_late\":true,\"exit_stats\":true,"
    "\"kvm_fd\":5,\"control_fd\":6,\"guest_fd\":7,\"ready_fd\":8,\"log_fd\":9,\"proc_fd\":10,"
    "\"notify_fd\":13,\"terminal\":true,\"affinity\":[65535,0,2,3,4,5,6,7,8,9,10,11,12,13,14,15,"
    "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,"
    "47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63],"
    "\"log_json\":true,\"sandbox\":false,\"root\":\"/r\",\"args\":[\"a\",\"b\"],"
    "\"env\":[\"X=1\"],\"cwd\":\"/w\",\"console\":11,"
    "\"shares\":[{\"path\":\"/s\",\"readonly\":true},{\"fd\":12,\"readonly\":false}]}";

static void check_everything(void)
{
    assert_string_equal(plan.id, "i");
    assert_string_equal(plan.kernel, "k");
    assert_int_equal(plan.kernel_fd, 3);
    assert_string_equal(plan.init, "n");
    assert_int_equal(plan.init_fd, 4);
    assert_string_equal(plan.cmdline, "c");
    assert_int_equal(plan.memory_mib, 40);
    assert_int_equal(plan.cpus, 64);
    assert_int_equal(plan.notify_fd, 13);
    assert_true(plan.terminal);
    assert_int_equal(plan.affinity_count, 64);
    assert_int_equal(plan.affinity[0], 65535);
    assert_int_equal(plan.affinity[63], 63);
    assert_true(plan.rng_late && plan.exit_stats && plan.log_json && !plan.sandbox);
    assert_int_equal(plan.kvm_fd, 5);
    assert_int_equal(plan.control_fd, 6);
    assert_int_equal(plan.guest_fd, 7);
    assert_int_equal(plan.ready_fd, 8);
    assert_int_equal(plan.log_fd, 9);
    assert_int_equal(plan.proc_fd, 10);
    assert_int_equal(plan.console, CONSOLE_FD);
    assert_int_equal(plan.console_fd, 11);
    assert_string_equal(plan.root, "/r");
    assert_string_equal(plan.args[1], "b");
    assert_null(plan.args[2]);
    assert_string_equal(plan.env[0], "X=1");
    assert_string_equal(plan.cwd, "/w");
    assert_int_equal(plan.share_count, 2);
    assert_string_equal(plan.shares[0].path, "/s");
    assert_int_equal(plan.shares[0].fd, -1);
    assert_true(plan.shares[0].readonly);
    assert_null(plan.shares[1].path);
    assert_int_equal(plan.shares[1].fd, 12);
    assert_false(plan.shares[1].readonly);
}

/* The writer walks the table that the reader walks: text → plan → text → plan. */
static void test_every_key_both_ways(void **state)
{
    char *text = NULL, *again = NULL;

    (void)state;
    parse(everything);
    check_everything();
    assert_int_equal(plan_format(&plan, &text, &err), 0);
    plan_free(&plan);
    parse(text);
    check_everything();
    assert_int_equal(plan_format(&plan, &again, &err), 0);
    assert_string_equal(again, text);
    free(text);
    free(again);
    plan_free(&plan);
    parse("{\"kernel\":\"k\",\"console\":\"stderr\"}");
    assert_int_equal(plan_format(&plan, &text, &err), 0);
    plan_free(&plan);
    parse(text);
    assert_int_equal(plan.console, CONSOLE_STDERR);
    free(text);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    expect_refused("{\"kernel_fd\":-1,\"kernel\":\"k\"}",
                   "VM plan: kernel_fd: expected a non-negative whole number, found -1");
    expect_refused("{\"kernel_fd\":1048577}",
                   "VM plan: kernel_fd: expected at most 1048576, found 1048577");
    expect_refused("{\"kernel\":\"k\",\"console\":-5}",
                   "VM plan: console: expected a non-negative whole number, found -5");
    expect_refused("{\"kernel\":\"k\",\"console\":true}",
                   "VM plan: console: expected a string, found a boolean");
    expect_refused("{\"kernel\":\"k\",\"shares\":{}}",
                   "VM plan: shares: expected an array, found an object");
    expect_refused("{\"kernel\":\"k\",\"shares\":[{\"path\":\"/\"}],\"shares\":[{\"path\":\"/\"}]}",
                   "VM plan: shares: given twice");
    expect_refused("{\"kernel\":\"k\",\"shares\":[{\"path\":\"/\",\"fd\":3}]}",
                   "VM plan: shares[0]: expected either \"path\" or \"fd\"");
    expect_refused("{\"kernel\":\"k\",\"shares\":[{\"fd\":\"3\"}]}",
                   "VM plan: shares[0].fd: expected a non-negative whole number, found a string");
    expect_refused("{\"kernel\":\"k\",\"shares\":[1]}",
                   "VM plan: shares[0]: expected either \"path\" or \"fd\"");
    expect_refused("{\"kernel\":\"k\",\"root\":\"/\",\"args\":[]}",
                   "VM plan: args: expected the command to run in \"root\"");
    expect_refused("{\"kernel\":\"k\",\"Kernel\":\"k\"}", "VM plan: Kernel: unknown key");
}

static void test_shares_are_bounded(void **state)
{
    static char text[256 * 20];
    size_t used;

    (void)state;
    for (int count = PLAN_SHARES_MAX; count <= PLAN_SHARES_MAX + 1; count++) {
        used = (size_t)sprintf(text, "{\"kernel\":\"k\",\"shares\":[");
        for (int i = 0; i < count; i++)
            used += (size_t)sprintf(text + used, "%s{\"path\":\"/\"}", i ? "," : "");
        sprintf(text + used, "]}");
        if (count == PLAN_SHARES_MAX) {
            parse(text);
            assert_int_equal(plan.share_count, PLAN_SHARES_MAX);
            plan_free(&plan);
        } else {
            expect_refused(text, "VM plan: shares: expected at most 256 shares, found 257");
        }
    }
}

static void test_equal_keys_and_nulls(void **state)
{
    (void)state;
    parse("{\"kernel\":\"first\",\"kernel\":\"last\",\"args\":[\"a\"],\"args\":[\"b\",\"c\"],"
          "\"init\":null,\"memory_mib\":null,\"shares\":null,\"console\":null,\"kvm_fd\":null}");
    assert_string_equal(plan.kernel, "last");
    assert_string_equal(plan.args[0], "b");
    assert_null(plan.init);
    assert_int_equal(plan.memory_mib, 256);
    assert_int_equal(plan.kvm_fd, -1);
}

/* Whatever a cut-off or mistaken document holds, nothing leaks and nothing crashes. */
static void test_every_prefix_and_every_wrong_byte(void **state)
{
    char text[sizeof(everything)];

    (void)state;
    for (size_t length = 0; length < sizeof(everything) - 1; length++) {
        memcpy(text, everything, length);
        text[length] = '\0';
        assert_int_equal(plan_parse(text, &plan, &err), -EINVAL);
        plan_free(&plan);
        memcpy(text, everything, sizeof(text));
        text[length] = (char)(length % 3 ? '"' : length % 2 ? '[' : '9');
        plan_parse(text, &plan, &err);
        plan_free(&plan);
    }
}

/* ---- a container from "root" and "args" ---- */

static uint64_t number_of(struct protocol_reader fields, uint16_t tag)
{
    struct protocol_field field = { 0 };
    bool bad = false;
    uint64_t value;

    assert_int_equal(protocol_find(fields, tag, &field), 1);
    value = protocol_u64(&field, &bad);
    assert_false(bad);
    return value;
}

static void expect_strings(struct protocol_reader fields, uint16_t tag, const char *const *expected)
{
    struct protocol_field field = { 0 };
    bool bad = false;

    while (protocol_next(&fields, &field) == 1)
        if (field.tag == tag)
            assert_string_equal(protocol_string(&field, &bad), *expected++);
    assert_null(*expected);
    assert_false(bad);
}

static void test_container_from_a_root(void **state)
{
    struct protocol_header header;
    struct protocol_reader fields;
    unsigned char *message = NULL;
    size_t length = 0;

    (void)state;
    parse(everything);
    assert_int_equal(standalone_container(&plan, &message, &length, &err), 0);
    /* The root is one more share, behind those of the plan. */
    assert_int_equal(plan.share_count, 3);
    assert_string_equal(plan.shares[2].path, "/r");
    assert_int_equal(plan.shares[2].fd, -1);
    assert_false(plan.shares[2].readonly);
    assert_int_equal(protocol_read_header(message, &header), 0);
    assert_int_equal(header.type, MESSAGE_CONTAINER);
    assert_int_equal(header.length, length - PROTOCOL_HEADER_SIZE);
    fields = (struct protocol_reader) { message + PROTOCOL_HEADER_SIZE, header.length };
    expect_strings(fields, FIELD_ID, (const char *const[]) { "i", NULL });
    expect_strings(fields, FIELD_ARG, (const char *const[]) { "a", "b", NULL });
    expect_strings(fields, FIELD_ENV, (const char *const[]) { "X=1", NULL });
    expect_strings(fields, FIELD_CWD, (const char *const[]) { "/w", NULL });
    assert_int_equal(number_of(fields, FIELD_ROOT_SHARE), 2);
    assert_int_equal(number_of(fields, FIELD_UID), 0);
    free(message);
    plan_free(&plan);
    parse("{\"kernel\":\"k\",\"root\":\"/r\",\"args\":[\"a\"]}");
    assert_int_equal(standalone_container(&plan, &message, &length, &err), 0);
    protocol_read_header(message, &header);
    fields = (struct protocol_reader) { message + PROTOCOL_HEADER_SIZE, header.length };
    expect_strings(fields, FIELD_CWD, (const char *const[]) { "/", NULL });
    expect_strings(fields, FIELD_ENV,
                   (const char *const[]) {
                       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL });
    free(message);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

static void test_descriptors(void **state)
{
    char *text;

    (void)state;
    parse("{\"kernel\":\"k\",\"descriptors\":[{\"fd\":7,\"kind\":2},{\"fd\":9,\"kind\":0}]}");
    assert_int_equal(plan_format(&plan, &text, &err), 0);
    plan_free(&plan);
    parse(text);
    free(text);
    assert_int_equal(plan.descriptors.count, 2);
    assert_int_equal(plan.descriptors.fds[0], 7);
    assert_int_equal(plan.descriptors.kinds[0], DESCRIPTOR_SOCKET);
    assert_int_equal(plan.descriptors.fds[1], 9);
    assert_int_equal(plan.descriptors.kinds[1], DESCRIPTOR_INPUT);
    plan_free(&plan);
    expect_refused("{\"kernel\":\"k\",\"descriptors\":[{\"fd\":7}]}",
                   "VM plan: descriptors[0]: expected \"fd\" and \"kind\"");
    expect_refused("{\"kernel\":\"k\",\"descriptors\":[{\"kind\":1}]}",
                   "VM plan: descriptors[0]: expected \"fd\" and \"kind\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptors),
        TEST(test_defaults),
        TEST(test_every_key_both_ways),
        TEST(test_what_is_refused),
        TEST(test_shares_are_bounded),
        TEST(test_equal_keys_and_nulls),
        TEST(test_every_prefix_and_every_wrong_byte),
        TEST(test_container_from_a_root),
    };

    plan_init(&plan);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
