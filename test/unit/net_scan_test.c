/*
 * vmrt-net alone, against a fake vmrt-vmm: what it says about a namespace, what it refuses, and the
 * frames that come out of its TAPs. See net_world.h.
 */
#include "net_fixture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#define NET_HDR 12 /* struct virtio_net_hdr_v1 */

/* The @number-th FIELD_LINK of the last message. Return: whether there is one. */
static bool find_link(unsigned int number, struct protocol_reader *fields)
{
    struct protocol_reader reader = world.fields;
    struct protocol_field field = { 0 };

    while (protocol_next(&reader, &field) == 1)
        if (field.tag == FIELD_LINK && number-- == 0) {
            *fields = field.value;
            return true;
        }
    return false;
}

static const char *link_name(unsigned int number)
{
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    bool bad = false;

    if (!find_link(number, &fields))
        return NULL;
    assert_int_equal(protocol_find(fields, FIELD_LINK_NAME, &field), 1);
    return protocol_string(&field, &bad);
}

static uint64_t link_number(unsigned int number, uint16_t tag)
{
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    bool bad = false;
    uint64_t value;

    assert_true(find_link(number, &fields));
    assert_int_equal(protocol_find(fields, tag, &field), 1);
    value = protocol_u64(&field, &bad);
    assert_false(bad);
    return value;
}

static void links_come_in_order_with_what_a_card_needs(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "net1", 2);
    world_run(world.container, "ip link set net1 mtu 9000; ip link set net1 down; "
                               "ip link set eth0 address 02:11:22:33:44:55");
    world_start_served(&world, 3, NULL);
    assert_string_equal(link_name(0), "eth0");
    assert_string_equal(link_name(1), "net1");
    assert_null(link_name(2));
    assert_int_equal(link_number(0, FIELD_LINK_MTU), 1500);
    assert_int_equal(link_number(1, FIELD_LINK_MTU), 9000);
    assert_int_equal(link_number(0, FIELD_LINK_QUEUES), 3);
    assert_int_equal(link_number(0, FIELD_LINK_FLAGS) & IFF_UP, IFF_UP);
    assert_int_equal(link_number(1, FIELD_LINK_FLAGS) & IFF_UP, 0);
    assert_int_equal(link_number(0, FIELD_LINK_SLOT), 0);
    assert_int_equal(world.tap_count, 6);
    {
        struct protocol_reader fields;
        struct protocol_field mac = { 0 };

        assert_true(find_link(0, &fields));
        assert_int_equal(protocol_find(fields, FIELD_LINK_MAC, &mac), 1);
        assert_int_equal(mac.value.length, 6);
        assert_memory_equal(mac.value.data, "\x02\x11\x22\x33\x44\x55", 6);
    }
    /* TAPs are as large as what they stand for, and silent. */
    world_run(world.container, "ip link show dev vmrt1 | grep -q 'mtu 9000' && "
                               "ip -6 addr show dev vmrt0 | ( ! grep -q inet6 )");
}

/* What stands on another interface that is passed, or cannot carry Ethernet frames. */
static void interfaces_that_make_no_sense_are_named_and_left_out(void **state)
{
    const char *words;

    world_add_veth(&world, "eth0", 1);
    world_run(world.container,
              "ip link add br0 type bridge && ip link add p0 type veth peer name p1 && "
              "ip link set p0 master br0 && ip link set br0 up && "
              "ip link add link eth0 name mv0 type macvlan && ip tuntap add dev tun7 mode tun && "
              "ip link set tun7 up");
    world_start_served(&world, 1, NULL);
    assert_string_equal(link_name(0), "eth0");
    words = world_words(&world);
    assert_non_null(strstr(words, "interface p0 is not passed to the virtual machine: "
                                  "it is a port of another interface"));
    assert_non_null(strstr(words, "interface mv0 is not passed"));
    assert_non_null(strstr(words, "interface tun7 is not passed"));
    assert_null(strstr(words, "interface br0"));
    assert_null(strstr(words, "interface p1"));
}

