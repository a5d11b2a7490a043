/* The process document of exec, as runc makes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/exec.h"
#include "oci/names.h"

static int parse_id(const char *what, const char *text, uint32_t *out, struct error *err)
{
    unsigned long long value;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value >= UINT32_MAX)
        return error_set(err, EINVAL, "bad %s: expected a number, found \"%s\"", what, text);
    *out = (uint32_t)value;
    return 0;
}

/* "uid" or "uid:gid"; names are the engine's business, as with runc. */
static int set_user(struct spec_process *process, const char *user, struct arena *arena,
                    struct error *err)
{
    const char *colon = strchr(user, ':');
    const char *uid = colon ? arena_format(arena, "%.*s", (int)(colon - user), user) : user;
    int ret;

    if (!uid)
        return error_set(err, ENOMEM, "out of memory");
    ret = parse_id("uid", uid, &process->uid, err);
    return ret == 0 && colon ? parse_id("gid", colon + 1, &process->gid, err) : ret;
}

static int add_groups(struct spec_process *process, const struct exec_list *groups,
                      struct arena *arena, struct error *err)
{
    uint32_t *all = arena_array(arena, process->group_count + groups->count, sizeof(*all));

    if (!all)
        return error_set(err, ENOMEM, "out of memory");
    if (process->group_count)
        memcpy(all, process->groups, process->group_count * sizeof(*all));
    process->groups = all;
    for (size_t i = 0; i < groups->count; i++) {
        int ret = parse_id("additional gid", groups->values[i], &all[process->group_count], err);

        if (ret < 0)
            return ret;
        process->group_count++;
    }
    return 0;
}

/* Ambient capabilities must be inheritable: they are added only where the container has them so. */
static void add_capabilities(struct spec_process *process, const struct exec_list *caps)
{
    struct spec_capabilities *sets = &process->capabilities;

    for (size_t i = 0; i < caps->count; i++) {
        int number = names_capability_number(caps->values[i]);
        uint64_t bit;

        /* As with runc, and as in config.json. */
        if (number < 0) {
            log_debug("exec: --cap: \"%s\" is not a known capability: ignored", caps->values[i]);
            continue;
        }
        bit = 1ull << number;
        sets->bounding |= bit;
        sets->effective |= bit;
        sets->permitted |= bit;
        sets->ambient |= bit & sets->inheritable;
    }
}

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");

    return strncmp(a, b, length) == 0 && b[length] == '=';
}

/* Later ones take the place of earlier ones of the same name. */
static int add_environment(struct spec_process *process, const struct exec_list *env,
                           struct arena *arena, struct error *err)
{
    size_t count = 0;
    const char **all;

    while (process->env && process->env[count])
        count++;
    all = arena_array(arena, count + env->count + 1, sizeof(*all));
    if (!all)
        return error_set(err, ENOMEM, "out of memory");
    if (count)
        memcpy(all, process->env, count * sizeof(*all));
    for (size_t i = 0; i < env->count; i++) {
        size_t at = 0;

        if (!strchr(env->values[i], '=') || env->values[i][0] == '=')
            return error_set(err, EINVAL, "--env: expected NAME=VALUE, found \"%s\"",
                             env->values[i]);
        while (at < count && !same_name(env->values[i], all[at]))
            at++;
        all[at] = env->values[i];
        count += at == count;
    }
    process->env = all;
    return 0;
}

static int change_process(const struct exec_request *request, struct spec *config,
                          struct error *err)
{
    struct spec_process *process = &config->process;
    int ret = 0;

    if (!request->args || !request->args[0])
        return error_set(err, EINVAL, "process args cannot be empty");
    /* The vector is ours, the strings are the command line's. */
    process->args = (const char **)request->args;
    /* The size of the container's own terminal is not that of this one. */
    process->terminal = request->terminal >= 0 ? request->terminal : process->terminal;
    if (request->cwd && request->cwd[0])
        process->cwd = request->cwd;
    if (process->cwd[0] != '/')
        return error_set(err, EINVAL, "Cwd must be an absolute path");
    if (request->no_new_privileges >= 0)
        process->no_new_privileges = request->no_new_privileges;
    if (request->user && request->user[0])
        ret = set_user(process, request->user, &config->arena, err);
    if (ret == 0)
        ret = add_groups(process, &request->groups, &config->arena, err);
    add_capabilities(process, &request->caps);
    return ret == 0 ? add_environment(process, &request->env, &config->arena, err) : ret;
}

static int read_document(const char *path, struct spec *own, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    int ret = fd_read_file(AT_FDCWD, path, SPEC_SIZE_MAX, &text, NULL);

    if (ret < 0)
        return error_set(err, -ret, "open %s: %s", path,
                         ret == -ENOENT ? "no such file or directory" : strerror(-ret));
    return spec_parse_process(text, own, err);
}

int exec_process_read(const struct exec_request *request, struct spec *config, struct spec *own,
                      struct spec_process **process, struct error *err)
{
    int ret;

    memset(own, 0, sizeof(*own));
    *process = &config->process;
    if (!request->process)
        return change_process(request, config, err);
    ret = read_document(request->process, own, err);
    *process = &own->process;
    return ret;
}
