/*
 * The file server: FUSE requests (linux/fuse.h, protocol 7.38) answered from directories of the
 * host. Knows nothing of virtqueues, so tests drive it with plain buffers.
 *
 * The root (nodeid 1) is a made-up read-only directory with one entry per share, named by its index
 * in decimal: "0", "1", … Each entry is the share's directory or its single file.
 *
 * A server is used by one thread at a time (its caller locks), and requests are handled only in the
 * thread that called fs_server_thread_setup().
 */
#ifndef VMRT_VMM_VIRTIO_FS_SERVER_H
#define VMRT_VMM_VIRTIO_FS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/error.h"

struct fs_server;

struct fs_share {
    int fd;        /* O_PATH (or detached mount) of a directory or regular file; not taken over */
    bool readonly; /* every change is refused with EROFS */
    bool private_tree; /* rarely changed by anybody but this guest, which may cache it */
};

/**
 * fs_server_create() - a server for @count shares.
 * @proc_fd: O_PATH on /proc/self/fd, through which O_PATH descriptors are opened for I/O; not
 *           taken over.
 *
 * Raises the process's soft RLIMIT_NOFILE to the hard one: each inode the guest knows holds a
 * descriptor. A part of the limit stays reserved for the rest of the process (FS_FD_RESERVE in
 * inode.h).
 *
 * Return: 0 or -errno.
 */
int fs_server_create(struct fs_server **server, const struct fs_share *shares, unsigned int count,
                     int proc_fd, struct error *err);
void fs_server_destroy(struct fs_server *server);

/**
 * fs_server_watch_files() - tell when the guest knows many files.
 * @files:    how many are many: each holds a descriptor and the kernel's memory behind it. 0, or
 *            more than that: half of the descriptors there may be.
 * @event_fd: eventfd that is written at @files and at each further eighth of it; not taken over.
 */
void fs_server_watch_files(struct fs_server *server, uint32_t files, int event_fd);

/**
 * fs_server_thread_setup() - make the calling thread the one that handles requests.
 *
 * Gives the thread a working directory (proc_fd), umask (0) and supplementary groups (none) of its
 * own and, when it may change user ids, SECBIT_NO_SETUID_FIXUP, so that it keeps its capabilities
 * while it acts as the guest's user. Setting that bit needs CAP_SETPCAP, unless the thread has
 * inherited it already.
 *
 * Return: 0 or -errno.
 */
int fs_server_thread_setup(struct fs_server *server, struct error *err);

/**
 * fs_server_handle() - answer one request.
 * @out, @out_count: parts holding the request (struct fuse_in_header first), in guest memory: they
 *                   may change under the server, which therefore copies before it checks.
 * @in, @in_count:   parts to write the answer to (struct fuse_out_header first).
 * Return: bytes of the answer; 0 when there is none to give (FORGET), or no room for one.
 */
size_t fs_server_handle(struct fs_server *server, const struct iovec *out, unsigned int out_count,
                        const struct iovec *in, unsigned int in_count);

/* Drops every inode and open file (the driver reset the device). */
void fs_server_reset(struct fs_server *server);

#endif
