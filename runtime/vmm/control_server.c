/* The control socket: requests of the runtime's commands, one packet each. */
#include "vmm/control_server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "vmm/control.h"

/* Commands and proxies at work on one container at the same time; more wait in the backlog. */
#define CLIENTS_MAX 1024u
/* A memfd, and 16 interfaces' TAPs of 8 queues each, or what else fits. */
#define FDS_MAX FD_MESSAGE_MAX
/* How long until accept4(2) is tried again when this process has no descriptor left, ns. */
#define ACCEPT_RETRY 100000000

enum pause_state { PAUSE_NONE, PAUSE_STOPPING, PAUSE_STOPPED };

struct client {
    struct control_server *server;
    int fd;            /* -1: gone, its request is still being answered */
    uint16_t asked;    /* type of the request that is being answered; 0: none */
    uint32_t sequence; /* of it */
    uint32_t process;  /* a proxy's; 0: not a proxy */
    struct client *next;
};

struct control_server {
    struct control_config config;
    struct client *clients;
    unsigned int client_count;
    bool listening; /* the listening socket is watched */
    int retry_fd;   /* timer: listen again */
    enum pause_state pause;
    uint8_t packet[CONTROL_PACKET_MAX];
};

/* One request: what came in a packet. */
struct packet {
    struct protocol_header header;
    struct protocol_reader fields;
    int fds[FDS_MAX];
    size_t fd_count;
};

static const struct protocol_reader nothing;

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

/* Its process dies with a proxy. A client whose request is being answered stays in the list. */
static void drop(struct client *client)
{
    struct control_server *server = client->server;

    if (client->process)
        session_exec_abandon(server->config.session, client->process);
    loop_remove(server->config.loop, client->fd);
    fd_close(&client->fd);
    /* An abandoned process has nobody to answer to. */
    if (client->asked && !client->process)
        listen_again(server);
    else
        forget(client);
}

static void send_packet(const struct client *client, struct protocol_writer *writer)
{
    /* A client that went away needs no answer; one that does not read loses it. */
    if (client->fd >= 0 && protocol_finish(writer) == 0)
        send(client->fd, writer->data, writer->length, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(writer->data);
}

/* RESULT: @failure, or success with what the guest or this process has to say. */
static void answer(const struct client *client, uint32_t sequence, const struct error *failure,
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
    send_packet(client, &writer);
}

static void refuse(const struct client *client, uint32_t sequence, int code, const char *text)
{
    struct error failure;

    error_set(&failure, code, "%s", text);
    answer(client, sequence, &failure, nothing);
}

/* ---- requests that take their time ---- */

/* One of these at a time for each client. */
static void begin_request(struct client *client, const struct packet *packet)
{
    client->asked = packet->header.type;
    client->sequence = packet->header.sequence;
}

static void end_request(void *context, const struct error *failure, struct protocol_reader fields)
{
    struct client *client = context;

    if (client->asked == CONTROL_EXEC && failure)
        client->process = 0;
    if (client->asked == CONTROL_NETWORK)
        client->server->config.network_answered(client->server->config.context);
    client->asked = 0;
    answer(client, client->sequence, failure, fields);
    if (client->fd < 0)
        forget(client);
}

static bool is_paused(const struct client *client)
{
    return client->server->pause != PAUSE_NONE;
}

static void handle_start(struct client *client, const struct packet *packet)
{
    if (is_paused(client)) {
        refuse(client, packet->header.sequence, EBUSY,
               "cannot start a container in the paused state");
        return;
    }
    begin_request(client, packet);
    session_start(client->server->config.session, end_request, client);
}

static void handle_stats(struct client *client, const struct packet *packet)
{
    if (is_paused(client)) {
        refuse(client, packet->header.sequence, EAGAIN, "the container is paused");
        return;
    }
    begin_request(client, packet);
    session_ask(client->server->config.session, MESSAGE_STATS, nothing, end_request, client);
}

static void ignore_answer(void *context, const struct error *failure, struct protocol_reader fields)
{
    (void)context;
    (void)failure;
    (void)fields;
}

static void handle_update(struct client *client, const struct packet *packet)
{
    struct session *session = client->server->config.session;

    if (is_paused(client)) {
        /* Works once the guest goes on; who asks must not wait for that. */
        session_ask(session, MESSAGE_UPDATE, packet->fields, ignore_answer, NULL);
        answer(client, packet->header.sequence, NULL, nothing);
        return;
    }
    begin_request(client, packet);
    session_ask(session, MESSAGE_UPDATE, packet->fields, end_request, client);
}

/* ---- proxies ---- */

static void process_exited(void *context, unsigned int status)
{
    struct client *client = context;
    struct protocol_writer writer = { 0 };

    client->process = 0;
    protocol_begin(&writer, CONTROL_EXITED, 0, 0);
    protocol_put_u64(&writer, FIELD_STATUS, status);
    send_packet(client, &writer);
}

/* The description of a process: a file in memory, or any other that has a size. */
static uint8_t *read_description(int fd, size_t *length)
{
    struct stat st;
    uint8_t *data;
    size_t done = 0;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        st.st_size > (off_t)(PROTOCOL_HEADER_SIZE + PROTOCOL_LENGTH_MAX))
        return NULL;
    data = malloc((size_t)st.st_size);
    while (data && done < (size_t)st.st_size) {
        ssize_t n = pread(fd, data + done, (size_t)st.st_size - done, (off_t)done);

        if (n <= 0) {
            free(data);
            return NULL;
        }
        done += (size_t)n;
    }
    *length = done;
    return data;
}

