/* The runtime's end of the control socket. */
#include "oci/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/container.h"

#define BACKLOG 64

/* Through /proc/self/fd: a state directory may lie deeper than sun_path is long. */
static void socket_address(int directory, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", directory,
             CONTAINER_CONTROL);
}

int control_listen(int directory, struct error *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;

    socket_address(directory, &address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, BACKLOG) < 0)
        return error_set_errno(err, "control socket");
    return steal_fd(&fd);
}

static void copy_text(const struct protocol_reader *fields, uint16_t tag, char *out, size_t size)
{
    struct protocol_field field;
    bool bad = false;

    if (protocol_find(*fields, tag, &field) == 1)
        snprintf(out, size, "%s", protocol_string(&field, &bad));
}

static void copy_stats(struct protocol_reader fields, struct control_answer *answer)
{
    struct protocol_field field;
    bool bad = false;

    while (protocol_next(&fields, &field) == 1)
        if (field.tag >= FIELD_STAT_PIDS && field.tag <= FIELD_STAT_CPU_SYSTEM) {
            answer->stats[field.tag - FIELD_STAT_PIDS] = protocol_u64(&field, &bad);
            answer->has_stat[field.tag - FIELD_STAT_PIDS] = !bad;
        }
}

static int parse_answer(const uint8_t *packet, size_t length, struct control_answer *answer)
{
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    bool bad = false;

    memset(answer, 0, sizeof(*answer));
    if (length < PROTOCOL_HEADER_SIZE || protocol_read_header(packet, &header) < 0 ||
        header.type != MESSAGE_RESULT || header.length != length - PROTOCOL_HEADER_SIZE)
        return -EPROTO;
    fields = (struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE, header.length };
    if (protocol_find(fields, FIELD_CODE, &field) != 1)
        return -EPROTO;
    answer->code = protocol_u64(&field, &bad);
    copy_text(&fields, FIELD_TEXT, answer->text, sizeof(answer->text));
    copy_text(&fields, FIELD_STATE, answer->state, sizeof(answer->state));
    copy_stats(fields, answer);
    return bad || answer->code > 4095 ? -EPROTO : 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Return: what of @timeout_ms is left since @begun, for poll(2); -1: as long as it takes. */
static int time_left(int timeout_ms, int64_t begun)
{
    int64_t past = now_ms() - begun;

    if (timeout_ms < 0)
        return -1;
    return past < timeout_ms ? timeout_ms - (int)past : 0;
}

/* @begun: since when @timeout_ms runs. */
static int exchange(int fd, struct protocol_writer *request, const int *fds, size_t fd_count,
                    int timeout_ms, int64_t begun, struct control_answer *answer)
{
    _cleanup_free_ uint8_t *packet = NULL;
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    ssize_t length;
    int n;

    if (protocol_finish(request) < 0)
        return -EMSGSIZE;
    n = fd_send_message(fd, request->data, request->length, fds, fd_count);
    if (n < 0)
        return n == -EPIPE || n == -ECONNRESET ? -ENOTCONN : n;
    do
        n = poll(&polled, 1, time_left(timeout_ms, begun));
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 ? -ETIMEDOUT : -errno;
    packet = malloc(CONTROL_PACKET_MAX);
    if (!packet)
        return -ENOMEM;
    length = fd_receive_message(fd, packet, CONTROL_PACKET_MAX, NULL, NULL);
    if (length == 0 || length == -ECONNRESET)
        return -ENOTCONN;
    return length < 0 ? (int)length : parse_answer(packet, (size_t)length, answer);
}

int control_exchange(int fd, struct protocol_writer *request, const int *fds, size_t fd_count,
                     int timeout_ms, struct control_answer *answer)
{
    return exchange(fd, request, fds, fd_count, timeout_ms, now_ms(), answer);
}

int control_tell(int fd, struct protocol_writer *request)
{
    int ret = protocol_finish(request);

    if (ret == 0)
        ret = fd_send_message(fd, request->data, request->length, NULL, 0);
    free(request->data);
    request->data = NULL;
    return ret;
}

int control_connect(int directory, int timeout_ms)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    /* A full backlog makes connect(2) wait. */
    struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
    struct sockaddr_un address;

    socket_address(directory, &address);
    if (fd < 0)
        return -errno;
    if (timeout_ms >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return errno == ECONNREFUSED || errno == ENOENT ? -ENOTCONN
               : errno == EAGAIN                        ? -ETIMEDOUT
                                                        : -errno;
    return steal_fd(&fd);
}

int control_ask(int directory, struct protocol_writer *request, int timeout_ms,
                struct control_answer *answer)
{
    int64_t begun = now_ms();
    _cleanup_close_ int fd = control_connect(directory, timeout_ms);
    int ret = fd < 0 ? fd : exchange(fd, request, NULL, 0, timeout_ms, begun, answer);

    free(request->data);
    request->data = NULL;
    return ret;
}