/* Whose packets would be those of the namespace's own stack, whose interfaces the guest has. */
static void tunnels_of_the_namespace_are_named_and_left_out(void **state)
{
    static const char *const kinds[] = {
        "vxlan id 5 dstport 4789",
        "vxlan id 6 dstport 4790 dev eth0",
        "geneve id 5 remote 10.0.1.1",
        "gretap remote 10.0.1.1",
        "erspan remote 10.0.1.1 seq key 5 erspan_ver 1 erspan 5",
        "ip6gretap remote fd00:1::1",
    };
    bool made[sizeof(kinds) / sizeof(kinds[0])];
    const char *words;

    world_add_veth(&world, "eth0", 1);
    for (int i = 0; i < (int)(sizeof(kinds) / sizeof(kinds[0])); i++) {
        made[i] =
            world_try(world.container, "ip link add up%d type %s 2>/dev/null", i, kinds[i]) == 0;
        if (made[i])
            world_run(world.container, "ip link set up%d up", i);
        else
            print_message("this kernel has no %s\n", kinds[i]);
    }
    if (made[0])
        world_run(world.container, "ip link add down0 type vxlan id 7 dstport 4791");
    world_start_served(&world, 1, NULL);
    assert_string_equal(link_name(0), "eth0");
    assert_null(link_name(1));
    words = world_words(&world);
    for (int i = 0; i < (int)(sizeof(kinds) / sizeof(kinds[0])); i++) {
        char line[128];

        snprintf(line, sizeof(line),
                 "interface up%d is not passed to the virtual machine: "
                 "its tunnel leads through interfaces that are passed\n",
                 i);
        assert_int_equal(strstr(words, line) != NULL, made[i]);
    }
    assert_null(strstr(words, "gretap0"));
    assert_null(strstr(words, "erspan0"));
    assert_null(strstr(words, "down0"));
    if (!made[0])
        skip();
}

/* Its packets go where it was made. */
static void a_tunnel_from_outside_is_passed(void **state)
{
    world_add_veth(&world, "eth0", 1);
    if (world_try(world.outside, "ip link add vx0 type vxlan id 5 dstport 4789 dev o1") != 0) {
        print_message("skipped: this kernel has no vxlan\n");
        skip();
    }
    world_run(world.outside, "ip link set vx0 netns /proc/%d/fd/%d", getpid(), world.container);
    world_run(world.container, "ip link set vx0 up");
    world_start_served(&world, 1, NULL);
    assert_string_equal(link_name(0), "eth0");
    assert_string_equal(link_name(1), "vx0");
}

static void a_macvlan_takes_every_multicast_frame_for_the_guest(void **state)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), world.container);
    world_run(world.outside,
              "ip link add d0 type veth peer name d1 && ip link set d0 up && ip link set d1 up && "
              "ip link add link d0 name mv0 type macvlan mode bridge && ip link set mv0 netns %s",
              path);
    world_run(world.container, "ip addr add 10.3.0.2/24 dev mv0 && ip link set mv0 up");
    world_start_served(&world, 1, "--watch");
    assert_string_equal(link_name(0), "mv0");
    world_run(world.container, "ip link show dev mv0 | grep -q ALLMULTI");
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_run(world.container, "! ip link show dev mv0 | grep -q ALLMULTI");
    world_assert_clean(&world);
}

static void a_namespace_without_interfaces_needs_no_message_about_them(void **state)
{
    world_start(&world, 1, "--watch");
    if (world_is_asked(&world, 500)) {
        assert_true(world_receive(&world));
        assert_null(link_name(0));
        world_answer(&world, 0, NULL);
    }
    assert_int_equal(world_wait(&world), 0);
    world_add_veth(&world, "eth0", 1);
    assert_true(world_receive(&world));
    assert_string_equal(link_name(0), "eth0");
    world_answer(&world, 0, NULL);
    while (world_is_asked(&world, 300)) {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    }
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
}

static void gone_interfaces_are_said(void **state)
{
    struct protocol_field field = { 0 };

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    while (world_is_asked(&world, 300)) {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    }
    world_run(world.container, "ip link del eth0");
    assert_true(world_receive(&world));
    assert_int_equal(protocol_find(world.fields, FIELD_LINK_GONE, &field), 1);
    /* What belonged to it needs no word. */
    assert_int_equal(protocol_find(world.fields, FIELD_NETLINK, &field), 0);
    world_answer(&world, 0, NULL);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
}

