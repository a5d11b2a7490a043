/*
 * Interfaces that go while vmrt-net is at work: between its reading and their joining, and before
 * the machine has answered.
 */
#include "net_fixture.h"

static bool message_has(const char *name)
{
    return memmem(world.message, world.length, name, strlen(name) + 1) != NULL;
}

static void serve(void)
{
    assert_true(world_receive(&world));
    world_answer(&world, 0, NULL);
}

static void assert_nothing_redirected(void)
{
    assert_string_equal(world_output(world.container, "ip -o link | grep -c vmrt || true"), "0\n");
    assert_string_equal(world_output(world.container, "tc qdisc | grep -c clsact || true"), "0\n");
}

/* Is left out, with a line: vmrt-net stands still there, between its reading and the joining. */
#define ADD_TUN  "ip tuntap add dev tun%d mode tun && ip link set tun%d up"
#define ADD_ETH1 "ip link add eth1 type veth peer name eth2"

static void what_goes_before_it_is_joined_is_passed_over(void **state)
{
    const char *words;

    world_add_veth(&world, "eth0", 1);
    world_run(world.container, ADD_ETH1 " && " ADD_TUN, 1, 1);
    world.gated = true;
    world_start(&world, 1, NULL);
    world_wait_line(world.net);
    world_run(world.container, "ip link del eth1");
    world_take_line(world.output);
    serve();
    assert_true(message_has("eth0"));
    assert_false(message_has("eth1"));
    assert_int_equal(world_wait(&world), 0);
    words = world_words(&world);
    /* Once, though all was begun anew. */
    assert_string_equal(words, "vmrt-net: interface tun1 is not passed to the virtual machine: "
                               "it does not carry Ethernet frames\n");
}

static void what_comes_and_goes_later_is_passed_over(void **state)
{
    struct protocol_field field;
    char text[4096];
    pid_t watcher;

    world_add_veth(&world, "eth0", 1);
    world.gated = true;
    world_start(&world, 1, "--watch");
    serve();
    assert_int_equal(world_wait(&world), 0);
    watcher = world_find_watcher();
    while (world_is_asked(&world, 300))
        serve();
    /* Both are in one reading. */
    assert_int_equal(kill(watcher, SIGSTOP), 0);
    world_run(world.container, ADD_ETH1 " && " ADD_TUN, 1, 1);
    assert_int_equal(kill(watcher, SIGCONT), 0);
    world_wait_line(watcher);
    world_run(world.container, "ip link del eth1");
    world_take_line(world.watcher_log);
    while (world_is_asked(&world, 300)) {
        serve();
        assert_int_equal(protocol_find(world.fields, FIELD_LINK, &field), 0);
        assert_int_equal(protocol_find(world.fields, FIELD_LINK_GONE, &field), 0);
    }
    /* It said that, and of eth1 nothing. */
    assert_true(read(world.watcher_log, text, sizeof(text)) > 0);
    assert_memory_equal(text, "vmrt-net: interface tun1 ", 25);
    assert_int_equal(poll(&(struct pollfd) { world.watcher_log, POLLIN, 0 }, 1, 300), 0);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    assert_nothing_redirected();
}

/* Another one comes for each that goes. */
static void a_namespace_that_never_rests_is_an_error_in_the_end(void **state)
{
    const char *words;

    world_add_veth(&world, "eth0", 1);
    world_run(world.container, ADD_ETH1 " && " ADD_TUN, 1, 1);
    world.gated = true;
    world_start(&world, 1, NULL);
    /* network.c's STALE_MAX */
    for (int turn = 2; turn <= 9; turn++) {
        world_wait_line(world.net);
        world_run(world.container, "ip link del eth1 && " ADD_ETH1 " && " ADD_TUN, turn, turn);
        world_take_line(world.output);
    }
    words = world_words(&world);
    assert_int_equal(world_wait(&world), 1);
    /* Which is not for want of an option in the host's kernel: no hint follows. */
    assert_non_null(strstr(words, ": redirect frames (tc action mirred): No such device\n"));
    assert_nothing_redirected();
}

static void what_goes_before_the_machine_answers_is_said_to_be_gone(void **state)
{
    struct protocol_field field;

    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "eth1", 2);
    world_start(&world, 1, "--watch");
    assert_true(world_receive(&world));
    assert_true(message_has("eth1"));
    world_run(world.container, "ip link del eth1");
    world_answer(&world, 0, NULL);
    assert_int_equal(world_wait(&world), 0);
    do {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    } while (protocol_find(world.fields, FIELD_LINK_GONE, &field) != 1);
    world_run(world.container, "tc filter show dev eth0 ingress | grep -q mirred");
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    assert_nothing_redirected();
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(what_goes_before_it_is_joined_is_passed_over),
        TEST(what_comes_and_goes_later_is_passed_over),
        TEST(a_namespace_that_never_rests_is_an_error_in_the_end),
        TEST(what_goes_before_the_machine_answers_is_said_to_be_gone),
    };

    return run_all(tests);
}
