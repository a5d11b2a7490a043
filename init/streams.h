/* The workload's standard streams: a pipe here, a connection to the host there. */
#ifndef VMRT_INIT_STREAMS_H
#define VMRT_INIT_STREAMS_H

#include <stdbool.h>

#include "init/events.h"

struct stream;

/* The stream has ended: both descriptors are closed. */
typedef void stream_ended(struct stream *stream);

struct stream {
    struct watch source, sink;
    bool to_workload; /* stdin: the sink is the pipe */
    bool sink_full;   /* waiting for the sink, else for the source */
    bool open;
    int epoll;
    stream_ended *ended;
    void *context;
};

/**
 * stream_start() - begin to move bytes.
 * @stream:      must not move in memory until it has ended.
 * @pipe, @host: non-blocking; taken over whatever is returned.
 * @ended:       called from the event loop, never from stream_start() or stream_stop().
 * Return: 0 or -errno.
 */
int stream_start(struct stream *stream, int epoll, int pipe, int host, bool to_workload,
                 stream_ended *ended, void *context);

/* Closes both ends now, without a call of `ended`. Harmless when it has ended already. */
void stream_stop(struct stream *stream);

#endif
