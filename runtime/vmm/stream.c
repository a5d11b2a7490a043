/* One stdio stream: a pump between a vsock connection and a host descriptor. */
#include "vmm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"

#define STREAM_BUFFER 65536
/* Bytes for a terminal that must not be made to wait and cannot be asked for its room. */
#define SHARED_PIECE 256u

struct stream {
    struct loop *loop;
    bool input;
    int fd;    /* what is read or written; -1: the host's side has ended */
    int given; /* the engine's descriptor, to be closed with it; -1: none */
    bool is_socket;
    struct stream *twin; /* of a socket that goes both ways: the other half */
    bool is_shared;      /* a pipe or terminal that could not be opened anew: it may block */
    bool always_ready;   /* regular files and the like, which epoll does not take */
    bool waiting;        /* fd is being watched for readiness */
    bool unwatched;      /* input: it hung up, so that the loop does not know it until it must */
    bool guest_eof;      /* output: the guest will send no more */
    bool finishing;
    size_t due; /* output: bytes that had arrived at stream_finish() and are still here */
    struct vsock_connection *connection;
    void (*idle)(void *context);
    void *idle_context;
    size_t start, length; /* input: bytes read from the host and not yet sent */
    uint8_t *buffer;      /* input: STREAM_BUFFER bytes */
};

static void handle_ready(void *context, int fd, uint32_t events);

/*
 * The same pipe or terminal through a file description of our own, so that O_NONBLOCK is nobody
 * else's business. Sockets cannot be opened anew, they have MSG_DONTWAIT; files never block.
 */
