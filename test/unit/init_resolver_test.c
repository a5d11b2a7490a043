/*
 * init's side of the name server: questions of programs in its namespace become messages, and
 * answers find who asked. The host is this process. Needs root, for a network namespace, and for
 * the tests of 127.0.0.11:53 a kernel with CONFIG_CGROUP_BPF.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/io.h"
#include "init/network.h"
#include "init/resolver.h"
#include "skip_all.h"

#define QUESTION "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00 who?"
#define ANSWER   "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00 you."
#define LENGTH   17

static const uint8_t secret[PROTOCOL_SECRET_SIZE] = "fifteen letters";
static struct resolver resolver;
static int epoll_fd, cgroup;
/* The host's ends of the connections that init has made. */
static int ends[2];
static unsigned int connected;

static int connect_port(uint32_t port)
{
    int pair[2];

    assert_int_equal(port, PORT_STREAM);
    assert_true(connected < 2);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    ends[connected++] = pair[0];
    return pair[1];
}

/* Runs init's loop until it has nothing to do. */
static void run(void)
{
    struct pollfd ready = { .fd = epoll_fd, .events = POLLIN };
    unsigned int turns = 0;

    while (poll(&ready, 1, 0) == 1 && turns++ < 100000)
        assert_int_equal(events_run_one(epoll_fd), 0);
    assert_true(turns < 100000);
}

/* One message that init has sent; @data has room for the largest. */
static size_t take(int fd, struct protocol_header *header, uint8_t *data)
{
    uint8_t head[PROTOCOL_HEADER_SIZE];

    run();
    assert_int_equal(recv(fd, head, sizeof(head), MSG_DONTWAIT), sizeof(head));
    assert_int_equal(protocol_read_header(head, header), 0);
    for (size_t have = 0; have < header->length;) {
        ssize_t n = recv(fd, data + have, header->length - have, MSG_DONTWAIT);

        if (n < 0)
            run();
        else
            have += (size_t)n;
    }
    return header->length;
}

static uint8_t message[1 << 17];

/* Return: the sequence number of the next question, which has to be @text. */
static uint32_t expect_question(const void *text, size_t length, bool tcp)
{
    struct protocol_header header;
    struct protocol_field field = { 0 };
    struct protocol_reader fields = { message, take(ends[1], &header, message) };
    bool bad = false;

    assert_int_equal(header.type, MESSAGE_QUERY);
    assert_int_equal(protocol_find(fields, FIELD_TCP, &field), 1);
    assert_int_equal(protocol_u64(&field, &bad), tcp);
    assert_int_equal(protocol_find(fields, FIELD_DATA, &field), 1);
    assert_int_equal(field.value.length, length);
    assert_memory_equal(field.value.data, text, length);
    return header.sequence;
}

static bool has_question(void)
{
    struct pollfd fd = { .fd = ends[1], .events = POLLIN };

    run();
    return poll(&fd, 1, 0) == 1;
}

static void give_answer(uint32_t sequence, const void *text, size_t length)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_ANSWER, 0, sequence);
    protocol_put_bytes(&writer, FIELD_DATA, text, length);
    assert_int_equal(protocol_finish(&writer), 0);
    for (size_t done = 0; done < writer.length;) {
        ssize_t n = send(ends[0], writer.data + done, writer.length - done, MSG_DONTWAIT);

        done += n > 0 ? (size_t)n : 0;
        run();
    }
    free(writer.data);
    run();
}

