/* --pid-file and --pidfd-socket. */
#include "oci/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fd.h"

int pidfile_write(const char *path, pid_t pid, struct error *err)
{
    char text[16];
    int ret;

    if (!path || !path[0])
        return 0;
    snprintf(text, sizeof(text), "%d", (int)pid);
    ret = fd_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0644);
    return ret < 0 ? error_set(err, -ret, "--pid-file %s: %s", path, strerror(-ret)) : 0;
}

int pidfile_send_pidfd(const char *path, pid_t pid, struct error *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int ret;

    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
        (int)sizeof(address.sun_path))
        return error_set(err, ENAMETOOLONG, "--pidfd-socket %s", path);
    if (pidfd < 0)
        return error_set(err, ESRCH, "container not running");
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, "--pidfd-socket %s", path);
    ret = fd_send_message(fd, "pidfd", 5, &pidfd, 1);
    return ret < 0 ? error_set(err, -ret, "--pidfd-socket %s: %s", path, strerror(-ret)) : 0;
}
