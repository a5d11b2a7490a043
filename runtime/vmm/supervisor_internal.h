/* The machine as its parts see it: which device sits in which slot. */
#ifndef VMRT_VMM_SUPERVISOR_INTERNAL_H
#define VMRT_VMM_SUPERVISOR_INTERNAL_H

#include "lib/error.h"
#include "vmm/control_server.h"
#include "vmm/loop.h"
#include "vmm/machine.h"
#include "vmm/nics.h"
#include "vmm/plan.h"
#include "vmm/session.h"
#include "vmm/virtio/fs/device.h"
#include "vmm/virtio/vsock.h"

/*
 * Fixed places, so that a machine's shape does not depend on what a container asks for. One is kept
 * for a balloon; from SLOT_NICS to the end are the network interfaces.
 */
enum { SLOT_VSOCK, SLOT_FS, SLOT_RNG, SLOT_CONSOLE, SLOT_NICS = 5 };

_Static_assert(SLOT_COUNT - SLOT_NICS == 16, "as many interfaces as docs/networking.md promises");

struct supervisor {
    struct vm_plan *plan;
    struct machine machine;
    struct loop *loop;
    struct session *session;
    struct control_server *control;
    struct vsock *vsock;
    struct fs_server *fs_server;
    struct fs_device *fs;
    struct virtio_device *rng, *console;
    struct nics *nics; /* NULL: nobody will ask for interfaces */
    unsigned int net_workers;
    struct fs_share *shares;
    unsigned char *guest_plan;
    size_t guest_plan_length;
};

/* Everything that the guest finds in its slots (supervisor_devices.c). Return: 0 or -errno. */
int supervisor_create_devices(struct supervisor *s, struct error *err);

#endif