static int setup(void **state)
{
    struct resolver_config config = { .connect_port = connect_port, .secret = secret };
    struct protocol_header header;
    struct protocol_field field = { 0 };
    struct failure failure;
    bool bad = false;

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    config.epoll = epoll_fd;
    config.cgroup = cgroup;
    connected = 0;
    resolver_init(&resolver);
    if (resolver_start(&resolver, &config, &failure) < 0)
        fail_msg("%s", failure.text);
    assert_int_equal(connected, 2);
    for (uint64_t i = 0; i < 2; i++) {
        struct protocol_reader fields = { message, take(ends[i], &header, message) };

        assert_int_equal(header.type, MESSAGE_RESOLVER);
        assert_int_equal(protocol_find(fields, FIELD_STREAM, &field), 1);
        assert_int_equal(protocol_u64(&field, &bad), i);
        assert_int_equal(protocol_find(fields, FIELD_SECRET, &field), 1);
        assert_int_equal(field.value.length, sizeof(secret));
        assert_memory_equal(field.value.data, secret, sizeof(secret));
    }
    return 0;
}

static int teardown(void **state)
{
    resolver_stop(&resolver);
    close(epoll_fd);
    for (unsigned int i = 0; i < connected; i++)
        io_close(&ends[i]);
    return 0;
}

/* A program's socket. @port: 53, or resolver.port where no kernel leads from there. */
static int program(int type, uint16_t port)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(port),
                                         .sin_addr.s_addr = htonl(RESOLVER_ADDRESS) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void expect_text(int fd, const void *text, size_t length)
{
    char seen[256];

    assert_int_equal(recv(fd, seen, sizeof(seen), MSG_DONTWAIT), length);
    assert_memory_equal(seen, text, length);
}

/* ---- UDP ---- */

static void answers_find_who_asked(void **state)
{
    int first = program(SOCK_DGRAM, resolver.port), second = program(SOCK_DGRAM, resolver.port);
    uint32_t a, b;

    send(first, QUESTION "1", LENGTH + 1, 0);
    send(second, QUESTION "2", LENGTH + 1, 0);
    a = expect_question(QUESTION "1", LENGTH + 1, false);
    b = expect_question(QUESTION "2", LENGTH + 1, false);
    assert_int_not_equal(a, b);
    give_answer(b, ANSWER "2", LENGTH + 1);
    give_answer(a, ANSWER "1", LENGTH + 1);
    expect_text(first, ANSWER "1", LENGTH + 1);
    expect_text(second, ANSWER "2", LENGTH + 1);
    close(first);
    close(second);
}

static void an_answer_counts_once(void **state)
{
    int fd = program(SOCK_DGRAM, resolver.port);
    uint32_t sequence;
    char byte;

    send(fd, QUESTION, LENGTH, 0);
    sequence = expect_question(QUESTION, LENGTH, false);
    give_answer(sequence, ANSWER, LENGTH);
    give_answer(sequence, ANSWER, LENGTH);
    give_answer(sequence + 1, ANSWER, LENGTH);
    give_answer(0, ANSWER, LENGTH);
    expect_text(fd, ANSWER, LENGTH);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    close(fd);
}

static void what_is_too_short_for_a_question_is_none(void **state)
{
    int fd = program(SOCK_DGRAM, resolver.port);

    send(fd, "", 0, 0);
    send(fd, QUESTION, RESOLVER_MESSAGE_MIN - 1, 0);
    assert_false(has_question());
    close(fd);
}

static void the_oldest_of_too_many_open_questions_are_forgotten(void **state)
{
    int fd = program(SOCK_DGRAM, resolver.port);
    uint32_t first = 0, last = 0;
    char byte;

    for (int i = 0; i <= RESOLVER_OPEN_MAX; i++) {
        send(fd, QUESTION, LENGTH, 0);
        last = expect_question(QUESTION, LENGTH, false);
        first = first ? first : last;
    }
    give_answer(first, ANSWER, LENGTH);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    give_answer(last, ANSWER, LENGTH);
    expect_text(fd, ANSWER, LENGTH);
    close(fd);
}

