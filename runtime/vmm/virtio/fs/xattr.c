/*
 * Extended attributes: SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR.
 *
 * fsetxattr(2) and its like refuse O_PATH descriptors, and links and special files are never opened
 * otherwise. So the calls name the inode by its descriptor's entry in /proc/self/fd, which is the
 * serving thread's working directory (identity.c); following it ends at the inode itself.
 *
 * What the guest may not touch (trusted.*, most of security.*) the host refuses, because this
 * process lacks CAP_SYS_ADMIN.
 */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "vmm/virtio/fs/request.h"

_Static_assert(FS_SCRATCH_SIZE >= 65536, "scratch holds XATTR_SIZE_MAX and XATTR_LIST_MAX");

/*
 * Setting an access ACL sets the mode too, and clears the set-group-ID bit unless the caller is in
 * the file's group or has CAP_FSETID.
 */
static int set_as_user(struct fs_server *server, const struct fs_request *request, size_t size)
{
    int flags = (int)request->args.setxattr.flags;
    int r = fs_identity_use_fsetid(&server->identity, request->header.uid == 0);

    if (r == 0)
        r = fs_identity_enter(&server->identity, request->header.uid, request->header.gid);
    if (r < 0)
        return r;
    r = setxattr(fs_fd_name(request->inode->fd).text, request->name, server->scratch, size, flags);
    r = r < 0 ? -errno : 0;
    fs_identity_leave(&server->identity);
    return r;
}

ssize_t fs_setxattr(struct fs_server *server, struct fs_request *request)
{
    size_t size = request->args.setxattr.size;

    if (size > FS_SCRATCH_SIZE)
        return -E2BIG;
    if (fs_request_read(request, request->tail, server->scratch, size) != size)
        return -EINVAL;
    if (!strcmp(request->name, "system.posix_acl_access"))
        return set_as_user(server, request, size);
    if (setxattr(fs_fd_name(request->inode->fd).text, request->name, server->scratch, size,
                 (int)request->args.setxattr.flags) < 0)
        return -errno;
    return 0;
}

/* Size 0 asks for the size; otherwise the answer is the value itself. */
static ssize_t reply_value(struct fs_server *server, const struct fs_request *request,
                           ssize_t length)
{
    struct fuse_getxattr_out out = { 0 };

    if (length < 0)
        return -errno;
    if (request->args.getxattr.size) {
        if ((size_t)length > request->room)
            return -ERANGE;
        return fs_request_reply(request, 0, server->scratch, (size_t)length);
    }
    out.size = (uint32_t)length;
    return fs_request_reply(request, 0, &out, sizeof(out));
}

static size_t value_room(const struct fs_request *request)
{
    size_t size = request->args.getxattr.size;

    return size < FS_SCRATCH_SIZE ? size : FS_SCRATCH_SIZE;
}

ssize_t fs_getxattr(struct fs_server *server, struct fs_request *request)
{
    ssize_t length = getxattr(fs_fd_name(request->inode->fd).text, request->name, server->scratch,
                              value_room(request));

    return reply_value(server, request, length);
}

ssize_t fs_listxattr(struct fs_server *server, struct fs_request *request)
{
    ssize_t length =
        listxattr(fs_fd_name(request->inode->fd).text, server->scratch, value_room(request));

    return reply_value(server, request, length);
}

ssize_t fs_removexattr(struct fs_server *server, struct fs_request *request)
{
    (void)server;
    if (removexattr(fs_fd_name(request->inode->fd).text, request->name) < 0)
        return -errno;
    return 0;
}
