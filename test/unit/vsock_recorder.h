/* A vsock guest with a service that writes down what it is told, and what tests expect of both. */
#ifndef VMRT_TEST_UNIT_VSOCK_RECORDER_H
#define VMRT_TEST_UNIT_VSOCK_RECORDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "vsock_guest.h"

#define PORT 1024u

struct fixture {
    struct guest guest;
    struct packet packet;
    char log[4096];                      /* what the service was told, in order */
    struct vsock_connection *connection; /* the last one accepted */
    bool refuse, consume_at_once, reset_in_accept, reset_when_readable, send_in_accept;
    size_t to_send; /* bytes that `writable` goes on with */
    uint32_t flood; /* packets that another vCPU adds, one for each that is taken */
    uint32_t drip;  /* receive buffers that another vCPU adds, one when the last is used up */
    unsigned int open;
};

static inline void note(struct fixture *f, const char *text)
{
    strncat(f->log, text, sizeof(f->log) - strlen(f->log) - 1);
}

static inline int service_accept(void *context, struct vsock_connection *connection, uint32_t port)
{
    struct fixture *f = context;

    if (f->flood > 0) {
        struct virtio_vsock_hdr h = guest_header(f->flood--, PORT, VIRTIO_VSOCK_OP_REQUEST, 0, 0);

        guest_post(&f->guest, &h, NULL, 0);
        return -1;
    }
    note(f, port == PORT ? "accept " : "accept? ");
    assert_int_equal(vsock_port(connection), port);
    if (f->reset_in_accept)
        vsock_reset(connection);
    if (f->refuse)
        return -1;
    if (f->send_in_accept)
        assert_int_equal(vsock_send(connection, "early", 5), 0);
    vsock_set_context(connection, f);
    f->connection = connection;
    f->open++;
    return 0;
}

static inline void service_readable(void *context, struct vsock_connection *connection)
{
    struct fixture *f = context;
    const void *data;

    note(f, "readable ");
    if (f->reset_when_readable) {
        vsock_reset(connection);
        f->connection = NULL;
    } else if (f->consume_at_once) {
        vsock_consume(connection, vsock_peek(connection, &data));
    }
}

static inline void service_writable(void *context, struct vsock_connection *connection)
{
    static const uint8_t zeros[65536];
    struct fixture *f = context;
    size_t taken = 1;

    note(f, "writable ");
    while (f->to_send > 0 && taken > 0) {
        taken = vsock_send(connection, zeros, f->to_send < 65536 ? f->to_send : 65536);
        f->to_send -= taken;
    }
    if (f->to_send > 0 && f->drip > 0) {
        f->drip--;
        guest_give(&f->guest, 1);
    }
}

static inline void service_half_closed(void *context, struct vsock_connection *connection,
                                       bool receive_closed)
{
    note(context, receive_closed ? "half_closed(both) " : "half_closed ");
}

static inline void service_closed(void *context, struct vsock_connection *connection)
{
    struct fixture *f = context;

    note(f, "closed ");
    f->open--;
    if (f->connection == connection)
        f->connection = NULL;
}

static const struct vsock_service service = {
    .accept = service_accept,
    .readable = service_readable,
    .writable = service_writable,
    .half_closed = service_half_closed,
    .closed = service_closed,
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_start(&f->guest, &service, f, DRIVER_FEATURES_ALL);
    f->guest.device->reported = true; /* attacks need not be seen on stderr */
    guest_give(&f->guest, GUEST_RING);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    guest_stop(&f->guest);
    free(f);
    return 0;
}

static inline void post(struct fixture *f, uint32_t port, uint16_t op, uint32_t flags,
                        const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    struct virtio_vsock_hdr header = guest_header(port, PORT, op, flags, length);

    assert_true(guest_post(&f->guest, &header, text, length));
}

static inline void post_header(struct fixture *f, struct virtio_vsock_hdr header)
{
    assert_true(guest_post(&f->guest, &header, NULL, 0));
    guest_run(&f->guest);
}

/* The next packet from the host is @op for guest port @port. */
static inline struct packet *expect(struct fixture *f, uint32_t port, uint16_t op)
{
    struct virtio_vsock_hdr *h = &f->packet.header;

    assert_true(guest_receive(&f->guest, &f->packet));
    assert_int_equal(h->op, op);
    assert_int_equal(h->dst_cid, VSOCK_GUEST_CID);
    assert_int_equal(h->dst_port, port);
    if (op != VIRTIO_VSOCK_OP_RST) {
        assert_int_equal(h->src_cid, VSOCK_HOST_CID);
        assert_int_equal(h->src_port, PORT);
        assert_int_equal(h->type, VIRTIO_VSOCK_TYPE_STREAM);
        assert_int_equal(h->buf_alloc, VSOCK_BUFFER_SIZE);
    }
    return &f->packet;
}

static inline void expect_nothing(struct fixture *f)
{
    assert_false(guest_receive(&f->guest, &f->packet));
}

/* The service was told exactly this since the last time. */
static inline void expect_told(struct fixture *f, const char *text)
{
    assert_string_equal(f->log, text);
    f->log[0] = '\0';
}

static inline struct vsock_connection *connect_from(struct fixture *f, uint32_t port)
{
    post(f, port, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    guest_run(&f->guest);
    expect(f, port, VIRTIO_VSOCK_OP_RESPONSE);
    expect_told(f, "accept ");
    assert_non_null(f->connection);
    return f->connection;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
