/* The VM plan's JSON: one table of keys, walked by the reader and by the writer. */
#include "vmm/plan.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum key_kind { KEY_STRING, KEY_FD, KEY_UINT, KEY_BOOL, KEY_STRINGS };

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;
    uint64_t maximum; /* KEY_UINT */
};

#define FIELD(member) offsetof(struct vm_plan, member)
static const struct key keys[] = {
    { "id", KEY_STRING, FIELD(id), 0 },
    { "kernel", KEY_STRING, FIELD(kernel), 0 },
    { "kernel_fd", KEY_FD, FIELD(kernel_fd), 0 },
    { "init", KEY_STRING, FIELD(init), 0 },
    { "init_fd", KEY_FD, FIELD(init_fd), 0 },
    { "cmdline", KEY_STRING, FIELD(cmdline), 0 },
    { "memory_mib", KEY_UINT, FIELD(memory_mib), PLAN_MEMORY_MAX_MIB },
    { "cpus", KEY_UINT, FIELD(cpus), PLAN_CPUS_MAX },
    { "rng_late", KEY_BOOL, FIELD(rng_late), 0 },
    { "exit_stats", KEY_BOOL, FIELD(exit_stats), 0 },
    { "kvm_fd", KEY_FD, FIELD(kvm_fd), 0 },
    { "control_fd", KEY_FD, FIELD(control_fd), 0 },
    { "guest_fd", KEY_FD, FIELD(guest_fd), 0 },
    { "ready_fd", KEY_FD, FIELD(ready_fd), 0 },
    { "log_fd", KEY_FD, FIELD(log_fd), 0 },
    { "proc_fd", KEY_FD, FIELD(proc_fd), 0 },
    { "notify_fd", KEY_FD, FIELD(notify_fd), 0 },
    { "terminal", KEY_BOOL, FIELD(terminal), 0 },
    { "wait_prepared", KEY_BOOL, FIELD(wait_prepared), 0 },
    { "files_max", KEY_UINT, FIELD(files_max), UINT32_MAX },
    { "exhaust_mib", KEY_UINT, FIELD(exhaust_mib), UINT32_MAX },
    { "log_json", KEY_BOOL, FIELD(log_json), 0 },
    { "sandbox", KEY_BOOL, FIELD(sandbox), 0 },
    { "root", KEY_STRING, FIELD(root), 0 },
    { "args", KEY_STRINGS, FIELD(args), 0 },
    { "env", KEY_STRINGS, FIELD(env), 0 },
    { "cwd", KEY_STRING, FIELD(cwd), 0 },
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

void plan_init(struct vm_plan *plan)
{
    memset(plan, 0, sizeof(*plan));
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].kind == KEY_FD)
            *(int *)((char *)plan + keys[i].offset) = -1;
    plan->console_fd = -1;
    plan->memory_mib = 256;
    plan->cpus = 1;
    plan->sandbox = true;
}

void plan_free(struct vm_plan *plan)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        void *member = (char *)plan + keys[i].offset;

        if (keys[i].kind == KEY_STRING)
            free(*(char **)member);
        else if (keys[i].kind == KEY_STRINGS)
            strings_free(*(char ***)member);
    }
    for (uint32_t i = 0; i < plan->share_count; i++)
        free(plan->shares[i].path);
    free(plan->shares);
    free(plan->affinity);
    plan_init(plan);
}

static int parse_fd(const struct json *json, int *out, struct error *err)
{
    uint64_t number = UINT64_MAX;
    int ret = json_uint(json, 1 << 20, &number, err);

    if (ret == 0 && number != UINT64_MAX)
        *out = (int)number;
    return ret;
}

static int parse_key(const struct key *key, const struct json *json, struct vm_plan *plan,
                     struct error *err)
{
    void *member = (char *)plan + key->offset;
    uint64_t number;
    int ret;

    switch (key->kind) {
    case KEY_STRING:
        free(*(char **)member);
        *(char **)member = NULL;
        return json_string_copy(json, member, err);
    case KEY_STRINGS:
        strings_free(*(char ***)member);
        *(char ***)member = NULL;
        return json_strings_copy(json, member, err);
    case KEY_BOOL:
        return json_bool(json, member, err);
    case KEY_FD:
        return parse_fd(json, member, err);
    case KEY_UINT:
    default:
        number = *(uint32_t *)member;
        ret = json_uint(json, key->maximum, &number, err);
        *(uint32_t *)member = (uint32_t)number;
        return ret;
    }
}

