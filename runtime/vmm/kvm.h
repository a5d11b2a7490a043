/* The few KVM objects and calls that do not depend on the architecture. */
#ifndef VMRT_VMM_KVM_H
#define VMRT_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "vmm/memory.h"

struct kvm {
    int kvm_fd;
    int vm_fd;
    int run_size; /* bytes of the shared struct kvm_run */
};

/**
 * kvm_open() - check the API and create a VM.
 * @kvm_fd: open /dev/kvm, taken over; -1: open it here.
 * Return: 0 or -errno; messages say what to do about an unusable /dev/kvm.
 */
int kvm_open(struct kvm *kvm, int kvm_fd, struct error *err);
void kvm_close(struct kvm *kvm);

/* Gives the VM every region of @memory as a slot. */
int kvm_set_memory(struct kvm *kvm, const struct guest_memory *memory, struct error *err);

/* A 4-byte register that signals an eventfd when it is written, instead of leaving the guest. */
struct kvm_doorbell {
    uint64_t gpa;
    int fd;
    bool any;       /* whatever is written */
    uint32_t value; /* else only this */
};

/* Return: 0; -ENOENT when there is nothing to take away; or -errno. */
int kvm_ioeventfd(struct kvm *kvm, const struct kvm_doorbell *doorbell, bool assign,
                  struct error *err);
/*
 * Raises global interrupt @gsi, edge-triggered, from any thread, several at a time. For an irqfd a
 * thread of the kernel's would do it: where it is signalled, KVM sets no pin of an I/O APIC (Linux
 * 6.12, arch/x86/kvm/irq_comm.c, kvm_arch_set_irq_inatomic()).
 */
void kvm_raise(const struct kvm *kvm, uint32_t gsi);
/* Makes an end of what kvm_raise() has done; nobody does it any more. */
void kvm_lower(const struct kvm *kvm, uint32_t gsi);
/* Signals on @fd raise global interrupt @gsi, or no longer do: not one that kvm_raise() raises. */
int kvm_irqfd(struct kvm *kvm, uint32_t gsi, int fd, bool assign, struct error *err);

#endif
