/* The plan's frame: paths, namespaces, the size of the machine, limits. */
#include "oci/plan.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/plan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define MIB          (1ll << 20)

enum namespace_rule { RULE_ANY, RULE_NEW, RULE_NEW_OR_PATH, RULE_NEVER };

/* What each namespace of the spec may be; a missing one is the host's. */
static const struct {
    const char *type;
    enum namespace_rule rule;
    bool needed;         /* the host's is refused */
    const char *missing; /* why */
} namespace_rows[] = {
    { "pid", RULE_NEW, true,
      "the host's PID namespace is not supported: processes of a virtual machine cannot see those "
      "of the host" },
    { "network", RULE_NEW_OR_PATH, true,
      "host networking is not supported: a virtual machine has a network stack of its own; add a "
      "\"network\" entry (docker and podman: use another network than \"host\")" },
    { "ipc", RULE_NEW, true,
      "the host's IPC namespace is not supported: a virtual machine cannot share memory with "
      "processes of the host" },
    { "uts", RULE_NEW_OR_PATH, false, NULL },
    { "mount", RULE_NEW, false, NULL },
    { "cgroup", RULE_ANY, false, NULL },
    { "time", RULE_ANY, false, NULL },
    { "user", RULE_NEVER, false, NULL },
};

static const struct spec_namespace *find_namespace(const struct spec *spec, const char *type)
{
    for (size_t i = 0; i < spec->namespace_count; i++)
        if (strcmp(spec->namespaces[i].type, type) == 0)
            return &spec->namespaces[i];
    return NULL;
}

static int check_namespace(size_t index, const struct spec_namespace *ns, struct error *err)
{
    for (size_t i = 0; i < COUNT(namespace_rows); i++) {
        if (strcmp(ns->type, namespace_rows[i].type) != 0)
            continue;
        if (namespace_rows[i].rule == RULE_NEVER)
            return error_set(err, ENOTSUP,
                             "config.json: linux.namespaces[%zu]: %s namespaces are not supported",
                             index, ns->type);
        if (ns->path && namespace_rows[i].rule == RULE_NEW)
            return error_set(err, ENOTSUP,
                             "config.json: linux.namespaces[%zu].path: joining the %s namespace %s "
                             "is not supported: it is not inside a virtual machine",
                             index, ns->type, ns->path);
        return 0;
    }
    return error_set(err, EINVAL,
                     "config.json: linux.namespaces[%zu].type: expected pid, network, ipc, uts, "
                     "mount, cgroup, time or user, found \"%s\"",
                     index, ns->type);
}

/*
 * Docker asks for host networking by the path of a bind mount of the host's namespace, so the path
 * tells nothing; the namespace's inode does.
 */
static bool is_own_network(const char *path)
{
    struct stat asked, own;

    return stat(path, &asked) == 0 && stat("/proc/self/ns/net", &own) == 0 &&
           asked.st_dev == own.st_dev && asked.st_ino == own.st_ino;
}

static int plan_namespaces(struct plan *plan, struct error *err)
{
    const struct spec *spec = plan->spec;
    const struct spec_namespace *network, *cgroup;

    for (size_t i = 0; i < spec->namespace_count; i++) {
        int ret = check_namespace(i, &spec->namespaces[i], err);

        if (ret < 0)
            return ret;
    }
    for (size_t i = 0; i < COUNT(namespace_rows); i++)
        if (namespace_rows[i].needed && !find_namespace(spec, namespace_rows[i].type))
            return error_set(err, ENOTSUP, "config.json: linux.namespaces: no \"%s\" entry: %s",
                             namespace_rows[i].type, namespace_rows[i].missing);
    network = find_namespace(spec, "network");
    plan->network_path = network ? network->path : NULL;
    if (plan->network_path && is_own_network(plan->network_path))
        return error_set(err, ENOTSUP,
                         "config.json: linux.namespaces: network path %s is the host's own "
                         "namespace: host networking is not supported in a VM",
                         plan->network_path);
    cgroup = find_namespace(spec, "cgroup");
    plan->cgroup_namespace = cgroup && !cgroup->path;
    return 0;
}

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

/* Bytes of RAM in the host. */
static int64_t host_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (int64_t)pages * size : INT64_MAX;
}

static int plan_memory(struct plan *plan, const struct settings *settings, struct error *err)
{
    const struct setting *setting = &settings->values[SETTING_MEMORY];
    int64_t limit = plan->spec->resources.memory_limit;
    uint64_t mib = setting->number;

    if (limit > host_memory())
        limit = host_memory();
    if (limit > 0 && settings_from_container(setting)) {
        if (mib > (uint64_t)(limit / MIB))
            return error_set(err, EINVAL,
                             "%s: %llu MiB is more than linux.resources.memory.limit (%lld MiB)",
                             setting->origin, (unsigned long long)mib, (long long)(limit / MIB));
    } else if (limit > 0) {
        mib = (uint64_t)(limit / MIB);
        if (mib < PLAN_MEMORY_MIN_MIB)
            return error_set(err, EINVAL,
                             "config.json: linux.resources.memory.limit: a virtual machine needs "
                             "at least %u MiB, found %lld bytes",
                             PLAN_MEMORY_MIN_MIB, (long long)limit);
    }
    plan->memory_mib = (uint32_t)(mib < PLAN_MEMORY_MAX_MIB ? mib : PLAN_MEMORY_MAX_MIB);
    return 0;
}

