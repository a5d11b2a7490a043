/* What linux.cgroupsPath means, for cgroupfs and for systemd. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "oci/cgroup.h"

#define SLICE_SUFFIX ".slice"

static bool has_suffix(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);

    return length > tail && strcmp(text + length - tail, suffix) == 0;
}

/* "a-b.slice" lies at /a.slice/a-b.slice (systemd.slice(5)). */
static char *expand_slice(const char *slice, struct arena *arena)
{
    size_t stem = strlen(slice) - strlen(SLICE_SUFFIX);
    char *path = arena_strdup(arena, "");

    if (strcmp(slice, "-.slice") == 0)
        return path;
    for (size_t i = 0; path && i <= stem; i++)
        if (i == stem || slice[i] == '-')
            path = arena_format(arena, "%s/%.*s" SLICE_SUFFIX, path, (int)i, slice);
    return path;
}

/* As systemd accepts it: no empty part between dashes. */
static bool is_slice(const char *name)
{
    if (strcmp(name, "-.slice") == 0)
        return true;
    return has_suffix(name, SLICE_SUFFIX) && name[0] != '-' && !strstr(name, "--") &&
           !strstr(name, "-" SLICE_SUFFIX);
}

int cgroup_unit(const char *wanted, const char *id, enum cgroup_driver driver,
                struct cgroup_unit *unit, struct arena *arena, struct error *err)
{
    /* As runc. */
    const char *preset = driver == CGROUP_SYSTEMD_USER ? "user.slice" : "system.slice";
    const char *first, *second, *name;

    if (!wanted || !wanted[0])
        wanted = arena_format(arena, ":vmrt:%s", id);
    if (!wanted)
        return error_set(err, ENOMEM, "out of memory");
    first = strchr(wanted, ':');
    second = first ? strchr(first + 1, ':') : NULL;
    if (!second || strchr(second + 1, ':') || strchr(wanted, '/') || !second[1])
        return error_set(err, EINVAL,
                         "config.json: linux.cgroupsPath: expected \"slice:prefix:name\" for "
                         "systemd cgroups, found \"%s\"",
                         wanted);
    name = second + 1;
    unit->slice =
        first == wanted ? preset : arena_format(arena, "%.*s", (int)(first - wanted), wanted);
    if (has_suffix(name, SLICE_SUFFIX))
        unit->name = name;
    else
        unit->name = arena_format(arena, "%.*s%s%s.scope", (int)(second - first - 1), first + 1,
                                  second == first + 1 ? "" : "-", name);
    if (!unit->slice || !unit->name)
        return error_set(err, ENOMEM, "out of memory");
    if (!is_slice(unit->slice))
        return error_set(err, EINVAL,
                         "config.json: linux.cgroupsPath: \"%s\" is not the name of a slice",
                         unit->slice);
    return 0;
}

static int systemd_path(const char *wanted, const char *id, enum cgroup_driver driver,
                        struct arena *arena, const char **path, struct error *err)
{
    struct cgroup_unit unit = { 0 };
    char *parent;
    int ret = cgroup_unit(wanted, id, driver, &unit, arena, err);

    if (ret < 0 || !unit.slice)
        return ret;
    parent = expand_slice(unit.slice, arena);
    *path = parent ? arena_format(arena, "%s/%s", parent, unit.name) : NULL;
    return *path ? 0 : error_set(err, ENOMEM, "out of memory");
}

int cgroup_path(const char *wanted, const char *id, enum cgroup_driver driver, struct arena *arena,
                const char **path, struct error *err)
{
    if (wanted && strlen(wanted) >= PATH_MAX)
        return error_set(err, ENAMETOOLONG, "config.json: linux.cgroupsPath is too long");
    if (driver != CGROUP_CGROUPFS)
        return systemd_path(wanted, id, driver, arena, path, err);
    *path = wanted && wanted[0] ? wanted : id;
    for (const char *p = *path; (p = strstr(p, "..")) != NULL; p++)
        if ((p == *path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return error_set(err, EINVAL,
                             "config.json: linux.cgroupsPath: \"..\" is not allowed in \"%s\"",
                             *path);
    return 0;
}
