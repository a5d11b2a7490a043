/* Finding, making, filling and removing control groups. */
#include "oci/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

#define REMOVE_TIMEOUT_MS 5000

/* One mounted hierarchy. */
struct hierarchy {
    char mount[PATH_MAX];
    char controllers[256]; /* v1: "cpu,cpuacct" or "name=systemd"; v2: "" */
    bool v2;
};

/* One line of /proc/self/mountinfo (proc(5)). Return: true when it is a control group hierarchy. */
static bool parse_mount(char *line, struct hierarchy *out)
{
    char *separator = strstr(line, " - "), *save = NULL, *super = NULL;
    char type[32], options[512];
    const char *field = NULL;

    if (!separator || sscanf(separator + 3, "%31s %*s %511s", type, options) != 2)
        return false;
    memset(out, 0, sizeof(*out));
    out->v2 = strcmp(type, "cgroup2") == 0;
    if (!out->v2 && strcmp(type, "cgroup") != 0)
        return false;
    *separator = '\0';
    field = strtok_r(line, " ", &save);
    for (int i = 0; field && i < 4; i++)
        field = strtok_r(NULL, " ", &save);
    if (!field)
        return false;
    snprintf(out->mount, sizeof(out->mount), "%s", field);
    for (char *option = strtok_r(options, ",", &super); option && !out->v2;
         option = strtok_r(NULL, ",", &super)) {
        size_t used = strlen(out->controllers);

        if (strcmp(option, "rw") == 0 || strcmp(option, "ro") == 0 ||
            strcmp(option, "xattr") == 0 || strncmp(option, "release_agent", 13) == 0)
            continue;
        snprintf(out->controllers + used, sizeof(out->controllers) - used, "%s%s", used ? "," : "",
                 option);
    }
    return true;
}

static bool has_hierarchy(const struct hierarchy *list, size_t count, const struct hierarchy *one)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].v2 == one->v2 && strcmp(list[i].controllers, one->controllers) == 0)
            return true;
    return false;
}

/* All hierarchies; unified mode has exactly one. Return: how many, or -errno. */
static int find_hierarchies(struct hierarchy *list, size_t max, struct error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0, count = 0;

    if (!file)
        return error_set_errno(err, "/proc/self/mountinfo");
    while (count < max && getline(&line, &size, file) > 0)
        if (parse_mount(line, &list[count]) && !has_hierarchy(list, count, &list[count]))
            count++;
    free(line);
    fclose(file);
    if (count == 0)
        return error_set(err, ENOTSUP,
                         "no control group filesystem is mounted: mount cgroup2 at /sys/fs/cgroup, "
                         "or pass --cgroup-manager disabled");
    return (int)count;
}

/* The caller's own control group in @hierarchy, from /proc/self/cgroup: "4:memory:/a/b". */
static int own_path(const struct hierarchy *hierarchy, char *out, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char *line = NULL;
    size_t capacity = 0;

    snprintf(out, size, "/");
    if (!file)
        return -errno;
    while (getline(&line, &capacity, file) > 0) {
        char *controllers = strchr(line, ':'), *path;

        path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (strcmp(controllers + 1, hierarchy->controllers) == 0)
            snprintf(out, size, "%s", path);
    }
    free(line);
    fclose(file);
    return 0;
}

