/* One socket for each question. */
#include "queries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

/* RFC 1035 §4.2.2 */
#define LENGTH_SIZE 2u

enum progress {
    FREE,
    SENDING,   /* over TCP: the connection, or the question, is on its way */
    RECEIVING, /* waiting for an answer, or the rest of it */
};

struct query {
    enum progress progress;
    int fd;
    uint32_t sequence;
    bool tcp;
    time_t deadline; /* s of CLOCK_MONOTONIC */
    uint64_t number; /* the lower, the older */
    /* The question: over TCP with its length before it. */
    uint8_t *question;
    size_t length, sent;
    /* The answer over TCP, likewise. */
    uint8_t *answer;
    size_t have;
};

struct queries {
    int host, epoll;
    struct sockaddr_in server;
    struct query all[QUERIES_MAX];
    unsigned int count, tcp_count;
    uint64_t number;
    int failure; /* negative errno once the guest cannot be answered any more */
    struct protocol_writer out;
    size_t have;
    uint8_t input[QUERIES_INPUT_MAX];
    uint8_t datagram[RESOLVER_MESSAGE_MAX];
};

int queries_parse(const uint8_t *data, size_t length, struct question *question)
{
    struct protocol_header header;
    struct protocol_field field;
    struct protocol_reader fields;
    bool bad = false;

    if (length < PROTOCOL_HEADER_SIZE)
        return 0;
    if (protocol_read_header(data, &header) < 0 || header.type != MESSAGE_QUERY ||
        header.length > QUERIES_INPUT_MAX - PROTOCOL_HEADER_SIZE)
        return -EPROTO;
    if (header.length > length - PROTOCOL_HEADER_SIZE)
        return 0;
    fields = (struct protocol_reader) { data + PROTOCOL_HEADER_SIZE, header.length };
    *question = (struct question) { .sequence = header.sequence };
    if (protocol_find(fields, FIELD_TCP, &field) == 1)
        question->tcp = protocol_u64(&field, &bad) == 1;
    if (bad || protocol_find(fields, FIELD_DATA, &field) != 1 ||
        field.value.length < RESOLVER_MESSAGE_MIN || field.value.length > RESOLVER_MESSAGE_MAX)
        return -EPROTO;
    question->data = field.value;
    return (int)(PROTOCOL_HEADER_SIZE + header.length);
}

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* ---- answers ---- */

static void answer(struct queries *queries, uint32_t sequence, const void *data, size_t length)
{
    protocol_begin(&queries->out, MESSAGE_ANSWER, 0, sequence);
    protocol_put_bytes(&queries->out, FIELD_DATA, data, length);
    if (queries->failure == 0 && protocol_finish(&queries->out) == 0)
        queries->failure = fd_write_full(queries->host, queries->out.data, queries->out.length);
}

static void forget(struct queries *queries, struct query *query)
{
    close(query->fd);
    free(query->question);
    free(query->answer);
    queries->count--;
    queries->tcp_count -= query->tcp;
    *query = (struct query) { .progress = FREE };
}

/*
 * SERVFAIL, so that nobody waits for what will not come (RFC 1035 §4.1.1): the question itself with
 * QR set, RA, and RCODE 2.
 */
static void refuse(struct queries *queries, uint32_t sequence, uint8_t *question, size_t length)
{
    question[2] |= 0x80;
    question[3] = 0x80 | 2;
    answer(queries, sequence, question, length);
}

static void fail(struct queries *queries, struct query *query)
{
    size_t skip = query->tcp ? LENGTH_SIZE : 0;

    refuse(queries, query->sequence, query->question + skip, query->length - skip);
    forget(queries, query);
}

/*
 * The time is up: init hangs up over TCP, and says nothing over UDP, as the server said nothing. It
 * is told of both, so that it need not remember the question any longer.
 */
static void give_up(struct queries *queries, struct query *query)
{
    answer(queries, query->sequence, NULL, 0);
    forget(queries, query);
}

