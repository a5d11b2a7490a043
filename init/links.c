/* The network interfaces that the host gave this machine. */
#include "init/links.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "init/io.h"

#define DEVICES "/sys/bus/platform/devices"
#define DRIVER  "/sys/bus/platform/drivers/virtio-mmio"

/* Flags that the host's interface and the guest's have in common; others are the drivers'. */
#define LINK_FLAGS (IFF_UP | IFF_NOARP | IFF_MULTICAST)

/* Longest time for the kernel's workers to notice a carrier: it takes them microseconds. */
#define WAIT_MS 1000

static void slot_name(uint64_t slot, char name[48])
{
    snprintf(name, 48, "virtio-mmio.%llu", (unsigned long long)slot);
}

/* The first name in @path that starts with @prefix. Return: 0 or -errno. */
static int find_entry(const char *path, const char *prefix, char *name, size_t size)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int ret = -ENODEV;

    if (!directory)
        return -errno;
    while (ret < 0 && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        ret = snprintf(name, size, "%s", entry->d_name) < (int)size ? 0 : -ENAMETOOLONG;
    }
    closedir(directory);
    return ret;
}

/* DEVICES/virtio-mmio.N/virtioM/net/NAME/ifindex */
static int slot_index(uint64_t slot)
{
    char path[256], device[48], virtio[48], name[48], text[32];
    int ret;

    slot_name(slot, device);
    snprintf(path, sizeof(path), DEVICES "/%s", device);
    ret = find_entry(path, "virtio", virtio, sizeof(virtio));
    if (ret < 0)
        return ret;
    snprintf(path, sizeof(path), DEVICES "/%s/%s/net", device, virtio);
    ret = find_entry(path, "", name, sizeof(name));
    if (ret < 0)
        return ret;
    snprintf(path, sizeof(path), DEVICES "/%s/%s/net/%s/ifindex", device, virtio, name);
    ret = (int)io_read_file(AT_FDCWD, path, text, sizeof(text));
    return ret < 0 ? ret : atoi(text);
}

static int slot_attach(uint64_t slot)
{
    char name[48];
    int ret = slot_index(slot);

    /* The driver is bound already when the slot had its identity at boot. */
    if (ret > 0)
        return ret;
    slot_name(slot, name);
    ret = io_write_file(AT_FDCWD, DRIVER "/bind", name);
    if (ret < 0)
        return ret;
    ret = slot_index(slot);
    return ret == 0 ? -ENODEV : ret;
}

static int slot_detach(uint64_t slot)
{
    char name[48];

    slot_name(slot, name);
    return io_write_file(AT_FDCWD, DRIVER "/unbind", name);
}

const struct links_source links_of_slots = { slot_attach, slot_detach };

static struct link *links_find(const struct links *links, uint32_t host_index)
{
    for (size_t i = 0; i < links->count; i++)
        if (links->items[i].host_index == host_index)
            return (struct link *)&links->items[i];
    return NULL;
}

int links_map(const void *context, uint32_t host_index)
{
    const struct link *link = links_find(context, host_index);

    /* include/net/net_namespace.h: lo is LOOPBACK_IFINDEX, 1, in every namespace. */
    return host_index == 1 ? 1 : link ? link->index : 0;
}

static bool name_is_good(const char *name)
{
    return name[0] && strlen(name) < IF_NAMESIZE && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && !strpbrk(name, "/: \t\n%");
}

/* The last FIELD_LINK_SLOT counts: vmrt-vmm may append its own to what it was given. */
static int link_parse(struct link *link, struct protocol_reader fields, struct failure *failure)
{
    struct protocol_field field;
    bool bad = false, has_index = false, has_slot = false;
    int ret;

    *link = (struct link) { .is_new = true };
    while ((ret = protocol_next(&fields, &field)) == 1) {
        switch (field.tag) {
        case FIELD_LINK_INDEX:
            link->host_index = (uint32_t)protocol_u64(&field, &bad);
            has_index = true;
            break;
        case FIELD_LINK_NAME:
            snprintf(link->name, sizeof(link->name), "%s", protocol_string(&field, &bad));
            bad = bad || field.value.length > sizeof(link->name);
            break;
        case FIELD_LINK_MAC:
            bad = bad || field.value.length != sizeof(link->mac);
            if (!bad)
                memcpy(link->mac, field.value.data, sizeof(link->mac));
            link->has_mac = true;
            break;
        case FIELD_LINK_MTU:
            link->mtu = (uint32_t)protocol_u64(&field, &bad);
            break;
        case FIELD_LINK_FLAGS:
            link->flags = (uint32_t)protocol_u64(&field, &bad);
            link->mask = LINK_FLAGS;
            break;
        case FIELD_LINK_CARRIER:
            link->carrier = protocol_u64(&field, &bad) != 0;
            break;
        case FIELD_LINK_SLOT:
            link->slot = protocol_u64(&field, &bad);
            has_slot = true;
            break;
        default:
            break;
        }
    }
    if (ret < 0 || bad || !has_index || !has_slot || !name_is_good(link->name))
        return failure_set(failure, EPROTO, "network: malformed interface");
    return 0;
}

