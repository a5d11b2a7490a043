/* One request and its answer, as handlers see them: everything fixed is copied and checked. */
#ifndef VMRT_VMM_VIRTIO_FS_REQUEST_H
#define VMRT_VMM_VIRTIO_FS_REQUEST_H

#include <limits.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vmm/virtio/fs/handle.h"
#include "vmm/virtio/fs/identity.h"
#include "vmm/virtio/fs/inode.h"
#include "vmm/virtio/fs/server.h"

/* Largest READ and WRITE, bytes. */
#define FS_IO_MAX (1024u * 1024)

struct fs_server {
    const struct fs_share *shares; /* a copy of the caller's */
    struct fs_inode **share_roots;
    unsigned int share_count;
    int proc_fd;
    struct fs_identity identity;
    struct fs_inodes inodes;
    struct fs_table handles;
    struct fs_inode root;  /* nodeid 1 */
    unsigned int fd_count; /* descriptors held for the guest */
    unsigned int fd_max;
    unsigned int crowd; /* descriptors from which on crowd_fd is told; 0: never */
    int crowd_fd;
    unsigned int entries_count; /* handles with a buffer of entries */
    bool initialised;           /* between INIT and DESTROY */
    uint64_t features;          /* FUSE_* bits agreed in INIT */
    char *scratch;              /* FS_SCRATCH_SIZE bytes for the length of one request */
};

#define FS_SCRATCH_SIZE 65536u /* = XATTR_SIZE_MAX, XATTR_LIST_MAX */

struct fs_request {
    const struct iovec *out, *in;
    unsigned int out_count, in_count;
    struct fuse_in_header header;
    size_t room; /* bytes the answer may have after its header */
    union {
        struct fuse_forget_in forget;
        struct fuse_batch_forget_in batch_forget;
        struct fuse_getattr_in getattr;
        struct fuse_setattr_in setattr;
        struct fuse_mknod_in mknod;
        struct fuse_mkdir_in mkdir;
        struct fuse_rename_in rename;
        struct fuse_rename2_in rename2;
        struct fuse_link_in link;
        struct fuse_open_in open;
        struct fuse_create_in create;
        struct fuse_read_in read;
        struct fuse_write_in write;
        struct fuse_release_in release;
        struct fuse_fsync_in fsync;
        struct fuse_setxattr_in setxattr;
        struct fuse_getxattr_in getxattr;
        struct fuse_access_in access;
        struct fuse_fallocate_in fallocate;
        struct fuse_lseek_in lseek;
        struct fuse_copy_file_range_in copy;
        struct fuse_init_in init;
    } args;
    size_t tail;             /* offset of what follows the arguments and names */
    char name[NAME_MAX + 1]; /* a component, or an extended attribute's name */
    char text[PATH_MAX];     /* a second component, or a symbolic link's target */
    struct fs_inode *inode;  /* of header.nodeid */
};

/* Bytes of the request behind the arguments and names. */
size_t fs_request_tail(const struct fs_request *request);

/* Copies from the request, starting @offset bytes in. Return: bytes copied. */
size_t fs_request_read(const struct fs_request *request, size_t offset, void *to, size_t length);

/**
 * fs_request_string() - copy a NUL-terminated string at `tail` and move `tail` behind it.
 * @size: of @to, bytes.
 * Return: 0, -ENAMETOOLONG when it has @size bytes or more, -EINVAL when it does not end inside the
 * request or is empty.
 */
int fs_request_string(struct fs_request *request, char *to, size_t size);

/* Return: 0, or -EINVAL unless @name is one component of a path. */
int fs_name_check(const char *name);

/**
 * fs_request_reply() - append @length bytes to the answer, @offset bytes behind its header.
 * Return: offset + length, for the handler to return, or -EIO without room.
 */
ssize_t fs_request_reply(const struct fs_request *request, size_t offset, const void *data,
                         size_t length);

/**
 * fs_parts_slice() - the part of @parts from @offset on, at most @length bytes of it.
 * @slice: room for IOV_MAX entries.
 * Return: entries filled in.
 */
unsigned int fs_parts_slice(const struct iovec *parts, unsigned int count, size_t offset,
                            size_t length, struct iovec *slice);

/* Attributes as the guest wants them. */
void fs_attr_fill(const struct fs_server *server, const struct fs_inode *inode,
                  const struct statx *st, struct fuse_attr *attr);
void fs_attr_out_fill(const struct fs_server *server, const struct fs_inode *inode,
                      const struct statx *st, struct fuse_attr_out *out);
/* An entry for @inode; the guest gets one reference by it. */
void fs_entry_fill(const struct fs_server *server, struct fs_inode *inode, const struct statx *st,
                   struct fuse_entry_out *out);

/* The made-up root directory. */
int fs_root_lookup(struct fs_server *server, const char *name, struct fs_inode **inode,
                   struct statx *st);
void fs_root_stat(const struct fs_server *server, struct statx *st);
ssize_t fs_root_readdir(struct fs_server *server, struct fs_request *request, bool plus);
/* One entry of a READDIR or READDIRPLUS answer. */
struct fs_dirent {
    const char *name;
    uint64_t ino;
    uint64_t offset;                    /* cookie of the entry behind it */
    uint32_t type;                      /* DT_* */
    const struct fuse_entry_out *entry; /* NULL in READDIR */
};
/**
 * fs_dirent_size() - bytes the entry takes in the answer.
 */
size_t fs_dirent_size(size_t name_length, bool plus);
/* Appends it @used bytes behind the answer's header; there must be room. */
void fs_dirent_put(const struct fs_request *request, size_t used, const struct fs_dirent *dirent);

/* The share an inode belongs to. */
static inline const struct fs_share *fs_inode_share(const struct fs_server *server,
                                                    const struct fs_inode *inode)
{
    return &server->shares[inode->key.share];
}

static inline bool fs_is_root(const struct fs_server *server, const struct fs_inode *inode)
{
    return inode == &server->root;
}

/* A handler returns the bytes of the answer behind its header, or -errno. */
typedef ssize_t fs_handler(struct fs_server *server, struct fs_request *request);

fs_handler fs_lookup, fs_forget, fs_batch_forget, fs_getattr, fs_setattr, fs_statfs, fs_access;
fs_handler fs_readlink, fs_symlink, fs_mknod, fs_mkdir, fs_unlink, fs_rmdir, fs_rename, fs_rename2;
fs_handler fs_link, fs_create, fs_tmpfile, fs_open, fs_release, fs_read, fs_write, fs_flush;
fs_handler fs_fsync, fs_syncfs, fs_fallocate, fs_lseek, fs_copy_file_range;
fs_handler fs_opendir, fs_readdir, fs_readdirplus, fs_releasedir, fs_fsyncdir;
fs_handler fs_setxattr, fs_getxattr, fs_listxattr, fs_removexattr;

#endif
