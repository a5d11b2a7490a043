/*
 * What the files of the vsock device share.
 *
 *   vsock.c            the device: its queues, packets from the guest, telling the service
 *   vsock_connection.c a connection's life and its receive buffer; what the service may call
 *   vsock_transmit.c   packets to the guest
 *
 * Theory of operation. A packet from the guest only changes the state of its connection and notes
 * events; the service hears of them afterwards, in one place (vsock.c, deliver()), so that a
 * callback may do whatever it likes. Nothing the host sends is queued as a packet: bytes go
 * straight from the service into the guest's receive buffers, or not at all, and control packets
 * are bits in their connection. Only RSTs for connections that do not exist need a list; when it is
 * full no more packets are taken from the guest until some could be sent. Such an RST is never
 * answered by the guest, so that the two directions cannot wait for each other.
 *
 * Locking: everything happens under the device's lock. Each entry (kick, settle, or a call of the
 * service from outside) is bracketed by vsock_enter() and vsock_leave(), which nest; the outermost
 * leave frees what was released and interrupts the driver. A reset comes in a vCPU's thread and
 * only marks connections; their `closed` is delivered by settle.
 */
#ifndef VMRT_VMM_VIRTIO_VSOCK_INTERNAL_H
#define VMRT_VMM_VIRTIO_VSOCK_INTERNAL_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "vmm/virtio/device.h"
#include "vmm/virtio/queue.h"
#include "vmm/virtio/vsock.h"

enum { VSOCK_QUEUE_RX, VSOCK_QUEUE_TX, VSOCK_QUEUE_EVENT, VSOCK_QUEUES };

#define VSOCK_BUCKETS    256u
#define VSOCK_STRAYS_MAX 128u

enum vsock_state {
    VSOCK_ACCEPTING, /* the service is being asked */
    VSOCK_OPEN,
    VSOCK_GONE,     /* for the guest it is over; the service has yet to be told */
    VSOCK_RELEASED, /* the service has let go; freed when nothing is left to send */
};

/* Control packets to be sent for a connection, in this order. */
enum vsock_pending {
    PENDING_RESPONSE = 1u << 0,
    PENDING_CREDIT_UPDATE = 1u << 1,
    PENDING_CREDIT_REQUEST = 1u << 2,
    PENDING_SHUTDOWN = 1u << 3,
    PENDING_RST = 1u << 4,
};

/* What the service is to be told, in this order. */
enum vsock_event {
    EVENT_READABLE = 1u << 0,
    EVENT_WRITABLE = 1u << 1,
    EVENT_HALF_CLOSED = 1u << 2,
    EVENT_CLOSED = 1u << 3,
};

struct vsock_connection {
    LIST_ENTRY(vsock_connection) bucket; /* while listed */
    TAILQ_ENTRY(vsock_connection) all;
    TAILQ_ENTRY(vsock_connection) pending_link; /* while pending != 0 */
    TAILQ_ENTRY(vsock_connection) event_link;   /* while events != 0 */
    TAILQ_ENTRY(vsock_connection) blocked_link; /* while blocked */
    struct vsock *vsock;
    void *context;
    uint32_t guest_port, host_port;
    enum vsock_state state;
    unsigned int pending; /* enum vsock_pending */
    unsigned int events;  /* enum vsock_event */
    bool listed;          /* packets of the guest find it */
    bool blocked;         /* `writable` is due when the guest gives a receive buffer */
    bool starved;         /* `writable` is due when the guest gives credit */
    uint32_t wake_round;  /* vsock->wake_round when it became blocked */
    bool guest_sent_eof, guest_receives_no_more, host_sent_eof;
    /* From the guest: unread bytes are buffer[start .. end). */
    uint8_t *buffer;
    size_t capacity, start, end;
    uint32_t consumed;      /* fwd_cnt, modulo 2^32 */
    uint32_t consumed_told; /* the last one that the guest was sent */
    /* To the guest, all modulo 2^32 (§5.10.6.3). */
    uint32_t sent;          /* tx_cnt */
    uint32_t peer_consumed; /* peer_fwd_cnt */
    uint32_t peer_buffer;   /* peer_buf_alloc */
};

