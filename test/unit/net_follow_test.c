/*
 * How vmrt-net's watcher follows interfaces that change while the machine runs. See net_world.h.
 */
#include "net_fixture.h"

static bool is_told(uint16_t tag)
{
    struct protocol_field field = { 0 };

    return protocol_find(world.fields, tag, &field) == 1;
}

static void serve(void)
{
    assert_true(world_receive(&world));
    world_answer(&world, 0, NULL);
}

/* Until nothing more is said. Return: how often something tagged so was. */
static unsigned int serve_all(uint16_t tag)
{
    unsigned int count = 0;

    while (world_is_asked(&world, 300)) {
        serve();
        count += is_told(tag);
    }
    return count;
}

/* The machine takes no interface. */
static void refuse_all(void)
{
    while (world_is_asked(&world, 500)) {
        assert_true(world_receive(&world));
        if (is_told(FIELD_LINK))
            world_answer(&world, ENOSPC, "no device slot is free");
        else
            world_answer(&world, 0, NULL);
    }
}

static void end(void)
{
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

/* Once it was refused as it is in the end, and got through when it was otherwise. */
static void an_interface_that_was_refused_as_it_is_again_is_kept(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    serve_all(0);
    world_add_veth(&world, "eth1", 2);
    refuse_all();
    world_run(world.container, "ip link set eth1 mtu 1400");
    assert_int_equal(serve_all(FIELD_LINK), 1);
    world_run(world.container, "ip link set eth1 mtu 1500");
    assert_int_equal(serve_all(FIELD_LINK_GONE), 0);
    world_run(world.container, "tc filter show dev eth1 ingress | grep -q mirred");
    end();
    world_assert_clean(&world);
}

static void start_with_eth1(void)
{
    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "eth1", 2);
    world_start_served(&world, 1, "--watch");
    serve_all(0);
    world_run(world.container, "tc filter show dev eth1 ingress | grep -q mirred");
}

/* The redirect comes before the bridge: nothing would ever arrive there. */
static void a_port_of_a_bridge_keeps_no_redirect(void **state)
{
    start_with_eth1();
    world_run(world.container, "ip link add br0 type bridge && ip link set eth1 master br0");
    assert_true(serve_all(FIELD_LINK_GONE) > 0);
    world_run(world.container, "test -z \"$(tc qdisc show dev eth1 | grep clsact)\" && "
                               "tc filter show dev eth0 ingress | grep -q mirred");
    end();
    world_assert_clean(&world);
}

static void a_port_of_a_bridge_is_cleaned_after_a_killed_watcher(void **state)
{
    pid_t watcher;

    start_with_eth1();
    watcher = world_find_watcher();
    assert_int_equal(kill(watcher, SIGKILL), 0);
    assert_int_equal(waitpid(watcher, NULL, 0), watcher);
    world_drop_taps(&world);
    world_run(world.container, "ip link add br0 type bridge && ip link set eth1 master br0");
    world_run(world.guest, "%s --netns /proc/%d/fd/%d --clean", world_program("vmrt-net"), getpid(),
              world.container);
    world_assert_clean(&world);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(an_interface_that_was_refused_as_it_is_again_is_kept),
        TEST(a_port_of_a_bridge_keeps_no_redirect),
        TEST(a_port_of_a_bridge_is_cleaned_after_a_killed_watcher),
    };

    return run_all(tests);
}
