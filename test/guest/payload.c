/* What all payloads share: choosing one, text on the console, a small virtio driver. */
#include "payload.h"

static const struct payload payloads[] = {
    { "reset", run_reset },
    { "triple-fault", run_triple_fault },
    { "internal-error", run_internal_error },
    { "idle", run_idle },
    { "probe", run_probe },
    { "rng", run_rng },
    { "boot-information", run_boot_information },
    { "two-cpus", run_two_cpus },
    { "ticks", run_ticks },
    { "race", run_race },
    { "queues", run_queues },
    { "registers", run_registers },
    { "outside", run_outside },
    { "ports", run_ports },
    { "notify", run_notify },
    { "chaos", run_chaos },
    { "init", run_init },
    { "init-flood", run_init_flood },
};

static struct ring console;
static char console_text[4096];
static unsigned int console_used;
static bool console_ready;

void *memcpy(void *to, const void *from, size_t length)
{
    void *t = to;

    __asm__ volatile("rep movsb" : "+D"(t), "+S"(from), "+c"(length) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t length)
{
    void *t = to;

    __asm__ volatile("rep stosb" : "+D"(t), "+c"(length) : "a"(value) : "memory");
    return to;
}

/* ---- ends ---- */

_Noreturn void payload_reset(void)
{
    out8(0x64, 0xfe);
    for (;;)
        __asm__ volatile("hlt");
}

_Noreturn void payload_triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = { 0, 0 };

    __asm__ volatile("lidt %0\n\tud2" : : "m"(none));
    __builtin_unreachable();
}

_Noreturn void payload_fail(const char *what, uint64_t found)
{
    print("payload failed: ");
    print(what);
    print(", found ");
    print_hex(found);
    print("\n");
    payload_reset();
}

/* ---- driver ---- */

bool driver_begin(unsigned int slot, uint64_t features)
{
    slot_write(slot, VIRTIO_MMIO_STATUS, 0);
    slot_write(slot, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    slot_write(slot, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (uint32_t half = 0; half < 2; half++) {
        slot_write(slot, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
        slot_write(slot, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * half));
    }
    slot_write(slot, VIRTIO_MMIO_STATUS,
               VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
    return driver_status(slot) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void driver_queue(unsigned int slot, uint32_t queue, struct ring *ring, uint32_t size)
{
    const uint64_t addresses[] = { (uint64_t)ring->desc, (uint64_t)&ring->avail,
                                   (uint64_t)&ring->used };
    static const uint32_t registers[] = { VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                                          VIRTIO_MMIO_QUEUE_USED_LOW };

    memset(ring, 0, sizeof(*ring));
    slot_write(slot, VIRTIO_MMIO_QUEUE_SEL, queue);
    slot_write(slot, VIRTIO_MMIO_QUEUE_NUM, size);
    for (unsigned int i = 0; i < 3; i++) {
        slot_write(slot, registers[i], (uint32_t)addresses[i]);
        slot_write(slot, registers[i] + 4, (uint32_t)(addresses[i] >> 32));
    }
    slot_write(slot, VIRTIO_MMIO_QUEUE_READY, 1);
}

void driver_ok(unsigned int slot)
{
    slot_write(slot, VIRTIO_MMIO_STATUS, driver_status(slot) | VIRTIO_CONFIG_S_DRIVER_OK);
}

void driver_submit(unsigned int slot, uint32_t queue, struct ring *ring, uint32_t size,
                   uint16_t head)
{
    ring->avail.ring[ring->avail.idx % size] = head;
    __atomic_store_n(&ring->avail.idx, (uint16_t)(ring->avail.idx + 1), __ATOMIC_SEQ_CST);
    slot_write(slot, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool driver_wait(const struct ring *ring)
{
    for (unsigned int i = 0; i < 4000000; i++) {
        if (__atomic_load_n(&ring->used.idx, __ATOMIC_ACQUIRE) == ring->avail.idx)
            return true;
        __asm__ volatile("pause");
    }
    return false;
}

/* ---- text ---- */

static void flush(void)
{
    if (!console_ready || console_used == 0)
        return;
    console.desc[0] = (struct vring_desc) { .addr = (uint64_t)console_text, .len = console_used };
    driver_submit(SLOT_CONSOLE, 1, &console, RING_MAX, 0);
    if (!driver_wait(&console))
        payload_triple_fault();
    console_used = 0;
}

void print(const char *text)
{
    for (; *text; text++) {
        console_text[console_used++] = *text;
        if (*text == '\n' || console_used == sizeof(console_text))
            flush();
    }
}

static void print_base(uint64_t value, unsigned int base)
{
    char digits[24];
    unsigned int at = sizeof(digits) - 1;

    digits[at] = '\0';
    do
        digits[--at] = "0123456789abcdef"[value % base];
    while ((value /= base) > 0);
    print(digits + at);
}

void print_number(uint64_t value)
{
    print_base(value, 10);
}

void print_hex(uint64_t value)
{
    print("0x");
    print_base(value, 16);
}

static void open_console(void)
{
    /* The receive queue has memory too: a device may look at it. */
    static struct ring receive;

    if (slot_read(SLOT_CONSOLE, VIRTIO_MMIO_DEVICE_ID) != VIRTIO_ID_CONSOLE ||
        !driver_begin(SLOT_CONSOLE, 1ull << VIRTIO_F_VERSION_1))
        return;
    driver_queue(SLOT_CONSOLE, 0, &receive, RING_MAX);
    driver_queue(SLOT_CONSOLE, 1, &console, RING_MAX);
    driver_ok(SLOT_CONSOLE);
    console_ready = true;
}

/* ---- the chosen one ---- */

/* The value of payload= ends the command line. */
static const char *chosen(void)
{
    static const char key[] = "payload=";
    const char *line = (const char *)payload_start_info->cmdline, *found = "";

    for (; *line; line++) {
        unsigned int i = 0;

        while (key[i] && line[i] == key[i])
            i++;
        if (!key[i])
            found = line + i;
    }
    return found;
}

static bool equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

void payload_main(void);
void payload_main(void)
{
    const char *name = chosen();

    open_console();
    for (unsigned int i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        if (!equal(name, payloads[i].name))
            continue;
        payloads[i].run();
        print("payload ");
        print(name);
        print(": ok\n");
        payload_reset();
    }
    payload_fail("unknown payload", 0);
}
