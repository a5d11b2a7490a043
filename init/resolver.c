/* Questions of the workload to the engine's name server, and its answers. */
#include "init/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "init/io.h"

/* Datagrams taken before others get their turn. */
#define UDP_BATCH 16
/* Bytes for datagrams of a workload that asks much at once; a small one counts for 768. */
#define UDP_BUFFER (1 << 20)
/* Ports tried for both listeners. */
#define PORT_TRIES 16
/* RFC 1035 §4.2.2: "a two byte length field" */
#define LENGTH_SIZE 2u

/* ---- connections over TCP ---- */

static void client_close(struct resolver_client *client)
{
    watch_close(&client->watch);
    free(client->buffer);
    *client = (struct resolver_client) { .watch = { .fd = -1, .epoll = -1 },
                                         .resolver = client->resolver };
}

static bool is_blocked(const struct resolver *resolver)
{
    return resolver->sent < resolver->out.length;
}

/* What the client waits for now: a question that it may not ask yet, is not read. */
static void client_arm(struct resolver_client *client)
{
    struct resolver *resolver = client->resolver;
    uint32_t events = client->answering                             ? EPOLLOUT
                      : client->asked == 0 && !is_blocked(resolver) ? EPOLLIN
                                                                    : 0;

    if (watch_set(&client->watch, resolver->config.epoll, events) < 0)
        client_close(client);
}

/* Bytes that the buffer is to hold: a length, and then what it says. */
static size_t client_want(const struct resolver_client *client)
{
    if (client->have < LENGTH_SIZE)
        return LENGTH_SIZE;
    return LENGTH_SIZE + ((size_t)client->buffer[0] << 8 | client->buffer[1]);
}

static void client_forget_buffer(struct resolver_client *client)
{
    free(client->buffer);
    client->buffer = NULL;
    client->have = client->size = 0;
}

/* Return: whether it has room for @size bytes. */
static bool client_reserve(struct resolver_client *client, size_t size)
{
    uint8_t *buffer = size > client->size ? realloc(client->buffer, size) : client->buffer;

    if (!buffer)
        return false;
    if (size > client->size)
        client->size = size;
    client->buffer = buffer;
    return true;
}

