/* Reading requests out of guest memory and writing answers into it. */
#include "vmm/virtio/fs/request.h"

#include <errno.h>
#include <string.h>

#include "vmm/virtio/queue.h"

size_t fs_request_tail(const struct fs_request *request)
{
    return request->header.len - request->tail;
}

size_t fs_request_read(const struct fs_request *request, size_t offset, void *to, size_t length)
{
    size_t left = offset < request->header.len ? request->header.len - offset : 0;

    return iov_read(request->out, request->out_count, offset, to, length < left ? length : left);
}

int fs_request_string(struct fs_request *request, char *to, size_t size)
{
    size_t length = fs_request_read(request, request->tail, to, size);
    const char *end = memchr(to, '\0', length);

    if (!end)
        return length == size ? -ENAMETOOLONG : -EINVAL;
    if (end == to)
        return -EINVAL;
    request->tail += (size_t)(end - to) + 1;
    return 0;
}

int fs_name_check(const char *name)
{
    if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
        return -EINVAL;
    return 0;
}

ssize_t fs_request_reply(const struct fs_request *request, size_t offset, const void *data,
                         size_t length)
{
    if (offset > request->room || length > request->room - offset)
        return -EIO;
    iov_write(request->in, request->in_count, sizeof(struct fuse_out_header) + offset, data,
              length);
    return (ssize_t)(offset + length);
}

unsigned int fs_parts_slice(const struct iovec *parts, unsigned int count, size_t offset,
                            size_t length, struct iovec *slice)
{
    unsigned int used = 0;

    for (unsigned int i = 0; i < count && length > 0 && used < IOV_MAX; i++) {
        size_t part = parts[i].iov_len;

        if (offset >= part) {
            offset -= part;
            continue;
        }
        part -= offset;
        if (part > length)
            part = length;
        slice[used++] = (struct iovec) { (char *)parts[i].iov_base + offset, part };
        length -= part;
        offset = 0;
    }
    return used;
}
