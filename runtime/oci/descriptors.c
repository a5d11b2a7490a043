/* Which of the caller's open files a process in the guest can have, and as what. */
#include "oci/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/fd.h"

/* sd_listen_fds(3): SD_LISTEN_FDS_START; of --preserve-fds as well. */
#define FIRST_DESCRIPTOR 3

/* The null device: mem(4), 1:3. */
#define NULL_DEVICE makedev(1, 3)

/* What is open besides is this process's own, in a place that the caller had left free. */
static bool inherited[PROTOCOL_DESCRIPTORS_MAX];

void descriptors_note(void)
{
    for (int i = 0; i < (int)PROTOCOL_DESCRIPTORS_MAX; i++)
        inherited[i] = fcntl(FIRST_DESCRIPTOR + i, F_GETFD) >= 0;
}

static int by_access(int flags, int both)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return DESCRIPTOR_INPUT;
    case O_WRONLY:
        return DESCRIPTOR_OUTPUT;
    default:
        return both;
    }
}

static int classify_socket(int fd, const char **why)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(int), peer_length = sizeof(peer);
    int listens = 0, type = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens)
        *why = "a listening socket";
    else if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
        *why = "a socket of packets";
    else if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) < 0)
        *why = "a socket without a connection";
    else
        return DESCRIPTOR_SOCKET;
    return -1;
}

/* Return: enum descriptor_kind, or -1 with *@why, what it is. */
static int classify(int fd, const struct stat *st, const char **why)
{
    int flags = fcntl(fd, F_GETFL), kind = -1;

    *why = "no stream of bytes";
    if (flags < 0 || flags & O_PATH)
        return -1;
    if (S_ISSOCK(st->st_mode))
        return classify_socket(fd, why);
    if (S_ISCHR(st->st_mode) && st->st_rdev == NULL_DEVICE)
        return by_access(flags, DESCRIPTOR_SOCKET);
    if (S_ISFIFO(st->st_mode)) {
        *why = "a pipe open for reading and writing";
        kind = by_access(flags, -1);
    } else if (S_ISREG(st->st_mode)) {
        *why = "a file open for reading and writing";
        kind = by_access(flags, -1);
    } else if (S_ISDIR(st->st_mode)) {
        *why = "a directory";
    } else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
        *why = isatty(fd) ? "a terminal" : "a device";
    }
    return kind;
}

/* @what: the option or variable that asks for it, with its value. */
static int take(struct descriptors *descriptors, const char *what, struct error *err)
{
    int fd = FIRST_DESCRIPTOR + (int)descriptors->count;
    const char *why;
    struct stat st;
    int kind;

    if (descriptors->count == PROTOCOL_DESCRIPTORS_MAX)
        return error_set(err, ENOTSUP,
                         "%s: expected at most %u descriptors to be passed into a virtual machine",
                         what, PROTOCOL_DESCRIPTORS_MAX);
    if (!inherited[descriptors->count] || fstat(fd, &st) < 0)
        return error_set(err, EINVAL, "%s: descriptor %d is not open", what, fd);
    kind = classify(fd, &st, &why);
    if (kind < 0)
        return error_set(err, ENOTSUP,
                         "%s: descriptor %d is %s, which cannot be passed into a virtual machine",
                         what, fd, why);
    descriptors->fds[descriptors->count] = fd;
    descriptors->kinds[descriptors->count++] = (uint8_t)kind;
    return 0;
}

/* As sd_listen_fds(3): they are meant for the process whose pid is named, and no other. */
static long listen_count(void)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    char *end;
    long number;

    if (!count || !pid)
        return 0;
    number = strtol(pid, &end, 10);
    if (number != getpid() || end == pid || *end)
        return 0;
    number = strtol(count, &end, 10);
    return end == count || *end || number < 0 ? 0 : number;
}

static int parse_preserve(const char *preserve, long *count, struct error *err)
{
    char *end = NULL;

    *count = 0;
    if (!preserve)
        return 0;
    errno = 0;
    *count = strtol(preserve, &end, 10);
    if (end == preserve || *end || errno || *count < 0)
        return error_set(err, EINVAL, "--preserve-fds: expected how many descriptors, found \"%s\"",
                         preserve);
    return 0;
}

int descriptors_take(const char *preserve, bool listen, struct descriptors *descriptors,
                     struct error *err)
{
    long count, listened = listen ? listen_count() : 0;
    char what[64];
    int ret;

    *descriptors = (struct descriptors) { 0 };
    ret = parse_preserve(preserve, &count, err);
    snprintf(what, sizeof(what), "LISTEN_FDS=%ld", listened);
    for (long i = 0; i < listened && ret == 0; i++)
        ret = take(descriptors, what, err);
    descriptors->listen = descriptors->count;
    snprintf(what, sizeof(what), "--preserve-fds %ld", count);
    for (long i = 0; i < count && ret == 0; i++)
        ret = take(descriptors, what, err);
    if (ret < 0)
        *descriptors = (struct descriptors) { 0 };
    return ret;
}

void descriptors_close(struct descriptors *descriptors)
{
    for (size_t i = 0; i < descriptors->count; i++)
        fd_close(&descriptors->fds[i]);
    descriptors->count = 0;
}

void descriptors_put(struct protocol_writer *writer, const struct descriptors *descriptors)
{
    char text[32];

    for (size_t i = 0; i < descriptors->count; i++)
        protocol_put_u64(writer, FIELD_DESCRIPTOR, descriptors->kinds[i]);
    if (descriptors->listen == 0)
        return;
    /* runc (utils_linux.go): of a container only, whose first process has pid 1. */
    snprintf(text, sizeof(text), "LISTEN_FDS=%zu", descriptors->listen);
    protocol_put_string(writer, FIELD_ENV, text);
    protocol_put_string(writer, FIELD_ENV, "LISTEN_PID=1");
}