static int parse_shares(const struct json *json, struct vm_plan *plan, struct error *err)
{
    size_t count = json_length(json);
    int ret = json_expect_array(json, err);

    if (ret < 0)
        return ret;
    if (count > PLAN_SHARES_MAX)
        return json_fail(json, err, EINVAL, "expected at most %d shares, found %zu",
                         PLAN_SHARES_MAX, count);
    if (plan->shares || count == 0)
        return plan->shares ? json_fail(json, err, EINVAL, "given twice") : 0;
    plan->shares = calloc(count, sizeof(*plan->shares));
    if (!plan->shares)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct json element = json_element(json, i);
        struct json path = json_member(&element, "path");
        struct json fd = json_member(&element, "fd");
        struct json readonly = json_member(&element, "readonly");
        struct plan_share *share = &plan->shares[plan->share_count++];

        share->fd = -1;
        ret = json_string_copy(&path, &share->path, err);
        if (ret == 0)
            ret = parse_fd(&fd, &share->fd, err);
        if (ret == 0)
            ret = json_bool(&readonly, &share->readonly, err);
        if (ret == 0 && !share->path == (share->fd < 0))
            ret = json_fail(&element, err, EINVAL, "expected either \"path\" or \"fd\"");
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int parse_descriptors(const struct json *json, struct vm_plan *plan, struct error *err)
{
    struct plan_descriptors *descriptors = &plan->descriptors;
    size_t count = json_length(json);
    int ret = json_expect_array(json, err);

    if (ret == 0 && count > PROTOCOL_DESCRIPTORS_MAX)
        ret = json_fail(json, err, EINVAL, "expected at most %u descriptors, found %zu",
                        PROTOCOL_DESCRIPTORS_MAX, count);
    if (ret == 0 && descriptors->count)
        ret = json_fail(json, err, EINVAL, "given twice");
    for (size_t i = 0; i < count && ret == 0; i++) {
        struct json element = json_element(json, i);
        struct json fd = json_member(&element, "fd");
        struct json kind = json_member(&element, "kind");
        uint64_t number = UINT64_MAX;

        descriptors->fds[i] = -1;
        ret = parse_fd(&fd, &descriptors->fds[i], err);
        if (ret == 0)
            ret = json_uint(&kind, DESCRIPTOR_SOCKET, &number, err);
        if (ret == 0 && (descriptors->fds[i] < 0 || number == UINT64_MAX))
            ret = json_fail(&element, err, EINVAL, "expected \"fd\" and \"kind\"");
        descriptors->kinds[i] = (uint8_t)number;
        descriptors->count++;
    }
    return ret;
}

static int parse_affinity(const struct json *json, struct vm_plan *plan, struct error *err)
{
    size_t count = json_length(json);
    int ret = json_expect_array(json, err);

    if (ret < 0)
        return ret;
    if (count > PLAN_CPUS_MAX)
        return json_fail(json, err, EINVAL, "expected at most %d CPUs, found %zu", PLAN_CPUS_MAX,
                         count);
    if (plan->affinity || count == 0)
        return plan->affinity ? json_fail(json, err, EINVAL, "given twice") : 0;
    plan->affinity = calloc(count, sizeof(*plan->affinity));
    if (!plan->affinity)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count && ret == 0; i++) {
        struct json element = json_element(json, i);
        uint64_t cpu = UINT64_MAX;

        ret = json_uint(&element, PLAN_HOST_CPU_MAX, &cpu, err);
        if (ret == 0 && cpu == UINT64_MAX)
            ret = json_fail(&element, err, EINVAL, "expected the number of a CPU");
        plan->affinity[i] = (uint32_t)cpu;
        plan->affinity_count++;
    }
    return ret;
}

static int parse_console(const struct json *json, struct vm_plan *plan, struct error *err)
{
    const char *name = NULL;
    uint64_t fd = 0;
    int ret;

    if (json->value && YAJL_IS_NUMBER(json->value)) {
        ret = json_uint(json, 1 << 20, &fd, err);
        plan->console = CONSOLE_FD;
        plan->console_fd = (int)fd;
        return ret;
    }
    ret = json_string(json, &name, err);
    if (ret < 0 || !name)
        return ret;
    if (strcmp(name, "off") == 0)
        plan->console = CONSOLE_OFF;
    else if (strcmp(name, "stderr") == 0)
        plan->console = CONSOLE_STDERR;
    else
        return json_fail(json, err, EINVAL,
                         "expected \"off\", \"stderr\" or a descriptor, found \"%s\"", name);
    return 0;
}

