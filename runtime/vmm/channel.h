/*
 * The control connection to init: whole messages in and out over a byte stream. It knows their
 * headers and nothing of what they say.
 */
#ifndef VMRT_VMM_CHANNEL_H
#define VMRT_VMM_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/protocol.h"
#include "vmm/virtio/vsock.h"

/*
 * Bytes of init's messages; the largest is a datagram of NOTIFY_SOCKET (4096, as runc reads them)
 * or a line of text.
 */
#define CHANNEL_INBOUND_MAX 8192

struct channel_message;

struct channel {
    struct vsock_connection *connection; /* NULL: init has not come yet, or has gone */
    uint8_t inbound[CHANNEL_INBOUND_MAX];
    size_t inbound_length;
    struct channel_message *first, *last; /* to be sent */
    size_t queued;                        /* bytes of these */
};

/**
 * channel_send() - queue a message and send what the guest takes now.
 * @data: one or more whole messages; taken over, whatever is returned.
 * Return: 0 or -ENOMEM.
 */
int channel_send(struct channel *channel, uint8_t *data, size_t length);
/* The same for what a writer has built, which is finished here. */
int channel_send_message(struct channel *channel, struct protocol_writer *writer);
/* The guest has room again. */
void channel_flush(struct channel *channel);
/* Whether the guest takes its messages: false when so many wait that some had better be dropped. */
bool channel_keeps_up(const struct channel *channel);

/**
 * channel_receive() - the next whole message.
 * @fields: valid until the next call.
 * Return: 1 with @header and @fields filled in, 0 when there is none yet, -EPROTO for what is no
 * message; nothing more can be received then.
 */
int channel_receive(struct channel *channel, struct protocol_header *header,
                    struct protocol_reader *fields);
/* Throws away what has arrived. */
void channel_discard(struct channel *channel);

/* Forgets everything; the connection is left alone. */
void channel_release(struct channel *channel);

#endif
