/*
 * Treatment of config.json, field by field. Paths are written as in the runtime-spec, "[]" stands
 * for any element of an array. Conditions that need more than one field stand in the plan.
 */
#include "oci/fields.h"

#include <errno.h>
#include <string.h>

#include "lib/log.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum treatment { TREAT_GUEST, TREAT_HOST, TREAT_BOTH, TREAT_IGNORED, TREAT_REFUSED };

static const char *const treatment_names[] = {
    [TREAT_GUEST] = "guest",     [TREAT_HOST] = "host",       [TREAT_BOTH] = "guest and host",
    [TREAT_IGNORED] = "ignored", [TREAT_REFUSED] = "refused",
};

struct field_row {
    const char *path;
    enum treatment treatment;
    const char *note;
};

static const struct field_row rows[] = {
    { "ociVersion", TREAT_HOST, "any 1.x" },
    { "process.terminal", TREAT_BOTH, "a terminal in the guest behind one of the host" },
    { "process.consoleSize", TREAT_BOTH, "" },
    { "process.user.uid", TREAT_GUEST, "" },
    { "process.user.gid", TREAT_GUEST, "" },
    { "process.user.umask", TREAT_GUEST, "" },
    { "process.user.additionalGids", TREAT_GUEST, "" },
    { "process.user.username", TREAT_IGNORED, "Windows only" },
    { "process.args", TREAT_BOTH, "the executable is looked up at create" },
    { "process.env", TREAT_GUEST, "VMRT_* are settings and are taken out" },
    { "process.cwd", TREAT_GUEST, "" },
    { "process.capabilities", TREAT_GUEST, "" },
    { "process.rlimits", TREAT_GUEST, "limits that are not named are the engine's, as with runc" },
    { "process.noNewPrivileges", TREAT_GUEST, "" },
    { "process.oomScoreAdj", TREAT_BOTH, "" },
    { "process.apparmorProfile", TREAT_IGNORED, "the guest has no AppArmor" },
    { "process.selinuxLabel", TREAT_IGNORED, "refused, as by runc, where the host has no SELinux" },
    { "process.scheduler", TREAT_GUEST, "" },
    { "process.ioPriority", TREAT_GUEST, "" },
    { "process.execCPUAffinity", TREAT_IGNORED, "it is about exec, on the host's CPUs" },
    { "process.commandLine", TREAT_IGNORED, "Windows only" },
    { "root.path", TREAT_HOST, "shared with the guest" },
    { "root.readonly", TREAT_BOTH, "enforced on the host" },
    { "hostname", TREAT_BOTH, "" },
    { "domainname", TREAT_GUEST, "" },
    { "mounts[].destination", TREAT_BOTH, "" },
    { "mounts[].type", TREAT_GUEST, "bind mounts are shared by the host" },
    { "mounts[].source", TREAT_HOST, "" },
    { "mounts[].options", TREAT_BOTH,
      "read-only is enforced on the host, recursively; shared and idmap are refused" },
    { "mounts[].uidMappings", TREAT_REFUSED, "id-mapped mounts are not supported" },
    { "mounts[].gidMappings", TREAT_REFUSED, "id-mapped mounts are not supported" },
    { "hooks.prestart", TREAT_HOST, "" },
    { "hooks.createRuntime", TREAT_HOST, "" },
    { "hooks.poststart", TREAT_HOST, "" },
    { "hooks.poststop", TREAT_HOST, "" },
    { "hooks.createContainer", TREAT_GUEST,
      "a file of the host, run in the guest: a static program, or a script for the image's shell" },
    { "hooks.startContainer", TREAT_GUEST, "a file of the container" },
    { "annotations", TREAT_HOST, "org.vmrt.* are settings" },
    { "linux.namespaces", TREAT_BOTH, "network on the host, the others in the guest" },
    { "linux.uidMappings", TREAT_GUEST, "the same ids on the host's files" },
    { "linux.gidMappings", TREAT_GUEST, "the same ids on the host's files" },
    { "linux.timeOffsets", TREAT_GUEST, "" },
    { "linux.devices", TREAT_GUEST,
      "those that the guest has; others are refused, and left out when everything is allowed" },
    { "linux.netDevices", TREAT_REFUSED, "host interfaces cannot be moved into a virtual machine" },
    { "linux.cgroupsPath", TREAT_HOST, "" },
    { "linux.sysctl", TREAT_GUEST, "those that belong to a namespace, as runc" },
    { "linux.rootfsPropagation", TREAT_HOST, "private, slave and unbindable" },
    { "linux.maskedPaths", TREAT_GUEST, "" },
    { "linux.readonlyPaths", TREAT_GUEST, "" },
    { "linux.mountLabel", TREAT_IGNORED, "the guest has no SELinux" },
    { "linux.intelRdt", TREAT_REFUSED, "cache and bandwidth allocation is not supported" },
    { "linux.memoryPolicy", TREAT_REFUSED, "NUMA memory policies are not supported" },
    { "linux.personality.domain", TREAT_GUEST, "LINUX or LINUX32" },
    { "linux.personality.flags", TREAT_IGNORED, "none are defined; a warning, as runc" },
    { "linux.seccomp.listenerPath", TREAT_REFUSED, "seccomp notification is not supported" },
    { "linux.seccomp", TREAT_GUEST, "compiled on the host; SCMP_ACT_NOTIFY is refused" },
    { "linux.resources.devices", TREAT_IGNORED, "the guest has no devices of the host" },
    { "linux.resources.memory.limit", TREAT_BOTH, "size of the guest; host limit with overhead" },
    { "linux.resources.memory.reservation", TREAT_HOST, "" },
    { "linux.resources.memory.swap", TREAT_HOST, "" },
    { "linux.resources.memory.kernel", TREAT_IGNORED, "deprecated" },
    { "linux.resources.memory.kernelTCP", TREAT_IGNORED, "deprecated" },
    { "linux.resources.memory.swappiness", TREAT_HOST, "cgroup v1 only" },
    { "linux.resources.memory.disableOOMKiller", TREAT_IGNORED, "cgroup v1 only" },
    { "linux.resources.memory.useHierarchy", TREAT_IGNORED, "cgroup v1 only" },
    { "linux.resources.memory.checkBeforeUpdate", TREAT_IGNORED, "it is about update" },
    { "linux.resources.cpu.shares", TREAT_HOST, "" },
    { "linux.resources.cpu.quota", TREAT_HOST, "also the number of virtual CPUs" },
    { "linux.resources.cpu.period", TREAT_HOST, "" },
    { "linux.resources.cpu.burst", TREAT_HOST, "" },
    { "linux.resources.cpu.idle", TREAT_HOST, "" },
    { "linux.resources.cpu.cpus", TREAT_HOST,
      "also the number of virtual CPUs, and where they run" },
    { "linux.resources.cpu.mems", TREAT_HOST, "" },
    { "linux.resources.cpu.realtimeRuntime", TREAT_REFUSED, "realtime CPU time is not supported" },
    { "linux.resources.cpu.realtimePeriod", TREAT_REFUSED, "realtime CPU time is not supported" },
    { "linux.resources.pids", TREAT_GUEST, "" },
    { "linux.resources.blockIO", TREAT_HOST,
      "weights only where the host's I/O scheduler has them" },
    { "linux.resources.network", TREAT_IGNORED, "cgroup v1 traffic classes are not supported" },
    { "linux.resources.hugepageLimits", TREAT_HOST, "the guest's memory is in ordinary pages" },
    { "linux.resources.rdma", TREAT_REFUSED, "RDMA devices are not supported" },
    { "linux.resources.unified", TREAT_HOST, "cpu.*, cpuset.* and io.* on cgroup v2" },
    { "windows", TREAT_REFUSED, "this is a Linux runtime" },
    { "solaris", TREAT_REFUSED, "this is a Linux runtime" },
    { "freebsd", TREAT_REFUSED, "this is a Linux runtime" },
    { "zos", TREAT_REFUSED, "this is a Linux runtime" },
    { "vm", TREAT_REFUSED, "use the settings of vmrt instead (vmrt settings)" },
};