static int check(const struct json *root, const struct vm_plan *plan, struct error *err)
{
    if (!plan->kernel && plan->kernel_fd < 0)
        return json_fail(root, err, EINVAL,
                         "kernel: expected the path of a vmlinux, found nothing");
    if (plan->memory_mib < PLAN_MEMORY_MIN_MIB)
        return json_fail(root, err, EINVAL, "memory_mib: expected at least %u, found %u",
                         PLAN_MEMORY_MIN_MIB, plan->memory_mib);
    if (plan->cpus < 1)
        return json_fail(root, err, EINVAL, "cpus: expected 1 to %d, found 0", PLAN_CPUS_MAX);
    if (plan->affinity && plan->affinity_count < plan->cpus)
        return json_fail(root, err, EINVAL, "affinity: expected a CPU for each of %u, found %u",
                         plan->cpus, plan->affinity_count);
    if (plan->root && (!plan->args || !plan->args[0]))
        return json_fail(root, err, EINVAL, "args: expected the command to run in \"root\"");
    return 0;
}

static int parse_member(const char *name, const struct json *value, struct vm_plan *plan,
                        struct error *err)
{
    if (strcmp(name, "shares") == 0)
        return parse_shares(value, plan, err);
    if (strcmp(name, "descriptors") == 0)
        return parse_descriptors(value, plan, err);
    if (strcmp(name, "affinity") == 0)
        return parse_affinity(value, plan, err);
    if (strcmp(name, "console") == 0)
        return parse_console(value, plan, err);
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(name, keys[i].name) == 0)
            return parse_key(&keys[i], value, plan, err);
    return json_fail(value, err, EINVAL, "unknown key");
}

int plan_parse(const char *text, struct vm_plan *plan, struct error *err)
{
    struct json root;
    int ret;

    plan_init(plan);
    ret = json_parse(text, "VM plan", &root, err);
    if (ret < 0)
        return ret;
    ret = YAJL_IS_OBJECT(root.value) ? 0 : json_expect_object(&root, err);
    for (size_t i = 0; ret == 0 && i < json_pair_count(&root); i++) {
        const char *name;
        struct json value = json_pair(&root, i, &name);

        ret = parse_member(name, &value, plan, err);
    }
    if (ret == 0)
        ret = check(&root, plan, err);
    json_free(&root);
    return ret;
}

static void format_key(yajl_gen gen, const struct key *key, const struct vm_plan *plan)
{
    const void *member = (const char *)plan + key->offset;

    switch (key->kind) {
    case KEY_STRING:
        json_put_string(gen, key->name, *(char *const *)member);
        break;
    case KEY_STRINGS:
        json_put_strings(gen, key->name, *(char **const *)member);
        break;
    case KEY_BOOL:
        json_put_bool(gen, key->name, *(const bool *)member);
        break;
    case KEY_FD:
        if (*(const int *)member >= 0)
            json_put_int(gen, key->name, *(const int *)member);
        break;
    case KEY_UINT:
    default:
        json_put_int(gen, key->name, *(const uint32_t *)member);
        break;
    }
}

int plan_format(const struct vm_plan *plan, char **text, struct error *err)
{
    yajl_gen gen = yajl_gen_alloc(NULL);

    if (!gen)
        return error_set(err, ENOMEM, "out of memory");
    yajl_gen_map_open(gen);
    for (size_t i = 0; i < KEY_COUNT; i++)
        format_key(gen, &keys[i], plan);
    if (plan->console == CONSOLE_FD)
        json_put_int(gen, "console", plan->console_fd);
    else
        json_put_string(gen, "console", plan->console == CONSOLE_STDERR ? "stderr" : "off");
    if (plan->affinity_count) {
        json_put_key(gen, "affinity");
        yajl_gen_array_open(gen);
        for (uint32_t i = 0; i < plan->affinity_count; i++)
            yajl_gen_integer(gen, plan->affinity[i]);
        yajl_gen_array_close(gen);
    }
    if (plan->descriptors.count) {
        json_put_key(gen, "descriptors");
        yajl_gen_array_open(gen);
        for (uint32_t i = 0; i < plan->descriptors.count; i++) {
            yajl_gen_map_open(gen);
            json_put_int(gen, "fd", plan->descriptors.fds[i]);
            json_put_int(gen, "kind", plan->descriptors.kinds[i]);
            yajl_gen_map_close(gen);
        }
        yajl_gen_array_close(gen);
    }
    json_put_key(gen, "shares");
    yajl_gen_array_open(gen);
    for (uint32_t i = 0; i < plan->share_count; i++) {
        yajl_gen_map_open(gen);
        json_put_string(gen, "path", plan->shares[i].path);
        if (plan->shares[i].fd >= 0)
            json_put_int(gen, "fd", plan->shares[i].fd);
        json_put_bool(gen, "readonly", plan->shares[i].readonly);
        yajl_gen_map_close(gen);
    }
    yajl_gen_array_close(gen);
    yajl_gen_map_close(gen);
    return json_take_text(gen, text) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}
