/* vmrt-vmm as a program: what it refuses, in one line, with status 125. */
#include "init/protocol.h"
#include "vmm_program.h"

#define FAILED 125

static struct vmm vmm;

static void expect_refusal(const char *plan, const char *message)
{
    vmm_start(&vmm, "%s", plan);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, message);
}

static int run(const char *const *arguments)
{
    vmm_spawn(&vmm, arguments);
    return vmm_wait(&vmm);
}

#define RUN(...) run((const char *const[]) { __VA_ARGS__ __VA_OPT__(, ) NULL })

/* ---- the command line ---- */

static void test_help_and_version(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), 0);
    vmm_expect_said(&vmm, "Usage: vmrt-vmm PLAN.json\n");
    assert_int_equal(RUN("-h"), 0);
    assert_int_equal(RUN("--version"), 0);
    assert_int_equal(strncmp(vmm.output, "vmrt-vmm version ", 17), 0);
    vmm_expect_said(&vmm, "\ncommit: ");
    assert_int_equal(RUN("-v"), 0);
}

static void test_command_lines_that_are_refused(void **state)
{
    static const char usage[] = "vmrt-vmm: expected one plan file, or --plan-fd N; see --help\n";

    (void)state;
    assert_int_equal(RUN(), FAILED);
    assert_string_equal(vmm.output, usage);
    assert_int_equal(RUN("a", "b"), FAILED);
    assert_string_equal(vmm.output, usage);
    assert_int_equal(RUN("--plan-fd", "5", "a"), FAILED);
    assert_string_equal(vmm.output, usage);
    assert_int_equal(RUN("--plan-fd", "5x"), FAILED);
    assert_string_equal(vmm.output, "vmrt-vmm: --plan-fd: expected a descriptor, found 5x\n");
    assert_int_equal(RUN("--plan-fd", "-1"), FAILED);
    assert_string_equal(vmm.output, "vmrt-vmm: --plan-fd: expected a descriptor, found -1\n");
    assert_int_equal(RUN("--plan-fd", ""), FAILED);
    assert_string_equal(vmm.output, "vmrt-vmm: --plan-fd: expected a descriptor, found \n");
    assert_int_equal(RUN("--plan-fd", "4294967296"), FAILED);
    assert_string_equal(vmm.output,
                        "vmrt-vmm: --plan-fd: expected a descriptor, found 4294967296\n");
    assert_int_equal(RUN("--frobnicate"), FAILED);
    vmm_expect_said(&vmm, "vmrt-vmm --help lists the options\n");
}

static void test_plans_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(RUN("/nonexistent.json"), FAILED);
    assert_string_equal(vmm.output, "vmrt: VM plan /nonexistent.json: No such file or directory\n");
    assert_int_equal(RUN("/tmp"), FAILED);
    assert_string_equal(vmm.output, "vmrt: VM plan /tmp: Is a directory\n");
    assert_int_equal(RUN("--plan-fd", "99"), FAILED);
    assert_string_equal(vmm.output, "vmrt: VM plan descriptor: Bad file descriptor\n");
    /* Larger than any plan: read to its limit, not to the end of memory. */
    assert_int_equal(RUN("/dev/zero"), FAILED);
    assert_string_equal(vmm.output, "vmrt: VM plan /dev/zero: File too large\n");
}

/* ---- plans ---- */