/* Return: 1 with one whole question, 0 when more must come, -1 when the client has gone. */
static int client_fill(struct resolver_client *client)
{
    for (;;) {
        size_t want = client_want(client);
        ssize_t n;

        if (client->have >= LENGTH_SIZE && client->have == want)
            return want >= LENGTH_SIZE + RESOLVER_MESSAGE_MIN ? 1 : -1;
        if (!client_reserve(client, want))
            return -1;
        n = recv(client->watch.fd, client->buffer + client->have, want - client->have,
                 MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? 0 : -1;
        client->have += (size_t)n;
    }
}

/* An answer goes out; the next question may have come meanwhile. */
static void client_flush(struct resolver_client *client)
{
    while (client->have < client->size) {
        ssize_t n = send(client->watch.fd, client->buffer + client->have,
                         client->size - client->have, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            client_arm(client);
            return;
        }
        if (n < 0) {
            client_close(client);
            return;
        }
        client->have += (size_t)n;
    }
    client->answering = false;
    client_forget_buffer(client);
    client_arm(client);
}

static void client_answer(struct resolver_client *client, struct protocol_reader data)
{
    client->asked = 0;
    client_forget_buffer(client);
    if (data.length == 0 || !client_reserve(client, LENGTH_SIZE + data.length)) {
        client_close(client);
        return;
    }
    client->buffer[0] = (uint8_t)(data.length >> 8);
    client->buffer[1] = (uint8_t)data.length;
    memcpy(client->buffer + LENGTH_SIZE, data.data, data.length);
    client->answering = true;
    client_flush(client);
}

/* ---- questions ---- */

/* Everything that has questions waits until the host has taken the last one, or goes on. */
static void arm_sources(struct resolver *resolver)
{
    bool blocked = is_blocked(resolver);

    if (watch_set(&resolver->udp, resolver->config.epoll, blocked ? 0 : EPOLLIN) < 0 ||
        watch_set(&resolver->questions, resolver->config.epoll, blocked ? EPOLLOUT : 0) < 0) {
        resolver_stop(resolver);
        return;
    }
    for (size_t i = 0; i < RESOLVER_CLIENTS_MAX; i++)
        if (resolver->clients[i].watch.fd >= 0)
            client_arm(&resolver->clients[i]);
}

/* Return: false when the host has gone: nothing is left then. */
static bool flush_question(struct resolver *resolver)
{
    while (is_blocked(resolver)) {
        ssize_t n = send(resolver->questions.fd, resolver->out.data + resolver->sent,
                         resolver->out.length - resolver->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            resolver_stop(resolver);
            return false;
        }
        resolver->sent += (size_t)n;
    }
    return true;
}

/*
 * Advances to the next sequence number whose place is free; answers come in any order, so that it
 * need not be the next but one. If none is, the oldest question gives way, and who waits for its
 * answer over TCP is not left waiting.
 */
static struct resolver_open *take_place(struct resolver *resolver)
{
    uint32_t last = resolver->sequence, chosen = 0, age = 0;
    struct resolver_open *open;

    for (uint32_t i = 1; i <= RESOLVER_OPEN_MAX; i++) {
        uint32_t sequence = last + i;

        open = &resolver->open[sequence % RESOLVER_OPEN_MAX];
        /* 0 means that there is none. */
        if (sequence == 0)
            continue;
        if (open->sequence == 0) {
            chosen = sequence;
            break;
        }
        if (last - open->sequence >= age) {
            age = last - open->sequence;
            chosen = sequence;
        }
    }
    resolver->sequence = chosen;
    open = &resolver->open[chosen % RESOLVER_OPEN_MAX];
    if (open->sequence && open->client >= 0 &&
        resolver->clients[open->client].asked == open->sequence)
        client_close(&resolver->clients[open->client]);
    return open;
}

/*
 * Sends one question, of which nobody is in the way now. @client: of the asker over TCP, else -1.
 * Return: its sequence number, or 0 when the host has gone.
 */
static uint32_t ask(struct resolver *resolver, const void *data, size_t length, int client,
                    const struct sockaddr_in *address)
{
    struct resolver_open *open = take_place(resolver);
    uint32_t sequence = resolver->sequence;

    *open = (struct resolver_open) { .sequence = sequence, .address = *address, .client = client };
    protocol_begin(&resolver->out, MESSAGE_QUERY, 0, sequence);
    protocol_put_u64(&resolver->out, FIELD_TCP, client >= 0);
    protocol_put_bytes(&resolver->out, FIELD_DATA, data, length);
    if (protocol_finish(&resolver->out) < 0) {
        resolver_stop(resolver);
        return 0;
    }
    resolver->sent = 0;
    if (!flush_question(resolver))
        return 0;
    if (is_blocked(resolver))
        arm_sources(resolver);
    return sequence;
}

static void questions_ready(struct watch *watch, uint32_t events)
{
    struct resolver *resolver = watch->context;

    if (!is_blocked(resolver))
        resolver_stop(resolver); /* the host has ended it: nothing else is reported */
    else if (flush_question(resolver) && !is_blocked(resolver))
        arm_sources(resolver);
}

static void udp_ready(struct watch *watch, uint32_t events)
{
    static uint8_t data[RESOLVER_MESSAGE_MAX];
    struct resolver *resolver = watch->context;

    for (int i = 0; i < UDP_BATCH && !is_blocked(resolver); i++) {
        struct sockaddr_in address;
        socklen_t size = sizeof(address);
        ssize_t n = recvfrom(watch->fd, data, sizeof(data), MSG_DONTWAIT,
                             (struct sockaddr *)&address, &size);

        /* An error is what became of an earlier answer. */
        if (n < 0)
            return;
        if (n >= (ssize_t)RESOLVER_MESSAGE_MIN && ask(resolver, data, (size_t)n, -1, &address) == 0)
            return;
    }
}

static void client_ready(struct watch *watch, uint32_t events)
{
    static const struct sockaddr_in none;
    struct resolver_client *client = watch->context;
    struct resolver *resolver = client->resolver;
    int ret = -1;

    client->since = ++resolver->events;
    if (events & (EPOLLERR | EPOLLHUP)) {
        client_close(client);
        return;
    }
    if (client->answering) {
        client_flush(client);
        return;
    }
    /* It stopped being watched for questions after this event was seen. */
    if (client->asked || is_blocked(resolver))
        return;
    ret = client_fill(client);
    if (ret < 0)
        client_close(client);
    if (ret <= 0)
        return;
    client->asked = ask(resolver, client->buffer + LENGTH_SIZE, client->have - LENGTH_SIZE,
                        (int)(client - resolver->clients), &none);
    if (client->asked == 0)
        return;
    client_forget_buffer(client);
    client_arm(client);
}

/* A free place, or that of the client that has been idle for longest. */
static struct resolver_client *make_place(struct resolver *resolver)
{
    struct resolver_client *oldest = &resolver->clients[0];

    for (size_t i = 0; i < RESOLVER_CLIENTS_MAX; i++) {
        struct resolver_client *client = &resolver->clients[i];

        if (client->watch.fd < 0)
            return client;
        if (client->since < oldest->since)
            oldest = client;
    }
    client_close(oldest);
    return oldest;
}

static void listener_ready(struct watch *watch, uint32_t events)
{
    struct resolver *resolver = watch->context;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct resolver_client *client;

    if (fd < 0)
        return;
    client = make_place(resolver);
    client->watch = watch_of(fd, client_ready, client);
    client->since = ++resolver->events;
    client_arm(client);
}

/* ---- answers ---- */

static void give_answer(struct resolver *resolver, uint32_t sequence, struct protocol_reader data)
{
    struct resolver_open *open = &resolver->open[sequence % RESOLVER_OPEN_MAX];

    /* Perhaps nobody remembers the question any more. */
    if (sequence == 0 || open->sequence != sequence)
        return;
    open->sequence = 0;
    if (open->client < 0) {
        /* One who has gone needs no answer. */
        if (data.length)
            (void)!sendto(resolver->udp.fd, data.data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL,
                          (const struct sockaddr *)&open->address, sizeof(open->address));
    } else if (resolver->clients[open->client].asked == sequence) {
        client_answer(&resolver->clients[open->client], data);
    }
}

static void answers_ready(struct watch *watch, uint32_t events)
{
    struct resolver *resolver = watch->context;
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    int ret = channel_take(&resolver->inbound, &header, &fields);

    if (ret == 0)
        return;
    if (ret < 0 || header.type != MESSAGE_ANSWER ||
        protocol_find(fields, FIELD_DATA, &field) != 1 || field.value.length > RESOLVER_MESSAGE_MAX)
        resolver_stop(resolver);
    else
        give_answer(resolver, header.sequence, field.value);
}

/* ---- beginning and end ---- */

/* A socket at RESOLVER_ADDRESS. @port: 0 for one of the kernel's choice. */
static int bind_socket(int type, uint16_t port)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(port),
                                         .sin_addr.s_addr = htonl(RESOLVER_ADDRESS) };
    _cleanup_close_ int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return steal_fd(&fd);
}

