/* Walks a profile twice: for its rules, and for the largest number that it names. */
#include "oci/seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/seccomp_stub.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
/* More rules than this are sorted into a tree (runc's number; libseccomp has four to a node). */
#define TREE_FROM 32
/* The newest libseccomp interface that is used here: the guest's kernel has it all. */
#define API_LEVEL     6
#define ARGUMENTS     6
#define DEFAULT_ERRNO EPERM

#ifndef BPF_MAXINSNS
#define BPF_MAXINSNS 4096
#endif

enum action_kind { ACTION_PLAIN, ACTION_ERRNO, ACTION_TRACE, ACTION_NOTIFY };

/* Each table is sorted by name: features prints them so. */
static const struct {
    const char *name;
    uint32_t action;
    enum action_kind kind;
    bool allows; /* lets new system calls through: no ENOSYS for them */
} actions[] = {
    { "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, ACTION_PLAIN, true },
    { "SCMP_ACT_ERRNO", 0, ACTION_ERRNO, false },
    { "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, ACTION_PLAIN, false },
    { "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, ACTION_PLAIN, false },
    { "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, ACTION_PLAIN, false },
    { "SCMP_ACT_LOG", SCMP_ACT_LOG, ACTION_PLAIN, true },
    { "SCMP_ACT_NOTIFY", 0, ACTION_NOTIFY, false },
    { "SCMP_ACT_TRACE", 0, ACTION_TRACE, true },
    { "SCMP_ACT_TRAP", SCMP_ACT_TRAP, ACTION_PLAIN, false },
};

static const struct {
    const char *name;
    enum scmp_compare compare;
} operators[] = {
    { "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_GE", SCMP_CMP_GE },
    { "SCMP_CMP_GT", SCMP_CMP_GT }, { "SCMP_CMP_LE", SCMP_CMP_LE },
    { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
    { "SCMP_CMP_NE", SCMP_CMP_NE },
};

static const struct {
    const char *name;
    uint32_t token;
} arches[] = {
    { "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
    { "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
    { "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
    { "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
    { "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
    { "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
    { "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
    { "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
    { "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
    { "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
    { "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
    { "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
    { "SCMP_ARCH_S390", SCMP_ARCH_S390 },
    { "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
    { "SCMP_ARCH_X32", SCMP_ARCH_X32 },
    { "SCMP_ARCH_X86", SCMP_ARCH_X86 },
    { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
};
_Static_assert(COUNT(arches) <= SECCOMP_STUB_ARCHES, "the stub has room for every architecture");

/* A filter is loaded by the one thread that there is: TSYNC is accepted and means nothing. */
static const struct {
    const char *name;
    uint64_t flag;
} flags[] = {
    { "SECCOMP_FILTER_FLAG_LOG", 1u << 1 },
    { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", 1u << 2 },
    { "SECCOMP_FILTER_FLAG_TSYNC", 0 },
};
/* Without "flags": what speculation costs is paid by nobody else in the machine. As runc. */
#define FLAGS_DEFAULT (1u << 2)

/* What is gathered while the profile is walked. */
struct compilation {
    scmp_filter_ctx filter;
    uint32_t default_action;
    bool default_allows;
    struct seccomp_last last[SECCOMP_STUB_ARCHES];
    size_t arch_count;
};

const char *seccomp_action_name(unsigned int index)
{
    for (size_t i = 0; i < COUNT(actions); i++)
        if (actions[i].kind != ACTION_NOTIFY && index-- == 0)
            return actions[i].name;
    return NULL;
}

const char *seccomp_operator_name(unsigned int index)
{
    return index < COUNT(operators) ? operators[index].name : NULL;
}

const char *seccomp_arch_name(unsigned int index)
{
    return index < COUNT(arches) ? arches[index].name : NULL;
}

const char *seccomp_flag_name(unsigned int index)
{
    return index < COUNT(flags) ? flags[index].name : NULL;
}

/* A required string member. */
static int read_name(const struct json *object, const char *key, struct json *member,
                     const char **name, struct error *err)
{
    *member = json_member(object, key);
    *name = "";
    return json_string(member, name, err);
}

/* Action and errno, both of one object. Return: 0 with libseccomp's action, or -errno. */
static int read_action(const struct json *object, const char *key, const char *errno_key,
                       uint32_t *action, bool *allows, struct error *err)
{
    struct json member, number = json_member(object, errno_key);
    const char *name;
    uint64_t code = DEFAULT_ERRNO;
    int ret = read_name(object, key, &member, &name, err);

    if (ret == 0)
        ret = json_uint(&number, UINT16_MAX, &code, err);
    for (size_t i = 0; ret == 0 && i < COUNT(actions); i++) {
        if (strcmp(name, actions[i].name) != 0)
            continue;
        if (actions[i].kind == ACTION_NOTIFY)
            return json_fail(&member, err, ENOTSUP,
                             "SCMP_ACT_NOTIFY is not supported: a process of the host cannot act "
                             "for one in a virtual machine");
        /* seccomp(2): MAX_ERRNO. */
        if (actions[i].kind == ACTION_ERRNO && code > 4095)
            return json_fail(&number, err, EINVAL, "expected 0 to 4095, found %llu",
                             (unsigned long long)code);
        *action = actions[i].kind == ACTION_ERRNO   ? SCMP_ACT_ERRNO(code)
                  : actions[i].kind == ACTION_TRACE ? SCMP_ACT_TRACE(code)
                                                    : actions[i].action;
        if (allows)
            *allows = actions[i].allows;
        return 0;
    }
    if (ret < 0)
        return ret;
    /* runc's words. */
    return json_fail(&member, err, EINVAL, "string %s is not a valid action for seccomp", name);
}

static int read_condition(const struct json *object, struct scmp_arg_cmp *condition,
                          struct error *err)
{
    struct json index = json_member(object, "index"), value = json_member(object, "value");
    struct json value_two = json_member(object, "valueTwo"), op;
    uint64_t argument = 0, a = 0, b = 0;
    const char *name = "";
    int ret = json_expect_object(object, err);

    if (ret == 0)
        ret = json_uint(&index, UINT32_MAX, &argument, err);
    if (ret == 0)
        ret = json_uint(&value, UINT64_MAX, &a, err);
    if (ret == 0)
        ret = json_uint(&value_two, UINT64_MAX, &b, err);
    if (ret == 0)
        ret = read_name(object, "op", &op, &name, err);
    if (ret < 0)
        return ret;
    if (argument >= ARGUMENTS)
        return json_fail(&index, err, EINVAL,
                         "expected an argument of a system call, 0 to 5, found %llu",
                         (unsigned long long)argument);
    for (size_t i = 0; i < COUNT(operators); i++)
        if (strcmp(name, operators[i].name) == 0) {
            *condition = (struct scmp_arg_cmp) { .arg = (unsigned int)argument,
                                                 .op = operators[i].compare,
                                                 .datum_a = a,
                                                 .datum_b = b };
            return 0;
        }
    return json_fail(&op, err, EINVAL, "string %s is not a valid operator for seccomp", name);
}

struct conditions {
    struct scmp_arg_cmp list[64];
    size_t count;
    bool apart; /* two on one argument: each is a rule of its own, as in runc */
};

static int read_conditions(const struct json *rule, struct conditions *conditions,
                           struct error *err)
{
    struct json args = json_member(rule, "args");
    bool seen[ARGUMENTS] = { false };
    int ret = json_expect_array(&args, err);

    conditions->count = 0;
    conditions->apart = false;
    if (ret == 0 && json_length(&args) > COUNT(conditions->list))
        ret = json_fail(&args, err, E2BIG, "expected at most %zu conditions",
                        COUNT(conditions->list));
    for (size_t i = 0; ret == 0 && i < json_length(&args); i++) {
        struct json element = json_element(&args, i);
        struct scmp_arg_cmp *condition = &conditions->list[i];

        ret = read_condition(&element, condition, err);
        if (ret < 0)
            return ret;
        conditions->apart = conditions->apart || seen[condition->arg];
        seen[condition->arg] = true;
        conditions->count++;
    }
    return ret;
}

static int add_rule(const struct compilation *c, uint32_t action, int number,
                    const struct conditions *conditions)
{
    int ret = 0;

    if (!conditions->apart)
        ret = seccomp_rule_add_array(c->filter, action, number, (unsigned int)conditions->count,
                                     conditions->list);
    for (size_t i = 0; conditions->apart && ret == 0 && i < conditions->count; i++)
        ret = seccomp_rule_add_array(c->filter, action, number, 1, &conditions->list[i]);
    return ret == -EEXIST ? 0 : ret;
}

/* For the stub: rules that are left out count as well, their author knew the call. */
static void note_number(struct compilation *c, const char *name)
{
    for (size_t i = 0; i < c->arch_count; i++) {
        int number = seccomp_syscall_resolve_name_arch(c->last[i].arch, name);

        /* Negative: libseccomp's stand-in for a call that this architecture has not. */
        if (number > 0 && (uint32_t)number > c->last[i].number)
            c->last[i].number = (uint32_t)number;
    }
}

static int read_rule(struct compilation *c, const struct json *rule, struct error *err)
{
    struct json names = json_member(rule, "names");
    struct conditions conditions;
    uint32_t action;
    int ret = json_expect_object(rule, err);

    if (ret == 0)
        ret = json_expect_array(&names, err);
    if (ret == 0)
        ret = read_action(rule, "action", "errnoRet", &action, NULL, err);
    if (ret == 0)
        ret = read_conditions(rule, &conditions, err);
    for (size_t i = 0; ret == 0 && i < json_length(&names); i++) {
        struct json element = json_element(&names, i);
        const char *name = "";
        int number;

        ret = json_string(&element, &name, err);
        if (ret < 0)
            return ret;
        if (!name[0])
            return json_fail(&element, err, EINVAL, "empty string is not a valid syscall");
        note_number(c, name);
        number = seccomp_syscall_resolve_name(name);
        if (number == __NR_SCMP_ERROR)
            log_debug("config.json: %s: unknown seccomp syscall \"%s\" ignored", element.path,
                      name);
        if (number == __NR_SCMP_ERROR || action == c->default_action)
            continue;
        ret = add_rule(c, action, number, &conditions);
        if (ret < 0)
            ret = json_fail(&element, err, -ret, "cannot add a rule for %s: %s", name,
                            strerror(-ret));
    }
    return ret;
}

static void note_arch(struct compilation *c, uint32_t arch)
{
    for (size_t i = 0; i < c->arch_count; i++)
        if (c->last[i].arch == arch)
            return;
    c->last[c->arch_count++].arch = arch;
}

static int read_arches(struct compilation *c, const struct json *profile, struct error *err)
{
    struct json list = json_member(profile, "architectures");
    int ret = json_expect_array(&list, err);

    for (size_t i = 0; ret == 0 && i < json_length(&list); i++) {
        struct json element = json_element(&list, i);
        const char *name = "";
        size_t row = 0;

        ret = json_string(&element, &name, err);
        if (ret < 0)
            return ret;
        while (row < COUNT(arches) && strcmp(name, arches[row].name) != 0)
            row++;
        if (row == COUNT(arches))
            return json_fail(&element, err, EINVAL, "string %s is not a valid arch for seccomp",
                             name);
        ret = seccomp_arch_add(c->filter, arches[row].token);
        if (ret == -EEXIST)
            ret = 0;
        if (ret < 0)
            return json_fail(&element, err, EINVAL,
                             "%s does not go together with this machine's architecture", name);
        note_arch(c, arches[row].token);
    }
    return ret;
}

static int read_flags(const struct json *profile, uint64_t *bits, struct error *err)
{
    struct json list = json_member(profile, "flags");
    int ret = json_expect_array(&list, err);

    *bits = json_present(&list) ? 0 : FLAGS_DEFAULT;
    for (size_t i = 0; ret == 0 && i < json_length(&list); i++) {
        struct json element = json_element(&list, i);
        const char *name = "";
        size_t row = 0;

        ret = json_string(&element, &name, err);
        while (row < COUNT(flags) && strcmp(name, flags[row].name) != 0)
            row++;
        if (ret == 0 && row == COUNT(flags))
            ret = json_fail(&element, err, EINVAL, "seccomp flag %s is not known to vmrt", name);
        if (ret == 0)
            *bits |= flags[row].flag;
    }
    return ret;
}

/* How many rules there will be decides how they are arranged, which must be said first. */
static size_t count_names(const struct json *rules)
{
    size_t count = 0;

    for (size_t i = 0; i < json_length(rules); i++) {
        struct json rule = json_element(rules, i), names = json_member(&rule, "names");

        count += json_length(&names);
    }
    return count;
}

static int read_rules(struct compilation *c, const struct json *profile, struct error *err)
{
    struct json rules = json_member(profile, "syscalls");
    int ret = json_expect_array(&rules, err);

    /* A long list still works when it cannot be a tree. */
    if (ret == 0 && count_names(&rules) > TREE_FROM)
        (void)seccomp_attr_set(c->filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; ret == 0 && i < json_length(&rules); i++) {
        struct json rule = json_element(&rules, i);

        ret = read_rule(c, &rule, err);
    }
    return ret;
}

/* Architectures of which the profile names no call have no limit. */
static size_t make_stub(struct compilation *c, struct sock_filter *stub)
{
    size_t kept = 0;

    if (c->default_allows)
        return 0;
    for (size_t i = 0; i < c->arch_count; i++)
        if (c->last[i].number)
            c->last[kept++] = c->last[i];
    return seccomp_write_stub(c->last, kept, stub);
}

static int assemble(struct compilation *c, const struct json *profile,
                    struct seccomp_program *program, struct error *err)
{
    struct sock_filter stub[SECCOMP_STUB_MAX];
    _cleanup_close_ int fd = memfd_create("vmrt-seccomp", MFD_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    size_t head = make_stub(c, stub), length, count;
    int ret;

    if (fd < 0)
        return error_set_errno(err, "memfd");
    ret = seccomp_export_bpf(c->filter, fd);
    if (ret < 0)
        return json_fail(profile, err, -ret, "cannot make a filter: %s", strerror(-ret));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set_errno(err, "memfd");
    ret = fd_read_all(fd, (BPF_MAXINSNS + 1) * sizeof(*stub), &text, &length);
    count = head + length / sizeof(*stub);
    if (ret == -EFBIG || (ret == 0 && count > BPF_MAXINSNS))
        return json_fail(profile, err, E2BIG,
                         "the filter is longer than the %d instructions that the kernel takes",
                         BPF_MAXINSNS);
    if (ret < 0)
        return error_set(err, -ret, "memfd: %s", strerror(-ret));
    program->filter = malloc(count * sizeof(*stub));
    if (!program->filter)
        return error_set(err, ENOMEM, "out of memory");
    memcpy(program->filter, stub, head * sizeof(*stub));
    memcpy(program->filter + head, text, length);
    program->count = count;
    return 0;
}

static int compile(struct compilation *c, const struct json *profile,
                   struct seccomp_program *program, struct error *err)
{
    int ret = read_action(profile, "defaultAction", "defaultErrnoRet", &c->default_action,
                          &c->default_allows, err);

    if (ret < 0)
        return ret;
    (void)seccomp_api_set(API_LEVEL);
    c->filter = seccomp_init(c->default_action);
    if (!c->filter)
        return error_set(err, ENOMEM, "out of memory");
    ret = read_arches(c, profile, err);
    if (ret == 0)
        ret = read_flags(profile, &program->flags, err);
    if (ret == 0)
        ret = read_rules(c, profile, err);
    return ret == 0 ? assemble(c, profile, program, err) : ret;
}

/* runc takes a profile without action and rules for none. */
static bool is_empty(const struct json *profile)
{
    struct json action = json_member(profile, "defaultAction");
    struct json rules = json_member(profile, "syscalls");

    return !json_present(&action) && json_length(&rules) == 0;
}

int seccomp_compile_profile(const struct json *profile, struct seccomp_program *program,
                            struct error *err)
{
    struct json listener = json_member(profile, "listenerPath");
    struct compilation c = { 0 };
    const char *path = "";
    int ret = json_expect_object(profile, err);

    memset(program, 0, sizeof(*program));
    if (ret == 0)
        ret = json_string(&listener, &path, err);
    if (ret == 0 && path[0])
        ret = json_fail(&listener, err, ENOTSUP,
                        "seccomp notification is not supported: a process of the host cannot act "
                        "for one in a virtual machine");
    if (ret < 0 || is_empty(profile))
        return ret;
    ret = compile(&c, profile, program, err);
    if (c.filter)
        seccomp_release(c.filter);
    return ret;
}

void seccomp_free_program(struct seccomp_program *program)
{
    free(program->filter);
    program->filter = NULL;
}