/* The carrier that the machine has been told of interface @index; -1: nothing new. */
static int carrier_told(unsigned int index)
{
    struct protocol_reader fields = world.fields;
    struct protocol_field field, number;
    int carrier = -1;
    bool bad = false;

    while (protocol_next(&fields, &field) == 1)
        if (field.tag == FIELD_LINK_STATE &&
            protocol_find(field.value, FIELD_LINK_INDEX, &number) == 1 &&
            protocol_u64(&number, &bad) == index &&
            protocol_find(field.value, FIELD_LINK_CARRIER, &number) == 1)
            carrier = (int)protocol_u64(&number, &bad);
    assert_false(bad);
    return carrier;
}

/* Serves vmrt-net until it says that the carrier is so. */
static void expect_carrier(unsigned int index, int carrier)
{
    do {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    } while (carrier_told(index) != carrier);
}

static void the_far_end_goes_down_and_up(void **state)
{
    unsigned int index;

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    assert_int_equal(link_number(0, FIELD_LINK_CARRIER), 1);
    index = (unsigned int)link_number(0, FIELD_LINK_INDEX);
    world_run(world.outside, "ip link set o1 down");
    expect_carrier(index, 0);
    /* As in a container, that is not the interface's own doing: it is still up. */
    world_run(world.container, "ip link show dev eth0 | grep -q 'NO-CARRIER.*[<,]UP'");
    world_run(world.outside, "ip link set o1 up");
    expect_carrier(index, 1);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
}

static void an_interface_without_a_carrier_is_given_so(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.outside, "ip link set o1 down");
    world_start_served(&world, 1, "--watch");
    assert_int_equal(link_number(0, FIELD_LINK_CARRIER), 0);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

/* A machine that is full can take an interface only in the place of another. */
static void what_went_is_said_before_what_came(void **state)
{
    struct protocol_field field = { 0 };
    unsigned int gone = 0;

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    world_run(world.outside,
              "ip link add o2 type veth peer name eth1 && "
              "ip link set eth1 netns /proc/%d/fd/%d",
              getpid(), world.container);
    world_run(world.container, "ip link del eth0");
    do {
        assert_true(world_receive(&world));
        if (protocol_find(world.fields, FIELD_LINK_GONE, &field) == 1 && !link_name(0))
            gone++;
        world_answer(&world, 0, NULL);
    } while (!link_name(0));
    assert_string_equal(link_name(0), "eth1");
    /* Unless it came a moment before the other went. */
    assert_true(gone == 1 || protocol_find(world.fields, FIELD_LINK_GONE, &field) == 0);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

/* A late interface that the machine refuses is taken back, named once, and left alone. */
static void a_late_refusal_is_retracted_and_not_repeated(void **state)
{
    struct protocol_field field = { 0 };
    unsigned int refusals = 0;
    char text[4096];
    ssize_t n;

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    world_add_veth(&world, "eth1", 2);
    while (world_is_asked(&world, 500)) {
        assert_true(world_receive(&world));
        if (link_name(0)) {
            assert_string_equal(link_name(0), "eth1");
            world_answer(&world, ENOSPC, "interface eth1: no device slot is free");
            assert_true(world_receive(&world));
            assert_int_equal(protocol_find(world.fields, FIELD_LINK_GONE, &field), 1);
            refusals++;
        }
        world_answer(&world, 0, NULL);
    }
    /* It came up in steps, each of which was a reason to try. */
    assert_in_range(refusals, 1, 8);
    world_run(world.container, "test -z \"$(tc qdisc show dev eth1 | grep clsact)\"");
    world_drop_taps(&world);
    assert_true(world_is_asked(&world, 300) == false);
    n = read(world.watcher_log, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "vmrt-net: interface eth1: no device slot is free\n"));
    /* Others go on. */
    world_run(world.container, "ip route add 10.77.0.0/16 via 10.0.1.1");
    assert_true(world_receive(&world));
    assert_null(link_name(0));
    assert_int_equal(protocol_find(world.fields, FIELD_NETLINK, &field), 1);
    world_answer(&world, 0, NULL);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
}

