/*
 * Three network namespaces for tests of the network, without a virtual machine: "outside" is where
 * peers are, "container" is what an engine prepared and vmrt-net works on, and "guest" is where
 * init's part is tried: its network cards are TAPs there, and frames are carried between them and
 * vmrt-net's. The test's own process is in the guest.
 *
 * Needs root, /dev/net/tun, ip(8) and busybox (for ping).
 */
#ifndef VMRT_TEST_UNIT_NET_WORLD_H
#define VMRT_TEST_UNIT_NET_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init/links.h"
#include "init/protocol.h"
#include "lib/fd.h"
#include "skip_all.h"
#include "vmm/control.h"

#define WORLD_CARDS_MAX 64
#define WORLD_TIMEOUT_S 20

struct world {
    int outside, container, guest; /* namespaces */
    /* vmrt-net */
    pid_t net;
    int control, output; /* our end of its control connection; its stderr */
    int watcher_log;
    bool gated; /* each line that it says waits for the test, see world_wait_line() */
    /* the last CONTROL_NETWORK */
    uint8_t *message;
    size_t length;
    struct protocol_reader fields;
    int taps[253];
    size_t tap_count;
};

/* A network card of the guest: two TAPs and a thread that carries frames between them. */
struct card {
    int host, guest;
    pthread_t thread;
    bool used;
};

static struct card world_cards[WORLD_CARDS_MAX];

static inline int world_namespace(void)
{
    int fd;

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Runs a shell command in a namespace. Return: its exit status. */
static inline int world_try(int namespace, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline int world_try(int namespace, const char *fmt, ...)
{
    char command[1024];
    va_list args;
    int status;
    pid_t pid;

    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setns(namespace, CLONE_NEWNET);
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define world_run(namespace, ...)                     \
    do {                                              \
        if (world_try(namespace, __VA_ARGS__) != 0)   \
            fail_msg("command failed: " __VA_ARGS__); \
    } while (0)

/* What a command in a namespace prints; a static buffer of several. */
static inline const char *world_output(int namespace, const char *command)
{
    static char texts[4][16384];
    static unsigned int turn;
    char *text = texts[turn++ % 4], path[] = "/tmp/vmrt-net-test-XXXXXX";
    int fd = mkstemp(path);
    ssize_t n;

    assert_true(fd >= 0);
    assert_int_equal(world_try(namespace, "{ %s ; } >%s 2>&1", command, path), 0);
    n = fd_read_full(fd, text, sizeof(texts[0]) - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    close(fd);
    unlink(path);
    return text;
}

/*
 * Where the tests cannot run each of them says so. With what they need, a namespace that cannot be
 * made is a failure: of each test's setup.
 */
static inline void world_require(struct CMUnitTest *tests, size_t count)
{
    if (geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 &&
        system("ip -V >/dev/null 2>&1 && busybox true") == 0)
        return;
    skip_all(tests, count, "root, /dev/net/tun and ip(8), busybox");
}

static inline void world_setup(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->outside = world_namespace();
    world->container = world_namespace();
    world->guest = world_namespace();
    world->control = world->output = world->watcher_log = -1;
    world_run(world->outside, "ip link set lo up");
    world_run(world->container, "ip link set lo up");
    world_run(world->guest, "ip link set lo up");
}

/* veth from outside (NAME-o, 10.0.N.1/24, fd00:N::1/64) to the container (10.0.N.2, fd00:N::2) */
static inline void world_add_veth(struct world *world, const char *name, int number)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), world->container);
    world_run(world->outside,
              "ip link add o%d type veth peer name %s && ip link set %s netns %s && "
              "echo 0 >/proc/sys/net/ipv6/conf/o%d/accept_dad && "
              "ip addr add 10.0.%d.1/24 dev o%d && ip addr add fd00:%d::1/64 dev o%d nodad && "
              "ip link set o%d up",
              number, name, name, path, number, number, number, number, number, number);
    world_run(world->container,
              "ip addr add 10.0.%d.2/24 brd + dev %s && ip addr add fd00:%d::2/64 dev %s nodad && "
              "ip link set %s up",
              number, name, number, name, name);
    /* Until the kernel has noticed both ends, it drops what is sent. */
    world_run(world->outside, "until ip -br link show dev o%d | grep -qw UP; do sleep 0.01; done",
              number);
    world_run(world->container, "until ip -br link show dev %s | grep -qw UP; do sleep 0.01; done",
              name);
}

/* A file of the build, which the test lies in. */
static inline const char *world_program(const char *name)
{
    static char path[512];
    ssize_t n = readlink("/proc/self/exe", path, 300);

    assert_true(n > 0);
    path[n] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(path, '/') = '\0';
    snprintf(path + strlen(path), 200, "/%s", name);
    return path;
}

/* A pipe for lines; gated, it has room for one, and is full. */
static inline void world_pipe(const struct world *world, int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC | (world->gated ? O_DIRECT : 0)), 0);
    if (!world->gated)
        return;
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    assert_int_equal(write(ends[1], "-", 1), 1);
}

