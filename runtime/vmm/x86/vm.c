/* x86 parts of the VM and its vCPUs: interrupt chips, first registers, port I/O. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch.h"
#include "vmm/x86/cpuid.h"
#include "vmm/x86/layout.h"

int arch_vm_setup(struct kvm *kvm, struct error *err)
{
    uint64_t identity = LAYOUT_IDENTITY_MAP;

    /* Both must lie outside RAM and device windows (api.rst, KVM_SET_TSS_ADDR). */
    if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
        return error_set_errno(err, "KVM_SET_IDENTITY_MAP_ADDR");
    if (ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_IDENTITY_MAP + 0x1000ul) < 0)
        return error_set_errno(err, "KVM_SET_TSS_ADDR");
    if (ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
        return error_set_errno(err, "KVM_CREATE_IRQCHIP");
    return 0;
}

_Static_assert(LAYOUT_FIRST_GSI + SLOT_COUNT <= LAYOUT_IOAPIC_PINS, "a line for each slot");

uint32_t arch_slot_gsi(unsigned int slot)
{
    uint32_t gsi = LAYOUT_FIRST_GSI + slot;

    return gsi == LAYOUT_RTC_GSI ? LAYOUT_SPARE_GSI : gsi;
}

static int set_cpuid(struct kvm *kvm, int vcpu_fd, unsigned int index, unsigned int cpus,
                     struct error *err)
{
    static struct cpuid_table supported;
    static struct cpuid_host host;
    static bool have;
    struct cpuid_table table;
    int ret;

    /* The same for every vCPU, and slow to ask. Only the main thread sets vCPUs up. */
    if (!have) {
        ret = cpuid_supported(kvm->kvm_fd, &supported, &host, err);
        if (ret < 0)
            return ret;
        have = true;
    }
    table = supported;
    cpuid_adjust(&table, &host, index, cpus);
    if (ioctl(vcpu_fd, KVM_SET_CPUID2, &table) < 0)
        return error_set_errno(err, "KVM_SET_CPUID2");
    return 0;
}

/* PVH start-of-day state: 32-bit protected mode, flat segments, no paging (pvh.pandoc). */
static int set_entry_state(int vcpu_fd, const struct boot *boot, struct error *err)
{
    const struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 0x8, .type = 0xb, .present = 1, .db = 1, .s = 1, .g = 1
    };
    const struct kvm_segment data = {
        .limit = 0xffffffff, .selector = 0x10, .type = 0x3, .present = 1, .db = 1, .s = 1, .g = 1
    };
    const struct kvm_segment task = { .limit = 0x67, .selector = 0x18, .type = 0xb, .present = 1 };
    struct kvm_regs regs = { .rip = boot->entry, .rbx = boot->info, .rflags = 2 };
    struct kvm_sregs sregs;

    if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
        return error_set_errno(err, "KVM_GET_SREGS");
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.tr = task;
    sregs.cr0 = 0x11; /* PE, ET */
    sregs.cr4 = 0;
    sregs.efer = 0;
    if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
        return error_set_errno(err, "KVM_SET_SREGS");
    if (ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
        return error_set_errno(err, "KVM_SET_REGS");
    return 0;
}

int arch_vcpu_setup(struct kvm *kvm, int vcpu_fd, unsigned int index, unsigned int cpus,
                    const struct boot *boot, struct error *err)
{
    struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
    int ret = set_cpuid(kvm, vcpu_fd, index, cpus, err);

    if (ret < 0)
        return ret;
    if (ioctl(vcpu_fd, KVM_SET_FPU, &fpu) < 0)
        return error_set_errno(err, "KVM_SET_FPU");
    return index == 0 ? set_entry_state(vcpu_fd, boot, err) : 0;
}

void arch_vcpu_resumed(int vcpu_fd)
{
    /* Its watchdogs forgive the gap. EINVAL: the guest does not use the clock that says so. */
    (void)ioctl(vcpu_fd, KVM_KVMCLOCK_CTRL, 0);
}

#define PORT_KEYBOARD_COMMAND 0x64
#define KEYBOARD_RESET        0xfe

/*
 * What is left of a 16550 when nobody looks: "earlyprintk=serial" (arch/x86/kernel/early_printk.c)
 * sets the speed, which is written where the text goes while bit 7 of the line control is set, and
 * then writes what it has to say. Reads float, so that the transmitter is always ready.
 */
#define PORT_SERIAL_DATA    0x3f8
#define PORT_SERIAL_CONTROL 0x3fb
#define SERIAL_DIVISOR      0x80

static void take_text(struct early_console *early, const uint8_t *data, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        early->line[early->length++] = (char)data[i];
        if (data[i] != '\n' && early->length < sizeof(early->line))
            continue;
        early->write(early->context, early->line, early->length);
        early->length = 0;
    }
}

enum arch_action arch_handle_io(struct kvm_run *run, struct early_console *early)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    if (run->io.direction == KVM_EXIT_IO_IN) {
        /*
         * No device answers on any port. The keyboard controller's status must read as "input
         * buffer empty", so that the kernel's reset does not wait; everything else floats.
         */
        uint8_t value = run->io.port == PORT_KEYBOARD_COMMAND ? 0 : 0xff;

        memset(data, value, (size_t)run->io.size * run->io.count);
        return ARCH_CONTINUE;
    }
    if (run->io.port == PORT_KEYBOARD_COMMAND && data[0] == KEYBOARD_RESET)
        return ARCH_RESET;
    if (run->io.port == PORT_SERIAL_CONTROL)
        early->divisor = data[0] & SERIAL_DIVISOR;
    else if (run->io.port == PORT_SERIAL_DATA && run->io.size == 1 && early->write &&
             !early->divisor)
        take_text(early, data, run->io.count);
    return ARCH_CONTINUE;
}