static void sixteen_interfaces_with_eight_queues_fit_one_request(void **state)
{
    for (int i = 0; i < 16; i++) {
        char name[16];

        snprintf(name, sizeof(name), "if%d", i);
        world_add_veth(&world, name, i + 1);
    }
    world_start_served(&world, 8, "--watch");
    assert_int_equal(world.tap_count, 128);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
    world_assert_clean(&world);
}

/* Asked for vhost, and whether or not this host has it: the machine knows what it gets. */
static void vhost_descriptors_come_with_the_taps_if_there_are_any(void **state)
{
    bool there = access("/dev/vhost-net", R_OK | W_OK) == 0;

    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "eth1", 2);
    world_start_served(&world, 2, "--vhost");
    assert_int_equal(link_number(0, FIELD_LINK_VHOST), there);
    assert_int_equal(link_number(1, FIELD_LINK_VHOST), there);
    assert_int_equal(world.tap_count, there ? 8 : 4);
    assert_int_equal(strstr(world_words(&world), "/dev/vhost-net: ") != NULL, !there);
}

static void a_storm_of_changes_becomes_few_messages(void **state)
{
    unsigned int messages = 0;

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    world_run(world.container,
              "ip -batch - <<END\n$(for i in $(seq 1 2000); do "
              "echo route add 10.200.$((i / 250)).$((i %% 250)) dev eth0; done)\nEND");
    while (world_is_asked(&world, 500)) {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
        messages++;
    }
    assert_in_range(messages, 1, 60);
    /* It saw them all: nothing more is said when one goes, than that. */
    world_run(world.container, "ip route del 10.200.1.1 dev eth0");
    assert_true(world_receive(&world));
    assert_in_range(world.length, PROTOCOL_HEADER_SIZE + 8, 200);
    world_answer(&world, 0, NULL);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

static uint16_t sum16(const uint8_t *data, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++)
        sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The UDP checksum of a frame, pseudo-header included: 0xffff when right. */
static uint16_t udp_sum(const uint8_t *ip, size_t length)
{
    uint32_t sum = sum16(ip + 12, 8, 17 + (uint32_t)length - 20);

    return sum16(ip + 20, length - 20, sum);
}

/*
 * With offloads off, which is how a TAP is made, checksums are whole; with them on, the rest of the
 * sum is left to whoever needs it and the header says where it goes (virtio 1.2 §5.1.6.2).
 */
static void frames_have_right_checksums(void **state)
{
    uint8_t frame[4096];
    const struct virtio_net_hdr_mrg_rxbuf *header = (void *)frame;
    const uint8_t *ip = frame + 12 + 14;
    int sender;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(999) };

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, NULL);
    world_run(world.outside, "ip neigh replace 10.0.1.2 lladdr 02:00:00:00:00:02 dev o1");
    assert_int_equal(setns(world.outside, CLONE_NEWNET), 0);
    sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(world.guest, CLONE_NEWNET), 0);
    inet_pton(AF_INET, "10.0.1.2", &address.sin_addr);
    for (int offload = 0; offload < 2; offload++) {
        assert_int_equal(ioctl(world.taps[0], TUNSETOFFLOAD, offload ? TUN_F_CSUM : 0), 0);
        for (size_t length = 1; length <= 1472; length += 7) {
            struct pollfd tap = { .fd = world.taps[0], .events = POLLIN };
            static const uint8_t data[1472] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
            ssize_t n = 0;

            assert_int_equal(sendto(sender, data, length, 0, (struct sockaddr *)&address,
                                    sizeof(address)),
                             length);
            /* Other frames (multicast reports) may be in between. */
            do {
                assert_int_equal(poll(&tap, 1, 5000), 1);
                n = read(world.taps[0], frame, sizeof(frame));
                assert_true(n > 12 + 14);
            } while (frame[12 + 12] != 8 || frame[12 + 13] != 0 || ip[9] != IPPROTO_UDP);
            assert_int_equal(n, 12 + 14 + 20 + 8 + length);
            assert_int_equal(sum16(ip, 20, 0), 0xffff);
            if (header->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
                assert_int_equal(offload, 1);
                assert_int_equal(header->hdr.csum_start, 14 + 20);
                assert_int_equal(header->hdr.csum_offset, offsetof(struct udphdr, check));
            } else {
                assert_int_equal(udp_sum(ip, 20 + 8 + length), 0xffff);
            }
        }
    }
    close(sender);
}

