/*
 * init's network_apply() with messages made by hand: what it makes of them, and what it says to
 * those that are wrong. With veths for devices; net_guest_test.c has it together with vmrt-net.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <linux/fib_rules.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init/network.h"
#include "init/replay.h"
#include "skip_all.h"

static struct network network;
static struct failure failure;
static struct protocol_writer writer;
static bool detached[4];

/* Slot N is the veth that setup() named dev<N>. */
static int veth_attach(uint64_t slot)
{
    char name[IF_NAMESIZE];
    int index;

    snprintf(name, sizeof(name), "dev%llu", (unsigned long long)slot % 100);
    index = (int)if_nametoindex(name);
    return index ? index : -ENODEV;
}

static int veth_detach(uint64_t slot)
{
    detached[slot] = true;
    return 0;
}

static const struct links_source veths = { veth_attach, veth_detach };

static int setup(void **state)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(network_loopback_up(), 0);
    assert_int_equal(system("ip link add dev0 type veth peer name dev1 && "
                            "ip link add dev2 type veth peer name dev3"),
                     0);
    network_init(&network, &veths);
    memset(detached, 0, sizeof(detached));
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    return 0;
}

static int teardown(void **state)
{
    free(writer.data);
    writer = (struct protocol_writer) { 0 };
    return 0;
}

static int apply(void)
{
    int ret;

    assert_int_equal(protocol_finish(&writer), 0);
    failure = (struct failure) { 0 };
    ret = network_apply(&network,
                        (struct protocol_reader) { writer.data + PROTOCOL_HEADER_SIZE,
                                                   writer.length - PROTOCOL_HEADER_SIZE },
                        &failure);
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    return ret;
}

static void put_link_of(uint32_t index, const char *name, uint64_t slot, uint32_t flags,
                        bool carrier, uint32_t mtu)
{
    size_t mark = protocol_open(&writer, FIELD_LINK);

    protocol_put_u64(&writer, FIELD_LINK_INDEX, index);
    protocol_put_u64(&writer, FIELD_LINK_CARRIER, carrier);
    protocol_put_string(&writer, FIELD_LINK_NAME, name);
    protocol_put_bytes(&writer, FIELD_LINK_MAC, "\x02\0\0\0\0\x11", 6);
    protocol_put_u64(&writer, FIELD_LINK_MTU, mtu);
    protocol_put_u64(&writer, FIELD_LINK_FLAGS, flags);
    protocol_put_u64(&writer, FIELD_LINK_SLOT, 77); /* the sender's; the last one counts */
    protocol_put_u64(&writer, FIELD_LINK_SLOT, slot);
    protocol_close(&writer, mark);
}

static void put_link_with(uint32_t index, const char *name, uint64_t slot, uint32_t flags,
                          bool carrier)
{
    put_link_of(index, name, slot, flags, carrier, 1450);
}

static void put_link(uint32_t index, const char *name, uint64_t slot, uint32_t flags)
{
    put_link_with(index, name, slot, flags, false);
}

static void put_address(uint16_t type, uint32_t index, const char *text, uint8_t length)
{
    union netlink_request request;
    struct ifaddrmsg info = { .ifa_family = AF_INET, .ifa_prefixlen = length, .ifa_index = index };
    struct in_addr address;

    assert_int_equal(inet_pton(AF_INET, text, &address), 1);
    netlink_begin(&request, type, 0, &info, sizeof(info));
    assert_int_equal(netlink_put(&request, IFA_LOCAL, &address, sizeof(address)), 0);
    assert_int_equal(netlink_put(&request, IFA_ADDRESS, &address, sizeof(address)), 0);
    protocol_put_bytes(&writer, FIELD_NETLINK, &request, request.header.nlmsg_len);
}