/* However many others were asked and answered meanwhile. */
static void a_slow_question_outlives_many_quick_ones(void **state)
{
    int slow = program(SOCK_DGRAM, resolver.port), fd = program(SOCK_DGRAM, resolver.port);
    uint32_t sequence;

    send(slow, QUESTION "1", LENGTH + 1, 0);
    sequence = expect_question(QUESTION "1", LENGTH + 1, false);
    for (int i = 0; i < 2 * RESOLVER_OPEN_MAX; i++) {
        send(fd, QUESTION, LENGTH, 0);
        give_answer(expect_question(QUESTION, LENGTH, false), ANSWER, LENGTH);
        expect_text(fd, ANSWER, LENGTH);
    }
    give_answer(sequence, ANSWER "1", LENGTH + 1);
    expect_text(slow, ANSWER "1", LENGTH + 1);
    close(slow);
    close(fd);
}

/* An empty answer makes room: nothing is forgotten for it, and nothing is sent. */
static void what_the_host_gives_up_is_not_remembered(void **state)
{
    int given_up = program(SOCK_DGRAM, resolver.port), fd = program(SOCK_DGRAM, resolver.port);
    uint32_t first = 0;
    char byte;

    for (int i = 0; i < RESOLVER_OPEN_MAX - 1; i++) {
        uint32_t sequence;

        send(fd, QUESTION, LENGTH, 0);
        sequence = expect_question(QUESTION, LENGTH, false);
        first = first ? first : sequence;
    }
    for (int i = 0; i < 3; i++) {
        send(given_up, QUESTION "1", LENGTH + 1, 0);
        give_answer(expect_question(QUESTION "1", LENGTH + 1, false), NULL, 0);
        assert_int_equal(recv(given_up, &byte, 1, MSG_DONTWAIT), -1);
    }
    give_answer(first, ANSWER, LENGTH);
    expect_text(fd, ANSWER, LENGTH);
    close(given_up);
    close(fd);
}

static void a_connection_whose_question_is_forgotten_is_closed(void **state)
{
    int tcp = program(SOCK_STREAM, resolver.port), udp = program(SOCK_DGRAM, resolver.port);

    send(tcp, "\0\21" QUESTION, LENGTH + 2, 0);
    expect_question(QUESTION, LENGTH, true);
    for (int i = 0; i < RESOLVER_OPEN_MAX; i++) {
        assert_int_equal(recv(tcp, message, 1, MSG_DONTWAIT), -1);
        send(udp, QUESTION, LENGTH, 0);
        expect_question(QUESTION, LENGTH, false);
    }
    assert_int_equal(recv(tcp, message, 1, MSG_DONTWAIT), 0);
    close(tcp);
    close(udp);
}

/* No memory grows, and nothing is lost but datagrams. */
static void a_host_that_takes_no_questions_is_waited_for(void **state)
{
    static uint8_t large[60000] = QUESTION;
    int udp = program(SOCK_DGRAM, resolver.port), tcp = program(SOCK_STREAM, resolver.port);
    unsigned int count = 0;

    for (int i = 0; i < 100; i++) {
        send(udp, large, sizeof(large), 0);
        run();
    }
    send(tcp, "\0\21" QUESTION, LENGTH + 2, 0);
    run();
    while (has_question()) {
        struct protocol_header header;

        take(ends[1], &header, message);
        count++;
    }
    /* What was on its way, what its socket has kept, and the one over TCP. */
    assert_in_range(count, 3, 50);
    close(udp);
    close(tcp);
}

/* ---- TCP ---- */

static void questions_over_tcp_in_pieces_and_in_a_row(void **state)
{
    int fd = program(SOCK_STREAM, resolver.port);
    uint32_t sequence;

    for (size_t i = 0; i < LENGTH + 2; i++) {
        assert_false(has_question());
        send(fd, "\0\21" QUESTION "\0\22" QUESTION "2" + i, 1, 0);
    }
    sequence = expect_question(QUESTION, LENGTH, true);
    /* The next one waits for its turn. */
    send(fd, "\0\22" QUESTION "2", LENGTH + 3, 0);
    assert_false(has_question());
    give_answer(sequence, ANSWER, LENGTH);
    expect_text(fd, "\0\21" ANSWER, LENGTH + 2);
    sequence = expect_question(QUESTION "2", LENGTH + 1, true);
    /* Also to one that has no more to say. */
    shutdown(fd, SHUT_WR);
    run();
    give_answer(sequence, ANSWER "2", LENGTH + 1);
    expect_text(fd, "\0\22" ANSWER "2", LENGTH + 3);
    assert_int_equal(recv(fd, message, 1, 0), 0);
    close(fd);
}

