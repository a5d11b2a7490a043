/* Interfaces and the slots they have. */
#include "vmm/nics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init/protocol.h"
#include "vmm/report.h"
#include "vmm/virtio/net.h"

/*
 * A slot goes round: free, in use, gone (the interface is, but the guest may still be looking at
 * the device), and free again once the guest has let go of it.
 */
struct nic {
    struct net *net; /* NULL: the slot is free */
    uint64_t index;  /* the host's */
    bool gone;
};

struct nics {
    struct machine *machine;
    struct net_workers *workers;
    unsigned int first_slot;
    unsigned int asked; /* messages that the guest has not answered */
    struct nic list[SLOT_COUNT];
};

/* A FIELD_LINK, decoded. */
struct link {
    uint64_t index, queues;
    const uint8_t *mac; /* NULL: not given */
    uint8_t *slot;      /* where its number goes */
    bool carrier, vhost;
};

struct nics *nics_create(struct machine *machine, unsigned int first_slot, unsigned int workers)
{
    struct nics *nics = calloc(1, sizeof(*nics));

    if (!nics)
        return NULL;
    nics->machine = machine;
    nics->first_slot = first_slot;
    nics->workers = net_workers_create(workers);
    if (nics->workers)
        return nics;
    free(nics);
    return NULL;
}

void nics_setup_worker(struct nics *nics, unsigned int index)
{
    net_worker_setup(nics->workers, index);
}

void nics_serve(struct nics *nics, unsigned int index)
{
    (void)net_worker_serve(nics->workers, index);
}

static int parse_link(struct protocol_reader fields, struct link *link, struct error *err)
{
    struct protocol_field field;
    bool bad = false;
    int ret;

    *link = (struct link) { .queues = 1, .carrier = true };
    while ((ret = protocol_next(&fields, &field)) == 1) {
        switch (field.tag) {
        case FIELD_LINK_INDEX:
            link->index = protocol_u64(&field, &bad);
            break;
        case FIELD_LINK_VHOST:
            link->vhost = protocol_u64(&field, &bad) != 0;
            break;
        case FIELD_LINK_CARRIER:
            link->carrier = protocol_u64(&field, &bad) != 0;
            break;
        case FIELD_LINK_QUEUES:
            link->queues = protocol_u64(&field, &bad);
            break;
        case FIELD_LINK_MAC:
            link->mac = field.value.data;
            bad = bad || field.value.length != 6;
            break;
        case FIELD_LINK_SLOT:
            (void)protocol_u64(&field, &bad);
            /* The message is the caller's own copy. */
            link->slot = (uint8_t *)(uintptr_t)field.value.data;
            break;
        default:
            break;
        }
    }
    if (ret < 0 || bad || !link->index || !link->slot || link->queues < 1 ||
        link->queues > NET_PAIRS_MAX)
        return error_set(err, EPROTO, "network: malformed description of an interface");
    return 0;
}

/* @index: 0 for a free slot. */
static struct nic *find_nic(struct nics *nics, uint64_t index)
{
    for (unsigned int slot = nics->first_slot; slot < SLOT_COUNT; slot++) {
        struct nic *nic = &nics->list[slot];

        if (index ? nic->net && !nic->gone && nic->index == index : !nic->net)
            return nic;
    }
    return NULL;
}

/* All queues of one TAP must take the same offloads: those of the first are as good as any. */
static int probe(const int *fds, size_t count, uint32_t *offloads, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < count && ret == 0; i++)
        ret = net_probe_tap(fds[i], offloads, err);
    return ret;
}

/*
 * Without it the workers move the packets: that is worth a line, no more.
 * Return: whether the device is to have @fds.
 */
static bool probe_vhost(const struct nics *nics, const int *fds, size_t count)
{
    struct error why;
    int ret = 0;

    for (size_t i = 0; i < count && ret == 0; i++)
        ret = net_probe_vhost(fds[i], &nics->machine->memory, &why);
    if (ret < 0)
        report_warning("%s: packets are moved by vmrt-vmm", why.message);
    return ret == 0;
}

static void store_slot(const struct link *link, unsigned int slot)
{
    uint64_t number = htole64(slot);

    if (link->slot)
        memcpy(link->slot, &number, sizeof(number));
}

static int create_device(struct nics *nics, struct nic *nic, struct net_config *config,
                         struct error *err)
{
    unsigned int slot = (unsigned int)(nic - nics->list);
    int ret = machine_prepare_slot(nics->machine, slot, err);

    if (ret < 0)
        return ret;
    config->kick_fd = nics->machine->slots[slot].kick_fd;
    config->interrupt_fd = nics->machine->slots[slot].interrupt_fd;
    ret = net_create(&nic->net, config, err);
    if (ret < 0)
        machine_release_slot(nics->machine, slot);
    return ret;
}

/* Notifications of each queue wake the worker that serves it, if there are several. */
static int attach(struct nics *nics, const struct nic *nic, struct error *err)
{
    unsigned int slot = (unsigned int)(nic - nics->list);
    unsigned int count = net_kick_count(nic->net);
    int queue_fds[DEVICE_QUEUES_MAX];

    for (unsigned int queue = 0; queue < count; queue++)
        queue_fds[queue] = net_queue_kick_fd(nic->net, queue);
    return machine_attach_queues(nics->machine, slot, net_virtio(nic->net), queue_fds, count, err);
}

