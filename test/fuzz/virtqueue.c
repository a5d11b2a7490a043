/*
 * A hostile driver: arbitrary register accesses, ring contents and vsock packets against the
 * transport, the queues and the rng, console and vsock devices, with a service that acts at random.
 *
 * Input: one byte that chooses the device and how far it is brought up, then operations of one byte
 * and their arguments (see run_operation()). Guest memory is two small regions of their own malloc,
 * so that every step outside is seen.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/rng.h"
#include "vmm/virtio/vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REGION_SIZE     32768u
#define QUEUES          3u
#define CONNECTIONS_MAX 64u

/* Buffers, behind the rings. */
#define RECEIVE_GPA 0x4000u
#define TABLE_GPA   0x7f00u
#define PACKET_GPA  REGION_SIZE /* all of region 1 */

enum device_kind { KIND_RNG, KIND_CONSOLE, KIND_VSOCK, KIND_COUNT };
enum { MODE_BROUGHT_UP = 1u << 2, MODE_EVENT_IDX = 1u << 3, MODE_REFUSE = 1u << 4 };

struct machine {
    struct driver driver;
    enum device_kind kind;
    struct vsock *vsock;
    uint8_t mode;
    struct vsock_connection *connections[CONNECTIONS_MAX];
};

static int kick_fd = -1, interrupt_fd, null_fd;

/* ---- the service ---- */

static int service_accept(void *context, struct vsock_connection *connection, uint32_t port)
{
    struct machine *m = context;

    if (m->mode & MODE_REFUSE && port % 2)
        return -1;
    for (unsigned int i = 0; i < CONNECTIONS_MAX; i++)
        if (!m->connections[i]) {
            m->connections[i] = connection;
            return 0;
        }
    return -1;
}

static void forget(struct machine *m, const struct vsock_connection *connection)
{
    for (unsigned int i = 0; i < CONNECTIONS_MAX; i++)
        if (m->connections[i] == connection) {
            m->connections[i] = NULL;
            return;
        }
    abort(); /* told of a connection that was not ours */
}

static void check_unread(struct vsock_connection *connection)
{
    const void *data;
    size_t length = vsock_peek(connection, &data);
    uint8_t sum = 1;

    if (length > VSOCK_BUFFER_SIZE)
        abort();
    for (size_t i = 0; i < length; i++)
        sum ^= ((const uint8_t *)data)[i];
    vsock_consume(connection, sum % 2 == 0 ? length : sum * 64u);
}

static void service_readable(void *context, struct vsock_connection *connection)
{
    struct machine *m = context;

    if (vsock_port(connection) % 4 != 2) /* those let it pile up */
        check_unread(connection);
    if (vsock_port(connection) == 13) {
        vsock_reset(connection);
        forget(m, connection);
    }
}

static void service_writable(void *context, struct vsock_connection *connection)
{
    static const uint8_t zeros[100000];

    (void)context;
    vsock_send(connection, zeros, vsock_port(connection) % 2 ? sizeof(zeros) : 100);
}

static void service_half_closed(void *context, struct vsock_connection *connection,
                                bool receive_closed)
{
    (void)context;
    check_unread(connection);
    if (receive_closed || vsock_port(connection) % 3 == 0)
        vsock_send_eof(connection);
}

static void service_closed(void *context, struct vsock_connection *connection)
{
    forget(context, connection);
}

static const struct vsock_service service = { service_accept, service_readable, service_writable,
                                              service_half_closed, service_closed };

/* ---- the driver ---- */

static uint64_t features(const struct machine *m)
{
    return 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
           (m->mode & MODE_EVENT_IDX ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0);
}