/* CPUs in a list such as "0-3,7" (cpuset(7)); 0: no list, or one that the kernel will refuse. */
static uint64_t count_cpus(const char *list)
{
    uint64_t count = 0;

    while (list && *list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list)
            return 0;
        if (*end == '-') {
            list = end + 1;
            last = strtoul(list, &end, 10);
        }
        if (last < first || last - first > 8192)
            return 0;
        count += last - first + 1;
        list = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return 0;
    }
    return count;
}

static uint64_t allowed_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return (uint64_t)CPU_COUNT(&set);
}

static void plan_cpus(struct plan *plan, const struct settings *settings)
{
    const struct setting *setting = &settings->values[SETTING_CPUS];
    const struct spec_resources *r = &plan->spec->resources;
    uint64_t cpus = setting->number, set = count_cpus(r->cpuset_cpus);
    int64_t period = r->cpu_period > 0 ? r->cpu_period : 100000;

    if (!(cpus && settings_from_container(setting))) {
        if (r->cpu_quota > 0)
            /* Half a CPU is one virtual CPU that the host holds back half the time. */
            cpus = (uint64_t)(r->cpu_quota / period) + (r->cpu_quota % period != 0);
        else if (cpus == 0)
            cpus = allowed_cpus() < PLAN_CPUS_DEFAULT_MAX ? allowed_cpus() : PLAN_CPUS_DEFAULT_MAX;
        if (set && cpus > set)
            cpus = set;
    }
    plan->cpus = cpus < PLAN_CPUS_MAX ? (uint32_t)cpus : PLAN_CPUS_MAX;
}

/* A limit on the container becomes one on the VM: what the VM needs for itself is added. */
static int64_t with_overhead(int64_t bytes, int64_t limit)
{
    int64_t overhead, sum;

    if (bytes == SPEC_UNSET || bytes <= 0)
        return bytes;
    overhead = (int64_t)PLAN_OVERHEAD_BYTES + (limit > 0 ? limit : bytes) / PLAN_OVERHEAD_FRACTION;
    return __builtin_add_overflow(bytes, overhead, &sum) ? -1 : sum;
}

static int check_unified(const struct spec_resources *r, struct error *err)
{
    static const char *const prefixes[] = { "cpu.", "cpuset.", "io." };

    for (size_t i = 0; i < r->unified_count; i++) {
        const char *key = r->unified[i].key;
        bool known = false;

        for (size_t j = 0; j < COUNT(prefixes); j++)
            known = known || strncmp(key, prefixes[j], strlen(prefixes[j])) == 0;
        if (!known || strchr(key, '/'))
            return error_set(err, ENOTSUP,
                             "config.json: linux.resources.unified: \"%s\" is not supported: only "
                             "cpu.*, cpuset.* and io.* are",
                             key);
    }
    return 0;
}

static int plan_limits(struct plan *plan, bool systemd, struct error *err)
{
    const struct spec_resources *r = &plan->spec->resources;
    int ret = check_unified(r, err);

    if (ret < 0)
        return ret;
    plan->limits = (struct cgroup_limits) {
        .memory_max = with_overhead(r->memory_limit, r->memory_limit),
        .memory_swap = with_overhead(r->memory_swap, r->memory_limit),
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
    return cgroup_path(plan->spec->cgroups_path, plan->id, systemd, &plan->arena,
                       &plan->cgroup_path, err);
}

/* Values of single fields that the table in fields.c cannot judge by their presence. */
static int check_values(const struct spec *spec, struct error *err)
{
    static const char *const propagations[] = { "", "private", "rprivate", "slave", "rslave" };
    const char *propagation = spec->rootfs_propagation ? spec->rootfs_propagation : "";
    struct json section = json_member(&spec->document, "linux");
    struct json personality = json_member(&section, "personality");
    struct json domain = json_member(&personality, "domain");
    const char *name = "LINUX";
    bool known = false;
    int ret = json_string(&domain, &name, err);

    if (ret < 0)
        return ret;
    if (strcmp(name, "LINUX") != 0)
        return json_fail(&domain, err, ENOTSUP, "expected LINUX, found \"%s\"", name);
    for (size_t i = 0; i < COUNT(propagations); i++)
        known = known || strcmp(propagation, propagations[i]) == 0;
    if (!known)
        return error_set(err, ENOTSUP,
                         "config.json: linux.rootfsPropagation: \"%s\" is not supported: mounts of "
                         "a virtual machine are not shared with the host",
                         propagation);
    return 0;
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
    plan->kernel =
        settings->values[SETTING_KERNEL].text[0] ? settings->values[SETTING_KERNEL].text : NULL;
    plan->kernel_args = settings->values[SETTING_KERNEL_ARGS].text[0]
                            ? settings->values[SETTING_KERNEL_ARGS].text
                            : NULL;
    plan->console = settings->values[SETTING_CONSOLE].text;
    ret = check_values(spec, err);
    if (ret == 0)
        ret = plan_namespaces(plan, err);
    if (ret == 0)
        ret = plan_rootfs(plan, err);
    if (ret == 0)
        ret = plan_memory(plan, settings, err);
    if (ret == 0)
        ret = plan_limits(plan, request->systemd_cgroup, err);
    if (ret < 0)
        return ret;
    plan_cpus(plan, settings);
    ret = plan_hostname(plan, err);
    if (ret == 0)
        ret = plan_devices(plan, err);
    if (ret == 0)
        ret = plan_mounts(plan, err);
    return ret == 0 ? plan_guest(plan, err) : ret;
}

void plan_release(struct plan *plan)
{
    free(plan->guest.data);
    plan->guest.data = NULL;
    arena_free(&plan->arena);
}
