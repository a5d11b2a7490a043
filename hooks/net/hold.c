/* Who works on a network namespace. */
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "lib/fd.h"

/* flock(2) has no timeout of its own. */
#define STEP_MS 10

int hold_take(int wait_ms)
{
    _cleanup_close_ int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || wait_ms <= 0)
            return -errno;
        wait_ms -= STEP_MS;
        poll(NULL, 0, STEP_MS);
    }
    return steal_fd(&fd);
}
