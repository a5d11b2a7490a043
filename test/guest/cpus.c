/* More than one CPU, and two of them at the same device. */
#include "payload.h"

#define LAPIC       0xfee00000ull
#define LAPIC_SVR   0xf0
#define LAPIC_ICR   0x300
#define LAPIC_ICR_2 0x310
#define TRAMPOLINE  0x8000u

extern const uint8_t trampoline[], trampoline_end[];

static unsigned int arrived;
static void (*second_body)(void);

void payload_second_cpu(void)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    second_body();
    for (;;)
        __asm__ volatile("hlt");
}

static void spin(unsigned int rounds)
{
    while (rounds--)
        __asm__ volatile("pause");
}

/* Intel SDM vol. 3, 9.4.4: INIT to all but self, then SIPI twice. */
unsigned int start_cpus(unsigned int count, void (*body)(void))
{
    uint8_t *low = (uint8_t *)(uint64_t)TRAMPOLINE;

    for (size_t i = 0; i < (size_t)(trampoline_end - trampoline); i++)
        low[i] = trampoline[i];
    second_body = body;
    write32(LAPIC + LAPIC_SVR, 0x1ff);
    write32(LAPIC + LAPIC_ICR_2, 0);
    write32(LAPIC + LAPIC_ICR, 0xc4500);
    spin(20000);
    for (int i = 0; i < 2; i++) {
        write32(LAPIC + LAPIC_ICR_2, 0);
        write32(LAPIC + LAPIC_ICR, 0xc4600 | TRAMPOLINE >> 12);
        spin(2000);
    }
    for (unsigned int i = 0; i < 4000000 && __atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < count;
         i++)
        spin(1);
    return __atomic_load_n(&arrived, __ATOMIC_SEQ_CST);
}

static unsigned int turns[2];

/* Two CPUs that hand a number back and forth really run at the same time. */
static void answer_turns(void)
{
    for (;;) {
        unsigned int asked = __atomic_load_n(&turns[0], __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&turns[1], __ATOMIC_RELAXED) != asked)
            __atomic_store_n(&turns[1], asked, __ATOMIC_RELEASE);
        spin(1);
    }
}

void run_two_cpus(void)
{
    EXPECT(start_cpus(1, answer_turns), 1);
    for (unsigned int i = 1; i <= 100; i++) {
        unsigned int waited = 0;

        __atomic_store_n(&turns[0], i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&turns[1], __ATOMIC_ACQUIRE) != i && waited++ < 4000000)
            spin(1);
        EXPECT(turns[1], i);
    }
}

static struct ring ring;
static uint8_t bytes[4096];
static bool stop;

/* One CPU resets the device and sets it up again while the other notifies and breaks its ring. */
static void disturb(void)
{
    for (unsigned int i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY, i % 3);
        ring.avail.ring[i % 8] = (uint16_t)(i % 7 == 0 ? 0xffff : i % 8);
        __atomic_store_n(&ring.avail.idx, (uint16_t)(i * 3), __ATOMIC_RELEASE);
        if (i % 16 == 0)
            slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_SEL, i % 5);
        if (i % 64 == 0)
            slot_write(SLOT_RNG, VIRTIO_MMIO_STATUS, 0);
    }
}

void run_race(void)
{
    EXPECT(start_cpus(1, disturb), 1);
    for (unsigned int i = 0; i < 300; i++) {
        driver_begin(SLOT_RNG, 1ull << VIRTIO_F_VERSION_1);
        driver_queue(SLOT_RNG, 0, &ring, 8);
        for (unsigned int d = 0; d < 8; d++)
            ring.desc[d] = (struct vring_desc) { .addr = (uint64_t)bytes,
                                                 .len = sizeof(bytes),
                                                 .flags = VRING_DESC_F_WRITE };
        driver_ok(SLOT_RNG);
        slot_write(SLOT_RNG, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
}

static void spin_forever(void)
{
    for (;;)
        spin(1000);
}

/* Nothing here ever takes an interrupt, and one CPU has work at a device all the time. */
void run_ticks(void)
{
    EXPECT(start_cpus(2, spin_forever), 2);
    for (;;) {
        print("tick\n");
        spin(20000);
    }
}
