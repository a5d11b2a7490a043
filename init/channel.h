/* The control connection: whole messages in, whole messages out. */
#ifndef VMRT_INIT_CHANNEL_H
#define VMRT_INIT_CHANNEL_H

#include <stdint.h>

#include "init/failure.h"
#include "init/protocol.h"

struct channel {
    int fd; /* stream socket, non-blocking; owned by the caller */
    struct protocol_writer out;
    uint8_t *in; /* header and fields of the message being received */
    size_t have, size;
};

void channel_init(struct channel *channel, int fd);
/* Frees the buffers; the descriptor stays open. */
void channel_destroy(struct channel *channel);

/**
 * channel_take() - take the next message if all of it has arrived.
 * @fields: points into the channel's buffer and is valid until the next call.
 * Return: 1 with @header and @fields filled in; 0: not all there yet; -ECONNRESET at end of file;
 * -EPROTO for bytes that are no message; or -errno.
 */
int channel_take(struct channel *channel, struct protocol_header *header,
                 struct protocol_reader *fields);

/* Each of these sends one message, waiting while the host is busy. Return: 0 or -errno. */
int channel_send_hello(struct channel *channel, const char *release);
/* @failure: NULL for success. */
int channel_send_result(struct channel *channel, uint32_t container, uint32_t sequence,
                        const struct failure *failure);
int channel_send_exit(struct channel *channel, uint32_t container, uint32_t process,
                      uint8_t status);
/* A successful RESULT with the figures of the container whose cgroup is @cgroup. */
int channel_send_stats(struct channel *channel, uint32_t container, uint32_t sequence, int cgroup);
int channel_send_oom(struct channel *channel, uint32_t container);
int channel_send_notify(struct channel *channel, uint32_t container, const void *data,
                        size_t length);
int channel_send_log(struct channel *channel, const char *text);

/**
 * channel_announce_stream() - the one message that opens a stream connection.
 * @fd:     a fresh connection to PORT_STREAM.
 * @secret: PROTOCOL_SECRET_SIZE bytes.
 * Return: 0 or -errno.
 */
int channel_announce_stream(int fd, uint32_t container, uint32_t process, uint32_t stream,
                            const uint8_t *secret);

/* The same for a connection of the name server. @stream: 0 answers, 1 questions. */
int channel_announce_resolver(int fd, uint32_t stream, const uint8_t *secret);

#endif
