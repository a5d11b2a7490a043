/* The plan's frame: paths, names, and the order in which the parts are made. */
#include "oci/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int plan_rootfs(struct plan *plan, struct error *err)
{
    const char *path = plan->spec->root_path;
    char joined[PATH_MAX], resolved[PATH_MAX];
    struct stat st;

    if (snprintf(joined, sizeof(joined), "%s%s%s", path[0] == '/' ? "" : plan->bundle,
                 path[0] == '/' ? "" : "/", path) >= (int)sizeof(joined))
        return error_set(err, ENAMETOOLONG, "config.json: root.path is too long");
    if (!realpath(joined, resolved)) {
        if (errno == ENOENT)
            /* runc's words. */
            return error_set(err, ENOENT, "invalid rootfs: stat %s: no such file or directory",
                             joined);
        return error_set_errno(err, "invalid rootfs: %s", joined);
    }
    if (stat(resolved, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "invalid rootfs: %s is not a directory", joined);
    if (strcmp(resolved, "/") == 0)
        return error_set(err, EINVAL, "invalid rootfs: the host's own root cannot be shared");
    plan->rootfs = arena_strdup(&plan->arena, resolved);
    return plan->rootfs ? 0 : error_set(err, ENOMEM, "out of memory");
}

int64_t plan_host_memory(int64_t bytes, int64_t limit)
{
    int64_t overhead, sum;

    if (bytes == SPEC_UNSET || bytes <= 0)
        return bytes;
    overhead = (int64_t)PLAN_OVERHEAD_BYTES + (limit > 0 ? limit : bytes) / PLAN_OVERHEAD_FRACTION;
    return __builtin_add_overflow(bytes, overhead, &sum) ? -1 : sum;
}

int plan_check_unified(const struct spec_resources *resources, const char *where, struct error *err)
{
    static const char *const prefixes[] = { "cpu.", "cpuset.", "io." };

    for (size_t i = 0; i < resources->unified_count; i++) {
        const char *key = resources->unified[i].key;
        bool known = false;

        for (size_t j = 0; j < COUNT(prefixes); j++)
            known = known || strncmp(key, prefixes[j], strlen(prefixes[j])) == 0;
        if (!known || strchr(key, '/'))
            return error_set(
                err, ENOTSUP,
                "%sunified: \"%s\" is not supported: only cpu.*, cpuset.* and io.* are", where,
                key);
    }
    return 0;
}

static int plan_limits(struct plan *plan, enum cgroup_driver driver, struct error *err)
{
    const struct spec_resources *r = &plan->spec->resources;
    int ret = plan_check_unified(r, "config.json: linux.resources.", err);

    if (ret < 0)
        return ret;
    plan->limits = (struct cgroup_limits) {
        .memory_max = plan_host_memory(r->memory_limit, r->memory_limit),
        .memory_swap = plan_host_memory(r->memory_swap, r->memory_limit),
        .memory_low = r->memory_reservation,
        .cpu_shares = r->cpu_shares,
        .cpu_quota = r->cpu_quota,
        .cpu_period = r->cpu_period,
        .cpu_burst = r->cpu_burst,
        .cpu_idle = r->cpu_idle,
        .cpus = r->cpuset_cpus,
        .mems = r->cpuset_mems,
        .unified = r->unified,
        .unified_count = r->unified_count,
    };
    return cgroup_path(plan->spec->cgroups_path, plan->id, driver, &plan->arena, &plan->cgroup_path,
                       err);
}

/* Values that the table in fields.c cannot judge by their presence. */
static int check_values(const struct spec *spec, struct error *err)
{
    static const char *const propagations[] = { "",       "private",    "rprivate",   "slave",
                                                "rslave", "unbindable", "runbindable" };
    const char *propagation = spec->rootfs_propagation ? spec->rootfs_propagation : "";
    bool known = false;

    for (size_t i = 0; i < COUNT(propagations); i++)
        known = known || strcmp(propagation, propagations[i]) == 0;
    if (!known)
        return error_set(err, ENOTSUP,
                         "config.json: linux.rootfsPropagation: \"%s\" is not supported: mounts of "
                         "a virtual machine are not shared with the host",
                         propagation);
    return plan_check_sysctl(spec, err);
}

static int plan_hostname(struct plan *plan, struct error *err)
{
    char name[HOST_NAME_MAX + 1] = "localhost";

    plan->hostname = plan->spec->hostname;
    if (!plan->hostname || !plan->hostname[0]) {
        /* A new UTS namespace begins with the host's name. */
        if (gethostname(name, sizeof(name)) < 0)
            return error_set_errno(err, "gethostname");
        plan->hostname = arena_strdup(&plan->arena, name);
    }
    if (!plan->hostname)
        return error_set(err, ENOMEM, "out of memory");
    if (strlen(plan->hostname) > HOST_NAME_MAX)
        return error_set(err, EINVAL, "config.json: hostname: expected at most %d characters",
                         HOST_NAME_MAX);
    return 0;
}

int plan_make(const struct spec *spec, const struct settings *settings,
              const struct plan_request *request, struct plan *plan, struct error *err)
{
    int ret;

    memset(plan, 0, sizeof(*plan));
    plan->spec = spec;
    plan->id = request->id;
    plan->bundle = request->bundle;
    plan->root = request->root;
    plan->notify = request->notify;
    plan->descriptors = request->descriptors;
    plan->kernel =
        settings->values[SETTING_KERNEL].text[0] ? settings->values[SETTING_KERNEL].text : NULL;
    plan->kernel_args = settings->values[SETTING_KERNEL_ARGS].text[0]
                            ? settings->values[SETTING_KERNEL_ARGS].text
                            : NULL;
    plan->console = settings->values[SETTING_CONSOLE].text;
    plan->net_vhost = settings->values[SETTING_NET_VHOST].number == 1;
    ret = check_values(spec, err);
    if (ret == 0)
        ret = plan_namespaces(plan, settings, err);
    if (ret == 0)
        ret = plan_rootfs(plan, err);
    if (ret == 0)
        ret = plan_limits(plan, request->driver, err);
    if (ret == 0)
        ret = plan_machine(plan, settings, err);
    if (ret == 0)
        ret = plan_hostname(plan, err);
    if (ret == 0)
        ret = plan_devices(plan, err);
    if (ret == 0)
        ret = plan_mounts(plan, err);
    if (ret == 0)
        ret = plan_hooks(plan, err);
    return ret == 0 ? plan_guest(plan, err) : ret;
}

void plan_release(struct plan *plan)
{
    free(plan->guest.data);
    plan->guest.data = NULL;
    arena_free(&plan->arena);
}
