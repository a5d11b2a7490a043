/* Files of control groups, and the processes in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/cgroup.h"

#define FILE_MAX  65536
#define DEPTH_MAX 16u
#define PROCS_MAX (4u << 20) /* bytes of cgroup.procs */

int cgroup_write_file(const char *path, const char *file, const char *text)
{
    _cleanup_close_ int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = -1;

    if (directory < 0)
        return -errno;
    fd = openat(directory, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return fd_write_full(fd, text, strlen(text));
}

int cgroup_read_file(const char *path, const char *file, char *out, size_t size)
{
    char name[PATH_MAX];
    _cleanup_free_ char *text = NULL;
    int ret;

    if (snprintf(name, sizeof(name), "%s/%s", path, file) >= (int)sizeof(name))
        return -ENAMETOOLONG;
    ret = fd_read_file(AT_FDCWD, name, 65536, &text, NULL);
    if (ret < 0)
        return ret;
    text[strcspn(text, "\n")] = '\0';
    return snprintf(out, size, "%s", text) < (int)size ? 0 : -E2BIG;
}

static int add_pid(struct cgroup_pids *pids, pid_t pid)
{
    if (pids->count == pids->capacity) {
        size_t capacity = pids->capacity ? 2 * pids->capacity : 16;
        pid_t *list = reallocarray(pids->list, capacity, sizeof(*list));

        if (!list)
            return -ENOMEM;
        pids->list = list;
        pids->capacity = capacity;
    }
    pids->list[pids->count++] = pid;
    return 0;
}

static int gather(const char *path, struct cgroup_pids *pids, unsigned int depth)
{
    _cleanup_free_ char *text = NULL;
    char child[PATH_MAX], *save = NULL;
    struct dirent *entry;
    DIR *directory;
    int ret;

    snprintf(child, sizeof(child), "%s/cgroup.procs", path);
    ret = fd_read_file(AT_FDCWD, child, PROCS_MAX, &text, NULL);
    /* The processes of a threaded group (cgroup v2) are listed above it. */
    if (ret == -EOPNOTSUPP)
        ret = 0;
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; ret == 0 && line;
         line = strtok_r(NULL, "\n", &save))
        ret = add_pid(pids, (pid_t)strtol(line, NULL, 10));
    directory = ret == 0 && depth < DEPTH_MAX ? opendir(path) : NULL;
    while (ret == 0 && directory && (entry = readdir(directory)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) < (int)sizeof(child)) {
            ret = gather(child, pids, depth + 1);
            /* Removed meanwhile. */
            ret = ret == -ENOENT || ret == -ENODEV ? 0 : ret;
        }
    if (directory)
        closedir(directory);
    return ret;
}

int cgroup_read_pids(const struct cgroup *cgroup, struct cgroup_pids *pids)
{
    int ret = -ENOENT;

    *pids = (struct cgroup_pids) { 0 };
    /* The container is in all of them, unless somebody took one away. */
    for (size_t i = 0; i < cgroup->count && (ret == -ENOENT || ret == -ENODEV); i++)
        ret = gather(cgroup->paths[i], pids, 0);
    return ret == -ENODEV ? -ENOENT : ret;
}

void cgroup_free_pids(struct cgroup_pids *pids)
{
    free(pids->list);
    *pids = (struct cgroup_pids) { 0 };
}

int cgroup_check_free(const struct cgroup *cgroup, struct error *err)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        struct cgroup one = { .count = 1, .paths = { cgroup->paths[i] } };
        struct cgroup_pids pids;
        size_t count;

        (void)cgroup_read_pids(&one, &pids);
        count = pids.count;
        cgroup_free_pids(&pids);
        if (count)
            /* runc's words. */
            return error_set(err, EBUSY,
                             "container's cgroup is not empty: %zu process(es) found in %s", count,
                             cgroup->paths[i]);
    }
    return 0;
}

/* The directory that is there already, in which those of @path would be made. */
static void find_existing(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    for (char *slash = strrchr(out, '/'); slash && slash > out && access(out, F_OK) < 0;
         slash = strrchr(out, '/'))
        *slash = '\0';
}

int cgroup_check_rights(const struct cgroup *cgroup, struct error *err)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        char path[PATH_MAX], procs[PATH_MAX + 16];

        find_existing(cgroup->paths[i], path, sizeof(path));
        /* cgroups(7) "Delegation containment": to move a process, one must own the group above
         * both places, which is this one, or further up. */
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
        if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
            return error_set_errno(err, "control group %s", path);
        if (cgroup->unified[i] && faccessat(AT_FDCWD, procs, W_OK, AT_EACCESS) < 0)
            return error_set_errno(err, "%s", procs);
    }
    return 0;
}
