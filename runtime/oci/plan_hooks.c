/*
 * Hooks that run in the container's namespaces, which exist in the guest only (decision 8).
 *
 * createContainer names a file of the host: it is shared, read-only, and executed over there.
 * startContainer names a file of the container.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/json.h"
#include "oci/plan.h"
#include "vmm/plan.h"

/* As the other hooks' failures read (oci/hooks.c). */
static int bad_hook(size_t index, const char *path, int code, const char *reason, struct error *err)
{
    return error_set(err, code, "error running createContainer hook #%zu: fork/exec %s: %s", index,
                     path, reason);
}

static int plan_hook_file(struct plan *plan, size_t index, const char *path, struct plan_hook *hook,
                          struct error *err)
{
    char resolved[PATH_MAX];
    struct stat st;

    if (!realpath(path, resolved) || stat(resolved, &st) < 0)
        return bad_hook(index, path, errno,
                        errno == ENOENT ? "no such file or directory" : strerror(errno), err);
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
        return bad_hook(index, path, EACCES, "permission denied", err);
    if (plan->share_count >= PLAN_SHARES_MAX)
        return error_set(err, E2BIG, "config.json: hooks.createContainer[%zu]: more than %d shares",
                         index, PLAN_SHARES_MAX);
    hook->source = arena_strdup(&plan->arena, resolved);
    hook->share = plan->share_count++;
    return hook->source ? 0 : error_set(err, ENOMEM, "out of memory");
}

int plan_hooks(struct plan *plan, struct error *err)
{
    const struct spec_hooks *hooks = &plan->spec->hooks;
    size_t count = hooks->count[HOOK_CREATE_CONTAINER];
    int ret = 0;

    plan->hooks = arena_array(&plan->arena, count, sizeof(*plan->hooks));
    if (!plan->hooks)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < count; i++) {
        ret = plan_hook_file(plan, i, hooks->list[HOOK_CREATE_CONTAINER][i].path, &plan->hooks[i],
                             err);
        plan->hook_count++;
    }
    return ret;
}

/*
 * The state as such a hook is given it by runc: the pid is that in the container's own PID
 * namespace. Return: fresh memory or NULL.
 */
static char *make_state(const struct plan *plan, const char *status)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    char *text = NULL;

    if (!gen)
        return NULL;
    yajl_gen_map_open(gen);
    json_put_string(gen, "ociVersion", plan->spec->oci_version);
    json_put_string(gen, "id", plan->id);
    json_put_string(gen, "status", status);
    json_put_int(gen, "pid", 1);
    json_put_string(gen, "bundle", plan->bundle);
    if (plan->spec->annotation_count) {
        json_put_key(gen, "annotations");
        yajl_gen_map_open(gen);
        for (size_t i = 0; i < plan->spec->annotation_count; i++)
            json_put_string(gen, plan->spec->annotations[i].key, plan->spec->annotations[i].value);
        yajl_gen_map_close(gen);
    }
    yajl_gen_map_close(gen);
    return json_take_text(gen, &text) == 0 ? text : NULL;
}

static void put_strings(struct protocol_writer *writer, uint16_t tag, const char *const *strings)
{
    for (; strings && *strings; strings++)
        protocol_put_string(writer, tag, *strings);
}

static void put_hook(struct protocol_writer *writer, const struct plan *plan,
                     const struct spec_hook *hook, uint64_t kind, const char *state,
                     const struct plan_hook *file)
{
    size_t mark = protocol_open(writer, FIELD_HOOK);

    protocol_put_u64(writer, FIELD_HOOK_KIND, kind);
    protocol_put_string(writer, FIELD_HOOK_PATH, hook->path);
    protocol_put_u64(writer, FIELD_HOOK_TIMEOUT,
                     hook->timeout == SPEC_UNSET ? 0 : (uint64_t)hook->timeout);
    protocol_put_string(writer, FIELD_HOOK_STATE, state);
    if (file)
        protocol_put_u64(writer, FIELD_MOUNT_SHARE, file->share);
    if (hook->args && hook->args[0])
        put_strings(writer, FIELD_ARG, hook->args);
    else
        protocol_put_string(writer, FIELD_ARG, hook->path);
    /* Go's exec: without "env" it is that of the parent, which over there is the container's. */
    if (hook->env)
        put_strings(writer, FIELD_ENV, hook->env);
    for (const char **env = hook->env ? NULL : plan->spec->process.env; env && *env; env++)
        if (!settings_is_variable(*env))
            protocol_put_string(writer, FIELD_ENV, *env);
    protocol_close(writer, mark);
}

int plan_put_hooks(struct protocol_writer *writer, const struct plan *plan, struct error *err)
{
    static const struct {
        enum spec_hook_kind kind;
        uint64_t number;    /* of init/protocol.h */
        const char *status; /* what the specification calls it by then */
    } kinds[] = { { HOOK_CREATE_CONTAINER, 0, "creating" },
                  { HOOK_START_CONTAINER, 1, "created" } };

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        const struct spec_hooks *hooks = &plan->spec->hooks;
        _cleanup_free_ char *state = NULL;

        if (hooks->count[kinds[k].kind] == 0)
            continue;
        state = make_state(plan, kinds[k].status);
        if (!state)
            return error_set(err, ENOMEM, "out of memory");
        for (size_t i = 0; i < hooks->count[kinds[k].kind]; i++)
            put_hook(writer, plan, &hooks->list[kinds[k].kind][i], kinds[k].number, state,
                     k == 0 ? &plan->hooks[i] : NULL);
    }
    return 0;
}
