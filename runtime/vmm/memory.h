/* Guest memory: the one place where guest physical addresses become pointers. */
#ifndef VMRT_VMM_MEMORY_H
#define VMRT_VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define MEMORY_REGIONS_MAX 4

struct memory_region {
    uint64_t gpa;  /* guest physical address of the first byte */
    uint64_t size; /* bytes */
    uint8_t *hva;  /* where it is mapped in this process */
};

struct guest_memory {
    struct memory_region regions[MEMORY_REGIONS_MAX];
    unsigned int count;
};

/**
 * memory_create() - map anonymous, private, not dumpable RAM for the guest.
 * @size: bytes, a multiple of the page size. Placed from address 0 up to the device hole
 *        (MEMORY_HOLE_START), the rest from 4 GiB up.
 * Return: 0 or -errno.
 */
int memory_create(struct guest_memory *memory, uint64_t size, struct error *err);
void memory_destroy(struct guest_memory *memory);

/* No RAM in [3 GiB, 4 GiB): device windows and interrupt controllers live there. */
#define MEMORY_HOLE_START 0xc0000000ull
#define MEMORY_HOLE_END   0x100000000ull

/**
 * memory_translate() - pointer to @length bytes of guest memory at @gpa.
 *
 * The whole range must lie in one region (CVE-2019-18960: a range across two regions is not
 * contiguous in the host). @length 0 is allowed inside a region.
 *
 * Return: pointer, or NULL.
 */
static inline void *memory_translate(const struct guest_memory *memory, uint64_t gpa,
                                     uint64_t length)
{
    for (unsigned int i = 0; i < memory->count; i++) {
        const struct memory_region *r = &memory->regions[i];

        if (gpa >= r->gpa && gpa - r->gpa < r->size && length <= r->size - (gpa - r->gpa))
            return r->hva + (gpa - r->gpa);
    }
    return NULL;
}

#endif
