/* Files and directories the guest holds open. */
#include "vmm/virtio/fs/handle.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "vmm/virtio/fs/request.h"

int fs_handle_add(struct fs_server *server, const struct fs_inode *inode, enum fs_handle_kind kind,
                  int fd, bool writable, struct fs_handle **handle)
{
    _cleanup_free_ struct fs_handle *new = calloc(1, sizeof(*new));
    int r = new ? fs_table_add(&server->handles, new, &new->fh) : -ENOMEM;

    if (r < 0) {
        fs_fd_close(server, fd);
        return r;
    }
    new->nodeid = inode->nodeid;
    new->share = inode->key.share;
    new->kind = kind;
    new->fd = fd;
    new->writable = writable;
    new->sought = true;
    *handle = steal_pointer(&new);
    return 0;
}

struct fs_handle *fs_handle_get(struct fs_server *server, uint64_t fh, uint64_t nodeid,
                                enum fs_handle_kind kind)
{
    struct fs_handle *handle = fs_table_get(&server->handles, fh);

    return handle && handle->nodeid == nodeid && handle->kind == kind ? handle : NULL;
}

void fs_handle_drop_entries(struct fs_server *server, struct fs_handle *handle)
{
    if (handle->entries.data) {
        free(handle->entries.data);
        server->entries_count--;
    }
    handle->entries = (struct fs_entries) { 0 };
}

void fs_handle_remove(struct fs_server *server, struct fs_handle *handle)
{
    fs_table_remove(&server->handles, handle->fh);
    fs_handle_drop_entries(server, handle);
    fs_fd_close(server, handle->fd);
    free(handle);
}

void fs_handles_reset(struct fs_server *server)
{
    for (uint32_t i = 0; i < server->handles.size; i++)
        if (server->handles.slots[i].object)
            fs_handle_remove(server, server->handles.slots[i].object);
}
