/* Attributes: LOOKUP, FORGET, GETATTR, SETATTR, STATFS, ACCESS and what the guest may cache. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "vmm/virtio/fs/request.h"

/* Validity of names and attributes in a private tree; see server.c. */
#define PRIVATE_SECONDS 1u
/* Shares do not come and go while a guest runs. */
#define ROOT_SECONDS 3600u

/* Device numbers travel as the kernel's new_encode_dev() has them. */
static uint32_t encode_device(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

void fs_attr_fill(const struct fs_server *server, const struct fs_inode *inode,
                  const struct statx *st, struct fuse_attr *attr)
{
    *attr = (struct fuse_attr) {
        .ino = st->stx_ino,
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .atime = (uint64_t)st->stx_atime.tv_sec,
        .mtime = (uint64_t)st->stx_mtime.tv_sec,
        .ctime = (uint64_t)st->stx_ctime.tv_sec,
        .atimensec = st->stx_atime.tv_nsec,
        .mtimensec = st->stx_mtime.tv_nsec,
        .ctimensec = st->stx_ctime.tv_nsec,
        .mode = st->stx_mode,
        .nlink = st->stx_nlink,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
        .rdev = encode_device(st->stx_rdev_major, st->stx_rdev_minor),
        .blksize = st->stx_blksize,
        .flags = inode->submount && (server->features & FUSE_SUBMOUNTS) ? FUSE_ATTR_SUBMOUNT : 0,
    };
}

/* How long names in a directory hold; the root itself never changes. */
static uint64_t names_valid(const struct fs_server *server, const struct fs_inode *parent)
{
    if (fs_is_root(server, parent))
        return ROOT_SECONDS;
    return fs_inode_share(server, parent)->private_tree ? PRIVATE_SECONDS : 0;
}

/*
 * Writing clears set-id bits on the host and the guest does not learn of it, so it must ask for the
 * mode of such a file each time it matters.
 */
static uint64_t attributes_valid(const struct fs_server *server, const struct fs_inode *inode,
                                 const struct statx *st)
{
    if (S_ISREG(st->stx_mode) && (st->stx_mode & (S_ISUID | S_ISGID)))
        return 0;
    return names_valid(server, inode);
}

void fs_attr_out_fill(const struct fs_server *server, const struct fs_inode *inode,
                      const struct statx *st, struct fuse_attr_out *out)
{
    *out = (struct fuse_attr_out) { .attr_valid = attributes_valid(server, inode, st) };
    fs_attr_fill(server, inode, st, &out->attr);
}

void fs_entry_fill(const struct fs_server *server, struct fs_inode *inode, const struct statx *st,
                   struct fuse_entry_out *out)
{
    *out = (struct fuse_entry_out) {
        .nodeid = inode->nodeid,
        /* A share's name lies in the root. */
        .entry_valid = inode->share_root ? ROOT_SECONDS : names_valid(server, inode),
        .attr_valid = attributes_valid(server, inode, st),
    };
    fs_attr_fill(server, inode, st, &out->attr);
    inode->nlookup++;
}

ssize_t fs_lookup(struct fs_server *server, struct fs_request *request)
{
    struct fs_inode *parent = request->inode;
    struct fuse_entry_out out = { 0 };
    struct fs_inode *inode;
    struct statx st;
    int r;

    if (fs_is_root(server, parent))
        r = fs_root_lookup(server, request->name, &inode, &st);
    else
        r = fs_inode_lookup(server, parent, request->name, 0, &inode, &st);
    if (r == -ENOENT && names_valid(server, parent) > 0)
        /* Node id 0: the name does not exist, and the guest may remember that. */
        out.entry_valid = names_valid(server, parent);
    else if (r < 0)
        return r;
    else
        fs_entry_fill(server, inode, &st, &out);
    return fs_request_reply(request, 0, &out, sizeof(out));
}

static void forget(struct fs_server *server, uint64_t nodeid, uint64_t count)
{
    struct fs_inode *inode = fs_inode_get(server, nodeid);

    if (inode)
        fs_inode_forget(server, inode, count);
}

ssize_t fs_forget(struct fs_server *server, struct fs_request *request)
{
    forget(server, request->header.nodeid, request->args.forget.nlookup);
    return 0;
}

ssize_t fs_batch_forget(struct fs_server *server, struct fs_request *request)
{
    struct fuse_forget_one one;

    for (uint32_t i = 0; i < request->args.batch_forget.count; i++) {
        if (fs_request_read(request, request->tail, &one, sizeof(one)) != sizeof(one))
            return -EINVAL;
        request->tail += sizeof(one);
        forget(server, one.nodeid, one.nlookup);
    }
    return 0;
}

static ssize_t reply_attributes(struct fs_server *server, const struct fs_request *request)
{
    struct fuse_attr_out out;
    struct statx st;
    int r = 0;

    if (fs_is_root(server, request->inode))
        fs_root_stat(server, &st);
    else
        r = fs_inode_stat(request->inode, &st);
    if (r < 0)
        return r;
    fs_attr_out_fill(server, request->inode, &st, &out);
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/* The O_PATH descriptor serves unlinked files as well, so FUSE_GETATTR_FH makes no difference. */
ssize_t fs_getattr(struct fs_server *server, struct fs_request *request)
{
    return reply_attributes(server, request);
}

static int set_owner(const struct fs_inode *inode, const struct fuse_setattr_in *in)
{
    uid_t uid = (in->valid & FATTR_UID) ? in->uid : (uid_t)-1;
    gid_t gid = (in->valid & FATTR_GID) ? in->gid : (gid_t)-1;

    return fchownat(inode->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Through /proc, because fchmod(2) refuses O_PATH descriptors; links get EOPNOTSUPP that way. */
static int set_mode(const struct fs_server *server, const struct fs_inode *inode, uint32_t mode)
{
    return fchmodat(server->proc_fd, fs_fd_name(inode->fd).text, mode & 07777, 0) < 0 ? -errno : 0;
}

static int set_size(struct fs_server *server, const struct fs_request *request)
{
    const struct fuse_setattr_in *in = &request->args.setattr;
    int fd;
    int r;

    if (request->inode->type == S_IFDIR)
        return -EISDIR;
    if (request->inode->type != S_IFREG || in->size > INT64_MAX)
        return -EINVAL;
    r = fs_identity_use_fsetid(&server->identity, !(in->valid & FATTR_KILL_SUIDGID));
    if (r < 0)
        return r;
    if (in->valid & FATTR_FH) {
        const struct fs_handle *handle =
            fs_handle_get(server, in->fh, request->header.nodeid, FS_HANDLE_FILE);

        if (!handle || !handle->writable)
            return -EBADF;
        return ftruncate(handle->fd, (off_t)in->size) < 0 ? -errno : 0;
    }
    fd = fs_inode_open(server, request->inode, O_WRONLY);
    if (fd < 0)
        return fd;
    r = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
    fs_fd_close(server, fd);
    return r;
}

static int one_time(struct timespec *time, uint64_t seconds, uint32_t nanoseconds, bool set,
                    bool now)
{
    if (set && !now && nanoseconds >= 1000000000)
        return -EINVAL;
    time->tv_sec = (time_t)seconds;
    time->tv_nsec = !set ? UTIME_OMIT : now ? UTIME_NOW : (long)nanoseconds;
    return 0;
}

static int set_times(const struct fs_inode *inode, const struct fuse_setattr_in *in)
{
    struct timespec times[2];
    int r;

    r = one_time(&times[0], in->atime, in->atimensec, in->valid & (FATTR_ATIME | FATTR_ATIME_NOW),
                 in->valid & FATTR_ATIME_NOW);
    if (r == 0)
        r = one_time(&times[1], in->mtime, in->mtimensec,
                     in->valid & (FATTR_MTIME | FATTR_MTIME_NOW), in->valid & FATTR_MTIME_NOW);
    if (r < 0)
        return r;
    return utimensat(inode->fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

#define FATTR_TIMES (FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW)

/*
 * The owner first: chown(2) clears the set-id bits of a file, as FATTR_KILL_SUIDGID asks, and a
 * mode in the same request is meant to hold afterwards. Times last: truncation changes them.
 */
ssize_t fs_setattr(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_setattr_in *in = &request->args.setattr;
    int r = 0;

    if (in->valid & (FATTR_UID | FATTR_GID | FATTR_MODE))
        r = fs_identity_use_fsetid(&server->identity, true);
    if (r == 0 && (in->valid & (FATTR_UID | FATTR_GID)))
        r = set_owner(request->inode, in);
    if (r == 0 && (in->valid & FATTR_MODE))
        r = set_mode(server, request->inode, in->mode);
    if (r == 0 && (in->valid & FATTR_SIZE))
        r = set_size(server, request);
    if (r == 0 && (in->valid & FATTR_TIMES))
        r = set_times(request->inode, in);
    if (r < 0)
        return r;
    return reply_attributes(server, request);
}

ssize_t fs_statfs(struct fs_server *server, struct fs_request *request)
{
    struct fuse_statfs_out out = { .st = { .namelen = NAME_MAX, .bsize = 4096, .frsize = 4096 } };
    struct statfs st;

    if (!fs_is_root(server, request->inode)) {
        if (fstatfs(request->inode->fd, &st) < 0)
            return -errno;
        out.st.blocks = st.f_blocks;
        out.st.bfree = st.f_bfree;
        out.st.bavail = st.f_bavail;
        out.st.files = st.f_files;
        out.st.ffree = st.f_ffree;
        out.st.bsize = (uint32_t)st.f_bsize;
        out.st.namelen = (uint32_t)st.f_namelen;
        out.st.frsize = (uint32_t)st.f_frsize;
    }
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/*
 * The guest checks permissions itself (virtio-fs mounts imply default_permissions) and does not
 * ask; whoever does gets the answer of the mode bits and the primary group.
 */
ssize_t fs_access(struct fs_server *server, struct fs_request *request)
{
    uint32_t mask = request->args.access.mask;
    uint32_t mode;
    struct statx st;
    int r = 0;

    if (mask & ~(uint32_t)(R_OK | W_OK | X_OK))
        return -EINVAL;
    if (fs_is_root(server, request->inode))
        fs_root_stat(server, &st);
    else
        r = fs_inode_stat(request->inode, &st);
    if (r < 0)
        return r;
    if ((mask & W_OK) &&
        (fs_is_root(server, request->inode) || fs_inode_share(server, request->inode)->readonly))
        return -EROFS;
    mode = st.stx_mode;
    if (request->header.uid == 0)
        mode = S_ISDIR(mode) || (mode & 0111) ? 7 : 6;
    else if (request->header.uid == st.stx_uid)
        mode = mode >> 6 & 7;
    else if (request->header.gid == st.stx_gid)
        mode = mode >> 3 & 7;
    else
        mode &= 7;
    return (mask & ~mode) ? -EACCES : 0;
}