/* Runs the device's thread until it is idle, which must come soon: the rings do not change. */
static void run_device(struct machine *m)
{
    uint64_t count;

    virtio_device_kicked(m->driver.device);
    for (unsigned int i = 0; read(kick_fd, &count, sizeof(count)) > 0; i++) {
        if (i > 1000)
            abort();
        virtio_device_kick_again(m->driver.device);
        virtio_device_kicked(m->driver.device);
    }
    while (read(interrupt_fd, &count, sizeof(count)) > 0)
        ;
    /* These devices finish what they take, unless the driver broke its queue meanwhile. */
    for (unsigned int i = 0; virtio_device_active(m->driver.device) && i < QUEUES; i++)
        for (unsigned int j = 0; j < QUEUE_SIZE_MAX / 64; j++)
            if (m->driver.device->queues[i].ready && m->driver.device->queues[i].in_flight[j])
                abort();
}

static void post_packet(struct machine *m, struct input *in, bool repeat)
{
    static const uint16_t lengths[] = { 0, 1, 100, 4096, 12000, 32000, 0xffff, 11 };
    unsigned int count = repeat ? take(in, 1) % 160 : 1;
    uint8_t ports = (uint8_t)take(in, 1), op = (uint8_t)take(in, 1), flags = (uint8_t)take(in, 1);
    uint32_t index = flags >> 4, length = lengths[flags >> 5];
    struct virtio_vsock_hdr header = { .src_cid = VSOCK_GUEST_CID,
                                       .dst_cid = ports == 255 ? 9 : VSOCK_HOST_CID,
                                       .src_port = ports & 7,
                                       .dst_port = ports >> 3,
                                       .len = length,
                                       .type = op & 128 ? 2 : VIRTIO_VSOCK_TYPE_STREAM,
                                       .op = op & 15,
                                       .flags = flags & 15,
                                       .buf_alloc = take(in, 2),
                                       .fwd_cnt = take(in, 2) };

    /* Up to the end of the region; longer ones are cut off and say more than they hold. */
    if (length > REGION_SIZE - sizeof(header))
        length = REGION_SIZE - sizeof(header);
    for (; count > 0; count--) {
        memcpy(memory_translate(&m->driver.memory, PACKET_GPA, sizeof(header)), &header,
               sizeof(header));
        set_descriptor(&m->driver, 1, index, PACKET_GPA, (uint32_t)(sizeof(header) + length), 0, 0);
        offer(&m->driver, 1, index++ % RING_SIZE);
        if (index % RING_SIZE == 0 || count == 1)
            run_device(m);
    }
}

/* A chain in a table of its own: as many entries as the input says, each as it says. */
static void post_indirect(struct machine *m, struct input *in, uint32_t queue)
{
    uint32_t count = take(in, 1) % 17, index = take(in, 1);
    struct vring_desc *table = memory_translate(&m->driver.memory, TABLE_GPA, 16 * 16);

    for (uint32_t i = 0; i < count && i < 16; i++) {
        uint32_t what = take(in, 1), next = what >> 2 & 1 ? i + 1 : take(in, 1);

        table[i] = (struct vring_desc) { .addr = what & 8 ? take(in, 2) : PACKET_GPA,
                                         .len = take(in, 1),
                                         .flags = (uint16_t)(what >> 4 | (i + 1 < count)),
                                         .next = (uint16_t)next };
    }
    set_descriptor(&m->driver, queue, index, TABLE_GPA, 16 * count, VRING_DESC_F_INDIRECT, 0);
    offer(&m->driver, queue, index % RING_SIZE);
}

static void act(struct machine *m, struct input *in)
{
    static const uint8_t zeros[20000];
    uint8_t what = (uint8_t)take(in, 1);
    struct vsock_connection **slot = &m->connections[what % 8];

    if (!*slot)
        return;
    switch (what >> 3 & 3) {
    case 0:
        vsock_send(*slot, zeros, what >> 5 ? sizeof(zeros) >> (what >> 5) : sizeof(zeros));
        break;
    case 1:
        check_unread(*slot);
        break;
    case 2:
        vsock_send_eof(*slot);
        break;
    default:
        vsock_reset(*slot);
        *slot = NULL;
        break;
    }
}

