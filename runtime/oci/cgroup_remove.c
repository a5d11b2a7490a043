/* Emptying and removing control groups. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/cgroup.h"

#define REMOVE_TIMEOUT_MS 5000

/* Removes the directories below @path, deepest first. */
static void remove_children(const char *path, unsigned int depth)
{
    DIR *directory = depth < 16 ? opendir(path) : NULL;
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        char child[PATH_MAX];

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= (int)sizeof(child))
            continue;
        remove_children(child, depth + 1);
        (void)rmdir(child);
    }
    if (directory)
        closedir(directory);
}

/* Sleeps until the group may have emptied: v2 says so, v1 has nobody to ask. */
static void wait_for_change(const char *path, int milliseconds)
{
    char name[PATH_MAX + 32];
    _cleanup_close_ int fd = -1;
    struct pollfd poller = { .events = POLLPRI };

    snprintf(name, sizeof(name), "%s/cgroup.events", path);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        char text[256];

        /* The event is one after the last read. */
        if (fd_read_full(fd, text, sizeof(text)) < 0)
            return;
    }
    poller.fd = fd;
    (void)poll(&poller, 1, fd >= 0 ? milliseconds : 10);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A hierarchy's root holds the host's own processes: nothing of it is a container's. */
static bool is_root(const char *path)
{
    char release[PATH_MAX], controllers[PATH_MAX], type[PATH_MAX];

    snprintf(release, sizeof(release), "%s/release_agent", path);
    snprintf(controllers, sizeof(controllers), "%s/cgroup.controllers", path);
    snprintf(type, sizeof(type), "%s/cgroup.type", path);
    return access(release, F_OK) == 0 || (access(controllers, F_OK) == 0 && access(type, F_OK) < 0);
}

/* What outlived its machine: a proxy that was stopped, or one whose end nobody waits for. */
static void kill_all(const char *path)
{
    struct cgroup one = { .count = 1, .paths = { path } };
    struct cgroup_pids pids;

    if (is_root(path))
        return;
    if (cgroup_write_file(path, "cgroup.kill", "1") < 0 && cgroup_read_pids(&one, &pids) == 0) {
        for (size_t i = 0; i < pids.count; i++)
            if (pids.list[i] > 1)
                (void)kill(pids.list[i], SIGKILL);
        cgroup_free_pids(&pids);
    }
}

void cgroup_thaw(const struct cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        (void)cgroup_write_file(cgroup->paths[i], "freezer.state", "THAWED");
        (void)cgroup_write_file(cgroup->paths[i], "cgroup.freeze", "0");
    }
}

static int remove_directory(const char *path, int64_t deadline, struct error *err)
{
    for (;;) {
        if (rmdir(path) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return error_set_errno(err, "control group %s", path);
        remove_children(path, 0);
        if (rmdir(path) == 0)
            return 0;
        if (now_ms() >= deadline)
            return error_set(err, EBUSY, "control group %s: processes are still in it", path);
        wait_for_change(path, 100);
        kill_all(path);
    }
}

int cgroup_remove(const struct cgroup *cgroup, struct error *err)
{
    int64_t deadline = now_ms() + REMOVE_TIMEOUT_MS;
    int ret = 0;

    for (size_t i = 0; i < cgroup->count; i++) {
        int one = remove_directory(cgroup->paths[i], deadline, ret == 0 ? err : NULL);

        if (ret == 0)
            ret = one;
    }
    return ret;
}
