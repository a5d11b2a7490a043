/* The network namespace: a new one, one that somebody made, or the host's in other words. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/plan.h"

static const struct spec_namespace *find_network(const struct spec *spec)
{
    for (size_t i = 0; i < spec->namespace_count; i++)
        if (strcmp(spec->namespaces[i].type, "network") == 0)
            return &spec->namespaces[i];
    return NULL;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * Docker asks for host networking by the path of a bind mount of the host's namespace, so the path
 * tells nothing; the namespace's inode does.
 */
static bool is_own_network(const char *path)
{
    struct stat asked, own;

    return stat(path, &asked) == 0 && stat("/proc/self/ns/net", &own) == 0 && is_same(&asked, &own);
}

static bool is_monitor(int directory)
{
    _cleanup_free_ char *name = NULL;

    return fd_read_file(directory, "comm", 64, &name, NULL) == 0 && strcmp(name, "vmrt-vmm\n") == 0;
}

/*
 * Does this process live in the namespace as a container? Then it is in a PID namespace of its own,
 * or it is a virtual machine's monitor. What the host runs there (a DHCP client, somebody's
 * tcpdump) stays as it is.
 */
static bool is_container_in(int proc, const char *pid, const struct stat *network,
                            const struct stat *own_pids)
{
    _cleanup_close_ int directory = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (directory < 0 || fstatat(directory, "ns/net", &st, 0) < 0 || !is_same(&st, network))
        return false;
    if (fstatat(directory, "ns/pid", &st, 0) == 0 && !is_same(&st, own_pids))
        return true;
    return is_monitor(directory);
}

/* Return: the pid of a process of another container in the namespace; 0: none that we can see. */
static long find_container(const char *path)
{
    struct stat network, own_pids;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    long found = 0;

    if (proc && stat(path, &network) == 0 && stat("/proc/self/ns/pid", &own_pids) == 0)
        while (!found && (entry = readdir(proc)))
            if (isdigit((unsigned char)entry->d_name[0]) &&
                is_container_in(dirfd(proc), entry->d_name, &network, &own_pids))
                found = strtol(entry->d_name, NULL, 10);
    if (proc)
        closedir(proc);
    return found;
}

static int plan_uplink(struct plan *plan, const struct settings *settings, struct error *err)
{
    const struct spec *spec = plan->spec;

    if (strcmp(settings->values[SETTING_NETWORK_MODE].text, "host") != 0)
        return error_set(err, ENOTSUP,
                         "config.json: linux.namespaces: host networking is not supported: a "
                         "virtual machine has a network stack of its own; set "
                         "VMRT_NETWORK_MODE=host for one that reaches the world through the host "
                         "(ports are not published), or use another network");
    if (geteuid() != 0 || plan->pid_namespace)
        return error_set(err, EPERM,
                         "%s: a network that goes out through the host can be made by the host's "
                         "root only",
                         settings->values[SETTING_NETWORK_MODE].origin);
    for (size_t i = 0; i < spec->sysctl_count; i++)
        if (strncmp(spec->sysctl[i].key, "net.", 4) == 0)
            /* runc's words. */
            return error_set(err, EINVAL,
                             "config.json: linux.sysctl: sysctl \"%s\" not allowed in host network "
                             "namespace",
                             spec->sysctl[i].key);
    plan->network_path = NULL;
    plan->uplink = true;
    return 0;
}

int plan_network(struct plan *plan, const struct settings *settings, struct error *err)
{
    const struct spec_namespace *network = find_network(plan->spec);
    long other;

    plan->network_path = network ? network->path : NULL;
    if (!network || (plan->network_path && is_own_network(plan->network_path)))
        return plan_uplink(plan, settings, err);
    other = plan->network_path ? find_container(plan->network_path) : 0;
    if (other)
        return error_set(err, ENOTSUP,
                         "config.json: linux.namespaces: the network namespace %s is that of "
                         "another container (process %ld): sharing one (--network container:..., "
                         "pods) is not supported yet, because a virtual machine takes its "
                         "interfaces over",
                         plan->network_path, other);
    return 0;
}
