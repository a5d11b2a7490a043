/*
 * vmrt-net and the name server of a namespace: whether it is found, who asks it, and what a guest
 * can do with that. The server is a process of the test. See net_world.h.
 */
#include "net_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/prctl.h>

#define HEAD   "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define HEADED 12u

static struct world world;
static pid_t server;
static int host; /* vmrt-vmm's end of CONTROL_RESOLVER's socket */

/* ---- the name server ---- */

static const struct sockaddr_in *server_address(uint16_t port)
{
    static struct sockaddr_in address;

    address = (struct sockaddr_in) { .sin_family = AF_INET,
                                     .sin_port = htons(port),
                                     .sin_addr.s_addr = htonl(RESOLVER_ADDRESS) };
    return &address;
}

static int server_bind(int type, uint16_t port)
{
    const int on = 1, room = 4 << 20;
    int fd = socket(AF_INET, type, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* For hundreds of datagrams at once: none is to be lost. */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    if (bind(fd, (const struct sockaddr *)server_address(port), sizeof(struct sockaddr_in)) < 0 ||
        (type == SOCK_STREAM && listen(fd, 128) < 0))
        _exit(1);
    return fd;
}

/* "hold" gets no answer; "hang up" none over TCP; "large" 60000 bytes; all else the same with QR.
 */
static size_t server_answer(uint8_t *data, size_t length)
{
    if (memmem(data, length, "hold", 4))
        return 0;
    data[2] |= 0x80;
    if (!memmem(data, length, "large", 5))
        return length;
    memset(data + length, 'x', 60000 - length);
    return 60000;
}

static void serve_tcp(int listener)
{
    static uint8_t data[2 + 65535];
    int fd = accept(listener, NULL, NULL);
    size_t length;

    /* Who has given up says nothing. */
    length = fd_read_full(fd, data, 2) == 2 ? (size_t)data[0] << 8 | data[1] : 0;
    if (length == 0 || fd_read_full(fd, data + 2, length) != (ssize_t)length) {
        close(fd);
        return;
    }
    /* Stays open. */
    if (memmem(data + 2, length, "hold", 4))
        return;
    if (!memmem(data + 2, length, "hang up", 7)) {
        length = server_answer(data + 2, length);
        data[0] = (uint8_t)(length >> 8);
        data[1] = (uint8_t)length;
        fd_write_full(fd, data, length + 2);
    }
    close(fd);
}

static __attribute__((noreturn)) void serve(int ready, uint16_t port)
{
    static uint8_t data[65535];
    struct pollfd fds[2];

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setns(world.container, CLONE_NEWNET);
    /* Ends of sockets whose closing is to be noticed. */
    fd_close(&world.control);
    fd_close(&host);
    fds[0] = (struct pollfd) { .fd = server_bind(SOCK_DGRAM, port), .events = POLLIN };
    fds[1] = (struct pollfd) { .fd = server_bind(SOCK_STREAM, port), .events = POLLIN };
    (void)!write(ready, "", 1);
    while (poll(fds, 2, -1) > 0) {
        struct sockaddr_in from;
        socklen_t size = sizeof(from);

        if (fds[0].revents) {
            ssize_t n = recvfrom(fds[0].fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);
            size_t length = n > 0 ? server_answer(data, (size_t)n) : 0;

            if (length)
                sendto(fds[0].fd, data, length, 0, (struct sockaddr *)&from, size);
        }
        if (fds[1].revents)
            serve_tcp(fds[1].fd);
    }
    _exit(0);
}

static void start_server(uint16_t port)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    server = fork();
    assert_true(server >= 0);
    if (server == 0)
        serve(ready[1], port);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

static int setup(void **state)
{
    world_setup(&world);
    server = -1;
    host = -1;
    return 0;
}

static int teardown(void **state)
{
    fd_close(&host);
    world_teardown(&world);
    if (server > 0)
        kill(server, SIGKILL);
    /* All of vmrt-net's end with their connections: else the test hangs here. */
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}

/* ---- vmrt-vmm's part ---- */

static void take_resolver(void)
{
    uint8_t packet[4096];
    struct timeval patience = { .tv_sec = WORLD_TIMEOUT_S };
    struct protocol_header header;
    size_t count = 1;
    ssize_t n;

    assert_true(world_is_asked(&world, WORLD_TIMEOUT_S * 1000));
    n = fd_receive_message(world.control, packet, sizeof(packet), &host, &count);
    assert_true(n >= (ssize_t)PROTOCOL_HEADER_SIZE);
    assert_int_equal(protocol_read_header(packet, &header), 0);
    assert_int_equal(header.type, CONTROL_RESOLVER);
    assert_int_equal(count, 1);
    setsockopt(host, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    world_answer(&world, 0, NULL);
}

static bool guest_is_told(void)
{
    struct protocol_field field = { 0 };
    bool bad = false;

    return protocol_find(world.fields, FIELD_RESOLVER, &field) == 1 &&
           protocol_u64(&field, &bad) == 1;
}

/* vmrt-net has found the server and told the guest. */
static void start(const char *extra)
{
    world_start(&world, 1, extra);
    take_resolver();
    assert_true(world_receive(&world));
    assert_true(guest_is_told());
    world_answer(&world, 0, NULL);
    assert_int_equal(world_wait(&world), 0);
}

/* ---- the guest's part ---- */

static void send_all(const void *data, size_t length)
{
    assert_int_equal(fd_write_full(host, data, length), 0);
}

static void ask_data(uint32_t sequence, bool tcp, const void *data, size_t length)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_QUERY, 0, sequence);
    if (tcp)
        protocol_put_u64(&writer, FIELD_TCP, 1);
    protocol_put_bytes(&writer, FIELD_DATA, data, length);
    assert_int_equal(protocol_finish(&writer), 0);
    send_all(writer.data, writer.length);
    free(writer.data);
}

