/* Which file a command names. Follows LookPath of Go's os/exec, whose messages engines match. */
#include "init/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Return: 0 when @path can be executed, or -errno. *@step is the operation that said so. */
static int file_check(const char *path, const char **step)
{
    struct stat st;

    *step = "stat ";
    if (stat(path, &st) < 0)
        return -errno;
    *step = NULL;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
        return 0;
    /* A filter may forbid the question: then the mode bits must do. */
    if (errno != ENOSYS && errno != EPERM)
        return -errno;
    return st.st_mode & 0111 ? 0 : -EACCES;
}

/* Whether a failure says that a file is not there, or not to be had for this user. */
static bool is_answer(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case ELOOP:
    case ENAMETOOLONG:
        return true;
    default:
        return false;
    }
}

static const char *environment_get(char *const *env, const char *name)
{
    size_t length = strlen(name);
    const char *found = NULL;

    /* The last one counts, as it does for runc. */
    for (; *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            found = *env + length + 1;
    return found;
}

static int command_check_path(const char *name, char path[PATH_MAX], struct failure *failure)
{
    const char *step;
    int ret;

    if (strlen(name) >= PATH_MAX)
        return failure_set(failure, ENAMETOOLONG, "exec: \"%s\": file name too long", name);
    ret = file_check(name, &step);
    if (ret < 0 && step)
        return failure_set(failure, -ret, "exec: \"%s\": %s%s: %s", name, step, name,
                           failure_describe(-ret));
    /* Go before 1.20 said the latter, since then the former; engines look for either. */
    if (ret == -EISDIR)
        return failure_set(failure, EISDIR, "exec: \"%s\": is a directory: permission denied",
                           name);
    if (ret < 0)
        return failure_set(failure, -ret, "exec: \"%s\": %s", name, failure_describe(-ret));
    memcpy(path, name, strlen(name) + 1);
    return 0;
}

int command_resolve(const char *name, char *const *env, char path[PATH_MAX],
                    struct failure *failure)
{
    const char *search = environment_get(env, "PATH");
    int trouble = 0;

    if (strchr(name, '/'))
        return command_check_path(name, path, failure);
    while (search && *search && *name) {
        size_t length = strcspn(search, ":");
        const char *step;
        int n, ret;

        /* An empty element is the working directory. */
        n = snprintf(path, PATH_MAX, "%.*s/%s", length ? (int)length : 1, length ? search : ".",
                     name);
        ret = n > 0 && n < PATH_MAX ? file_check(path, &step) : -ENAMETOOLONG;
        if (ret == 0)
            return 0;
        if (!is_answer(-ret))
            trouble = -ret;
        search += length;
        search += *search == ':';
    }
    /* It may be there, but the host's server has no descriptors left for it, for example. */
    if (trouble)
        return failure_set(failure, trouble, "exec: \"%s\": cannot look for it in $PATH: %s", name,
                           failure_describe(trouble));
    return failure_set(failure, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}
