/* What the programs that test vmrt-net and init together share: a machine of namespaces. */
#ifndef VMRT_TEST_UNIT_NET_MACHINE_H
#define VMRT_TEST_UNIT_NET_MACHINE_H

#include "net_world.h"

#include "init/network.h"

static struct world world;
static struct network network;

static inline void machine_apply(void)
{
    struct failure failure = { 0 };

    world_insert_cards(&world);
    if (network_apply(&network, world.fields, &failure) < 0)
        fail_msg("network_apply: %s", failure.text);
}

/* One request of vmrt-net, done and answered. */
static inline void machine_serve(void)
{
    assert_true(world_receive(&world));
    machine_apply();
    world_answer(&world, 0, NULL);
}

/* vmrt-net in the background, its first request done. */
static inline void machine_start(void)
{
    network_init(&network, &world_cards_source);
    world_start(&world, 1, "--watch");
    machine_serve();
    assert_int_equal(world_wait(&world), 0);
}

/* Serves vmrt-net until a command succeeds in the guest. */
static inline void serve_until(const char *command)
{
    for (int i = 0; i < WORLD_TIMEOUT_S * 10; i++) {
        if (world_is_asked(&world, 100))
            machine_serve();
        if (world_try(world.guest, "{ %s ; } >/dev/null 2>&1", command) == 0)
            return;
    }
    fail_msg("the guest never came so far: %s", command);
}

/*
 * ip(8) in container and guest says the same, but for what tells a veth from a network card and
 * for our TAPs. @command is run after "ip".
 */
static inline void assert_same(const char *command)
{
    static const char tidy[] =
        "ip %s | sed -E '/^[0-9]+: vmrt[0-9]+/,/^[^ ]*$/d; s/^[0-9]+: //; s/@[^:]*:/:/; "
        "s/qdisc [^ ]* //; s/ qlen [0-9]+//; s/ link-netnsid [0-9]+//; s/,ALLMULTI//; "
        "s/ proto kernel_[a-z]+//; "
        "s/ [0-9]+sec/ Nsec/g'";
    char text[512];
    const char *container, *guest;

    snprintf(text, sizeof(text), tidy, command);
    guest = world_output(world.guest, text);
    /* Duplicate address detection is done there and only there. */
    strcat(text, " | sed 's/ tentative//'");
    container = world_output(world.container, text);
    assert_string_equal(guest, container);
}

static inline void assert_same_network(void)
{
    while (world_is_asked(&world, 300))
        machine_serve();
    assert_same("-o addr | grep -v ' vmrt[0-9]'");
    assert_same("-4 route show table all | grep -v '^broadcast'");
    assert_same("-6 route show table all | grep -v vmrt | grep -v ^multicast | sort");
    assert_same("rule");
    assert_same("-6 rule");
    assert_same("neigh show nud permanent");
}

static inline int setup(void **state)
{
    world_setup(&world);
    return 0;
}

static inline int teardown(void **state)
{
    world_teardown(&world);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
