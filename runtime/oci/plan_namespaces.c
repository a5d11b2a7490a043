/* Namespaces: what must be new, what may be joined, what the host's cannot be had. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "oci/plan.h"
#include "oci/rootless.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum namespace_rule { RULE_ANY, RULE_NEW, RULE_NEW_OR_PATH };

/* What each namespace of the spec may be; a missing one is the host's. */
static const struct {
    const char *type;
    uint64_t flag; /* CLONE_NEW* of the guest; 0: not a namespace of the guest's */
    enum namespace_rule rule;
    bool needed;         /* the host's is refused */
    const char *missing; /* why */
} namespace_rows[] = {
    { "pid", CLONE_NEWPID, RULE_NEW, true,
      "the host's PID namespace is not supported: processes of a virtual machine cannot see those "
      "of the host" },
    { "network", 0, RULE_NEW_OR_PATH, false, NULL },
    { "ipc", CLONE_NEWIPC, RULE_NEW, true,
      "the host's IPC namespace is not supported: a virtual machine cannot share memory with "
      "processes of the host" },
    { "uts", CLONE_NEWUTS, RULE_NEW_OR_PATH, false, NULL },
    { "mount", CLONE_NEWNS, RULE_NEW, false, NULL },
    { "cgroup", CLONE_NEWCGROUP, RULE_ANY, false, NULL },
    { "time", CLONE_NEWTIME, RULE_NEW, false, NULL },
    { "user", CLONE_NEWUSER, RULE_NEW, false, NULL },
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
        if (ns->path && namespace_rows[i].rule == RULE_NEW)
            return error_set(err, ENOTSUP,
                             "config.json: linux.namespaces[%zu].path: joining the %s namespace %s "
                             "is not supported: it is not inside a virtual machine (nor are "
                             "pods, yet)",
                             index, ns->type, ns->path);
        return 0;
    }
    return error_set(err, EINVAL,
                     "config.json: linux.namespaces[%zu].type: expected pid, network, ipc, uts, "
                     "mount, cgroup, time or user, found \"%s\"",
                     index, ns->type);
}

static bool has_new(const struct spec *spec, const char *type)
{
    const struct spec_namespace *ns = find_namespace(spec, type);

    return ns && !ns->path;
}

/* What only makes sense with a namespace of its own. runc's words. */
static int check_dependents(const struct spec *spec, struct error *err)
{
    bool maps = spec->uid_map_count || spec->gid_map_count;
    bool user = has_new(spec, "user");

    if (maps && !user)
        return error_set(err, EINVAL,
                         "config.json: linux.uidMappings: user namespace mappings specified, but "
                         "user namespace isn't enabled in the config");
    if (user && !maps)
        return error_set(err, EINVAL,
                         "config.json: linux.uidMappings: user namespaces enabled, but no mappings "
                         "to apply specified");
    if (spec->time_offset_count && !has_new(spec, "time"))
        return error_set(err, EINVAL,
                         "config.json: linux.timeOffsets: time namespace offsets specified, but "
                         "time namespace isn't enabled in the config");
    return 0;
}

int plan_namespaces(struct plan *plan, const struct settings *settings, struct error *err)
{
    const struct spec *spec = plan->spec;
    int ret;

    for (size_t i = 0; i < spec->namespace_count; i++) {
        ret = check_namespace(i, &spec->namespaces[i], err);
        if (ret < 0)
            return ret;
    }
    for (size_t i = 0; i < COUNT(namespace_rows); i++)
        if (namespace_rows[i].needed && !find_namespace(spec, namespace_rows[i].type))
            return error_set(err, ENOTSUP, "config.json: linux.namespaces: no \"%s\" entry: %s",
                             namespace_rows[i].type, namespace_rows[i].missing);
    ret = check_dependents(spec, err);
    if (ret < 0)
        return ret;
    /* Mounts and names of the container are never init's own. */
    plan->namespaces = CLONE_NEWNS | CLONE_NEWUTS;
    for (size_t i = 0; i < COUNT(namespace_rows); i++)
        if (has_new(spec, namespace_rows[i].type))
            plan->namespaces |= namespace_rows[i].flag;
    /* An ordinary user has rights only in a namespace of the host's: then it is that one. */
    if (geteuid() != 0) {
        if (!(plan->namespaces & CLONE_NEWUSER))
            /* runc's words. */
            return error_set(err, EPERM,
                             "config.json: linux.namespaces: rootless container requires user "
                             "namespaces: add a \"user\" entry, as \"vmrt spec --rootless\" does, "
                             "or run as root");
        plan->user_namespace = true;
        plan->namespaces &= ~(uint64_t)CLONE_NEWUSER;
    } else {
        plan->pid_namespace = rootless_in_user_namespace();
    }
    plan->cgroup_namespace = plan->namespaces & CLONE_NEWCGROUP;
    return plan_network(plan, settings, err);
}
