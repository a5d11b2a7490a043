/* Settings of the network namespace. */
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/fd.h"

#define PORT_RANGE          "net/ipv4/ip_local_port_range"
#define PORT_RESERVED       "61440\t65535"
#define PORT_DEFAULT        "32768\t60999"
#define PORT_FIRST_RESERVED 61440u

/* What an engine or a network plugin may have set, with the kernel's defaults. */
static const struct setting {
    const char *key;
    const char *standard;
} namespace_settings[] = {
    { "net/ipv4/ip_unprivileged_port_start", "1024" },
    { "net/ipv4/ip_nonlocal_bind", "0" },
    { "net/ipv4/ping_group_range", "1\t0" },
    { "net/ipv4/ip_default_ttl", "64" },
    { "net/ipv4/tcp_ecn", "2" },
    { "net/ipv6/bindv6only", "0" },
    { "net/ipv6/ip_nonlocal_bind", "0" },
    { "net/core/somaxconn", "4096" },
    /* What CNI's plugin "tuning" is used for. */
    { "net/ipv4/tcp_base_mss", "1024" },
    { "net/ipv4/tcp_fastopen", "1" },
    { "net/ipv4/tcp_fin_timeout", "60" },
    { "net/ipv4/tcp_keepalive_intvl", "75" },
    { "net/ipv4/tcp_keepalive_probes", "9" },
    { "net/ipv4/tcp_keepalive_time", "7200" },
    { "net/ipv4/tcp_mtu_probing", "0" },
    { "net/ipv4/tcp_notsent_lowat", "4294967295" },
    { "net/ipv4/tcp_retries2", "15" },
    { "net/ipv4/tcp_sack", "1" },
    { "net/ipv4/tcp_slow_start_after_idle", "1" },
    { "net/ipv4/tcp_syn_retries", "6" },
    { "net/ipv4/tcp_synack_retries", "5" },
    { "net/ipv4/tcp_syncookies", "1" },
    { "net/ipv4/tcp_timestamps", "1" },
    { "net/ipv4/tcp_tw_reuse", "2" },
    { "net/ipv4/tcp_window_scaling", "1" },
};

