/*
 * linux.seccomp: the filters that come out are run, by a small interpreter of classic BPF and, for
 * this machine's architecture, by the kernel.
 */
#include "oci_world.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "oci/seccomp.h"

#define DOCKER "test/data/seccomp-docker.json"

#define ALLOW      SECCOMP_RET_ALLOW
#define FAILS(num) (SECCOMP_RET_ERRNO | (uint32_t)(num))

struct profile {
    char *text;
    struct json document;
    struct seccomp_program program;
    struct error err;
};

static int compile(struct profile *profile, const char *text)
{
    *profile = (struct profile) { .text = strdup(text) };
    assert_int_equal(json_parse(profile->text, "config.json", &profile->document, NULL), 0);
    return seccomp_compile_profile(&profile->document, &profile->program, &profile->err);
}

static void release(struct profile *profile)
{
    seccomp_free_program(&profile->program);
    json_free(&profile->document);
    free(profile->text);
}

static void compiles(struct profile *profile, const char *text)
{
    if (compile(profile, text) < 0)
        fail_msg("%s", profile->err.message);
}

static void refuses(const char *text, const char *message)
{
    struct profile profile;

    assert_true(compile(&profile, text) < 0);
    if (!strstr(profile.err.message, message))
        fail_msg("expected \"%s\" in \"%s\"", message, profile.err.message);
    assert_null(profile.program.filter);
    release(&profile);
}

/* What the kernel would do with @data: the instructions that seccomp filters may use. */
static uint32_t run(const struct seccomp_program *program, const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = { 0 };

    for (size_t pc = 0; pc < program->count; pc++) {
        const struct sock_filter *f = &program->filter[pc];
        bool yes;

        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(f->k <= sizeof(*data) - 4 && f->k % 4 == 0);
            memcpy(&a, (const char *)data + f->k, 4);
            continue;
        case BPF_LD | BPF_MEM:
            a = memory[f->k];
            continue;
        case BPF_ST:
            memory[f->k] = a;
            continue;
        case BPF_MISC | BPF_TAX:
            x = a;
            continue;
        case BPF_MISC | BPF_TXA:
            a = x;
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= f->k;
            continue;
        case BPF_RET | BPF_K:
            return f->k;
        case BPF_JMP | BPF_JA:
            pc += f->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            yes = a == f->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            yes = a > f->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            yes = a >= f->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            yes = a & f->k;
            break;
        default:
            fail_msg("instruction %#x at %zu", f->code, pc);
            return 0;
        }
        pc += yes ? f->jt : f->jf;
    }
    fail_msg("ran off the end");
    return 0;
}

static uint32_t call_on(const struct profile *profile, uint32_t arch, int number, uint64_t first,
                        uint64_t second)
{
    struct seccomp_data data = { .nr = number, .arch = arch, .args = { first, second } };

    return run(&profile->program, &data);
}

static uint32_t call(const struct profile *profile, int number, uint64_t first, uint64_t second)
{
    return call_on(profile, AUDIT_ARCH_X86_64, number, first, second);
}

static char *read_docker(void)
{
    char *text;

    assert_int_equal(fd_read_file(AT_FDCWD, DOCKER, 1 << 20, &text, NULL), 0);
    return text;
}