static int find_port(int fd, uint16_t *port)
{
    struct sockaddr_in address = { 0 };
    socklen_t length = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    *port = ntohs(address.sin_port);
    return 0;
}

/* Both on one port, which the one leaves to the kernel and the other has to get. */
static int listen_both(struct resolver *resolver)
{
    const int room = UDP_BUFFER;
    int ret = -EADDRINUSE;

    for (int i = 0; i < PORT_TRIES && ret == -EADDRINUSE; i++) {
        _cleanup_close_ int tcp = bind_socket(SOCK_STREAM, 0);
        int udp;

        if (tcp < 0)
            return tcp;
        ret = find_port(tcp, &resolver->port);
        if (ret < 0)
            return ret;
        ret = udp = bind_socket(SOCK_DGRAM, resolver->port);
        if (ret < 0)
            continue;
        resolver->udp = watch_of(udp, udp_ready, resolver);
        (void)setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
        if (listen(tcp, RESOLVER_CLIENTS_MAX) < 0)
            return -errno;
        resolver->listener = watch_of(steal_fd(&tcp), listener_ready, resolver);
        ret = 0;
    }
    return ret;
}

static int connect_host(struct resolver *resolver, struct watch *watch, uint32_t number,
                        watch_handler *handler)
{
    int fd = resolver->config.connect_port(PORT_STREAM);

    if (fd < 0)
        return fd;
    *watch = watch_of(fd, handler, resolver);
    return channel_announce_resolver(fd, number, resolver->config.secret);
}

