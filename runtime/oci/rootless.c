/* Who is calling, and what that leaves out. */
#include "oci/rootless.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"

#define COUNT(table)   (sizeof(table) / sizeof((table)[0]))
#define MAP_SIZE_MAX   65536
#define PERIOD_DEFAULT 100000 /* microseconds, the kernel's own */

int rootless_parse(const char *text, enum rootless *out)
{
    static const struct {
        const char *word;
        enum rootless value;
    } words[] = {
        { "", ROOTLESS_AUTO },    { "auto", ROOTLESS_AUTO }, { "true", ROOTLESS_YES },
        { "True", ROOTLESS_YES }, { "TRUE", ROOTLESS_YES },  { "t", ROOTLESS_YES },
        { "T", ROOTLESS_YES },    { "1", ROOTLESS_YES },     { "false", ROOTLESS_NO },
        { "False", ROOTLESS_NO }, { "FALSE", ROOTLESS_NO },  { "f", ROOTLESS_NO },
        { "F", ROOTLESS_NO },     { "0", ROOTLESS_NO },
    };

    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(text, words[i].word) == 0) {
            *out = words[i].value;
            return 0;
        }
    return -EINVAL;
}

bool rootless_is_mapped(const char *uid_map)
{
    uint64_t inside, outside, count;
    int end = 0;

    /* Without user namespaces in the kernel there is no such file. */
    if (sscanf(uid_map, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %n", &inside, &outside, &count,
               &end) != 3)
        return false;
    return uid_map[end] || inside != 0 || outside != 0 || count != UINT32_MAX;
}

bool rootless_in_user_namespace(void)
{
    _cleanup_free_ char *text = NULL;

    return fd_read_file(AT_FDCWD, "/proc/self/uid_map", MAP_SIZE_MAX, &text, NULL) == 0 &&
           rootless_is_mapped(text);
}

bool rootless_applies(enum rootless wanted)
{
    if (wanted != ROOTLESS_AUTO)
        return wanted == ROOTLESS_YES;
    return geteuid() != 0 || rootless_in_user_namespace();
}

/* As runc: root in a user namespace whose USER is still root came from the host's root. */
static bool honours_xdg(enum rootless wanted)
{
    const char *user = getenv("USER");

    if (geteuid() != 0 || wanted == ROOTLESS_YES)
        return true;
    return rootless_in_user_namespace() && (!user || strcmp(user, "root") != 0);
}

void rootless_root(enum rootless wanted, char *out, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (runtime && runtime[0] && honours_xdg(wanted))
        snprintf(out, size, "%s/vmrt", runtime);
    else
        snprintf(out, size, "/run/vmrt");
}

/* Does a map, of which @text is the file, have @id inside? */
static bool has_id(const char *text, uint32_t id)
{
    uint64_t inside, outside, count;
    int length;

    while (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %n", &inside, &outside, &count,
                  &length) == 3) {
        if (id >= inside && id - inside < count)
            return true;
        text += length;
    }
    return false;
}

static bool is_mapped(const struct spec_id_map *maps, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++)
        if (id >= maps[i].inside && id - maps[i].inside < maps[i].count)
            return true;
    return false;
}

static bool own_namespace_has(const char *path, uint32_t id)
{
    _cleanup_free_ char *text = NULL;

    return fd_read_file(AT_FDCWD, path, MAP_SIZE_MAX, &text, NULL) < 0 || has_id(text, id);
}

int rootless_check_user(const struct spec *spec, const struct spec_process *process,
                        struct error *err)
{
    bool uid, gid;

    if (spec->uid_map_count) {
        uid = is_mapped(spec->uid_maps, spec->uid_map_count, process->uid);
        gid = is_mapped(spec->gid_maps, spec->gid_map_count, process->gid);
    } else {
        uid = own_namespace_has("/proc/self/uid_map", process->uid);
        gid = own_namespace_has("/proc/self/gid_map", process->gid);
    }
    /* runc's words. */
    if (!uid)
        return error_set(err, EINVAL,
                         "process.user.uid: cannot set uid to unmapped user in user namespace: %u",
                         process->uid);
    if (!gid)
        return error_set(err, EINVAL,
                         "process.user.gid: cannot set gid to unmapped user in user namespace: %u",
                         process->gid);
    return 0;
}

/* Any number but 0 and "not given". */
static bool is_given(int64_t value)
{
    return value != SPEC_UNSET && value != 0;
}