static void ask(uint32_t sequence, bool tcp, const char *text)
{
    char data[256] = HEAD;

    snprintf(data + HEADED, sizeof(data) - HEADED, "%s", text);
    ask_data(sequence, tcp, data, HEADED + strlen(text));
}

/* Return: the sequence number of the next answer, which is in @data. */
static uint32_t take_answer(struct protocol_reader *data)
{
    static uint8_t message[1 << 17];
    uint8_t head[PROTOCOL_HEADER_SIZE];
    struct protocol_header header;
    struct protocol_field field = { 0 };
    struct protocol_reader fields;

    assert_int_equal(fd_read_full(host, head, sizeof(head)), sizeof(head));
    assert_int_equal(protocol_read_header(head, &header), 0);
    assert_int_equal(header.type, MESSAGE_ANSWER);
    assert_true(header.length <= sizeof(message));
    assert_int_equal(fd_read_full(host, message, header.length), header.length);
    fields = (struct protocol_reader) { message, header.length };
    assert_int_equal(protocol_find(fields, FIELD_DATA, &field), 1);
    *data = field.value;
    return header.sequence;
}

static void expect_answer(uint32_t sequence, const char *text)
{
    struct protocol_reader data;

    assert_int_equal(take_answer(&data), sequence);
    assert_int_equal(data.length, HEADED + strlen(text));
    assert_int_equal(data.data[2] & 0x80, 0x80);
    assert_memory_equal(data.data + HEADED, text, strlen(text));
}

static void expect_servfail(uint32_t sequence)
{
    struct protocol_reader data;

    assert_int_equal(take_answer(&data), sequence);
    assert_true(data.length >= HEADED);
    assert_memory_equal(data.data, HEAD, 2);
    assert_int_equal(data.data[2] & 0x80, 0x80);
    assert_int_equal(data.data[3] & 0x0f, 2);
}

static bool has_hung_up(void)
{
    char byte;

    return recv(host, &byte, 1, 0) <= 0;
}

/* ---- */

static void without_a_server_nobody_is_told(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_start(&world, 1, NULL);
    assert_true(world_receive(&world));
    assert_false(guest_is_told());
    world_answer(&world, 0, NULL);
    assert_int_equal(world_wait(&world), 0);
}

static void questions_are_answered_over_udp_and_tcp(void **state)
{
    struct protocol_reader data;

    start_server(RESOLVER_PORT);
    start(NULL);
    ask(7, false, "first");
    expect_answer(7, "first");
    ask(8, true, "second");
    expect_answer(8, "second");
    ask(9, false, "large");
    assert_int_equal(take_answer(&data), 9);
    assert_int_equal(data.length, 60000);
    ask(10, true, "large");
    assert_int_equal(take_answer(&data), 10);
    assert_int_equal(data.length, 60000);
    /* A slow one holds nobody up. */
    ask(11, false, "hold");
    ask(12, true, "hold");
    ask(13, true, "third");
    expect_answer(13, "third");
}

/* Docker's listens on a port that rules lead to; before these are there, or after, nobody does. */
static void a_server_that_is_gone_is_said_at_once(void **state)
{
    start_server(5300);
    start(NULL);
    ask(1, false, "anybody?");
    expect_servfail(1);
    ask(2, true, "anybody?");
    expect_servfail(2);
    kill(server, SIGKILL);
    ask(3, false, "and now?");
    expect_servfail(3);
}