/* The descriptors are taken over. */
static void handle_exec(struct client *client, struct packet *packet)
{
    _cleanup_free_ uint8_t *message = NULL;
    struct session_exec exec = { .fds = packet->fds + 1,
                                 .fd_count = packet->fd_count - 1,
                                 .answer = end_request,
                                 .exited = process_exited,
                                 .context = client };
    struct error failure;

    if (is_paused(client)) {
        refuse(client, packet->header.sequence, EBUSY, "cannot exec in a paused container");
        return;
    }
    if (packet->fd_count > 0)
        message = read_description(packet->fds[0], &exec.length);
    if (!message) {
        refuse(client, packet->header.sequence, EPROTO, "expected a file with one process");
        return;
    }
    exec.message = message;
    begin_request(client, packet);
    fd_close(&packet->fds[0]);
    packet->fd_count = 0;
    if (session_exec(client->server->config.session, &exec, &client->process, &failure) < 0)
        end_request(client, &failure, nothing);
}

/* ---- network ---- */

static void handle_network(struct client *client, struct packet *packet)
{
    const struct control_config *config = &client->server->config;
    _cleanup_free_ uint8_t *message = NULL;
    struct protocol_reader fields;
    struct error failure;
    size_t length = 0, fd_count = packet->fd_count;
    int ret;

    if (fd_count > 0)
        message = read_description(packet->fds[0], &length);
    if (!message || length < PROTOCOL_HEADER_SIZE) {
        refuse(client, packet->header.sequence, EPROTO, "expected a file that describes a network");
        return;
    }
    /* A guest that is paused hears of it when it goes on: who watches a network waits till then. */
    fd_close(&packet->fds[0]);
    packet->fd_count = 0;
    ret =
        config->network(config->context, message, length, packet->fds + 1, fd_count - 1, &failure);
    if (ret < 0) {
        answer(client, packet->header.sequence, &failure, nothing);
        return;
    }
    begin_request(client, packet);
    fields =
        (struct protocol_reader) { message + PROTOCOL_HEADER_SIZE, length - PROTOCOL_HEADER_SIZE };
    session_ask(config->session, MESSAGE_NETWORK, fields, end_request, client);
}

static void handle_resolver(const struct client *client, struct packet *packet)
{
    struct error failure;
    int fd;

    if (packet->fd_count != 1) {
        refuse(client, packet->header.sequence, EPROTO, "expected a socket to a name server");
        return;
    }
    fd = steal_fd(&packet->fds[0]);
    if (session_set_resolver(client->server->config.session, fd, &failure) < 0)
        answer(client, packet->header.sequence, &failure, nothing);
    else
        answer(client, packet->header.sequence, NULL, nothing);
}

/* Return: false when the field is missing or none of 0..@max. */
static bool read_number(struct protocol_reader fields, uint16_t tag, uint64_t max, uint64_t *value)
{
    struct protocol_field field;
    bool bad = false;

    if (protocol_find(fields, tag, &field) != 1)
        return false;
    *value = protocol_u64(&field, &bad);
    return !bad && *value <= max;
}

static void handle_resize(const struct client *client, const struct packet *packet)
{
    uint64_t rows, columns;

    if (client->process && read_number(packet->fields, FIELD_ROWS, UINT16_MAX, &rows) &&
        read_number(packet->fields, FIELD_COLUMNS, UINT16_MAX, &columns))
        session_exec_resize(client->server->config.session, client->process, (unsigned int)rows,
                            (unsigned int)columns);
}

/* ---- the others ---- */

