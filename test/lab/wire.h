/*
 * The stream between the lab's supervisor on the outer host and the agent inside the lab.
 *
 * One virtio-serial port carries frames in both directions. A single ordered stream is what makes
 * the end exact: the status frame comes behind the last byte of output, so whoever has read it has
 * read everything, and the machine may be killed instead of shut down.
 *
 *   agent                        supervisor
 *   UP                       ->                     not when the machine comes from a saved state
 *                            <-  FRESH
 *                            <-  ARGV... PREPARE    what is different in each run: shares, vmrt
 *   READY                    ->
 *                            <-  ARGV... GO
 *   STDOUT, STDERR, ALIVE... ->
 *                            <-  NUDGE...           when nothing has come for some seconds
 *   STATUS                   ->
 */
#ifndef LAB_WIRE_H
#define LAB_WIRE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* Both ends are x86-64 or arm64, hence little-endian; the lab never speaks to anybody else. */
struct wire_header {
    uint32_t type;
    uint32_t len; /* bytes of payload that follow, at most WIRE_MAX */
};

enum { WIRE_MAX = 65536 };

enum wire_type {
    WIRE_UP = 1,      /* agent: the machine is set up */
    WIRE_FRESH = 2,   /* supervisor: struct wire_fresh */
    WIRE_ARGV = 3,    /* supervisor: next piece of the NUL-terminated arguments */
    WIRE_PREPARE = 4, /* supervisor: the arguments are complete, run "attach" with them */
    WIRE_GO = 5,      /* supervisor: the arguments are complete, run them */
    WIRE_READY = 6,   /* agent: attached; payload: uptime in milliseconds, uint32_t */
    WIRE_STDOUT = 7,  /* agent: bytes the command wrote to its stdout */
    WIRE_STDERR = 8,  /* agent: the same for stderr */
    WIRE_ALIVE = 9,   /* agent: nothing to say, but not frozen */
    WIRE_STATUS = 10, /* agent: the command has ended; payload: exit status, uint32_t */
    WIRE_NUDGE = 11,  /* supervisor: nothing but an interrupt, for an emulator that lost one */
};

/* What a machine from a saved state lacks: the time, and randomness of its own. */
struct wire_fresh {
    int64_t seconds;
    int64_t nanoseconds;
    uint8_t random[32];
};

/**
 * wire_write_all() - write a whole buffer, whatever the file descriptor takes at a time
 * @fd:  where to
 * @buf: what
 * @len: bytes
 *
 * Return: 0, or a negative errno.
 */
static inline int wire_write_all(int fd, const void *buf, size_t len)
{
    const char *p = buf;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/**
 * wire_send() - send one frame
 * @fd:      the port or the socket
 * @type:    what it is
 * @payload: its bytes, may be NULL when @len is 0
 * @len:     bytes, at most WIRE_MAX
 *
 * Return: 0, or a negative errno.
 */
static inline int wire_send(int fd, enum wire_type type, const void *payload, size_t len)
{
    struct wire_header header = { .type = (uint32_t)type, .len = (uint32_t)len };
    int err = wire_write_all(fd, &header, sizeof(header));

    return err || !len ? err : wire_write_all(fd, payload, len);
}

#endif
