/* The connection of a network namespace with a virtual machine, from beginning to end. */
#include "network.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "message.h"
#include "resolver.h"
#include "tap.h"
#include "vhost.h"

/*
 * An engine sets an interface up in many steps; they are passed on together, when nothing has
 * changed for QUIET_MS, but at the latest after BURST_MS.
 */
#define QUIET_MS 5
#define BURST_MS 100

/* Until what could not be read or told is tried again, if nothing changes before. */
#define AGAIN_MS 1000

/* Readings that are void because an interface of them has gone, before that becomes an error. */
#define STALE_MAX 8

int network_open(struct network *network, int control, unsigned int queues, bool vhost,
                 void (*warn_line)(const char *line), struct error *err)
{
    int ret;

    memset(network, 0, sizeof(*network));
    network->control = control;
    network->queues = queues;
    network->vhost = vhost;
    network->warn = warn_line;
    ret = kernel_open(&network->kernel, err);
    if (ret == 0)
        ret = kernel_watch(&network->kernel, err);
    if (ret < 0)
        kernel_close(&network->kernel);
    return ret;
}

/*
 * macvlan and ipvlan pass only those multicast groups that their own interface has joined
 * (drivers/net/macvlan.c macvlan_set_mac_lists()), and it is not the one that joins here.
 */
static bool needs_allmulti(const struct scan_link *link)
{
    static const char *const kinds[] = { "macvlan", "macvtap", "ipvlan", "ipvtap" };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(link->kind, kinds[i]) == 0)
            return !(link->flags & IFF_ALLMULTI);
    return false;
}

static int set_allmulti(struct kernel *kernel, int index, bool on)
{
    const struct ifinfomsg info = { .ifi_index = index,
                                    .ifi_flags = on ? IFF_ALLMULTI : 0,
                                    .ifi_change = IFF_ALLMULTI };

    return kernel_request(kernel, kernel_message(RTM_NEWLINK, 0, &info, sizeof(info)));
}

static void joint_part(struct network *network, const struct joint *joint)
{
    redirect_part(&joint->redirect, &network->kernel);
    if (joint->allmulti)
        set_allmulti(&network->kernel, joint->redirect.link, false);
}

static bool is_gone(int link)
{
    char name[IF_NAMESIZE];

    return !if_indextoname((unsigned int)link, name);
}

static int join(struct network *network, const struct scan_link *link, struct tap *tap,
                struct error *err)
{
    struct joint joint = { .redirect = { .link = link->index } };
    struct error reason = { 0 };
    int ret = tap_create(tap, &network->kernel, network->queues, link->mtu, &reason);

    if (ret < 0)
        return error_set(err, -ret, "interface %s: %s", link->name, reason.message);
    joint.redirect.tap = tap->index;
    redirect_clear(&network->kernel, link->index);
    ret = redirect_join(&joint.redirect, &network->kernel, link->name, err);
    if (ret < 0) {
        tap_close(tap);
        network->stale = ret == -ENODEV || is_gone(link->index);
        return ret;
    }
    if (needs_allmulti(link))
        joint.allmulti = set_allmulti(&network->kernel, link->index, true) == 0;
    network->joints[network->joint_count++] = joint;
    return 0;
}

static struct joint *find_joint(struct network *network, int link)
{
    for (size_t i = 0; i < network->joint_count; i++)
        if (network->joints[i].redirect.link == link)
            return &network->joints[i];
    return NULL;
}

/*
 * Interfaces that are gone took their filters with them; but one that the guest is no longer to
 * have may be there (a port of a bridge now), and what arrives on it is for others again.
 */
static void forget_joints(struct network *network, const struct scan *now)
{
    for (size_t i = 0; i < network->joint_count;) {
        if (scan_find_link(now, network->joints[i].redirect.link)) {
            i++;
            continue;
        }
        joint_part(network, &network->joints[i]);
        network->joints[i] = network->joints[--network->joint_count];
    }
}

static void follow_mtu(struct network *network, const struct scan *now)
{
    for (size_t i = 0; i < network->told.link_count; i++) {
        const struct scan_link *old = &network->told.links[i];
        const struct scan_link *link = scan_find_link(now, old->index);
        const struct joint *joint = find_joint(network, old->index);

        if (link && joint && link->mtu != old->mtu)
            tap_set_mtu(&network->kernel, joint->redirect.tap, link->mtu);
    }
}

