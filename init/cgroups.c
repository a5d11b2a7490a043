/* Cgroups, by the files of cgroup2 (kernel: Documentation/admin-guide/cgroup-v2.rst). */
#include "init/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/io.h"

/* How deep a workload's own cgroups are followed. */
#define CGROUP_DEPTH_MAX 32

int cgroups_enable_controllers(int root)
{
    char have[512], want[1024];
    size_t used = 0;
    char *save = NULL;
    ssize_t n = io_read_file(root, "cgroup.controllers", have, sizeof(have));

    if (n < 0)
        return (int)n;
    for (char *name = strtok_r(have, " \n", &save); name; name = strtok_r(NULL, " \n", &save))
        used += (size_t)snprintf(want + used, sizeof(want) - used, "+%s ", name);
    return used ? io_write_file(root, "cgroup.subtree_control", want) : 0;
}

int cgroups_create(int root, const char *name)
{
    int fd;

    if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

typedef void cgroups_visitor(int parent, const char *name, int depth, void *context);

/* Calls @visit for every cgroup right below @cgroup. */
static void cgroups_visit_children(int cgroup, int depth, cgroups_visitor *visit, void *context)
{
    int fd =
        depth < CGROUP_DEPTH_MAX ? openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        io_close(&fd);
        return;
    }
    while ((entry = readdir(directory)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            visit(fd, entry->d_name, depth + 1, context);
    closedir(directory);
}

static void cgroups_signal_members(int cgroup, int signal)
{
    int fd = openat(cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
    int pid;

    if (!file) {
        io_close(&fd);
        return;
    }
    while (fscanf(file, "%d", &pid) == 1)
        if (pid > 0)
            kill(pid, signal);
    fclose(file);
}

static void cgroups_signal_child(int parent, const char *name, int depth, void *context)
{
    _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    cgroups_signal_members(fd, *(const int *)context);
    cgroups_visit_children(fd, depth, cgroups_signal_child, context);
}

int cgroups_signal(int cgroup, int signal)
{
    /* The kernel's own way leaves nobody time to fork. */
    if (signal == SIGKILL && io_write_file(cgroup, "cgroup.kill", "1") == 0)
        return 0;
    cgroups_signal_members(cgroup, signal);
    cgroups_visit_children(cgroup, 0, cgroups_signal_child, &signal);
    return 0;
}

static void cgroups_remove_child(int parent, const char *name, int depth, void *context)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        cgroups_visit_children(fd, depth, cgroups_remove_child, context);
        close(fd);
    }
    unlinkat(parent, name, AT_REMOVEDIR);
}

void cgroups_remove(int root, const char *name)
{
    cgroups_remove_child(root, name, 0, NULL);
}

int cgroups_limit(int cgroup, const struct limits_plan *plan, struct failure *failure)
{
    const struct {
        const char *file;
        bool present;
        uint64_t value;
    } limits[] = {
        { "pids.max", plan->has_pids_max, plan->pids_max },
        { "memory.max", plan->has_memory_max, plan->memory_max },
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char text[24] = "max";
        int ret;

        if (!limits[i].present)
            continue;
        if (limits[i].value)
            snprintf(text, sizeof(text), "%llu", (unsigned long long)limits[i].value);
        ret = io_write_file(cgroup, limits[i].file, text);
        if (ret < 0)
            return failure_set(failure, -ret, "cgroup: %s %s: %s", limits[i].file, text,
                               failure_describe(-ret));
    }
    return 0;
}

int cgroups_of_process(int cgroup, const char *name, pid_t pid)
{
    char path[64], text[PATH_MAX + 16];
    size_t length = strlen(name);
    char *at;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    n = io_read_file(AT_FDCWD, path, text, sizeof(text));
    if (n < 0)
        return (int)n;
    /* The line of the unified hierarchy; what precedes @name is how the host mounted it. */
    at = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
    at = at ? strchr(at, '/') : NULL;
    if (!at)
        return -ENOENT;
    at[strcspn(at, "\n")] = '\0';
    while (at && (strncmp(at + 1, name, length) != 0 || (at[1 + length] && at[1 + length] != '/')))
        at = strchr(at + 1, '/');
    if (!at)
        return -ENOENT;
    at += 1 + length;
    fd = openat(cgroup, *at ? at + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroups_read(int cgroup, const char *file, const char *key, uint64_t *value)
{
    char text[16384];
    size_t length = key ? strlen(key) : 0;
    ssize_t n = io_read_file(cgroup, file, text, sizeof(text));
    const char *line = text;
    char *end;

    if (n < 0)
        return (int)n;
    while (key && line && (strncmp(line, key, length) != 0 || line[length] != ' ')) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        return -ENODATA;
    line += key ? length + 1 : 0;
    *value = strtoull(line, &end, 10);
    return end == line ? -ENODATA : 0;
}