static void a_server_that_hangs_up_is_said(void **state)
{
    start_server(RESOLVER_PORT);
    start(NULL);
    ask(1, true, "hang up");
    expect_servfail(1);
}

static void a_server_that_comes_with_a_network_is_found(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_start(&world, 1, "--watch");
    assert_true(world_receive(&world));
    assert_false(guest_is_told());
    world_answer(&world, 0, NULL);
    assert_int_equal(world_wait(&world), 0);
    start_server(RESOLVER_PORT);
    world_add_veth(&world, "eth1", 2);
    take_resolver();
    assert_true(world_receive(&world));
    assert_true(guest_is_told());
    world_answer(&world, 0, NULL);
    ask(1, false, "late");
    expect_answer(1, "late");
    /* Once is enough. */
    while (world_is_asked(&world, 300)) {
        assert_true(world_receive(&world));
        assert_false(guest_is_told());
        world_answer(&world, 0, NULL);
    }
    assert_true(world_end_machine(&world));
}

static void a_machine_without_the_request_has_a_network_all_the_same(void **state)
{
    char packet[4096];
    size_t count = 0;

    start_server(RESOLVER_PORT);
    world_add_veth(&world, "eth0", 1);
    world_start(&world, 1, NULL);
    assert_true(fd_receive_message(world.control, packet, sizeof(packet), NULL, &count) > 0);
    world_answer(&world, EOPNOTSUPP, "request 75 is not known to this vmrt-vmm");
    assert_true(world_receive(&world));
    assert_false(guest_is_told());
    world_answer(&world, 0, NULL);
    assert_int_equal(world_wait(&world), 0);
    assert_non_null(strstr(world_words(&world), "request 75"));
}

static void hundreds_at_once_are_all_answered(void **state)
{
    bool seen[401] = { false };
    struct protocol_reader data;
    char text[16];

    start_server(RESOLVER_PORT);
    start(NULL);
    for (uint32_t i = 1; i <= 400; i++) {
        snprintf(text, sizeof(text), "%u", i);
        ask(i, false, text);
    }
    for (uint32_t i = 1; i <= 400; i++) {
        uint32_t sequence = take_answer(&data);

        assert_in_range(sequence, 1, 400);
        assert_false(seen[sequence]);
        seen[sequence] = true;
        assert_int_equal(data.data[3] & 0x0f, 0);
    }
}

static pid_t find_process(void)
{
    DIR *directory = opendir("/proc");
    const struct dirent *entry;
    struct stat ours, theirs;
    pid_t found = -1;

    assert_int_equal(fstat(world.container, &ours), 0);
    while ((entry = readdir(directory))) {
        char path[300], comm[32] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        (void)!read(fd, comm, sizeof(comm) - 1);
        close(fd);
        snprintf(path, sizeof(path), "/proc/%s/ns/net", entry->d_name);
        if (strcmp(comm, "vmrt-net-dns\n") == 0 && stat(path, &theirs) == 0 &&
            theirs.st_ino == ours.st_ino)
            found = atoi(entry->d_name);
    }
    closedir(directory);
    assert_true(found > 0);
    return found;
}

/* The process that asks: once it has answered, it is what it is to be. */
static pid_t find_asker(void)
{
    ask(UINT32_MAX, false, "ready?");
    expect_answer(UINT32_MAX, "ready?");
    return find_process();
}

