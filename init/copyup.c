/* Copies of directory trees (runc: option tmpcopyup). Links are copied, never followed. */
#include "init/copyup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/io.h"

/* Directories are held open on the way down. */
#define COPYUP_DEPTH_MAX 256
#define COPYUP_CHUNK     (1u << 20)

static int copy_directory(int from, int to, int depth);

static int copy_content(int from, int to)
{
    ssize_t n;

    while ((n = sendfile(to, from, NULL, COPYUP_CHUNK)) > 0)
        continue;
    return n < 0 ? -errno : 0;
}

/* Return: 0 or -errno. O_NONBLOCK, in case it became a fifo meanwhile. */
static int copy_file(int from, int to, const char *name)
{
    _cleanup_close_ int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_close_ int sink = -1;

    if (source < 0)
        return -errno;
    sink = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return sink < 0 ? -errno : copy_content(source, sink);
}

static int copy_link(int from, int to, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_subdirectory(int from, int to, const char *name, int depth)
{
    _cleanup_close_ int source =
        openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int sink = -1;

    if (source < 0 || mkdirat(to, name, 0700) < 0)
        return -errno;
    sink = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return sink < 0 ? -errno : copy_directory(source, sink, depth + 1);
}

/* Owner first: a change of it takes away set-id bits. */
static int copy_attributes(int to, const char *name, const struct stat *st)
{
    const struct timespec times[2] = { st->st_atim, st->st_mtim };

    if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0) ||
        utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_entry(int from, int to, const char *name, int depth)
{
    struct stat st;
    int ret;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        ret = copy_subdirectory(from, to, name, depth);
    else if (S_ISREG(st.st_mode))
        ret = copy_file(from, to, name);
    else if (S_ISLNK(st.st_mode))
        ret = copy_link(from, to, name);
    else
        ret = mknodat(to, name, st.st_mode, st.st_rdev) < 0 ? -errno : 0;
    return ret < 0 ? ret : copy_attributes(to, name, &st);
}

static int copy_directory(int from, int to, int depth)
{
    int fd = depth < COPYUP_DEPTH_MAX ? openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int ret = 0;

    if (!directory) {
        ret = depth < COPYUP_DEPTH_MAX ? -errno : -ELOOP;
        io_close(&fd);
        return ret;
    }
    while (ret == 0 && (errno = 0, entry = readdir(directory))) {
        const char *name = entry->d_name;

        if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
            continue;
        ret = copy_entry(from, to, name, depth);
    }
    if (ret == 0)
        ret = -errno;
    closedir(directory);
    return ret;
}

int copyup_tree(int from, int to)
{
    struct stat st;

    if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0)
        return -errno;
    return copy_directory(from, to, 0);
}