static void test_dockers_profile_denies_what_it_should(void **state)
{
    static const struct {
        int number;
        uint64_t first;
        uint32_t result;
    } rows[] = {
        { SYS_read, 0, ALLOW },
        { SYS_execve, 0, ALLOW },
        { SYS_mount, 0, FAILS(EPERM) },
        { SYS_umount2, 0, FAILS(EPERM) },
        { SYS_kexec_load, 0, FAILS(EPERM) },
        { SYS_keyctl, 0, FAILS(EPERM) },
        { SYS_bpf, 0, FAILS(EPERM) },
        { SYS_unshare, 0, FAILS(EPERM) },
        { SYS_setns, 0, FAILS(EPERM) },
        { SYS_reboot, 0, FAILS(EPERM) },
        { SYS_init_module, 0, FAILS(EPERM) },
        { SYS_userfaultfd, 0, FAILS(EPERM) },
        { SYS_clone3, 0, FAILS(ENOSYS) },
        { SYS_clone, SIGCHLD, ALLOW },
        { SYS_clone, CLONE_NEWUSER | SIGCHLD, FAILS(EPERM) },
        { SYS_clone, CLONE_NEWNS, FAILS(EPERM) },
        { SYS_personality, 0, ALLOW },
        { SYS_personality, 0xffffffff, ALLOW },
        { SYS_personality, 0x40000, FAILS(EPERM) },
        { SYS_socket, AF_UNIX, ALLOW },
        { SYS_socket, 40, FAILS(EPERM) }, /* AF_VSOCK */
        { SYS_ptrace, 0, ALLOW },
        { 10000, 0, FAILS(ENOSYS) },
    };
    _cleanup_free_ char *text = read_docker();
    struct profile profile;

    compiles(&profile, text);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (call(&profile, rows[i].number, rows[i].first, 0) != rows[i].result)
            fail_msg("row %zu (system call %d): %#x", i, rows[i].number,
                     call(&profile, rows[i].number, rows[i].first, 0));
    /* 32-bit programs and x32 have numbers of their own: read, mount. */
    assert_int_equal(call_on(&profile, AUDIT_ARCH_I386, 3, 0, 0), ALLOW);
    assert_int_equal(call_on(&profile, AUDIT_ARCH_I386, 21, 0, 0), FAILS(EPERM));
    assert_int_equal(call_on(&profile, AUDIT_ARCH_I386, 9999, 0, 0), FAILS(ENOSYS));
    assert_int_equal(call(&profile, 0x40000000, 0, 0), ALLOW);
    assert_int_equal(call(&profile, 0x40000000 + 165, 0, 0), FAILS(EPERM));
    assert_int_equal(call(&profile, 0x40000000 + 9999, 0, 0), FAILS(ENOSYS));
    assert_int_equal(call_on(&profile, AUDIT_ARCH_AARCH64, 63, 0, 0), SECCOMP_RET_KILL_THREAD);
    assert_int_equal(profile.program.flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    assert_in_range(profile.program.count, 100, BPF_MAXINSNS);
    release(&profile);
}

#define RULE(names, action, more) \
    "{\"names\":[" names "],\"action\":\"SCMP_ACT_" action "\"" more "}"
#define PROFILE(action, more, rules) \
    "{\"defaultAction\":\"SCMP_ACT_" action "\"" more ",\"syscalls\":[" rules "]}"
#define ARG(index, value, two, op) \
    "{\"index\":" index ",\"value\":" value ",\"valueTwo\":" two ",\"op\":\"SCMP_CMP_" op "\"}"

static void test_every_action(void **state)
{
    static const struct {
        const char *action, *more;
        uint32_t result;
    } rows[] = {
        { "ERRNO", "", FAILS(EPERM) },
        { "ERRNO", ",\"errnoRet\":28", FAILS(28) },
        { "ERRNO", ",\"errnoRet\":0", FAILS(0) },
        { "KILL", "", SECCOMP_RET_KILL_THREAD },
        { "KILL_THREAD", "", SECCOMP_RET_KILL_THREAD },
        { "KILL_PROCESS", "", SECCOMP_RET_KILL_PROCESS },
        { "TRAP", "", SECCOMP_RET_TRAP },
        { "LOG", "", SECCOMP_RET_LOG },
        { "TRACE", "", SECCOMP_RET_TRACE | EPERM },
        { "TRACE", ",\"errnoRet\":7", SECCOMP_RET_TRACE | 7 },
    };
    struct profile profile;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];

        snprintf(text, sizeof(text),
                 PROFILE("ALLOW", "", RULE("\"getcwd\",\"nosuchcall\"", "%s", "%s")),
                 rows[i].action, rows[i].more);
        compiles(&profile, text);
        assert_int_equal(call(&profile, SYS_getcwd, 0, 0), rows[i].result);
        assert_int_equal(call(&profile, SYS_read, 0, 0), ALLOW);
        release(&profile);
    }
    compiles(&profile, PROFILE("ERRNO", ",\"defaultErrnoRet\":5", RULE("\"read\"", "ALLOW", "")));
    assert_int_equal(call(&profile, SYS_write, 0, 0), FAILS(5));
    assert_int_equal(call(&profile, SYS_read, 0, 0), ALLOW);
    release(&profile);
    /* A rule that says what the default says is left out, not an error. */
    compiles(&profile, PROFILE("ALLOW", "", RULE("\"read\"", "ALLOW", "")));
    assert_int_equal(call(&profile, SYS_read, 0, 0), ALLOW);
    release(&profile);
}