int links_add(struct links *links, const struct protocol_reader *fields,
              const struct links_source *source, struct failure *failure)
{
    struct link link;
    int ret = link_parse(&link, *fields, failure);

    if (ret < 0)
        return ret;
    if (links_find(links, link.host_index) || link.host_index <= 1)
        return failure_set(failure, EEXIST, "interface %s: number %u is taken", link.name,
                           link.host_index);
    if (links->count == LINKS_MAX)
        return failure_set(failure, ENOSPC, "interface %s: there are %d already", link.name,
                           LINKS_MAX);
    ret = source->attach(link.slot);
    if (ret <= 0)
        return failure_set(failure, ret ? -ret : ENODEV, "interface %s: device slot %llu: %s",
                           link.name, (unsigned long long)link.slot,
                           failure_describe(ret ? -ret : ENODEV));
    link.index = ret;
    link.renames = true;
    links->items[links->count++] = link;
    return 0;
}

int links_change(struct links *links, const struct protocol_reader *message,
                 struct failure *failure)
{
    static union netlink_request copy;
    size_t fixed = NLMSG_LENGTH(sizeof(struct ifinfomsg));
    const struct ifinfomsg *info = NLMSG_DATA(&copy.header);
    const uint8_t *end = copy.bytes + message->length;
    struct rtattr *attribute;
    struct link *link;

    if (message->length < fixed || message->length > sizeof(copy))
        return failure_set(failure, EPROTO, "network: malformed link message");
    memcpy(copy.bytes, message->data, message->length);
    link = links_find(links, (uint32_t)info->ifi_index);
    if (!link)
        return 0;
    link->has_changed = true;
    link->flags = info->ifi_flags;
    link->mask = LINK_FLAGS;
    attribute = netlink_first(copy.bytes + fixed, message->length - fixed);
    for (; attribute; attribute = netlink_next(attribute, end)) {
        const void *data = RTA_DATA(attribute);
        size_t length = RTA_PAYLOAD(attribute);
        char name[IF_NAMESIZE] = "";

        if (attribute->rta_type == IFLA_IFNAME && length > 0 && length <= sizeof(name)) {
            memcpy(name, data, length);
            name[sizeof(name) - 1] = '\0';
            if (!name_is_good(name))
                return failure_set(failure, EPROTO, "network: malformed interface name");
            link->renames = link->renames || strcmp(name, link->name) != 0;
            memcpy(link->name, name, sizeof(name));
        } else if (attribute->rta_type == IFLA_MTU && length == sizeof(link->mtu)) {
            memcpy(&link->mtu, data, length);
        } else if (attribute->rta_type == IFLA_ADDRESS && length == sizeof(link->mac)) {
            memcpy(link->mac, data, length);
            link->has_mac = true;
        }
    }
    return 0;
}

/* One RTM_NEWLINK about an interface: flags, and one attribute if there is data. */
static int link_set(struct netlink *netlink, const struct link *link, const char *what,
                    uint16_t type, const void *data, size_t length, struct failure *failure)
{
    union netlink_request request;
    struct ifinfomsg info = { .ifi_index = link->index };
    int ret;

    if (!data) {
        info.ifi_flags = link->flags & link->mask;
        info.ifi_change = link->mask;
    }
    netlink_begin(&request, RTM_NEWLINK, 0, &info, sizeof(info));
    ret = data ? netlink_put(&request, type, data, length) : 0;
    if (ret == 0)
        ret = netlink_send(netlink, &request.header);
    if (ret == 0)
        return 0;
    return failure_set(failure, -ret, "interface %s: %s: %s%s%s%s", link->name, what,
                       failure_describe(-ret), netlink->reason[0] ? " (" : "", netlink->reason,
                       netlink->reason[0] ? ")" : "");
}

/* Kernels before 6.2 rename nothing that is up: links_settle() brings it up again. */
static int link_set_name(struct netlink *netlink, struct link *link, const char *name,
                         struct failure *failure)
{
    size_t length = strlen(name) + 1;
    int ret = link_set(netlink, link, "rename", IFLA_IFNAME, name, length, failure);
    struct link down = *link;

    if (ret != -EBUSY)
        return ret;
    down.flags &= ~(uint32_t)IFF_UP;
    down.mask = IFF_UP;
    link->has_changed = true;
    ret = link_set(netlink, &down, "down", 0, NULL, 0, failure);
    return ret < 0 ? ret : link_set(netlink, link, "rename", IFLA_IFNAME, name, length, failure);
}