static void put_route(uint16_t type, const char *destination, uint8_t length, const char *gateway,
                      uint32_t index)
{
    union netlink_request request;
    struct rtmsg info = { .rtm_family = AF_INET,
                          .rtm_dst_len = length,
                          .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = RTPROT_BOOT,
                          .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                          .rtm_type = RTN_UNICAST };
    struct in_addr address;

    netlink_begin(&request, type, 0, &info, sizeof(info));
    if (destination) {
        assert_int_equal(inet_pton(AF_INET, destination, &address), 1);
        assert_int_equal(netlink_put(&request, RTA_DST, &address, sizeof(address)), 0);
    }
    if (gateway) {
        assert_int_equal(inet_pton(AF_INET, gateway, &address), 1);
        assert_int_equal(netlink_put(&request, RTA_GATEWAY, &address, sizeof(address)), 0);
    }
    assert_int_equal(netlink_put(&request, RTA_OIF, &index, sizeof(index)), 0);
    protocol_put_bytes(&writer, FIELD_NETLINK, &request, request.header.nlmsg_len);
}

static void put_setting(const char *key, const char *value)
{
    size_t mark = protocol_open(&writer, FIELD_SYSCTL);

    protocol_put_string(&writer, FIELD_KEY, key);
    protocol_put_string(&writer, FIELD_VALUE, value);
    protocol_close(&writer, mark);
}

#define assert_shell(command) assert_int_equal(system(command), 0)

#define assert_refused(words)                                            \
    do {                                                                 \
        assert_true(apply() < 0);                                        \
        if (!strstr(failure.text, words))                                \
            fail_msg("\"%s\" does not say \"%s\"", failure.text, words); \
    } while (0)

static void an_interface_is_named_sized_and_brought_up(void **state)
{
    put_link(40, "eth0", 0, IFF_UP | IFF_MULTICAST);
    put_link(41, "eth1", 2, 0);
    if (apply() < 0)
        fail_msg("%s", failure.text);
    assert_shell("ip link show dev eth0 | grep -q 'mtu 1450' && "
                 "ip link show dev eth0 | grep -q 02:00:00:00:00:11 && "
                 "ip link show dev eth0 | grep -q '[<,]UP[,>]' && "
                 "! ip link show dev eth1 | grep -q '[<,]UP[,>]'");
}

/* "no address resolution": an ipvlan in mode l3 */
static bool is_running(const char *name)
{
    char command[128];

    snprintf(command, sizeof(command), "ip link show dev %s | grep -q LOWER_UP.*'state UP'", name);
    return system(command) == 0;
}

/* A driver hears of its carrier a little after it is up; until then what is sent is lost. */
static void the_first_packet_is_not_lost(void **state)
{
    int status;
    pid_t other = fork();

    assert_true(other >= 0);
    if (other == 0) {
        while (system("ip link show dev eth0 2>/dev/null | grep -q NO-CARRIER.*UP") != 0)
            usleep(1000);
        _exit(system("ip link set dev1 up") != 0);
    }
    put_link_with(40, "eth0", 0, IFF_UP, true);
    assert_int_equal(apply(), 0);
    assert_true(is_running("eth0"));
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
}

static void a_carrier_that_does_not_come_is_not_waited_for(void **state)
{
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    put_link(40, "eth0", 0, IFF_UP);
    assert_int_equal(apply(), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000, 0,
                    900);
    /* For ever neither, if the device said what is not so. */
    put_link_with(41, "eth1", 2, IFF_UP, true);
    assert_int_equal(apply(), 0);
    assert_false(is_running("eth1"));
}

static void noarp_is_taken_over(void **state)
{
    put_link(40, "eth0", 0, IFF_UP | IFF_NOARP);
    assert_int_equal(apply(), 0);
    assert_shell("ip link show dev eth0 | grep -q NOARP && "
                 "! ip link show dev eth0 | grep -q MULTICAST");
}

/* Routes before addresses, gateways before what reaches them: the message need not know an order.
 */
static void messages_take_effect_in_the_order_they_need(void **state)
{
    put_link(40, "eth0", 0, IFF_UP);
    put_route(RTM_NEWROUTE, NULL, 0, "10.1.1.1", 40);
    put_route(RTM_NEWROUTE, "10.1.1.1", 32, NULL, 40);
    put_address(RTM_NEWADDR, 40, "10.0.0.2", 32);
    if (apply() < 0)
        fail_msg("%s", failure.text);
    assert_shell("ip route | grep -q 'default via 10.1.1.1 dev eth0'");
    /* Once more: all of it is there already. */
    put_address(RTM_NEWADDR, 40, "10.0.0.2", 32);
    put_route(RTM_NEWROUTE, NULL, 0, "10.1.1.1", 40);
    assert_int_equal(apply(), 0);
    /* And away, twice. */
    for (int i = 0; i < 2; i++) {
        put_address(RTM_DELADDR, 40, "10.0.0.2", 32);
        put_route(RTM_DELROUTE, NULL, 0, "10.1.1.1", 40);
        if (apply() < 0)
            fail_msg("%s", failure.text);
    }
    assert_shell("test -z \"$(ip -4 route)\" && ! ip addr show dev eth0 | grep -q 'inet '");
}