/* Starts vmrt-net on the container. @extra: one more option, or NULL. */
static inline void world_start(struct world *world, unsigned int queues, const char *extra)
{
    char namespace[16], control[16], count[16], log[16];
    int ends[2], words[2], lines[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    world_pipe(world, words);
    world_pipe(world, lines);
    snprintf(namespace, sizeof(namespace), "%d", world->container);
    snprintf(control, sizeof(control), "%d", ends[1]);
    snprintf(count, sizeof(count), "%u", queues);
    snprintf(log, sizeof(log), "%d", lines[1]);
    world->net = fork();
    assert_true(world->net >= 0);
    if (world->net == 0) {
        dup2(words[1], STDERR_FILENO);
        fcntl(ends[1], F_SETFD, 0);
        fcntl(lines[1], F_SETFD, 0);
        fcntl(world->container, F_SETFD, 0);
        execl(world_program("vmrt-net"), "vmrt-net", "--netns", namespace, "--control", control,
              "--queues", count, "--log", log, extra, NULL);
        _exit(127);
    }
    close(ends[1]);
    close(words[1]);
    close(lines[1]);
    world->control = ends[0];
    world->output = words[0];
    world->watcher_log = lines[0];
}

static inline void world_drop_taps(struct world *world)
{
    while (world->tap_count > 0)
        close(world->taps[--world->tap_count]);
    free(world->message);
    world->message = NULL;
}

/* Whether vmrt-net sends a request within @milliseconds. */
static inline bool world_is_asked(const struct world *world, int milliseconds)
{
    struct pollfd fd = { .fd = world->control, .events = POLLIN };

    return poll(&fd, 1, milliseconds) == 1;
}

/* Receives one CONTROL_NETWORK; TAPs of earlier ones stay open unless they were dropped. */
static inline bool world_receive(struct world *world)
{
    uint8_t packet[4096];
    struct protocol_header header;
    int fds[253];
    size_t count = 253;
    struct stat file;
    ssize_t n;

    if (!world_is_asked(world, WORLD_TIMEOUT_S * 1000))
        return false;
    n = fd_receive_message(world->control, packet, sizeof(packet), fds, &count);
    if (n <= 0) {
        char words[1024];
        ssize_t length = read(world->output, words, sizeof(words));

        print_error("vmrt-net ended: %.*s\n", length > 0 ? (int)length : 0, words);
        return false;
    }
    assert_int_equal(protocol_read_header(packet, &header), 0);
    assert_int_equal(header.type, CONTROL_NETWORK);
    assert_true(count >= 1);
    assert_int_equal(fstat(fds[0], &file), 0);
    free(world->message);
    world->length = (size_t)file.st_size;
    world->message = malloc(world->length);
    assert_int_equal(pread(fds[0], world->message, world->length, 0), file.st_size);
    close(fds[0]);
    assert_int_equal(protocol_read_header(world->message, &header), 0);
    assert_int_equal(header.type, MESSAGE_NETWORK);
    assert_int_equal(header.length, world->length - PROTOCOL_HEADER_SIZE);
    world->fields =
        (struct protocol_reader) { world->message + PROTOCOL_HEADER_SIZE, header.length };
    for (size_t i = 1; i < count; i++)
        world->taps[world->tap_count++] = fds[i];
    return true;
}

static inline void world_answer(struct world *world, int code, const char *text)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_RESULT, 0, 0);
    protocol_put_u64(&writer, FIELD_CODE, (uint64_t)code);
    if (code)
        protocol_put_string(&writer, FIELD_TEXT, text);
    assert_int_equal(protocol_finish(&writer), 0);
    assert_int_equal(fd_send_message(world->control, writer.data, writer.length, NULL, 0), 0);
    free(writer.data);
}