static void run_operation(struct machine *m, struct input *in)
{
    uint8_t op = (uint8_t)take(in, 1);
    uint32_t queue = (op >> 4) % QUEUES, index;
    uint16_t *avail;

    switch (op & 15) {
    case 0:
        access_register(&m->driver, in, true);
        break;
    case 1:
        access_register(&m->driver, in, false);
        break;
    case 2:
        write_memory(&m->driver, in);
        break;
    case 3: /* any descriptor */
        index = take(in, 1);
        set_descriptor(&m->driver, queue, index, take(in, 2), take(in, 2), (uint16_t)take(in, 1),
                       (uint16_t)take(in, 1));
        break;
    case 4:
        offer(&m->driver, queue, (uint16_t)take(in, 1));
        break;
    case 5: /* any available index */
        avail = memory_translate(&m->driver.memory, AVAIL_GPA(queue), 6);
        avail[1] = m->driver.next_avail[queue] = (uint16_t)take(in, 2);
        break;
    case 6: /* a good receive buffer */
        index = take(in, 1);
        set_descriptor(&m->driver, queue, index, RECEIVE_GPA + (index % RING_SIZE) * 0x800, 0x800,
                       VRING_DESC_F_WRITE, 0);
        offer(&m->driver, queue, index % RING_SIZE);
        break;
    case 7:
    case 8:
        post_packet(m, in, (op & 15) == 8);
        break;
    case 9:
        if (m->kind == KIND_VSOCK)
            act(m, in);
        break;
    case 10:
        bring_up(&m->driver, features(m));
        break;
    case 11:
        post_indirect(m, in, queue);
        break;
    default:
        run_device(m);
        break;
    }
}

static void create(struct machine *m)
{
    for (unsigned int i = 0; i < 2; i++) {
        uint8_t *hva = aligned_alloc(4096, REGION_SIZE);

        memset(hva, 0, REGION_SIZE);
        m->driver.memory.regions[i] = (struct memory_region) { i * REGION_SIZE, REGION_SIZE, hva };
    }
    m->driver.memory.count = 2;
    if (m->kind == KIND_RNG) {
        m->driver.device = rng_create(&m->driver.memory, kick_fd, interrupt_fd);
    } else if (m->kind == KIND_CONSOLE) {
        m->driver.device = console_create(&m->driver.memory, kick_fd, interrupt_fd, null_fd);
    } else {
        m->vsock = vsock_create(&m->driver.memory, kick_fd, interrupt_fd, &service, m);
        m->driver.device = vsock_device(m->vsock);
    }
    m->driver.device->reported = true; /* stderr is the fuzzer's */
}

static void destroy(struct machine *m)
{
    if (m->kind == KIND_RNG)
        rng_destroy(m->driver.device);
    else if (m->kind == KIND_CONSOLE)
        console_destroy(m->driver.device);
    else
        vsock_destroy(m->vsock);
    for (unsigned int i = 0; i < 2; i++)
        free(m->driver.memory.regions[i].hva);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    struct machine m = { 0 };
    uint64_t count;

    if (kick_fd < 0) {
        kick_fd = eventfd(0, EFD_NONBLOCK);
        interrupt_fd = eventfd(0, EFD_NONBLOCK);
        null_fd = open("/dev/null", O_WRONLY);
    }
    while (read(kick_fd, &count, sizeof(count)) > 0)
        ;
    m.mode = (uint8_t)take(&in, 1);
    m.kind = (m.mode & 3) % KIND_COUNT;
    create(&m);
    if (m.mode & MODE_BROUGHT_UP)
        bring_up(&m.driver, features(&m));
    for (unsigned int i = 0; in.size > 0 && i < 400; i++)
        run_operation(&m, &in);
    run_device(&m);
    /* A reset ends every connection, and each is told. */
    write_register(&m.driver, VIRTIO_MMIO_STATUS, 0);
    run_device(&m);
    for (unsigned int i = 0; i < CONNECTIONS_MAX; i++)
        if (m.connections[i])
            abort();
    destroy(&m);
    return 0;
}