static void test_every_operator(void **state)
{
    static const struct {
        const char *op, *value, *two;
        uint64_t matches, differs;
    } rows[] = {
        { "EQ", "8589934593", "0", 8589934593, 1 },
        { "NE", "5", "0", 6, 5 },
        { "LT", "5", "0", 4, 5 },
        { "LE", "5", "0", 5, 6 },
        { "GE", "4294967296", "0", 4294967296, 4294967295 },
        { "GT", "5", "0", 6, 5 },
        { "MASKED_EQ", "240", "32", 0x12f, 0x130 },
        { "EQ", "18446744073709551615", "0", UINT64_MAX, UINT32_MAX },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct profile profile;
        char text[512];

        snprintf(text, sizeof(text),
                 PROFILE("ALLOW", "",
                         RULE("\"getcwd\"", "ERRNO", ",\"args\":[" ARG("1", "%s", "%s", "%s") "]")),
                 rows[i].value, rows[i].two, rows[i].op);
        compiles(&profile, text);
        if (call(&profile, SYS_getcwd, 0, rows[i].matches) != FAILS(EPERM) ||
            call(&profile, SYS_getcwd, 0, rows[i].differs) != ALLOW)
            fail_msg("operator %s", rows[i].op);
        release(&profile);
    }
}

static void test_conditions_on_one_argument_are_alternatives(void **state)
{
    struct profile profile;

    compiles(&profile, PROFILE("ERRNO", "",
                               RULE("\"read\"", "ALLOW",
                                    ",\"args\":[" ARG("0", "3", "0", "EQ") "," ARG("0", "7", "0",
                                                                                   "EQ") "]")));
    assert_int_equal(call(&profile, SYS_read, 3, 0), ALLOW);
    assert_int_equal(call(&profile, SYS_read, 7, 0), ALLOW);
    assert_int_equal(call(&profile, SYS_read, 5, 0), FAILS(EPERM));
    release(&profile);
    /* On two arguments they must hold together. */
    compiles(&profile, PROFILE("ERRNO", "",
                               RULE("\"read\"", "ALLOW",
                                    ",\"args\":[" ARG("0", "3", "0", "EQ") "," ARG("1", "7", "0",
                                                                                   "EQ") "]")));
    assert_int_equal(call(&profile, SYS_read, 3, 7), ALLOW);
    assert_int_equal(call(&profile, SYS_read, 3, 0), FAILS(EPERM));
    release(&profile);
}

#define ARCHES(list) ",\"architectures\":[" list "]"
#define X86_64       "\"SCMP_ARCH_X86_64\""

static void test_new_system_calls_fail_with_enosys(void **state)
{
    static const struct {
        const char *action, *more;
        uint32_t beyond;
    } rows[] = {
        { "ERRNO", ARCHES(X86_64), FAILS(ENOSYS) },
        { "ERRNO", ",\"defaultErrnoRet\":38" ARCHES(X86_64), FAILS(ENOSYS) },
        { "KILL_PROCESS", ARCHES(X86_64), FAILS(ENOSYS) },
        /* As runc: no architectures, no stub. */
        { "ERRNO", "", FAILS(EPERM) },
        { "ALLOW", ARCHES(X86_64), ALLOW },
        { "LOG", ARCHES(X86_64), SECCOMP_RET_LOG },
        { "TRACE", ARCHES(X86_64), SECCOMP_RET_TRACE | EPERM },
    };
    struct profile profile;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];

        snprintf(text, sizeof(text), PROFILE("%s", "%s", RULE("\"read\",\"openat\"", "ALLOW", "")),
                 rows[i].action, rows[i].more);
        compiles(&profile, text);
        if (call(&profile, SYS_openat + 1, 0, 0) != rows[i].beyond)
            fail_msg("row %zu: %#x", i, call(&profile, SYS_openat + 1, 0, 0));
        assert_int_equal(call(&profile, SYS_openat, 0, 0), ALLOW);
        release(&profile);
    }
    /* Below the last one the profile's word holds. */
    compiles(&profile, PROFILE("ERRNO", ARCHES(X86_64 ",\"SCMP_ARCH_AARCH64\""),
                               RULE("\"read\",\"openat\"", "ALLOW", "")));
    assert_int_equal(call(&profile, SYS_openat - 1, 0, 0), FAILS(EPERM));
    assert_int_equal(call_on(&profile, AUDIT_ARCH_AARCH64, 63, 0, 0), ALLOW);
    assert_int_equal(call_on(&profile, AUDIT_ARCH_AARCH64, 64, 0, 0), FAILS(ENOSYS));
    assert_int_equal(call_on(&profile, AUDIT_ARCH_AARCH64, 57, 0, 0), FAILS(EPERM));
    release(&profile);
}

static void test_flags(void **state)
{
    struct profile profile;

    compiles(&profile, PROFILE("ALLOW", ",\"flags\":[]", ""));
    assert_int_equal(profile.program.flags, 0);
    release(&profile);
    compiles(&profile,
             PROFILE("ALLOW",
                     ",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\",\"SECCOMP_FILTER_FLAG_TSYNC\"]", ""));
    assert_int_equal(profile.program.flags, SECCOMP_FILTER_FLAG_LOG);
    release(&profile);
    /* A profile that asks for nothing is none. */
    compiles(&profile, "{}");
    assert_null(profile.program.filter);
    release(&profile);
}