/* Waits for vmrt-net's end, or that it went to the background. Return: its exit status. */
static inline int world_wait(struct world *world)
{
    int status;

    assert_int_equal(waitpid(world->net, &status, 0), world->net);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* What it said on stderr. */
static inline const char *world_words(struct world *world)
{
    static char text[4096];
    ssize_t n = fd_read_full(world->output, text, sizeof(text) - 1);

    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

/* vmrt-net to the point where the machine has its network. */
static inline void world_start_served(struct world *world, unsigned int queues, const char *extra)
{
    world_start(world, queues, extra);
    assert_true(world_receive(world));
    world_answer(world, 0, NULL);
    assert_int_equal(world_wait(world), 0);
}

/* Nothing of ours: no TAP, no qdisc, no filter, the settings as they were. */
static inline void world_assert_clean(const struct world *world)
{
    assert_string_equal(world_output(world->container, "ip -o link | grep -c vmrt || true"), "0\n");
    assert_string_equal(world_output(world->container, "tc qdisc | grep -c clsact || true"), "0\n");
    assert_string_equal(world_output(world->container,
                                     "cat /proc/sys/net/ipv4/ip_local_port_range"),
                        "32768\t60999\n");
    assert_string_equal(world_output(world->container, "cd /proc/sys/net/ipv4/conf/lo && "
                                                       "cat accept_local route_localnet"),
                        "0\n0\n");
}

static inline void world_sleep_ms(long milliseconds)
{
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

    nanosleep(&time, NULL);
}

/* Waits until the process, started gated, wants to say something: it stands still then. */
static inline void world_wait_line(pid_t pid)
{
    char path[64], text[128] = "";

    snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
    for (int i = 0; i < WORLD_TIMEOUT_S * 100; i++) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd_read_full(fd, text, sizeof(text) - 1);

        assert_true(n > 0);
        text[n] = '\0';
        if (strtol(text, NULL, 10) == SYS_write)
            return;
        world_sleep_ms(10);
    }
    fail_msg("nothing is said: %s", text);
}

/* Lets it say that: makes room by taking away the line before, and waits until it is said. */
static inline void world_take_line(int fd)
{
    struct pollfd line = { .fd = fd, .events = POLLIN };
    char text[4096];

    assert_true(read(fd, text, sizeof(text)) > 0);
    assert_int_equal(poll(&line, 1, WORLD_TIMEOUT_S * 1000), 1);
}

/* The watcher, for a test that is a subreaper: it became ours when its parent ended. */
static inline pid_t world_find_watcher(void)
{
    pid_t pid = 0;
    FILE *children = fopen("/proc/thread-self/children", "re");

    assert_non_null(children);
    assert_int_equal(fscanf(children, "%d", &pid), 1);
    fclose(children);
    assert_true(pid > 0);
    return pid;
}

/* Polls until a command succeeds in a namespace. */
static inline bool world_until(int namespace, const char *command)
{
    for (int i = 0; i < WORLD_TIMEOUT_S * 20; i++) {
        if (world_try(namespace, "{ %s ; } >/dev/null 2>&1", command) == 0)
            return true;
        world_sleep_ms(50);
    }
    return false;
}

/* The machine ends. Return: whether the watcher did, too. */
static inline bool world_end_machine(struct world *world)
{
    char byte;
    struct pollfd log = { .fd = world->watcher_log, .events = POLLIN };

    fd_close(&world->control);
    while (poll(&log, 1, WORLD_TIMEOUT_S * 1000) == 1)
        if (read(world->watcher_log, &byte, 1) == 0)
            return true;
    return false;
}

static inline void *card_carry(void *context)
{
    struct card *card = context;
    static __thread uint8_t frame[12 + 65536 + 64];
    struct pollfd fds[2] = { { .fd = card->host, .events = POLLIN },
                             { .fd = card->guest, .events = POLLIN } };

    while (poll(fds, 2, -1) > 0 || errno == EINTR) {
        for (int i = 0; i < 2; i++) {
            ssize_t n = fds[i].revents ? read(fds[i].fd, frame, sizeof(frame)) : -1;

            if (n > 0)
                (void)!write(fds[1 - i].fd, frame, (size_t)n);
            else if (fds[i].revents & (POLLERR | POLLHUP))
                fds[i].fd = -1;
        }
    }
    return NULL;
}

/* A TAP in the caller's namespace with the offloads of a virtio-net device. */
static inline int card_tap(char name[IF_NAMESIZE])
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), size = 12;

    assert_true(fd >= 0);
    snprintf(request.ifr_name, sizeof(request.ifr_name), "eth%%d");
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &size), 0);
    assert_int_equal(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), 0);
    memcpy(name, request.ifr_name, IF_NAMESIZE);
    return fd;
}

