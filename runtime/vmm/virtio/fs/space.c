/* Space: FALLOCATE, LSEEK, COPY_FILE_RANGE, SYNCFS. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "vmm/virtio/fs/request.h"

/* Most bytes copied in one request, so that others are not kept waiting; a short copy is allowed.
 */
#define COPY_MAX (64u * 1024 * 1024)

/*
 * FUSE has no flag for these two as it has for WRITE, so who lacks CAP_FSETID is guessed: everybody
 * but root. The host's kernel then clears set-id bits as it would for that user.
 */
static int use_callers_fsetid(struct fs_server *server, const struct fs_request *request)
{
    return fs_identity_use_fsetid(&server->identity, request->header.uid == 0);
}

ssize_t fs_fallocate(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_fallocate_in *in = &request->args.fallocate;
    const struct fs_handle *handle =
        fs_handle_get(server, in->fh, request->header.nodeid, FS_HANDLE_FILE);
    int r;

    if (!handle || !handle->writable)
        return -EBADF;
    if (in->offset > INT64_MAX || in->length > INT64_MAX)
        return -EINVAL;
    r = use_callers_fsetid(server, request);
    if (r < 0)
        return r;
    if (fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0)
        return -errno;
    return 0;
}

ssize_t fs_lseek(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_lseek_in *in = &request->args.lseek;
    const struct fs_handle *handle =
        fs_handle_get(server, in->fh, request->header.nodeid, FS_HANDLE_FILE);
    struct fuse_lseek_out out = { 0 };
    off_t offset;

    if (!handle)
        return -EBADF;
    /* The other kinds are the guest's own business: positions live there. */
    if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
        return -EINVAL;
    offset = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
    if (offset < 0)
        return -errno;
    out.offset = (uint64_t)offset;
    return fs_request_reply(request, 0, &out, sizeof(out));
}

ssize_t fs_copy_file_range(struct fs_server *server, struct fs_request *request)
{
    const struct fuse_copy_file_range_in *in = &request->args.copy;
    const struct fs_handle *from =
        fs_handle_get(server, in->fh_in, request->header.nodeid, FS_HANDLE_FILE);
    const struct fs_handle *to = fs_handle_get(server, in->fh_out, in->nodeid_out, FS_HANDLE_FILE);
    struct fuse_write_out out = { 0 };
    off_t offset_in = (off_t)in->off_in;
    off_t offset_out = (off_t)in->off_out;
    ssize_t n;
    int r;

    if (!from || !to || !to->writable)
        return -EBADF;
    if (in->off_in > INT64_MAX || in->off_out > INT64_MAX || in->flags > UINT32_MAX)
        return -EINVAL;
    r = use_callers_fsetid(server, request);
    if (r < 0)
        return r;
    n = copy_file_range(from->fd, &offset_in, to->fd, &offset_out,
                        in->len < COPY_MAX ? in->len : COPY_MAX, (unsigned int)in->flags);
    if (n < 0)
        return -errno;
    out.size = (uint32_t)n;
    return fs_request_reply(request, 0, &out, sizeof(out));
}

/* Nothing of the guest's can be unwritten in a read-only share. */
static int sync_share(struct fs_server *server, const struct fs_inode *inode)
{
    int fd;
    int r;

    if (fs_inode_share(server, inode)->readonly)
        return 0;
    fd = fs_inode_open(server, inode, O_RDONLY);
    if (fd < 0)
        return fd;
    r = syncfs(fd) < 0 ? -errno : 0;
    fs_fd_close(server, fd);
    return r;
}

/* The guest syncs each mounted share by itself, and the root for those that it has not mounted. */
ssize_t fs_syncfs(struct fs_server *server, struct fs_request *request)
{
    int result = 0;

    if (!fs_is_root(server, request->inode))
        return sync_share(server, request->inode);
    for (unsigned int i = 0; i < server->share_count; i++) {
        int r = sync_share(server, server->share_roots[i]);

        if (r < 0)
            result = r;
    }
    return result;
}
