/* exec.LookPath for a root filesystem that is not ours. */
#include "oci/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "oci/rootpath.h"

/* Does the guest mount something at or above @path? The last mount that covers it decides. */
static bool is_guest_place(const struct plan *plan, const char *path)
{
    bool guest = false;
    size_t best = 0;

    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];

        if (rootpath_is_below(path, mount->target) && strlen(mount->target) >= best) {
            best = strlen(mount->target);
            guest = !mount->bind;
        }
    }
    return guest;
}

/* May the process's user execute a file with these attributes (execve(2), path_resolution(7))? */
static bool may_execute(const struct spec_process *process, const struct stat *st)
{
    if (process->uid == 0)
        return st->st_mode & 0111;
    if (process->uid == st->st_uid)
        return st->st_mode & 0100;
    if (process->gid == st->st_gid)
        return st->st_mode & 0010;
    for (size_t i = 0; i < process->group_count; i++)
        if (process->groups[i] == st->st_gid)
            return st->st_mode & 0010;
    return st->st_mode & 0001;
}

/* Return: 0 when @path can be executed, -EAGAIN when only the guest can tell, or -errno. */
static int check_file(const struct plan *plan, int root, const char *path)
{
    char joined[PATH_MAX], cleaned[PATH_MAX];
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (snprintf(joined, sizeof(joined), "%s/%s", path[0] == '/' ? "" : plan->spec->process.cwd,
                 path) >= (int)sizeof(joined) ||
        rootpath_clean(joined, cleaned) < 0)
        return -ENAMETOOLONG;
    /* Not the cleaned path: "a/.." may lead elsewhere when a is a symlink. */
    fd = rootpath_open(root, joined, O_PATH);
    if (fd < 0)
        return is_guest_place(plan, cleaned) ? -EAGAIN : fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return is_guest_place(plan, cleaned) ? -EAGAIN : -EISDIR;
    return may_execute(&plan->spec->process, &st) ? 0 : -EACCES;
}

/* Go's words for an errno; they are lower case and some say less than strerror(3). */
static const char *go_words(int code)
{
    switch (code) {
    case ENOENT:
        return "no such file or directory";
    case EACCES:
        return "permission denied";
    case EISDIR:
        /* Go before 1.20 said the latter, since then the former; engines look for either. */
        return "is a directory: permission denied";
    case ENOTDIR:
        return "not a directory";
    case ELOOP:
        return "too many levels of symbolic links";
    case ENAMETOOLONG:
        return "file name too long";
    default:
        return strerror(code);
    }
}

static const char *find_variable(const char **env, const char *name)
{
    size_t length = strlen(name);
    const char *found = NULL;

    for (; env && *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            found = *env + length + 1;
    return found;
}

static int resolve_in_path(const struct plan *plan, int root, struct error *err)
{
    const char *name = plan->spec->process.args[0];
    const char *path = find_variable(plan->spec->process.env, "PATH");
    bool unknown = false;

    while (path && *path) {
        size_t length = strcspn(path, ":");
        char candidate[PATH_MAX];
        int ret;

        /* An empty element is the working directory. */
        ret = snprintf(candidate, sizeof(candidate), "%.*s/%s", length ? (int)length : 1,
                       length ? path : ".", name);
        if (ret < (int)sizeof(candidate)) {
            ret = check_file(plan, root, candidate);
            if (ret == 0)
                return 0;
            unknown = unknown || ret == -EAGAIN;
        }
        path += length + (path[length] == ':');
    }
    if (unknown)
        return 0;
    return error_set(err, ENOENT,
                     "unable to start container process: exec: \"%s\": executable file not found "
                     "in $PATH",
                     name);
}

int resolve_executable(const struct plan *plan, int root, struct error *err)
{
    const char *name = plan->spec->process.args[0];
    int ret;

    if (!strchr(name, '/'))
        return resolve_in_path(plan, root, err);
    ret = check_file(plan, root, name);
    if (ret == 0 || ret == -EAGAIN)
        return 0;
    if (ret == -EACCES || ret == -EISDIR)
        return error_set(err, -ret, "unable to start container process: exec: \"%s\": %s", name,
                         go_words(-ret));
    return error_set(err, -ret, "unable to start container process: exec: \"%s\": stat %s: %s",
                     name, name, go_words(-ret));
}
