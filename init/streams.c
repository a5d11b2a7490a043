/*
 * The workload's standard streams.
 *
 * Bytes go from pipe to socket and back by splice(2): nothing is buffered here, so nothing can be
 * lost here, and a slow reader slows the writer down through the pipe (64 KiB) and the connection's
 * credit. A stream waits for one thing at a time: for its source until a splice finds the sink
 * full, then for its sink until a splice finds the source empty. Meanwhile the other end is watched
 * for errors only:
 *
 *   pipe of stdin, EPOLLERR        the workload closed its stdin: the host is to stop sending
 *   socket of stdout, hang-up      nobody reads any more: the workload gets SIGPIPE, as with runc
 *
 * End of file on the source closes the sink. On a vsock, close(2) is a SHUTDOWN packet behind the
 * last byte; what the socket has taken is in the device's queue in that order.
 */
#include "init/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "init/io.h"

/* Bytes moved before other streams get their turn: what a pipe holds by default. */
#define STREAM_CHUNK 65536u

void stream_stop(struct stream *stream)
{
    if (!stream->open)
        return;
    stream->open = false;
    watch_close(&stream->source);
    watch_close(&stream->sink);
}

static void stream_end(struct stream *stream)
{
    stream_stop(stream);
    stream->changed(stream);
}

/* Arms the watches for what the stream now waits for. */
static int stream_arm(struct stream *stream)
{
    int ret;

    if (stream->sink_full) {
        /* A source that has hung up would be reported for ever. */
        watch_stop(&stream->source);
        return watch_set(&stream->sink, stream->epoll, EPOLLOUT);
    }
    ret = watch_set(&stream->sink, stream->epoll, stream->to_workload ? 0 : EPOLLRDHUP);
    return ret < 0 ? ret : watch_set(&stream->source, stream->epoll, EPOLLIN);
}

static void stream_move(struct stream *stream)
{
    ssize_t n =
        splice(stream->source.fd, NULL, stream->sink.fd, NULL, STREAM_CHUNK, SPLICE_F_NONBLOCK);

    if (n > 0 && stream->owed) {
        stream->owed -= (size_t)n < stream->owed ? (size_t)n : stream->owed;
        if (stream->owed == 0)
            stream->changed(stream);
        return;
    }
    if (n > 0 || (n < 0 && errno == EINTR))
        return;
    if (n < 0 && errno == EAGAIN) {
        stream->sink_full = !stream->sink_full;
        if (stream_arm(stream) == 0)
            return;
    }
    stream_end(stream);
}

static void source_ready(struct watch *watch, uint32_t events)
{
    stream_move(watch->context);
}

static void sink_ready(struct watch *watch, uint32_t events)
{
    struct stream *stream = watch->context;

    if (stream->sink_full)
        stream_move(stream);
    else if (events & (EPOLLERR | EPOLLHUP) || io_socket_is_broken(watch->fd))
        stream_end(stream);
    else if (watch_set(watch, stream->epoll, 0) < 0)
        stream_end(stream);
}

int stream_start(struct stream *stream, int epoll, int pipe, int host, bool to_workload,
                 stream_changed *changed, void *context)
{
    int ret;

    *stream = (struct stream) {
        .source = watch_of(to_workload ? host : pipe, source_ready, stream),
        .sink = watch_of(to_workload ? pipe : host, sink_ready, stream),
        .to_workload = to_workload,
        .open = true,
        .epoll = epoll,
        .changed = changed,
        .context = context,
    };
    ret = stream_arm(stream);
    if (ret < 0)
        stream_stop(stream);
    return ret;
}

void stream_settle(struct stream *stream)
{
    int waiting = 0;

    if (!stream->open || stream->to_workload || ioctl(stream->source.fd, FIONREAD, &waiting) < 0)
        return;
    stream->owed = (size_t)waiting;
}
