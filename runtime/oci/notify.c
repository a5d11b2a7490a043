/* Connecting to NOTIFY_SOCKET. */
#include "oci/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/fd.h"

int notify_connect(const char *path, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(path);
    _cleanup_close_ int fd = -1;

    if (path[0] != '/' && path[0] != '@')
        return error_set(err, EINVAL,
                         "NOTIFY_SOCKET: expected an absolute path or @name, found \"%s\"", path);
    if (length >= sizeof(address.sun_path))
        return error_set(err, ENAMETOOLONG, "NOTIFY_SOCKET: expected at most %zu characters",
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* An abstract name has no terminator: its length says where it ends. */
    if (fd < 0 || connect(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
                                      (path[0] == '/'))) < 0)
        return error_set_errno(err, "NOTIFY_SOCKET %s", path);
    return steal_fd(&fd);
}
