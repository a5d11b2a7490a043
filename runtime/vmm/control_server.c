/* The control socket: requests of the runtime's commands, one packet each. */
#include "vmm/control_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control_internal.h"

/* Commands and proxies at work on one container at the same time; more wait in the backlog. */
#define CLIENTS_MAX 1024u
/* How long until accept4(2) is tried again when this process has no descriptor left, ns. */
#define ACCEPT_RETRY 100000000
/* How long the end waits for proxies, ms. */
#define PARTING_MS 1000

/* ---- clients ---- */

static void listen_again(struct control_server *server)
{
    if (!server->listening)
        loop_modify(server->config.loop, server->config.listen_fd, EPOLLIN);
    server->listening = true;
}

static void listen_no_more(struct control_server *server)
{
    loop_modify(server->config.loop, server->config.listen_fd, 0);
    server->listening = false;
}

static void forget(struct client *client)
{
    struct control_server *server = client->server;
    struct client **at = &server->clients;

    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    server->client_count--;
    free(client);
    listen_again(server);
}

/* Whose answer nobody but the client waits for: the guest decides whether there ever is one. */
static bool can_be_abandoned(uint16_t request)
{
    return request == CONTROL_STATS || request == CONTROL_UPDATE;
}

/*
 * Its process dies with a proxy. A client whose request is still to be answered stays in the list,
 * if this process has to do something then.
 */
static void drop(struct client *client)
{
    struct control_server *server = client->server;

    if (client->process)
        session_exec_abandon(server->config.session, client->process);
    if (can_be_abandoned(client->asked)) {
        session_ask_abandon(server->config.session, client);
        client->asked = 0;
    }
    loop_remove(server->config.loop, client->fd);
    fd_close(&client->fd);
    /* An abandoned process has nobody to answer to. */
    if (client->asked && !client->process)
        listen_again(server);
    else
        forget(client);
}

/* ---- answers ---- */

void control_send(const struct client *client, struct protocol_writer *writer)
{
    /* A client that went away needs no answer; one that does not read loses it. */
    if (client->fd >= 0 && protocol_finish(writer) == 0)
        send(client->fd, writer->data, writer->length, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(writer->data);
}

/* RESULT: @failure, or success with what the guest or this process has to say. */
void control_answer(const struct client *client, uint32_t sequence, const struct error *failure,
                    struct protocol_reader fields)
{
    struct protocol_writer writer = { 0 };
    struct protocol_field field;

    protocol_begin(&writer, MESSAGE_RESULT, 0, sequence);
    protocol_put_u64(&writer, FIELD_CODE, failure ? (uint64_t)failure->code : 0);
    if (failure)
        protocol_put_string(&writer, FIELD_TEXT, failure->message);
    while (!failure && protocol_next(&fields, &field) == 1)
        if (field.tag != FIELD_CODE)
            protocol_put_bytes(&writer, field.tag, field.value.data, field.value.length);
    control_send(client, &writer);
}

void control_done(const struct client *client, uint32_t sequence)
{
    control_answer(client, sequence, NULL, (struct protocol_reader) { 0 });
}

void control_refuse(const struct client *client, uint32_t sequence, int code, const char *text)
{
    struct error failure;

    error_set(&failure, code, "%s", text);
    control_answer(client, sequence, &failure, (struct protocol_reader) { 0 });
}

void control_begin(struct client *client, const struct packet *packet)
{
    client->asked = packet->header.type;
    client->sequence = packet->header.sequence;
}

void control_end(void *context, const struct error *failure, struct protocol_reader fields)
{
    struct client *client = context;

    if (client->asked == CONTROL_EXEC && failure)
        client->process = 0;
    if (client->asked == CONTROL_NETWORK)
        client->server->config.network_answered(client->server->config.context);
    client->asked = 0;
    control_answer(client, client->sequence, failure, fields);
    if (client->fd < 0)
        forget(client);
}

/* ---- packets ---- */

static void handle_client(void *context, int fd, uint32_t events)
{
    struct client *client = context;
    uint8_t *data = client->server->packet;
    struct packet packet = { .fds = { -1, -1, -1, -1 }, .fd_count = FDS_MAX };
    ssize_t n;

    (void)events;
    n = fd_receive_message(fd, data, CONTROL_PACKET_MAX, packet.fds, &packet.fd_count);
    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n < 0)
        packet.fd_count = 0;
    if (n < (ssize_t)PROTOCOL_HEADER_SIZE || protocol_read_header(data, &packet.header) < 0 ||
        packet.header.length != (size_t)n - PROTOCOL_HEADER_SIZE) {
        drop(client);
    } else {
        packet.fields =
            (struct protocol_reader) { data + PROTOCOL_HEADER_SIZE, packet.header.length };
        control_handle(client, &packet);
    }
    /* Those that were not wanted. */
    for (size_t i = 0; i < packet.fd_count; i++)
        fd_close(&packet.fds[i]);
}

