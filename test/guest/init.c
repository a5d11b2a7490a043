/*
 * A guest that is its own init: the conversation of init/protocol.h over a virtio-vsock driver of a
 * hundred lines. So the way from HELLO to the exit status is tested where no kernel can run.
 */
#include <linux/virtio_vsock.h>

#include "init/protocol.h"
#include "payload.h"

#define PACKETS 16u
#define DATA    4096u

struct packet {
    struct virtio_vsock_hdr header;
    uint8_t data[DATA];
} __attribute__((packed));

static struct ring receive, transmit, events;
static struct packet received[PACKETS], sent;
static uint16_t taken;
/* What the host has sent on the control connection and nobody has read. */
static uint8_t inbox[DATA];
static uint32_t inbox_length, forwarded;

static void send(uint32_t port, uint32_t peer, uint16_t operation, const void *data,
                 uint32_t length)
{
    sent.header = (struct virtio_vsock_hdr) { .src_cid = 3,
                                              .dst_cid = 2,
                                              .src_port = port,
                                              .dst_port = peer,
                                              .len = length,
                                              .type = VIRTIO_VSOCK_TYPE_STREAM,
                                              .op = operation,
                                              .buf_alloc = 65536,
                                              .fwd_cnt = forwarded };
    memcpy(sent.data, data, length);
    transmit.desc[0] = (struct vring_desc) { .addr = (uint64_t)&sent,
                                             .len = (uint32_t)sizeof(sent.header) + length };
    driver_submit(SLOT_VSOCK, 1, &transmit, PACKETS, 0);
    EXPECT(driver_wait(&transmit), 1);
}

static void post(uint16_t i)
{
    receive.desc[i] = (struct vring_desc) { .addr = (uint64_t)&received[i],
                                            .len = sizeof(received[i]),
                                            .flags = VRING_DESC_F_WRITE };
    driver_submit(SLOT_VSOCK, 0, &receive, PACKETS, i);
}

/* Waits for a packet from the host and takes its bytes, if it has any. Return: its operation. */
static uint16_t next_packet(void)
{
    const struct packet *packet;
    unsigned int waited = 0;
    uint16_t index, operation;

    while (__atomic_load_n(&receive.used.idx, __ATOMIC_ACQUIRE) == taken)
        EXPECT(waited++ < 4000000, 1);
    index = (uint16_t)receive.used.ring[taken++ % PACKETS].id;
    EXPECT(index < PACKETS, 1);
    packet = &received[index];
    EXPECT(packet->header.src_cid, 2);
    EXPECT(packet->header.dst_cid, 3);
    EXPECT(packet->header.len <= DATA - inbox_length, 1);
    memcpy(inbox + inbox_length, packet->data, packet->header.len);
    inbox_length += packet->header.len;
    forwarded += packet->header.len;
    operation = packet->header.op;
    post(index);
    return operation;
}

static void connect(uint32_t port, uint32_t peer)
{
    send(port, peer, VIRTIO_VSOCK_OP_REQUEST, "", 0);
    EXPECT(next_packet(), VIRTIO_VSOCK_OP_RESPONSE);
}