static size_t count_new(const struct network *network, const struct scan *now)
{
    size_t count = 0;

    for (size_t i = 0; i < now->link_count; i++)
        count += !scan_find_link(&network->told, now->links[i].index);
    return count;
}

/* What one message about new interfaces carries: TAPs, and as many of /dev/vhost-net or none. */
struct cards {
    struct tap taps[SCAN_LINKS_MAX];
    size_t tap_count;
    int vhost[SCAN_LINKS_MAX * TAP_QUEUES_MAX];
    bool has_vhost;
    int fds[2 * SCAN_LINKS_MAX * TAP_QUEUES_MAX]; /* of each interface its TAP's, then vhost's */
    size_t fd_count;
};

static void cards_close(struct cards *cards)
{
    for (size_t i = 0; i < cards->fd_count; i++)
        close(cards->fds[i]);
    cards->fd_count = 0;
}

/* Without it the machine moves the packets itself: that is worth a line, no more. */
static void open_vhost(struct network *network, struct cards *cards, size_t count)
{
    size_t queues = count * network->queues;
    struct error reason;

    cards->has_vhost = false;
    if (!network->vhost || count == 0)
        return;
    if (2 * queues >= FD_MESSAGE_MAX)
        error_set(&reason, E2BIG, "vhost-net: %zu queues are too many at once", queues);
    else if (vhost_open(cards->vhost, queues, &reason) == 0)
        cards->has_vhost = true;
    else
        network->vhost = false;
    if (!cards->has_vhost) {
        char line[sizeof(reason.message) + 64];

        snprintf(line, sizeof(line), "%s: packets are moved by vmrt-vmm", reason.message);
        network->warn(line);
    }
}

static void give_card(struct cards *cards, const struct tap *tap)
{
    size_t first = cards->tap_count * tap->queues;

    for (unsigned int queue = 0; queue < tap->queues; queue++)
        cards->fds[cards->fd_count++] = tap->fds[queue];
    for (unsigned int queue = 0; cards->has_vhost && queue < tap->queues; queue++)
        cards->fds[cards->fd_count++] = cards->vhost[first + queue];
    cards->tap_count++;
}

/* Cards for the interfaces of @now that are new, in their order. */
static int join_new(struct network *network, const struct scan *now, struct cards *cards,
                    struct error *err)
{
    size_t count = count_new(network, now);

    cards->tap_count = cards->fd_count = 0;
    open_vhost(network, cards, count);
    for (size_t i = 0; i < now->link_count; i++) {
        int ret;

        if (scan_find_link(&network->told, now->links[i].index))
            continue;
        ret = join(network, &now->links[i], &cards->taps[cards->tap_count], err);
        if (ret < 0) {
            size_t given = cards->tap_count * network->queues;

            cards_close(cards);
            for (size_t k = given; cards->has_vhost && k < count * network->queues; k++)
                close(cards->vhost[k]);
            return ret;
        }
        give_card(cards, &cards->taps[cards->tap_count]);
    }
    return 0;
}

/* Those that the guest did not get after all. */
static void part_new(struct network *network, const struct scan *now)
{
    for (size_t i = 0; i < now->link_count; i++) {
        struct joint *joint = find_joint(network, now->links[i].index);

        if (!joint || scan_find_link(&network->told, now->links[i].index))
            continue;
        joint_part(network, joint);
        *joint = network->joints[--network->joint_count];
    }
}

/* Each once, however often the rest has to be begun anew. */
static void warn_of_skipped(struct network *network, const struct scan *now)
{
    for (size_t i = 0; i < now->skipped_count; i++) {
        bool known = false;
        char line[160];

        for (size_t j = 0; j < network->told.skipped_count; j++)
            known = known || network->told.skipped[j].index == now->skipped[i].index;
        if (known)
            continue;
        snprintf(line, sizeof(line), "interface %s is not passed to the virtual machine: %s",
                 now->skipped[i].name, now->skipped[i].reason);
        network->warn(line);
    }
    memcpy(network->told.skipped, now->skipped, sizeof(now->skipped));
    network->told.skipped_count = now->skipped_count;
}

