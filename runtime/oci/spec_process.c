/* config.json: process and hooks. */
#include <errno.h>
#include <stddef.h>

#include "lib/log.h"
#include "oci/bind.h"
#include "oci/names.h"
#include "oci/spec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int read_user(struct spec *spec, const struct json *process, struct error *err)
{
    static const struct binding rows[] = {
        { "uid", BIND_U32, offsetof(struct spec_process, uid), NULL },
        { "gid", BIND_U32, offsetof(struct spec_process, gid), NULL },
    };
    struct json user = json_member(process, "user");
    struct json groups = json_member(&user, "additionalGids");
    struct json umask = json_member(&user, "umask");
    struct spec_process *p = &spec->process;
    uint64_t mask = UINT64_MAX;
    int ret = bind_object(&user, rows, COUNT(rows), p, &spec->arena, err);

    if (ret == 0)
        ret = json_uint(&umask, 0777, &mask, err);
    if (ret == 0)
        ret = json_expect_array(&groups, err);
    if (ret < 0)
        return ret;
    p->umask = mask == UINT64_MAX ? SPEC_UNSET : (int64_t)mask;
    p->groups = arena_array(&spec->arena, json_length(&groups), sizeof(*p->groups));
    if (!p->groups)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < json_length(&groups); i++) {
        struct json group = json_element(&groups, i);
        uint64_t gid = UINT64_MAX;

        ret = json_uint(&group, UINT32_MAX - 1, &gid, err);
        if (ret == 0 && gid != UINT64_MAX)
            p->groups[p->group_count++] = (uint32_t)gid;
    }
    return ret;
}

static int read_capability_set(const struct json *list, uint64_t *set, struct error *err)
{
    int ret = json_expect_array(list, err);

    for (size_t i = 0; ret == 0 && i < json_length(list); i++) {
        struct json element = json_element(list, i);
        const char *name = "";
        int number;

        ret = json_string(&element, &name, err);
        if (ret < 0)
            return ret;
        number = names_capability_number(name);
        /* config.md "capabilities": values that cannot be mapped are logged, not refused. */
        if (number < 0)
            log_debug("config.json: %s: \"%s\" is not a known capability: ignored", element.path,
                      name);
        else
            *set |= 1ull << number;
    }
    return ret;
}

static int read_capabilities(struct spec *spec, const struct json *process, struct error *err)
{
    static const struct {
        const char *key;
        size_t offset;
    } rows[] = {
        { "bounding", offsetof(struct spec_capabilities, bounding) },
        { "effective", offsetof(struct spec_capabilities, effective) },
        { "inheritable", offsetof(struct spec_capabilities, inheritable) },
        { "permitted", offsetof(struct spec_capabilities, permitted) },
        { "ambient", offsetof(struct spec_capabilities, ambient) },
    };
    struct json sets = json_member(process, "capabilities");
    int ret = json_expect_object(&sets, err);

    for (size_t i = 0; ret == 0 && i < COUNT(rows); i++) {
        struct json list = json_member(&sets, rows[i].key);
        void *set = (char *)&spec->process.capabilities + rows[i].offset;

        ret = read_capability_set(&list, set, err);
    }
    return ret;
}

static int read_rlimits(struct spec *spec, const struct json *process, struct error *err)
{
    struct spec_process *p = &spec->process;
    struct json list = json_member(process, "rlimits");
    int ret = json_expect_array(&list, err);

    if (ret < 0)
        return ret;
    p->rlimits = arena_array(&spec->arena, json_length(&list), sizeof(*p->rlimits));
    if (!p->rlimits)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < json_length(&list); i++) {
        static const struct binding rows[] = {
            { "soft", BIND_U64, offsetof(struct spec_rlimit, soft), "a limit" },
            { "hard", BIND_U64, offsetof(struct spec_rlimit, hard), "a limit" },
        };
        struct json element = json_element(&list, i);
        struct json type = json_member(&element, "type");
        struct spec_rlimit *rlimit = &p->rlimits[i];
        const char *name = "";
        int number;

        ret = bind_object(&element, rows, COUNT(rows), rlimit, &spec->arena, err);
        if (ret == 0)
            ret = json_string(&type, &name, err);
        if (ret < 0)
            return ret;
        number = names_rlimit_number(name);
        if (number < 0)
            return json_fail(&type, err, EINVAL,
                             "expected a limit such as \"RLIMIT_NOFILE\", found \"%s\"", name);
        for (size_t j = 0; j < i; j++)
            if (p->rlimits[j].resource == (unsigned int)number)
                return json_fail(&type, err, EINVAL, "%s is given twice", name);
        rlimit->resource = (unsigned int)number;
        p->rlimit_count++;
    }
    return ret;
}

/* The kernel's struct winsize has 16 bits for each. */
static int read_console_size(struct spec *spec, const struct json *process, struct error *err)
{
    struct json size = json_member(process, "consoleSize");
    struct json height = json_member(&size, "height"), width = json_member(&size, "width");
    uint64_t rows = 0, columns = 0;
    int ret = json_expect_object(&size, err);

    if (ret == 0)
        ret = json_uint(&height, UINT16_MAX, &rows, err);
    if (ret == 0)
        ret = json_uint(&width, UINT16_MAX, &columns, err);
    spec->process.console_rows = (uint32_t)rows;
    spec->process.console_columns = (uint32_t)columns;
    return ret;
}