static void open_vsock(void)
{
    EXPECT(slot_read(SLOT_VSOCK, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_VSOCK);
    EXPECT(driver_begin(SLOT_VSOCK, 1ull << VIRTIO_F_VERSION_1), 1);
    driver_queue(SLOT_VSOCK, 0, &receive, PACKETS);
    driver_queue(SLOT_VSOCK, 1, &transmit, PACKETS);
    driver_queue(SLOT_VSOCK, 2, &events, PACKETS);
    driver_ok(SLOT_VSOCK);
    for (uint16_t i = 0; i < PACKETS; i++)
        post(i);
    connect(5000, PORT_CONTROL);
}

/* ---- messages ---- */

#define CONTROL 5000u
#define STREAM  5001u

/* Of SETUP. */
static uint8_t secret[PROTOCOL_SECRET_SIZE];

/* Header and up to two number fields; tag 0 is none. A stream's name has the secret besides. */
static void say(uint16_t type, uint32_t sequence, uint16_t tag_a, uint64_t a, uint16_t tag_b,
                uint64_t b)
{
    uint8_t message[PROTOCOL_HEADER_SIZE + 32 + 8 + sizeof(secret)];
    uint32_t length = PROTOCOL_HEADER_SIZE;
    const uint16_t tags[] = { tag_a, tag_b };
    const uint64_t values[] = { a, b };

    memset(message, 0, sizeof(message));
    protocol_store32(message, PROTOCOL_MAGIC);
    protocol_store16(message + 4, PROTOCOL_VERSION);
    protocol_store16(message + 6, type);
    protocol_store32(message + 12, sequence);
    for (unsigned int i = 0; i < 2 && tags[i]; i++) {
        protocol_store16(message + length, tags[i]);
        protocol_store32(message + length + 4, 8);
        memcpy(message + length + 8, &values[i], 8);
        length += 16;
    }
    if (type == MESSAGE_STREAM) {
        protocol_store16(message + length, FIELD_SECRET);
        protocol_store32(message + length + 4, sizeof(secret));
        memcpy(message + length + 8, secret, sizeof(secret));
        length += 8 + sizeof(secret);
    }
    protocol_store32(message + 16, length - PROTOCOL_HEADER_SIZE);
    if (type == MESSAGE_STREAM)
        send(STREAM, PORT_STREAM, VIRTIO_VSOCK_OP_RW, message, length);
    else
        send(CONTROL, PORT_CONTROL, VIRTIO_VSOCK_OP_RW, message, length);
}

/* The host's next message, and nothing behind it. */
static struct protocol_reader hear(uint16_t type, uint32_t sequence)
{
    struct protocol_header header = { 0 };

    do
        next_packet();
    while (inbox_length < PROTOCOL_HEADER_SIZE ||
           (protocol_read_header(inbox, &header),
            inbox_length < PROTOCOL_HEADER_SIZE + header.length));
    EXPECT(protocol_read_header(inbox, &header), 0);
    EXPECT(header.type, type);
    EXPECT(header.sequence, sequence);
    EXPECT(inbox_length, PROTOCOL_HEADER_SIZE + header.length);
    inbox_length = 0;
    return (struct protocol_reader) { inbox + PROTOCOL_HEADER_SIZE, header.length };
}

static void start(void)
{
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    bool bad = false;

    open_vsock();
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_DEVICE_ID), 0);
    say(MESSAGE_HELLO, 0, 0, 0, 0, 0);
    fields = hear(MESSAGE_SETUP, 1);
    EXPECT(protocol_find(fields, FIELD_ENTROPY, &field), 1);
    EXPECT(field.value.length, 64);
    EXPECT(protocol_find(fields, FIELD_SECRET, &field), 1);
    EXPECT(field.value.length, sizeof(secret));
    memcpy(secret, field.value.data, sizeof(secret));
    /* The late device has come: told, and there. */
    EXPECT(protocol_find(fields, FIELD_SLOT, &field), 1);
    EXPECT(protocol_u64(&field, &bad), SLOT_RNG);
    EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    say(MESSAGE_RESULT, 1, FIELD_CODE, 0, 0, 0);
    hear(MESSAGE_START, 2);
    say(MESSAGE_RESULT, 2, FIELD_CODE, 0, 0, 0);
}

static _Noreturn void wait_for_the_end(void)
{
    for (unsigned int i = 0; i < 8000000; i++)
        __asm__ volatile("pause");
    payload_triple_fault();
}

/* From HELLO to an exit status, with a line on stdout. */
void run_init(void)
{
    static const char line[] = "from bare metal\n";

    start();
    connect(STREAM, PORT_STREAM);
    say(MESSAGE_STREAM, 0, FIELD_PROCESS, 0, FIELD_STREAM, 1);
    send(STREAM, PORT_STREAM, VIRTIO_VSOCK_OP_RW, line, sizeof(line) - 1);
    say(MESSAGE_EXIT, 0, FIELD_PROCESS, 0, FIELD_STATUS, 42);
    wait_for_the_end();
}

/* A header that promises more than init may say, and what it promises. */
void run_init_flood(void)
{
    static uint8_t noise[DATA];

    start();
    memset(noise, 0xa5, sizeof(noise));
    protocol_store32(noise, PROTOCOL_MAGIC);
    protocol_store16(noise + 4, PROTOCOL_VERSION);
    protocol_store16(noise + 6, MESSAGE_LOG);
    protocol_store32(noise + 16, PROTOCOL_LENGTH_MAX);
    for (unsigned int i = 0; i < 32; i++)
        send(CONTROL, PORT_CONTROL, VIRTIO_VSOCK_OP_RW, noise, sizeof(noise));
    wait_for_the_end();
}
