/*
 * Files: OPEN, CREATE, TMPFILE, RELEASE, READ, WRITE, FLUSH, FSYNC.
 *
 * Data goes between the guest's pages and the host's file without a copy in between. Flags that
 * may change while a file is open (O_APPEND, O_SYNC) are not part of the host's descriptor: each
 * WRITE says what holds for it, and writeback of a shared mapping (FUSE_WRITE_CACHE) must go to its
 * offset even through a descriptor that was opened for appending.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "vmm/virtio/fs/request.h"

/*
 * O_DIRECT stays in the guest: it asks for no stale copies, and the guest keeps none; alignment
 * rules of the host's file system would break what a native container may do.
 */
#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_NOATIME)

/* How many times to start over when a name is created and removed under us. */
#define CREATE_TRIES 16

/* Timestamps advance with the host's clock tick, 10 ms at most; twice that is safe. */
#define TICK_NANOSECONDS 20000000ll

static bool wants_write(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static int check_flags(const struct fs_server *server, const struct fs_inode *inode, uint32_t flags)
{
    if ((flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    if (wants_write(flags) && fs_inode_share(server, inode)->readonly)
        return -EROFS;
    return 0;
}

static bool time_equal(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_settled(const struct statx_timestamp *changed)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (now.tv_sec - changed->tv_sec) * 1000000000ll + now.tv_nsec - changed->tv_nsec >
           TICK_NANOSECONDS;
}

/*
 * Whether the guest's cached data of a shared file is still good: the file looks as it did at the
 * last open, and looked so long enough then that no change can have gone unnoticed.
 */
static bool unchanged(struct fs_inode *inode)
{
    struct fs_stamp *seen = &inode->seen;
    struct statx st;
    bool same;

    if (fs_inode_stat(inode, &st) < 0)
        return false;
    same = seen->settled && time_equal(&seen->modified, &st.stx_mtime) &&
           time_equal(&seen->changed, &st.stx_ctime) && seen->size == st.stx_size;
    *seen = (struct fs_stamp) {
        .modified = st.stx_mtime,
        .changed = st.stx_ctime,
        .size = st.stx_size,
        .settled = is_settled(&st.stx_ctime),
    };
    return same;
}

static uint32_t cache_flags(const struct fs_server *server, struct fs_inode *inode)
{
    /* FLUSH is only for others to see what a mapping has written. */
    if (fs_inode_share(server, inode)->private_tree)
        return FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
    return unchanged(inode) ? FOPEN_KEEP_CACHE : 0;
}

/* An existing file. @kill: the caller lacks CAP_FSETID, which matters to O_TRUNC. */
static int open_inode(struct fs_server *server, const struct fs_inode *inode, uint32_t flags,
                      bool kill)
{
    int r = check_flags(server, inode, flags);
    int fd;

    if (r == 0 && inode->type == S_IFDIR)
        r = -EISDIR;
    if (r == 0 && (flags & O_TRUNC))
        r = fs_identity_use_fsetid(&server->identity, !kill);
    if (r < 0)
        return r;
    fd = fs_inode_open(server, inode, (int)(flags & OPEN_FLAGS));
    /* A file that is append-only (chattr +a) can be opened for writing only in this way. */
    if (fd == -EPERM && (flags & O_APPEND))
        fd = fs_inode_open(server, inode, (int)(flags & (OPEN_FLAGS | O_APPEND)));
    return fd;
}

ssize_t fs_open(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_open_in *in = &request->args.open;
    struct fuse_open_out out = { 0 };
    struct fs_handle *handle;
    int fd = open_inode(server, request->inode, in->flags, in->open_flags & FUSE_OPEN_KILL_SUIDGID);
    int r;

    if (fd < 0)
        return fd;
    r = fs_handle_add(server, request->inode, FS_HANDLE_FILE, fd,
                      (in->flags & O_ACCMODE) != O_RDONLY, &handle);
    if (r < 0)
        return r;
    out.fh = handle->fh;
    out.open_flags = cache_flags(server, request->inode);
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/* Answers CREATE and TMPFILE for @inode, opened as @fd (taken over). */
static ssize_t reply_opened(struct fs_server *server, struct fs_request *request,
                            struct fs_inode *inode, const struct statx *st, int fd)
{
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = { .open = { 0 } };
    struct fs_handle *handle;
    int r = fs_handle_add(server, inode, FS_HANDLE_FILE, fd,
                          (request->args.create.flags & O_ACCMODE) != O_RDONLY, &handle);

    if (r < 0) {
        fs_inode_forget(server, inode, 0);
        return r;
    }
    fs_entry_fill(server, inode, st, &out.entry);
    out.open.fh = handle->fh;
    out.open.open_flags = cache_flags(server, inode);
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/* A file this request has made, open as @fd (taken over): gets its O_PATH descriptor and inode. */
static ssize_t reply_made(struct fs_server *server, struct fs_request *request, int fd)
{
    struct fs_inode *inode;
    struct statx st;
    int path;
    int r;

    fs_fd_opened(server);
    path = openat(server->proc_fd, fs_fd_name(fd).text, O_PATH | O_CLOEXEC);
    if (path < 0) {
        r = -errno;
        fs_fd_close(server, fd);
        return r;
    }
    r = fs_inode_adopt(server, request->inode, path, &inode, &st);
    if (r < 0) {
        fs_fd_close(server, fd);
        return r;
    }
    return reply_opened(server, request, inode, &st, fd);
}

/* Makes the file @name as the guest's user; @flags besides those the request has. */
static int make_file(struct fs_server *server, const struct fs_request *request, const char *name,
                     int flags)
{
    const struct fuse_create_in *in = &request->args.create;
    int r = fs_identity_use_fsetid(&server->identity, true);
    int fd;

    if (r == 0)
        r = fs_identity_enter(&server->identity, request->header.uid, request->header.gid);
    if (r < 0)
        return r;
    fd = openat(request->inode->fd, name,
                (int)(in->flags & (O_ACCMODE | O_NOATIME)) | flags | O_NOFOLLOW | O_CLOEXEC |
                    O_NOCTTY,
                in->mode & 07777);
    fd = fd < 0 ? -errno : fd;
    fs_identity_leave(&server->identity);
    return fd;
}

static ssize_t open_existing(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_create_in *in = &request->args.create;
    struct fs_inode *inode;
    struct statx st;
    int fd;
    int r = fs_inode_lookup(server, request->inode, request->name, 0, &inode, &st);

    if (r < 0)
        return r;
    fd = open_inode(server, inode, in->flags, in->open_flags & FUSE_OPEN_KILL_SUIDGID);
    r = fd < 0 ? fd : fs_inode_stat(inode, &st); /* O_TRUNC changed its attributes */
    if (r < 0) {
        if (fd >= 0)
            fs_fd_close(server, fd);
        fs_inode_forget(server, inode, 0);
        return r;
    }
    return reply_opened(server, request, inode, &st, fd);
}

/*
 * Always O_EXCL on the host, so that what is opened here was made here: a link, device or pipe that
 * has the name already is never followed or opened.
 */
ssize_t fs_create(struct fs_server *server, struct fs_request *request)
{
    uint32_t flags = request->args.create.flags;
    ssize_t r = check_flags(server, request->inode, flags);

    /* One for the file, one for its inode. */
    if (r == 0)
        r = fs_fd_check(server, 2);
    if (r < 0)
        return r;
    for (unsigned int i = 0; i < CREATE_TRIES; i++) {
        int fd = make_file(server, request, request->name, O_CREAT | O_EXCL);

        if (fd >= 0)
            return reply_made(server, request, fd);
        if (fd != -EEXIST || (flags & O_EXCL))
            return fd;
        r = open_existing(server, request);
        if (r != -ENOENT)
            return r;
    }
    return r;
}

ssize_t fs_tmpfile(struct fs_server *server, struct fs_request *request)
{
    uint32_t flags = request->args.create.flags;
    ssize_t r = check_flags(server, request->inode, flags);
    int fd;

    if (r == 0)
        r = fs_fd_check(server, 2);
    if (r < 0)
        return r;
    /* O_EXCL: the file can never get a name. */
    fd = make_file(server, request, ".", O_TMPFILE | (int)(flags & O_EXCL));
    return fd < 0 ? fd : reply_made(server, request, fd);
}

static struct fs_handle *file_handle(struct fs_server *server, const struct fs_request *request,
                                     uint64_t fh)
{
    return fs_handle_get(server, fh, request->header.nodeid, FS_HANDLE_FILE);
}

ssize_t fs_release(struct fs_server *server, struct fs_request *request)
{
    struct fs_handle *handle = file_handle(server, request, request->args.release.fh);

    if (!handle)
        return -EBADF;
    fs_handle_remove(server, handle);
    return 0;
}

ssize_t fs_read(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_read_in *in = &request->args.read;
    const struct fs_handle *handle = file_handle(server, request, in->fh);
    struct iovec parts[IOV_MAX];
    size_t size = in->size < request->room ? in->size : request->room;
    unsigned int count;
    ssize_t n;

    if (!handle)
        return -EBADF;
    /* Offset -1 would mean the descriptor's own position. */
    if (in->offset > INT64_MAX)
        return -EINVAL;
    count =
        fs_parts_slice(request->in, request->in_count, sizeof(struct fuse_out_header), size, parts);
    n = preadv2(handle->fd, parts, (int)count, (off_t)in->offset, 0);
    return n < 0 ? -errno : n;
}

static int write_flags(const struct fuse_write_in *in)
{
    int flags = 0;

    if (in->write_flags & FUSE_WRITE_CACHE)
        return 0;
    if (in->flags & O_APPEND)
        flags |= RWF_APPEND;
    if ((in->flags & O_SYNC) == O_SYNC)
        flags |= RWF_SYNC;
    else if (in->flags & O_DSYNC)
        flags |= RWF_DSYNC;
    return flags;
}

ssize_t fs_write(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_write_in *in = &request->args.write;
    const struct fs_handle *handle = file_handle(server, request, in->fh);
    struct fuse_write_out out = { 0 };
    struct iovec parts[IOV_MAX];
    unsigned int count;
    ssize_t n;
    int r;

    if (!handle || !handle->writable)
        return -EBADF;
    if (in->offset > INT64_MAX || in->size > fs_request_tail(request))
        return -EINVAL;
    r = fs_identity_use_fsetid(&server->identity, !(in->write_flags & FUSE_WRITE_KILL_SUIDGID));
    if (r < 0)
        return r;
    count = fs_parts_slice(request->out, request->out_count, request->tail, in->size, parts);
    n = pwritev2(handle->fd, parts, (int)count, (off_t)in->offset, write_flags(in));
    if (n < 0)
        return -errno;
    out.size = (uint32_t)n;
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/* Locks would be dropped here; data needs nothing, since every write has reached the host. */
ssize_t fs_flush(struct fs_server *server, struct fs_request *request)
{
    /* The first member of fuse_flush_in and fuse_release_in alike. */
    return file_handle(server, request, request->args.release.fh) ? 0 : -EBADF;
}

ssize_t fs_fsync(struct fs_server *server, struct fs_request *request)
{
    const struct fs_handle *handle = file_handle(server, request, request->args.fsync.fh);
    int r;

    if (!handle)
        return -EBADF;
    if (request->args.fsync.fsync_flags & FUSE_FSYNC_FDATASYNC)
        r = fdatasync(handle->fd);
    else
        r = fsync(handle->fd);
    return r < 0 ? -errno : 0;
}