/* An ICMP or ICMPv6 error of the guest's about a UDP datagram from port 53 to @port. */
static size_t make_unreachable(uint8_t *frame, bool v6, uint16_t port)
{
    const size_t ip = NET_HDR + 14, header = v6 ? 40 : 20, inner = ip + header + 8;

    memset(frame, 0, 256);
    memset(frame + NET_HDR, 2, 12);
    for (size_t at = ip; at <= inner; at += inner - ip) {
        frame[at] = v6 ? 0x60 : 0x45;
        if (v6)
            frame[at + 6] = at == ip ? IPPROTO_ICMPV6 : IPPROTO_UDP;
        else
            frame[at + 9] = at == ip ? IPPROTO_ICMP : IPPROTO_UDP;
    }
    frame[ip - 2] = v6 ? 0x86 : 0x08;
    frame[ip - 1] = v6 ? 0xdd : 0x00;
    frame[ip + header] = v6 ? 1 : 3;
    frame[ip + header + 1] = v6 ? 4 : 3;
    frame[inner + header + 1] = 53;
    frame[inner + header + 2] = (uint8_t)(port >> 8);
    frame[inner + header + 3] = (uint8_t)port;
    return inner + header + 8;
}

/*
 * dockerd asks name servers from the namespace, and the guest gets their answers as well. That it
 * has no socket for them is no news for the server; what else it has to say goes out.
 */
static void name_servers_hear_nothing_of_answers_that_others_asked_for(void **state)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    uint8_t frame[256], seen[256];

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, NULL);
    assert_int_equal(setns(world.outside, CLONE_NEWNET), 0);
    int outside = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    address.sll_ifindex = (int)if_nametoindex("o1");
    assert_int_equal(bind(outside, (void *)&address, sizeof(address)), 0);
    assert_int_equal(setns(world.guest, CLONE_NEWNET), 0);
    for (int v6 = 0; v6 < 2; v6++) {
        static const uint16_t ports[] = { 61440, 65535, 61439 };
        bool arrived = false;

        for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
            size_t length = make_unreachable(frame, v6, ports[i]);

            assert_int_equal(write(world.taps[0], frame, length), length);
        }
        /* Of the three, in their order, the last one only. */
        while (!arrived) {
            struct pollfd readable = { .fd = outside, .events = POLLIN };

            assert_int_equal(poll(&readable, 1, 5000), 1);
            ssize_t n = read(outside, seen, sizeof(seen));
            arrived = n > 12 && memcmp(seen, frame + NET_HDR, 12) == 0;
            if (arrived)
                assert_memory_equal(seen, frame + NET_HDR, (size_t)n);
        }
    }
    close(outside);
}

/* @count routes to hosts of 10.@first.0.0 and up, each 52 bytes of netlink. */
static void add_routes(unsigned int count, unsigned int first)
{
    world_run(world.container,
              "busybox seq 0 %u | busybox awk '{ printf \"route add 10.%%d.%%d.%%d dev eth0\\n\", "
              "%u + $1 / 65536, $1 / 256 %% 256, $1 %% 256 }' | ip -batch -",
              count - 1, first);
}