/* An RST for packets that belong to no connection: the addresses of the packet, swapped. */
struct vsock_stray {
    uint64_t source_cid;
    uint32_t source_port, target_port;
    uint16_t type;
};

TAILQ_HEAD(vsock_list, vsock_connection);
LIST_HEAD(vsock_bucket, vsock_connection);

struct vsock {
    struct virtio_device device;
    const struct vsock_service *service;
    void *service_context;
    struct vsock_bucket buckets[VSOCK_BUCKETS];
    struct vsock_list connections, pending, events, blocked;
    unsigned int count;  /* of connections, in whichever state */
    unsigned int depth;  /* of vsock_enter() */
    bool reap;           /* some connection may be freed */
    bool rx_listening;   /* the driver was asked to notify about receive buffers */
    uint32_t wake_round; /* of passing receive buffers to blocked connections */
    struct vsock_stray strays[VSOCK_STRAYS_MAX]; /* a ring */
    unsigned int stray_first, stray_count;
};

/* vsock.c */
void vsock_enter(struct vsock *vsock);
void vsock_leave(struct vsock *vsock);
/* The driver broke the rules: nothing works until it resets, so every connection is over. */
void vsock_break(struct vsock *vsock, const char *why);

/* vsock_connection.c */

/* Return: a connection in state VSOCK_ACCEPTING, or NULL when there are too many. */
struct vsock_connection *connection_create(struct vsock *vsock, uint32_t guest_port,
                                           uint32_t host_port);
/* Return: the connection to which packets with these ports belong, or NULL. */
struct vsock_connection *connection_find(struct vsock *vsock, uint32_t guest_port,
                                         uint32_t host_port);
void connection_free(struct vsock_connection *connection);
/* Frees released connections that have nothing left to send, and the buffers of the others. */
void connection_reap(struct vsock *vsock);
void connection_add_event(struct vsock_connection *connection, unsigned int events);
/* The end in good order: @rst is sent now, `closed` comes when every byte is consumed. */
void connection_finish(struct vsock_connection *connection, bool rst);
/* The end by violation: an RST is sent and `closed` comes, now. */
void connection_abort(struct vsock_connection *connection);
/* The end because the device was reset: nothing can be sent, `closed` comes now. */
void connection_drop(struct vsock_connection *connection);
/* The service has let go; an RST is sent if the guest does not know of the end. */
void connection_release(struct vsock_connection *connection);
/*
 * Appends payload of the guest: @length bytes from @offset on in @parts, which hold them.
 * Return: 0, -ENOBUFS when the guest has no credit for it, -ENOMEM.
 */
int connection_receive(struct vsock_connection *connection, const struct iovec *parts,
                       unsigned int count, size_t offset, size_t length);

/* vsock_transmit.c */

/* Notes control packets (enum vsock_pending) to be sent, or forgets them all. */
void transmit_add(struct vsock_connection *connection, unsigned int pending);
void transmit_clear(struct vsock_connection *connection);
/* Notes an RST in answer to a packet of no connection; only while transmit_stray_room(). */
bool transmit_stray_room(const struct vsock *vsock);
void transmit_stray(struct vsock *vsock, const struct virtio_vsock_hdr *header);
/* Sends what is pending as far as there are receive buffers. */
void transmit_flush(struct vsock *vsock);
/* Makes sure of a notification when something waits for receive buffers. */
void transmit_listen(struct vsock *vsock);
/* Takes buf_alloc and fwd_cnt of a packet (§5.10.6.3). */
void transmit_take_credit(struct vsock_connection *connection,
                          const struct virtio_vsock_hdr *header);
/* Bytes were consumed: tells the guest when they are enough to be worth a packet. */
void transmit_give_credit(struct vsock_connection *connection);
/* Sends data. Return: bytes taken; when fewer, the connection is blocked or starved. */
size_t transmit_data(struct vsock_connection *connection, const uint8_t *data, size_t length);
/* `writable` is (not) due once there are receive buffers. */
void transmit_block(struct vsock_connection *connection);
void transmit_unblock(struct vsock_connection *connection);

#endif