static const struct field_row *find_row(const char *path)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strcmp(path, rows[i].path) == 0)
            return &rows[i];
    return NULL;
}

/* Are there rows about parts of the value at @path? */
static bool has_parts(const char *path)
{
    size_t length = strlen(path);

    if (length == 0)
        return true;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strncmp(path, rows[i].path, length) == 0 &&
            (rows[i].path[length] == '.' || rows[i].path[length] == '['))
            return true;
    return false;
}

/* Does the value ask for nothing? Engines write out empty and zero members. */
static bool is_empty(const struct json *json)
{
    yajl_val value = json->value;

    if (!value || YAJL_IS_FALSE(value))
        return true;
    if (YAJL_IS_STRING(value))
        return YAJL_GET_STRING(value)[0] == '\0';
    if (YAJL_IS_NUMBER(value))
        return strcmp(YAJL_GET_NUMBER(value), "0") == 0;
    if (YAJL_IS_OBJECT(value) || YAJL_IS_ARRAY(value))
        return json_pair_count(json) == 0 && json_length(json) == 0;
    return false;
}

static int visit(const struct json *json, const char *path, struct error *err)
{
    const struct field_row *row = find_row(path);
    char child_path[256];
    int ret = 0;

    if (is_empty(json))
        return 0;
    if (row && row->treatment == TREAT_REFUSED)
        return json_fail(json, err, ENOTSUP, "%s", row->note);
    if (row && row->treatment == TREAT_IGNORED)
        log_debug("config.json: %s: ignored: %s", json->path, row->note);
    if (!has_parts(path)) {
        if (!row)
            log_debug("config.json: %s: unknown field, ignored", json->path);
        return 0;
    }
    for (size_t i = 0; ret == 0 && i < json_pair_count(json); i++) {
        const char *key;
        struct json member = json_pair(json, i, &key);

        snprintf(child_path, sizeof(child_path), "%s%s%.100s", path, path[0] ? "." : "", key);
        ret = visit(&member, child_path, err);
    }
    for (size_t i = 0; ret == 0 && i < json_length(json); i++) {
        struct json element = json_element(json, i);

        snprintf(child_path, sizeof(child_path), "%s[]", path);
        ret = visit(&element, child_path, err);
    }
    return ret;
}

int fields_check(const struct json *document, struct error *err)
{
    return visit(document, "", err);
}

int fields_check_part(const struct json *part, const char *path, struct error *err)
{
    return visit(part, path, err);
}

void fields_print(FILE *out)
{
    fputs("| field of config.json | where | note |\n|---|---|---|\n", out);
    for (size_t i = 0; i < COUNT(rows); i++)
        fprintf(out, "| `%s` | %s | %s |\n", rows[i].path, treatment_names[rows[i].treatment],
                rows[i].note);
}
