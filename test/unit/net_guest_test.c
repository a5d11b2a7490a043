/*
 * vmrt-net and init together, with namespaces for machines: what a container's namespace has, the
 * guest has, and traffic gets through. See net_world.h.
 */
#include "net_machine.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>

static void guest_has_the_network_of_the_container(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "net1", 2);
    world_run(world.container,
              "ip addr add 10.0.1.7/24 dev eth0 label eth0:x && "
              "ip addr add 10.0.1.8/32 dev eth0 && ip addr add 10.7.0.1 peer 10.7.0.2/32 dev net1 "
              "&& ip addr add fd00:1::7/64 dev eth0 nodad && ip link set net1 mtu 9000 && "
              "ip addr add 10.8.0.1/24 dev net1 valid_lft 3000 preferred_lft 2000 && "
              "ip addr add 10.5.5.5/32 dev lo");
    world_run(world.container,
              "ip route add default via 10.0.1.1 && ip -6 route add default via fd00:1::1 && "
              "ip route add 10.99.0.0/16 via 10.0.2.1 dev net1 metric 50 && "
              "ip route add 10.98.0.0/16 nexthop via 10.0.1.1 nexthop via 10.0.2.1 weight 3 && "
              "ip route add 10.97.0.0/16 via 172.16.0.1 dev eth0 onlink && "
              "ip route add 10.96.0.1/32 dev eth0 scope link src 10.0.1.7 && "
              "ip route add unreachable 10.95.0.0/16 && ip route add blackhole 10.94.0.0/16 && "
              "ip route add 10.93.0.0/16 via 10.0.2.1 table 123 mtu 1400 && "
              "ip -6 route add fd99::/64 via fd00:2::1 metric 77 && "
              "ip rule add from 10.0.2.2 lookup 123 prio 500 && "
              "ip rule add not fwmark 0x5 iif net1 lookup 123 prio 600 && "
              "ip -6 rule add to fd00:9::/64 lookup 123 prio 501 && "
              "ip neigh add 10.0.1.50 lladdr 02:00:00:00:00:50 dev eth0 nud permanent && "
              "ip neigh add fd00:1::50 lladdr 02:00:00:00:00:51 dev eth0 nud permanent");
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    machine_start();
    assert_same_network();
    assert_true(world_end_machine(&world));
}

/* Docker: off in all, on in the interfaces that have it, of which one more comes later. */
static void ipv6_that_is_off_in_all_and_on_in_one_interface_works(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_add_veth(&world, "eth1", 2);
    world_run(world.container, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
                               "net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0 "
                               "&& ip addr add fd00:1::7/64 dev eth0 nodad");
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    machine_start();
    assert_same_network();
    world_run(world.container, "sysctl -qw net.ipv6.conf.eth1.disable_ipv6=0 && "
                               "ip addr add fd00:2::7/64 dev eth1 nodad");
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    serve_until("ip addr show eth1 | grep -q fd00:2::7");
    assert_same_network();
    /* The last network with IPv6 goes: off again, for lo too. */
    world_run(world.container, "sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1 "
                               "net.ipv6.conf.lo.disable_ipv6=1");
    serve_until("! ip -6 addr show lo | grep -q ::1");
    assert_same_network();
    assert_true(world_end_machine(&world));
}

/* CNI's ptp: the kernel's route to the subnet is replaced by one through the gateway. */
static void kernel_route_that_was_removed_is_removed_in_the_guest(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "ip route del 10.0.1.0/24 dev eth0 && "
                               "ip route add 10.0.1.1/32 dev eth0 scope link && "
                               "ip route add 10.0.1.0/24 via 10.0.1.1 src 10.0.1.2 && "
                               "ip -6 route del fd00:1::/64 dev eth0");
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    machine_start();
    assert_same_network();
    /* And it comes back. */
    world_run(world.container, "ip route del 10.0.1.0/24 via 10.0.1.1; "
                               "ip route add 10.0.1.0/24 dev eth0 proto kernel src 10.0.1.2");
    serve_until("ip route | grep -q '10.0.1.0/24 dev eth0'");
    assert_same_network();
    assert_true(world_end_machine(&world));
}

