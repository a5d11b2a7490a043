/* The machine's network: MESSAGE_NETWORK made so. */
#include "init/network.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "init/io.h"
#include "init/replay.h"

int network_loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

void network_init(struct network *network, const struct links_source *source)
{
    *network = (struct network) { .source = source };
}

bool network_is_sysctl(const char *key)
{
    return strncmp(key, "net.", 4) == 0 || strncmp(key, "net/", 4) == 0;
}

/* Whether a component of @path is "..": an interface's name may hold one ("a..b"). */
static bool leads_up(const char *path)
{
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || !at[2]))
            return true;
    }
    return false;
}

/* @path: below /proc/sys. Return: 0 or a negative errno. */
static int sysctl_write(const char *path, const char *value)
{
    char full[PATH_MAX];

    if (strncmp(path, "net/", 4) != 0 || leads_up(path))
        return -EINVAL;
    if (snprintf(full, sizeof(full), "/proc/sys/%s", path) >= (int)sizeof(full))
        return -ENAMETOOLONG;
    return io_write_file(AT_FDCWD, full, value);
}

int network_apply_sysctl(const char *key, const char *value, struct failure *failure)
{
    char path[PATH_MAX];
    int ret;

    if (snprintf(path, sizeof(path), "%s", key) >= (int)sizeof(path))
        return failure_set(failure, ENAMETOOLONG, "sysctl: the key is too long");
    for (char *dot = path; (dot = strchr(dot, '.'));)
        *dot = '/';
    ret = sysctl_write(path, value);
    if (ret < 0)
        return failure_set(failure, -ret, "write sysctl key %s: %s", key, failure_describe(-ret));
    return 0;
}

/* FIELD_SYSCTL: how the host's namespace treats an interface. */
static int apply_setting(const struct protocol_field *field, struct failure *failure)
{
    struct protocol_field key, value;
    const char *path, *text;
    bool bad = false;
    int ret;

    if (protocol_find(field->value, FIELD_KEY, &key) != 1 ||
        protocol_find(field->value, FIELD_VALUE, &value) != 1)
        return failure_set(failure, EPROTO, "network: malformed setting");
    path = protocol_string(&key, &bad);
    text = protocol_string(&value, &bad);
    if (bad)
        return failure_set(failure, EPROTO, "network: malformed setting");
    ret = sysctl_write(path, text);
    /* The host's kernel may have settings that this one has not: then there is nothing to set. */
    if (ret < 0 && ret != -ENOENT)
        return failure_set(failure, -ret, "network: %s = %s: %s", path, text,
                           failure_describe(-ret));
    return 0;
}

typedef int field_handler(struct network *network, const struct protocol_field *field,
                          struct failure *failure);

static int handle_gone(struct network *network, const struct protocol_field *field,
                       struct failure *failure)
{
    bool bad = false;
    uint32_t index = (uint32_t)protocol_u64(field, &bad);

    if (bad)
        return failure_set(failure, EPROTO, "network: malformed interface number");
    return links_remove(&network->links, index, network->source, failure);
}

static int handle_link(struct network *network, const struct protocol_field *field,
                       struct failure *failure)
{
    return links_add(&network->links, &field->value, network->source, failure);
}

/* Also the check of every message, before the first of them is applied. */
static int handle_link_change(struct network *network, const struct protocol_field *field,
                              struct failure *failure)
{
    int step = replay_classify(&field->value);

    if (step < 0)
        return failure_set(failure, -step, "network: a netlink message %s",
                           step == -EPROTO ? "is malformed" : "is of a type unknown to init");
    return step == REPLAY_LINK ? links_change(&network->links, &field->value, failure) : 0;
}

static int for_each(struct network *network, struct protocol_reader fields, uint16_t tag,
                    field_handler *handler, struct failure *failure)
{
    struct protocol_field field;
    int ret;

    while ((ret = protocol_next(&fields, &field)) == 1) {
        if (field.tag != tag)
            continue;
        ret = handler(network, &field, failure);
        if (ret < 0)
            return ret;
    }
    return ret < 0 ? failure_set(failure, -ret, "network: malformed fields") : 0;
}

/* Without IPv6 there is no such file, and no such address. */
static void addr_gen_mode_path(const struct link *link, char path[80])
{
    snprintf(path, 80, "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", link->name);
}

/*
 * The kernel makes a link-local address when an interface comes up, and checks it for duplicates.
 * The host's is among the addresses to come, now or later: none is made until it is there.
 */
static void hold_link_local(struct links *links)
{
    char path[80];

    for (size_t i = 0; i < links->count; i++) {
        struct link *link = &links->items[i];

        if (!link->is_new)
            continue;
        addr_gen_mode_path(link, path);
        if (io_read_file(AT_FDCWD, path, link->addr_gen_mode, sizeof(link->addr_gen_mode)) < 0)
            link->addr_gen_mode[0] = '\0';
        else
            io_write_file(AT_FDCWD, path, "1");
    }
}

