/* virtio-net on a real TAP, in a network namespace of its own: offloads, queues, disappearance. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "net_driver.h"
#include "vmm/sandbox_rules.h"
#include "vmm/virtio/net_syscalls.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define BUFFER 2048u
#define ADDR   "10.9.0.1"
#define GUEST  "10.9.0.2"
#define PORT   7777

#define USO_BITS 0x60u

struct tap {
    struct nic w;
    int udp; /* of the host, bound to ADDR:PORT */
    uint32_t offloads;
    uint64_t gpa[NIC_PAIRS], tx_gpa;
};

static bool usable;

static int open_tap(short flags)
{
    struct ifreq request = { .ifr_flags = (short)(IFF_TAP | flags) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    strcpy(request.ifr_name, "tap0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        fail_msg("TAP: %s", strerror(errno));
    return fd;
}

static void set_address(struct ifreq *request, const char *text)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&request->ifr_addr;

    in->sin_family = AF_INET;
    inet_pton(AF_INET, text, &in->sin_addr);
}

/* Up, with an address, and the guest's MAC known. */
static int configure(void)
{
    struct ifreq request = { .ifr_name = "tap0" };
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    struct arpreq neighbour = { .arp_flags = ATF_PERM | ATF_COM, .arp_dev = "tap0" };
    struct sockaddr_in *guest = (struct sockaddr_in *)&neighbour.arp_pa;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    set_address(&request, ADDR);
    assert_int_equal(ioctl(udp, SIOCSIFADDR, &request), 0);
    set_address(&request, "255.255.255.0");
    assert_int_equal(ioctl(udp, SIOCSIFNETMASK, &request), 0);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    assert_int_equal(ioctl(udp, SIOCSIFFLAGS, &request), 0);
    guest->sin_family = AF_INET;
    inet_pton(AF_INET, GUEST, &guest->sin_addr);
    memcpy(neighbour.arp_ha.sa_data, nic_mac, 6);
    assert_int_equal(ioctl(udp, SIOCSARP, &neighbour), 0);
    assert_int_equal(bind(udp, (struct sockaddr *)&any, sizeof(any)), 0);
    return udp;
}

static struct tap *create(unsigned int pairs)
{
    struct tap *t = calloc(1, sizeof(*t));
    struct error err;
    int fds[NIC_PAIRS];

    for (unsigned int i = 0; i < pairs; i++) {
        fds[i] = open_tap((short)(IFF_NO_PI | IFF_VNET_HDR | (pairs > 1 ? IFF_MULTI_QUEUE : 0)));
        if (net_probe_tap(fds[i], &t->offloads, &err) < 0)
            fail_msg("%s", err.message);
    }
    t->udp = configure();
    nic_create(&t->w, pairs, pairs > 1 ? 2 : 1, fds, t->offloads);
    for (unsigned int i = 0; i < pairs; i++)
        t->gpa[i] = driver_alloc(&t->w.driver, BUFFER * NIC_RING);
    t->tx_gpa = driver_alloc(&t->w.driver, 65536);
    return t;
}

static void destroy(struct tap *t)
{
    nic_destroy(&t->w);
    close(t->udp);
    free(t);
}

static int setup(void **state)
{
    if (usable)
        *state = create(1);
    return 0;
}

static int setup_multi(void **state)
{
    if (usable)
        *state = create(4);
    return 0;
}

static int teardown(void **state)
{
    if (usable)
        destroy(*state);
    return 0;
}

static void need_tap(void)
{
    if (!usable) {
        print_message("skipped: no /dev/net/tun or no right to a network namespace\n");
        skip();
    }
}

static void bring_up(struct tap *t, uint64_t features)
{
    if (!(t->offloads & USO_BITS))
        features &= ~F_USO;
    assert_true(nic_bring_up(&t->w, features));
    for (unsigned int i = 0; i < (features & F(MQ) ? t->w.pairs : 1); i++) {
        for (uint16_t j = 0; j < NIC_RING; j++)
            nic_give(&t->w, i, j, t->gpa[i] + j * BUFFER, BUFFER);
        nic_kick(&t->w, 2 * i);
    }
}

/* The next packet of the guest; other than UDP is passed over. Return: length, -1: none. */
static ssize_t take_udp(struct tap *t, unsigned int pair, uint8_t *to)
{
    struct driver_ring *r = &t->w.rings[2 * pair];
    uint32_t head, written;

    for (;;) {
        struct virtio_net_hdr_v1 header = { .num_buffers = 1 };
        ssize_t length = 0;

        for (unsigned int i = 0; i < header.num_buffers; i++) {
            if (!ring_take(r, &head, &written))
                return -1;
            memcpy(to + length,
                   driver_at(&t->w.driver, t->gpa[pair] + (uint64_t)head * BUFFER, BUFFER),
                   written);
            if (i == 0)
                memcpy(&header, to, HDR);
            length += written;
            ring_offer(r, (uint16_t)head);
        }
        if (length > 60 && to[HDR + 12] == 8 && to[HDR + 13] == 0 && to[HDR + 23] == IPPROTO_UDP)
            return length;
    }
}

static uint32_t sum16(const uint8_t *p, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* The checksum over a UDP packet and its pseudo header: 0xffff when it is right. */
static uint32_t udp_sum(const uint8_t *ip, size_t length)
{
    return sum16(ip + 20, length - 20, sum16(ip + 12, 8, IPPROTO_UDP + (uint32_t)length - 20));
}

static void send_host(struct tap *t, uint16_t port, const void *data, size_t length)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

    inet_pton(AF_INET, GUEST, &to.sin_addr);
    assert_int_equal(sendto(t->udp, data, length, 0, (struct sockaddr *)&to, sizeof(to)), length);
}

static void test_probe_names_what_is_no_tap(void **state)
{
    int null = open("/dev/null", O_RDWR), pair[2];
    uint32_t offloads;
    struct error err;

    (void)state;
    need_tap();
    assert_int_equal(net_probe_tap(null, &offloads, &err), -ENOTTY);
    assert_non_null(strstr(err.message, "expected a TAP device"));
    close(null);
    null = open_tap(IFF_NO_PI);
    assert_int_equal(net_probe_tap(null, &offloads, &err), -EINVAL);
    assert_string_equal(err.message, "tap0: expected a TAP with IFF_NO_PI and IFF_VNET_HDR");
    close(null);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_true(net_probe_tap(pair[0], &offloads, &err) < 0);
    close(pair[0]);
    close(pair[1]);
    null = open_tap(IFF_NO_PI | IFF_VNET_HDR);
    assert_int_equal(net_probe_tap(null, &offloads, &err), 0);
    assert_int_equal(offloads & 0xf, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
    assert_true(fcntl(null, F_GETFL) & O_NONBLOCK);
    close(null);
}

/* The host leaves the checksum to whoever receives only if the driver agreed to that. */
static void test_checksums_towards_the_guest(void **state)
{
    struct tap *t = *state;
    static uint8_t data[1000], packet[4096];
    struct virtio_net_hdr_v1 header;

    need_tap();
    bring_up(t, FEATURES_USUAL & ~F(GUEST_CSUM));
    send_host(t, 5, data, sizeof(data));
    nic_run(&t->w);
    assert_int_equal(take_udp(t, 0, packet), HDR + 14 + 20 + 8 + 1000);
    memcpy(&header, packet, HDR);
    assert_int_equal(header.flags, 0);
    assert_int_equal(udp_sum(packet + HDR + 14, 1028), 0xffff);
    bring_up(t, FEATURES_USUAL);
    send_host(t, 5, data, sizeof(data));
    nic_run(&t->w);
    assert_int_equal(take_udp(t, 0, packet), HDR + 14 + 20 + 8 + 1000);
    memcpy(&header, packet, HDR);
    assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(header.csum_start, 34);
    assert_int_equal(header.csum_offset, 6);
}

/* One datagram of the guest. @partial: the checksum is the host's business. */
static void send_guest(struct tap *t, unsigned int pair, size_t length, bool partial)
{
    uint8_t *p = driver_at(&t->w.driver, t->tx_gpa, 65536), *ip = p + HDR + 14;
    struct virtio_net_hdr_v1 header = { 0 };
    struct iphdr iph = { .version = 4, .ihl = 5, .ttl = 9, .protocol = IPPROTO_UDP };
    struct udphdr udp = { .source = htons(5),
                          .dest = htons(PORT),
                          .len = htons((uint16_t)(length + 8)) };
    struct ifreq request = { .ifr_name = "tap0" };
    uint32_t head, written, sum;

    assert_int_equal(ioctl(t->udp, SIOCGIFHWADDR, &request), 0);
    memset(p, 0, HDR + 42 + length);
    memcpy(p + HDR, request.ifr_hwaddr.sa_data, 6);
    memcpy(p + HDR + 6, nic_mac, 6);
    p[HDR + 12] = 8;
    iph.tot_len = htons((uint16_t)(28 + length));
    inet_pton(AF_INET, GUEST, &iph.saddr);
    inet_pton(AF_INET, ADDR, &iph.daddr);
    memcpy(ip, &iph, 20);
    sum = ~sum16(ip, 20, 0);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    memcpy(ip + 20, &udp, 8);
    nic_fill(ip + 28, length, 1);
    if (partial) {
        sum = sum16(ip + 12, 8, IPPROTO_UDP + (uint32_t)length + 8);
        header = (struct virtio_net_hdr_v1) { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                              .csum_start = 34,
                                              .csum_offset = 6 };
    } else {
        sum = ~udp_sum(ip, 28 + length);
    }
    ip[26] = (uint8_t)(sum >> 8);
    ip[27] = (uint8_t)sum;
    memcpy(p, &header, HDR);
    ring_set(&t->w.rings[2 * pair + 1], 0, t->tx_gpa, (uint32_t)(HDR + 42 + length), 0, 0);
    ring_offer(&t->w.rings[2 * pair + 1], 0);
    nic_kick(&t->w, 2 * pair + 1);
    assert_true(ring_take(&t->w.rings[2 * pair + 1], &head, &written));
}

static void test_datagrams_from_the_guest(void **state)
{
    static const size_t lengths[] = { 1, 17, 18, 1000, 1472, 9000, 60000 };
    static uint8_t data[65536], expected[65536];
    struct tap *t = *state;

    need_tap();
    bring_up(t, FEATURES_USUAL);
    for (unsigned int i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t length = lengths[i / 2];

        send_guest(t, 0, length, i % 2);
        nic_fill(expected, length, 1);
        if (recv(t->udp, data, sizeof(data), 0) != (ssize_t)length)
            fail_msg("%zu bytes, %s checksum", length, i % 2 ? "partial" : "complete");
        assert_memory_equal(data, expected, length);
    }
}

/* UDP segmentation: one packet for the guest if it can cut it itself, else the host's kernel does.
 */
static void test_segmentation_is_what_was_negotiated(void **state)
{
    static uint8_t data[12000], packet[20000];
    struct tap *t = *state;
    int size = 1200;

    need_tap();
    assert_int_equal(setsockopt(t->udp, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    bring_up(t, FEATURES_USUAL & ~F_USO);
    send_host(t, 5, data, sizeof(data));
    nic_run(&t->w);
    for (unsigned int i = 0; i < 10; i++)
        assert_int_equal(take_udp(t, 0, packet), HDR + 42 + 1200);
    assert_int_equal(take_udp(t, 0, packet), -1);
    if ((t->offloads & USO_BITS) != USO_BITS)
        return; /* before Linux 6.2 */
    bring_up(t, FEATURES_USUAL);
    send_host(t, 5, data, sizeof(data));
    nic_run(&t->w);
    assert_int_equal(take_udp(t, 0, packet), HDR + 42 + 12000);
    assert_int_equal(packet[1], 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */);
    assert_int_equal(packet[4] | packet[5] << 8, 1200);
}

/* The host's kernel overflows its queue; nobody waits, and what is there arrives in the end. */
static void test_guest_that_takes_nothing(void **state)
{
    static uint8_t data[1000], packet[2048];
    struct tap *t = *state;
    unsigned int arrived = 0;

    need_tap();
    assert_true(nic_bring_up(&t->w, FEATURES_USUAL));
    for (unsigned int i = 0; i < 3000; i++)
        send_host(t, 5, data, sizeof(data));
    nic_run(&t->w);
    for (unsigned int round = 0; round < 20; round++) {
        for (uint16_t j = 0; round == 0 && j < NIC_RING; j++)
            nic_give(&t->w, 0, j, t->gpa[0] + j * BUFFER, BUFFER);
        nic_kick(&t->w, 0);
        while (take_udp(t, 0, packet) > 0)
            arrived++;
    }
    assert_in_range(arrived, 900, 1100); /* the TAP's txqueuelen is 1000 */
}

static unsigned int count_flows(struct tap *t, unsigned int pairs, bool *used)
{
    static uint8_t data[1000], packet[4096];
    unsigned int arrived = 0;

    for (uint16_t port = 1; port <= 64; port++) {
        send_host(t, port, data, sizeof(data));
        nic_run(&t->w);
        for (unsigned int i = 0; i < pairs; i++)
            while (take_udp(t, i, packet) > 0) {
                used[i] = true;
                arrived++;
            }
    }
    return arrived;
}

/* Flows are spread over the pairs in use; none gets lost in one that is not. */
static void test_flows_are_spread_over_the_pairs_in_use(void **state)
{
    static const uint16_t pairs[] = { 4, 2, 3, 1, 4 };
    struct tap *t = *state;

    need_tap();
    for (unsigned int round = 0; round < 2; round++) {
        bool used[NIC_PAIRS] = { false };

        bring_up(t, FEATURES_USUAL | F(MQ));
        assert_int_equal(count_flows(t, 4, used), 64);
        assert_false(used[1] || used[2] || used[3]);
        for (unsigned int i = 0; i < 5; i++) {
            bool now[NIC_PAIRS] = { false };

            assert_int_equal(nic_command(&t->w, VIRTIO_NET_CTRL_MQ, 0, &pairs[i], 2), 0);
            assert_int_equal(count_flows(t, 4, now), 64);
            for (unsigned int j = 0; j < NIC_PAIRS; j++)
                assert_int_equal(now[j], j < pairs[i]);
            for (unsigned int j = 0; j < NIC_PAIRS; j++) {
                char byte[64];

                send_guest(t, j, 10, true);
                assert_int_equal(recv(t->udp, byte, sizeof(byte), 0), 10);
            }
        }
    }
}

static void delete_link(void)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
        uint8_t answer[512];
    } message = { { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                    .nlmsg_type = RTM_DELLINK,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
                  { .ifi_index = (int)if_nametoindex("tap0") },
                  { 0 } };
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

    assert_true(send(fd, &message, message.header.nlmsg_len, 0) > 0);
    assert_true(recv(fd, &message, sizeof(message), 0) > 0);
    close(fd);
}

static void interface_vanishes(struct tap *t, uint64_t features)
{
    bring_up(t, features);
    driver_handle_interrupt(&t->w.driver, t->w.device);
    delete_link();
    nic_run(&t->w);
    assert_false(net_link(t->w.net));
    assert_true(driver_handle_interrupt(&t->w.driver, t->w.device) & VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(if_nametoindex("tap0"), 0);
    assert_true(nic_bring_up(&t->w, features));
}

static void test_interface_that_vanishes(void **state)
{
    need_tap();
    interface_vanishes(*state, FEATURES_USUAL);
}

static void test_interface_of_several_queues_that_vanishes(void **state)
{
    need_tap();
    interface_vanishes(*state, FEATURES_USUAL | F(MQ));
}

/* Down is not gone: what the guest sends meanwhile is lost. */
static void test_interface_down_and_up(void **state)
{
    struct ifreq request = { .ifr_name = "tap0" };
    struct tap *t = *state;
    char byte[16];

    need_tap();
    bring_up(t, FEATURES_USUAL);
    assert_int_equal(ioctl(t->udp, SIOCSIFFLAGS, &request), 0);
    send_guest(t, 0, 10, true);
    assert_true(net_link(t->w.net));
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    assert_int_equal(ioctl(t->udp, SIOCSIFFLAGS, &request), 0);
    send_guest(t, 0, 10, true);
    assert_int_equal(recv(t->udp, byte, sizeof(byte), 0), 10);
}

/* ---- under the sandbox's filter ---- */

#define ALLOW(call) seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(call), 0);
#define ALLOW_IF(call, argument, mask, value)                   \
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(call), 1, \
                     SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value));

static void *serve_in_sandbox(void *workers)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    COMMON_SYSCALLS(ALLOW, ALLOW_IF)
    NET_SYSCALLS(ALLOW, ALLOW_IF)
    if (!filter || seccomp_load(filter) < 0)
        abort();
    net_worker_serve(workers, 0);
    syscall(SYS_exit, 0); /* seccomp's own memory stays */
    return NULL;
}

/* Or beyond: the host's stack sends packets of its own, when it makes an address of IPv6. */
static bool wait_for(const uint16_t *index, uint16_t value)
{
    for (unsigned int i = 0; i < 10000; i++) {
        if (__atomic_load_n(index, __ATOMIC_ACQUIRE) >= value)
            return true;
        usleep(1000);
    }
    return false;
}

static int live_in_sandbox(void)
{
    static const uint16_t two = 2;
    struct tap *t = create(2);
    struct nic *w = &t->w;
    uint8_t data[100] = { 0 }, *p = driver_at(&w->driver, w->control_gpa, 16);
    pthread_t thread;

    bring_up(t, FEATURES_USUAL | F(MQ));
    /* Worker 1 has done its part; worker 0 goes on in a thread. */
    if (pthread_create(&thread, NULL, serve_in_sandbox, w->workers))
        return 1;
    send_host(t, 5, data, sizeof(data));
    if (!wait_for(&w->rings[0].used[1], 1))
        return 2;
    ring_set(&w->rings[1], 0, t->tx_gpa, 100, 0, 0);
    ring_offer(&w->rings[1], 0);
    register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    if (!wait_for(&w->rings[1].used[1], 1))
        return 3;
    p[0] = VIRTIO_NET_CTRL_MQ;
    p[1] = 0;
    memcpy(p + 2, &two, 2);
    p[8] = 0xee;
    ring_set(&w->rings[4], 0, w->control_gpa, 4, VRING_DESC_F_NEXT, 1);
    ring_set(&w->rings[4], 1, w->control_gpa + 8, 1, VRING_DESC_F_WRITE, 0);
    ring_offer(&w->rings[4], 0);
    register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 4);
    if (!wait_for(&w->rings[4].used[1], 1) || p[8] != 0)
        return 4;
    register_write(w->device, VIRTIO_MMIO_STATUS, 0);
    bring_up(t, FEATURES_USUAL | F(MQ));
    delete_link();
    for (unsigned int i = 0; i < 10000 && net_link(w->net); i++)
        usleep(1000);
    return net_link(w->net) ? 5 : 0;
}