static void guest_and_outside_reach_each_other(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "ip route add default via 10.0.1.1");
    machine_start();
    world_run(world.outside, "busybox ping -q -c 1 -W 5 10.0.1.2 >/dev/null");
    world_run(world.outside, "busybox ping -q -c 1 -W 5 fd00:1::2 >/dev/null");
    world_run(world.guest, "busybox ping -q -c 1 -W 5 10.0.1.1 >/dev/null");
    world_run(world.guest, "busybox ping -q -c 1 -W 5 fd00:1::1 >/dev/null");
    /* Fragments: the later ones have no ports and go to the guest as well. */
    world_run(world.outside, "busybox ping -q -c 1 -s 20000 -W 5 10.0.1.2 >/dev/null");
    world_run(world.guest, "busybox ping -q -c 1 -s 20000 -W 5 fd00:1::1 >/dev/null");
    assert_true(world_end_machine(&world));
}

static int socket_in(int namespace, int family, int type)
{
    int fd;

    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
    fd = socket(family, type | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(world.guest, CLONE_NEWNET), 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval) { WORLD_TIMEOUT_S, 0 },
               sizeof(struct timeval));
    return fd;
}

static socklen_t address_of(struct sockaddr_storage *storage, const char *text, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

    memset(storage, 0, sizeof(*storage));
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        return sizeof(*in);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    return sizeof(*in6);
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16) * 31);
}

static void *send_pattern(void *context)
{
    int fd = *(int *)context;
    static uint8_t bytes[8 << 20];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = pattern(i);
    fd_write_full(fd, bytes, sizeof(bytes));
    shutdown(fd, SHUT_WR);
    return NULL;
}

