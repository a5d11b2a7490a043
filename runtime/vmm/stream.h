/*
 * Stdio of a guest process on the host: each stream is a vsock connection on one side and a
 * descriptor of the engine's on the other.
 *
 * Nothing is lost or invented: bytes are taken from one side only when the other can have them
 * (the guest's credit is given back once the host has taken the bytes), end of file is passed on
 * both ways, and a reader that has gone away breaks the guest's stream so that its writer gets
 * SIGPIPE as it would on the host.
 *
 * A socket goes both ways over one connection: two halves, each with a descriptor of its own for
 * the same socket, one of which is handed out and stands for both.
 */
#ifndef VMRT_VMM_STREAM_H
#define VMRT_VMM_STREAM_H

#include <stdbool.h>

#include "vmm/loop.h"
#include "vmm/virtio/vsock.h"

#define STREAM_COUNT 3 /* stdin, stdout, stderr */

struct stream;

/* What becomes of the engine's descriptor that a stream is opened on. */
enum stream_ownership {
    STREAM_KEEP, /* stays open whatever happens: this process uses it too, or another stream does */
    STREAM_HOLD, /* closed when the host's side has ended; its number is not free before */
    STREAM_TAKE, /* taken over: closed as soon as it is not needed */
};

struct stream_config {
    struct loop *loop;
    bool input; /* from the host to the guest */
    bool both;  /* a stream socket; `input` has no meaning then */
    int fd;     /* the engine's descriptor; a closed one gives an ended stream */
    enum stream_ownership ownership;
    /*
     * /proc/self/fd, to open pipes and terminals anew without blocking: the engine's own
     * descriptors are shared with others and must keep their flags.
     */
    int proc_fd;
};

/* The host end of one stream. Return: the stream, or NULL with errno set. */
struct stream *stream_open(const struct stream_config *config);
/* Also breaks the guest's end when it is connected. */
void stream_close(struct stream *stream);

/* The guest's end: stream_connect() once; the rest as struct vsock_service says. */
void stream_connect(struct stream *stream, struct vsock_connection *connection);
bool stream_connected(const struct stream *stream);
void stream_readable(struct stream *stream);
void stream_writable(struct stream *stream);
void stream_half_closed(struct stream *stream, bool receive_closed);
void stream_disconnected(struct stream *stream);

/*
 * The process is gone and all it wrote has arrived: @idle is called (perhaps at once) when the last
 * of these bytes has been handed to the host. Others may go on writing.
 */
void stream_finish(struct stream *stream, void (*idle)(void *context), void *context);
/* Whether all that had arrived at stream_finish() has been handed over. */
bool stream_finished(const struct stream *stream);

#endif
