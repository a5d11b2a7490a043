/*
 * Paths inside a container's root filesystem.
 *
 * An image is somebody else's: "/data" may be a link to "/", "etc/../../..", or to nothing. The
 * kernel resolves what exists (openat2 RESOLVE_IN_ROOT, which also refuses magic links). Only when
 * something is missing do we walk ourselves, holding the way so far as text without links, and give
 * every single step to the kernel again.
 */
#include "init/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/io.h"

/* As many as the kernel follows in one path (MAXSYMLINKS), and some. */
#define PATH_LINKS_MAX 100
/* RESOLVE_IN_ROOT gives EAGAIN when somebody renames directories meanwhile. */
#define PATH_RETRIES 64

static int path_open_resolve(int root, const char *path, int flags, unsigned long resolve)
{
    struct open_how how = {
        .flags = (unsigned int)(O_PATH | O_CLOEXEC | flags),
        .resolve = RESOLVE_IN_ROOT | resolve,
    };

    for (int i = 0;; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if ((errno != EAGAIN && errno != EINTR) || i == PATH_RETRIES)
            return -errno;
    }
}

int path_open(int root, const char *path, int flags)
{
    return path_open_resolve(root, path[0] ? path : "/", flags, 0);
}

struct path_walk {
    int root;
    int at;                 /* the directory reached */
    char reached[PATH_MAX]; /* its path: no links, no "..", starts with "/" unless empty */
    char todo[PATH_MAX];    /* what remains */
    int links;
};

/* Takes the first component off @walk->todo. Return: false when there is none left. */
static bool walk_take(struct path_walk *walk, char name[NAME_MAX + 1], int *error)
{
    const char *start = walk->todo + strspn(walk->todo, "/");
    size_t length = strcspn(start, "/");

    if (length == 0)
        return false;
    if (length > NAME_MAX) {
        *error = -ENAMETOOLONG;
        return false;
    }
    memcpy(name, start, length);
    name[length] = '\0';
    memmove(walk->todo, start + length, strlen(start + length) + 1);
    return true;
}

/* Continues from @walk->reached. */
static int walk_reopen(struct path_walk *walk)
{
    int fd = path_open_resolve(walk->root, walk->reached[0] ? walk->reached : "/", O_DIRECTORY,
                               RESOLVE_NO_SYMLINKS);

    if (fd < 0)
        return fd;
    io_close(&walk->at);
    walk->at = fd;
    return 0;
}

static int walk_up(struct path_walk *walk)
{
    char *slash = strrchr(walk->reached, '/');

    if (slash)
        *slash = '\0';
    return walk_reopen(walk);
}

static int walk_down(struct path_walk *walk, const char *name)
{
    size_t used = strlen(walk->reached);

    if (used + 1 + strlen(name) >= sizeof(walk->reached))
        return -ENAMETOOLONG;
    walk->reached[used] = '/';
    memcpy(walk->reached + used + 1, name, strlen(name) + 1);
    return walk_reopen(walk);
}

/* Puts the target of the link @name in front of what remains. */
static int walk_link(struct path_walk *walk, const char *name)
{
    char target[PATH_MAX], joined[PATH_MAX];
    ssize_t n = readlinkat(walk->at, name, target, sizeof(target) - 1);
    int length;

    if (n < 0)
        return -errno;
    if (++walk->links > PATH_LINKS_MAX)
        return -ELOOP;
    target[n] = '\0';
    length = snprintf(joined, sizeof(joined), "%s/%s", target, walk->todo);
    if (length < 0 || (size_t)length >= sizeof(joined))
        return -ENAMETOOLONG;
    memcpy(walk->todo, joined, (size_t)length + 1);
    if (target[0] != '/')
        return 0;
    walk->reached[0] = '\0';
    return walk_reopen(walk);
}

/* Return: O_PATH descriptor of the entry @name of the directory reached, made when missing. */
static int walk_entry(const struct path_walk *walk, const char *name, bool is_file, bool *is_link)
{
    struct stat st;
    int fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno != ENOENT)
        return -errno;
    if (fd < 0 && is_file) {
        _cleanup_close_ int made =
            openat(walk->at, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);

        if (made < 0 && errno != EEXIST)
            return -errno;
    } else if (fd < 0 && mkdirat(walk->at, name, 0755) < 0 && errno != EEXIST) {
        return -errno;
    }
    if (fd < 0)
        fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        int code = errno;

        close(fd);
        return -code;
    }
    *is_link = S_ISLNK(st.st_mode);
    return fd;
}

/* One component. Return: 0 to go on, 1 with the file in *@file, or -errno. */
static int walk_step(struct path_walk *walk, const char *name, bool is_file, int *file)
{
    bool last = walk->todo[strspn(walk->todo, "/")] == '\0';
    bool is_link = false;
    int fd;

    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return walk_up(walk);
    fd = walk_entry(walk, name, is_file && last, &is_link);
    if (fd < 0)
        return fd;
    if (!is_link && is_file && last) {
        *file = fd;
        return 1;
    }
    close(fd);
    return is_link ? walk_link(walk, name) : walk_down(walk, name);
}

int path_create(int root, const char *path, bool is_file)
{
    struct path_walk walk = { .root = root, .at = -1 };
    char name[NAME_MAX + 1];
    int file = -1;
    int ret;

    ret = path_open(root, path, 0);
    if (ret != -ENOENT)
        return ret;
    if (strlen(path) >= sizeof(walk.todo))
        return -ENAMETOOLONG;
    memcpy(walk.todo, path, strlen(path) + 1);
    ret = walk_reopen(&walk);
    while (ret == 0 && walk_take(&walk, name, &ret))
        ret = walk_step(&walk, name, is_file, &file);
    if (ret < 0)
        io_close(&walk.at);
    if (file >= 0)
        io_close(&walk.at);
    return ret < 0 ? ret : file >= 0 ? file : walk.at;
}

int path_create_parent(int root, const char *path, const char **name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length;

    if (!slash)
        return -EINVAL;
    *name = slash + 1;
    length = (size_t)(slash - path);
    if (!**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0 || length >= sizeof(parent))
        return -EINVAL;
    memcpy(parent, path, length);
    parent[length] = '\0';
    return path_create(root, parent, false);
}

const char *path_of_fd(char text[PATH_OF_FD_MAX], int fd)
{
    snprintf(text, PATH_OF_FD_MAX, "/proc/self/fd/%d", fd);
    return text;
}