/* 8 MiB over TCP, in segments as large as offloads make them; every byte is looked at. */
static void transfer(int from, int to, const char *text)
{
    struct sockaddr_storage address;
    socklen_t length = address_of(&address, text, 7777);
    int listener = socket_in(to, address.ss_family, SOCK_STREAM);
    int sender = socket_in(from, address.ss_family, SOCK_STREAM), receiver;
    static uint8_t bytes[65536];
    pthread_t thread;
    size_t total = 0;
    ssize_t n;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect(sender, (struct sockaddr *)&address, length), 0);
    receiver = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(receiver >= 0);
    assert_int_equal(pthread_create(&thread, NULL, send_pattern, &sender), 0);
    while ((n = read(receiver, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < n; i++, total++)
            if (bytes[i] != pattern(total))
                fail_msg("byte %zu is wrong", total);
    assert_int_equal(n, 0);
    assert_int_equal(total, 8 << 20);
    pthread_join(thread, NULL);
    close(receiver);
    close(sender);
    close(listener);
}

static void tcp_streams_arrive_intact_both_ways(void **state)
{
    world_add_veth(&world, "eth0", 1);
    machine_start();
    transfer(world.outside, world.guest, "10.0.1.2");
    transfer(world.guest, world.outside, "10.0.1.1");
    transfer(world.outside, world.guest, "fd00:1::2");
    transfer(world.guest, world.outside, "fd00:1::1");
    assert_true(world_end_machine(&world));
}

/* A question to port 53 and its answer, over UDP or TCP. Return: whether the answer came. */
static bool ask(int from, const char *from_address, uint16_t from_port, int to,
                const char *to_address, int type)
{
    struct sockaddr_storage server, client;
    socklen_t server_length = address_of(&server, to_address, 53);
    socklen_t client_length = address_of(&client, from_address, from_port);
    int listener = socket_in(to, server.ss_family, type);
    int asker = socket_in(from, client.ss_family, type), peer = listener;
    char text[8] = "";
    bool answered;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
    assert_int_equal(bind(listener, (struct sockaddr *)&server, server_length), 0);
    if (from_port)
        assert_int_equal(bind(asker, (struct sockaddr *)&client, client_length), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(listener, 1), 0);
    answered = connect(asker, (struct sockaddr *)&server, server_length) == 0;
    if (answered && type == SOCK_STREAM)
        peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (answered) {
        assert_int_equal(send(asker, "who", 3, 0), 3);
        client_length = sizeof(client);
        assert_int_equal(recvfrom(peer, text, 3, 0, (struct sockaddr *)&client, &client_length), 3);
        if (type == SOCK_STREAM)
            assert_int_equal(send(peer, "him", 3, 0), 3);
        else
            assert_int_equal(sendto(peer, "him", 3, 0, (struct sockaddr *)&client, client_length),
                             3);
        answered = recv(asker, text, 3, 0) == 3 && memcmp(text, "him", 3) == 0;
    }
    if (peer != listener)
        close(peer);
    close(listener);
    close(asker);
    return answered;
}

/* dockerd asks name servers from inside the namespace, with the container's address. */
static void the_engines_own_questions_to_name_servers_are_answered(void **state)
{
    world_add_veth(&world, "eth0", 1);
    machine_start();
    assert_true(ask(world.container, "10.0.1.2", 0, world.outside, "10.0.1.1", SOCK_DGRAM));
    assert_true(ask(world.container, "10.0.1.2", 0, world.outside, "10.0.1.1", SOCK_STREAM));
    assert_true(ask(world.container, "fd00:1::2", 0, world.outside, "fd00:1::1", SOCK_DGRAM));
    assert_true(ask(world.container, "fd00:1::2", 0, world.outside, "fd00:1::1", SOCK_STREAM));
    /* So are the guest's, from whatever port. */
    assert_true(ask(world.guest, "10.0.1.2", 0, world.outside, "10.0.1.1", SOCK_DGRAM));
    assert_true(ask(world.guest, "10.0.1.2", 0, world.outside, "10.0.1.1", SOCK_STREAM));
    assert_true(ask(world.guest, "10.0.1.2", 62000, world.outside, "10.0.1.1", SOCK_DGRAM));
    assert_true(ask(world.guest, "fd00:1::2", 62000, world.outside, "fd00:1::1", SOCK_DGRAM));
    assert_true(world_end_machine(&world));
}

/* What is not an answer from a name server is not for the host's stack, whatever listens there. */
static void the_containers_namespace_hears_nothing_else(void **state)
{
    struct sockaddr_storage any;
    socklen_t length = address_of(&any, "0.0.0.0", 61441);
    int eavesdropper = socket_in(world.container, AF_INET, SOCK_DGRAM);
    int sender = socket_in(world.outside, AF_INET, SOCK_DGRAM), receiver;
    char byte;

    world_add_veth(&world, "eth0", 1);
    assert_int_equal(bind(eavesdropper, (struct sockaddr *)&any, length), 0);
    machine_start();
    receiver = socket_in(world.guest, AF_INET, SOCK_DGRAM);
    assert_int_equal(bind(receiver, (struct sockaddr *)&any, length), 0);
    length = address_of(&any, "10.0.1.2", 61441);
    assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&any, length), 1);
    assert_int_equal(recv(receiver, &byte, 1, 0), 1);
    assert_int_equal(recv(eavesdropper, &byte, 1, MSG_DONTWAIT), -1);
    close(receiver);
    close(sender);
    close(eavesdropper);
    assert_true(world_end_machine(&world));
}

/* A datagram that takes several frames; its last fragment is of one byte. */
#define LARGE (2 * 1480 - 8 + 1)

static int bound_socket(int namespace, const char *text, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t length = address_of(&address, text, port);
    int fd = socket_in(namespace, address.ss_family, SOCK_DGRAM);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    return fd;
}

/* Sends one from @port of the far end. Return: the socket, which hears of errors. */
static int send_large(const char *from, uint16_t port, const char *to, uint16_t to_port)
{
    static const char data[LARGE] = "large";
    struct sockaddr_storage address;
    socklen_t length = address_of(&address, to, to_port);
    int fd = bound_socket(world.outside, from, port);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    return fd;
}

static ssize_t receive_large(int fd)
{
    char data[LARGE + 1];

    return recv(fd, data, sizeof(data), 0);
}

/* dockerd asks with EDNS(0): only the first fragment of such an answer has ports. */
static void large_answers_of_name_servers_reach_the_engine(void **state)
{
    world_add_veth(&world, "eth0", 1);
    machine_start();
    for (int v6 = 0; v6 < 2; v6++) {
        const char *there = v6 ? "fd00:1::1" : "10.0.1.1", *here = v6 ? "fd00:1::2" : "10.0.1.2";
        int engine = bound_socket(world.container, here, 61450), server, own;

        server = send_large(there, 53, here, 61450);
        assert_int_equal(receive_large(engine), LARGE);
        close(engine);
        close(server);
        /* The guest's own answers are its own, whoever sees them. */
        own = bound_socket(world.guest, here, 61451);
        server = send_large(there, 53, here, 61451);
        assert_int_equal(receive_large(own), LARGE);
        close(own);
        close(server);
    }
    assert_true(world_end_machine(&world));
}