static int tell(struct network *network, const struct scan *now, const struct cards *cards,
                struct error *err)
{
    const struct message_cards kind = { network->queues, cards->has_vhost };
    struct protocol_writer writer = { 0 };
    bool resolver = network->resolver == RESOLVER_STARTED;
    int ret = message_build(&writer, &network->told, now, &kind, resolver, err);

    network->again = ret < 0;
    if (ret == 1)
        ret = message_send(network->control, &writer, cards->fds, cards->fd_count, err);
    free(writer.data);
    if (ret >= 0 && resolver)
        network->resolver = RESOLVER_TOLD;
    return ret;
}

/*
 * An engine that has a name server in the namespace starts it before it adds the interface that
 * leads to the network with the names (libnetwork, sbJoin()): so the first reading finds it, or the
 * one that finds the new interface does.
 */
static void follow_resolver(struct network *network)
{
    struct error reason = { 0 };

    if (network->resolver != RESOLVER_NONE || !resolver_is_there())
        return;
    network->resolver = RESOLVER_STARTED;
    if (resolver_start(network->control, &reason) == 0)
        return;
    network->resolver = RESOLVER_FAILED;
    network->warn(reason.message);
}

/* After the guest was told of the range as it was. */
static void reserve_ports(struct network *network)
{
    if (sysctl_reserve_ports(network->ports_before) < 0)
        network->warn("net.ipv4.ip_local_port_range cannot be set: the engine's own questions to "
                      "name servers may stay without an answer");
}

/* The guest is told that the interfaces are gone that @after has, but not @before. */
static int retract(const struct network *network, const struct scan *before,
                   const struct scan *after, struct error *err)
{
    struct protocol_writer writer = { 0 };
    int ret = message_build_retraction(&writer, before, after);

    if (ret == 0)
        ret = message_send(network->control, &writer, NULL, 0, err);
    else
        ret = error_set(err, -ret, "message to the virtual machine: %s", strerror(-ret));
    free(writer.data);
    return ret;
}

/*
 * New interfaces did not get through. Some of them may have: all are taken back, so that both sides
 * know where they are.
 */
static void refuse_new(struct network *network, const struct scan *now)
{
    struct error ignored;

    part_new(network, now);
    for (size_t i = 0; i < now->link_count; i++) {
        if (scan_find_link(&network->told, now->links[i].index))
            continue;
        /* Full of interfaces that are long gone. */
        if (network->refused_count == SCAN_LINKS_MAX)
            network->refused_count = 0;
        network->refused[network->refused_count++] = now->links[i];
    }
    (void)retract(network, &network->told, now, &ignored);
}

/* What the guest has after all is tried like any other, when it is as it was when it was refused.
 */
static void forgive(struct network *network)
{
    for (size_t i = 0; i < network->refused_count;) {
        if (scan_find_link(&network->told, network->refused[i].index))
            network->refused[i] = network->refused[--network->refused_count];
        else
            i++;
    }
}

static bool has_gone(const struct network *network, const struct scan *now)
{
    for (size_t i = 0; i < network->told.link_count; i++)
        if (!scan_find_link(now, network->told.links[i].index))
            return true;
    return false;
}

/* A service for those within the namespace; the network is there without it. */
static void follow_local(struct network *network, const struct scan *now)
{
    int taps[SCAN_LINKS_MAX] = { 0 };
    struct error reason = { 0 };

    for (size_t i = 0; i < now->link_count; i++) {
        const struct joint *joint = find_joint(network, now->links[i].index);

        taps[i] = joint ? joint->redirect.tap : 0;
    }
    if (local_follow(&network->local, &network->kernel, now, taps, &reason) < 0)
        network->warn(reason.message);
}

/* TAPs, redirects, and the message about all that is different in @now. */
static int sync_with(struct network *network, const struct scan *now, struct error *err)
{
    static struct cards cards;
    int ret;

    warn_of_skipped(network, now);
    follow_resolver(network);
    forget_joints(network, now);
    follow_mtu(network, now);
    /* The device slots of those that went may be the ones that those that came will need. */
    if (has_gone(network, now) && count_new(network, now)) {
        ret = retract(network, now, &network->told, err);
        if (ret < 0)
            return ret;
    }
    ret = join_new(network, now, &cards, err);
    if (ret == 0)
        ret = tell(network, now, &cards, err);
    cards_close(&cards);
    if (ret == 0)
        follow_local(network, now);
    return ret;
}

