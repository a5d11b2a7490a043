/*
 * What vmrt-net leaves behind: nothing, whoever ends and how, and what is not its own. See
 * net_world.h.
 */
#include "net_fixture.h"

static void nothing_stays_when_the_machine_ends(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 2, "--watch");
    world_run(world.container, "tc qdisc show dev eth0 | grep -q clsact && "
                               "grep -q 61440.65535 /proc/sys/net/ipv4/ip_local_port_range");
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
    world_run(world.container, "busybox ping -q -c 1 -W 5 10.0.1.1 >/dev/null");
}

/* A qdisc of somebody else's stays, with its filters. */
static void a_foreign_qdisc_is_used_and_left(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "tc qdisc add dev eth0 ingress && "
                               "tc filter add dev eth0 parent ffff: prio 7 protocol 0x1234 u32 "
                               "match u32 0 0 flowid 1:1");
    world_start_served(&world, 1, "--watch");
    world_run(world.container, "tc filter show dev eth0 parent ffff: | grep -q mirred");
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_run(world.container, "tc filter show dev eth0 parent ffff: | grep -q 'pref 7 ' && "
                               "! tc filter show dev eth0 parent ffff: | grep -q mirred");
}

static void what_a_killed_predecessor_left_is_cleared(void **state)
{
    pid_t watcher;

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    watcher = world_find_watcher();
    world_drop_taps(&world);
    assert_int_equal(kill(watcher, SIGKILL), 0);
    assert_int_equal(waitpid(watcher, NULL, 0), watcher);
    fd_close(&world.control);
    fd_close(&world.output);
    fd_close(&world.watcher_log);
    world_run(world.container, "tc qdisc show dev eth0 | grep -q clsact && "
                               "grep -q 61440.65535 /proc/sys/net/ipv4/ip_local_port_range");
    world_start_served(&world, 1, "--watch");
    world_run(world.container, "test $(tc filter show dev eth0 ingress | grep -c Redirect) = 3");
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
}

static void clean(void)
{
    world_run(world.guest, "%s --netns /proc/%d/fd/%d --clean", world_program("vmrt-net"), getpid(),
              world.container);
}

/* Nobody is to come there for it: a container of another runtime has no network until then. */
static void what_was_left_is_cleaned_without_a_machine(void **state)
{
    const char *there = "tc filter show dev eth0 ingress | grep -q mirred && "
                        "tc filter show dev eth1 ingress | grep -q mirred && "
                        "grep -q 61440.65535 /proc/sys/net/ipv4/ip_local_port_range";
    pid_t watcher;

    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "eth1", 2);
    world_run(world.container, "tc qdisc add dev eth1 ingress && "
                               "tc filter add dev eth1 parent ffff: prio 7 protocol 0x1234 u32 "
                               "match u32 0 0 flowid 1:1");
    world_start_served(&world, 1, "--watch");
    watcher = world_find_watcher();
    /* Not while there is somebody who does it, */
    clean();
    world_run(world.container, "%s", there);
    assert_int_equal(kill(watcher, SIGKILL), 0);
    assert_int_equal(waitpid(watcher, NULL, 0), watcher);
    /* nor while the machine has its TAPs. */
    clean();
    world_run(world.container, "%s", there);
    world_drop_taps(&world);
    clean();
    world_run(world.container, "tc filter show dev eth1 ingress | grep -q 'pref 7 ' && "
                               "! tc filter show dev eth1 ingress | grep -q mirred && "
                               "tc qdisc del dev eth1 ingress");
    world_assert_clean(&world);
    clean();
    world_assert_clean(&world);
    world_run(world.container, "busybox ping -q -c 1 -W 5 10.0.1.1 >/dev/null");
}

static void a_range_of_somebody_elses_is_not_cleaned(void **state)
{
    world_run(world.container, "echo 2000 3000 >/proc/sys/net/ipv4/ip_local_port_range");
    clean();
    world_run(world.container, "grep -q 2000.3000 /proc/sys/net/ipv4/ip_local_port_range");
}

static void a_second_machine_in_the_namespace_is_refused(void **state)
{
    struct world second = world;

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    second = world;
    second.message = NULL;
    second.tap_count = 0;
    world_start(&second, 1, NULL);
    assert_int_equal(world_wait(&second), 1);
    assert_non_null(strstr(world_words(&second), "another virtual machine is using it (interface "
                                                 "vmrt0)"));
    close(second.control);
    close(second.output);
    close(second.watcher_log);
    world_run(world.container, "tc filter show dev eth0 ingress | grep -q mirred");
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

static void a_refusal_of_the_machine_is_said_and_undone(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_start(&world, 1, "--watch");
    assert_true(world_receive(&world));
    world_answer(&world, ENOSPC, "interface eth0: no device slot is free");
    world_drop_taps(&world);
    assert_int_equal(world_wait(&world), 1);
    assert_string_equal(world_words(&world), "vmrt-net: interface eth0: no device slot is free\n");
    world_assert_clean(&world);
}

static void a_machine_that_ends_while_it_is_asked_is_no_hang(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_start(&world, 1, "--watch");
    assert_true(world_receive(&world));
    world_drop_taps(&world);
    fd_close(&world.control);
    assert_int_equal(world_wait(&world), 1);
    assert_non_null(strstr(world_words(&world), "the virtual machine has ended"));
    world_assert_clean(&world);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(nothing_stays_when_the_machine_ends),
        TEST(a_foreign_qdisc_is_used_and_left),
        TEST(what_a_killed_predecessor_left_is_cleared),
        TEST(what_was_left_is_cleaned_without_a_machine),
        TEST(a_range_of_somebody_elses_is_not_cleaned),
        TEST(a_second_machine_in_the_namespace_is_refused),
        TEST(a_refusal_of_the_machine_is_said_and_undone),
        TEST(a_machine_that_ends_while_it_is_asked_is_no_hang),
    };

    return run_all(tests);
}
