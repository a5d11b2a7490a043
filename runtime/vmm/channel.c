/* Messages over the control connection: a queue out, one message at a time in. */
#include "vmm/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What may wait for a guest that is paused or slow before signals and the like are dropped. */
#define QUEUED_MAX (256u << 10)

struct channel_message {
    uint8_t *data;
    size_t length, sent;
    struct channel_message *next;
};

static void drop_first(struct channel *channel)
{
    struct channel_message *message = channel->first;

    channel->first = message->next;
    if (!channel->first)
        channel->last = NULL;
    channel->queued -= message->length;
    free(message->data);
    free(message);
}

void channel_flush(struct channel *channel)
{
    while (channel->first && channel->connection) {
        struct channel_message *message = channel->first;

        message->sent += vsock_send(channel->connection, message->data + message->sent,
                                    message->length - message->sent);
        if (message->sent < message->length)
            return;
        drop_first(channel);
    }
}

bool channel_keeps_up(const struct channel *channel)
{
    return channel->queued <= QUEUED_MAX;
}

int channel_send(struct channel *channel, uint8_t *data, size_t length)
{
    struct channel_message *message = calloc(1, sizeof(*message));

    if (!message || !data) {
        free(message);
        free(data);
        return -ENOMEM;
    }
    *message = (struct channel_message) { .data = data, .length = length };
    if (channel->last)
        channel->last->next = message;
    else
        channel->first = message;
    channel->last = message;
    channel->queued += length;
    channel_flush(channel);
    return 0;
}

int channel_send_message(struct channel *channel, struct protocol_writer *writer)
{
    if (protocol_finish(writer) < 0) {
        free(writer->data);
        return -ENOMEM;
    }
    return channel_send(channel, writer->data, writer->length);
}

int channel_receive(struct channel *channel, struct protocol_header *header,
                    struct protocol_reader *fields)
{
    const void *data;
    size_t available;

    while (channel->connection && (available = vsock_peek(channel->connection, &data)) > 0) {
        size_t want = PROTOCOL_HEADER_SIZE, take;

        if (channel->inbound_length >= PROTOCOL_HEADER_SIZE) {
            protocol_read_header(channel->inbound, header);
            want += header->length;
        }
        take = want - channel->inbound_length;
        if (take > available)
            take = available;
        memcpy(channel->inbound + channel->inbound_length, data, take);
        channel->inbound_length += take;
        vsock_consume(channel->connection, take);
        if (channel->inbound_length < PROTOCOL_HEADER_SIZE)
            continue;
        if (protocol_read_header(channel->inbound, header) < 0 ||
            header->length > CHANNEL_INBOUND_MAX - PROTOCOL_HEADER_SIZE) {
            /* So that no call after this one believes the length. */
            channel->inbound_length = 0;
            return -EPROTO;
        }
        if (channel->inbound_length < PROTOCOL_HEADER_SIZE + header->length)
            continue;
        channel->inbound_length = 0;
        *fields =
            (struct protocol_reader) { channel->inbound + PROTOCOL_HEADER_SIZE, header->length };
        return 1;
    }
    return 0;
}

void channel_discard(struct channel *channel)
{
    const void *data;
    size_t available;

    while (channel->connection && (available = vsock_peek(channel->connection, &data)) > 0)
        vsock_consume(channel->connection, available);
}

void channel_release(struct channel *channel)
{
    while (channel->first)
        drop_first(channel);
}
