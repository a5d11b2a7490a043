/*
 * The socket to which a container says that it is ready. It is made in a directory of init's own;
 * the container sees that directory, where runc puts its, and with the same flags.
 */
#include "init/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "init/io.h"
#include "init/path.h"

#define NOTIFY_DIRECTORY "/run/notify"
#define NOTIFY_NAME      "notify.sock"

static void directory_path(char path[PATH_MAX], const struct mount_places *places, uint32_t number)
{
    snprintf(path, PATH_MAX, "%s/%u", places->notify, number);
}

int notify_open(const struct mount_places *places, uint32_t number)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = -1;
    char directory[PATH_MAX];
    int n;

    notify_remove(places, number);
    directory_path(directory, places, number);
    if ((mkdir(places->notify, 0755) < 0 && errno != EEXIST) || mkdir(directory, 0755) < 0)
        return -errno;
    n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" NOTIFY_NAME, directory);
    if (n < 0 || (size_t)n >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    /* Any user of the container may be the one that is ready. */
    return chmod(address.sun_path, 0777) < 0 ? -errno : steal_fd(&fd);
}

void notify_remove(const struct mount_places *places, uint32_t number)
{
    char directory[PATH_MAX], path[PATH_MAX + sizeof(NOTIFY_NAME)];

    directory_path(directory, places, number);
    snprintf(path, sizeof(path), "%s/" NOTIFY_NAME, directory);
    unlink(path);
    rmdir(directory);
}

int notify_mount(const struct mount_places *places, uint32_t number, int root)
{
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
    };
    _cleanup_close_ int target = path_create(root, NOTIFY_DIRECTORY, false);
    _cleanup_close_ int tree = -1;
    char directory[PATH_MAX];

    if (target < 0)
        return target;
    directory_path(directory, places, number);
    tree = open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}
