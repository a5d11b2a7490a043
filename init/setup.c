/* What makes a freshly booted (or cloned) machine a particular one. */
#include "init/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>

#include "init/io.h"

#define SETUP_ENTROPY_MAX 512
#define BIND_FILE         "/sys/bus/platform/drivers/virtio-mmio/bind"

/*
 * Clones of one template have the same pool, so they would draw the same numbers. Credited input
 * alone reaches only the input pool: RNDRESEEDCRNG makes the generators take it up at once.
 */
static int setup_entropy(const struct protocol_field *field, const char *shares,
                         struct failure *failure)
{
    /* struct rand_pool_info with room for its bytes. */
    struct {
        int entropy_count; /* bits */
        int buf_size;      /* bytes */
        uint8_t bytes[SETUP_ENTROPY_MAX];
    } pool;
    const struct protocol_reader *value = &field->value;
    _cleanup_close_ int fd = -1;

    _Static_assert(offsetof(__typeof__(pool), bytes) == offsetof(struct rand_pool_info, buf),
                   "what RNDADDENTROPY takes");
    if (value->length == 0 || value->length > sizeof(pool.bytes))
        return failure_set(failure, EINVAL, "entropy: %zu bytes, expected 1 to %zu", value->length,
                           sizeof(pool.bytes));
    memset(&pool, 0, sizeof(pool));
    pool.entropy_count = (int)value->length * 8;
    pool.buf_size = (int)value->length;
    memcpy(pool.bytes, value->data, value->length);
    fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return failure_errno(failure, "entropy: /dev/random");
    if (ioctl(fd, RNDADDENTROPY, &pool) < 0)
        return failure_errno(failure, "entropy: add");
    if (ioctl(fd, RNDRESEEDCRNG) < 0)
        return failure_errno(failure, "entropy: reseed");
    explicit_bzero(&pool, sizeof(pool));
    return 0;
}

static int setup_time(const struct protocol_field *field, const char *shares,
                      struct failure *failure)
{
    bool bad = false;
    uint64_t ns = protocol_u64(field, &bad);
    struct timespec now = { .tv_sec = (time_t)(ns / 1000000000u),
                            .tv_nsec = (long)(ns % 1000000000u) };

    if (bad)
        return failure_set(failure, EPROTO, "clock: malformed time");
    if (clock_settime(CLOCK_REALTIME, &now) < 0)
        return failure_errno(failure, "clock");
    return 0;
}

/* The driver passed over the slot at boot because its DeviceID read 0: now it has one. */
static int setup_slot(const struct protocol_field *field, const char *shares,
                      struct failure *failure)
{
    char name[48];
    bool bad = false;
    uint64_t slot = protocol_u64(field, &bad);
    int ret;

    if (bad)
        return failure_set(failure, EPROTO, "device slot: malformed index");
    snprintf(name, sizeof(name), "virtio-mmio.%llu", (unsigned long long)slot);
    ret = io_write_file(AT_FDCWD, BIND_FILE, name);
    return ret < 0 ? failure_set(failure, -ret, "bind %s: %s", name, failure_describe(-ret)) : 0;
}

static int setup_shares(const struct protocol_field *field, const char *shares,
                        struct failure *failure)
{
    bool bad = false;
    const char *tag = protocol_string(field, &bad);

    if (bad)
        return failure_set(failure, EPROTO, "shares: malformed tag");
    if (mount(tag, shares, "virtiofs", 0, NULL) < 0)
        return failure_errno(failure, "mount %s (virtiofs %s)", shares, tag);
    return 0;
}

/* In the order they are to be done: the shares' device may sit in one of the slots. */
static const struct {
    uint16_t tag;
    int (*apply)(const struct protocol_field *field, const char *shares, struct failure *failure);
} setup_steps[] = {
    { FIELD_ENTROPY, setup_entropy },
    { FIELD_TIME, setup_time },
    { FIELD_SLOT, setup_slot },
    { FIELD_SHARE_TAG, setup_shares },
};

int setup_apply(struct protocol_reader fields, const char *shares, struct failure *failure)
{
    for (size_t i = 0; i < sizeof(setup_steps) / sizeof(setup_steps[0]); i++) {
        struct protocol_reader reader = fields;
        struct protocol_field field;
        int ret;

        while ((ret = protocol_next(&reader, &field)) == 1) {
            if (field.tag != setup_steps[i].tag)
                continue;
            ret = setup_steps[i].apply(&field, shares, failure);
            if (ret < 0)
                return ret;
        }
        if (ret < 0)
            return failure_set(failure, -ret, "setup: malformed fields");
    }
    return 0;
}
