/* Interfaces and the slots they have. */
#include "vmm/nics.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init/protocol.h"
#include "vmm/virtio/net.h"

struct nic {
    struct net *net;
    uint64_t index; /* the host's; 0: the slot is free */
};

struct nics {
    struct machine *machine;
    struct net_workers *workers;
    unsigned int first_slot;
    struct nic list[SLOT_COUNT];
};

/* A FIELD_LINK, decoded. */
struct link {
    uint64_t index, mtu, flags, queues;
    const uint8_t *mac; /* NULL: not given */
    uint8_t *slot;      /* where its number goes */
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

void nics_serve(struct nics *nics, unsigned int index)
{
    (void)net_worker_serve(nics->workers, index);
}

static int parse_link(struct protocol_reader fields, struct link *link, struct error *err)
{
    struct protocol_field field;
    bool bad = false;
    int ret;

    *link = (struct link) { .queues = 1 };
    while ((ret = protocol_next(&fields, &field)) == 1) {
        switch (field.tag) {
        case FIELD_LINK_INDEX:
            link->index = protocol_u64(&field, &bad);
            break;
        case FIELD_LINK_MTU:
            link->mtu = protocol_u64(&field, &bad);
            break;
        case FIELD_LINK_FLAGS:
            link->flags = protocol_u64(&field, &bad);
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
    if (ret < 0 || bad || !link->index || !link->slot || link->mtu > UINT32_MAX ||
        link->queues < 1 || link->queues > NET_PAIRS_MAX)
        return error_set(err, EPROTO, "network: malformed description of an interface");
    return 0;
}

static struct nic *find_nic(struct nics *nics, uint64_t index)
{
    for (unsigned int slot = nics->first_slot; slot < SLOT_COUNT; slot++)
        if (nics->list[slot].index == index)
            return &nics->list[slot];
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

static void store_slot(const struct link *link, unsigned int slot)
{
    uint64_t number = htole64(slot);

    if (link->slot)
        memcpy(link->slot, &number, sizeof(number));
}

/* Return: how many of @fds have been taken over, or -errno. */
static int add_link(struct nics *nics, const struct link *link, const int *fds, size_t fd_count,
                    struct error *err)
{
    struct nic *nic = find_nic(nics, 0);
    unsigned int slot = nic ? (unsigned int)(nic - nics->list) : 0;
    struct net_config config = {
        .memory = &nics->machine->memory,
        .workers = nics->workers,
        .tap_fds = fds,
        .pairs = (unsigned int)link->queues,
        .mac = link->mac,
        .mtu = (uint32_t)link->mtu,
        .link = (link->flags & IFF_UP) != 0,
    };
    int ret;

    if (find_nic(nics, link->index))
        return error_set(err, EEXIST, "network: interface %llu has been given already",
                         (unsigned long long)link->index);
    if (!nic)
        return error_set(err, ENOSPC, "network: a machine can have %u interfaces in its life",
                         SLOT_COUNT - nics->first_slot);
    if (fd_count < link->queues)
        return error_set(err, EPROTO, "network: expected %llu TAP descriptors, found %zu",
                         (unsigned long long)link->queues, fd_count);
    ret = probe(fds, link->queues, &config.offloads, err);
    if (ret == 0)
        ret = machine_prepare_slot(nics->machine, slot, err);
    if (ret < 0)
        return ret;
    config.kick_fd = nics->machine->slots[slot].kick_fd;
    config.interrupt_fd = nics->machine->slots[slot].interrupt_fd;
    ret = net_create(&nic->net, &config, err);
    if (ret < 0)
        return ret;
    nic->index = link->index;
    store_slot(link, slot);
    ret = machine_attach(nics->machine, slot, net_virtio(nic->net), err);
    if (ret < 0)
        net_detach(nic->net);
    return ret < 0 ? ret : (int)link->queues;
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
        /* The slot stays taken: the guest may still be looking at it. */
        nic->index = UINT64_MAX;
    }
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
    return ret < 0 ? ret : 0;
}