int spec_read_process(struct spec *spec, const struct json *process, struct error *err)
{
    static const struct binding rows[] = {
        { "terminal", BIND_BOOL, offsetof(struct spec_process, terminal), NULL },
        { "args", BIND_STRINGS, offsetof(struct spec_process, args), "the command to run" },
        { "env", BIND_STRINGS, offsetof(struct spec_process, env), NULL },
        { "cwd", BIND_STRING, offsetof(struct spec_process, cwd), "an absolute path" },
        { "noNewPrivileges", BIND_BOOL, offsetof(struct spec_process, no_new_privileges), NULL },
        { "oomScoreAdj", BIND_I64, offsetof(struct spec_process, oom_score_adj), NULL },
        { "selinuxLabel", BIND_STRING, offsetof(struct spec_process, selinux_label), NULL },
    };
    struct spec_process *p = &spec->process;
    int ret;

    p->oom_score_adj = p->io_priority = SPEC_UNSET;
    if (!json_present(process))
        return json_fail(process, err, EINVAL, "expected the process to run, found nothing");
    ret = bind_object(process, rows, COUNT(rows), p, &spec->arena, err);
    if (ret < 0)
        return ret;
    /* runc's words for these two. */
    if (!p->args[0])
        return json_fail(process, err, EINVAL, "args must not be empty");
    if (p->cwd[0] != '/')
        return json_fail(process, err, EINVAL, "Cwd must be an absolute path, found \"%s\"",
                         p->cwd);
    for (size_t i = 0; p->env && p->env[i]; i++)
        if (!p->env[i][0] || p->env[i][0] == '=')
            return json_fail(process, err, EINVAL, "env[%zu]: expected NAME=VALUE, found \"%s\"", i,
                             p->env[i]);
    if (p->oom_score_adj != SPEC_UNSET && (p->oom_score_adj < -1000 || p->oom_score_adj > 1000))
        return json_fail(process, err, EINVAL, "oomScoreAdj: expected -1000 to 1000, found %lld",
                         (long long)p->oom_score_adj);
    ret = read_console_size(spec, process, err);
    if (ret == 0)
        ret = read_user(spec, process, err);
    if (ret == 0)
        ret = read_capabilities(spec, process, err);
    if (ret == 0)
        ret = read_rlimits(spec, process, err);
    return ret == 0 ? spec_read_scheduling(spec, process, err) : ret;
}

const char *const spec_hook_names[HOOK_KINDS] = {
    [HOOK_PRESTART] = "prestart",
    [HOOK_CREATE_RUNTIME] = "createRuntime",
    [HOOK_CREATE_CONTAINER] = "createContainer",
    [HOOK_START_CONTAINER] = "startContainer",
    [HOOK_POSTSTART] = "poststart",
    [HOOK_POSTSTOP] = "poststop",
};

static int read_hook(struct spec *spec, const struct json *json, struct spec_hook *hook,
                     struct error *err)
{
    static const struct binding rows[] = {
        { "path", BIND_STRING, offsetof(struct spec_hook, path), "an absolute path" },
        { "args", BIND_STRINGS, offsetof(struct spec_hook, args), NULL },
        { "env", BIND_STRINGS, offsetof(struct spec_hook, env), NULL },
        { "timeout", BIND_I64, offsetof(struct spec_hook, timeout), NULL },
    };
    int ret;

    hook->timeout = SPEC_UNSET;
    ret = bind_object(json, rows, COUNT(rows), hook, &spec->arena, err);
    if (ret < 0)
        return ret;
    if (hook->path[0] != '/')
        return json_fail(json, err, EINVAL, "path: expected an absolute path, found \"%s\"",
                         hook->path);
    if (hook->timeout != SPEC_UNSET && (hook->timeout <= 0 || hook->timeout > INT32_MAX / 1000))
        return json_fail(json, err, EINVAL, "timeout: expected seconds, more than 0, found %lld",
                         (long long)hook->timeout);
    return 0;
}

int spec_read_hooks(struct spec *spec, struct error *err)
{
    struct json hooks = json_member(&spec->document, "hooks");
    int ret = json_expect_object(&hooks, err);

    for (size_t kind = 0; ret == 0 && kind < HOOK_KINDS; kind++) {
        struct json list = json_member(&hooks, spec_hook_names[kind]);
        size_t count = json_length(&list);

        ret = json_expect_array(&list, err);
        if (ret < 0)
            break;
        spec->hooks.list[kind] = arena_array(&spec->arena, count, sizeof(struct spec_hook));
        if (!spec->hooks.list[kind])
            return error_set(err, ENOMEM, "out of memory");
        for (size_t i = 0; ret == 0 && i < count; i++) {
            struct json element = json_element(&list, i);

            ret = read_hook(spec, &element, &spec->hooks.list[kind][i], err);
        }
        spec->hooks.count[kind] = count;
    }
    return ret;
}