static int create_in_sandbox(void)
{
    struct driver driver;
    int fds[2] = { open_tap(IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE),
                   open_tap(IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE) };
    struct net_config config = { .memory = &driver.memory, .tap_fds = fds, .pairs = 2 };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    struct error err;
    struct net *net;

    driver_init(&driver);
    config.kick_fd = driver.kick_fd;
    config.interrupt_fd = driver.interrupt_fd;
    config.workers = net_workers_create(2);
    COMMON_SYSCALLS(ALLOW, ALLOW_IF)
    NET_CREATE_SYSCALLS(ALLOW, ALLOW_IF)
    if (!filter || !config.workers || seccomp_load(filter) < 0)
        return 1;
    if (net_probe_tap(fds[0], &config.offloads, &err) < 0 ||
        net_probe_tap(fds[1], &config.offloads, &err) < 0 || net_create(&net, &config, &err) < 0)
        return 2;
    net_set_link(net, true);
    if (!net_link(net))
        return 3;
    net_detach(net);
    net_destroy(net);
    return net_probe_tap(fds[0], &config.offloads, &err) == -EBADF ? 0 : 4;
}

/* The lists are all that is needed: one call too few kills. */
static void expect_success(int (*body)(void))
{
    int status;
    pid_t child;

    need_tap();
    child = fork();
    if (child == 0)
        syscall(SYS_exit_group, body()); /* ASan does things of its own in _exit() */
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("wait status %x", (unsigned int)status);
}

static void test_worker_in_its_sandbox(void **state)
{
    (void)state;
    expect_success(live_in_sandbox);
}

static void test_creation_in_a_sandbox(void **state)
{
    (void)state;
    expect_success(create_in_sandbox);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define MULTI(name) cmocka_unit_test_setup_teardown(name, setup_multi, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe_names_what_is_no_tap),
        TEST(test_checksums_towards_the_guest),
        TEST(test_datagrams_from_the_guest),
        TEST(test_segmentation_is_what_was_negotiated),
        TEST(test_guest_that_takes_nothing),
        MULTI(test_flows_are_spread_over_the_pairs_in_use),
        TEST(test_interface_that_vanishes),
        MULTI(test_interface_of_several_queues_that_vanishes),
        TEST(test_interface_down_and_up),
        cmocka_unit_test(test_worker_in_its_sandbox),
        cmocka_unit_test(test_creation_in_a_sandbox),
    };

    usable = access("/dev/net/tun", R_OK | W_OK) == 0 && unshare(CLONE_NEWNET) == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