static void the_largest_question_and_answer(void **state)
{
    static uint8_t large[2 + RESOLVER_MESSAGE_MAX], seen[sizeof(large)];
    int fd = program(SOCK_STREAM, resolver.port);
    uint32_t sequence;
    size_t have = 0;

    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = i < 2 ? 0xff : (uint8_t)(i * 7);
    for (size_t done = 0; done < sizeof(large);) {
        ssize_t n = send(fd, large + done, sizeof(large) - done, MSG_DONTWAIT);

        done += n > 0 ? (size_t)n : 0;
        run();
    }
    sequence = expect_question(large + 2, RESOLVER_MESSAGE_MAX, true);
    give_answer(sequence, large + 2, RESOLVER_MESSAGE_MAX);
    while (have < sizeof(seen)) {
        ssize_t n = recv(fd, seen + have, sizeof(seen) - have, MSG_DONTWAIT);

        assert_int_not_equal(n, 0);
        have += n > 0 ? (size_t)n : 0;
        run();
    }
    assert_memory_equal(seen, large, sizeof(seen));
    close(fd);
}

static void connections_without_an_answer_are_closed(void **state)
{
    int fd = program(SOCK_STREAM, resolver.port), bad = program(SOCK_STREAM, resolver.port);

    send(bad, "\0\1?", 3, 0);
    run();
    assert_int_equal(recv(bad, message, 1, 0), 0);
    send(fd, "\0\21" QUESTION, LENGTH + 2, 0);
    give_answer(expect_question(QUESTION, LENGTH, true), "", 0);
    assert_int_equal(recv(fd, message, 1, 0), 0);
    close(fd);
    close(bad);
}

static void the_answer_of_one_that_has_gone_goes_to_nobody(void **state)
{
    int fd = program(SOCK_STREAM, resolver.port);
    const struct linger abort_it = { 1, 0 };
    uint32_t sequence;

    send(fd, "\0\21" QUESTION, LENGTH + 2, 0);
    sequence = expect_question(QUESTION, LENGTH, true);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
    close(fd);
    run();
    /* Its place has another one now. */
    fd = program(SOCK_STREAM, resolver.port);
    run();
    give_answer(sequence, ANSWER, LENGTH);
    assert_int_equal(recv(fd, message, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

static void idle_connections_make_room(void **state)
{
    int idle[RESOLVER_CLIENTS_MAX], fd;

    for (int i = 0; i < RESOLVER_CLIENTS_MAX; i++) {
        idle[i] = program(SOCK_STREAM, resolver.port);
        run();
    }
    fd = program(SOCK_STREAM, resolver.port);
    send(fd, "\0\21" QUESTION, LENGTH + 2, 0);
    expect_question(QUESTION, LENGTH, true);
    assert_int_equal(recv(idle[0], message, 1, 0), 0);
    assert_int_equal(recv(idle[1], message, 1, MSG_DONTWAIT), -1);
    for (int i = 0; i < RESOLVER_CLIENTS_MAX; i++)
        close(idle[i]);
    close(fd);
}

/* ---- the end ---- */

static bool is_listening(uint16_t port)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(port),
                                         .sin_addr.s_addr = htonl(RESOLVER_ADDRESS) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ret = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return ret;
}

static void it_ends_with_either_connection(void **state)
{
    uint16_t port = resolver.port;

    assert_true(is_listening(port));
    io_close(&ends[0]);
    run();
    assert_false(is_listening(port));
    teardown(state);
    setup(state);
    port = resolver.port;
    io_close(&ends[1]);
    run();
    assert_false(is_listening(port));
}

static void a_host_that_sends_something_else_ends_it(void **state)
{
    uint16_t port = resolver.port;
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_SIGNAL, 0, 1);
    protocol_finish(&writer);
    send(ends[0], writer.data, writer.length, 0);
    free(writer.data);
    run();
    assert_false(is_listening(port));
}

static void it_begins_anew(void **state)
{
    struct resolver_config config = resolver.config;
    struct failure failure;
    int old[2] = { ends[0], ends[1] };

    connected = 0;
    assert_int_equal(resolver_start(&resolver, &config, &failure), 0);
    assert_int_equal(connected, 2);
    assert_true(is_listening(resolver.port));
    close(old[0]);
    close(old[1]);
}

/* ---- 127.0.0.11:53 ---- */

/* The steps of a program that asks, with an answer in between. */
static void ask_and_be_told(int fd, bool tcp)
{
    const size_t skip = tcp ? 0 : 2;

    assert_true(send(fd, "\0\21" QUESTION + skip, LENGTH + 2 - skip, 0) > 0);
    give_answer(expect_question(QUESTION, LENGTH, tcp), ANSWER, LENGTH);
    expect_text(fd, "\0\21" ANSWER + skip, LENGTH + 2 - skip);
}

static void programs_see_port_53(void **state)
{
    const int types[] = { SOCK_DGRAM, SOCK_STREAM };

    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_in peer;
        socklen_t length = sizeof(peer);
        int fd = program(types[i], RESOLVER_PORT);

        ask_and_be_told(fd, types[i] == SOCK_STREAM);
        assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
        assert_int_equal(ntohs(peer.sin_port), RESOLVER_PORT);
        close(fd);
    }
}

