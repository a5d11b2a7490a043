/* Guest RAM: anonymous mappings below and above the device hole. */
#include "vmm/memory.h"

#include <errno.h>
#include <sys/mman.h>

static int add_region(struct guest_memory *memory, uint64_t gpa, uint64_t size, struct error *err)
{
    struct memory_region *region = &memory->regions[memory->count];
    /* Aligned to 2 MiB so that the kernel can back it with huge pages: a cold boot touches some
     * 8,000 small pages, or 40 large ones. */
    const uint64_t align = 2u << 20;
    uint8_t *hva =
        mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t skip;

    if (hva == MAP_FAILED)
        return error_set_errno(err, "guest memory: reserve %llu MiB of address space",
                               (unsigned long long)(size >> 20));
    skip = (align - (uintptr_t)hva % align) % align;
    if (skip)
        munmap(hva, skip);
    munmap(hva + skip + size, align - skip);
    hva += skip;
    if (mprotect(hva, size, PROT_READ | PROT_WRITE) < 0) {
        int ret =
            error_set_errno(err, "guest memory: map %llu MiB", (unsigned long long)(size >> 20));
        munmap(hva, size);
        return ret;
    }
    /* Hints: the guest's secrets stay out of core files, and out of children. */
    madvise(hva, size, MADV_DONTDUMP);
    madvise(hva, size, MADV_DONTFORK);
    madvise(hva, size, MADV_HUGEPAGE);
    *region = (struct memory_region) { .gpa = gpa, .size = size, .hva = hva };
    memory->count++;
    return 0;
}

int memory_create(struct guest_memory *memory, uint64_t size, struct error *err)
{
    uint64_t low = size < MEMORY_HOLE_START ? size : MEMORY_HOLE_START;
    int ret;

    memory->count = 0;
    ret = add_region(memory, 0, low, err);
    if (ret == 0 && size > low)
        ret = add_region(memory, MEMORY_HOLE_END, size - low, err);
    if (ret < 0)
        memory_destroy(memory);
    return ret;
}

void memory_destroy(struct guest_memory *memory)
{
    for (unsigned int i = 0; i < memory->count; i++)
        munmap(memory->regions[i].hva, memory->regions[i].size);
    memory->count = 0;
}
