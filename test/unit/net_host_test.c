/*
 * virtio-net when the host's kernel fails: vhost-net and a TAP that this program plays, in the
 * place of ioctl(2) and readv(2).
 */
#include <linux/vhost.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "net_packets.h"

/* One descriptor of /dev/vhost-net, which serves a pair. */
static struct {
    int fd;
    int backend[2]; /* the TAP, -1: none */
} vhosts[NIC_PAIRS];

static int backend_error, ring_error; /* errno; 0: none */

static int refuse(int error)
{
    errno = error;
    return error ? -1 : 0;
}

static int play_vhost(unsigned int pair, unsigned long request, const void *argument)
{
    const struct vhost_vring_file *file = argument;

    if (request == VHOST_SET_VRING_ADDR)
        return refuse(ring_error);
    if (request != VHOST_NET_SET_BACKEND)
        return 0;
    if (file->fd >= 0 && backend_error)
        return refuse(backend_error);
    vhosts[pair].backend[file->index] = file->fd;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    void *argument;
    va_list list;

    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        if (vhosts[i].fd == fd)
            return play_vhost(i, request, argument);
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

static int read_error; /* errno of the next call; 0: none */

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    int error = read_error;

    read_error = 0;
    return error ? refuse(error) : syscall(SYS_readv, fd, iov, count);
}

static int setup_vhost(void **state)
{
    struct nic *w = malloc(sizeof(*w));
    int fds[NIC_PAIRS];

    backend_error = ring_error = 0;
    for (unsigned int i = 0; i < NIC_PAIRS; i++) {
        fds[i] = vhosts[i].fd = eventfd(0, EFD_CLOEXEC);
        vhosts[i].backend[0] = vhosts[i].backend[1] = -1;
    }
    nic_create_with(w, NIC_PAIRS, 2, NULL, fds, OFFLOADS_ALL);
    *state = w;
    return 0;
}

static int teardown_vhost(void **state)
{
    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        vhosts[i].fd = -1;
    return teardown(state);
}

static void expect_served(const struct nic *w, unsigned int pair, bool served)
{
    for (unsigned int i = 0; i < 2; i++)
        assert_int_equal(vhosts[pair].backend[i], served ? w->tap[pair] : -1);
}

static void test_kernel_serves_the_rings_until_the_reset(void **state)
{
    struct nic *w = *state;

    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        expect_served(w, i, true);
    register_write(w->device, VIRTIO_MMIO_STATUS, 0);
    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        expect_served(w, i, false);
}

/* The kernel kept it. */
static void test_queue_taken_away_is_the_drivers(void **state)
{
    struct nic *w = *state;

    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    for (unsigned int i = 0; i < 2 * NIC_PAIRS + 1; i++) {
        register_write(w->device, VIRTIO_MMIO_QUEUE_SEL, i);
        register_write(w->device, VIRTIO_MMIO_QUEUE_READY, 0);
        for (unsigned int j = 0; j < 2 * NIC_PAIRS; j++)
            assert_int_equal(vhosts[j / 2].backend[j % 2], j <= i ? -1 : w->tap[j / 2]);
    }
    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        expect_served(w, i, true);
}

/* The pairs behind the one that it left out were nobody's. */
static void test_driver_that_leaves_out_a_pair(void **state)
{
    struct nic *w = *state;

    assert_true(driver_negotiate(w->device, FEATURES_USUAL | F(MQ)));
    for (unsigned int i = 0; i < 2 * NIC_PAIRS + 1; i++)
        if (i / 2 != 1)
            assert_true(driver_setup_queue(w->device, i, &w->rings[i]));
    driver_add_status(w->device, VIRTIO_CONFIG_S_DRIVER_OK);
    nic_run(w);
    assert_true(virtio_device_active(w->device));
    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        expect_served(w, i, i != 1);
}

static void test_rings_that_the_kernel_refuses_break_the_device(void **state)
{
    struct nic *w = *state;

    ring_error = EFAULT;
    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    assert_false(virtio_device_active(w->device));
    assert_true(net_link(w->net));
}

/* The driver was told that it had broken the rules of a TAP that somebody had deleted. */
static void test_tap_that_the_kernel_refuses_is_a_link_that_is_down(void **state)
{
    struct nic *w = *state;
    uint8_t byte;

    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    register_write(w->device, VIRTIO_MMIO_STATUS, 0);
    nic_run(w);
    backend_error = EINVAL; /* tun_chr_poll() of a TAP that is gone */
    assert_true(nic_bring_up(w, FEATURES_USUAL | F(MQ)));
    assert_true(virtio_device_active(w->device));
    assert_false(net_link(w->net));
    assert_true(driver_handle_interrupt(&w->driver, w->device) & VIRTIO_MMIO_INT_CONFIG);
    for (unsigned int i = 0; i < NIC_PAIRS; i++) {
        expect_served(w, i, false);
        assert_int_equal(recv(w->host[i], &byte, 1, 0), 0);
    }
}

/* Any error was taken for the end of the interface, for good. */
static void test_tap_that_cannot_be_read_for_once_is_not_gone(void **state)
{
    static const int errors[] = { ENOMEM, EIO, ENOBUFS, EAGAIN, EINTR };
    struct nic *w = *state;
    struct buffers b;

    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&b, w, 0, RX_BUFFER, 8);
    for (uint32_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        read_error = errors[i];
        send_to_guest(w, 0, 100, 2 * i);
        nic_run(w);
        assert_int_equal(read_error, 0);
        assert_true(net_link(w->net));
        send_to_guest(w, 0, 100, 2 * i + 1);
        nic_run(w);
        expect_packet(&b, 100, 2 * i);
        expect_packet(&b, 100, 2 * i + 1);
    }
    read_error = EBADFD; /* tun_chr_read_iter() */
    send_to_guest(w, 0, 100, 1);
    nic_run(w);
    assert_false(net_link(w->net));
}

#define VHOST(name) cmocka_unit_test_setup_teardown(name, setup_vhost, teardown_vhost)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VHOST(test_kernel_serves_the_rings_until_the_reset),
        VHOST(test_queue_taken_away_is_the_drivers),
        VHOST(test_driver_that_leaves_out_a_pair),
        VHOST(test_rings_that_the_kernel_refuses_break_the_device),
        VHOST(test_tap_that_the_kernel_refuses_is_a_link_that_is_down),
        TEST(test_tap_that_cannot_be_read_for_once_is_not_gone),
    };

    for (unsigned int i = 0; i < NIC_PAIRS; i++)
        vhosts[i].fd = -1;
    signal(SIGPIPE, SIG_IGN); /* TAPs do not have it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