/* All that go and all that come are in one message (of PROTOCOL_LENGTH_MAX). */
static void as_many_routes_as_there_may_be_are_replaced_at_once(void **state)
{
    const unsigned int count = 30000;
    struct protocol_reader reader;
    struct protocol_field field;
    unsigned int changes = 0;
    pid_t watcher;

    world_add_veth(&world, "eth0", 1);
    add_routes(count, 100);
    world_start_served(&world, 1, "--watch");
    while (world_is_asked(&world, 300)) {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    }
    watcher = world_find_watcher();
    assert_int_equal(kill(watcher, SIGSTOP), 0);
    world_run(world.container, "ip route flush root 10.100.0.0/16");
    add_routes(count, 101);
    assert_int_equal(kill(watcher, SIGCONT), 0);
    assert_true(world_receive(&world));
    world_answer(&world, 0, NULL);
    reader = world.fields;
    while (protocol_next(&reader, &field) == 1)
        changes += field.tag == FIELD_NETLINK;
    assert_int_equal(changes, 2 * count);
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

/* The guest could be told of them once, and of no change of all of them. */
static void more_routes_than_could_be_replaced_are_refused(void **state)
{
    char byte;

    world_add_veth(&world, "eth0", 1);
    add_routes(36000, 100);
    world_start(&world, 1, NULL);
    /* It ends without a request. */
    assert_int_equal(recv(world.control, &byte, 1, 0), 0);
    assert_int_equal(world_wait(&world), 1);
    assert_string_equal(world_words(&world), "vmrt-net: network namespace: more addresses and "
                                             "routes than fit a message\n");
}

/* A watcher costs next to nothing. */
static void the_watcher_is_small(void **state)
{
    const char *text;
    unsigned int pages = 0;
    char command[128];

    world_add_veth(&world, "eth0", 1);
    world_start_served(&world, 1, "--watch");
    while (world_is_asked(&world, 300)) {
        assert_true(world_receive(&world));
        world_answer(&world, 0, NULL);
    }
    snprintf(command, sizeof(command), "cut -d ' ' -f 2 /proc/%d/statm", world_find_watcher());
    text = world_output(world.guest, command);
    assert_int_equal(sscanf(text, "%u", &pages), 1);
    print_message("watcher: %u KiB resident\n", pages * 4);
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(pages, 1, 384);
#endif
    world_drop_taps(&world);
    assert_true(world_end_machine(&world));
}

static void bad_options_are_named(void **state)
{
    static const struct {
        const char *options, *words;
    } cases[] = {
        { "--clean", "--netns and --control are needed" },
        { "", "--netns and --control are needed" },
        { "--netns /nonexistent --control 2", "--netns: /nonexistent" },
        { "--netns /proc/self/ns/net --control 77", "--control: \"77\" is not an open descriptor" },
        { "--netns /proc/self/ns/net --control 2 --queues 9", "--queues: \"9\" is not a number" },
        { "--netns /proc/self/ns/net --control 2 --queues x", "--queues: \"x\" is not a number" },
        { "--netns /proc/self/ns/net --control 2 --fast", "--fast" },
        { "--netns /proc/self/ns/net --control 2 more", "unexpected argument \"more\"" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char command[1024];

        snprintf(command, sizeof(command), "%s %s 2>&1; test $? = 2", world_program("vmrt-net"),
                 cases[i].options);
        assert_non_null(strstr(world_output(world.guest, command), cases[i].words));
    }
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(links_come_in_order_with_what_a_card_needs),
        TEST(interfaces_that_make_no_sense_are_named_and_left_out),
        TEST(tunnels_of_the_namespace_are_named_and_left_out),
        TEST(a_tunnel_from_outside_is_passed),
        TEST(a_macvlan_takes_every_multicast_frame_for_the_guest),
        TEST(a_namespace_without_interfaces_needs_no_message_about_them),
        TEST(gone_interfaces_are_said),
        TEST(the_far_end_goes_down_and_up),
        TEST(an_interface_without_a_carrier_is_given_so),
        TEST(what_went_is_said_before_what_came),
        TEST(a_late_refusal_is_retracted_and_not_repeated),
        TEST(sixteen_interfaces_with_eight_queues_fit_one_request),
        TEST(vhost_descriptors_come_with_the_taps_if_there_are_any),
        TEST(a_storm_of_changes_becomes_few_messages),
        TEST(frames_have_right_checksums),
        TEST(name_servers_hear_nothing_of_answers_that_others_asked_for),
        TEST(as_many_routes_as_there_may_be_are_replaced_at_once),
        TEST(more_routes_than_could_be_replaced_are_refused),
        TEST(the_watcher_is_small),
        TEST(bad_options_are_named),
    };

    return run_all(tests);
}