/* The host's stack, where nobody listens, does not see enough of them to say so. */
static void other_large_datagrams_are_the_guests_alone(void **state)
{
    world_add_veth(&world, "eth0", 1);
    machine_start();
    for (int v6 = 0; v6 < 2; v6++) {
        const char *there = v6 ? "fd00:1::1" : "10.0.1.1", *here = v6 ? "fd00:1::2" : "10.0.1.2";
        int server = bound_socket(world.guest, here, 5000), client, error = 0;
        socklen_t length = sizeof(error);

        client = send_large(there, 5001, here, 5000);
        assert_int_equal(receive_large(server), LARGE);
        /* It would have said so at once: before it takes the next one. */
        assert_int_equal(send(client, "x", 1, 0), 1);
        assert_int_equal(receive_large(server), 1);
        assert_int_equal(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length), 0);
        assert_int_equal(error, 0);
        close(client);
        close(server);
    }
    assert_true(world_end_machine(&world));
}

static void late_changes_reach_the_guest(void **state)
{
    world_add_veth(&world, "eth0", 1);
    machine_start();
    /* docker network connect */
    world_add_veth(&world, "eth1", 2);
    serve_until("ip addr show dev eth1 | grep -q 10.0.2.2/24 && ip -6 addr | grep -q fd00:2::2");
    serve_until("busybox ping -q -c 1 -W 1 10.0.2.1");
    world_run(world.container, "ip link set eth1 mtu 1400");
    serve_until("ip link show dev eth1 | grep -q 'mtu 1400'");
    world_run(world.container, "ip addr add 10.0.2.9/24 dev eth1");
    serve_until("ip addr show dev eth1 | grep -q 10.0.2.9/24");
    world_run(world.container, "ip route add 10.77.0.0/16 via 10.0.2.1");
    serve_until("ip route | grep -q 10.77.0.0/16");
    world_run(world.container, "ip route del 10.77.0.0/16; ip addr del 10.0.2.9/24 dev eth1");
    world_run(world.container, "ip -6 route add fd77::/64 via fd00:2::1 && "
                               "ip route add 10.78.0.0/16 via 10.0.2.1 table 77 && "
                               "ip rule add from 10.9.0.0/16 table 77 && "
                               "ip neigh add 10.0.2.77 lladdr 02:00:00:00:00:77 dev eth1");
    serve_until("ip -6 route | grep -q fd77::/64 && ip route show table 77 | grep -q 10.78 && "
                "ip rule | grep -q 10.9.0.0/16 && ip neigh | grep -q 10.0.2.77");
    world_run(world.container, "ip -6 route del fd77::/64 && ip route flush table 77 && "
                               "ip rule del from 10.9.0.0/16 table 77 && "
                               "ip neigh del 10.0.2.77 dev eth1");
    serve_until("! ip -6 route | grep -q fd77::/64 && ! ip route show table 77 | grep -q 10.78 && "
                "! ip rule | grep -q 10.9.0.0/16 && ! ip neigh | grep -q 10.0.2.77");
    serve_until("! ip route | grep -q 10.77.0.0/16 && ! ip addr | grep -q 10.0.2.9");
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    serve_until("ip -6 addr show dev eth1 | grep -q fe80");
    assert_same_network();
    world_run(world.container, "ip link set eth1 down; ip link set eth1 name net7; "
                               "ip link set net7 up");
    serve_until("ip link show dev net7 && ! ip link show dev eth1");
    world_run(world.container, "ip link set net7 down");
    serve_until("ip link show dev net7 | grep -q 'state DOWN'");
    /* docker network disconnect */
    world_run(world.container, "ip link del net7");
    serve_until("! ip link show dev net7");
    world_run(world.guest, "busybox ping -q -c 1 -W 5 10.0.1.1 >/dev/null");
    assert_true(world_end_machine(&world));
}

