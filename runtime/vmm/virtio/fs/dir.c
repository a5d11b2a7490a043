/*
 * Directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR.
 *
 * The cookie of an entry is the host's (d_off), so telldir and seekdir mean in the guest what they
 * mean on the host. Entries are read ahead into a buffer of the handle; a request that does not go
 * on where the last one stopped drops it and seeks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/virtio/fs/request.h"

ssize_t fs_opendir(struct fs_server *server, struct fs_request *request)
{
    struct fs_inode *inode = request->inode;
    struct fuse_open_out out = { 0 };
    struct fs_handle *handle;
    enum fs_handle_kind kind = fs_is_root(server, inode) ? FS_HANDLE_ROOT : FS_HANDLE_DIRECTORY;
    int fd = -1;
    int r;

    if (kind == FS_HANDLE_ROOT) {
        r = fs_fd_check(server, 1);
        if (r == 0)
            fs_fd_opened(server);
    } else {
        fd = fs_inode_open(server, inode, O_RDONLY);
        r = fd < 0 ? fd : 0;
    }
    if (r < 0)
        return r;
    r = fs_handle_add(server, inode, kind, fd, false, &handle);
    if (r < 0)
        return r;
    out.fh = handle->fh;
    if (kind == FS_HANDLE_ROOT || fs_inode_share(server, inode)->private_tree)
        out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
    return fs_request_reply(request, 0, &out, sizeof(out));
}

size_t fs_dirent_size(size_t name_length, bool plus)
{
    size_t before = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

    return FUSE_DIRENT_ALIGN(before + name_length);
}

void fs_dirent_put(const struct fs_request *request, size_t used, const struct fs_dirent *dirent)
{
    static const char padding[sizeof(uint64_t)];
    size_t length = strlen(dirent->name);
    size_t end = used + fs_dirent_size(length, dirent->entry != NULL);
    struct fuse_dirent head = {
        .ino = dirent->ino,
        .off = dirent->offset,
        .namelen = (uint32_t)length,
        .type = dirent->type,
    };

    if (dirent->entry) {
        fs_request_reply(request, used, dirent->entry, sizeof(*dirent->entry));
        used += sizeof(*dirent->entry);
    }
    fs_request_reply(request, used, &head, FUSE_NAME_OFFSET);
    used += FUSE_NAME_OFFSET;
    fs_request_reply(request, used, dirent->name, length);
    used += length;
    fs_request_reply(request, used, padding, end - used);
}

/* The handle's own buffer, made when first needed and as long as there are not too many. */
static struct fs_entries *entries_of(struct fs_server *server, struct fs_handle *handle,
                                     struct fs_entries *shared)
{
    if (!handle->entries.data && server->entries_count < FS_ENTRIES_MAX) {
        handle->entries.data = malloc(FS_ENTRIES_SIZE);
        if (handle->entries.data)
            server->entries_count++;
    }
    if (handle->entries.data)
        return &handle->entries;
    shared->data = server->scratch;
    return shared;
}

/* Brings the handle to the entry the guest asks for. */
static int seek(struct fs_handle *handle, uint64_t offset)
{
    /* rewinddir() must show what has changed since, hence no buffered entries for offset 0. */
    if (handle->sought && offset == handle->offset && (offset != 0 || handle->entries.length == 0))
        return 0;
    handle->entries.position = handle->entries.length = 0;
    if (lseek(handle->fd, (off_t)offset, SEEK_SET) < 0)
        return -errno;
    handle->offset = offset;
    handle->sought = true;
    return 0;
}

