/* PVH boot (Xen docs/misc/pvh.pandoc): kernel, command line, memory map, MP table, entry. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch.h"
#include "vmm/x86/elf.h"
#include "vmm/x86/layout.h"
#include "vmm/x86/mptable.h"

#define START_MAGIC   0x336ec578u
#define E820_RAM      1u
#define E820_RESERVED 2u

/* xen/include/public/arch-x86/hvm/start_info.h, version 1. */
struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, memory_map;
    uint32_t memory_map_entries, reserved;
};

struct module {
    uint64_t address, size, cmdline, reserved;
};

struct map_entry {
    uint64_t address, size;
    uint32_t type, reserved;
};

_Static_assert(sizeof(struct start_info) == 56 && sizeof(struct module) == 32 &&
                   sizeof(struct map_entry) == 24,
               "start_info.h version 1");

int arch_format_cmdline(char *text, size_t size, bool console, const char *extra)
{
    /*
     * reboot=k, panic=-1: a panic ends in a write to the keyboard controller's reset line, which
     * tells it from a triple fault. What every guest needs besides is compiled into the kernel
     * (config/kernel/README.md): each word here costs the boot some 100,000 instructions.
     *
     * earlyprintk: hvc0 exists when its driver has found it, and what was said before is not
     * repeated there (the kernel registers the console before the port that it writes to).
     */
    int used =
        snprintf(text, size, "%s panic=-1 reboot=k",
                 console ? "console=hvc0 earlyprintk=serial loglevel=7" : "quiet loglevel=0");

    for (unsigned int i = 0; i < SLOT_COUNT && used > 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, " virtio_mmio.device=4K@0x%llx:%u",
                         ARCH_SLOT_BASE + i * ARCH_SLOT_SIZE, arch_slot_gsi(i));
    if (extra && used > 0 && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, " %s", extra);
    /* COMMAND_LINE_SIZE of the kernel, which cuts silently. */
    return used > 0 && (size_t)used < size && used < 2048 ? used : -EMSGSIZE;
}

uint64_t arch_initramfs_address(const struct guest_memory *memory, uint64_t size)
{
    const struct memory_region *low = &memory->regions[0];
    uint64_t pages = (size + 4095) & ~4095ull;

    return pages < low->size ? low->size - pages : 0;
}

static unsigned int write_memory_map(const struct guest_memory *memory)
{
    struct map_entry *map = memory_translate(memory, LAYOUT_MEMORY_MAP, 8 * sizeof(*map));
    unsigned int count = 0;

    map[count++] = (struct map_entry) { 0, LAYOUT_LOW_END, E820_RAM, 0 };
    map[count++] = (struct map_entry) { LAYOUT_MPTABLE, LAYOUT_MPTABLE_SIZE, E820_RESERVED, 0 };
    map[count++] = (struct map_entry) { LAYOUT_HIGH_MEMORY,
                                        memory->regions[0].size - LAYOUT_HIGH_MEMORY, E820_RAM, 0 };
    for (unsigned int i = 1; i < memory->count; i++)
        map[count++] =
            (struct map_entry) { memory->regions[i].gpa, memory->regions[i].size, E820_RAM, 0 };
    return count;
}

int arch_load_kernel(const struct guest_memory *memory, const struct boot_request *request,
                     struct boot *boot, struct error *err)
{
    size_t length = strlen(request->cmdline) + 1;
    uint64_t limit = request->initramfs_size ? request->initramfs : memory->regions[0].size;
    struct start_info info = { .magic = START_MAGIC, .version = 1 };
    struct elf_kernel kernel;
    int ret;

    if (memory->regions[0].size <= LAYOUT_HIGH_MEMORY)
        return error_set(err, ENOMEM, "too little memory: expected more than 1 MiB");
    if (length > LAYOUT_CMDLINE_MAX)
        return error_set(err, E2BIG, "kernel command line: expected at most %u bytes, found %zu",
                         LAYOUT_CMDLINE_MAX, length);
    ret = elf_load(request->kernel_fd, request->kernel_name, memory, limit, &kernel, err);
    if (ret < 0)
        return ret;
    memcpy(memory_translate(memory, LAYOUT_CMDLINE, length), request->cmdline, length);
    if (request->initramfs_size) {
        struct module module = { .address = request->initramfs, .size = request->initramfs_size };

        memcpy(memory_translate(memory, LAYOUT_MODULES, sizeof(module)), &module, sizeof(module));
        info.module_count = 1;
        info.modules = LAYOUT_MODULES;
    }
    info.cmdline = LAYOUT_CMDLINE;
    info.memory_map = LAYOUT_MEMORY_MAP;
    info.memory_map_entries = write_memory_map(memory);
    memcpy(memory_translate(memory, LAYOUT_START_INFO, sizeof(info)), &info, sizeof(info));
    ret = mptable_write(memory, request->cpus);
    if (ret < 0)
        return error_set(err, -ret, "%u CPUs do not fit into an MP table", request->cpus);
    *boot = (struct boot) { .entry = kernel.entry,
                            .kernel_start = kernel.start,
                            .kernel_end = kernel.end,
                            .info = LAYOUT_START_INFO };
    return 0;
}