static void handle_signal(const struct client *client, const struct packet *packet)
{
    struct session *session = client->server->config.session;
    uint64_t signal = 0, all = 0;

    if (!read_number(packet->fields, FIELD_SIGNAL, 64, &signal) || signal == 0) {
        if (!client->process)
            refuse(client, packet->header.sequence, EINVAL, "signal: expected 1 to 64");
        return;
    }
    if (client->process) {
        session_exec_signal(session, client->process, (unsigned int)signal);
        return;
    }
    read_number(packet->fields, FIELD_ALL, 1, &all);
    /* A guest that does not run cannot kill anything; all others take effect when it goes on. */
    if (signal == SIGKILL && is_paused(client))
        session_kill(session);
    else
        session_signal(session, (unsigned int)signal, all != 0);
    answer(client, packet->header.sequence, NULL, nothing);
}

static void handle_status(const struct client *client, uint32_t sequence)
{
    const struct control_server *server = client->server;
    const char *state =
        session_state(server->config.session) < SESSION_RUNNING ? "created" : "running";
    struct protocol_writer writer = { 0 };

    if (server->pause == PAUSE_STOPPED)
        state = "paused";
    protocol_begin(&writer, MESSAGE_RESULT, 0, sequence);
    protocol_put_u64(&writer, FIELD_CODE, 0);
    protocol_put_string(&writer, FIELD_STATE, state);
    send_packet(client, &writer);
}

static void handle_pause(struct client *client, const struct packet *packet)
{
    struct control_server *server = client->server;

    if (session_state(server->config.session) >= SESSION_EXITED) {
        refuse(client, packet->header.sequence, ESRCH, "container not running");
        return;
    }
    if (server->pause != PAUSE_NONE) {
        refuse(client, packet->header.sequence, EBUSY, "container is paused already");
        return;
    }
    begin_request(client, packet);
    server->pause = PAUSE_STOPPING;
    server->config.pause(server->config.context);
}

/* Answers whoever asked for the pause. */
static void end_pause(struct control_server *server, const struct error *failure)
{
    for (struct client *client = server->clients, *next; client; client = next) {
        next = client->next;
        if (client->asked == CONTROL_PAUSE)
            end_request(client, failure, nothing);
    }
}

void control_server_paused(struct control_server *server)
{
    if (server->pause != PAUSE_STOPPING)
        return;
    server->pause = PAUSE_STOPPED;
    end_pause(server, NULL);
}

static void handle_resume(const struct client *client, uint32_t sequence)
{
    struct control_server *server = client->server;
    struct error failure;

    if (server->pause == PAUSE_NONE) {
        refuse(client, sequence, EINVAL, "container not paused");
        return;
    }
    server->pause = PAUSE_NONE;
    server->config.resume(server->config.context);
    error_set(&failure, EINTR, "container was resumed meanwhile");
    end_pause(server, &failure);
    answer(client, sequence, NULL, nothing);
}

static void handle_request(struct client *client, struct packet *packet)
{
    uint32_t sequence = packet->header.sequence;
    struct error failure;

    switch (packet->header.type) {
    case CONTROL_STATUS:
        handle_status(client, sequence);
        return;
    case CONTROL_SIGNAL:
        handle_signal(client, packet);
        return;
    case CONTROL_RESIZE:
        handle_resize(client, packet);
        return;
    case CONTROL_RESUME:
        handle_resume(client, sequence);
        return;
    default:
        break;
    }
    if (client->asked == CONTROL_START && packet->header.type == CONTROL_START) {
        refuse(client, sequence, EINVAL, "cannot start a container that has been started");
        return;
    }
    if (client->asked) {
        refuse(client, sequence, EBUSY, "the request before this one is still being answered");
        return;
    }
    if (client->process) {
        refuse(client, sequence, EINVAL, "expected a signal or a size on a process's connection");
        return;
    }
    switch (packet->header.type) {
    case CONTROL_START:
        handle_start(client, packet);
        return;
    case CONTROL_EXEC:
        handle_exec(client, packet);
        return;
    case CONTROL_PAUSE:
        handle_pause(client, packet);
        return;
    case CONTROL_STATS:
        handle_stats(client, packet);
        return;
    case CONTROL_UPDATE:
        handle_update(client, packet);
        return;
    case CONTROL_NETWORK:
        handle_network(client, packet);
        return;
    case CONTROL_RESOLVER:
        handle_resolver(client, packet);
        return;
    default:
        error_set(&failure, EOPNOTSUPP, "request %u is not known to this vmrt-vmm",
                  packet->header.type);
        answer(client, sequence, &failure, nothing);
        return;
    }
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
        handle_request(client, &packet);
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
