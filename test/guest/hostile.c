/* What no driver does: the machine must shrug it off and end as any other. */
#include "payload.h"

static struct ring ring;
static uint8_t buffer[4096] __attribute__((aligned(4096)));

#define VERSION_1 (1ull << VIRTIO_F_VERSION_1)
#define INDIRECT  (1ull << VIRTIO_RING_F_INDIRECT_DESC)

/* ---- queues ---- */

static void fill_ring(void)
{
    for (unsigned int i = 0; i < 4; i++)
        ring.desc[i] = (struct vring_desc) { .addr = (uint64_t)buffer,
                                             .len = 64,
                                             .flags = VRING_DESC_F_WRITE };
}

/* The rng with a queue of 4 that works; then the test breaks it. */
static void good_queue(uint64_t features)
{
    EXPECT(driver_begin(SLOT_RNG, VERSION_1 | features), 1);
    driver_queue(SLOT_RNG, 0, &ring, 4);
    driver_ok(SLOT_RNG);
    fill_ring();
}

static void expect_works(void)
{
    driver_submit(SLOT_RNG, 0, &ring, 4, 0);
    EXPECT(driver_wait(&ring), 1);
    EXPECT(driver_status(SLOT_RNG) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

/* Notifies and waits until the device asks for a reset; then it works again after one. */
static void expect_broken(const char *what)
{
    unsigned int waited = 0;

    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    while (!(driver_status(SLOT_RNG) & VIRTIO_CONFIG_S_NEEDS_RESET) && waited++ < 20000)
        ;
    if (waited >= 20000)
        payload_fail(what, driver_status(SLOT_RNG));
    good_queue(0);
    expect_works();
}

static void bad_descriptors(void)
{
    static const struct {
        const char *what;
        struct vring_desc desc;
    } bad[] = {
        { "outside memory", { 0x30000000000, 64, VRING_DESC_F_WRITE, 0 } },
        { "in the device hole", { 0xd0000000, 64, VRING_DESC_F_WRITE, 0 } },
        { "over the end of memory", { (64u << 20) - 8, 64, VRING_DESC_F_WRITE, 0 } },
        { "around the end of addresses", { ~0ull - 7, 64, VRING_DESC_F_WRITE, 0 } },
        { "of 4 GiB", { 0x100000, 0xffffffff, VRING_DESC_F_WRITE, 0 } },
        { "that follows itself", { 0x200000, 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 0 } },
        { "with a next outside", { 0x200000, 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 4 } },
        { "with a next far away", { 0x200000, 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 65535 } },
        { "indirect, not negotiated", { 0x200000, 64, VRING_DESC_F_INDIRECT, 0 } },
    };

    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        good_queue(0);
        ring.desc[0] = bad[i].desc;
        driver_submit(SLOT_RNG, 0, &ring, 4, 0);
        expect_broken(bad[i].what);
    }
}

static void bad_indirect_tables(void)
{
    static struct vring_desc table[4];

    for (unsigned int i = 0; i < 4; i++) {
        good_queue(INDIRECT);
        table[0] =
            (struct vring_desc) { (uint64_t)buffer, 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 0 };
        ring.desc[0] =
            (struct vring_desc) { (uint64_t)table, sizeof(table), VRING_DESC_F_INDIRECT, 0 };
        if (i == 0)
            ring.desc[0].len = 15;
        if (i == 1)
            ring.desc[0].addr = 0xfffffffffffffff0;
        if (i == 2)
            table[0].flags = VRING_DESC_F_INDIRECT;
        driver_submit(SLOT_RNG, 0, &ring, 4, 0);
        expect_broken("indirect table");
    }
}

static void bad_rings(void)
{
    static const uint64_t addresses[] = { 0x30000000000, 0xd0000000,    (64u << 20) - 8,
                                          ~0ull,         ~0ull - 0xfff, 1 };
    static const uint32_t sizes[] = { 0, 3, 5, 65535, 65536, 65540, 0x80000000, 0xffffffff };
    static const uint32_t registers[] = { VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                                          VIRTIO_MMIO_QUEUE_USED_LOW };

    for (unsigned int r = 0; r < 3; r++)
        for (unsigned int i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
            EXPECT(driver_begin(SLOT_RNG, VERSION_1), 1);
            driver_queue(SLOT_RNG, 0, &ring, 4);
            slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY, 0);
            slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NUM, 4);
            for (unsigned int other = 0; other < 3; other++)
                slot_write(SLOT_RNG, registers[other], 0x200000 + 0x1000 * other);
            slot_write(SLOT_RNG, registers[r], (uint32_t)addresses[i]);
            slot_write(SLOT_RNG, registers[r] + 4, (uint32_t)(addresses[i] >> 32));
            slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY, 1);
            EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY), 0);
            driver_ok(SLOT_RNG);
            slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        }
    for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EXPECT(driver_begin(SLOT_RNG, VERSION_1), 1);
        driver_queue(SLOT_RNG, 0, &ring, sizes[i]);
        EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY), 0);
        driver_ok(SLOT_RNG);
        slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    }
}

