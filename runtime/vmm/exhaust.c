/* Fills memory up to the control group's limit. */
#include "vmm/exhaust.h"

#include <stddef.h>
#include <sys/mman.h>

#define STEP (4u << 20)
#define PAGE 4096u

void exhaust_memory(uint32_t mib)
{
    for (uint64_t used = 0; used < (uint64_t)mib << 20; used += STEP) {
        volatile char *memory =
            mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            return;
        for (size_t at = 0; at < STEP; at += PAGE)
            memory[at] = 1;
    }
}