/* Enables what @path has for its children, one by one: a controller may be in use otherwise. */
static void enable_controllers(const char *path)
{
    char available[1024], *save = NULL;

    if (cgroup_read_file(path, "cgroup.controllers", available, sizeof(available)) < 0)
        return;
    for (char *name = strtok_r(available, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
        char order[128];

        snprintf(order, sizeof(order), "+%.100s", name);
        (void)cgroup_write_file(path, "cgroup.subtree_control", order);
    }
}

/* A v1 cpuset is empty when made; without CPUs and memory nothing can be moved into it. */
static void inherit_cpuset(const char *parent, const char *path)
{
    static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

    for (size_t i = 0; i < 2; i++) {
        char value[4096];

        if (cgroup_read_file(path, files[i], value, sizeof(value)) == 0 && !value[0] &&
            cgroup_read_file(parent, files[i], value, sizeof(value)) == 0)
            (void)cgroup_write_file(path, files[i], value);
    }
}

/* Makes the directory and its parents below the hierarchy's mount point. */
static int make_directories(const struct cgroup *cgroup, size_t index, struct error *err)
{
    const char *path = cgroup->paths[index];
    char partial[PATH_MAX], parent[PATH_MAX];
    size_t at = strlen(cgroup->mounts[index]);

    if (snprintf(partial, sizeof(partial), "%s", path) >= (int)sizeof(partial))
        return error_set(err, ENAMETOOLONG, "linux.cgroupsPath is too long");
    for (;;) {
        size_t start = at + strspn(path + at, "/");
        size_t end = start + strcspn(path + start, "/");

        if (end == start)
            return 0;
        snprintf(parent, sizeof(parent), "%.*s", (int)at, path);
        partial[end] = '\0';
        if (cgroup->unified[index])
            enable_controllers(parent);
        if (mkdir(partial, 0755) < 0 && errno != EEXIST)
            return error_set_errno(err, "control group %s", partial);
        if (strstr(cgroup->controllers[index], "cpuset"))
            inherit_cpuset(parent, partial);
        partial[end] = path[end];
        at = end;
    }
}

static const char *join(const struct hierarchy *hierarchy, const char *path, struct arena *arena)
{
    char own[PATH_MAX];

    if (path[0] == '/')
        return arena_format(arena, "%s%s", hierarchy->mount, path);
    if (own_path(hierarchy, own, sizeof(own)) < 0)
        return NULL;
    /* v2: processes live only in leaves, so beside the caller's own group rather than in it. */
    if (hierarchy->v2)
        *strrchr(own, '/') = '\0';
    return arena_format(arena, "%s%s/%s", hierarchy->mount, strcmp(own, "/") == 0 ? "" : own, path);
}

int cgroup_find(const char *path, struct cgroup *cgroup, struct arena *arena, struct error *err)
{
    struct hierarchy *list = arena_array(arena, CGROUP_PATHS_MAX, sizeof(*list));
    int count;

    memset(cgroup, 0, sizeof(*cgroup));
    if (!list)
        return error_set(err, ENOMEM, "out of memory");
    count = find_hierarchies(list, CGROUP_PATHS_MAX, err);
    if (count < 0)
        return count;
    cgroup->v2 = count == 1 && list[0].v2;
    for (int i = 0; i < count; i++) {
        const char *directory = join(&list[i], path, arena);

        if (!directory)
            return error_set(err, EIO, "cannot find the own control group in /proc/self/cgroup");
        cgroup->mounts[i] = list[i].mount;
        cgroup->paths[i] = directory;
        cgroup->controllers[i] = list[i].controllers;
        cgroup->unified[i] = list[i].v2;
        cgroup->count++;
    }
    return 0;
}

int cgroup_make(const struct cgroup *cgroup, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < cgroup->count; i++)
        ret = make_directories(cgroup, i, err);
    if (ret < 0)
        (void)cgroup_remove(cgroup, NULL);
    return ret;
}

int cgroup_create(const char *path, struct cgroup *cgroup, struct arena *arena, struct error *err)
{
    int ret = cgroup_find(path, cgroup, arena, err);

    return ret == 0 ? cgroup_make(cgroup, err) : ret;
}

int cgroup_apply(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < cgroup->count; i++)
        ret =
            cgroup_write_limits(cgroup->paths[i], cgroup->controllers[i], cgroup->v2, limits, err);
    return ret;
}

int cgroup_add(const struct cgroup *cgroup, pid_t pid, struct error *err)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    for (size_t i = 0; i < cgroup->count; i++) {
        int ret = cgroup_write_file(cgroup->paths[i], "cgroup.procs", text);

        if (ret < 0)
            return error_set(err, -ret, "cannot move the container into %s: %s", cgroup->paths[i],
                             strerror(-ret));
    }
    return 0;
}
