/* The CPUID leaves that a guest sees. */
#ifndef VMRT_VMM_X86_CPUID_H
#define VMRT_VMM_X86_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define CPUID_ENTRIES_MAX 256

/* struct kvm_cpuid2 with room for its entries. */
struct cpuid_table {
    uint32_t count;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};
_Static_assert(offsetof(struct cpuid_table, entries) == sizeof(struct kvm_cpuid2),
               "KVM_GET_SUPPORTED_CPUID and KVM_SET_CPUID2 take it as one");

/* What cannot be read from the leaves themselves. */
struct cpuid_host {
    bool deadline_timer; /* KVM_CAP_TSC_DEADLINE_TIMER */
    bool emulated;       /* the host's CPU is QEMU's TCG, which hides XSETBV from a nested KVM */
};

/**
 * cpuid_adjust() - turn KVM's list of supported leaves into those of one vCPU.
 *
 * Topology (@cpus packages of one core, so that no leaf contradicts another), APIC id @index, TSC
 * deadline timer and hypervisor bits, and a leaf 0xD that agrees with itself.
 */
void cpuid_adjust(struct cpuid_table *table, const struct cpuid_host *host, unsigned int index,
                  unsigned int cpus);

/* The supported leaves of @kvm_fd. Return: 0 or -errno. */
int cpuid_supported(int kvm_fd, struct cpuid_table *table, struct cpuid_host *host,
                    struct error *err);

#endif
