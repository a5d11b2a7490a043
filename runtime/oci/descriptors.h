/*
 * Open files of the caller that the process is to have: --preserve-fds and LISTEN_FDS.
 *
 * Files do not cross into a virtual machine, bytes do: what is a stream of bytes is passed on as
 * one (a pipe, a connected stream socket, a file that is read or written from where it stands), and
 * everything else is refused by name.
 */
#ifndef VMRT_OCI_DESCRIPTORS_H
#define VMRT_OCI_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/protocol.h"
#include "lib/error.h"

struct descriptors {
    int fds[PROTOCOL_DESCRIPTORS_MAX];       /* the process's 3, 4 … */
    uint8_t kinds[PROTOCOL_DESCRIPTORS_MAX]; /* enum descriptor_kind */
    size_t count;
    size_t listen; /* how many of them sd_listen_fds(3) is to find */
};

/* Notes what the caller left open: before this process opens anything itself. */
void descriptors_note(void);

/**
 * descriptors_take() - decide which of the caller's files the process gets.
 * @preserve: --preserve-fds, or NULL.
 * @listen: LISTEN_FDS counts, too; its files come first, as with runc.
 * Return: 0; -EINVAL for what is no number or not open; -ENOTSUP naming the descriptor and what it
 * is. On failure there are none.
 */
int descriptors_take(const char *preserve, bool listen, struct descriptors *descriptors,
                     struct error *err);

/* Closes them: who holds the writing end of a pipe keeps its reader waiting. */
void descriptors_close(struct descriptors *descriptors);

/* Appends their FIELD_DESCRIPTORs and, for those of LISTEN_FDS, the variables that tell of them. */
void descriptors_put(struct protocol_writer *writer, const struct descriptors *descriptors);

#endif
