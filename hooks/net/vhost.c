/* Descriptors of /dev/vhost-net. What they are good for is vmrt-vmm's business. */
#include "vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/fd.h"

#define VHOST_DEVICE "/dev/vhost-net"

int vhost_open(int *fds, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        int code;

        fds[i] = open(VHOST_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fds[i] >= 0)
            continue;
        code = errno;
        while (i > 0)
            fd_close(&fds[--i]);
        return error_set(err, code, "%s: %s%s", VHOST_DEVICE, strerror(code),
                         code == ENOENT ? " (modprobe vhost_net)" : "");
    }
    return 0;
}
