/* The made-up root: a read-only directory that lists the shares by number. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "vmm/virtio/fs/request.h"

void fs_root_stat(const struct fs_server *server, struct statx *st)
{
    uint32_t directories = 0;

    for (unsigned int i = 0; i < server->share_count; i++)
        if (server->share_roots[i]->type == S_IFDIR)
            directories++;
    *st = (struct statx) {
        .stx_ino = FUSE_ROOT_ID,
        .stx_mode = S_IFDIR | 0555,
        .stx_nlink = 2 + directories,
        .stx_blksize = 4096,
    };
}

int fs_root_lookup(struct fs_server *server, const char *name, struct fs_inode **inode,
                   struct statx *st)
{
    unsigned int index = 0;

    if (name[0] == '0' && name[1] != '\0')
        return -ENOENT;
    for (const char *p = name; *p; p++) {
        if (*p < '0' || *p > '9' || index > server->share_count)
            return -ENOENT;
        index = index * 10 + (unsigned int)(*p - '0');
    }
    if (index >= server->share_count)
        return -ENOENT;
    *inode = server->share_roots[index];
    return fs_inode_stat(*inode, st);
}

/* Cookie n is the entry behind the first n: ".", "..", then the shares. */
ssize_t fs_root_readdir(struct fs_server *server, struct fs_request *request, bool plus)
{
    uint64_t count = (uint64_t)server->share_count + 2;
    size_t room = request->args.read.size < request->room ? request->args.read.size : request->room;
    size_t used = 0;

    for (uint64_t i = request->args.read.offset; i < count; i++) {
        struct fs_fd_name number = fs_fd_name(i < 2 ? 0 : (int)(i - 2));
        struct fs_inode *inode = i < 2 ? &server->root : server->share_roots[i - 2];
        struct fuse_entry_out entry = { 0 };
        struct fs_dirent dirent = {
            .name = i == 0   ? "."
                    : i == 1 ? ".."
                             : number.text,
            .ino = i < 2 ? FUSE_ROOT_ID : inode->key.ino,
            .offset = i + 1,
            .type = IFTODT(inode->type),
            .entry = plus ? &entry : NULL,
        };
        size_t size = fs_dirent_size(strlen(dirent.name), plus);
        struct statx st;

        if (size > room - used)
            return used ? (ssize_t)used : -EINVAL;
        if (plus && i >= 2 && fs_inode_stat(inode, &st) == 0)
            fs_entry_fill(server, inode, &st, &entry);
        fs_dirent_put(request, used, &dirent);
        used += size;
    }
    return (ssize_t)used;
}
