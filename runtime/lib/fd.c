/* Whole reads and writes, atomic replacement, descriptor passing, sealed memory files. */
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

ssize_t fd_read_full(int fd, void *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(fd, (char *)data + done, length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fd_write_full(int fd, const void *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = write(fd, (const char *)data + done, length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

int fd_read_all(int fd, size_t limit, char **data, size_t *length)
{
    size_t capacity = 4096, used = 0;
    _cleanup_free_ char *buffer = NULL;
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if ((unsigned long long)st.st_size > limit)
            return -EFBIG;
        capacity = (size_t)st.st_size + 2;
    }
    buffer = malloc(capacity);
    if (!buffer)
        return -ENOMEM;
    for (;;) {
        ssize_t n = fd_read_full(fd, buffer + used, capacity - used - 1);

        if (n < 0)
            return (int)n;
        used += (size_t)n;
        if (used > limit)
            return -EFBIG;
        if (used + 1 < capacity)
            break;
        capacity *= 2;
        char *larger = realloc(buffer, capacity);
        if (!larger)
            return -ENOMEM; /* NOLINT(clang-analyzer-unix.Malloc): freed by its cleanup */
        buffer = larger;
    }
    buffer[used] = '\0';
    *data = steal_pointer(&buffer);
    if (length)
        *length = used;
    return 0;
}

int fd_read_file(int dirfd, const char *path, size_t limit, char **data, size_t *length)
{
    _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -errno;
    return fd_read_all(fd, limit, data, length);
}

int fd_write_file_atomic(int dirfd, const char *path, const void *data, size_t length, mode_t mode)
{
    _cleanup_close_ int fd = -1;
    char temporary[4096];
    int ret;

    if (snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, (int)getpid()) >=
        (int)sizeof(temporary))
        return -ENAMETOOLONG;
    fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    ret = fd_write_full(fd, data, length);
    if (ret == 0 && renameat(dirfd, temporary, dirfd, path) < 0)
        ret = -errno;
    if (ret < 0)
        unlinkat(dirfd, temporary, 0);
    return ret;
}

int fd_send_message(int socket, const void *data, size_t length, const int *fds, size_t fd_count)
{
    char control[CMSG_SPACE(sizeof(int) * FD_MESSAGE_MAX)] = { 0 };
    struct iovec iov = { .iov_base = (void *)data, .iov_len = length };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd_count > FD_MESSAGE_MAX)
        return -E2BIG;
    if (fd_count) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

ssize_t fd_receive_message(int socket, void *data, size_t length, int *fds, size_t *fd_count)
{
    char control[CMSG_SPACE(sizeof(int) * FD_MESSAGE_MAX)];
    struct iovec iov = { .iov_base = data, .iov_len = length };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    size_t room = fd_count ? *fd_count : 0, taken = 0;
    ssize_t n;

    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
            if (taken < room)
                fds[taken++] = fd;
            else
                close(fd);
        }
    }
    if (fd_count)
        *fd_count = taken;
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (size_t i = 0; i < taken; i++)
            close(fds[i]);
        if (fd_count)
            *fd_count = 0;
        return -EMSGSIZE;
    }
    return n;
}

int fd_memfd_sealed(const char *name, const void *data, size_t length)
{
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int ret;

    if (fd < 0)
        return -errno;
    ret = fd_write_full(fd, data, length);
    if (ret < 0)
        return ret;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return steal_fd(&fd);
}