/* ---- questions ---- */

static int wait_for(const struct queries *queries, struct query *query, int operation,
                    uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = query };

    return epoll_ctl(queries->epoll, operation, query->fd, &event) < 0 ? -errno : 0;
}

static struct query *find_oldest(struct queries *queries, bool tcp_only)
{
    struct query *oldest = NULL;

    for (size_t i = 0; i < QUERIES_MAX; i++) {
        struct query *query = &queries->all[i];

        if (query->progress != FREE && (query->tcp || !tcp_only) &&
            (!oldest || query->number < oldest->number))
            oldest = query;
    }
    return oldest;
}

static struct query *make_place(struct queries *queries, bool tcp)
{
    if (tcp && queries->tcp_count == QUERIES_TCP_MAX)
        give_up(queries, find_oldest(queries, true));
    if (queries->count == QUERIES_MAX)
        give_up(queries, find_oldest(queries, false));
    for (size_t i = 0; i < QUERIES_MAX; i++)
        if (queries->all[i].progress == FREE)
            return &queries->all[i];
    return NULL;
}

static int copy_question(struct query *query, const struct question *question)
{
    size_t skip = question->tcp ? LENGTH_SIZE : 0;

    query->length = skip + question->data.length;
    query->question = malloc(query->length);
    if (!query->question)
        return -ENOMEM;
    if (skip) {
        query->question[0] = (uint8_t)(question->data.length >> 8);
        query->question[1] = (uint8_t)question->data.length;
    }
    memcpy(query->question + skip, question->data.data, question->data.length);
    return 0;
}

/* A question over UDP is sent at once. */
static int begin(const struct queries *queries, struct query *query)
{
    const struct sockaddr *server = (const struct sockaddr *)&queries->server;

    query->progress = query->tcp ? SENDING : RECEIVING;
    if (connect(query->fd, server, sizeof(queries->server)) < 0 && errno != EINPROGRESS)
        return -errno;
    if (!query->tcp && send(query->fd, query->question, query->length, MSG_NOSIGNAL) < 0)
        return -errno;
    return wait_for(queries, query, EPOLL_CTL_ADD, query->tcp ? EPOLLOUT : EPOLLIN);
}

static void ask(struct queries *queries, const struct question *question)
{
    struct query *query = make_place(queries, question->tcp);
    int type = question->tcp ? SOCK_STREAM : SOCK_DGRAM;
    int fd = query ? socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;

    /* The input is this process's own copy. */
    if (fd < 0 || (!question->tcp && question->data.length > QUERIES_UDP_SIZE)) {
        fd_close(&fd);
        refuse(queries, question->sequence, (uint8_t *)(uintptr_t)question->data.data,
               question->data.length);
        return;
    }
    *query = (struct query) { .progress = SENDING,
                              .fd = fd,
                              .sequence = question->sequence,
                              .tcp = question->tcp,
                              .number = queries->number++,
                              .deadline = now() + QUERIES_SECONDS };
    queries->count++;
    queries->tcp_count += query->tcp;
    if (copy_question(query, question) < 0)
        give_up(queries, query);
    else if (begin(queries, query) < 0)
        fail(queries, query);
}

/* ---- sockets ---- */

static void take_datagram(struct queries *queries, struct query *query)
{
    ssize_t n = recv(query->fd, queries->datagram, sizeof(queries->datagram), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < (ssize_t)RESOLVER_MESSAGE_MIN) {
        fail(queries, query);
        return;
    }
    answer(queries, query->sequence, queries->datagram, (size_t)n);
    forget(queries, query);
}

static void send_question(struct queries *queries, struct query *query)
{
    ssize_t n = send(query->fd, query->question + query->sent, query->length - query->sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n >= 0)
        query->sent += (size_t)n;
    if (n >= 0 && query->sent == query->length) {
        query->progress = RECEIVING;
        n = wait_for(queries, query, EPOLL_CTL_MOD, EPOLLIN);
    }
    if (n < 0)
        fail(queries, query);
}