/* RFC 4862 §5.4: found out by the namespace's stack, which hears the advertisements too. */
static void an_address_that_another_has_is_not_the_guests(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "ip addr add fd00:1::1/64 dev eth0");
    assert_true(world_until(world.container, "ip addr show dadfailed | grep -q fd00:1::1"));
    world_run(world.outside, "ip addr add fd00:1::99/64 dev o1 nodad");
    machine_start();
    world_run(world.guest, "ip addr | grep -q fd00:1::2/64 && ! ip addr | grep -q fd00:1::1/64");
    world_run(world.container, "ip addr add fd00:1::99/64 dev eth0 && "
                               "ip addr add fd00:1::98/64 dev eth0");
    serve_until("ip addr | grep -q fd00:1::98/64");
    assert_true(world_until(world.container, "ip addr show dadfailed | grep -q fd00:1::99"));
    serve_until("! ip addr | grep -q fd00:1::99/64");
    world_run(world.guest, "busybox ping -6 -q -c 1 -W 5 fd00:1::99 >/dev/null");
    assert_true(world_end_machine(&world));
}

/* RFC 4861 §4.2, with one prefix (§4.6.2) of fd66::/64: on the link, for addresses. */
static void advertise(int namespace, const char *interface)
{
    static const uint8_t message[16 + 32] = {
        134,  0, 0, 0,    64,   0, 0x07, 0x08, [16] = 3, 4,           64,
        0xc0, 0, 0, 0x0e, 0x10, 0, 0,    0x0e, 0x10,     [32] = 0xfd, 0x66,
    };
    struct sockaddr_in6 all = { .sin6_family = AF_INET6 };
    int hops = 255, fd;

    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
    fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
    assert_int_equal(setns(world.guest, CLONE_NEWNET), 0);
    assert_true(fd >= 0);
    inet_pton(AF_INET6, "ff02::1", &all.sin6_addr);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, 3), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)), 0);
    assert_int_equal(sendto(fd, message, sizeof(message), 0, (void *)&all, sizeof(all)),
                     sizeof(message));
    close(fd);
}

/* The guest hears routers itself, as the namespace does. */
static void what_routers_advertise_reaches_the_guest(void **state)
{
    world_add_veth(&world, "eth0", 1);
    machine_start();
    assert_true(world_until(world.outside, "ip -6 addr show dev o1 | grep -q fe80"));
    advertise(world.outside, "o1");
    serve_until("ip -6 route | grep -q 'default via fe80' && ip -6 addr | grep -q fd66::");
    assert_true(world_end_machine(&world));
}

/* Names that the guest's kernel gives are in the way of those that are wanted. */
static void interfaces_swap_names(void **state)
{
    world_add_veth(&world, "eth1", 1);
    world_add_veth(&world, "eth0", 2);
    machine_start();
    world_run(world.guest, "ip addr show dev eth1 | grep -q 10.0.1.2");
    world_run(world.guest, "ip addr show dev eth0 | grep -q 10.0.2.2");
    world_run(world.container, "ip link set eth0 down; ip link set eth1 down; "
                               "ip link set eth0 name tmp; ip link set eth1 name eth0; "
                               "ip link set tmp name eth1; ip link set eth0 up; "
                               "ip link set eth1 up");
    serve_until("ip addr show dev eth1 | grep -q 10.0.2.2 && "
                "ip addr show dev eth0 | grep -q 10.0.1.2");
    assert_true(world_end_machine(&world));
}

static void settings_of_the_namespace_reach_the_guest(void **state)
{
    world_add_veth(&world, "eth0", 1);
    world_run(world.container, "cd /proc/sys/net && echo 1 >ipv4/conf/eth0/arp_ignore && "
                               "echo 0 >ipv6/conf/eth0/accept_ra && "
                               "echo 0 >ipv4/ip_unprivileged_port_start && "
                               "echo '10000 64000' >ipv4/ip_local_port_range && "
                               "echo 1 >ipv4/conf/all/forwarding");
    machine_start();
    world_run(world.guest, "cd /proc/sys/net && grep -q 1 ipv4/conf/eth0/arp_ignore && "
                           "grep -q 0 ipv6/conf/eth0/accept_ra && "
                           "grep -q '^0' ipv4/ip_unprivileged_port_start && "
                           "grep -q '10000.61439' ipv4/ip_local_port_range && "
                           "grep -q 1 ipv4/ip_forward");
    assert_true(world_end_machine(&world));
    world_run(world.container, "grep -q '10000.64000' /proc/sys/net/ipv4/ip_local_port_range");
}

