/* One stdio stream: a pump between a vsock connection and a host descriptor. */
#include "vmm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define STREAM_BUFFER 65536

struct stream {
    struct loop *loop;
    int number;
    int fd; /* -1: the host's side has ended */
    bool is_socket;
    bool always_ready; /* regular files and the like, which epoll does not take */
    bool waiting;      /* fd is being watched for readiness */
    bool unwatched;    /* input: it hung up, so that the loop does not know it until it must */
    bool guest_eof;    /* output: the guest will send no more */
    bool finishing;
    struct vsock_connection *connection;
    void (*idle)(void *context);
    void *idle_context;
    size_t start, length; /* input: bytes read from the host and not yet sent */
    uint8_t buffer[STREAM_BUFFER];
};

static void handle_ready(void *context, int fd, uint32_t events);

static bool is_input(const struct stream *stream)
{
    return stream->number == 0;
}

/*
 * The same pipe or terminal through a file description of our own, so that O_NONBLOCK is nobody
 * else's business. Sockets cannot be opened anew, they have MSG_DONTWAIT; files never block.
 */
static int open_anew(int number, int proc_fd, mode_t type)
{
    char name[16];
    int fd;

    if (!S_ISFIFO(type) && !S_ISCHR(type))
        return fcntl(number, F_DUPFD_CLOEXEC, 3);
    snprintf(name, sizeof(name), "%d", number);
    fd = openat(proc_fd, name,
                (number == 0 ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    /* ENXIO: a pipe that nobody reads any more. Others (a terminal of another user): share it. */
    return fd >= 0 || errno == ENXIO ? fd : fcntl(number, F_DUPFD_CLOEXEC, 3);
}

struct stream *stream_open(struct loop *loop, int number, int proc_fd)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct stat st;
    int ret;

    if (!stream)
        return NULL;
    stream->loop = loop;
    stream->number = number;
    stream->fd = -1;
    if (fstat(number, &st) < 0)
        return stream;
    stream->is_socket = S_ISSOCK(st.st_mode);
    stream->fd = open_anew(number, proc_fd, st.st_mode);
    if (stream->fd < 0)
        return stream;
    ret = loop_add(loop, stream->fd, 0, handle_ready, stream);
    if (ret == -EPERM) {
        stream->always_ready = true;
    } else if (ret < 0) {
        close(stream->fd);
        free(stream);
        errno = -ret;
        return NULL;
    }
    return stream;
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->fd >= 0) {
        loop_remove(stream->loop, stream->fd);
        close(stream->fd);
    }
    free(stream);
}

/*
 * The host's side is over. Its own descriptor is closed too, so that the peer notices; but not
 * stderr, where this process reports.
 */
static void end_host(struct stream *stream)
{
    if (stream->fd < 0)
        return;
    loop_remove(stream->loop, stream->fd);
    close(stream->fd);
    stream->fd = -1;
    if (stream->number != STDERR_FILENO)
        close(stream->number);
}

static void wait_ready(struct stream *stream, bool wait)
{
    if (stream->fd < 0 || stream->always_ready || stream->waiting == wait)
        return;
    stream->waiting = wait;
    if (!stream->unwatched) {
        loop_modify(stream->loop, stream->fd,
                    wait ? (uint32_t)(is_input(stream) ? EPOLLIN : EPOLLOUT) : 0);
    } else if (wait) {
        /* A named pipe that hung up and got another writer. */
        stream->unwatched = loop_add(stream->loop, stream->fd, EPOLLIN, handle_ready, stream) < 0;
    }
}

/* Input: fill the buffer from the host when it is empty. Return: false when there is nothing now.
 */
