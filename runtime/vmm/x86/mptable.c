/* The MP table: one floating pointer, one configuration table, written once before boot. */
#include "vmm/x86/mptable.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/x86/layout.h"

/* MP specification 1.4, chapter 4. */
struct floating_pointer {
    char signature[4];
    uint32_t table;
    uint8_t length; /* in 16-byte units */
    uint8_t revision;
    uint8_t checksum;
    uint8_t features[5];
} __attribute__((packed));

struct table_header {
    char signature[4];
    uint16_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem[8];
    char product[12];
    uint32_t oem_table;
    uint16_t oem_size;
    uint16_t entries;
    uint32_t lapic;
    uint16_t extended_length;
    uint8_t extended_checksum;
    uint8_t reserved;
} __attribute__((packed));

struct processor_entry {
    uint8_t type, apic_id, apic_version, flags;
    uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct bus_entry {
    uint8_t type, id;
    char name[6];
} __attribute__((packed));

struct ioapic_entry {
    uint8_t type, id, version, flags;
    uint32_t address;
} __attribute__((packed));

struct interrupt_entry {
    uint8_t type, kind;
    uint16_t flags;
    uint8_t source_bus, source_irq, apic_id, pin;
} __attribute__((packed));

enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IO_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum { KIND_INT = 0, KIND_NMI = 1, KIND_EXTINT = 3 };
enum { PROCESSOR_ENABLED = 1, PROCESSOR_BOOT = 2 };

#define APIC_VERSION 0x14

_Static_assert(sizeof(struct floating_pointer) == 16 && sizeof(struct table_header) == 44 &&
                   sizeof(struct processor_entry) == 20 && sizeof(struct interrupt_entry) == 8,
               "MP specification 1.4, chapter 4");

static uint8_t checksum(const void *data, size_t length)
{
    const uint8_t *p = data;
    uint8_t sum = 0;

    while (length--)
        sum = (uint8_t)(sum + *p++);
    return (uint8_t)-sum;
}

struct cursor {
    uint8_t *at;
    uint16_t entries;
};

static void append(struct cursor *cursor, const void *entry, size_t length)
{
    memcpy(cursor->at, entry, length);
    cursor->at += length;
    cursor->entries++;
}

int mptable_write(const struct guest_memory *memory, unsigned int cpus)
{
    size_t length = sizeof(struct table_header) + cpus * sizeof(struct processor_entry) +
                    sizeof(struct bus_entry) + sizeof(struct ioapic_entry) +
                    (LAYOUT_IOAPIC_PINS + 2) * sizeof(struct interrupt_entry);
    uint8_t *base = memory_translate(memory, LAYOUT_MPTABLE, LAYOUT_MPTABLE_SIZE);
    struct floating_pointer pointer = {
        .signature = "_MP_", .table = LAYOUT_MPTABLE + sizeof(pointer), .length = 1, .revision = 4
    };
    struct table_header header = { .signature = "PCMP",
                                   .length = (uint16_t)length,
                                   .revision = 4,
                                   .oem = { 'V', 'M', 'R', 'T', ' ', ' ', ' ', ' ' },
                                   .product = { 'm', 'i', 'c', 'r', 'o', 'v', 'm', ' ', ' ', ' ',
                                                ' ', ' ' },
                                   .lapic = LAYOUT_LAPIC };
    uint8_t *table;
    struct cursor cursor;

    if (!base || sizeof(pointer) + length > LAYOUT_MPTABLE_SIZE)
        return -E2BIG;
    table = base + sizeof(pointer);
    cursor = (struct cursor) { .at = table + sizeof(header) };
    for (unsigned int i = 0; i < cpus; i++) {
        struct processor_entry entry = { .type = ENTRY_PROCESSOR,
                                         .apic_id = (uint8_t)i,
                                         .apic_version = APIC_VERSION,
                                         .flags = PROCESSOR_ENABLED | (i ? 0 : PROCESSOR_BOOT),
                                         .signature = 0x600,
                                         .features = 0x201 /* FPU, APIC */ };
        append(&cursor, &entry, sizeof(entry));
    }
    append(&cursor, &(struct bus_entry) { ENTRY_BUS, 0, { 'I', 'S', 'A', ' ', ' ', ' ' } },
           sizeof(struct bus_entry));
    append(&cursor,
           &(struct ioapic_entry) { ENTRY_IOAPIC, (uint8_t)cpus, APIC_VERSION, 1, LAYOUT_IOAPIC },
           sizeof(struct ioapic_entry));
    for (uint8_t pin = 0; pin < LAYOUT_IOAPIC_PINS; pin++)
        append(&cursor,
               &(struct interrupt_entry) { ENTRY_IO_INTERRUPT, KIND_INT, 0, 0, pin, (uint8_t)cpus,
                                           pin },
               sizeof(struct interrupt_entry));
    append(&cursor, &(struct interrupt_entry) { ENTRY_LOCAL_INTERRUPT, KIND_EXTINT, 0, 0, 0, 0, 0 },
           sizeof(struct interrupt_entry));
    append(&cursor, &(struct interrupt_entry) { ENTRY_LOCAL_INTERRUPT, KIND_NMI, 0, 0, 0, 0xff, 1 },
           sizeof(struct interrupt_entry));
    header.entries = cursor.entries;
    memcpy(table, &header, sizeof(header));
    table[offsetof(struct table_header, checksum)] = checksum(table, length);
    pointer.checksum = checksum(&pointer, sizeof(pointer));
    memcpy(base, &pointer, sizeof(pointer));
    return 0;
}
