/* CPUID: KVM's supported leaves, made consistent for one vCPU of a small flat machine. */
#include "vmm/x86/cpuid.h"

#include <cpuid.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#define BIT(n) (1u << (n))

/* Leaf 1. */
#define ECX_XSAVE        BIT(26)
#define ECX_OSXSAVE      BIT(27)
#define ECX_AVX          BIT(28)
#define ECX_F16C         BIT(29)
#define ECX_FMA          BIT(12)
#define ECX_TSC_DEADLINE BIT(24)
#define ECX_HYPERVISOR   BIT(31)
#define EDX_HTT          BIT(28)
/* Leaf 7. */
#define EBX7_AVX512 (BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define EBX7_AVX2   BIT(5)
#define EBX7_MPX    BIT(14)
#define ECX7_SHSTK  BIT(7)
#define EDX7_IBT    BIT(20)
#define ECX7_VECTOR \
    (BIT(1) | BIT(3) | BIT(4) | BIT(6) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14))
#define EDX7_VECTOR (BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25))
/* Leaf 0xD, subleaf 1. */
#define EAX_D1_XSAVEC BIT(1)
#define EAX_D1_XSAVES BIT(3)

static struct kvm_cpuid_entry2 *find(struct cpuid_table *table, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entries[i].function == function && table->entries[i].index == index)
            return &table->entries[i];
    return NULL;
}

/* Without XSAVE nothing that lives in its area may be announced either. */
static void drop_xsave(struct cpuid_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        struct kvm_cpuid_entry2 *e = &table->entries[i];

        switch (e->function) {
        case 1:
            e->ecx &= ~(ECX_XSAVE | ECX_OSXSAVE | ECX_AVX | ECX_F16C | ECX_FMA);
            break;
        case 7:
            if (e->index == 0) {
                e->ebx &= ~(EBX7_AVX2 | EBX7_AVX512 | EBX7_MPX);
                e->ecx &= ~(ECX7_VECTOR | ECX7_SHSTK);
                e->edx &= ~(EDX7_VECTOR | EDX7_IBT);
            } else {
                e->eax = e->ebx = e->ecx = e->edx = 0;
            }
            break;
        case 0xd:
            e->eax = e->ebx = e->ecx = e->edx = 0;
            break;
        case 0x80000001:
            e->ecx &= ~(BIT(11) | BIT(15) | BIT(16)); /* XOP, LWP, FMA4 */
            break;
        default:
            break;
        }
    }
}

/*
 * Leaf 0xD.0 ECX must be the size that the offered components need (SDM vol. 1, 13.2): the kernel
 * compares, warns and gives up XSAVE when they differ. Sizes come from the subleaves.
 */
static void fix_xsave(struct cpuid_table *table)
{
    struct kvm_cpuid_entry2 *leaf = find(table, 0xd, 0), *compact = find(table, 0xd, 1);
    uint64_t components;
    uint32_t needed = 576; /* legacy area and header */

    if (!leaf)
        return;
    components = leaf->eax | (uint64_t)leaf->edx << 32;
    for (uint32_t i = 2; i < 63; i++) {
        const struct kvm_cpuid_entry2 *sub = find(table, 0xd, i);

        if (!(components >> i & 1))
            continue;
        if (!sub || sub->eax == 0 || sub->ebx < 576) {
            /* A component without size or place cannot be saved: do not offer it. */
            components &= ~(1ull << i);
            continue;
        }
        if (sub->ebx + sub->eax > needed)
            needed = sub->ebx + sub->eax;
    }
    leaf->eax = (uint32_t)components;
    leaf->edx = (uint32_t)(components >> 32);
    leaf->ecx = needed;
    if (compact && !(compact->eax & EAX_D1_XSAVEC)) {
        compact->eax &= ~EAX_D1_XSAVES;
        compact->ebx = compact->ecx = compact->edx = 0;
    }
}

/* One thread per core, one core per package: true whatever the host looks like. */
static void flat_topology(struct kvm_cpuid_entry2 *e, uint32_t apic_id)
{
    switch (e->function) {
    case 1:
        /* EBX: brand, CLFLUSH size, logical processors of the package, initial APIC id. */
        e->ebx = (e->ebx & 0xff00) | 1u << 16 | apic_id << 24;
        e->edx &= ~EDX_HTT;
        break;
    case 4:
        /* EAX[31:26] cores of the package - 1, EAX[25:14] threads sharing the cache - 1. */
        e->eax &= 0x3fff;
        break;
    case 0xb:
    case 0x1f:
        /* Subleaf 0: the thread level with one thread; from 1 on: no further level. */
        e->eax = 0;
        e->ebx = e->index == 0 ? 1 : 0;
        e->ecx = e->index | (e->index == 0 ? 1u << 8 : 0);
        e->edx = apic_id;
        break;
    case 0x80000008:
        e->ecx &= ~0xf0ffu; /* core count - 1, APIC id size */
        break;
    case 0x8000001d:
        e->eax &= ~(0xfffu << 14);
        break;
    case 0x8000001e:
        e->eax = apic_id;
        e->ebx = apic_id;
        e->ecx = 0;
        break;
    default:
        break;
    }
}

void cpuid_adjust(struct cpuid_table *table, const struct cpuid_host *host, unsigned int index,
                  unsigned int cpus)
{
    (void)cpus;
    if (host->emulated)
        drop_xsave(table);
    else
        fix_xsave(table);
    for (uint32_t i = 0; i < table->count; i++) {
        struct kvm_cpuid_entry2 *e = &table->entries[i];

        flat_topology(e, index);
        if (e->function == 1) {
            /* KVM_GET_SUPPORTED_CPUID leaves these two to us (api.rst 4.46, 4.97). */
            e->ecx |= ECX_HYPERVISOR;
            if (host->deadline_timer)
                e->ecx |= ECX_TSC_DEADLINE;
        }
    }
}

static bool host_is_tcg(void)
{
    unsigned int eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    if (!(ecx & ECX_HYPERVISOR))
        return false;
    __cpuid(0x40000000, eax, ebx, ecx, edx);
    /* "TCGTCGTCGTCG" */
    return ebx == 0x54474354u && ecx == 0x43544743u && edx == 0x47435447u;
}

int cpuid_supported(int kvm_fd, struct cpuid_table *table, struct cpuid_host *host,
                    struct error *err)
{
    memset(table, 0, sizeof(*table));
    table->count = CPUID_ENTRIES_MAX;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table) < 0)
        return error_set_errno(err, "KVM_GET_SUPPORTED_CPUID");
    host->deadline_timer = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    host->emulated = host_is_tcg();
    return 0;
}