/* Puts a vmrt-net's TAP into a device slot. */
static inline void card_insert(size_t slot, int tap)
{
    struct card *card = &world_cards[slot];

    assert_false(card->used);
    card->used = true;
    card->host = tap;
    assert_int_equal(ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), 0);
}

static inline int card_attach(uint64_t slot)
{
    struct card *card = &world_cards[slot];
    char name[IF_NAMESIZE];

    if (slot >= WORLD_CARDS_MAX || !card->used)
        return -ENODEV;
    card->guest = card_tap(name);
    assert_int_equal(pthread_create(&card->thread, NULL, card_carry, card), 0);
    return (int)if_nametoindex(name);
}

static inline int card_detach(uint64_t slot)
{
    struct card *card = &world_cards[slot];

    assert_true(card->used);
    pthread_cancel(card->thread);
    pthread_join(card->thread, NULL);
    close(card->guest);
    close(card->host);
    card->used = false;
    return 0;
}

static const struct links_source world_cards_source = { card_attach, card_detach };

/*
 * What vmrt-vmm does with the last message: a slot for each new interface, whose TAPs are taken
 * from the world, first to last. Writes the slots into the message.
 */
static inline void world_insert_cards(struct world *world)
{
    struct protocol_reader reader = world->fields;
    struct protocol_field field, slot = { 0 };
    size_t next = 0;

    while (protocol_next(&reader, &field) == 1) {
        size_t free_slot = 0;

        if (field.tag != FIELD_LINK)
            continue;
        while (world_cards[free_slot].used)
            free_slot++;
        assert_int_equal(protocol_find(field.value, FIELD_LINK_SLOT, &slot), 1);
        memcpy((uint8_t *)(uintptr_t)slot.value.data, &(uint64_t) { htole64(free_slot) }, 8);
        assert_true(next < world->tap_count);
        card_insert(free_slot, world->taps[next++]);
    }
    assert_int_equal(next, world->tap_count);
    world->tap_count = 0;
}

static inline void world_teardown(struct world *world)
{
    world_drop_taps(world);
    for (size_t i = 0; i < WORLD_CARDS_MAX; i++)
        if (world_cards[i].used)
            card_detach(i);
    fd_close(&world->control);
    fd_close(&world->output);
    fd_close(&world->watcher_log);
    fd_close(&world->outside);
    fd_close(&world->container);
    fd_close(&world->guest);
}

#endif
