/* Whole writes, and tiny files of /proc and /sys. */
#include "init/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

int io_write_full(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length) {
        ssize_t n = write(fd, at, length);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };

            if (poll(&wait, 1, -1) < 0 && errno != EINTR)
                return -errno;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

int io_write_file(int dirfd, const char *path, const char *text)
{
    _cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

ssize_t io_read_file(int dirfd, const char *path, char *text, size_t size)
{
    _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;

    if (fd < 0)
        return -errno;
    while (have < size - 1) {
        ssize_t n = read(fd, text + have, size - 1 - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    text[have] = '\0';
    return (ssize_t)have;
}

bool io_socket_is_broken(int fd)
{
    /* A send of nothing tells a peer that will not read any more from one that just says nothing.
     */
    return send(fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN;
}