/*
 * Two interfaces that stand on one parent, one outside (10.3.0.1) and one in the container
 * (10.3.0.2). @type: what ip(8) takes after "type". Return: false when the kernel has no such kind.
 */
static bool add_slaves(const char *type)
{
    world_run(world.outside, "ip link add d0 type veth peer name d1 && ip link set d0 up && "
                             "ip link set d1 up");
    if (world_try(world.outside, "ip link add link d0 name out0 type %s 2>/dev/null", type) != 0) {
        print_message("skipped: the kernel has no %s\n", type);
        return false;
    }
    world_run(world.outside,
              "ip link add link d0 name eth0 type %s && ip link set eth0 netns /proc/%d/fd/%d && "
              "ip addr add 10.3.0.1/24 dev out0 && ip addr add fd00:3::1/64 dev out0 nodad && "
              "ip link set out0 up",
              type, getpid(), world.container);
    world_run(world.container,
              "ip addr add 10.3.0.2/24 dev eth0 && ip addr add fd00:3::2/64 dev eth0 nodad && "
              "ip link set eth0 up && ip route add default dev eth0");
    return true;
}

static void slaves_work(const char *type)
{
    if (!add_slaves(type))
        return;
    assert_true(world_until(world.container, "! ip addr | grep -q tentative"));
    machine_start();
    assert_same_network();
    world_run(world.guest, "busybox ping -q -c 1 -W 5 10.3.0.1 >/dev/null");
    world_run(world.outside, "busybox ping -q -c 1 -W 5 10.3.0.2 >/dev/null");
    world_run(world.guest, "busybox ping -q -c 1 -W 5 fd00:3::1 >/dev/null");
    transfer(world.outside, world.guest, "10.3.0.2");
    transfer(world.guest, world.outside, "10.3.0.1");
    assert_true(ask(world.container, "10.3.0.2", 0, world.outside, "10.3.0.1", SOCK_DGRAM));
    assert_true(world_end_machine(&world));
}

static void macvlan_works(void **state)
{
    slaves_work("macvlan mode bridge");
}

/* All ipvlans of a parent have its MAC; frames are told apart by address. */
static void ipvlan_l2_works(void **state)
{
    slaves_work("ipvlan mode l2");
}

/* No ARP, no neighbour discovery; the parent's namespace routes. */
static void ipvlan_l3_works(void **state)
{
    slaves_work("ipvlan mode l3");
}

static void sixteen_interfaces_of_any_size_work(void **state)
{
    for (int i = 0; i < 16; i++) {
        char name[16];

        snprintf(name, sizeof(name), "if%d", i);
        world_add_veth(&world, name, i + 1);
    }
    world_run(world.container, "ip link set if3 mtu 9000; ip link set if4 mtu 1280; "
                               "ip link set if5 mtu 65521");
    machine_start();
    for (int i = 0; i < 16; i++)
        world_run(world.guest, "busybox ping -q -c 1 -W 5 10.0.%d.1 >/dev/null", i + 1);
    assert_true(world_end_machine(&world));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(guest_has_the_network_of_the_container),
        TEST(ipv6_that_is_off_in_all_and_on_in_one_interface_works),
        TEST(kernel_route_that_was_removed_is_removed_in_the_guest),
        TEST(guest_and_outside_reach_each_other),
        TEST(tcp_streams_arrive_intact_both_ways),
        TEST(the_engines_own_questions_to_name_servers_are_answered),
        TEST(the_containers_namespace_hears_nothing_else),
        TEST(large_answers_of_name_servers_reach_the_engine),
        TEST(other_large_datagrams_are_the_guests_alone),
        TEST(late_changes_reach_the_guest),
        TEST(an_address_that_another_has_is_not_the_guests),
        TEST(what_routers_advertise_reaches_the_guest),
        TEST(interfaces_swap_names),
        TEST(settings_of_the_namespace_reach_the_guest),
        TEST(macvlan_works),
        TEST(ipvlan_l2_works),
        TEST(ipvlan_l3_works),
        TEST(sixteen_interfaces_of_any_size_work),
    };

    world_require(tests, sizeof(tests) / sizeof(tests[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
