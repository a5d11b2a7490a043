/*
 * The control socket and init at once: packets of clients, messages and stream connections of a
 * hostile guest, hang-ups, in any order. The input is a list of steps: which, whose, how many
 * bytes.
 *
 * The vsock device is replaced by one that only remembers what the guest has sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/control.h"
#include "vmm/control_server.h"
#include "vmm/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define CLIENTS     4
#define CONNECTIONS 16
#define INBOX_MAX   4096u

struct vsock_connection {
    void *context;
    uint8_t *inbox; /* of its exact size, so that a step too far shows */
    size_t length;
    bool open;
};

static struct vsock_connection connections[CONNECTIONS];

void vsock_set_context(struct vsock_connection *connection, void *context)
{
    connection->context = context;
}

size_t vsock_peek(struct vsock_connection *connection, const void **data)
{
    if (!connection->open)
        abort();
    *data = connection->inbox;
    return connection->length;
}

void vsock_consume(struct vsock_connection *connection, size_t length)
{
    size_t left = connection->length - length;
    uint8_t *rest = malloc(left + !left);

    if (length > connection->length || !rest)
        abort();
    memcpy(rest, connection->inbox + length, left);
    free(connection->inbox);
    connection->inbox = rest;
    connection->length = left;
}

size_t vsock_send(struct vsock_connection *connection, const void *data, size_t length)
{
    (void)data;
    if (!connection->open)
        abort();
    return length;
}

void vsock_send_eof(struct vsock_connection *connection)
{
    if (!connection->open)
        abort();
}

void vsock_reset(struct vsock_connection *connection)
{
    if (!connection->open)
        abort();
    connection->open = false;
}

/* ---- the world around ---- */

/* Known, so that the input can claim streams; to be the same in each run. */
static const uint8_t secret[PROTOCOL_SECRET_SIZE] = { 1, 2, 3 };

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
    (void)flags;
    memset(buffer, 0, length);
    memcpy(buffer, secret, length < sizeof(secret) ? length : sizeof(secret));
    return (ssize_t)length;
}

struct input {
    const uint8_t *data;
    size_t size;
};

static struct loop *loop;
static struct session *session;
static struct control_server *server;
static struct sockaddr_un address;
static int listen_fd, proc_fd, quiet_fd, clients[CLIENTS];
static int resolver_fd = -1;
static unsigned int rounds;

static void quiet(void *context, int fd, uint32_t events)
{
    (void)context;
    (void)fd;
    (void)events;
    if (++rounds < 2)
        return;
    loop_stop(loop);
}

static void run(void)
{
    rounds = 0;
    if (loop_run(loop) < 0)
        abort();
}

static void begin_pause(void *context)
{
    (void)context;
}