static unsigned int count_fds(pid_t pid)
{
    char path[64];
    unsigned int count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

static void questions_without_an_answer_are_bounded(void **state)
{
    struct protocol_reader data;
    pid_t pid;

    start_server(RESOLVER_PORT);
    start(NULL);
    pid = find_asker();
    for (uint32_t i = 1; i <= 100; i++)
        ask(i, true, "hold");
    /* 32 are kept; each that is given up is said, so that its connection can be closed. */
    for (uint32_t i = 1; i <= 68; i++) {
        assert_int_equal(take_answer(&data), i);
        assert_int_equal(data.length, 0);
    }
    for (uint32_t i = 1000; i < 3000; i++) {
        ask(i, false, "hold");
        /* Of all that there are; 32 over TCP go first. */
        if (i < 1000 + 512 - 32)
            continue;
        assert_int_equal(take_answer(&data), i < 1000 + 512 ? i - 1411 : i - 512);
        assert_int_equal(data.length, 0);
    }
    ask(3000, false, "still there?");
    while (take_answer(&data) != 3000)
        ;
    assert_in_range(count_fds(pid), 512, 520);
}

/* init need not remember it, and does not say so to who asked. */
static void a_question_over_udp_that_is_given_up_is_said(void **state)
{
    struct protocol_reader data;

    start_server(RESOLVER_PORT);
    start(NULL);
    for (uint32_t i = 1; i <= 513; i++)
        ask(i, false, "hold");
    assert_int_equal(take_answer(&data), 1);
    assert_int_equal(data.length, 0);
}

static void it_has_no_rights_and_nothing_open(void **state)
{
    char path[64], text[4096];
    pid_t pid;
    ssize_t n;
    int fd;

    start_server(RESOLVER_PORT);
    start(NULL);
    pid = find_asker();
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
    assert_non_null(strstr(text, "CapPrm:\t0000000000000000"));
    assert_non_null(strstr(text, "NoNewPrivs:\t1"));
    assert_non_null(strstr(text, "Seccomp:\t2"));
    /* /dev/null three times, the socket, epoll; perhaps that of the last question for a moment. */
    for (int i = 0; i < 100 && count_fds(pid) != 5; i++)
        world_sleep_ms(10);
    assert_int_equal(count_fds(pid), 5);
}

static void what_is_no_question_ends_it(void **state)
{
    static const uint8_t large[RESOLVER_MESSAGE_MAX + 1];
    static const struct {
        uint16_t type;
        size_t length;
        bool bad_tcp;
    } cases[] = {
        { MESSAGE_SIGNAL, 20, false }, { MESSAGE_QUERY, 11, false },
        { MESSAGE_QUERY, 0, false },   { MESSAGE_QUERY, sizeof(large), false },
        { MESSAGE_QUERY, 20, true },
    };

    for (size_t i = 0; i <= sizeof(cases) / sizeof(cases[0]); i++) {
        struct protocol_writer writer = { 0 };

        if (i > 0) {
            teardown(state);
            setup(state);
        }
        start_server(RESOLVER_PORT);
        start(NULL);
        if (i == sizeof(cases) / sizeof(cases[0])) {
            send_all("this is not a message at all, not even a bit", 44);
        } else {
            protocol_begin(&writer, cases[i].type, 0, 1);
            if (cases[i].bad_tcp)
                protocol_put_string(&writer, FIELD_TCP, "yes");
            protocol_put_bytes(&writer, FIELD_DATA, large, cases[i].length);
            assert_int_equal(protocol_finish(&writer), 0);
            (void)!fd_write_full(host, writer.data, writer.length);
            free(writer.data);
        }
        assert_true(has_hung_up());
    }
}

static void datagrams_that_no_server_takes_are_refused(void **state)
{
    static uint8_t large[5000] = HEAD;
    struct protocol_reader data;

    start_server(RESOLVER_PORT);
    start(NULL);
    ask_data(1, false, large, sizeof(large));
    expect_servfail(1);
    ask_data(2, true, large, sizeof(large));
    /* Over TCP it is a question like others. */
    assert_int_equal(take_answer(&data), 2);
    assert_int_equal(data.length, sizeof(large));
}

/* Answers that nobody reads stay in the socket, and in nobody's memory. */
static void a_guest_that_does_not_read_is_waited_for(void **state)
{
    struct protocol_reader data;
    pid_t pid;

    start_server(RESOLVER_PORT);
    start(NULL);
    pid = find_asker();
    for (uint32_t i = 1; i <= 30; i++)
        ask(i, true, "large");
    world_sleep_ms(300);
    assert_true(count_fds(pid) < 5 + 33);
    for (uint32_t i = 1; i <= 30; i++) {
        take_answer(&data);
        assert_int_equal(data.length, 60000);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(without_a_server_nobody_is_told),
        TEST(questions_are_answered_over_udp_and_tcp),
        TEST(a_server_that_is_gone_is_said_at_once),
        TEST(a_server_that_hangs_up_is_said),
        TEST(a_server_that_comes_with_a_network_is_found),
        TEST(a_machine_without_the_request_has_a_network_all_the_same),
        TEST(hundreds_at_once_are_all_answered),
        TEST(questions_without_an_answer_are_bounded),
        TEST(a_question_over_udp_that_is_given_up_is_said),
        TEST(it_has_no_rights_and_nothing_open),
        TEST(what_is_no_question_ends_it),
        TEST(datagrams_that_no_server_takes_are_refused),
        TEST(a_guest_that_does_not_read_is_waited_for),
    };

    signal(SIGPIPE, SIG_IGN);
    world_require(tests, sizeof(tests) / sizeof(tests[0]));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
