/* A /proc with one process in it, of bind mounts. */
#include "oci/rootproc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

/* What psgo needs to know of a process; its label it can do without. */
static const char *const files[] = { "stat", "status", "cmdline" };

static int write_text(int directory, const char *name, const char *text)
{
    _cleanup_close_ int fd =
        openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);

    return fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
}

/* proc(5), /proc/stat: when the host booted, from which the start of a process is counted. */
static int write_boot_time(int mount)
{
    struct timespec now, since;
    char text[48];
    long long boot;

    if (clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_gettime(CLOCK_BOOTTIME, &since) < 0)
        return -errno;
    boot = (long long)now.tv_sec - since.tv_sec - (now.tv_nsec < since.tv_nsec);
    snprintf(text, sizeof(text), "btime %lld\n", boot);
    return write_text(mount, "stat", text);
}

static int show_file(int process, const char *name)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                           MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                               .propagation = MS_PRIVATE };
    _cleanup_close_ int source = -1, place = -1;
    char path[64];
    int ret = write_text(process, name, "");

    if (ret < 0)
        return ret;
    place = openat(process, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    snprintf(path, sizeof(path), "/proc/self/%s", name);
    source = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (place < 0 || source < 0)
        return -errno;
    if (mount_setattr(source, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        move_mount(source, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/* A link in procfs leads into the namespace; what it says is enough. */
static int show_namespace(int process)
{
    char text[64];
    ssize_t n = readlink("/proc/self/ns/pid", text, sizeof(text) - 1);

    if (n < 0 || mkdirat(process, "ns", 0555) < 0)
        return -errno;
    text[n] = '\0';
    return symlinkat(text, process, "ns/pid") < 0 ? -errno : 0;
}

int rootproc_fill(int mount)
{
    _cleanup_close_ int process = -1;
    char name[16];
    int ret = write_boot_time(mount);

    if (ret < 0)
        return ret;
    snprintf(name, sizeof(name), "%d", (int)getpid());
    if (mkdirat(mount, name, 0555) < 0)
        return -errno;
    process = openat(mount, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ret = process < 0 ? -errno : show_namespace(process);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && ret == 0; i++)
        ret = show_file(process, files[i]);
    return ret;
}