static int connect_both(struct resolver *resolver)
{
    int ret = connect_host(resolver, &resolver->answers, 0, answers_ready);

    if (ret == 0)
        ret = connect_host(resolver, &resolver->questions, 1, questions_ready);
    channel_init(&resolver->inbound, resolver->answers.fd);
    if (ret == 0)
        ret = watch_set(&resolver->answers, resolver->config.epoll, EPOLLIN);
    if (ret == 0)
        ret = watch_set(&resolver->questions, resolver->config.epoll, 0);
    if (ret == 0)
        ret = watch_set(&resolver->listener, resolver->config.epoll, EPOLLIN);
    return ret < 0 ? ret : watch_set(&resolver->udp, resolver->config.epoll, EPOLLIN);
}

void resolver_init(struct resolver *resolver)
{
    const struct watch closed = { .fd = -1, .epoll = -1 };

    *resolver = (struct resolver) {
        .udp = closed, .listener = closed, .questions = closed, .answers = closed
    };
    steer_init(&resolver->steer);
    for (size_t i = 0; i < RESOLVER_CLIENTS_MAX; i++) {
        resolver->clients[i].watch = closed;
        resolver->clients[i].resolver = resolver;
    }
}

void resolver_stop(struct resolver *resolver)
{
    steer_end(&resolver->steer);
    for (size_t i = 0; i < RESOLVER_CLIENTS_MAX; i++)
        client_close(&resolver->clients[i]);
    watch_close(&resolver->udp);
    watch_close(&resolver->listener);
    watch_close(&resolver->questions);
    watch_close(&resolver->answers);
    channel_destroy(&resolver->inbound);
    free(resolver->out.data);
    resolver_init(resolver);
}

int resolver_start(struct resolver *resolver, const struct resolver_config *config,
                   struct failure *failure)
{
    int ret;

    resolver_stop(resolver);
    resolver->config = *config;
    ret = listen_both(resolver);
    if (ret < 0) {
        failure_set(failure, -ret, "name server: listen on 127.0.0.11: %s", failure_describe(-ret));
    } else if ((ret = connect_both(resolver)) < 0) {
        failure_set(failure, -ret, "name server: connect to the host: %s", failure_describe(-ret));
    } else if ((ret = steer_begin(&resolver->steer, config->cgroup, RESOLVER_ADDRESS, RESOLVER_PORT,
                                  resolver->port)) < 0) {
        failure_set(failure, -ret,
                    "name server: lead 127.0.0.11:53 to init (CONFIG_CGROUP_BPF): %s",
                    failure_describe(-ret));
    }
    if (ret < 0)
        resolver_stop(resolver);
    return ret;
}
