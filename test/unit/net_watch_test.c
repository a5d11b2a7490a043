/*
 * What vmrt-net's watcher makes of readings and messages that fail: the parts of the program are in
 * this one, and fail when told to. See net_world.h.
 */
#include "net_fixture.h"

#include <stdatomic.h>

#include "hooks/net/message.h"
#include "hooks/net/network.h"

/* Shared with the watcher, which is another process. */
static struct {
    _Atomic int readings; /* to fail */
    _Atomic int messages;
    _Atomic int lines; /* said */
} * shared;

int __wrap_scan_take(struct scan *scan, struct kernel *kernel, const struct scan_link *ignored,
                     size_t ignored_count, struct error *err);
int __real_scan_take(struct scan *scan, struct kernel *kernel, const struct scan_link *ignored,
                     size_t ignored_count, struct error *err);
int __wrap_message_build(struct protocol_writer *writer, const struct scan *before,
                         const struct scan *after, const struct message_cards *cards, bool resolver,
                         struct error *err);
int __real_message_build(struct protocol_writer *writer, const struct scan *before,
                         const struct scan *after, const struct message_cards *cards, bool resolver,
                         struct error *err);

/* Return: whether one more is to fail. */
static bool take(_Atomic int *count)
{
    if (*count <= 0)
        return false;
    --*count;
    return true;
}

int __wrap_scan_take(struct scan *scan, struct kernel *kernel, const struct scan_link *ignored,
                     size_t ignored_count, struct error *err)
{
    if (!take(&shared->readings))
        return __real_scan_take(scan, kernel, ignored, ignored_count, err);
    kernel_drain_events(kernel);
    memset(scan, 0, sizeof(*scan));
    return error_set(err, EAGAIN, "no reading");
}

int __wrap_message_build(struct protocol_writer *writer, const struct scan *before,
                         const struct scan *after, const struct message_cards *cards, bool resolver,
                         struct error *err)
{
    if (!take(&shared->messages))
        return __real_message_build(writer, before, after, cards, resolver, err);
    return error_set(err, ENOMEM, "no message");
}

static void count_line(const char *line)
{
    shared->lines++;
}

static __attribute__((noreturn)) void watch(int control)
{
    static struct network network;
    struct error err;

    setns(world.container, CLONE_NEWNET);
    fd_close(&world.control);
    if (network_open(&network, control, 1, false, count_line, &err) == 0 &&
        network_sync(&network, &err) == 0)
        network_watch(&network);
    network_undo(&network);
    network_close(&network);
    _exit(0);
}

/* What world_start_served() does, but with a child of this program. */
static void start_watcher(void)
{
    int ends[2];

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    world.control = ends[0];
    world.net = fork();
    assert_true(world.net >= 0);
    if (world.net == 0)
        watch(ends[1]);
    close(ends[1]);
    assert_true(world_receive(&world));
    world_answer(&world, 0, NULL);
    while (world_is_asked(&world, 300)) {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    }
}

static void end_watcher(void)
{
    world_drop_taps(&world);
    fd_close(&world.control);
    assert_int_equal(world_wait(&world), 0);
    world_assert_clean(&world);
}

/* Although nothing else happens; and the same words are not said again and again. */
static void a_change_that_could_not_be_read_is_read_later(void **state)
{
    struct protocol_field field = { 0 };

    world_add_veth(&world, "eth0", 1);
    start_watcher();
    shared->readings = 2;
    world_run(world.container, "ip route add 10.77.0.0/16 via 10.0.1.1");
    assert_true(world_receive(&world));
    assert_int_equal(protocol_find(world.fields, FIELD_NETLINK, &field), 1);
    world_answer(&world, 0, NULL);
    assert_int_equal(shared->readings, 0);
    assert_int_equal(shared->lines, 1);
    end_watcher();
}

/* Of an interface that is new, too: it is not the machine that refused it. */
static void a_change_that_could_not_be_said_is_said_later(void **state)
{
    struct protocol_field field = { 0 };

    world_add_veth(&world, "eth0", 1);
    start_watcher();
    shared->messages = 2;
    world_run(world.container, "ip route add 10.77.0.0/16 via 10.0.1.1");
    assert_true(world_receive(&world));
    assert_int_equal(protocol_find(world.fields, FIELD_NETLINK, &field), 1);
    world_answer(&world, 0, NULL);
    assert_int_equal(shared->lines, 1);
    shared->messages = 1;
    world_run(world.container, "ip link add eth1 type veth peer name eth2");
    do {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    } while (protocol_find(world.fields, FIELD_LINK, &field) != 1);
    world_run(world.container, "tc filter show dev eth1 ingress | grep -q mirred");
    end_watcher();
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(a_change_that_could_not_be_read_is_read_later),
        TEST(a_change_that_could_not_be_said_is_said_later),
    };

    return run_all(tests);
}