static int open_anew(const struct stream_config *config)
{
    char name[16];

    snprintf(name, sizeof(name), "%d", config->fd);
    return openat(config->proc_fd, name,
                  (config->input ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int open_host(struct stream *stream, const struct stream_config *config)
{
    struct stat st;

    stream->fd = stream->given = -1;
    if (fstat(config->fd, &st) < 0)
        return 0;
    if (config->ownership != STREAM_KEEP)
        stream->given = config->fd;
    stream->is_socket = S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        stream->fd = open_anew(config);
        if (stream->fd >= 0) {
            if (config->ownership == STREAM_TAKE)
                fd_close(&stream->given);
            return 0;
        }
        /* ENXIO: a pipe that nobody reads any more; EIO: a terminal that hung up. */
        if (errno == ENXIO || errno == EIO)
            return 0;
        /* Such as a terminal of another user: shared, then. */
        stream->is_shared = true;
    }
    if (config->ownership == STREAM_TAKE)
        stream->fd = steal_fd(&stream->given);
    else
        stream->fd = fcntl(config->fd, F_DUPFD_CLOEXEC, 3);
    return stream->fd < 0 ? -errno : 0;
}

static struct stream *open_half(const struct stream_config *config)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    int ret;

    if (!stream)
        return NULL;
    stream->loop = config->loop;
    stream->input = config->input;
    ret = open_host(stream, config);
    if (ret == 0 && stream->input && stream->fd >= 0) {
        stream->buffer = malloc(STREAM_BUFFER);
        if (!stream->buffer)
            ret = -ENOMEM;
    }
    if (ret == 0 && stream->fd >= 0) {
        ret = loop_add(stream->loop, stream->fd, 0, handle_ready, stream);
        if (ret == -EPERM) {
            stream->always_ready = true;
            ret = 0;
        }
    }
    if (ret == 0)
        return stream;
    stream_close(stream);
    errno = -ret;
    return NULL;
}

/* Two descriptors for the socket: each half is watched for what it waits for itself. */
static struct stream *open_both(const struct stream_config *config)
{
    struct stream_config in = *config, out = *config;
    struct stream *stream = NULL, *twin = NULL;

    in.input = true;
    in.ownership = STREAM_TAKE;
    in.fd = fcntl(config->fd, F_DUPFD_CLOEXEC, 3);
    out.input = false;
    if (in.fd >= 0)
        twin = open_half(&in);
    if (twin)
        stream = open_half(&out);
    if (!stream) {
        int saved = errno;

        /* Nobody has taken it over yet; the second half would have. */
        if (!twin && config->ownership == STREAM_TAKE)
            close(config->fd);
        stream_close(twin);
        errno = saved;
        return NULL;
    }
    stream->twin = twin;
    twin->twin = stream;
    return stream;
}

struct stream *stream_open(const struct stream_config *config)
{
    return config->both ? open_both(config) : open_half(config);
}

/*
 * The host's side is over. The engine's own descriptor goes too, so that the peer notices. A socket
 * whose other half goes on is shut down: the guest did so, it would have closed both else.
 */
static void end_host(struct stream *stream)
{
    if (stream->fd >= 0)
        loop_remove(stream->loop, stream->fd);
    if (stream->fd >= 0 && stream->guest_eof && stream->twin && stream->twin->fd >= 0)
        shutdown(stream->fd, SHUT_WR);
    fd_close(&stream->fd);
    fd_close(&stream->given);
}

/* Nobody is there any more for whom the guest's end could matter. */
static void break_guest(struct stream *stream)
{
    struct vsock_connection *connection = stream->connection;

    stream->connection = NULL;
    if (stream->twin)
        stream->twin->connection = NULL;
    if (connection)
        vsock_reset(connection);
}

/*
 * Output: nobody reads any more. As long as there is input left in the other half the guest is to
 * have that, and what it writes is dropped.
 */
static void lose_reader(struct stream *stream)
{
    end_host(stream);
    if (!stream->twin || stream->twin->fd < 0)
        break_guest(stream);
}

static void close_half(struct stream *stream)
{
    end_host(stream);
    free(stream->buffer);
    free(stream);
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    break_guest(stream);
    if (stream->twin) {
        stream->twin->twin = NULL;
        close_half(stream->twin);
        stream->twin = NULL;
    }
    close_half(stream);
}

static void wait_ready(struct stream *stream, bool wait)
{
    if (stream->fd < 0 || stream->always_ready || stream->waiting == wait)
        return;
    stream->waiting = wait;
    if (!stream->unwatched) {
        loop_modify(stream->loop, stream->fd,
                    wait ? (uint32_t)(stream->input ? EPOLLIN : EPOLLOUT) : 0);
    } else if (wait) {
        /* A named pipe that hung up and got another writer. */
        stream->unwatched = loop_add(stream->loop, stream->fd, EPOLLIN, handle_ready, stream) < 0;
    }
}

/* A shared descriptor may only be used when it is sure not to block. */
static bool is_ready(const struct stream *stream)
{
    struct pollfd ready = { .fd = stream->fd, .events = (short)(stream->input ? POLLIN : POLLOUT) };

    return !stream->is_shared || poll(&ready, 1, 0) == 1;
}

static ssize_t get(struct stream *stream)
{
    if (stream->is_socket)
        return recv(stream->fd, stream->buffer, STREAM_BUFFER, MSG_DONTWAIT);
    if (!is_ready(stream)) {
        errno = EAGAIN;
        return -1;
    }
    return read(stream->fd, stream->buffer, STREAM_BUFFER);
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
    n = get(stream);
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
    if (stream->twin && stream->twin->fd < 0 && !stream->twin->guest_eof)
        break_guest(stream);
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
    if (!is_ready(stream)) {
        errno = EAGAIN;
        return -1;
    }
    if (stream->is_shared && length > SHARED_PIECE)
        length = SHARED_PIECE;
    return write(stream->fd, data, length);
}

static size_t unread(const struct stream *stream)
{
    const void *data;

    return stream->connection && !stream->input ? vsock_peek(stream->connection, &data) : 0;
}

/* Return: bytes that are done with, or -1 with errno set. */
static ssize_t put_or_drop(struct stream *stream, const void *data, size_t length)
{
    if (stream->fd >= 0)
        return put(stream, data, length);
    if (stream->twin && stream->twin->fd >= 0)
        return (ssize_t)length;
    errno = EPIPE;
    return -1;
}

static void pump_output(struct stream *stream)
{
    const void *data;
    size_t length;

    while (stream->connection && (length = vsock_peek(stream->connection, &data)) > 0) {
        ssize_t n = put_or_drop(stream, data, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            wait_ready(stream, true);
            return;
        }
        if (n < 0) {
            /* Nobody reads any more: the guest's writer shall get SIGPIPE, as on the host. */
            lose_reader(stream);
            if (!stream->connection)
                break;
            continue;
        }
        vsock_consume(stream->connection, (size_t)n);
        stream->due -= stream->due < (size_t)n ? stream->due : (size_t)n;
    }
    if (stream->guest_eof && unread(stream) == 0)
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
    if (stream->input) {
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
        /* The reader went away while there was nothing to write. */
        lose_reader(stream);
        settle_output(stream);
        return;
    }
    pump_output(stream);
}

static void begin_input(struct stream *stream)
{
    if (stream->fd < 0)
        vsock_send_eof(stream->connection);
    else
        pump_input(stream);
}

void stream_connect(struct stream *stream, struct vsock_connection *connection)
{
    stream->connection = connection;
    if (stream->twin)
        stream->twin->connection = connection;
    if (stream->input)
        begin_input(stream);
    else
        pump_output(stream);
    if (stream->twin && stream->twin->connection)
        begin_input(stream->twin);
}

bool stream_connected(const struct stream *stream)
{
    return stream->connection != NULL;
}

void stream_readable(struct stream *stream)
{
    const void *data;
    size_t length;

    if (!stream->input) {
        pump_output(stream);
        return;
    }
    /* Nothing is expected on an input stream; it must not pile up either. */
    while ((length = vsock_peek(stream->connection, &data)) > 0)
        vsock_consume(stream->connection, length);
}

void stream_writable(struct stream *stream)
{
    if (stream->input)
        pump_input(stream);
    else if (stream->twin)
        pump_input(stream->twin);
}

void stream_half_closed(struct stream *stream, bool receive_closed)
{
    /* It closed the socket: so does this process, which is not to shut it down for others. */
    if (stream->twin && receive_closed)
        end_host(stream->twin);
    if (!stream->input) {
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
    if (stream->twin) {
        stream->twin->connection = NULL;
        end_host(stream->twin);
    }
    end_host(stream);
    settle_output(stream);
}

void stream_finish(struct stream *stream, void (*idle)(void *context), void *context)
{
    stream->finishing = true;
    stream->due = unread(stream);
    stream->idle = idle;
    stream->idle_context = context;
    settle_output(stream);
}

bool stream_finished(const struct stream *stream)
{
    return !stream->connection || stream->due == 0;
}
