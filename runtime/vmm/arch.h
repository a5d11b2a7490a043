/*
 * What the machine needs of its architecture. Nothing outside vmm/<arch>/ names a register, an MSR,
 * a port or an interrupt number.
 */
#ifndef VMRT_VMM_ARCH_H
#define VMRT_VMM_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "vmm/kvm.h"
#include "vmm/memory.h"

/*
 * Device slots: windows of ARCH_SLOT_SIZE bytes from ARCH_SLOT_BASE, announced at boot. One for
 * each device that any machine may have (vmm/supervisor_internal.h), and 16 for network interfaces.
 * An interrupt line is each slot's own: who shares one costs the other two exits for every
 * interrupt.
 */
#define SLOT_COUNT     21u
#define ARCH_SLOT_BASE 0xd0000000ull
#define ARCH_SLOT_SIZE 0x1000ull

/* Where the kernel was put and how the first CPU enters it. */
struct boot {
    uint64_t entry;        /* guest physical address of the first instruction */
    uint64_t kernel_start; /* where the kernel's image begins */
    uint64_t kernel_end;   /* first free address behind the kernel's image and bss */
    uint64_t info;         /* guest physical address of the boot information */
};

/* What is to be booted. */
struct boot_request {
    int kernel_fd;
    const char *kernel_name; /* for messages */
    const char *cmdline;     /* complete */
    uint64_t initramfs;      /* guest physical address, see arch_initramfs_address() */
    uint64_t initramfs_size; /* bytes */
    unsigned int cpus;
};

/* Before any vCPU: interrupt controllers and whatever else the VM itself needs. */
int arch_vm_setup(struct kvm *kvm, struct error *err);

/* The interrupt line of a device slot. */
uint32_t arch_slot_gsi(unsigned int slot);

/* Where an initramfs of @size bytes goes; 0 when memory is too small for it. */
uint64_t arch_initramfs_address(const struct guest_memory *memory, uint64_t size);

/**
 * arch_load_kernel() - read the kernel straight into guest memory and write the boot tables.
 * Return: 0, -ENOEXEC for a file that is no kernel with a PVH note, -ENOMEM when the guest's memory
 * is too small for it, or -errno.
 */
int arch_load_kernel(const struct guest_memory *memory, const struct boot_request *request,
                     struct boot *boot, struct error *err);

/* The built-in kernel command line. @console: the guest has an hvc0 and an early console. Return:
 * length or -EMSGSIZE.
 */
int arch_format_cmdline(char *text, size_t size, bool console, const char *extra);

/**
 * arch_vcpu_setup() - registers and features of one vCPU.
 * @boot: entry state for CPU 0; the others wait to be woken by the guest.
 */
int arch_vcpu_setup(struct kvm *kvm, int vcpu_fd, unsigned int index, unsigned int cpus,
                    const struct boot *boot, struct error *err);

/* In the vCPU's thread, before it goes on after a pause: what the guest is to know of the gap. */
void arch_vcpu_resumed(int vcpu_fd);

enum arch_action {
    ARCH_CONTINUE, /* handled; go on */
    ARCH_RESET,    /* the guest asked for a reset: how its kernel ends after a panic */
};

/*
 * What the kernel says before it has found its console, of one vCPU: guests may write from several
 * at once. Lines are gathered here and handed on whole.
 */
struct early_console {
    void (*write)(void *context, const char *text, size_t length); /* NULL: nobody reads it */
    void *context;
    bool divisor; /* the next byte is no text but the speed of a line that does not exist */
    size_t length;
    char line[128];
};

/* An exit of the guest for the architecture's own reasons (port I/O on x86). */
enum arch_action arch_handle_io(struct kvm_run *run, struct early_console *early);

#endif
