/*
 * virtio-vsock (virtio 1.2 §5.10) whose host side ends in this process: the guest connects to
 * ports of CID 2, and each connection is handed to a service. One thread only: the loop that gets
 * the device's kicks. Callbacks come from virtio_device_kicked() alone, with the device's lock
 * held, never from within a function below; any of these may be called in any callback.
 */
#ifndef VMRT_VMM_VIRTIO_VSOCK_H
#define VMRT_VMM_VIRTIO_VSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/virtio/device.h"

#define VSOCK_HOST_CID  2u
#define VSOCK_GUEST_CID 3u
/* Bytes the guest may send ahead of what the service has consumed, per connection. */
#define VSOCK_BUFFER_SIZE     (256u << 10)
#define VSOCK_CONNECTIONS_MAX 1024u

struct vsock;
struct vsock_connection;

/*
 * What a service is told. None of these may be NULL. All come from the loop's thread. @context is
 * service_context until vsock_set_context().
 */
struct vsock_service {
    /*
     * The guest connects to @port. Return: 0 to accept (then vsock_set_context() if wanted), or
     * negative to refuse (RST), after which @connection is invalid.
     */
    int (*accept)(void *service_context, struct vsock_connection *connection, uint32_t port);
    /* There are bytes to vsock_peek(). */
    void (*readable)(void *context, struct vsock_connection *connection);
    /* After vsock_send() took less than it was given: try again. */
    void (*writable)(void *context, struct vsock_connection *connection);
    /*
     * The guest will send no more (all bytes before it can still be peeked), `receive_closed`: it
     * will also read no more.
     */
    void (*half_closed)(void *context, struct vsock_connection *connection, bool receive_closed);
    /*
     * The connection is gone; the pointer is invalid afterwards. When the guest closed in good
     * order this comes once every byte is consumed, after half_closed; also once both sides have
     * ended their direction (vsock_send_eof()). After a violation of the protocol or a reset of the
     * device it comes at once.
     */
    void (*closed)(void *context, struct vsock_connection *connection);
};

/* Return: the device, or NULL with errno set. */
struct vsock *vsock_create(struct guest_memory *memory, int kick_fd, int interrupt_fd,
                           const struct vsock_service *service, void *service_context);
struct virtio_device *vsock_device(struct vsock *vsock);
/* Forgets all connections; `closed` is not called. */
void vsock_destroy(struct vsock *vsock);

void vsock_set_context(struct vsock_connection *connection, void *context);
uint32_t vsock_port(const struct vsock_connection *connection);

/*
 * All unread bytes from the guest, contiguous; they stay in place until vsock_consume() or the
 * handler of the loop returns. Return: how many are at *@data (0: none).
 */
size_t vsock_peek(struct vsock_connection *connection, const void **data);
/* Releases @length bytes, at most those peeked, and gives the guest the credit back. */
void vsock_consume(struct vsock_connection *connection, size_t length);

/*
 * Sends what the guest's credit and receive buffers allow now. Return: bytes taken (0..@length);
 * when fewer than @length, `writable` follows. Bytes for a guest that will read no more are taken
 * and dropped; after vsock_send_eof() none are taken.
 */
size_t vsock_send(struct vsock_connection *connection, const void *data, size_t length);
/*
 * No more bytes to the guest (VIRTIO_VSOCK_SHUTDOWN_F_SEND); it reads end of file after those that
 * vsock_send() took.
 */
void vsock_send_eof(struct vsock_connection *connection);
/* Breaks the connection; `closed` is not called, the pointer is invalid afterwards. */
void vsock_reset(struct vsock_connection *connection);

#endif
