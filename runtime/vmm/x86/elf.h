/* Reading an uncompressed ELF kernel straight into guest memory. */
#ifndef VMRT_VMM_X86_ELF_H
#define VMRT_VMM_X86_ELF_H

#include <stdint.h>

#include "lib/error.h"
#include "vmm/memory.h"

struct elf_kernel {
    uint32_t entry; /* physical address of the PVH entry (XEN_ELFNOTE_PHYS32_ENTRY) */
    uint64_t start; /* address of the first segment */
    uint64_t end;   /* first address behind the last segment */
};

/**
 * elf_load() - check the file and read each PT_LOAD segment to its physical address.
 * @limit: first guest physical address that must stay free (the initramfs).
 * Return: 0, -ENOEXEC for anything but a 64-bit x86 ELF with a PVH note, -ENOMEM when a segment
 * does not fit below @limit, or -errno.
 */
int elf_load(int fd, const char *name, const struct guest_memory *memory, uint64_t limit,
             struct elf_kernel *kernel, struct error *err);

#endif
