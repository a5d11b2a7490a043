/* TAP devices: the host's end of a virtual machine's network card. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/fd.h"
#include "sysctl.h"

#define TUN_DEVICE "/dev/net/tun"

/* drivers/net/tun.c: dev->max_mtu is MAX_MTU less the Ethernet header. */
#define TAP_MTU_MAX (65535u - 14u)

static int open_queue(struct tap *tap, bool first, struct error *err)
{
    struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
                                                  (tap->queues > 1 ? IFF_MULTI_QUEUE : 0)) };
    int header = sizeof(struct virtio_net_hdr_mrg_rxbuf);
    _cleanup_close_ int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
        return error_set(err, errno, "%s: %s; is CONFIG_TUN in the host's kernel (modprobe tun)?",
                         TUN_DEVICE, strerror(errno));
    if (fd < 0)
        return error_set_errno(err, "%s", TUN_DEVICE);
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", first ? TAP_NAME "%d" : tap->name);
    if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        return error_set_errno(err, "make a TAP device with %u queues", tap->queues);
    memcpy(tap->name, request.ifr_name, sizeof(tap->name));
    return steal_fd(&fd);
}

/* The host's stack has no business on it: a link-local address would be heard by the guest. */
static void disable_ipv6(const char *name)
{
    char key[64];

    snprintf(key, sizeof(key), "net/ipv6/conf/%s/disable_ipv6", name);
    sysctl_write(key, "1");
}

static struct nl_msg *link_message(int index, uint32_t mtu, unsigned int flags)
{
    const struct ifinfomsg info = { .ifi_index = index, .ifi_flags = flags, .ifi_change = flags };
    struct nl_msg *message = kernel_message(RTM_NEWLINK, 0, &info, sizeof(info));

    if (message && nla_put_u32(message, IFLA_MTU, mtu < TAP_MTU_MAX ? mtu : TAP_MTU_MAX) < 0) {
        nlmsg_free(message);
        return NULL;
    }
    return message;
}

int tap_set_mtu(struct kernel *kernel, int index, uint32_t mtu)
{
    return kernel_request(kernel, link_message(index, mtu, 0));
}

int tap_create(struct tap *tap, struct kernel *kernel, unsigned int queues, uint32_t mtu,
               struct error *err)
{
    int ret = 0;

    *tap = (struct tap) { .queues = queues };
    for (unsigned int i = 0; i < TAP_QUEUES_MAX; i++)
        tap->fds[i] = -1;
    for (unsigned int i = 0; ret >= 0 && i < queues; i++)
        ret = tap->fds[i] = open_queue(tap, i == 0, err);
    if (ret >= 0) {
        disable_ipv6(tap->name);
        tap->index = (int)if_nametoindex(tap->name);
        ret = kernel_request(kernel, link_message(tap->index, mtu, IFF_UP));
        if (ret < 0)
            kernel_fail(kernel, ret, NULL, err, tap->name);
    }
    if (ret < 0)
        tap_close(tap);
    return ret < 0 ? ret : 0;
}

void tap_close(struct tap *tap)
{
    for (unsigned int i = 0; i < TAP_QUEUES_MAX; i++)
        fd_close(&tap->fds[i]);
}
