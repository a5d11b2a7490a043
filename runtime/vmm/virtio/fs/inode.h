/*
 * Inodes the guest knows: one O_PATH descriptor each, found again by what the host calls them.
 *
 * An open descriptor pins the host's inode and mount, so (device, inode number, mount id) cannot
 * come to mean another file while it is in the table. The share is part of the key because one
 * file may be reached through a writable and a read-only share.
 */
#ifndef VMRT_VMM_VIRTIO_FS_INODE_H
#define VMRT_VMM_VIRTIO_FS_INODE_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vmm/virtio/fs/server.h"
#include "vmm/virtio/fs/table.h"

/*
 * Descriptors that are never used for the guest's files: a quarter of RLIMIT_NOFILE, at most this
 * many, so that a guest that walks a big tree cannot keep its VMM from accepting connections: those
 * of 1024 clients and the streams of their processes (control_server.c, processes.h).
 */
#define FS_FD_RESERVE 2560u

struct fs_key {
    uint64_t device; /* major in the upper half, minor in the lower */
    uint64_t ino;
    uint64_t mount;
    uint32_t share;
};

/* What a file looked like when it was last opened: see file.c. */
struct fs_stamp {
    struct statx_timestamp modified, changed;
    uint64_t size;
    bool settled; /* any later change gives another timestamp */
};

struct fs_inode {
    uint64_t nodeid;
    struct fs_key key;
    uint64_t nlookup;      /* references the guest holds */
    struct fs_inode *next; /* in the hash chain */
    int fd;                /* O_PATH; -1 for the root */
    uint16_t type;         /* S_IFMT part of the mode */
    bool share_root;       /* always there; fd belongs to the caller */
    bool submount;         /* a directory on another mount than its parent */
    struct fs_stamp seen;
};

struct fs_inodes {
    struct fs_table table;
    struct fs_inode **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t count;
};

int fs_inodes_init(struct fs_inodes *inodes);
/* Drops every inode but the share roots, whose reference counts are cleared. */
void fs_inodes_reset(struct fs_server *server);
void fs_inodes_destroy(struct fs_server *server);

/**
 * fs_inode_add_share() - the inode of share @index, which stays until the end.
 * Return: 0, -EINVAL for a device, or -errno.
 */
int fs_inode_add_share(struct fs_server *server, uint32_t index, struct fs_inode **inode);

/* Return: the inode, or NULL for an id the server did not give out. */
struct fs_inode *fs_inode_get(struct fs_server *server, uint64_t nodeid);

/**
 * fs_inode_lookup() - the inode called @name in directory @parent.
 * @name: one checked component.
 * @ino:  inode number read from the directory, or 0 when it is not known.
 * @st:   receives its attributes.
 *
 * The caller decides whether the guest gets a reference (fs_entry_fill()); an inode without one
 * must be dropped by fs_inode_forget(…, 0).
 *
 * Return: 0, -ENFILE when the server holds as many descriptors as it may, or -errno.
 */
int fs_inode_lookup(struct fs_server *server, const struct fs_inode *parent, const char *name,
                    uint64_t ino, struct fs_inode **inode, struct statx *st);

/**
 * fs_inode_adopt() - the inode behind the O_PATH descriptor @fd, which is taken over also on error.
 */
int fs_inode_adopt(struct fs_server *server, const struct fs_inode *parent, int fd,
                   struct fs_inode **inode, struct statx *st);

/* Takes @count references back and drops the inode when none is left. */
void fs_inode_forget(struct fs_server *server, struct fs_inode *inode, uint64_t count);

/* Attributes of @inode. Return: 0 or -errno. */
int fs_inode_stat(const struct fs_inode *inode, struct statx *st);

/* "123" for descriptor 123: its name in proc_fd. */
struct fs_fd_name {
    char text[12];
};
struct fs_fd_name fs_fd_name(int fd);

/**
 * fs_inode_open() - open a regular file or a directory for I/O.
 * @flags: O_ACCMODE and others as for open(2); never creates.
 * Return: a descriptor counted by fs_fd_opened(), or -errno; -ELOOP for a symbolic link and -ENXIO
 * for devices, pipes and sockets, which are never opened here.
 */
int fs_inode_open(struct fs_server *server, const struct fs_inode *inode, int flags);

/* Return: 0 when @count more descriptors may be opened, or -ENFILE. */
int fs_fd_check(const struct fs_server *server, unsigned int count);
void fs_fd_opened(struct fs_server *server);
/* @fd -1: gives back the count of what holds no descriptor but is limited like one. */
void fs_fd_close(struct fs_server *server, int fd);

#endif