/* Nobody in the guest uses the device: the slot, its eventfds and the TAPs are released. */
static void release(struct nics *nics, struct nic *nic)
{
    unsigned int slot = (unsigned int)(nic - nics->list);

    machine_detach(nics->machine, slot);
    net_destroy(nic->net);
    machine_release_slot(nics->machine, slot);
    *nic = (struct nic) { 0 };
}

void nics_stop(struct nics *nics)
{
    net_workers_stop(nics->workers);
}

void nics_destroy(struct nics *nics)
{
    for (unsigned int slot = nics->first_slot; slot < SLOT_COUNT; slot++)
        if (nics->list[slot].net)
            release(nics, &nics->list[slot]);
    net_workers_destroy(nics->workers);
    free(nics);
}

/* Return: how many of @fds have been taken over, or -errno. */
static int add_link(struct nics *nics, const struct link *link, const int *fds, size_t fd_count,
                    struct error *err)
{
    struct nic *nic = find_nic(nics, 0);
    size_t needed = link->queues * (link->vhost ? 2 : 1);
    struct net_config config = {
        .memory = &nics->machine->memory,
        .workers = nics->workers,
        .tap_fds = fds,
        .pairs = (unsigned int)link->queues,
        .mac = link->mac,
        .link = link->carrier,
    };
    int ret;

    if (find_nic(nics, link->index))
        return error_set(err, EEXIST, "network: interface %llu has been given already",
                         (unsigned long long)link->index);
    if (!nic)
        return error_set(err, ENOSPC, "network: a machine can have %u interfaces at a time",
                         SLOT_COUNT - nics->first_slot);
    if (fd_count < needed)
        return error_set(err, EPROTO, "network: expected %zu descriptors, found %zu", needed,
                         fd_count);
    ret = probe(fds, link->queues, &config.offloads, err);
    if (link->vhost && ret == 0 && probe_vhost(nics, fds + link->queues, link->queues))
        config.vhost_fds = fds + link->queues;
    if (ret == 0)
        ret = create_device(nics, nic, &config, err);
    if (ret < 0)
        return ret;
    nic->index = link->index;
    store_slot(link, (unsigned int)(nic - nics->list));
    ret = attach(nics, nic, err);
    for (size_t i = link->queues; i < needed && ret == 0 && !config.vhost_fds; i++)
        close(fds[i]);
    if (ret == 0)
        return (int)needed;
    /* The descriptors stay the caller's: it closes all that nobody took. */
    net_forget_descriptors(nic->net);
    release(nics, nic);
    return ret;
}

static int drop_link(struct nics *nics, const struct protocol_field *field, struct error *err)
{
    bool bad = false;
    uint64_t index = protocol_u64(field, &bad);
    struct nic *nic = index ? find_nic(nics, index) : NULL;

    if (bad)
        return error_set(err, EPROTO, "network: malformed index of an interface");
    /* One that was never given is as gone as can be. */
    if (nic) {
        net_detach(nic->net);
        nic->gone = true;
    }
    return 0;
}

static int change_link(struct nics *nics, struct protocol_reader fields, struct error *err)
{
    struct protocol_field index, carrier;
    bool bad = protocol_find(fields, FIELD_LINK_INDEX, &index) != 1 ||
               protocol_find(fields, FIELD_LINK_CARRIER, &carrier) != 1;
    uint64_t number = bad ? 0 : protocol_u64(&index, &bad);
    bool up = !bad && protocol_u64(&carrier, &bad) != 0;
    struct nic *nic = number ? find_nic(nics, number) : NULL;

    if (bad)
        return error_set(err, EPROTO, "network: malformed change of an interface");
    if (nic)
        net_set_link(nic->net, up);
    return 0;
}

int nics_apply(struct nics *nics, uint8_t *message, size_t length, const int *fds, size_t fd_count,
               struct error *err)
{
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    struct link link;
    size_t used = 0;
    int ret = 0, more = 1;

    if (length < PROTOCOL_HEADER_SIZE || protocol_read_header(message, &header) < 0 ||
        header.type != MESSAGE_NETWORK || header.length != length - PROTOCOL_HEADER_SIZE)
        ret = error_set(err, EPROTO, "network: expected one message that describes it");
    fields = (struct protocol_reader) { message + PROTOCOL_HEADER_SIZE,
                                        ret < 0 ? 0 : length - PROTOCOL_HEADER_SIZE };
    while (ret >= 0 && (more = protocol_next(&fields, &field)) == 1) {
        if (field.tag == FIELD_LINK_GONE) {
            ret = drop_link(nics, &field, err);
        } else if (field.tag == FIELD_LINK_STATE) {
            ret = change_link(nics, field.value, err);
        } else if (field.tag == FIELD_LINK) {
            ret = parse_link(field.value, &link, err);
            if (ret == 0)
                ret = add_link(nics, &link, fds + used, fd_count - used, err);
            used += ret > 0 ? (size_t)ret : 0;
        }
    }
    if (ret >= 0 && more < 0)
        ret = error_set(err, EPROTO, "network: malformed fields");
    while (used < fd_count)
        close(fds[used++]);
    nics->asked += ret >= 0;
    return ret < 0 ? ret : 0;
}

void nics_answered(struct nics *nics)
{
    /* With another message under way it is not known whether that one takes the interface away. */
    if (--nics->asked > 0)
        return;
    for (unsigned int slot = nics->first_slot; slot < SLOT_COUNT; slot++)
        if (nics->list[slot].gone)
            release(nics, &nics->list[slot]);
}
