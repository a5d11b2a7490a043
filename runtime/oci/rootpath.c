/* Path work; openat2(2) does the confinement. */
#include "oci/rootpath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"

#define SYMLINKS_MAX 255 /* as many as filepath-securejoin follows */

int rootpath_clean(const char *path, char *out)
{
    size_t used = 0;

    while (*path) {
        size_t length;

        path += strspn(path, "/");
        length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.') {
            while (used > 0 && out[--used] != '/')
                ;
        } else if (length > 0 && !(length == 1 && path[0] == '.')) {
            if (used + length + 2 > PATH_MAX)
                return -ENAMETOOLONG;
            out[used++] = '/';
            memcpy(out + used, path, length);
            used += length;
        }
        path += length;
    }
    if (used == 0)
        out[used++] = '/';
    out[used] = '\0';
    return 0;
}

bool rootpath_is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    if (length == 1)
        return true;
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static int open_beneath(int root, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = { .flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
                            .mode = mode,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve };
    long fd;

    /* EAGAIN: a rename raced with the resolution of "..", openat2(2) says to try again. */
    for (int tries = 0; tries < 128; tries++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

int rootpath_open(int root, const char *path, int flags)
{
    return open_beneath(root, path[0] ? path : ".", flags, 0, 0);
}

/* Appends @link and what is left of the path behind it. */
static int splice_link(char *remaining, const char *link)
{
    char joined[PATH_MAX];
    int length = snprintf(joined, sizeof(joined), "%s/%s", link, remaining);

    if (length >= (int)sizeof(joined))
        return -ENAMETOOLONG;
    memcpy(remaining, joined, (size_t)length + 1);
    return 0;
}

/* Is @path, whose parents hold no symlinks, a symlink? Return: 1 with @link, 0, or -errno. */
static int read_link(int root, const char *path, char *link)
{
    _cleanup_close_ int fd = open_beneath(root, path, O_PATH | O_NOFOLLOW, 0, 0);
    ssize_t length;
    struct stat st;

    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISLNK(st.st_mode))
        return 0;
    length = readlinkat(fd, "", link, PATH_MAX - 1);
    if (length < 0)
        return -errno;
    link[length] = '\0';
    return 1;
}

/* The path with every symlink followed, also those that lead to nothing yet. */
static int follow_links(int root, const char *path, char *resolved)
{
    char remaining[PATH_MAX], candidate[PATH_MAX], link[PATH_MAX];
    unsigned int links = 0;

    if (snprintf(remaining, sizeof(remaining), "%s", path) >= (int)sizeof(remaining))
        return -ENAMETOOLONG;
    memcpy(resolved, "/", 2);
    for (;;) {
        char *component = remaining + strspn(remaining, "/");
        size_t length = strcspn(component, "/");
        int ret;

        if (length == 0)
            return 0;
        if (snprintf(candidate, sizeof(candidate), "%s/%.*s", resolved, (int)length, component) >=
            (int)sizeof(candidate))
            return -ENAMETOOLONG;
        memmove(remaining, component + length, strlen(component + length) + 1);
        ret = rootpath_clean(candidate, resolved);
        if (ret < 0)
            return ret;
        ret = read_link(root, resolved, link);
        if (ret < 0)
            return ret;
        if (ret == 0)
            continue;
        if (++links > SYMLINKS_MAX)
            return -ELOOP;
        ret = splice_link(remaining, link);
        if (ret < 0)
            return ret;
        if (link[0] == '/')
            memcpy(resolved, "/", 2);
        else
            *strrchr(resolved, '/') = '\0';
    }
}

/* Makes one component of a path without symlinks; one that is there already is fine. */
static int make_component(int root, char *path, bool is_file)
{
    char *slash = strrchr(path, '/');
    _cleanup_close_ int parent = -1, file = -1;

    *slash = '\0';
    parent = open_beneath(root, path[0] ? path : ".", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
    *slash = '/';
    if (parent < 0)
        return parent;
    if (!is_file)
        return mkdirat(parent, slash + 1, 0755) < 0 && errno != EEXIST ? -errno : 0;
    file = openat(parent, slash + 1,
                  O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0755);
    return file < 0 && errno != EEXIST ? -errno : 0;
}

static int make_all(int root, char *resolved, bool is_file)
{
    int fd = open_beneath(root, resolved, O_PATH, 0, RESOLVE_NO_SYMLINKS);

    if (fd != -ENOENT)
        return fd;
    for (char *slash = resolved; slash;) {
        int ret;

        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        ret = make_component(root, resolved, is_file && !slash);
        if (slash)
            *slash = '/';
        if (ret < 0)
            return ret;
    }
    return open_beneath(root, resolved, O_PATH, 0, RESOLVE_NO_SYMLINKS);
}

int rootpath_make(int root, const char *path, bool is_file, struct error *err)
{
    char resolved[PATH_MAX];
    int ret = follow_links(root, path, resolved);

    if (ret == 0)
        ret = make_all(root, resolved, is_file);
    if (ret < 0)
        return error_set(err, -ret, "mount point %s: %s", path, strerror(-ret));
    return ret;
}