/* Bytes of the answer over TCP, its length included. */
static size_t answer_size(const struct query *query)
{
    if (query->have < LENGTH_SIZE)
        return LENGTH_SIZE;
    return LENGTH_SIZE + ((size_t)query->answer[0] << 8 | query->answer[1]);
}

static void take_answer(struct queries *queries, struct query *query)
{
    size_t size = answer_size(query);
    uint8_t *buffer = realloc(query->answer, size);
    ssize_t n = -1;

    if (buffer) {
        query->answer = buffer;
        n = recv(query->fd, buffer + query->have, size - query->have, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
    }
    if (n <= 0) {
        fail(queries, query);
        return;
    }
    query->have += (size_t)n;
    if (query->have < LENGTH_SIZE || query->have < answer_size(query))
        return;
    if (query->have < LENGTH_SIZE + RESOLVER_MESSAGE_MIN) {
        fail(queries, query);
        return;
    }
    answer(queries, query->sequence, query->answer + LENGTH_SIZE, query->have - LENGTH_SIZE);
    forget(queries, query);
}

static void handle_query(struct queries *queries, struct query *query)
{
    if (query->progress == SENDING)
        send_question(queries, query);
    else if (query->progress == RECEIVING && query->tcp)
        take_answer(queries, query);
    else if (query->progress == RECEIVING)
        take_datagram(queries, query);
}

/* Return: 0 to go on, 1 at the end, or -errno. */
static int handle_host(struct queries *queries)
{
    ssize_t n = recv(queries->host, queries->input + queries->have,
                     sizeof(queries->input) - queries->have, MSG_DONTWAIT);
    size_t used = 0;
    int ret;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return 1;
    queries->have += (size_t)n;
    for (;;) {
        struct question question;

        ret = queries_parse(queries->input + used, queries->have - used, &question);
        if (ret <= 0)
            break;
        ask(queries, &question);
        used += (size_t)ret;
    }
    queries->have -= used;
    memmove(queries->input, queries->input + used, queries->have);
    return ret;
}

static void expire(struct queries *queries)
{
    time_t time = now();

    for (size_t i = 0; i < QUERIES_MAX; i++)
        if (queries->all[i].progress != FREE && queries->all[i].deadline <= time)
            give_up(queries, &queries->all[i]);
}

static int run(struct queries *queries)
{
    int ret = 0;

    while (ret == 0 && queries->failure == 0) {
        struct epoll_event event;
        /* One at a time: an earlier one may have ended the query of a later one. */
        int n = epoll_wait(queries->epoll, &event, 1, queries->count ? 1000 : -1);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 1 && event.data.ptr)
            handle_query(queries, event.data.ptr);
        else if (n == 1)
            ret = handle_host(queries);
        if (queries->count)
            expire(queries);
    }
    return ret < 0 ? ret : 0;
}

int queries_serve(int host, in_addr_t address, in_port_t port)
{
    struct queries *queries = calloc(1, sizeof(*queries));
    struct epoll_event event = { .events = EPOLLIN };
    int ret;

    if (!queries)
        return -ENOMEM;
    queries->host = host;
    queries->server = (struct sockaddr_in) { .sin_family = AF_INET,
                                             .sin_port = port,
                                             .sin_addr.s_addr = address };
    queries->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (queries->epoll < 0 || epoll_ctl(queries->epoll, EPOLL_CTL_ADD, host, &event) < 0)
        ret = -errno;
    else
        ret = run(queries);
    for (size_t i = 0; i < QUERIES_MAX; i++)
        if (queries->all[i].progress != FREE)
            forget(queries, &queries->all[i]);
    fd_close(&queries->epoll);
    free(queries->out.data);
    free(queries);
    return ret;
}
