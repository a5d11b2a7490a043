/* A control server over the session of session_world.h, and clients that the test plays. */
#ifndef VMRT_TEST_UNIT_CONTROL_WORLD_H
#define VMRT_TEST_UNIT_CONTROL_WORLD_H

#include <sys/socket.h>
#include <sys/un.h>

#include "session_world.h"
#include "vmm/control.h"
#include "vmm/control_server.h"

static struct control_server *server;
static unsigned int pauses, resumes, networks, network_answers;
static struct sockaddr_un address;
static int listen_fd;

static inline void begin_pause(void *context)
{
    assert_non_null(context);
    pauses++;
}

static inline void do_resume(void *context)
{
    assert_non_null(context);
    resumes++;
}

static inline int take_network(void *context, uint8_t *message, size_t length, const int *fds,
                               size_t fd_count, struct error *err)
{
    assert_non_null(context);
    assert_true(length >= PROTOCOL_HEADER_SIZE && message);
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    networks++;
    return length > PROTOCOL_HEADER_SIZE ? 0 : error_set(err, ENOSPC, "no room");
}

static inline void network_is_answered(void *context)
{
    assert_non_null(context);
    network_answers++;
}

static inline int control_setup(void **state)
{
    struct world *w;
    struct control_config config = { .pause = begin_pause,
                                     .resume = do_resume,
                                     .network = take_network,
                                     .network_answered = network_is_answered };
    struct error err;
    static unsigned int number;

    world_setup(state);
    w = *state;
    world_boot(w);
    address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    /* An abstract name: nothing to remove afterwards. */
    snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "control_server_test.%d.%u",
             (int)getpid(), number++);
    listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listen_fd, 64), 0);
    config.loop = w->io.loop;
    config.listen_fd = listen_fd;
    config.session = w->session;
    config.context = w;
    pauses = resumes = networks = network_answers = 0;
    assert_int_equal(control_server_create(&server, &config, &err), 0);
    return 0;
}

static inline int control_teardown(void **state)
{
    /* The session answers what it still owes before its clients go. */
    fake_finish(true);
    control_server_destroy(server);
    close(listen_fd);
    return world_teardown(state);
}

static inline int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline void ask_fields(int fd, struct protocol_writer *writer)
{
    assert_int_equal(protocol_finish(writer), 0);
    assert_int_equal(send(fd, writer->data, writer->length, MSG_NOSIGNAL), writer->length);
    free(writer->data);
}

static inline void ask(int fd, uint16_t type, uint32_t sequence)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, type, 0, sequence);
    ask_fields(fd, &writer);
}

static inline void ask_signal(int fd, uint64_t signal)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, CONTROL_SIGNAL, 0, 1);
    protocol_put_u64(&writer, FIELD_SIGNAL, signal);
    ask_fields(fd, &writer);
}

/* Return: the code of an answer, -1 when there is none yet, -2 when the server has hung up. */
static inline int answer(int fd, uint32_t *sequence, char *text, size_t size)
{
    static uint8_t packet[CONTROL_PACKET_MAX];
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    bool bad = false;
    uint64_t code;
    ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

    if (n <= 0)
        return n < 0 && errno == EAGAIN ? -1 : -2;
    assert_true(n >= (ssize_t)PROTOCOL_HEADER_SIZE);
    assert_int_equal(protocol_read_header(packet, &header), 0);
    assert_int_equal(header.type, MESSAGE_RESULT);
    assert_int_equal(header.length, (size_t)n - PROTOCOL_HEADER_SIZE);
    fields = (struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE, header.length };
    assert_int_equal(protocol_find(fields, FIELD_CODE, &field), 1);
    code = protocol_u64(&field, &bad);
    if (text) {
        uint16_t tag = code ? FIELD_TEXT : FIELD_STATE;

        text[0] = '\0';
        if (protocol_find(fields, tag, &field) == 1)
            snprintf(text, size, "%s", protocol_string(&field, &bad));
    }
    assert_false(bad);
    if (sequence)
        *sequence = header.sequence;
    return (int)code;
}

/* From the boot to a running process; what the host said meanwhile has been read. */
static inline void control_start(struct world *w)
{
    struct protocol_header header;
    struct protocol_reader fields;
    int fd = dial();

    ask(fd, CONTROL_START, 1);
    world_run(w);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    close(fd);
    world_run(w);
    while (init_receives(w, &header, &fields))
        ;
}

static inline void expect_state(struct world *w, int fd, const char *expected)
{
    char text[64];
    uint32_t sequence;

    ask(fd, CONTROL_STATUS, 7);
    world_run(w);
    assert_int_equal(answer(fd, &sequence, text, sizeof(text)), 0);
    assert_int_equal(sequence, 7);
    assert_string_equal(text, expected);
}

#endif
