/* The control connection: framing of what comes in, and the messages init can send. */
#include "init/channel.h"

#include <errno.h>
#include <sys/socket.h>

#include "init/io.h"
#include "init/stats.h"

/* Buffers above this are given back after use: only MESSAGE_CONTAINER is ever large. */
#define CHANNEL_KEEP_SIZE 4096u

void channel_init(struct channel *channel, int fd)
{
    *channel = (struct channel) { .fd = fd };
}

void channel_destroy(struct channel *channel)
{
    free(channel->in);
    free(channel->out.data);
    channel_init(channel, -1);
}

/* Makes room for @size bytes. */
static int channel_reserve(struct channel *channel, size_t size)
{
    uint8_t *in;

    if (size <= channel->size)
        return 0;
    in = realloc(channel->in, size);
    if (!in)
        return -ENOMEM;
    channel->in = in;
    channel->size = size;
    return 0;
}

/* Reads until @want bytes are there, never beyond. Return: 1, 0 when more must come, -errno. */
static int channel_fill(struct channel *channel, size_t want)
{
    int ret = channel_reserve(channel, want);

    if (ret < 0)
        return ret;
    while (channel->have < want) {
        ssize_t n =
            recv(channel->fd, channel->in + channel->have, want - channel->have, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (n == 0)
            return -ECONNRESET;
        channel->have += (size_t)n;
    }
    return 1;
}

int channel_take(struct channel *channel, struct protocol_header *header,
                 struct protocol_reader *fields)
{
    int ret;

    if (channel->have == 0 && channel->size > CHANNEL_KEEP_SIZE) {
        free(channel->in);
        channel->in = NULL;
        channel->size = 0;
    }
    ret = channel_fill(channel, PROTOCOL_HEADER_SIZE);
    if (ret <= 0)
        return ret;
    ret = protocol_read_header(channel->in, header);
    if (ret < 0)
        return ret;
    ret = channel_fill(channel, PROTOCOL_HEADER_SIZE + (size_t)header->length);
    if (ret <= 0)
        return ret;
    fields->data = channel->in + PROTOCOL_HEADER_SIZE;
    fields->length = header->length;
    channel->have = 0;
    return 1;
}

static int writer_send(struct protocol_writer *writer, int fd)
{
    int ret = protocol_finish(writer);

    return ret < 0 ? ret : io_write_full(fd, writer->data, writer->length);
}

int channel_send_hello(struct channel *channel, const char *release)
{
    protocol_begin(&channel->out, MESSAGE_HELLO, 0, 0);
    protocol_put_string(&channel->out, FIELD_RELEASE, release);
    return writer_send(&channel->out, channel->fd);
}

int channel_send_result(struct channel *channel, uint32_t container, uint32_t sequence,
                        const struct failure *failure)
{
    protocol_begin(&channel->out, MESSAGE_RESULT, container, sequence);
    protocol_put_u64(&channel->out, FIELD_CODE, failure ? (uint64_t)failure->code : 0);
    if (failure)
        protocol_put_string(&channel->out, FIELD_TEXT, failure->text);
    return writer_send(&channel->out, channel->fd);
}

int channel_send_exit(struct channel *channel, uint32_t container, uint32_t process, uint8_t status)
{
    protocol_begin(&channel->out, MESSAGE_EXIT, container, 0);
    protocol_put_u64(&channel->out, FIELD_PROCESS, process);
    protocol_put_u64(&channel->out, FIELD_STATUS, status);
    return writer_send(&channel->out, channel->fd);
}

int channel_send_stats(struct channel *channel, uint32_t container, uint32_t sequence, int cgroup)
{
    protocol_begin(&channel->out, MESSAGE_RESULT, container, sequence);
    protocol_put_u64(&channel->out, FIELD_CODE, 0);
    stats_put(&channel->out, cgroup);
    return writer_send(&channel->out, channel->fd);
}

int channel_send_oom(struct channel *channel, uint32_t container)
{
    protocol_begin(&channel->out, MESSAGE_OOM, container, 0);
    return writer_send(&channel->out, channel->fd);
}

int channel_send_notify(struct channel *channel, uint32_t container, const void *data,
                        size_t length)
{
    protocol_begin(&channel->out, MESSAGE_NOTIFY, container, 0);
    protocol_put_bytes(&channel->out, FIELD_DATA, data, length);
    return writer_send(&channel->out, channel->fd);
}

int channel_send_log(struct channel *channel, const char *text)
{
    protocol_begin(&channel->out, MESSAGE_LOG, 0, 0);
    protocol_put_string(&channel->out, FIELD_TEXT, text);
    return writer_send(&channel->out, channel->fd);
}

int channel_announce_stream(int fd, uint32_t container, uint32_t process, uint32_t stream,
                            const uint8_t *secret)
{
    struct protocol_writer writer = { 0 };
    int ret;

    protocol_begin(&writer, MESSAGE_STREAM, container, 0);
    protocol_put_u64(&writer, FIELD_PROCESS, process);
    protocol_put_u64(&writer, FIELD_STREAM, stream);
    protocol_put_bytes(&writer, FIELD_SECRET, secret, PROTOCOL_SECRET_SIZE);
    ret = writer_send(&writer, fd);
    free(writer.data);
    return ret;
}

int channel_announce_resolver(int fd, uint32_t stream, const uint8_t *secret)
{
    struct protocol_writer writer = { 0 };
    int ret;

    protocol_begin(&writer, MESSAGE_RESOLVER, 0, 0);
    protocol_put_u64(&writer, FIELD_STREAM, stream);
    protocol_put_bytes(&writer, FIELD_SECRET, secret, PROTOCOL_SECRET_SIZE);
    ret = writer_send(&writer, fd);
    free(writer.data);
    return ret;
}