/* As musl and busybox ask: the answer's sender must be who was asked. */
static void unconnected_sockets_get_answers_from_port_53(void **state)
{
    struct sockaddr_in peer = { .sin_family = AF_INET,
                                .sin_port = htons(RESOLVER_PORT),
                                .sin_addr.s_addr = htonl(RESOLVER_ADDRESS) };
    socklen_t length = sizeof(peer);
    int fd;

    fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(sendto(fd, QUESTION, LENGTH, 0, (struct sockaddr *)&peer, sizeof(peer)),
                     LENGTH);
    give_answer(expect_question(QUESTION, LENGTH, false), ANSWER, LENGTH);
    memset(&peer, 0, sizeof(peer));
    assert_int_equal(recvfrom(fd, message, sizeof(message), MSG_DONTWAIT, (struct sockaddr *)&peer,
                              &length),
                     LENGTH);
    assert_int_equal(ntohs(peer.sin_port), RESOLVER_PORT);
    assert_int_equal(ntohl(peer.sin_addr.s_addr), RESOLVER_ADDRESS);
    close(fd);
}

/* As Java asks. */
static void mapped_addresses_of_ipv6_lead_there_too(void **state)
{
    const int types[] = { SOCK_DGRAM, SOCK_STREAM };
    struct sockaddr_in6 server = { .sin6_family = AF_INET6, .sin6_port = htons(RESOLVER_PORT) };

    inet_pton(AF_INET6, "::ffff:127.0.0.11", &server.sin6_addr);
    for (size_t i = 0; i < 3; i++) {
        struct sockaddr_in6 peer = server;
        socklen_t length = sizeof(peer);
        int fd = socket(AF_INET6, types[i % 2], 0);

        if (i < 2) {
            assert_int_equal(connect(fd, (struct sockaddr *)&server, sizeof(server)), 0);
            ask_and_be_told(fd, types[i] == SOCK_STREAM);
            assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
        } else {
            sendto(fd, QUESTION, LENGTH, 0, (struct sockaddr *)&server, sizeof(server));
            give_answer(expect_question(QUESTION, LENGTH, false), ANSWER, LENGTH);
            assert_int_equal(recvfrom(fd, message, sizeof(message), MSG_DONTWAIT,
                                      (struct sockaddr *)&peer, &length),
                             LENGTH);
        }
        assert_int_equal(ntohs(peer.sin6_port), RESOLVER_PORT);
        assert_memory_equal(&peer.sin6_addr, &server.sin6_addr, sizeof(peer.sin6_addr));
        close(fd);
    }
}