static void test_bad_profiles_are_named(void **state)
{
    refuses("[]", "expected an object");
    refuses(PROFILE("MAYBE", "", ""),
            "defaultAction: string SCMP_ACT_MAYBE is not a valid action for seccomp");
    refuses("{\"syscalls\":[{}]}", "defaultAction");
    refuses(PROFILE("NOTIFY", "", ""), "defaultAction: SCMP_ACT_NOTIFY is not supported");
    refuses(PROFILE("ALLOW", ",\"listenerPath\":\"/run/x\"", ""), "listenerPath");
    refuses(PROFILE("ALLOW", "", RULE("\"read\"", "NOTIFY", "")), "syscalls[0].action");
    refuses(PROFILE("ALLOW", "", RULE("\"read\"", "ERRNO", ",\"errnoRet\":4096")),
            "syscalls[0].errnoRet: expected 0 to 4095");
    refuses(PROFILE("ALLOW", "", RULE("\"read\"", "ERRNO", ",\"errnoRet\":\"x\"")), "errnoRet");
    refuses(PROFILE("ALLOW", "", RULE("7", "ERRNO", "")), "syscalls[0].names[0]");
    refuses(PROFILE("ALLOW", "", RULE("\"\"", "ERRNO", "")), "names[0]: empty string");
    refuses(PROFILE("ALLOW", "",
                    RULE("\"read\"", "ERRNO", ",\"args\":[" ARG("6", "0", "0", "EQ") "]")),
            "args[0].index: expected an argument");
    refuses(PROFILE("ALLOW", "",
                    RULE("\"read\"", "ERRNO", ",\"args\":[" ARG("0", "0", "0", "IS") "]")),
            "args[0].op: string SCMP_CMP_IS is not a valid operator for seccomp");
    refuses(PROFILE("ALLOW", ARCHES("\"SCMP_ARCH_VAX\""), ""),
            "architectures[0]: string SCMP_ARCH_VAX is not a valid arch for seccomp");
    refuses(PROFILE("ALLOW", ARCHES("\"SCMP_ARCH_S390X\""), ""), "architectures[0]");
    refuses(PROFILE("ALLOW", ",\"flags\":[\"X\"]", ""), "flags[0]: seccomp flag X is not known");
}

static void test_a_filter_too_long_for_the_kernel_is_refused(void **state)
{
    size_t size = 1 << 20, used;
    _cleanup_free_ char *text = malloc(size);

    used = (size_t)snprintf(text, size, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[");
    for (unsigned int i = 0; i < 3000; i++)
        used += (size_t)snprintf(text + used, size - used,
                                 "%s" RULE("\"read\"", "ERRNO",
                                           ",\"args\":[" ARG("0", "%llu", "0", "EQ") "]"),
                                 i ? "," : "", i * 4294967297ull);
    snprintf(text + used, size - used, "]}");
    refuses(text, "longer than the 4096 instructions that the kernel takes");
}

/* In a child that loads the filter: what the kernel makes of it. */
static int live(const struct seccomp_program *program)
{
    struct sock_fprog prog = { .len = (unsigned short)program->count, .filter = program->filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return 1;
    if (unshare(CLONE_NEWUSER) != -1 || errno != EPERM)
        return 2;
    if (socket(40, SOCK_STREAM, 0) != -1 || errno != EPERM)
        return 3;
    if (syscall(10000) != -1 || errno != ENOSYS)
        return 4;
    if (syscall(SYS_keyctl, 0) != -1 || errno != EPERM)
        return 5;
    return getppid() <= 0;
}

static void test_the_kernel_takes_dockers_profile(void **state)
{
    _cleanup_free_ char *text = read_docker();
    struct profile profile;
    int status;
    pid_t pid;

    compiles(&profile, text);
    pid = fork();
    if (pid == 0)
        _exit(live(&profile.program));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    release(&profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dockers_profile_denies_what_it_should),
        cmocka_unit_test(test_every_action),
        cmocka_unit_test(test_every_operator),
        cmocka_unit_test(test_conditions_on_one_argument_are_alternatives),
        cmocka_unit_test(test_new_system_calls_fail_with_enosys),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_bad_profiles_are_named),
        cmocka_unit_test(test_a_filter_too_long_for_the_kernel_is_refused),
        cmocka_unit_test(test_the_kernel_takes_dockers_profile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