static void test_plans_that_are_refused(void **state)
{
    static const struct {
        const char *plan, *message;
    } cases[] = {
        { "", "vmrt: VM plan: not valid JSON: parse error: premature EOF\n" },
        { "[]", "vmrt: VM plan: expected an object, found an array\n" },
        { "null", "vmrt: VM plan: expected an object, found null\n" },
        { "{}", "vmrt: VM plan: kernel: expected the path of a vmlinux, found nothing\n" },
        { "{\"kernel\": 5}", "vmrt: VM plan: kernel: expected a string, found a number\n" },
        { "{\"memory\": 5}", "vmrt: VM plan: memory: unknown key\n" },
        { "{\"a\\nb\": 5}", "vmrt: VM plan: a?b: unknown key\n" },
        { "{\"kernel\": \"k\", \"memory_mib\": 39}",
          "vmrt: VM plan: memory_mib: expected at least 40, found 39\n" },
        { "{\"kernel\": \"k\", \"memory_mib\": 1048577}",
          "vmrt: VM plan: memory_mib: expected at most 1048576, found 1048577\n" },
        { "{\"kernel\": \"k\", \"memory_mib\": -1}",
          "vmrt: VM plan: memory_mib: expected a non-negative whole number, found -1\n" },
        { "{\"kernel\": \"k\", \"memory_mib\": \"64\"}",
          "vmrt: VM plan: memory_mib: expected a non-negative whole number, found a string\n" },
        { "{\"kernel\": \"k\", \"cpus\": 65}",
          "vmrt: VM plan: cpus: expected at most 64, found 65\n" },
        { "{\"kernel\": \"k\", \"cpus\": 0}", "vmrt: VM plan: cpus: expected 1 to 64, found 0\n" },
        { "{\"kernel\": \"k\", \"sandbox\": 1}",
          "vmrt: VM plan: sandbox: expected true or false, found a number\n" },
        { "{\"kernel\": \"k\", \"console\": \"tty\"}",
          "vmrt: VM plan: console: expected \"off\", \"stderr\" or a descriptor, found \"tty\"\n" },
        { "{\"kernel\": \"k\", \"shares\": [ {} ]}",
          "vmrt: VM plan: shares[0]: expected either \"path\" or \"fd\"\n" },
        { "{\"kernel\": \"k\", \"args\": [ \"a\", 1 ]}",
          "vmrt: VM plan: args[1]: expected a string, found a number\n" },
        { "{\"kernel\": \"k\", \"root\": \"/\"}",
          "vmrt: VM plan: args: expected the command to run in \"root\"\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refusal(cases[i].plan, cases[i].message);
    expect_refusal("{\"kernel\": ", "vmrt: VM plan: not valid JSON: parse error: premature EOF\n");
}

/* Who waits for the machine gets the reason as a message, and stderr stays clean. */
static void test_failure_goes_to_whoever_waits(void **state)
{
    uint8_t result[512];
    struct protocol_header header;
    struct protocol_field field = { 0 };
    struct protocol_reader fields;
    bool bad = false;
    int ready[2];
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    vmm_start(&vmm, "{\"ready_fd\": %d, \"kernel\": \"k\", \"cpus\": 0}", ready[1]);
    close(ready[1]);
    n = fd_read_full(ready[0], result, sizeof(result));
    close(ready[0]);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, "");
    assert_true(n > (ssize_t)PROTOCOL_HEADER_SIZE);
    assert_int_equal(protocol_read_header(result, &header), 0);
    assert_int_equal(header.type, MESSAGE_RESULT);
    assert_int_equal(header.length, (size_t)n - PROTOCOL_HEADER_SIZE);
    fields = (struct protocol_reader) { result + PROTOCOL_HEADER_SIZE, header.length };
    assert_int_equal(protocol_find(fields, FIELD_CODE, &field), 1);
    assert_int_equal(protocol_u64(&field, &bad), EINVAL);
    assert_int_equal(protocol_find(fields, FIELD_TEXT, &field), 1);
    assert_string_equal(protocol_string(&field, &bad), "VM plan: cpus: expected 1 to 64, found 0");
}

/* ---- what only a machine can refuse ---- */

static void test_kvm_that_is_none(void **state)
{
    int file = memfd_create("not kvm", 0);

    (void)state;
    vmm_start(&vmm, "{\"kernel\": \"k\", \"kvm_fd\": %d}", file);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, "vmrt: /dev/kvm is not a KVM device: KVM_GET_API_VERSION: "
                                    "Inappropriate ioctl for device\n");
    close(file);
    vmm_start(&vmm, "{\"kernel\": \"k\", \"kvm_fd\": 777}");
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, "vmrt: /dev/kvm is not a KVM device: KVM_GET_API_VERSION: "
                                    "Bad file descriptor\n");
}

#define KERNEL_IS "expected an uncompressed 64-bit ELF vmlinux with a PVH note: "

