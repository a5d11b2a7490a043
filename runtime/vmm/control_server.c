/* The control socket: requests of the runtime's commands, one packet each. */
#include "vmm/control.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/protocol.h"
#include "vmm/control_server.h"

/* Commands at work on one container at the same time; more wait in the socket's backlog. */
#define CLIENTS_MAX 16

struct client {
    struct control_server *server;
    int fd; /* -1: free */
    uint32_t start_sequence;
    bool start_pending;
};

struct control_server {
    struct loop *loop;
    struct session *session;
    int listen_fd;
    bool full; /* no place for another client: the listening socket is not watched */
    struct client clients[CLIENTS_MAX];
    uint8_t packet[CONTROL_PACKET_MAX];
};

static void listen_again(struct control_server *server)
{
    if (server->full)
        loop_modify(server->loop, server->listen_fd, EPOLLIN);
    server->full = false;
}

static void drop(struct client *client)
{
    loop_remove(client->server->loop, client->fd);
    close(client->fd);
    client->fd = -1;
    /* The place of one that waits for its start stays taken until that is answered. */
    if (!client->start_pending)
        listen_again(client->server);
}

static void answer(struct client *client, uint32_t sequence, const struct error *failure,
                   const char *state)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_RESULT, 0, sequence);
    protocol_put_u64(&writer, FIELD_CODE, failure ? (uint64_t)failure->code : 0);
    if (failure)
        protocol_put_string(&writer, FIELD_TEXT, failure->message);
    if (state)
        protocol_put_string(&writer, FIELD_STATE, state);
    /* A client that went away needs no answer; one that does not read loses it. */
    if (protocol_finish(&writer) == 0)
        send(client->fd, writer.data, writer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(writer.data);
}

static void started(void *context, const struct error *failure)
{
    struct client *client = context;

    client->start_pending = false;
    if (client->fd >= 0)
        answer(client, client->start_sequence, failure, NULL);
    else
        listen_again(client->server);
}

static void handle_start(struct client *client, uint32_t sequence)
{
    struct error failure;

    if (client->start_pending) {
        error_set(&failure, EINVAL, "cannot start a container that has been started");
        answer(client, sequence, &failure, NULL);
        return;
    }
    client->start_sequence = sequence;
    client->start_pending = true;
    session_start(client->server->session, started, client);
}

static void handle_signal(struct client *client, const struct protocol_header *header,
                          struct protocol_reader fields)
{
    struct protocol_field field;
    struct error failure;
    bool bad = false, all = false;
    uint64_t signal = 0;

    if (protocol_find(fields, FIELD_SIGNAL, &field) == 1)
        signal = protocol_u64(&field, &bad);
    if (protocol_find(fields, FIELD_ALL, &field) == 1)
        all = protocol_u64(&field, &bad) != 0;
    if (bad || signal < 1 || signal > 64) {
        error_set(&failure, EINVAL, "signal: expected 1 to 64");
        answer(client, header->sequence, &failure, NULL);
        return;
    }
    session_signal(client->server->session, (unsigned int)signal, all);
    answer(client, header->sequence, NULL, NULL);
}

static void handle_request(struct client *client, size_t length)
{
    struct control_server *server = client->server;
    struct protocol_header header;
    struct error failure;

    if (length < PROTOCOL_HEADER_SIZE || protocol_read_header(server->packet, &header) < 0 ||
        header.length != length - PROTOCOL_HEADER_SIZE) {
        drop(client);
        return;
    }
    switch (header.type) {
    case CONTROL_STATUS:
        answer(client, header.sequence, NULL,
               session_state(server->session) < SESSION_RUNNING ? "created" : "running");
        break;
    case CONTROL_START:
        handle_start(client, header.sequence);
        break;
    case CONTROL_SIGNAL:
        handle_signal(client, &header,
                      (struct protocol_reader) { server->packet + PROTOCOL_HEADER_SIZE,
                                                 header.length });
        break;
    default:
        error_set(&failure, EOPNOTSUPP, "request %u is not known to this vmrt-vmm", header.type);
        answer(client, header.sequence, &failure, NULL);
        break;
    }
}

static void handle_client(void *context, int fd, uint32_t events)
{
    struct client *client = context;
    ssize_t n = recv(fd, client->server->packet, CONTROL_PACKET_MAX, MSG_DONTWAIT);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        drop(client);
    else
        handle_request(client, (size_t)n);
}

static void handle_listen(void *context, int fd, uint32_t events)
{
    struct control_server *server = context;
    struct client *client = NULL;

    (void)events;
    for (unsigned int i = 0; i < CLIENTS_MAX && !client; i++)
        if (server->clients[i].fd < 0 && !server->clients[i].start_pending)
            client = &server->clients[i];
    if (!client) {
        server->full = true;
        loop_modify(server->loop, fd, 0);
        return;
    }
    client->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client->fd < 0)
        return;
    if (loop_add(server->loop, client->fd, EPOLLIN, handle_client, client) < 0) {
        close(client->fd);
        client->fd = -1;
    }
}

int control_server_create(struct control_server **out, struct loop *loop, int listen_fd,
                          struct session *session, struct error *err)
{
    struct control_server *server = calloc(1, sizeof(*server));
    int ret;

    if (!server)
        return error_set(err, ENOMEM, "out of memory");
    server->loop = loop;
    server->session = session;
    server->listen_fd = listen_fd;
    for (unsigned int i = 0; i < CLIENTS_MAX; i++)
        server->clients[i] = (struct client) { .server = server, .fd = -1 };
    ret = loop_add(loop, listen_fd, EPOLLIN, handle_listen, server);
    if (ret < 0) {
        free(server);
        return error_set(err, -ret, "control_fd: expected a listening socket");
    }
    *out = server;
    return 0;
}