static uint8_t next(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static int open_null(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* A name server's socket, on which something has been said already; the last one hangs up. */
static int give_resolver(const uint8_t *data, size_t length, bool stays)
{
    int ends[2];

    fd_close(&resolver_fd);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    (void)!write(ends[1], data, length);
    resolver_fd = ends[1];
    if (!stays)
        fd_close(&resolver_fd);
    return ends[0];
}

/* A packet with the bytes of the input as its fields, or as the description of a process. */
static void client_sends(int fd, uint8_t type, const uint8_t *data, size_t length)
{
    struct protocol_writer writer = { 0 }, exec = { 0 };
    int fds[4] = { -1, -1, -1, -1 };
    size_t count = 0;

    protocol_begin(&writer, (uint16_t)(CONTROL_STATUS + type % 12), 0, type);
    if (writer.data && type % 12 == CONTROL_EXEC - CONTROL_STATUS) {
        protocol_begin(&exec, MESSAGE_EXEC, 0, 0);
        memcpy(protocol_reserve(&exec, length), data, length);
        protocol_finish(&exec);
        fds[0] = fd_memfd_sealed("exec", exec.data, exec.length);
        count = type & 0x80 ? 2 : 4;
        for (size_t i = 1; i < count; i++)
            fds[i] = open_null();
        free(exec.data);
    } else if (writer.data && type % 12 == CONTROL_RESOLVER - CONTROL_STATUS) {
        fds[0] = give_resolver(data, length, type & 0x80);
        count = 1;
    } else {
        memcpy(protocol_reserve(&writer, length), data, length);
    }
    protocol_finish(&writer);
    fd_send_message(fd, writer.data, type & 0x40 && length < writer.length ? length : writer.length,
                    fds, count);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    free(writer.data);
}

static void guest_puts(struct vsock_connection *connection, const void *data, size_t length)
{
    uint8_t *inbox = realloc(connection->inbox, connection->length + length + 1);

    if (!inbox)
        abort();
    memcpy(inbox + connection->length, data, length);
    connection->inbox = inbox;
    connection->length += length;
}

static void guest_connects(struct vsock_connection *connection, uint32_t port)
{
    *connection = (struct vsock_connection) { .context = session, .open = true };
    if (session_service.accept(session, connection, port) < 0)
        connection->open = false;
}

static void guest_sends(struct vsock_connection *connection, uint8_t type, const uint8_t *data,
                        size_t length, bool wrapped)
{
    struct protocol_writer writer = { 0 };

    if (connection->length > INBOX_MAX)
        return;
    if (wrapped) {
        /* Sequence numbers and containers that mean something. */
        uint16_t number = type & 7 ? type & 7 : MESSAGE_RESOLVER;

        protocol_begin(&writer, number, type >> 7, type >> 3 & 15);
        memcpy(protocol_reserve(&writer, length), data, length);
        if (!(type & 0x40) && (number == MESSAGE_STREAM || number == MESSAGE_RESOLVER))
            protocol_put_bytes(&writer, FIELD_SECRET, secret, sizeof(secret));
        protocol_finish(&writer);
        guest_puts(connection, writer.data, writer.length);
        free(writer.data);
    } else {
        guest_puts(connection, data, length);
    }
    session_service.readable(connection->context, connection);
}

static void guest_closes(struct vsock_connection *connection)
{
    session_service.closed(connection->context, connection);
    connection->open = false;
}

static void step(struct input *input)
{
    uint8_t what = next(input), type = next(input);
    struct vsock_connection *connection = &connections[what >> 4];
    int *client = &clients[what >> 4 & (CLIENTS - 1)];
    size_t length = next(input);
    const uint8_t *data = input->data;

    if (length > input->size)
        length = input->size;
    input->data += length;
    input->size -= length;
    switch (what & 7) {
    case 0:
        if (*client < 0) {
            *client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            (void)!connect(*client, (struct sockaddr *)&address, sizeof(address));
        }
        client_sends(*client, type, data, length);
        run();
        return;
    case 1:
        fd_close(client);
        run();
        return;
    case 2:
        control_server_paused(server);
        return;
    case 3:
        if (connection->open)
            session_service.half_closed(connection->context, connection, type & 1);
        return;
    case 4:
        if (connection->open)
            guest_closes(connection);
        return;
    default:
        if (!connection->open) {
            free(connection->inbox);
            guest_connects(connection, connection == connections ? PORT_CONTROL : PORT_STREAM);
        }
        if (connection->open)
            guest_sends(connection, type, data, length, what & 7 & 1);
        return;
    }
}

static void begin(void)
{
    struct session_config config = {
        .proc_fd = proc_fd, .notify_fd = -1, .autostart = true, .terminal = true
    };
    struct control_config control = { .pause = begin_pause, .resume = begin_pause };
    struct error err;

    loop = loop_create();
    loop_add(loop, quiet_fd, EPOLLIN, quiet, NULL);
    config.loop = control.loop = loop;
    if (session_create(&session, &config, &err) < 0)
        abort();
    control.listen_fd = listen_fd;
    control.session = session;
    if (control_server_create(&server, &control, &err) < 0)
        abort();
    memset(clients, 0xff, sizeof(clients));
}

static void finish(void)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        if (connections[i].open)
            guest_closes(&connections[i]);
        free(connections[i].inbox);
        connections[i] = (struct vsock_connection) { 0 };
    }
    for (int i = 0; i < CLIENTS; i++)
        fd_close(&clients[i]);
    fd_close(&resolver_fd);
    session_machine_ended(session, "the end");
    control_server_destroy(server);
    session_destroy(session);
    loop_destroy(loop);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int null;

    (void)argc;
    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    /* The first process uses descriptor 0 alone; reports go nowhere. stderr is the fuzzer's. */
    null = open_null();
    if (null < 0 || dup2(null, 0) < 0)
        abort();
    report_setup(null, false);
    report_to_terminal();
    proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    quiet_fd = eventfd(1, EFD_CLOEXEC);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "control_fuzz.%d", (int)getpid());
    listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listen_fd, 64) < 0)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };

    begin();
    while (input.size > 0 && session_state(session) < SESSION_EXITED)
        step(&input);
    finish();
    return 0;
}
