/* cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst): header, name, data. */
#include "vmm/initramfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define HEADER_SIZE 110u

struct entry {
    const char *name;
    unsigned int mode;
    unsigned int major, minor;
};

/* /dev/console is what the kernel opens as init's stdio. The trailer ends the archive. */
static const struct entry entries[] = {
    { "dev", S_IFDIR | 0755, 0, 0 },
    { "dev/console", S_IFCHR | 0600, 5, 1 },
    { "init", S_IFREG | 0755, 0, 0 },
    { "TRAILER!!!", 0, 0, 0 },
};
#define ENTRY_COUNT (sizeof(entries) / sizeof(entries[0]))
#define INIT_ENTRY  2

static uint64_t align4(uint64_t n)
{
    return (n + 3) & ~3ull;
}

uint64_t initramfs_size(uint64_t init_size)
{
    uint64_t size = 0;

    for (size_t i = 0; i < ENTRY_COUNT; i++)
        size += align4(HEADER_SIZE + strlen(entries[i].name) + 1);
    return size + align4(init_size);
}

static int read_init(uint8_t *to, int fd, uint64_t size, struct error *err)
{
    uint64_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, to + done, size - done, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, "read the guest's init");
        if (n == 0)
            return error_set(err, EIO, "read the guest's init: the file became shorter");
        done += (uint64_t)n;
    }
    return 0;
}

int initramfs_write(uint8_t *to, int init_fd, uint64_t init_size, struct error *err)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        const struct entry *e = &entries[i];
        unsigned int size = i == INIT_ENTRY ? (unsigned int)init_size : 0;
        size_t name = strlen(e->name) + 1;
        char header[HEADER_SIZE + 1];

        snprintf(header, sizeof(header),
                 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", (unsigned int)i + 1,
                 e->mode, 0u, 0u, 1u, 0u, size, 0u, 0u, e->major, e->minor, (unsigned int)name, 0u);
        memcpy(to, header, HEADER_SIZE);
        memcpy(to + HEADER_SIZE, e->name, name);
        to += align4(HEADER_SIZE + name);
        if (i == INIT_ENTRY) {
            int ret = read_init(to, init_fd, init_size, err);

            if (ret < 0)
                return ret;
            to += align4(init_size);
        }
    }
    return 0;
}
