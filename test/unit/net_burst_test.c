/*
 * vmrt-net and init together: addresses that are replaced in one burst, of which the watcher sees
 * only the beginning and the end. See net_world.h.
 */
#include "net_machine.h"

/* A burst: the watcher sees what there was before and what there is after it. */
static void change_at_once(const char *commands)
{
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    while (world_is_asked(&world, 300))
        machine_serve();
    world_run(world.container, "printf '%s' | ip -batch -", commands);
}

static void a_change_of_the_preferred_lifetime_alone_is_followed(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container,
              "ip addr add 10.0.1.7/24 dev eth0 valid_lft 5000 preferred_lft 4000 && "
              "ip addr add fd00:1::7/64 dev eth0 nodad valid_lft 5000 preferred_lft 4000");
    machine_start();
    change_at_once("addr change 10.0.1.7/24 dev eth0 valid_lft 5000 preferred_lft 100\\n"
                   "addr change fd00:1::7/64 dev eth0 valid_lft 5000 preferred_lft 0\\n");
    serve_until("ip addr show dev eth0 | grep -A1 10.0.1.7 | grep -E 'preferred_lft (100|9.)sec' &&"
                "ip addr show dev eth0 | grep -A1 fd00:1::7 | grep -E 'preferred_lft 0sec'");
    /* What stays deprecated is no news. */
    assert_same_network();
    world_run(world.container, "ip route add 10.77.0.0/16 via 10.0.1.1");
    assert_true(world_receive(&world));
    assert_null(memmem(world.message, world.length, "\xfd\0\0\1\0\0\0\0\0\0\0\0\0\0\0\7", 16));
    machine_apply();
    world_answer(&world, 0, NULL);
    assert_true(world_end_machine(&world));
}

static void another_peer_takes_the_place_of_the_first(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "ip addr add 10.8.0.1 peer 10.8.0.2/32 dev eth0 && "
                               "ip addr add 10.9.0.1 peer 10.9.0.2/24 dev eth0");
    machine_start();
    change_at_once("addr del 10.8.0.1 peer 10.8.0.2/32 dev eth0\\n"
                   "addr add 10.8.0.1 peer 10.8.0.3/32 dev eth0\\n"
                   "addr del 10.9.0.1 peer 10.9.0.2/24 dev eth0\\n"
                   "addr add 10.9.0.1 peer 10.9.0.3/24 dev eth0\\n");
    serve_until("ip addr show dev eth0 | grep 'peer 10.9.0.3'");
    assert_same_network();
    assert_true(world_end_machine(&world));
}

/* They are the same before and after; the guest's kernel drops them with the address. */
static void routes_are_there_again_after_a_change_of_the_only_address(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "ip route add default via 10.0.1.1 && "
                               "ip neigh add 10.0.1.77 lladdr 02:00:00:00:00:77 dev eth0");
    machine_start();
    change_at_once("addr del 10.0.1.2/24 dev eth0\\n"
                   "addr add 10.0.1.3/24 brd + dev eth0\\n"
                   "route add default via 10.0.1.1\\n"
                   "neigh replace 10.0.1.77 lladdr 02:00:00:00:00:77 dev eth0\\n");
    serve_until("ip addr show dev eth0 | grep 10.0.1.3");
    assert_same_network();
    assert_true(world_end_machine(&world));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(a_change_of_the_preferred_lifetime_alone_is_followed),
        TEST(another_peer_takes_the_place_of_the_first),
        TEST(routes_are_there_again_after_a_change_of_the_only_address),
    };

    world_require(tests, sizeof(tests) / sizeof(tests[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
