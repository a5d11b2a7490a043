/* The workload's standard streams: a pipe here, a connection to the host there. */
#ifndef VMRT_INIT_STREAMS_H
#define VMRT_INIT_STREAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "init/events.h"

struct stream;

/* The stream has ended: both descriptors are closed; or it has settled. */
typedef void stream_changed(struct stream *stream);

struct stream {
    struct watch source, sink;
    bool to_workload; /* stdin: the sink is the pipe */
    bool sink_full;   /* waiting for the sink, else for the source */
    bool open;
    size_t owed; /* bytes that were in the pipe at stream_settle() and are there still */
    int epoll;
    stream_changed *changed;
    void *context;
};

/**
 * stream_start() - begin to move bytes.
 * @stream:      must not move in memory until it has ended.
 * @pipe, @host: non-blocking; taken over whatever is returned.
 * @changed:     called from the event loop, never from the functions below; it may free the stream.
 * Return: 0 or -errno.
 */
int stream_start(struct stream *stream, int epoll, int pipe, int host, bool to_workload,
                 stream_changed *changed, void *context);

/* Closes both ends now, without a call of `ended`. Harmless when it has ended already. */
void stream_stop(struct stream *stream);

/**
 * stream_settle() - note what has been written into the pipe so far: once that is with the host,
 * the stream has settled, though others may go on writing.
 */
void stream_settle(struct stream *stream);

static inline bool stream_is_settled(const struct stream *stream)
{
    return !stream->open || stream->owed == 0;
}

#endif
