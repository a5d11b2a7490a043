/* Proxies of further processes, as control_exec_test.c and control_exec_limits_test.c play them. */
#ifndef VMRT_TEST_CONTROL_PROXY_H
#define VMRT_TEST_CONTROL_PROXY_H

#include <sys/mman.h>

#include "control_world.h"

/* A proxy and the process it stands for. */
struct proxy {
    int fd;
    int far[3]; /* far[0] feeds stdin; the others see what is written */
    uint64_t process;
    uint32_t sequence; /* of the guest's EXEC */
    struct vsock_connection *streams[3];
};

static inline int description(bool terminal, uint16_t type)
{
    struct protocol_writer writer = { 0 };
    int fd;

    protocol_begin(&writer, type, 7, 4711);
    protocol_put_string(&writer, FIELD_ARG, "/bin/sh");
    protocol_put_u64(&writer, FIELD_PROCESS, 99);
    if (terminal)
        protocol_put_u64(&writer, FIELD_TERMINAL, 1);
    assert_int_equal(protocol_finish(&writer), 0);
    fd = fd_memfd_sealed("exec", writer.data, writer.length);
    assert_true(fd >= 0);
    free(writer.data);
    return fd;
}

/* Sends EXEC with @fds, which are closed here. */
static inline void ask_exec(int fd, int *fds, size_t count)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, CONTROL_EXEC, 0, 21);
    assert_int_equal(protocol_finish(&writer), 0);
    assert_int_equal(fd_send_message(fd, writer.data, writer.length, fds, count), 0);
    free(writer.data);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static inline void expect_refusal(struct world *w, int fd, int code, const char *text)
{
    char said[256];

    world_run(w);
    assert_int_equal(answer(fd, NULL, said, sizeof(said)), code);
    assert_string_equal(said, text);
    init_expects_nothing(w);
}

/* Up to where init has the message. */
static inline void proxy_begin(struct world *w, struct proxy *proxy)
{
    int fds[4] = { description(false, MESSAGE_EXEC), -1, -1, -1 };
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    bool bad = false;

    proxy->fd = dial();
    for (int i = 0; i < 3; i++) {
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        fds[i + 1] = ends[i == 0 ? 0 : 1];
        proxy->far[i] = ends[i == 0 ? 1 : 0];
        fcntl(proxy->far[i], F_SETFL, O_NONBLOCK);
    }
    ask_exec(proxy->fd, fds, 4);
    assert_true(world_run(w));
    fields = init_expects(w, MESSAGE_EXEC, &header);
    assert_int_equal(header.container, 0);
    proxy->sequence = header.sequence;
    proxy->process = field_u64(fields, FIELD_PROCESS);
    assert_int_equal(protocol_find(fields, FIELD_ARG, &field), 1);
    assert_string_equal(protocol_string(&field, &bad), "/bin/sh");
}

/* Up to where the process runs. */
static inline void proxy_run(struct world *w, struct proxy *proxy)
{
    uint32_t sequence;

    proxy_begin(w, proxy);
    for (int i = 0; i < 3; i++)
        proxy->streams[i] = init_opens_stream_of(w, proxy->process, (uint64_t)i);
    assert_int_equal(answer(proxy->fd, NULL, NULL, 0), -1);
    init_answers(w, proxy->sequence, 0, NULL);
    assert_int_equal(answer(proxy->fd, &sequence, NULL, 0), 0);
    assert_int_equal(sequence, 21);
}

static inline void proxy_end(struct proxy *proxy)
{
    close(proxy->fd);
    for (int i = 0; i < 3; i++)
        fd_close(&proxy->far[i]);
}

/* Return: the status of EXITED, -1 when it has not come yet, -2 when the server has hung up. */
static inline int exited(int fd)
{
    uint8_t packet[256];
    struct protocol_header header;
    ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

    if (n <= 0)
        return n < 0 && errno == EAGAIN ? -1 : -2;
    assert_int_equal(protocol_read_header(packet, &header), 0);
    assert_int_equal(header.type, CONTROL_EXITED);
    return (int)field_u64((struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE, header.length },
                          FIELD_STATUS);
}

static inline size_t see(const struct proxy *proxy, int number, void *data, size_t size, bool *eof)
{
    size_t done = 0;
    ssize_t n = -1;

    while (done < size && (n = read(proxy->far[number], (char *)data + done, size - done)) > 0)
        done += (size_t)n;
    if (eof)
        *eof = n == 0;
    return done;
}

#endif