static bool fill(struct stream *stream)
{
    ssize_t n;

    if (stream->length)
        return true;
    if (stream->fd < 0)
        return false;
    n = stream->is_socket ? recv(stream->fd, stream->buffer, STREAM_BUFFER, MSG_DONTWAIT)
                          : read(stream->fd, stream->buffer, STREAM_BUFFER);
    if (n > 0) {
        stream->start = 0;
        stream->length = (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        wait_ready(stream, true);
        return false;
    }
    /* End of file; a read error (a terminal that hung up) ends the input as well. */
    end_host(stream);
    vsock_send_eof(stream->connection);
    return false;
}

static void pump_input(struct stream *stream)
{
    while (stream->connection && fill(stream)) {
        size_t sent =
            vsock_send(stream->connection, stream->buffer + stream->start, stream->length);

        stream->start += sent;
        stream->length -= sent;
        if (stream->length) {
            wait_ready(stream, false); /* stream_writable() goes on */
            return;
        }
    }
}

static void settle_output(struct stream *stream)
{
    if (stream->finishing && stream_finished(stream) && stream->idle) {
        void (*idle)(void *) = stream->idle;

        stream->idle = NULL;
        idle(stream->idle_context);
    }
}

static ssize_t put(struct stream *stream, const void *data, size_t length)
{
    if (stream->is_socket)
        return send(stream->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(stream->fd, data, length);
}

static void pump_output(struct stream *stream)
{
    const void *data;
    size_t length;

    while (stream->connection && (length = vsock_peek(stream->connection, &data)) > 0) {
        ssize_t n = stream->fd >= 0 ? put(stream, data, length) : (errno = EPIPE, -1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            wait_ready(stream, true);
            return;
        }
        if (n < 0) {
            /* Nobody reads any more: the guest's writer shall get SIGPIPE, as on the host. */
            struct vsock_connection *connection = stream->connection;

            end_host(stream);
            stream->connection = NULL;
            vsock_reset(connection);
            break;
        }
        vsock_consume(stream->connection, (size_t)n);
    }
    if (stream->guest_eof && stream_finished(stream))
        end_host(stream);
    wait_ready(stream, false);
    settle_output(stream);
}

/* Hang-ups are level triggered: one that is of no use now would spin the loop. */
static void stop_watching(struct stream *stream)
{
    loop_remove(stream->loop, stream->fd);
    stream->unwatched = true;
}

static void handle_ready(void *context, int fd, uint32_t events)
{
    struct stream *stream = context;

    (void)fd;
    if (is_input(stream)) {
        if (!stream->connection && (events & (EPOLLHUP | EPOLLERR))) {
            /* Not connected yet: the data stays in the pipe. */
            stop_watching(stream);
            return;
        }
        if (!stream->waiting && (events & (EPOLLHUP | EPOLLERR)) && stream->length) {
            /* The guest is slow to take the last bytes. */
            stop_watching(stream);
            return;
        }
        pump_input(stream);
        return;
    }
    if (!stream->waiting && (events & (EPOLLHUP | EPOLLERR))) {
        struct vsock_connection *connection = stream->connection;

        /* The reader went away while there was nothing to write. */
        end_host(stream);
        stream->connection = NULL;
        if (connection)
            vsock_reset(connection);
        settle_output(stream);
        return;
    }
    pump_output(stream);
}

void stream_connect(struct stream *stream, struct vsock_connection *connection)
{
    stream->connection = connection;
    if (!is_input(stream))
        pump_output(stream);
    else if (stream->fd < 0)
        vsock_send_eof(connection);
    else
        pump_input(stream);
}

bool stream_connected(const struct stream *stream)
{
    return stream->connection != NULL;
}

void stream_readable(struct stream *stream)
{
    const void *data;
    size_t length;

    if (!is_input(stream)) {
        pump_output(stream);
        return;
    }
    /* Nothing is expected on an input stream; it must not pile up either. */
    while ((length = vsock_peek(stream->connection, &data)) > 0)
        vsock_consume(stream->connection, length);
}

void stream_writable(struct stream *stream)
{
    if (is_input(stream))
        pump_input(stream);
}

void stream_half_closed(struct stream *stream, bool receive_closed)
{
    if (!is_input(stream)) {
        stream->guest_eof = true;
        pump_output(stream);
    } else if (receive_closed) {
        /* The process closed its stdin: the host's writer gets SIGPIPE. */
        end_host(stream);
    }
}

void stream_disconnected(struct stream *stream)
{
    stream->connection = NULL;
    end_host(stream);
    settle_output(stream);
}

void stream_finish(struct stream *stream, void (*idle)(void *context), void *context)
{
    stream->finishing = true;
    stream->idle = idle;
    stream->idle_context = context;
    settle_output(stream);
}

bool stream_finished(const struct stream *stream)
{
    const void *data;

    if (is_input(stream))
        return true;
    return !stream->connection || vsock_peek(stream->connection, &data) == 0;
}
