/* File descriptors with visible ownership, whole writes, and tiny files of /proc and /sys. */
#ifndef VMRT_INIT_IO_H
#define VMRT_INIT_IO_H

#include <stdbool.h>
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

/* Closes *@fd if it is open and marks it closed. */
static inline void io_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/**
 * io_write_full() - write all @length bytes; waits when a non-blocking @fd is full.
 * Return: 0 or -errno.
 */
int io_write_full(int fd, const void *data, size_t length);

/* One write of @text to the existing file @path in @dirfd. Return: 0 or -errno. */
int io_write_file(int dirfd, const char *path, const char *text);

/**
 * io_read_file() - the start of the file @path in @dirfd as a string.
 * @size: bytes at @text; longer files are cut.
 * Return: bytes read, or -errno.
 */
ssize_t io_read_file(int dirfd, const char *path, char *text, size_t size);

/* Whether the other end of a stream socket has gone, or will not read any more. */
bool io_socket_is_broken(int fd);

#endif
