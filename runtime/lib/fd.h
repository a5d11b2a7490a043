/* File descriptors and buffers with visible ownership, and whole reads and writes. */
#ifndef VMRT_LIB_FD_H
#define VMRT_LIB_FD_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static inline void cleanup_close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close_fd)))
#define _cleanup_free_  __attribute__((cleanup(cleanup_free_pointer)))

/* Hands the descriptor in *@fd to the caller; the variable no longer owns it. */
static inline int steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

/* Hands the pointer in *@pointer to the caller; the variable no longer owns it. */
static inline void *steal_pointer_raw(void *pointer)
{
    void *stolen = *(void **)pointer;

    *(void **)pointer = NULL;
    return stolen;
}
#define steal_pointer(p) ((__typeof__(*(p)))steal_pointer_raw(p))

/* Closes *@fd if it is open and marks it closed. */
void fd_close(int *fd);

/**
 * fd_read_full() - read exactly @length bytes unless the file ends first; retries EINTR.
 * Return: bytes read (short only at end of file) or -errno.
 */
ssize_t fd_read_full(int fd, void *data, size_t length);

/* Writes all @length bytes, retrying EINTR and short writes. Return: 0 or -errno. */
int fd_write_full(int fd, const void *data, size_t length);

/**
 * fd_read_all() - read a file to its end into fresh memory, NUL-terminated.
 * @fd:     file to read from its current offset.
 * @limit:  largest size accepted, bytes.
 * @data:   receives memory the caller frees.
 * @length: receives the bytes read, without the NUL; may be NULL.
 * Return: 0, -EFBIG when the file is larger than @limit, or -errno.
 */
int fd_read_all(int fd, size_t limit, char **data, size_t *length);

/* fd_read_all() of openat(@dirfd, @path, O_RDONLY). */
int fd_read_file(int dirfd, const char *path, size_t limit, char **data, size_t *length);

/**
 * fd_write_file_atomic() - replace @path in @dirfd by @data: written beside it, then renamed.
 * Return: 0 or -errno; on failure nothing is left behind.
 */
int fd_write_file_atomic(int dirfd, const char *path, const void *data, size_t length, mode_t mode);

/* Descriptors that one packet can carry: SCM_MAX_FD of the kernel. */
#define FD_MESSAGE_MAX 253

/**
 * fd_send_message() - one packet with descriptors over a unix socket (SCM_RIGHTS).
 * Return: 0 or -errno.
 */
int fd_send_message(int socket, const void *data, size_t length, const int *fds, size_t fd_count);

/**
 * fd_receive_message() - one packet with up to @fd_max descriptors, all O_CLOEXEC.
 * @fd_count: in: room in @fds; out: descriptors received. Surplus descriptors are closed.
 * Return: bytes received, 0 at end of stream, -EMSGSIZE when truncated, or -errno.
 */
ssize_t fd_receive_message(int socket, void *data, size_t length, int *fds, size_t *fd_count);

/**
 * fd_memfd_sealed() - an anonymous read-only file with @data as content, sealed against change,
 * at offset 0.
 * Return: descriptor (O_CLOEXEC) or -errno.
 */
int fd_memfd_sealed(const char *name, const void *data, size_t length);

#endif