static bool reservation(const struct plan *plan)
{
    return is_given(plan->limits.memory_low);
}

static bool swappiness(const struct plan *plan)
{
    return plan->limits.has_swappiness;
}

static bool shares(const struct plan *plan)
{
    return is_given(plan->limits.cpu_shares);
}

/* Whole CPUs are virtual CPUs. */
static bool part_of_cpu(const struct plan *plan)
{
    int64_t period = plan->limits.cpu_period > 0 ? plan->limits.cpu_period : PERIOD_DEFAULT;

    return plan->limits.cpu_quota > 0 && (plan->limits.cpu_quota / period < (int64_t)plan->cpus);
}

static bool burst(const struct plan *plan)
{
    return is_given(plan->limits.cpu_burst);
}

static bool idle(const struct plan *plan)
{
    return is_given(plan->limits.cpu_idle);
}

/* As many virtual CPUs as real ones are bound to them, one each. */
static bool unbound_cpus(const struct plan *plan)
{
    return plan->limits.cpus && plan->limits.cpus[0] && !plan->affinity_count;
}

static bool memory_nodes(const struct plan *plan)
{
    return plan->limits.mems && plan->limits.mems[0];
}

static bool block_io(const struct plan *plan)
{
    return plan->limits.io_weight || plan->limits.io_leaf_weight || plan->limits.io_rule_count;
}

static bool huge_pages(const struct plan *plan)
{
    return plan->limits.hugepage_count;
}

static bool unified(const struct plan *plan)
{
    return plan->limits.unified_count;
}

static bool memory(const struct plan *plan)
{
    return is_given(plan->limits.memory_max);
}

static bool swap(const struct plan *plan)
{
    return is_given(plan->limits.memory_swap);
}

static bool quota(const struct plan *plan)
{
    return plan->limits.cpu_quota > 0;
}

static bool bound_cpus(const struct plan *plan)
{
    return plan->affinity_count;
}

static bool processes(const struct plan *plan)
{
    return plan->spec->resources.pids_limit > 0;
}

/* Limits of linux.resources, those first that need a control group of the host. */
static const struct {
    const char *field;
    bool (*asked)(const struct plan *plan);
    const char *kept; /* by what, without one; NULL: by nothing */
} limits[] = {
    { "memory.reservation", reservation, NULL },
    { "memory.swappiness", swappiness, NULL },
    { "cpu.shares", shares, NULL },
    { "cpu.quota", part_of_cpu, NULL },
    { "cpu.burst", burst, NULL },
    { "cpu.idle", idle, NULL },
    { "cpu.cpus", unbound_cpus, NULL },
    { "cpu.mems", memory_nodes, NULL },
    { "blockIO", block_io, NULL },
    { "hugepageLimits", huge_pages, NULL },
    { "unified", unified, NULL },
    { "memory.limit", memory, "the machine's memory" },
    { "memory.swap", swap, "the machine's memory" },
    { "cpu.quota", quota, "the number of virtual CPUs" },
    { "cpu.cpus", bound_cpus, "the virtual CPUs' affinity" },
    { "pids.limit", processes, "the guest" },
};

static int go_without(struct plan *plan, const struct error *why, struct error *err)
{
    for (size_t i = 0; i < COUNT(limits); i++) {
        if (!limits[i].asked(plan))
            continue;
        if (!limits[i].kept)
            /* runc's words. */
            return error_set(err, EACCES,
                             "rootless needs no limits + no cgrouppath when no permission is "
                             "granted for cgroups: linux.resources.%s cannot be kept: %s",
                             limits[i].field, why->message);
        log_warning("linux.resources.%s: kept by %s alone, there is no control group around the "
                    "virtual machine: %s",
                    limits[i].field, limits[i].kept, why->message);
    }
    return 0;
}

int rootless_settle_cgroup(struct plan *plan, bool *without, struct error *err)
{
    struct cgroup found;
    struct error why = { 0 };
    int ret = cgroup_find(plan->cgroup_path, &found, &plan->arena, &why);

    if (ret == 0)
        ret = cgroup_check_rights(&found, &why);
    *without = ret < 0;
    if (ret == 0)
        return 0;
    if (plan->spec->cgroups_path && plan->spec->cgroups_path[0])
        return error_set(err, why.code, "unable to apply cgroup configuration: %s%s", why.message,
                         why.code == EACCES ? " (permission denied)" : "");
    return go_without(plan, &why, err);
}
