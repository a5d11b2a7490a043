/*
 * Bare-metal guests that test the machine from inside. One program holds them all: the kernel
 * command line ends in payload=NAME. What a payload finds goes to the virtio console in slot 3; it
 * ends by a reset, and the words "payload NAME: ok" before it say that all went well.
 */
#ifndef VMRT_TEST_GUEST_PAYLOAD_H
#define VMRT_TEST_GUEST_PAYLOAD_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS     21u
#define SLOT_BASE 0xd0000000ull
#define SLOT_SIZE 0x1000ull

enum { SLOT_VSOCK, SLOT_FS, SLOT_RNG, SLOT_CONSOLE };

/* What payload_start_info points to (xen/include/public/arch-x86/hvm/start_info.h). */
struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, memory_map;
    uint32_t memory_map_entries, reserved;
};
extern const struct start_info *payload_start_info;

/* ---- ports, registers, ends ---- */

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t read32(uint64_t address)
{
    uint32_t value;

    __asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*(volatile uint32_t *)address));
    return value;
}

static inline void write32(uint64_t address, uint32_t value)
{
    __asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)address) : "r"(value));
}

static inline uint64_t slot_address(unsigned int slot, uint32_t offset)
{
    return SLOT_BASE + slot * SLOT_SIZE + offset;
}

static inline uint32_t slot_read(unsigned int slot, uint32_t offset)
{
    return read32(slot_address(slot, offset));
}

static inline void slot_write(unsigned int slot, uint32_t offset, uint32_t value)
{
    write32(slot_address(slot, offset), value);
}

/* The keyboard controller's reset line: how Linux ends after a panic here. */
_Noreturn void payload_reset(void);
_Noreturn void payload_triple_fault(void);
/* Says what was not so, and ends. */
_Noreturn void payload_fail(const char *what, uint64_t found);

#define EXPECT(found, expected)                                   \
    do {                                                          \
        uint64_t found_ = (found);                                \
        if (found_ != (uint64_t)(expected))                       \
            payload_fail(#found ", expected " #expected, found_); \
    } while (0)

/* ---- text ---- */

/* The compiler may call these, too. */
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);

void print(const char *text);
void print_number(uint64_t value);
void print_hex(uint64_t value);

/* ---- a driver ---- */

#define RING_MAX 64u

struct ring {
    struct vring_desc desc[RING_MAX];
    struct {
        uint16_t flags, idx, ring[RING_MAX], used_event;
    } avail;
    struct {
        uint16_t flags, idx;
        struct vring_used_elem ring[RING_MAX];
        uint16_t avail_event;
    } used __attribute__((aligned(4)));
} __attribute__((aligned(4096)));

/* Resets the device and negotiates up to FEATURES_OK. Return: whether the device agreed. */
bool driver_begin(unsigned int slot, uint64_t features);
/* Gives queue @queue the ring's memory. */
void driver_queue(unsigned int slot, uint32_t queue, struct ring *ring, uint32_t size);
void driver_ok(unsigned int slot);
/* Puts descriptor chain @head into the available ring and notifies. */
void driver_submit(unsigned int slot, uint32_t queue, struct ring *ring, uint32_t size,
                   uint16_t head);
/* Waits until the device has returned all that was submitted. Return: false after a few seconds. */
bool driver_wait(const struct ring *ring);

static inline uint32_t driver_status(unsigned int slot)
{
    return slot_read(slot, VIRTIO_MMIO_STATUS);
}

/* ---- payloads ---- */

struct payload {
    const char *name;
    void (*run)(void);
};

void run_reset(void);
void run_triple_fault(void);
void run_internal_error(void);
void run_idle(void);
void run_ticks(void);
void run_probe(void);
void run_rng(void);
void run_boot_information(void);
void run_two_cpus(void);
void run_race(void);
void run_queues(void);
void run_registers(void);
void run_outside(void);
void run_ports(void);
void run_notify(void);
void run_chaos(void);
void run_init(void);
void run_init_flood(void);

/* Starts the other CPUs in @body, which must not return. Return: how many came. */
unsigned int start_cpus(unsigned int count, void (*body)(void));
void payload_second_cpu(void);

#endif