static void a_gone_interface_is_detached_once(void **state)
{
    put_link(40, "eth0", 0, IFF_UP);
    put_link(41, "eth1", 2, IFF_UP);
    assert_int_equal(apply(), 0);
    protocol_put_u64(&writer, FIELD_LINK_GONE, 40);
    assert_int_equal(apply(), 0);
    assert_true(detached[0]);
    assert_false(detached[2]);
    detached[0] = false;
    protocol_put_u64(&writer, FIELD_LINK_GONE, 40);
    put_address(RTM_DELADDR, 40, "10.0.0.2", 32);
    assert_int_equal(apply(), 0);
    assert_false(detached[0]);
    /* Its number may come again. */
    put_link(40, "eth2", 1, IFF_UP);
    assert_int_equal(apply(), 0);
    assert_shell("ip link show dev eth2 >/dev/null");
}

static void a_name_that_the_workload_took_is_an_error_with_its_name(void **state)
{
    assert_shell("ip link set dev3 name eth0");
    put_link(40, "eth0", 0, IFF_UP);
    assert_refused("interface eth0: rename: file exists");
}

static void an_empty_slot_is_named(void **state)
{
    put_link(40, "eth0", 9, IFF_UP);
    assert_refused("interface eth0: device slot 9: no such device");
}

/* One that says to go nowhere. */
static void put_bad_rule(const char *from, uint8_t length)
{
    union netlink_request request;
    struct fib_rule_hdr info = { .family = AF_INET, .src_len = length, .action = FR_ACT_GOTO };
    struct in_addr address;

    assert_int_equal(inet_pton(AF_INET, from, &address), 1);
    netlink_begin(&request, RTM_NEWRULE, 0, &info, sizeof(info));
    assert_int_equal(netlink_put(&request, FRA_SRC, &address, sizeof(address)), 0);
    protocol_put_bytes(&writer, FIELD_NETLINK, &request, request.header.nlmsg_len);
}

static void a_rule_is_named_by_the_prefix_of_its_source(void **state)
{
    put_bad_rule("10.9.0.0", 16);
    assert_refused("rule 10.9.0.0/16: invalid argument");
}

static void what_cannot_be_set_is_named(void **state)
{
    put_link(40, "eth0", 0, IFF_UP);
    assert_int_equal(apply(), 0);
    put_route(RTM_NEWROUTE, "10.5.0.0", 16, "172.16.9.9", 40);
    assert_refused("route 10.5.0.0/16: network is unreachable");
    put_route(RTM_NEWROUTE, "10.5.0.0", 16, "172.16.9.9", 99);
    assert_refused("route 10.5.0.0/16: names an interface that was not passed");
    put_address(RTM_NEWADDR, 98, "10.0.0.2", 24);
    assert_refused("address 10.0.0.2/24: names an interface that was not passed");
    put_setting("net/ipv4/conf/eth0/rp_filter", "not a number");
    assert_refused("net/ipv4/conf/eth0/rp_filter = not a number: invalid argument");
}