int links_rename(struct links *links, struct netlink *netlink, struct failure *failure)
{
    int first = 0;

    for (size_t i = 0; i < links->count; i++) {
        struct link *link = &links->items[i];
        char now[IF_NAMESIZE] = "", temporary[IF_NAMESIZE];
        int ret;

        if (!link->renames)
            continue;
        if (if_indextoname((unsigned int)link->index, now) && strcmp(now, link->name) == 0)
            continue;
        snprintf(temporary, sizeof(temporary), "vmrt%d", link->index);
        ret = link_set_name(netlink, link, temporary, failure_if_first(first, failure));
        link->renamed_away = ret == 0;
        first = first ? first : ret;
    }
    for (size_t i = 0; i < links->count; i++) {
        struct link *link = &links->items[i];
        int ret = 0;

        if (link->renamed_away)
            ret = link_set_name(netlink, link, link->name, failure_if_first(first, failure));
        first = first ? first : ret;
    }
    return first;
}

static int link_set_mac(struct netlink *netlink, const struct link *link, struct failure *failure)
{
    const uint8_t *m = link->mac;
    char path[64], text[64], now[64] = "";

    snprintf(path, sizeof(path), "/sys/class/net/%s/address", link->name);
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1], m[2], m[3], m[4],
             m[5]);
    /* Not every driver lets it be set; the device has the right one as a rule. */
    if (io_read_file(AT_FDCWD, path, now, sizeof(now)) >= 0 && strcmp(now, text) == 0)
        return 0;
    return link_set(netlink, link, "hardware address", IFLA_ADDRESS, m, sizeof(link->mac), failure);
}

/* Whatever of it fails, an interface that is to be up comes up. */
static int link_settle(struct netlink *netlink, const struct link *link, struct failure *failure)
{
    int first = 0, ret = 0;

    if (link->has_mac)
        first = link_set_mac(netlink, link, failure);
    if (link->mtu)
        ret = link_set(netlink, link, "MTU", IFLA_MTU, &link->mtu, sizeof(link->mtu),
                       failure_if_first(first, failure));
    first = first ? first : ret;
    if (link->mask)
        ret = link_set(netlink, link, link->flags & IFF_UP ? "up" : "down", 0, NULL, 0,
                       failure_if_first(first, failure));
    return first ? first : ret;
}

int links_settle(struct links *links, struct netlink *netlink, struct failure *failure)
{
    int first = 0;

    for (size_t i = 0; i < links->count; i++) {
        const struct link *link = &links->items[i];
        int ret = 0;

        if (link->is_new || link->has_changed)
            ret = link_settle(netlink, link, failure_if_first(first, failure));
        first = first ? first : ret;
    }
    return first;
}

/*
 * RTM_GETLINK brings what follows from the carrier up to date before it answers (Linux 6.12, net/
 * core/rtnetlink.c, rtnl_getlink()); the flags tell then.
 */
static bool link_is_running(struct netlink *netlink, const struct link *link)
{
    const struct ifinfomsg info = { .ifi_index = link->index };
    struct ifreq flags = { 0 };
    union netlink_request request;

    netlink_begin(&request, RTM_GETLINK, 0, &info, sizeof(info));
    memcpy(flags.ifr_name, link->name, sizeof(link->name));
    return netlink_send(netlink, &request.header) < 0 ||
           ioctl(netlink->fd, SIOCGIFFLAGS, &flags) < 0 || flags.ifr_flags & IFF_RUNNING;
}

static bool links_are_running(const struct links *links, struct netlink *netlink)
{
    for (size_t i = 0; i < links->count; i++) {
        const struct link *link = &links->items[i];

        if (link->is_new && link->flags & IFF_UP && link->carrier &&
            !link_is_running(netlink, link))
            return false;
    }
    return true;
}

static int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void links_wait(const struct links *links, struct netlink *netlink, const struct netlink *events)
{
    const int64_t end = now_ms() + WAIT_MS;
    struct pollfd readable = { .fd = events->fd, .events = POLLIN };
    uint8_t event[4096];

    while (!links_are_running(links, netlink)) {
        int64_t left = end - now_ms();

        if (left <= 0 || poll(&readable, 1, (int)left) < 0)
            return;
        /* What it says is of no interest: that all of them are lost (ENOBUFS) is an event too. */
        (void)!recv(events->fd, event, sizeof(event), MSG_DONTWAIT);
    }
}

void links_done(struct links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        struct link *link = &links->items[i];

        link->is_new = link->has_changed = link->renames = link->renamed_away = false;
    }
}

int links_remove(struct links *links, uint32_t host_index, const struct links_source *source,
                 struct failure *failure)
{
    struct link *link = links_find(links, host_index);
    char name[IF_NAMESIZE];
    uint64_t slot;
    int ret;

    if (!link)
        return 0;
    memcpy(name, link->name, sizeof(name));
    slot = link->slot;
    *link = links->items[--links->count];
    ret = source->detach(slot);
    if (ret < 0)
        return failure_set(failure, -ret, "interface %s: remove device slot %llu: %s", name,
                           (unsigned long long)slot, failure_describe(-ret));
    return 0;
}
