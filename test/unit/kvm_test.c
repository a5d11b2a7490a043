/* What the machine asks of KVM, seen from the other side: the interrupt controllers' registers. */
#include "vmm/kvm.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "skip_all.h"
#include "vmm/arch.h"

#define GSI    5u
#define VECTOR 0x41u

/* Local APIC registers (SDM vol. 3, 11.4.1). */
#define APIC_SPURIOUS 0xf0u
#define APIC_ENABLE   0x1ffu
#define APIC_PENDING  0x200u /* eight of 32 bits, 16 bytes apart */

struct world {
    struct kvm kvm;
    int vcpu_fd;
};

static uint8_t *lapic_register(struct kvm_lapic_state *lapic, unsigned int at)
{
    return (uint8_t *)lapic->regs + at;
}

/* A vCPU that takes interrupts, to which pin GSI sends VECTOR at each edge. */
static int setup(void **state)
{
    static struct world world;
    struct world *w = &world;
    struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
    struct kvm_lapic_state lapic;
    const uint32_t enable = APIC_ENABLE;
    struct error err;

    assert_int_equal(kvm_open(&w->kvm, -1, &err), 0);
    assert_int_equal(arch_vm_setup(&w->kvm, &err), 0);
    w->vcpu_fd = ioctl(w->kvm.vm_fd, KVM_CREATE_VCPU, 0);
    assert_true(w->vcpu_fd >= 0);
    assert_int_equal(ioctl(w->vcpu_fd, KVM_GET_LAPIC, &lapic), 0);
    memcpy(lapic_register(&lapic, APIC_SPURIOUS), &enable, sizeof(enable));
    assert_int_equal(ioctl(w->vcpu_fd, KVM_SET_LAPIC, &lapic), 0);
    assert_int_equal(ioctl(w->kvm.vm_fd, KVM_GET_IRQCHIP, &chip), 0);
    chip.chip.ioapic.redirtbl[GSI].bits = VECTOR; /* physical, CPU 0, edge, not masked */
    assert_int_equal(ioctl(w->kvm.vm_fd, KVM_SET_IRQCHIP, &chip), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    close(w->vcpu_fd);
    kvm_close(&w->kvm);
    return 0;
}

/* Whether the vCPU has been sent the interrupt; takes it back. */
static bool pending(const struct world *w)
{
    const unsigned int at = APIC_PENDING + VECTOR / 32 * 16;
    struct kvm_lapic_state lapic;
    uint32_t bits;
    bool is;

    assert_int_equal(ioctl(w->vcpu_fd, KVM_GET_LAPIC, &lapic), 0);
    memcpy(&bits, lapic_register(&lapic, at), sizeof(bits));
    is = bits >> VECTOR % 32 & 1;
    bits &= ~(1u << VECTOR % 32);
    memcpy(lapic_register(&lapic, at), &bits, sizeof(bits));
    assert_int_equal(ioctl(w->vcpu_fd, KVM_SET_LAPIC, &lapic), 0);
    return is;
}

static void test_each_raise_is_an_interrupt(void **state)
{
    const struct world *w = *state;

    assert_false(pending(w));
    for (unsigned int i = 0; i < 3; i++) {
        kvm_raise(&w->kvm, GSI);
        assert_true(pending(w));
        assert_false(pending(w));
    }
}

/* The slot of a device of this process is given to one whose interrupts are the kernel's. */
static void test_an_eventfd_raises_what_was_raised_before(void **state)
{
    struct world *w = *state;
    const struct timespec moment = { .tv_nsec = 1000000 };
    int fd = eventfd(0, EFD_CLOEXEC);
    const uint64_t one = 1;
    bool came = false;
    struct error err;

    kvm_raise(&w->kvm, GSI);
    assert_true(pending(w));
    kvm_lower(&w->kvm, GSI);
    assert_false(pending(w));
    assert_int_equal(kvm_irqfd(&w->kvm, GSI, fd, true, &err), 0);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    /* A thread of the kernel's does it. */
    for (unsigned int i = 0; i < 5000 && !came; i++) {
        came = pending(w);
        nanosleep(&moment, NULL);
    }
    assert_true(came);
    close(fd);
}

/* GSI 8 has its price (layout.h), 0 and 2 are the timer's and the cascade's; a pin for each. */
static void test_every_slot_has_a_line_of_its_own(void **state)
{
    uint32_t seen = 1u << 0 | 1u << 2 | 1u << 8;

    (void)state;
    for (unsigned int slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t gsi = arch_slot_gsi(slot);

        assert_true(gsi < 24);
        assert_false(seen >> gsi & 1);
        seen |= 1u << gsi;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        TEST(test_each_raise_is_an_interrupt),
        TEST(test_an_eventfd_raises_what_was_raised_before),
        cmocka_unit_test(test_every_slot_has_a_line_of_its_own),
    };

    if (access("/dev/kvm", R_OK | W_OK) < 0)
        skip_all(tests, 2, "/dev/kvm");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