/* Of conf/all, conf/default and each interface. forwarding first: it changes others with it. */
static const struct setting ipv4_settings[] = {
    { "forwarding", "0" },       { "accept_local", "0" },
    { "accept_redirects", "1" }, { "accept_source_route", "0" },
    { "arp_accept", "0" },       { "arp_announce", "0" },
    { "arp_filter", "0" },       { "arp_ignore", "0" },
    { "arp_notify", "0" },       { "disable_policy", "0" },
    { "disable_xfrm", "0" },     { "force_igmp_version", "0" },
    { "log_martians", "0" },     { "promote_secondaries", "0" },
    { "proxy_arp", "0" },        { "route_localnet", "0" },
    { "rp_filter", "0" },        { "secure_redirects", "1" },
    { "send_redirects", "1" },   { "shared_media", "1" },
    { "src_valid_mark", "0" },   { "ignore_routes_with_linkdown", "0" },
};
static const struct setting ipv6_settings[] = {
    { "forwarding", "0" },
    { "disable_ipv6", "0" },
    { "accept_dad", "1" },
    { "accept_ra", "1" },
    { "accept_ra_defrtr", "1" },
    { "accept_ra_pinfo", "1" },
    { "accept_ra_mtu", "1" },
    { "accept_redirects", "1" },
    { "addr_gen_mode", "0" },
    { "autoconf", "1" },
    { "dad_transmits", "1" },
    { "keep_addr_on_down", "0" },
    { "proxy_ndp", "0" },
    { "router_solicitations", "-1" },
    { "use_tempaddr", "0" },
    { "ignore_routes_with_linkdown", "0" },
    { "optimistic_dad", "0" },
    { "enhanced_dad", "1" },
    { "hop_limit", "64" },
    { "accept_ra_from_local", "0" },
    { "accept_ra_min_hop_limit", "1" },
    { "accept_ra_rt_info_max_plen", "0" },
    { "router_solicitation_delay", "1" },
    { "router_solicitation_interval", "4" },
    { "router_solicitation_max_interval", "3600" },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int open_setting(const char *key, int flags)
{
    char path[192];
    int fd;

    snprintf(path, sizeof(path), "/proc/sys/%s", key);
    fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int sysctl_read(const char *key, char value[SYSCTL_VALUE_MAX])
{
    _cleanup_close_ int fd = open_setting(key, O_RDONLY);
    ssize_t n;

    if (fd < 0)
        return fd;
    n = fd_read_full(fd, value, SYSCTL_VALUE_MAX - 1);
    if (n < 0)
        return (int)n;
    value[n] = '\0';
    value[strcspn(value, "\n")] = '\0';
    return 0;
}

int sysctl_write(const char *key, const char *value)
{
    _cleanup_close_ int fd = open_setting(key, O_WRONLY);

    if (fd < 0)
        return fd;
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* @standard: what need not be said; NULL: it is said in any case. Without IPv6, for example, most
 * of the files do not exist: nothing is set then. */
static void describe(struct protocol_writer *writer, const char *key, const char *standard)
{
    char value[SYSCTL_VALUE_MAX];
    size_t mark;

    if (sysctl_read(key, value) < 0 || (standard && strcmp(value, standard) == 0))
        return;
    mark = protocol_open(writer, FIELD_SYSCTL);
    protocol_put_string(writer, FIELD_KEY, key);
    protocol_put_string(writer, FIELD_VALUE, value);
    protocol_close(writer, mark);
}

static bool is_standard(const char *folder, const char *name, const struct setting *setting)
{
    char key[128], value[SYSCTL_VALUE_MAX];

    snprintf(key, sizeof(key), "net/%s/conf/%s/%s", folder, name, setting->key);
    return sysctl_read(key, value) < 0 || strcmp(value, setting->standard) == 0;
}

/*
 * In the guest an interface begins with what conf/default says, and some settings of conf/all are
 * written to every interface: where these are not the kernel's defaults, the interface's own value
 * is said even if it is. Docker turns IPv6 off in all and on in those that have it.
 */
static void describe_conf(struct protocol_writer *writer, const char *folder,
                          const struct setting *settings, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        bool inherits = is_standard(folder, "all", &settings[i]) &&
                        is_standard(folder, "default", &settings[i]);
        char key[128];

        snprintf(key, sizeof(key), "net/%s/conf/%s/%s", folder, name, settings[i].key);
        describe(writer, key, inherits ? settings[i].standard : NULL);
    }
}

static void describe_interface(struct protocol_writer *writer, const char *name)
{
    describe_conf(writer, "ipv4", ipv4_settings, COUNT(ipv4_settings), name);
    describe_conf(writer, "ipv6", ipv6_settings, COUNT(ipv6_settings), name);
}

void sysctl_describe_ipv6(struct protocol_writer *writer, const char *interface)
{
    char key[128];

    snprintf(key, sizeof(key), "net/ipv6/conf/%s/disable_ipv6", interface);
    describe(writer, key, NULL);
}

/*
 * The guest keeps below the reserved ports too: an answer from a name server's TCP port to one of
 * them would go to the host's sockets.
 */
static void describe_ports(struct protocol_writer *writer)
{
    char value[SYSCTL_VALUE_MAX];
    unsigned int low, high;
    size_t mark;

    if (sysctl_read(PORT_RANGE, value) < 0 || strcmp(value, PORT_DEFAULT) == 0 ||
        sscanf(value, "%u %u", &low, &high) != 2 || low >= PORT_FIRST_RESERVED)
        return;
    if (high >= PORT_FIRST_RESERVED)
        snprintf(value, sizeof(value), "%u\t%u", low, PORT_FIRST_RESERVED - 1);
    mark = protocol_open(writer, FIELD_SYSCTL);
    protocol_put_string(writer, FIELD_KEY, PORT_RANGE);
    protocol_put_string(writer, FIELD_VALUE, value);
    protocol_close(writer, mark);
}

void sysctl_describe(struct protocol_writer *writer, const char *interface)
{
    if (interface) {
        describe_interface(writer, interface);
        return;
    }
    for (size_t i = 0; i < COUNT(namespace_settings); i++)
        describe(writer, namespace_settings[i].key, namespace_settings[i].standard);
    describe_ports(writer);
    describe_interface(writer, "all");
    describe_interface(writer, "default");
    sysctl_describe_ipv6(writer, "lo");
}

int sysctl_reserve_ports(char before[SYSCTL_VALUE_MAX])
{
    int ret = sysctl_read(PORT_RANGE, before);

    /* A predecessor that was killed had no time to put back what it found. */
    if (ret == 0 && strcmp(before, PORT_RESERVED) == 0)
        memcpy(before, PORT_DEFAULT, sizeof(PORT_DEFAULT));
    else if (ret == 0)
        ret = sysctl_write(PORT_RANGE, PORT_RESERVED);
    if (ret < 0)
        before[0] = '\0';
    return ret;
}

void sysctl_free_ports(void)
{
    sysctl_restore_ports(PORT_DEFAULT);
}

void sysctl_restore_ports(const char *before)
{
    char now[SYSCTL_VALUE_MAX];

    if (before[0] && sysctl_read(PORT_RANGE, now) == 0 && strcmp(now, PORT_RESERVED) == 0)
        sysctl_write(PORT_RANGE, before);
}