/*
 * Whether @message gives @link the link-local address that its MAC makes (RFC 4291 §2.5.6, appendix
 * A). If the host's is another one, because it was set or because it is an ipvlan's, the kernel
 * would make this one beside it.
 */
static bool is_link_local_of_mac(const struct protocol_reader *message, const struct link *link)
{
    const uint8_t *m = link->mac;
    const uint8_t address[16] = { 0xfe, 0x80, [8] = m[0] ^ 2, m[1], m[2],
                                  0xff, 0xfe, m[3],           m[4], m[5] };
    struct {
        struct nlmsghdr header;
        struct ifaddrmsg info;
    } fixed;

    if (replay_classify(message) != REPLAY_ADDRESS)
        return false;
    memcpy(&fixed, message->data, sizeof(fixed));
    return fixed.info.ifa_family == AF_INET6 && fixed.info.ifa_index == link->host_index &&
           link->has_mac &&
           memmem(message->data + sizeof(fixed), message->length - sizeof(fixed), address,
                  sizeof(address));
}

static void release_link_local(struct links *links, struct protocol_reader fields)
{
    struct protocol_field field;
    char path[80];

    while (protocol_next(&fields, &field) == 1) {
        if (field.tag != FIELD_NETLINK)
            continue;
        for (size_t i = 0; i < links->count; i++) {
            struct link *link = &links->items[i];

            if (!link->addr_gen_mode[0] || !is_link_local_of_mac(&field.value, link))
                continue;
            addr_gen_mode_path(link, path);
            io_write_file(AT_FDCWD, path, link->addr_gen_mode);
            link->addr_gen_mode[0] = '\0';
        }
    }
}

/* One that fails is no reason to leave out the others. Return: 0, or the first failure. */
static int apply_settings(struct protocol_reader fields, struct failure *failure)
{
    struct protocol_field field;
    int first = 0;

    while (protocol_next(&fields, &field) == 1) {
        int ret = 0;

        if (field.tag == FIELD_SYSCTL)
            ret = apply_setting(&field, failure_if_first(first, failure));
        first = first ? first : ret;
    }
    return first;
}

/* Likewise. */
static int apply_messages(struct network *network, struct netlink *netlink,
                          struct protocol_reader fields, struct failure *failure)
{
    int first = 0;

    for (int step = 0; step < REPLAY_STEPS; step++) {
        struct protocol_reader reader = fields;
        struct protocol_field field;

        while (protocol_next(&reader, &field) == 1) {
            int ret;

            if (field.tag != FIELD_NETLINK || replay_classify(&field.value) != step)
                continue;
            ret = replay_apply(netlink, &field.value, links_map, &network->links,
                               failure_if_first(first, failure));
            first = first ? first : ret;
        }
    }
    return first;
}

/*
 * Once it is known what is meant, whatever fails is no reason to leave out the rest: the host holds
 * all of it for said, and does not say it again.
 */
static int apply_rest(struct network *network, struct netlink *netlink,
                      struct protocol_reader fields, struct failure *failure)
{
    int first = links_rename(&network->links, netlink, failure), ret;

    ret = apply_settings(fields, failure_if_first(first, failure));
    first = first ? first : ret;
    hold_link_local(&network->links);
    ret = links_settle(&network->links, netlink, failure_if_first(first, failure));
    first = first ? first : ret;
    ret = apply_messages(network, netlink, fields, failure_if_first(first, failure));
    release_link_local(&network->links, fields);
    return first ? first : ret;
}

static int apply_all(struct network *network, struct netlink *netlink,
                     struct protocol_reader fields, struct failure *failure)
{
    int ret = for_each(network, fields, FIELD_LINK_GONE, handle_gone, failure);

    if (ret == 0)
        ret = for_each(network, fields, FIELD_LINK, handle_link, failure);
    if (ret == 0)
        ret = for_each(network, fields, FIELD_NETLINK, handle_link_change, failure);
    return ret < 0 ? ret : apply_rest(network, netlink, fields, failure);
}

int network_apply(struct network *network, struct protocol_reader fields, struct failure *failure)
{
    struct netlink netlink, events;
    int ret = netlink_open(&netlink), heard = netlink_open_events(&events);

    if (ret < 0) {
        netlink_close(&events);
        return failure_set(failure, -ret, "network: netlink: %s", failure_describe(-ret));
    }
    ret = apply_all(network, &netlink, fields, failure);
    if (ret == 0 && heard == 0)
        links_wait(&network->links, &netlink, &events);
    links_done(&network->links);
    netlink_close(&events);
    netlink_close(&netlink);
    return ret;
}