static void the_workload_may_have_a_name_server_of_its_own(void **state)
{
    const int types[] = { SOCK_DGRAM, SOCK_STREAM };
    const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(RESOLVER_PORT) };

    for (size_t i = 0; i < 2; i++) {
        int own = socket(AF_INET, types[i], 0), fd;

        assert_int_equal(bind(own, (const struct sockaddr *)&any, sizeof(any)), 0);
        if (types[i] == SOCK_STREAM)
            assert_int_equal(listen(own, 1), 0);
        fd = program(types[i], RESOLVER_PORT);
        ask_and_be_told(fd, types[i] == SOCK_STREAM);
        close(fd);
        close(own);
    }
}

/* A Docker in the container has its own server there, in namespaces that it makes. */
static void other_namespaces_are_left_alone(void **state)
{
    _cleanup_close_ int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    bool led;

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(network_loopback_up(), 0);
    led = is_listening(RESOLVER_PORT);
    assert_int_equal(setns(ours, CLONE_NEWNET), 0);
    assert_false(led);
    assert_true(is_listening(RESOLVER_PORT));
}

static void nothing_leads_there_after_the_end(void **state)
{
    assert_true(is_listening(RESOLVER_PORT));
    resolver_stop(&resolver);
    assert_false(is_listening(RESOLVER_PORT));
}

static void a_kernel_without_the_means_is_named(void **state)
{
    struct resolver_config config = resolver.config;
    struct failure failure;

    config.cgroup = -1;
    connected = 0;
    close(ends[0]);
    close(ends[1]);
    if (resolver_start(&resolver, &config, &failure) == 0)
        fail_msg("started without a cgroup");
    assert_non_null(strstr(failure.text, "CONFIG_CGROUP_BPF"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static bool prepare(void)
{
    static const char place[] = "/tmp/vmrt-resolver-test";
    struct steer steer;
    bool steers;

    if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 || network_loopback_up() < 0)
        return false;
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdir(place, 0700);
    if (mount("cgroup2", place, "cgroup2", 0, NULL) < 0)
        return false;
    cgroup = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    steer_init(&steer);
    steers = cgroup >= 0 && steer_begin(&steer, cgroup, RESOLVER_ADDRESS, 53, 54) == 0;
    steer_end(&steer);
    umount2(place, MNT_DETACH);
    rmdir(place);
    return steers;
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(answers_find_who_asked),
        TEST(an_answer_counts_once),
        TEST(what_is_too_short_for_a_question_is_none),
        TEST(the_oldest_of_too_many_open_questions_are_forgotten),
        TEST(a_slow_question_outlives_many_quick_ones),
        TEST(what_the_host_gives_up_is_not_remembered),
        TEST(a_connection_whose_question_is_forgotten_is_closed),
        TEST(a_host_that_takes_no_questions_is_waited_for),
        TEST(questions_over_tcp_in_pieces_and_in_a_row),
        TEST(the_largest_question_and_answer),
        TEST(connections_without_an_answer_are_closed),
        TEST(the_answer_of_one_that_has_gone_goes_to_nobody),
        TEST(idle_connections_make_room),
        TEST(it_ends_with_either_connection),
        TEST(a_host_that_sends_something_else_ends_it),
        TEST(it_begins_anew),
        TEST(programs_see_port_53),
        TEST(unconnected_sockets_get_answers_from_port_53),
        TEST(mapped_addresses_of_ipv6_lead_there_too),
        TEST(the_workload_may_have_a_name_server_of_its_own),
        TEST(other_namespaces_are_left_alone),
        TEST(nothing_leads_there_after_the_end),
        TEST(a_kernel_without_the_means_is_named),
    };

    if (!prepare())
        skip_all(tests, sizeof(tests) / sizeof(tests[0]),
                 "root, CONFIG_CGROUP_BPF and a cgroup of version 2");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