void run_queues(void)
{
    good_queue(0);
    expect_works();
    /* The settings of a queue are frozen once it is ready, and more so once it is in use. */
    EXPECT(driver_begin(SLOT_RNG, VERSION_1), 1);
    driver_queue(SLOT_RNG, 0, &ring, 4);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NUM, 8);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0xffff);
    driver_ok(SLOT_RNG);
    fill_ring();
    for (unsigned int i = 0; i < 6; i++) {
        driver_submit(SLOT_RNG, 0, &ring, 4, (uint16_t)(3 - i % 3));
        EXPECT(driver_wait(&ring), 1);
        EXPECT(ring.used.ring[i % 4].id, 3 - i % 3);
    }
    good_queue(0);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NUM, 0x8000);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xfffff000);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_USED_HIGH, 0xffffffff);
    slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_READY, 1);
    expect_works();
    static const uint16_t heads[] = { 4, 5, 0x7fff, 0xffff };
    for (unsigned int i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        good_queue(0);
        driver_submit(SLOT_RNG, 0, &ring, 4, heads[i]);
        expect_broken("head out of range");
    }
    static const uint16_t jumps[] = { 5, 0x8000, 0xffff };
    for (unsigned int i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        good_queue(0);
        __atomic_store_n(&ring.avail.idx, jumps[i], __ATOMIC_SEQ_CST);
        expect_broken("index that jumps");
    }
    bad_descriptors();
    bad_indirect_tables();
    bad_rings();
    good_queue(0);
    expect_works();
}

/* ---- registers ---- */

static void access_all_widths(uint64_t address)
{
    volatile uint8_t *p = (volatile uint8_t *)address;
    uint64_t value;

    __asm__ volatile("movb %1, %b0" : "=r"(value) : "m"(*p));
    __asm__ volatile("movw %1, %w0" : "=r"(value) : "m"(*(volatile uint16_t *)p));
    __asm__ volatile("movl %1, %k0" : "=r"(value) : "m"(*(volatile uint32_t *)p));
    __asm__ volatile("movq %1, %q0" : "=r"(value) : "m"(*(volatile uint64_t *)p));
    value = ~0ull;
    __asm__ volatile("movb %b1, %0" : "=m"(*p) : "q"(value));
    __asm__ volatile("movw %w1, %0" : "=m"(*(volatile uint16_t *)p) : "r"(value));
    __asm__ volatile("movl %k1, %0" : "=m"(*(volatile uint32_t *)p) : "r"(value));
    __asm__ volatile("movq %q1, %0" : "=m"(*(volatile uint64_t *)p) : "r"(value));
}

/* Every register and the configuration space, at every width and alignment, of every slot. */
void run_registers(void)
{
    static const uint32_t selections[] = {
        0, 1, 2, 7, 8, 9, 255, 0x7fffffff, 0x80000000, 0xffffffff
    };

    for (unsigned int i = 0; i < sizeof(selections) / sizeof(selections[0]); i++) {
        driver_begin(SLOT_RNG, VERSION_1);
        slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_SEL, selections[i]);
        EXPECT(slot_read(SLOT_RNG, VIRTIO_MMIO_QUEUE_NUM_MAX) == 0, selections[i] != 0);
        for (uint32_t reg = VIRTIO_MMIO_QUEUE_NUM; reg <= VIRTIO_MMIO_QUEUE_USED_HIGH; reg += 4)
            if (reg != VIRTIO_MMIO_STATUS)
                slot_write(SLOT_RNG, reg, 0xffffffff);
        slot_write(SLOT_RNG, VIRTIO_MMIO_DEVICE_FEATURES_SEL, selections[i]);
        slot_write(SLOT_RNG, VIRTIO_MMIO_DRIVER_FEATURES_SEL, selections[i]);
        slot_read(SLOT_RNG, VIRTIO_MMIO_DEVICE_FEATURES);
        slot_write(SLOT_RNG, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
    }
    for (unsigned int slot = 0; slot < SLOTS; slot++) {
        if (slot == SLOT_CONSOLE)
            continue;
        slot_write(slot, VIRTIO_MMIO_STATUS, 0xffffffff);
        for (uint32_t offset = 0; offset < 0x140; offset++)
            access_all_widths(slot_address(slot, offset));
        /* Up to the last byte, and from it into the next slot. */
        for (uint32_t offset = 0x140; offset < SLOT_SIZE - 8; offset += 61)
            access_all_widths(slot_address(slot, offset));
        if (slot + 1 != SLOT_CONSOLE)
            for (uint32_t offset = SLOT_SIZE - 8; offset < SLOT_SIZE; offset++)
                access_all_widths(slot_address(slot, offset));
        slot_write(slot, VIRTIO_MMIO_STATUS, 0);
    }
    good_queue(0);
    expect_works();
}

