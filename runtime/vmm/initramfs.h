/* The initramfs: a cpio archive made in guest memory, holding init and what it needs to start. */
#ifndef VMRT_VMM_INITRAMFS_H
#define VMRT_VMM_INITRAMFS_H

#include <stdint.h>

#include "lib/error.h"

/* Bytes the archive takes for an init of @init_size bytes. */
uint64_t initramfs_size(uint64_t init_size);

/**
 * initramfs_write() - build the archive, reading init straight to its place.
 * @to: initramfs_size(@init_size) bytes.
 * Return: 0 or -errno.
 */
int initramfs_write(uint8_t *to, int init_fd, uint64_t init_size, struct error *err);

#endif
