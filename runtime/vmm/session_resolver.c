/*
 * The way from the guest's init to the engine's name server, which is asked by vmrt-net in the
 * container's network namespace: two streams like those of a process, over one socket. What passes
 * is bounded as stdio is: a side that does not read makes the other wait.
 */
#include <errno.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "vmm/session_internal.h"

void session_close_resolver(struct session *session)
{
    for (int i = 0; i < RESOLVER_STREAMS; i++) {
        stream_close(session->resolver[i].stream);
        session->resolver[i] = (struct process_stream) { 0 };
    }
}

struct process_stream *session_resolver_claimable(struct session *session, uint64_t number)
{
    struct process_stream *stream = number < RESOLVER_STREAMS ? &session->resolver[number] : NULL;

    return stream && stream->stream && !stream->claimed ? stream : NULL;
}

static struct stream *open_stream(const struct session *session, int fd, bool input)
{
    const struct stream_config config = {
        .loop = session->config.loop,
        .input = input,
        .fd = fd,
        .ownership = input ? STREAM_KEEP : STREAM_TAKE,
        .proc_fd = session->config.proc_fd,
    };

    return stream_open(&config);
}

/* Answers come from a copy of @fd, questions go to @fd itself, which is taken over. */
static int open_streams(struct session *session, int fd)
{
    session->resolver[0].stream = open_stream(session, fd, true);
    if (!session->resolver[0].stream) {
        int ret = -errno;

        fd_close(&fd);
        return ret;
    }
    session->resolver[1].stream = open_stream(session, fd, false);
    return session->resolver[1].stream ? 0 : -errno;
}

int session_set_resolver(struct session *session, int fd, struct error *err)
{
    struct stat st;
    int ret;

    session_close_resolver(session);
    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        fd_close(&fd);
        return error_set(err, ENOTSOCK, "name server: expected a socket");
    }
    ret = open_streams(session, fd);
    if (ret == 0)
        return 0;
    session_close_resolver(session);
    return error_set(err, -ret, "name server: %s", strerror(-ret));
}