/* Addresses where nothing is. */
void run_outside(void)
{
    static const uint64_t addresses[] = {
        SLOT_BASE - 1, SLOT_BASE - 4, SLOT_BASE + SLOTS * SLOT_SIZE,
        0xc0000000,    0xcfffffff,    0xe0000000,
        0xfed00000,    0xfff00000,    64u << 20
    };

    for (unsigned int i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        access_all_widths(addresses[i]);
    EXPECT(read32(0xe0000000), 0xffffffff);
    EXPECT(read32(SLOT_BASE + SLOTS * SLOT_SIZE), 0xffffffff);
    good_queue(0);
    expect_works();
}

/* ---- ports ---- */

static void strings(uint16_t port)
{
    void *at = buffer;
    uint64_t count = 512;

    __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(port) : "memory");
    at = buffer, count = 512;
    __asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(port) : "memory");
    at = buffer, count = 512;
    __asm__ volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(port) : "memory");
    at = buffer, count = 512;
    __asm__ volatile("rep insl" : "+D"(at), "+c"(count) : "d"(port) : "memory");
}

/* Every port, read and written; what would be a reset is left to the end. */
void run_ports(void)
{
    for (unsigned int port = 0; port < 65536; port++) {
        /* KVM's own interrupt and timer chips are at some; they do not leave the kernel. */
        in8((uint16_t)port);
        if (port != 0x64)
            out8((uint16_t)port, (uint8_t)port);
    }
    EXPECT(in8(0x64), 0);
    EXPECT(in8(0x300), 0xff);
    for (unsigned int port = 0x300; port < 0x310; port++)
        strings((uint16_t)port);
    /* Close to a reset, but none. */
    out8(0x64, 0xff);
    out8(0x60, 0xfe);
    out8(0x65, 0xfe);
    good_queue(0);
    expect_works();
}

/* ---- floods ---- */

void run_notify(void)
{
    good_queue(0);
    for (uint32_t i = 0; i < 100000; i++)
        slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY, i * 0x01010101);
    /* Of another width, they leave the guest. */
    for (unsigned int i = 0; i < 2000; i++) {
        volatile uint16_t *notify =
            (volatile uint16_t *)slot_address(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY);
        *notify = (uint16_t)i;
    }
    for (unsigned int slot = 0; slot < SLOTS; slot++)
        slot_write(slot, VIRTIO_MMIO_QUEUE_NOTIFY, 0xffffffff);
    expect_works();
}

static uint32_t seed = 1;

/* xorshift; the same on every run. */
static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static const uint32_t written[] = {
    VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL,
    VIRTIO_MMIO_QUEUE_SEL,           VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_READY,
    VIRTIO_MMIO_QUEUE_NOTIFY,        VIRTIO_MMIO_INTERRUPT_ACK,   VIRTIO_MMIO_STATUS,
    VIRTIO_MMIO_QUEUE_DESC_LOW,      VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_USED_LOW,      VIRTIO_MMIO_SHM_SEL,
};

/* Rings of noise on a device that believes it is in use. */
static void noise(unsigned int slot)
{
    static struct ring noisy[3];

    driver_begin(slot, VERSION_1 | (next_random() & 3 ? INDIRECT : 0));
    for (unsigned int q = 0; q < 3; q++) {
        uint32_t size = 1u << next_random() % 7;

        driver_queue(slot, q, &noisy[q], size);
        for (unsigned int d = 0; d < size; d++)
            noisy[q].desc[d] = (struct vring_desc) {
                .addr = next_random() % 8 ? 0x200000 + next_random() % 0x3e00000 : next_random(),
                .len = next_random() % 8 ? next_random() % 5000 : next_random(),
                .flags = (uint16_t)(next_random() % 8 ? next_random() & 3 : next_random()),
                .next = (uint16_t)(next_random() % 16 ? next_random() % size : next_random()),
            };
        for (unsigned int i = 0; i < size; i++)
            noisy[q].avail.ring[i] = (uint16_t)(next_random() % size);
        noisy[q].avail.idx = (uint16_t)(next_random() % (size + 1));
        noisy[q].avail.flags = (uint16_t)(next_random() & 1);
    }
    driver_ok(slot);
    for (uint32_t q = 0; q < 4; q++)
        slot_write(slot, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

void run_chaos(void)
{
    for (unsigned int i = 0; i < 20000; i++) {
        unsigned int slot = next_random() % 5;

        if (slot == SLOT_CONSOLE)
            continue;
        if (i % 100 == 0)
            noise(slot);
        slot_write(slot, written[next_random() % (sizeof(written) / sizeof(written[0]))],
                   next_random() % 2 ? next_random() % 16 : next_random());
    }
    for (unsigned int slot = 0; slot < SLOTS; slot++)
        if (slot != SLOT_CONSOLE)
            slot_write(slot, VIRTIO_MMIO_STATUS, 0);
    good_queue(0);
    expect_works();
}