/*
 * Reads the namespace into @now and passes it on. Return: 0, or a negative errno with @now kept, if
 * it could be read.
 */
static int sync_once(struct network *network, struct scan *now, struct error *err)
{
    bool first = !network->told.sorted;
    int ret = scan_take(now, &network->kernel, network->refused, network->refused_count, err);

    network->stale = false;
    /* What is too much stays so until something changes. */
    network->again = ret < 0 && ret != -E2BIG && ret != -EFBIG;
    if (ret < 0)
        return ret;
    if (first && now->machine[0])
        return error_set(err, EBUSY,
                         "network namespace: another virtual machine is using it (interface %s)",
                         now->machine);
    return sync_with(network, now, err);
}

int network_sync(struct network *network, struct error *err)
{
    static struct scan now;
    bool first = !network->told.sorted;
    int ret = sync_once(network, &now, err);

    for (int i = 1; network->stale && i < STALE_MAX; i++) {
        part_new(network, &now);
        scan_free(&now);
        ret = sync_once(network, &now, err);
    }
    if (!now.sorted)
        return ret;
    /* Nobody has heard of @now: what was told before is still what the guest knows. */
    if (ret < 0 && (first || network->again)) {
        part_new(network, &now);
        scan_free(&now);
        return ret;
    }
    if (first)
        reserve_ports(network);
    if (ret < 0 && ret != -ECONNRESET && count_new(network, &now)) {
        struct error again = { 0 };

        refuse_new(network, &now);
        scan_free(&now);
        /*
         * The others are not to suffer for it. There is a third time only for interfaces that came,
         * or changed, meanwhile.
         */
        network_sync(network, &again);
        return ret;
    }
    scan_free(&network->told);
    network->told = now;
    memset(&now, 0, sizeof(now));
    forgive(network);
    return ret;
}

/*
 * Return: whether something has changed, or there is something to try again; false: the machine has
 * ended.
 */
static bool wait_for_change(const struct network *network)
{
    struct pollfd fds[2] = { { .fd = network->kernel.events_fd, .events = POLLIN },
                             { .fd = network->control, .events = POLLIN } };

    for (;;) {
        int ready = poll(fds, 2, network->again ? AGAIN_MS : -1);

        if (ready == 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
        /* vmrt-vmm says nothing unasked: it is the end. */
        if (fds[1].revents)
            return false;
        if (fds[0].revents)
            return true;
    }
}

static void wait_for_quiet(struct network *network)
{
    struct pollfd events = { .fd = network->kernel.events_fd, .events = POLLIN };

    for (int waited = 0; waited < BURST_MS; waited += QUIET_MS) {
        kernel_drain_events(&network->kernel);
        if (poll(&events, 1, QUIET_MS) <= 0)
            return;
    }
}

void network_watch(struct network *network)
{
    struct error said = { 0 };

    while (wait_for_change(network)) {
        struct error reason = { 0 };
        int ret;

        wait_for_quiet(network);
        ret = network_sync(network, &reason);
        if (ret == -ECONNRESET)
            break;
        /* What fails for the same reason each second is said once. */
        if (ret < 0 && strcmp(reason.message, said.message) != 0)
            network->warn(reason.message);
        said = network->again ? reason : (struct error) { 0 };
    }
}

void network_undo(struct network *network)
{
    local_undo(&network->local, &network->kernel);
    while (network->joint_count > 0)
        joint_part(network, &network->joints[--network->joint_count]);
    sysctl_restore_ports(network->ports_before);
    network->ports_before[0] = '\0';
}

int network_clean(struct error *err)
{
    static struct scan now;
    struct kernel kernel;
    int ret = kernel_open(&kernel, err);

    if (ret < 0)
        return ret;
    ret = scan_take(&now, &kernel, NULL, 0, err);
    if (ret == 0 && !now.machine[0]) {
        for (size_t i = 0; i < now.link_count; i++)
            redirect_clear(&kernel, now.links[i].index);
        /* They may have been passed before they became what they are. */
        for (size_t i = 0; i < now.skipped_count; i++)
            redirect_clear(&kernel, now.skipped[i].index);
        local_clear(&kernel);
        sysctl_free_ports();
    }
    scan_free(&now);
    kernel_close(&kernel);
    return ret;
}

void network_close(struct network *network)
{
    scan_free(&network->told);
    kernel_close(&network->kernel);
}
