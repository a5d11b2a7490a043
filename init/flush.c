/*
 * Bytes that a dead workload left on their way to the host.
 *
 * write(2) has reached the host when it returns, and close(2) waits for what is cached. What
 * remains are pages dirtied through a shared mapping whose file was closed before: the last unmap
 * starts to write them back (fuse_vma_close) but does not wait, and the machine could end before
 * the host has taken them. syncfs(2) waits; it also makes the host sync its disks, which can take
 * seconds there, so it is called only when the kernel says that there is something to wait for.
 */
#include "init/flush.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init/io.h"

/* Pages not yet written, being written, and FUSE's copies of pages being written. */
static const char *const pending_lines[] = { "\nDirty:", "\nWriteback:", "\nWritebackTmp:" };

bool flush_is_pending(const char *meminfo)
{
    for (size_t i = 0; i < sizeof(pending_lines) / sizeof(pending_lines[0]); i++) {
        const char *line = strstr(meminfo, pending_lines[i]);

        if (!line || strtoull(line + strlen(pending_lines[i]), NULL, 10) != 0)
            return true;
    }
    return false;
}

static bool flush_is_needed(void)
{
    char text[4096];

    /* Each CPU counts for itself; this adds up. */
    if (io_write_file(AT_FDCWD, "/proc/sys/vm/stat_refresh", "1") < 0 ||
        io_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
        return true;
    return flush_is_pending(text);
}

void flush_shares(const char *shares)
{
    _cleanup_close_ int fd = -1;

    if (!flush_is_needed())
        return;
    /* All shares are one FUSE connection, and its root waits for the writes of all of them. */
    fd = open(shares, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        syncfs(fd);
}
