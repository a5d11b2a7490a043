/*
 * A new terminal for a process (runtime-spec config.md "terminal"). The container's /dev is its
 * own affair, so what is opened there is looked at first: nothing but the multiplexer of a devpts
 * will do, and nothing is waited for.
 */
#include "init/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init/io.h"
#include "init/path.h"

/* The second is for a /dev of the host, where the first may be another instance's or missing. */
static const char *const multiplexers[] = { "/dev/pts/ptmx", "/dev/ptmx" };

static int multiplexer_check(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2) ? 0 : -ENODEV;
}

/* Return: the multiplexer opened, which makes a new pty; or -errno. */
static int multiplexer_open(int root, const char *path)
{
    struct open_how how = {
        .flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT,
    };
    _cleanup_close_ int place = path_open(root, path, 0);
    _cleanup_close_ int fd = -1;
    int ret = place < 0 ? place : multiplexer_check(place);

    if (ret < 0)
        return ret;
    fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    if (fd < 0)
        return -errno;
    /* A process of the container may have put something else there meanwhile. */
    ret = multiplexer_check(fd);
    return ret < 0 ? ret : steal_fd(&fd);
}

static int master_open(int root)
{
    int fd = -ENOENT;

    for (size_t i = 0; i < sizeof(multiplexers) / sizeof(multiplexers[0]) && fd < 0; i++)
        fd = multiplexer_open(root, multiplexers[i]);
    return fd;
}

int pty_open(struct pty *pty, int root, const struct process_plan *plan, struct failure *failure)
{
    const struct winsize size = { .ws_row = plan->rows, .ws_col = plan->columns };
    _cleanup_close_ int master = master_open(root);
    _cleanup_close_ int slave = -1;
    int unlock = 0;

    if (master < 0)
        return failure_set(failure, -master, "open /dev/ptmx: %s", failure_describe(-master));
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return failure_errno(failure, "terminal: unlock");
    /* By descriptor and not by name: the name could have come to mean another file. */
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return failure_errno(failure, "terminal: open");
    if ((size.ws_row || size.ws_col) && ioctl(master, TIOCSWINSZ, &size) < 0)
        return failure_errno(failure, "terminal: size");
    /* As runc (fixStdioPermissions); EPERM where the user has no id of the container's. */
    if (fchown(slave, plan->uid, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL)
        return failure_errno(failure, "terminal: owner");
    pty->master = steal_fd(&master);
    pty->slave = steal_fd(&slave);
    return 0;
}

int pty_make_console(const struct pty *pty, int root, struct failure *failure)
{
    _cleanup_close_ int target = path_create(root, "/dev/console", true);
    _cleanup_close_ int tree =
        open_tree(pty->slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (target < 0)
        return failure_set(failure, -target, "/dev/console: %s", failure_describe(-target));
    if (tree < 0 ||
        move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return failure_errno(failure, "mount /dev/console");
    return 0;
}

int pty_take(const struct pty *pty, struct failure *failure)
{
    for (int i = 0; i < 3; i++)
        if (dup2(pty->slave, i) < 0)
            return failure_errno(failure, "terminal: stdio %d", i);
    if (ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        return failure_errno(failure, "terminal: make it the controlling one");
    return 0;
}
