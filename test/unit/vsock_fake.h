/*
 * A vsock that exists only in the test: it takes the place of the device's functions when the test
 * is linked, and plays the guest's side. Bytes handed out lie in memory of their exact size, so
 * that ASan sees a step too far, and using a connection after its end fails the test.
 */
#ifndef VMRT_TEST_UNIT_VSOCK_FAKE_H
#define VMRT_TEST_UNIT_VSOCK_FAKE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/virtio/vsock.h"

#define FAKE_CONNECTIONS_MAX 4096

struct vsock_connection {
    const struct vsock_service *service;
    void *context;
    uint32_t port;
    uint8_t *inbox; /* from the guest, not yet consumed */
    size_t inbox_length;
    uint8_t *outbox; /* to the guest */
    size_t outbox_length;
    size_t window; /* bytes the guest takes before it is full */
    bool starved;  /* vsock_send() took less than it was given */
    bool eof_sent; /* the host ended its direction */
    bool reset;    /* the host broke the connection */
    bool closed;   /* the guest's side is gone */
};

static struct {
    struct vsock_connection *all[FAKE_CONNECTIONS_MAX];
    unsigned int count;
} fake;

static inline void fake_check(const struct vsock_connection *connection)
{
    assert_non_null(connection);
    assert_false(connection->reset);
    assert_false(connection->closed);
}

void vsock_set_context(struct vsock_connection *connection, void *context)
{
    fake_check(connection);
    connection->context = context;
}

uint32_t vsock_port(const struct vsock_connection *connection)
{
    fake_check(connection);
    return connection->port;
}

size_t vsock_peek(struct vsock_connection *connection, const void **data)
{
    fake_check(connection);
    *data = connection->inbox;
    return connection->inbox_length;
}

void vsock_consume(struct vsock_connection *connection, size_t length)
{
    size_t left;
    uint8_t *rest;

    fake_check(connection);
    assert_true(length <= connection->inbox_length);
    left = connection->inbox_length - length;
    rest = malloc(left + !left);
    assert_non_null(rest);
    if (left)
        memcpy(rest, connection->inbox + length, left);
    free(connection->inbox);
    connection->inbox = rest;
    connection->inbox_length = left;
}

size_t vsock_send(struct vsock_connection *connection, const void *data, size_t length)
{
    size_t taken;

    fake_check(connection);
    if (connection->eof_sent)
        return 0;
    taken = length < connection->window ? length : connection->window;
    connection->starved = taken < length;
    if (taken == 0)
        return 0;
    connection->outbox = realloc(connection->outbox, connection->outbox_length + taken);
    assert_non_null(connection->outbox);
    memcpy(connection->outbox + connection->outbox_length, data, taken);
    connection->outbox_length += taken;
    connection->window -= taken;
    return taken;
}

void vsock_send_eof(struct vsock_connection *connection)
{
    fake_check(connection);
    connection->eof_sent = true;
}

void vsock_reset(struct vsock_connection *connection)
{
    fake_check(connection);
    connection->reset = true;
}

/* ---- the guest's side ---- */

/* A connection that no service has been asked about. */
static inline struct vsock_connection *guest_connection(uint32_t port)
{
    struct vsock_connection *connection = calloc(1, sizeof(*connection));

    assert_non_null(connection);
    assert_true(fake.count < FAKE_CONNECTIONS_MAX);
    connection->port = port;
    connection->window = SIZE_MAX;
    fake.all[fake.count++] = connection;
    return connection;
}

/* Return: the connection, or NULL when the host refused it. */
static inline struct vsock_connection *guest_connect(const struct vsock_service *service,
                                                     void *service_context, uint32_t port)
{
    struct vsock_connection *connection = guest_connection(port);

    connection->service = service;
    connection->context = service_context;
    if (service->accept(service_context, connection, port) == 0)
        return connection;
    connection->closed = true;
    return NULL;
}

static inline void guest_put(struct vsock_connection *connection, const void *data, size_t length)
{
    size_t total = connection->inbox_length + length;
    uint8_t *inbox = malloc(total + !total);

    assert_non_null(inbox);
    if (connection->inbox_length)
        memcpy(inbox, connection->inbox, connection->inbox_length);
    if (length)
        memcpy(inbox + connection->inbox_length, data, length);
    free(connection->inbox);
    connection->inbox = inbox;
    connection->inbox_length = total;
}

static inline void guest_write(struct vsock_connection *connection, const void *data, size_t length)
{
    fake_check(connection);
    guest_put(connection, data, length);
    connection->service->readable(connection->context, connection);
}

static inline void guest_half_close(struct vsock_connection *connection, bool receive_closed)
{
    fake_check(connection);
    connection->service->half_closed(connection->context, connection, receive_closed);
}

static inline void guest_close(struct vsock_connection *connection)
{
    fake_check(connection);
    connection->service->closed(connection->context, connection);
    connection->closed = true;
}

/* The guest has room for @length more bytes. */
static inline void guest_take(struct vsock_connection *connection, size_t length)
{
    fake_check(connection);
    connection->window += length;
    if (connection->starved) {
        connection->starved = false;
        connection->service->writable(connection->context, connection);
    }
}

/* Closes what is open, as the end of a device does, and forgets everything. */
static inline void fake_finish(bool tell)
{
    for (unsigned int i = 0; i < fake.count; i++) {
        struct vsock_connection *connection = fake.all[i];

        if (tell && !connection->closed && !connection->reset)
            guest_close(connection);
        free(connection->inbox);
        free(connection->outbox);
        free(connection);
    }
    fake.count = 0;
}

#endif
