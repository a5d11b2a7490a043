/*
 * Network interfaces of the machine: each that the host describes gets a virtio-net device in a
 * free device slot. The workers that serve them are there from the beginning.
 */
#ifndef VMRT_VMM_NICS_H
#define VMRT_VMM_NICS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "vmm/machine.h"

struct nics;

/**
 * nics_create() - prepare for interfaces in the slots from @first_slot on.
 * @workers: threads that the caller will start, each in nics_serve().
 * Return: NULL with errno set on failure.
 */
struct nics *nics_create(struct machine *machine, unsigned int first_slot, unsigned int workers);

/* For tests: makes every worker return. */
void nics_stop(struct nics *nics);
/* For tests: every worker has returned; the interfaces and what they had are released. */
void nics_destroy(struct nics *nics);

/* In the thread of worker @index, before the sandbox. */
void nics_setup_worker(struct nics *nics, unsigned int index);
/* The body of worker @index; never returns unless epoll fails. */
void nics_serve(struct nics *nics, unsigned int index);

/**
 * nics_apply() - what a MESSAGE_NETWORK says about interfaces.
 * @message: the whole message; the slots of its FIELD_LINKs are filled in.
 * @fds:     what belongs to these, in order (control.h); taken over whatever is returned.
 *
 * Devices of FIELD_LINK are in their slots when this returns; the guest has to be told to bind
 * them. Those of FIELD_LINK_GONE have lost their link; their slots are free when the guest, which
 * is to be told of the message if this succeeds, has answered: see nics_answered().
 *
 * Return: 0; -EPROTO for a malformed message, -ENOSPC without a free slot, or -errno. Interfaces
 * that were made before the failure stay.
 */
int nics_apply(struct nics *nics, uint8_t *message, size_t length, const int *fds, size_t fd_count,
               struct error *err);

/* The guest has answered a message, well or badly, or it never will: once for each that succeeded.
 */
void nics_answered(struct nics *nics);

#endif