/* No descriptor is left for this process. The thread of the file server may give some back. */
static void retry_later(struct control_server *server)
{
    const struct itimerspec soon = { .it_value.tv_nsec = ACCEPT_RETRY };

    listen_no_more(server);
    timerfd_settime(server->retry_fd, 0, &soon, NULL);
}

static void handle_retry(void *context, int fd, uint32_t events)
{
    struct control_server *server = context;
    uint64_t count;

    (void)events;
    if (read(fd, &count, sizeof(count)) == sizeof(count) && server->client_count < CLIENTS_MAX)
        listen_again(server);
}

static void handle_listen(void *context, int fd, uint32_t events)
{
    struct control_server *server = context;
    struct client *client;

    (void)events;
    if (server->client_count >= CLIENTS_MAX) {
        listen_no_more(server);
        return;
    }
    client = calloc(1, sizeof(*client));
    if (!client) {
        retry_later(server);
        return;
    }
    client->server = server;
    client->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client->fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            retry_later(server);
        free(client);
        return;
    }
    if (loop_add(server->config.loop, client->fd, EPOLLIN, handle_client, client) < 0) {
        close(client->fd);
        free(client);
        retry_later(server);
        return;
    }
    client->next = server->clients;
    server->clients = client;
    server->client_count++;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether nothing more comes from the client; what it still had to say is past. */
static bool has_hung_up(int fd)
{
    uint8_t ignored[64];
    ssize_t n;

    while ((n = recv(fd, ignored, sizeof(ignored), MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

void control_server_part(struct control_server *server)
{
    const int64_t deadline = now_ms() + PARTING_MS;

    for (const struct client *client = server->clients; client; client = client->next)
        if (client->proxy && client->fd >= 0)
            shutdown(client->fd, SHUT_WR);
    for (const struct client *client = server->clients; client; client = client->next) {
        struct pollfd polled = { .fd = client->fd, .events = POLLIN };
        int64_t left;

        while (client->proxy && client->fd >= 0 && !has_hung_up(client->fd) &&
               (left = deadline - now_ms()) > 0)
            poll(&polled, 1, (int)left);
    }
}

int control_server_create(struct control_server **out, const struct control_config *config,
                          struct error *err)
{
    struct control_server *server = calloc(1, sizeof(*server));
    int ret;

    if (!server)
        return error_set(err, ENOMEM, "out of memory");
    server->config = *config;
    server->listening = true;
    server->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (server->retry_fd < 0) {
        error_set_errno(err, "timerfd");
        free(server);
        return -err->code;
    }
    ret = loop_add(config->loop, config->listen_fd, EPOLLIN, handle_listen, server);
    if (ret < 0) {
        error_set(err, -ret, "control_fd: expected a listening socket");
    } else {
        ret = loop_add(config->loop, server->retry_fd, EPOLLIN, handle_retry, server);
        if (ret < 0)
            error_set(err, -ret, "event loop: %s", strerror(-ret));
    }
    if (ret < 0) {
        close(server->retry_fd);
        free(server);
        return ret;
    }
    *out = server;
    return 0;
}

void control_server_destroy(struct control_server *server)
{
    if (!server)
        return;
    while (server->clients) {
        struct client *client = server->clients;

        server->clients = client->next;
        if (client->fd >= 0) {
            loop_remove(server->config.loop, client->fd);
            close(client->fd);
        }
        free(client);
    }
    loop_remove(server->config.loop, server->config.listen_fd);
    loop_remove(server->config.loop, server->retry_fd);
    close(server->retry_fd);
    free(server);
}
