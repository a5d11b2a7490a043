/* Names: READLINK, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, RENAME2, LINK. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/virtio/fs/request.h"

ssize_t fs_readlink(struct fs_server *server, struct fs_request *request)
{
    ssize_t length;

    (void)server;
    if (request->inode->type != S_IFLNK)
        return -EINVAL;
    length = readlinkat(request->inode->fd, "", request->text, sizeof(request->text));
    if (length < 0)
        return -errno;
    return fs_request_reply(request, 0, request->text, (size_t)length);
}

/* The answer to everything that made a name. */
static ssize_t reply_entry(struct fs_server *server, struct fs_request *request)
{
    struct fuse_entry_out out;
    struct fs_inode *inode;
    struct statx st;
    int r = fs_inode_lookup(server, request->inode, request->name, 0, &inode, &st);

    if (r < 0)
        return r;
    fs_entry_fill(server, inode, &st, &out);
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/* Before creating: room for the new inode, and the guest's user instead of root. */
static int begin_create(struct fs_server *server, const struct fs_request *request)
{
    int r = fs_fd_check(server, 1);

    if (r == 0)
        r = fs_identity_use_fsetid(&server->identity, true);
    if (r == 0)
        r = fs_identity_enter(&server->identity, request->header.uid, request->header.gid);
    return r;
}

static ssize_t end_create(struct fs_server *server, struct fs_request *request, int r)
{
    fs_identity_leave(&server->identity);
    return r < 0 ? r : reply_entry(server, request);
}

ssize_t fs_symlink(struct fs_server *server, struct fs_request *request)
{
    int r = begin_create(server, request);

    if (r < 0)
        return r;
    r = symlinkat(request->text, request->inode->fd, request->name) < 0 ? -errno : 0;
    return end_create(server, request, r);
}

/* Special files are made for the guest's own use; this process never opens one. */
ssize_t fs_mknod(struct fs_server *server, struct fs_request *request)
{
    uint32_t rdev = request->args.mknod.rdev;
    unsigned int major = (rdev & 0xfff00) >> 8;
    unsigned int minor = (rdev & 0xff) | (rdev >> 12 & 0xfff00);
    int r = begin_create(server, request);

    if (r < 0)
        return r;
    r = mknodat(request->inode->fd, request->name, request->args.mknod.mode,
                makedev(major, minor)) < 0
            ? -errno
            : 0;
    return end_create(server, request, r);
}

ssize_t fs_mkdir(struct fs_server *server, struct fs_request *request)
{
    int r = begin_create(server, request);

    if (r < 0)
        return r;
    r = mkdirat(request->inode->fd, request->name, request->args.mkdir.mode & 07777) < 0 ? -errno
                                                                                         : 0;
    return end_create(server, request, r);
}

ssize_t fs_unlink(struct fs_server *server, struct fs_request *request)
{
    (void)server;
    return unlinkat(request->inode->fd, request->name, 0) < 0 ? -errno : 0;
}

ssize_t fs_rmdir(struct fs_server *server, struct fs_request *request)
{
    (void)server;
    return unlinkat(request->inode->fd, request->name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/*
 * Another inode of the request's share. Shares never mix: two of them may be the same host
 * directory, one of them read-only.
 */
static int find_other(struct fs_server *server, const struct fs_request *request, uint64_t nodeid,
                      struct fs_inode **other)
{
    *other = fs_inode_get(server, nodeid);
    if (!*other)
        return -ENOENT;
    if (fs_is_root(server, *other) || (*other)->key.share != request->inode->key.share)
        return -EXDEV;
    return 0;
}

static ssize_t rename_to(struct fs_server *server, struct fs_request *request, uint64_t newdir,
                         uint32_t flags)
{
    struct fs_inode *to;
    int r = find_other(server, request, newdir, &to);

    if (r == 0 && to->type != S_IFDIR)
        r = -ENOTDIR;
    if (r == 0 && (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)))
        r = -EINVAL;
    /* A whiteout is a new file and belongs to the caller. */
    if (r == 0 && (flags & RENAME_WHITEOUT))
        r = fs_identity_enter(&server->identity, request->header.uid, request->header.gid);
    if (r < 0)
        return r;
    /* Not libc's: with no flags it makes another system call, which the sandbox does not know. */
    r = syscall(SYS_renameat2, request->inode->fd, request->name, to->fd, request->text, flags) < 0
            ? -errno
            : 0;
    fs_identity_leave(&server->identity);
    return r;
}

ssize_t fs_rename(struct fs_server *server, struct fs_request *request)
{
    return rename_to(server, request, request->args.rename.newdir, 0);
}

ssize_t fs_rename2(struct fs_server *server, struct fs_request *request)
{
    return rename_to(server, request, request->args.rename2.newdir, request->args.rename2.flags);
}

/*
 * By its name in /proc: AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH in the initial user namespace.
 * Following that name ends at the descriptor's own inode, also when this is a symbolic link.
 */
ssize_t fs_link(struct fs_server *server, struct fs_request *request)
{
    struct fs_inode *from;
    int r = find_other(server, request, request->args.link.oldnodeid, &from);

    if (r < 0)
        return r;
    if (linkat(server->proc_fd, fs_fd_name(from->fd).text, request->inode->fd, request->name,
               AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    return reply_entry(server, request);
}
