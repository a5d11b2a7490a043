/*
 * What init does for a container that has a user namespace (runtime-spec config-linux.md "User
 * namespace mappings"). The machine's network belongs to init's user namespace, so the container
 * may not mount a sysfs; and nobody may make device nodes in a user namespace.
 */
#include "init/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/devices.h"
#include "init/identity.h"
#include "init/io.h"

/* The kernel takes a map in one write of less than a page. */
#define ID_MAP_TEXT_MAX 4096

int userns_prepare(const struct container_plan *plan, const struct mount_places *places,
                   struct failure *failure)
{
    char text[64];

    if (mkdir(places->sysfs, 0755) < 0 && errno != EEXIST)
        return failure_errno(failure, "%s", places->sysfs);
    snprintf(text, sizeof(text), "%s/kernel", places->sysfs);
    if (access(text, F_OK) < 0 &&
        mount("sysfs", places->sysfs, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return failure_errno(failure, "mount %s", places->sysfs);
    return devices_provide(plan, places, failure);
}

static int write_map(pid_t pid, const char *name, const struct list *map, struct failure *failure)
{
    char path[64], text[ID_MAP_TEXT_MAX];
    size_t used = 0;
    int ret;

    for (size_t i = 0; i < map->count; i++) {
        const struct id_map_plan *range = LIST_AT(*map, struct id_map_plan, i);

        used += (size_t)snprintf(text + used, sizeof(text) - used, "%u %u %u\n", range->inside,
                                 range->outside, range->count);
        if (used >= sizeof(text))
            return failure_set(failure, E2BIG, "%s: too many ranges", name);
    }
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    ret = io_write_file(AT_FDCWD, path, text);
    return ret < 0 ? failure_set(failure, -ret, "%s: %s", name, failure_describe(-ret)) : 0;
}

int userns_admit(pid_t pid, const struct container_plan *plan, struct failure *failure)
{
    char path[64];
    int ret = write_map(pid, "uid_map", &plan->uid_map, failure);

    if (ret == 0)
        ret = write_map(pid, "gid_map", &plan->gid_map, failure);
    if (ret == 0)
        ret = identity_raise_limits(&plan->process, pid, failure);
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    return ret < 0 ? ret : identity_apply_oom_score(&plan->process, path, failure);
}