/* Return: the next entry, NULL at the end, or with @error set. */
static const struct dirent64 *next_entry(struct fs_handle *handle, struct fs_entries *entries,
                                         ssize_t *error)
{
    if (entries->position == entries->length) {
        ssize_t length = getdents64(handle->fd, entries->data, FS_ENTRIES_SIZE);

        *error = length < 0 ? -errno : 0;
        entries->position = 0;
        entries->length = length < 0 ? 0 : (uint32_t)length;
        if (length <= 0)
            return NULL;
    }
    return (const struct dirent64 *)(entries->data + entries->position);
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/*
 * The attributes of an entry, with a reference for the guest. An entry whose attributes cannot be
 * had (no descriptor left, just removed) is listed without them: node id 0 says so.
 */
static void describe(struct fs_server *server, const struct fs_request *request,
                     const struct dirent64 *from, struct fuse_entry_out *entry)
{
    struct fs_inode *inode;
    struct statx st;

    if (is_dots(from->d_name))
        return;
    if (fs_inode_lookup(server, request->inode, from->d_name, from->d_ino, &inode, &st) == 0)
        fs_entry_fill(server, inode, &st, entry);
}

static ssize_t fill(struct fs_server *server, struct fs_request *request, struct fs_handle *handle,
                    bool plus)
{
    size_t room = request->args.read.size < request->room ? request->args.read.size : request->room;
    struct fs_entries shared = { 0 };
    struct fs_entries *entries = entries_of(server, handle, &shared);
    const struct dirent64 *from;
    ssize_t error = 0;
    size_t used = 0;

    while ((from = next_entry(handle, entries, &error))) {
        struct fuse_entry_out entry = { 0 };
        struct fs_dirent dirent = {
            .name = from->d_name,
            .ino = from->d_ino,
            .offset = (uint64_t)from->d_off,
            .type = from->d_type,
            .entry = plus ? &entry : NULL,
        };
        size_t size = fs_dirent_size(strlen(from->d_name), plus);

        if (size > room - used)
            break;
        /* What lies above a share is not the guest's to know. */
        if (request->inode->share_root && !strcmp(from->d_name, ".."))
            dirent.ino = request->inode->key.ino;
        if (plus)
            describe(server, request, from, &entry);
        fs_dirent_put(request, used, &dirent);
        used += size;
        entries->position += from->d_reclen;
        handle->offset = (uint64_t)from->d_off;
    }
    if (!from && used == 0)
        fs_handle_drop_entries(server, handle);
    else if (from && entries == &shared)
        handle->sought = false;
    if (used)
        return (ssize_t)used;
    return from ? -EINVAL : error;
}

static ssize_t read_directory(struct fs_server *server, struct fs_request *request, bool plus)
{
    const struct fuse_read_in *in = &request->args.read;
    enum fs_handle_kind kind =
        fs_is_root(server, request->inode) ? FS_HANDLE_ROOT : FS_HANDLE_DIRECTORY;
    struct fs_handle *handle = fs_handle_get(server, in->fh, request->header.nodeid, kind);
    int r;

    if (!handle)
        return -EBADF;
    if (kind == FS_HANDLE_ROOT)
        return fs_root_readdir(server, request, plus);
    r = seek(handle, in->offset);
    if (r < 0)
        return r;
    return fill(server, request, handle, plus);
}

ssize_t fs_readdir(struct fs_server *server, struct fs_request *request)
{
    return read_directory(server, request, false);
}

ssize_t fs_readdirplus(struct fs_server *server, struct fs_request *request)
{
    return read_directory(server, request, true);
}

static struct fs_handle *any_directory(struct fs_server *server, uint64_t fh, uint64_t nodeid)
{
    struct fs_handle *handle = fs_handle_get(server, fh, nodeid, FS_HANDLE_DIRECTORY);

    return handle ? handle : fs_handle_get(server, fh, nodeid, FS_HANDLE_ROOT);
}

ssize_t fs_releasedir(struct fs_server *server, struct fs_request *request)
{
    struct fs_handle *handle =
        any_directory(server, request->args.release.fh, request->header.nodeid);

    if (!handle)
        return -EBADF;
    fs_handle_remove(server, handle);
    return 0;
}

ssize_t fs_fsyncdir(struct fs_server *server, struct fs_request *request)
{
    const struct fs_handle *handle =
        any_directory(server, request->args.fsync.fh, request->header.nodeid);
    int r;

    if (!handle)
        return -EBADF;
    if (handle->kind == FS_HANDLE_ROOT)
        return 0;
    if (request->args.fsync.fsync_flags & FUSE_FSYNC_FDATASYNC)
        r = fdatasync(handle->fd);
    else
        r = fsync(handle->fd);
    return r < 0 ? -errno : 0;
}
