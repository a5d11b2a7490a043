/* Files and directories the guest holds open. */
#ifndef VMRT_VMM_VIRTIO_FS_HANDLE_H
#define VMRT_VMM_VIRTIO_FS_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/virtio/fs/inode.h"

enum fs_handle_kind { FS_HANDLE_FILE, FS_HANDLE_DIRECTORY, FS_HANDLE_ROOT };

/* Directory entries read ahead of what the guest has asked for. */
struct fs_entries {
    char *data;        /* NULL until first needed */
    uint32_t length;   /* bytes read */
    uint32_t position; /* first byte not yet returned */
};

#define FS_ENTRIES_SIZE 8192u
/* Directories beyond these share one buffer, at the price of seeking in each request. */
#define FS_ENTRIES_MAX 4096u

struct fs_handle {
    uint64_t fh;
    uint64_t nodeid; /* of the inode it was opened by */
    enum fs_handle_kind kind;
    uint32_t share;
    int fd; /* -1 for the root */
    bool writable;
    bool sought;     /* the descriptor stands behind what `entries` holds */
    uint64_t offset; /* cookie of the next directory entry to return */
    struct fs_entries entries;
};

/**
 * fs_handle_add() - a handle for @fd, which is taken over also on error.
 * @fd: counted by fs_fd_opened(); -1 for the root, counted as well.
 * Return: 0 or -ENOMEM.
 */
int fs_handle_add(struct fs_server *server, const struct fs_inode *inode, enum fs_handle_kind kind,
                  int fd, bool writable, struct fs_handle **handle);

/* Return: the handle, or NULL unless @fh is one of @kind that was opened by @nodeid. */
struct fs_handle *fs_handle_get(struct fs_server *server, uint64_t fh, uint64_t nodeid,
                                enum fs_handle_kind kind);
void fs_handle_remove(struct fs_server *server, struct fs_handle *handle);
void fs_handles_reset(struct fs_server *server);

/* Gives the handle's entry buffer back. */
void fs_handle_drop_entries(struct fs_server *server, struct fs_handle *handle);

#endif