/* Of one interface and of one setting: the host does not say the others again. */
static void a_failure_keeps_nothing_else_from_being_set(void **state)
{
    const char *rest = "ip -4 addr show dev eth1 | grep -q 10.0.0.2/24 && "
                       "ip route | grep -q '10.5.0.0/16 via 10.0.0.9 dev eth1'";
    static const struct {
        const char *words, *prepare;
        uint32_t mtu;
        const char *setting;
    } rows[] = {
        { "interface eth0: rename: file exists", "ip link add eth0 type veth peer name other", 1450,
          "1" },
        { "net/ipv4/conf/all/arp_ignore = no number: invalid argument", "true", 1450, "no number" },
        { "interface eth0: MTU: ", "true", 1 << 30, "1" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        teardown(state);
        setup(state);
        assert_shell(rows[i].prepare);
        put_link_of(40, "eth0", 0, IFF_UP, false, rows[i].mtu);
        put_link(41, "eth1", 2, IFF_UP);
        put_setting("net/ipv4/conf/all/arp_ignore", rows[i].setting);
        put_setting("net/ipv4/conf/all/arp_announce", "2");
        put_address(RTM_NEWADDR, 41, "10.0.0.2", 24);
        put_route(RTM_NEWROUTE, "10.5.0.0", 16, "10.0.0.9", 41);
        assert_refused(rows[i].words);
        assert_shell("grep -q 2 /proc/sys/net/ipv4/conf/all/arp_announce");
        assert_shell(rest);
    }
}

static void malformed_messages_are_refused(void **state)
{
    const struct nlmsghdr unknown = { .nlmsg_len = sizeof(unknown), .nlmsg_type = RTM_GETLINK };
    struct nlmsghdr liar = { .nlmsg_len = 4000, .nlmsg_type = RTM_NEWADDR };
    size_t mark;

    protocol_put_bytes(&writer, FIELD_NETLINK, "x", 1);
    assert_refused("malformed");
    protocol_put_bytes(&writer, FIELD_NETLINK, &unknown, sizeof(unknown));
    assert_refused("is of a type unknown to init");
    protocol_put_bytes(&writer, FIELD_NETLINK, &liar, sizeof(liar));
    assert_refused("malformed");
    liar.nlmsg_len = sizeof(liar);
    protocol_put_bytes(&writer, FIELD_NETLINK, &liar, sizeof(liar));
    assert_refused("malformed");
    put_link(40, "../../x", 0, IFF_UP);
    assert_refused("malformed interface");
    put_link(40, "a%d", 0, IFF_UP);
    assert_refused("malformed interface");
    put_link(40, "a-name-of-16-byte", 0, IFF_UP);
    assert_refused("malformed interface");
    put_link(1, "eth0", 0, IFF_UP);
    assert_refused("number 1 is taken");
    protocol_put_bytes(&writer, FIELD_LINK_GONE, "abc", 3);
    assert_refused("malformed interface number");
    mark = protocol_open(&writer, FIELD_SYSCTL);
    protocol_put_string(&writer, FIELD_KEY, "net/ipv4/ip_forward");
    protocol_close(&writer, mark);
    assert_refused("malformed setting");
    put_setting("kernel/hostname", "x");
    assert_refused("kernel/hostname = x: invalid argument");
    put_setting("net/../kernel/hostname", "x");
    assert_refused("invalid argument");
}

static void dots_in_an_interfaces_name_do_not_lead_up(void **state)
{
    put_link(40, "a..b", 0, IFF_UP);
    put_link(41, "..c", 2, IFF_UP);
    put_setting("net/ipv4/conf/a..b/arp_ignore", "2");
    put_setting("net/ipv4/conf/..c/arp_ignore", "1");
    if (apply() < 0)
        fail_msg("%s", failure.text);
    assert_shell("grep -q 2 /proc/sys/net/ipv4/conf/a..b/arp_ignore && "
                 "grep -q 1 /proc/sys/net/ipv4/conf/..c/arp_ignore");
    put_setting("net/..", "x");
    assert_refused("invalid argument");
    put_setting("net/ipv4/../../kernel/hostname", "x");
    assert_refused("invalid argument");
}

static void settings_that_the_guests_kernel_has_not_are_passed_over(void **state)
{
    put_setting("net/ipv4/conf/all/such_a_thing_is_not_there", "1");
    put_setting("net/ipv4/conf/all/arp_ignore", "2");
    assert_int_equal(apply(), 0);
    assert_shell("grep -q 2 /proc/sys/net/ipv4/conf/all/arp_ignore");
}

static void sysctls_of_the_container_are_spelt_as_for_runc(void **state)
{
    assert_true(network_is_sysctl("net.ipv4.ip_forward"));
    assert_false(network_is_sysctl("kernel.shm_rmid_forced"));
    assert_int_equal(network_apply_sysctl("net.ipv4.conf.dev0.forwarding", "1", &failure), 0);
    assert_shell("grep -q 1 /proc/sys/net/ipv4/conf/dev0/forwarding");
    assert_int_equal(network_apply_sysctl("net.ipv4.conf.eth9.forwarding", "1", &failure), -ENOENT);
    assert_string_equal(failure.text, "write sysctl key net.ipv4.conf.eth9.forwarding: "
                                      "no such file or directory");
}

/* Next hops name interfaces inside an attribute. */
static int map_plus_100(const void *context, uint32_t index)
{
    return index == 66 ? 0 : (int)index + 100;
}

static void every_interface_number_in_a_route_is_mapped(void **state)
{
    static union netlink_request request, result;
    struct rtmsg info = { .rtm_family = AF_INET };
    struct rtnexthop hops[2] = { { .rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 3 },
                                 { .rtnh_len = sizeof(hops[1]), .rtnh_ifindex = 4 } };
    uint32_t in = 5, out = 6;
    struct protocol_reader message = { request.bytes, 0 };
    struct rtattr *attribute;
    const uint8_t *end;

    netlink_begin(&request, RTM_NEWROUTE, 0, &info, sizeof(info));
    assert_int_equal(netlink_put(&request, RTA_MULTIPATH, hops, sizeof(hops)), 0);
    assert_int_equal(netlink_put(&request, RTA_IIF, &in, sizeof(in)), 0);
    assert_int_equal(netlink_put(&request, RTA_OIF, &out, sizeof(out)), 0);
    message.length = request.header.nlmsg_len;
    assert_int_equal(replay_classify(&message), REPLAY_ROUTE_GATEWAY);
    assert_int_equal(replay_prepare(&message, map_plus_100, NULL, &result), 0);
    end = result.bytes + result.header.nlmsg_len;
    attribute = netlink_first(result.bytes + NLMSG_LENGTH(sizeof(info)),
                              result.header.nlmsg_len - NLMSG_LENGTH(sizeof(info)));
    memcpy(hops, RTA_DATA(attribute), sizeof(hops));
    assert_int_equal(hops[0].rtnh_ifindex, 103);
    assert_int_equal(hops[1].rtnh_ifindex, 104);
    attribute = netlink_next(attribute, end);
    assert_int_equal(*(uint32_t *)RTA_DATA(attribute), 105);
    attribute = netlink_next(attribute, end);
    assert_int_equal(*(uint32_t *)RTA_DATA(attribute), 106);
    assert_null(netlink_next(attribute, end));
    /* A next hop that says that it is longer than what holds it. */
    ((struct rtnexthop *)((uint8_t *)&request + NLMSG_LENGTH(sizeof(info)) + 4))->rtnh_len = 999;
    assert_int_equal(replay_prepare(&message, map_plus_100, NULL, &result), -EPROTO);
}

int main(void)
{
    struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(an_interface_is_named_sized_and_brought_up),
        TEST(the_first_packet_is_not_lost),
        TEST(a_carrier_that_does_not_come_is_not_waited_for),
        TEST(noarp_is_taken_over),
        TEST(messages_take_effect_in_the_order_they_need),
        TEST(a_gone_interface_is_detached_once),
        TEST(a_name_that_the_workload_took_is_an_error_with_its_name),
        TEST(an_empty_slot_is_named),
        TEST(a_rule_is_named_by_the_prefix_of_its_source),
        TEST(what_cannot_be_set_is_named),
        TEST(a_failure_keeps_nothing_else_from_being_set),
        TEST(malformed_messages_are_refused),
        TEST(dots_in_an_interfaces_name_do_not_lead_up),
        TEST(settings_that_the_guests_kernel_has_not_are_passed_over),
        TEST(sysctls_of_the_container_are_spelt_as_for_runc),
        TEST(every_interface_number_in_a_route_is_mapped),
    };

    if (geteuid() != 0 || system("ip -V >/dev/null 2>&1") != 0)
        skip_all(tests, sizeof(tests) / sizeof(tests[0]), "root and ip(8)");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
