/* The ways a machine ends, and what it was told when it began. */
#include "payload.h"

void run_reset(void)
{
    payload_reset();
}

void run_triple_fault(void)
{
    payload_triple_fault();
}

/* An instruction that a KVM without hardware support does not know. */
void run_internal_error(void)
{
    uint64_t bits = 0x1111;

    print("popcnt:\n");
    __asm__ volatile("popcnt %0, %0" : "+r"(bits));
    EXPECT(bits, 4);
}

void run_idle(void)
{
    print("idle\n");
    for (;;)
        __asm__ volatile("hlt");
}

struct map_entry {
    uint64_t address, size;
    uint32_t type, reserved;
};

struct module {
    uint64_t address, size, cmdline, reserved;
};

void run_boot_information(void)
{
    const struct start_info *info = payload_start_info;
    const struct map_entry *map = (const struct map_entry *)info->memory_map;
    const struct module *module = (const struct module *)info->modules;
    uint64_t ram = 0, end = 0;

    EXPECT(info->magic, 0x336ec578);
    EXPECT(info->version, 1);
    for (uint32_t i = 0; i < info->memory_map_entries; i++) {
        volatile uint64_t *last =
            (volatile uint64_t *)(map[i].address + map[i].size - sizeof(uint64_t));

        if (i > 0)
            EXPECT(map[i].address >= end, 1);
        end = map[i].address + map[i].size;
        if (map[i].type != 1)
            continue;
        ram += map[i].size;
        /* What is said to be RAM is RAM, to its last byte; higher than we map is not tried. */
        if (end > 1ull << 32)
            continue;
        uint64_t before = *last;
        *last = 0x5a5a5a5aa5a5a5a5;
        EXPECT(*last, 0x5a5a5a5aa5a5a5a5);
        *last = before;
    }
    print("ram ");
    print_number(ram >> 10);
    print(" KiB\nmodules ");
    print_number(info->module_count);
    print("\n");
    if (info->module_count == 0)
        return;
    EXPECT(info->module_count, 1);
    /* cpio's magic, and the module lies in RAM above this program. */
    const char *archive = (const char *)module->address;
    for (unsigned int i = 0; i < 6; i++)
        EXPECT(archive[i], "070701"[i]);
    EXPECT(module->address + module->size <= end, 1);
}