static void test_kernels_that_are_none(void **state)
{
    char plan[700], message[700];

    (void)state;
    vmm_need_kvm();
    expect_refusal("{\"kernel\": \"/nonexistent\"}",
                   "vmrt: kernel /nonexistent: No such file or directory\n");
    expect_refusal("{\"kernel\": \"/tmp\"}", "vmrt: kernel /tmp: expected a regular file\n");
    expect_refusal("{\"kernel\": \"/dev/null\"}",
                   "vmrt: kernel /dev/null: expected a regular file\n");
    expect_refusal("{\"kernel\": \"/etc/passwd\"}",
                   "vmrt: kernel /etc/passwd: " KERNEL_IS "not an ELF file\n");
    snprintf(plan, sizeof(plan), "{\"kernel\": \"%s\"}", vmm_build_path("vmrt-vmm"));
    snprintf(message, sizeof(message),
             "vmrt: kernel %s: " KERNEL_IS "it has no XEN_ELFNOTE_PHYS32_ENTRY note (CONFIG_PVH)\n",
             vmm_build_path("vmrt-vmm"));
    expect_refusal(plan, message);
}

/* A file of 100 MiB that takes no room, for an init that is too large. */
static void test_inits_that_cannot_be(void **state)
{
    char plan[700];
    int file = memfd_create("init", 0);

    (void)state;
    vmm_need_kvm();
    snprintf(plan, sizeof(plan), "{\"kernel\": \"%s\", \"init\": \"/nonexistent\"}",
             vmm_build_path("guest/payload"));
    expect_refusal(plan, "vmrt: init /nonexistent: No such file or directory\n");
    assert_int_equal(ftruncate(file, 100 << 20), 0);
    vmm_start(&vmm, "{\"kernel\": \"%s\", \"init_fd\": %d}", vmm_build_path("guest/payload"), file);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, "vmrt: init: expected at most 64 MiB\n");
    assert_int_equal(ftruncate(file, 50 << 20), 0);
    vmm_start(&vmm, "{\"kernel\": \"%s\", \"init_fd\": %d, \"memory_mib\": 40}",
              vmm_build_path("guest/payload"), file);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, "vmrt: too little memory: init alone needs 51200 KiB\n");
    assert_int_equal(ftruncate(file, (40 << 20) - 8192), 0);
    vmm_start(&vmm, "{\"kernel\": \"%s\", \"init_fd\": %d, \"memory_mib\": 40}",
              vmm_build_path("guest/payload"), file);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    vmm_expect_said(&vmm, "vmrt: too little memory: kernel ");
    close(file);
}

static void test_shares_that_are_not_there(void **state)
{
    char plan[700];

    (void)state;
    vmm_need_kvm();
    snprintf(
        plan, sizeof(plan),
        "{\"kernel\": \"%s\", \"shares\": [ {\"path\": \"/\"}, {\"path\": \"/nonexistent\"} ]}",
        vmm_build_path("guest/payload"));
    expect_refusal(plan, "vmrt: shares[1]: /nonexistent: No such file or directory\n");
}

static void test_command_line_that_the_kernel_would_cut(void **state)
{
    char plan[4096], filler[2048];

    (void)state;
    vmm_need_kvm();
    memset(filler, 'x', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    snprintf(plan, sizeof(plan), "{\"kernel\": \"%s\", \"cmdline\": \"%s\"}",
             vmm_build_path("guest/payload"), filler);
    expect_refusal(plan, "vmrt: kernel command line: expected at most 2047 bytes in all\n");
}

static void test_guest_plan_that_is_none(void **state)
{
    int file = memfd_create("guest plan", 0);

    (void)state;
    vmm_need_kvm();
    assert_int_equal(write(file, "garbage", 7), 7);
    lseek(file, 0, SEEK_SET);
    vmm_start(&vmm, "{\"kernel\": \"%s\", \"guest_fd\": %d}", vmm_build_path("guest/payload"),
              file);
    assert_int_equal(vmm_wait(&vmm), FAILED);
    assert_string_equal(vmm.output, "vmrt: guest plan: expected whole messages for init\n");
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_command_lines_that_are_refused),
        cmocka_unit_test(test_plans_that_cannot_be_read),
        cmocka_unit_test(test_plans_that_are_refused),
        cmocka_unit_test(test_failure_goes_to_whoever_waits),
        cmocka_unit_test(test_kvm_that_is_none),
        cmocka_unit_test(test_kernels_that_are_none),
        cmocka_unit_test(test_inits_that_cannot_be),
        cmocka_unit_test(test_shares_that_are_not_there),
        cmocka_unit_test(test_command_line_that_the_kernel_would_cut),
        cmocka_unit_test(test_guest_plan_that_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
