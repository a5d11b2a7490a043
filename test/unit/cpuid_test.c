/* CPUID: leaves that agree with each other, whatever the host's look like. */
#include "vmm/x86/cpuid.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n) (1u << (n))

static struct cpuid_table table;

static struct kvm_cpuid_entry2 *add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx,
                                    uint32_t ecx, uint32_t edx)
{
    if (table.count >= CPUID_ENTRIES_MAX)
        abort();
    struct kvm_cpuid_entry2 *e = &table.entries[table.count++];

    *e = (struct kvm_cpuid_entry2) {
        .function = function, .index = index, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx
    };
    return e;
}

static const struct kvm_cpuid_entry2 *find(uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < table.count; i++)
        if (table.entries[i].function == function && table.entries[i].index == index)
            return &table.entries[i];
    fail_msg("no leaf 0x%x.%u", function, index);
    return NULL;
}

/* A server of two sockets, 28 cores of two threads, with AVX-512. */
static int server(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    add(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
    add(1, 0, 0x50657, 0x17380800 | 0x2a << 8, 0xffffffff & ~(BIT(24) | BIT(31)), 0xbfebfbff);
    add(4, 0, 0x6c004121, 0x01c0003f, 0x3f, 0);
    add(4, 3, 0x6c1fc163, 0x0280003f, 0xdfff, 4);
    add(7, 0, 1, 0xffffffff, 0xffffffff, 0xffffffff);
    add(7, 1, 0x1c30, 0, 0, 0);
    add(0xb, 0, 1, 2, 0x100, 0x17);
    add(0xb, 1, 6, 56, 0x201, 0x17);
    add(0xb, 2, 0, 0, 2, 0x17);
    add(0xd, 0, 0x2e7, 0x240, 0xa88, 0);
    add(0xd, 1, 0xf, 0x988, 0x100, 0);
    add(0xd, 2, 0x100, 0x240, 0, 0);
    add(0xd, 5, 0x40, 0x440, 0, 0);
    add(0xd, 6, 0x200, 0x480, 0, 0);
    add(0xd, 7, 0x400, 0x680, 0, 0);
    add(0xd, 9, 0x8, 0xa80, 0, 0);
    add(0x1f, 0, 1, 2, 0x100, 0x17);
    add(0x1f, 1, 6, 56, 0x201, 0x17);
    add(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
    add(0x40000001, 0, 0x01007efb, 0, 0, 0);
    add(0x80000001, 0, 0, 0, 0xffffffff, 0x2c100800);
    add(0x80000008, 0, 0x302e, 0, 0x703f, 0);
    add(0x8000001d, 0, 0xfffc121, 0, 0, 0);
    add(0x8000001e, 0, 0x17, 0x101, 0x1, 0);
    return 0;
}

static void adjust(bool deadline, bool emulated, unsigned int index, unsigned int cpus)
{
    const struct cpuid_host host = { .deadline_timer = deadline, .emulated = emulated };

    cpuid_adjust(&table, &host, index, cpus);
}

static void test_each_cpu_is_a_package_of_its_own(void **state)
{
    static const unsigned int ids[] = { 0, 1, 17, 63 };

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        unsigned int id = ids[i];
        const struct kvm_cpuid_entry2 *e;

        server(state);
        adjust(true, false, id, 64);
        e = find(1, 0);
        assert_int_equal(e->ebx >> 24, id);
        assert_int_equal(e->ebx >> 16 & 0xff, 1);
        assert_int_equal(e->ebx >> 8 & 0xff, 0x2a); /* the size of CLFLUSH stays */
        assert_int_equal(e->ebx & 0xff, 0);
        assert_int_equal(e->edx & BIT(28), 0); /* HTT */
        for (uint32_t sub = 0; sub <= 3; sub += 3) {
            e = find(4, sub);
            assert_int_equal(e->eax >> 14, 0);
            assert_int_not_equal(e->eax & 0x3fff, 0);
        }
        for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
            e = find(leaf, 0);
            assert_int_equal(e->eax, 0);
            assert_int_equal(e->ebx, 1);
            assert_int_equal(e->ecx, 0x100);
            assert_int_equal(e->edx, id);
            e = find(leaf, 1);
            assert_int_equal(e->eax, 0);
            assert_int_equal(e->ebx, 0);
            assert_int_equal(e->ecx, 1);
            assert_int_equal(e->edx, id);
        }
        assert_int_equal(find(0x80000008, 0)->ecx & 0xf0ff, 0);
        assert_int_equal(find(0x80000008, 0)->eax, 0x302e);
        assert_int_equal(find(0x8000001d, 0)->eax >> 14 & 0xfff, 0);
        assert_int_equal(find(0x8000001e, 0)->eax, id);
        assert_int_equal(find(0x8000001e, 0)->ebx, id);
        assert_int_equal(find(0x8000001e, 0)->ecx, 0);
        /* What is none of our business stays. */
        assert_int_equal(find(0, 0)->eax, 0x1f);
        assert_int_equal(find(0x40000001, 0)->eax, 0x01007efb);
    }
}

static void test_hypervisor_and_deadline_timer(void **state)
{
    (void)state;
    adjust(false, false, 0, 1);
    assert_int_equal(find(1, 0)->ecx & BIT(31), BIT(31));
    assert_int_equal(find(1, 0)->ecx & BIT(24), 0);
    server(state);
    adjust(true, false, 0, 1);
    assert_int_equal(find(1, 0)->ecx & (BIT(31) | BIT(24)), BIT(31) | BIT(24));
}

/* SDM vol. 1, 13.2: ECX of leaf 0xD.0 is the end of the last component that EAX and EDX offer. */
static void test_xsave_sizes_agree(void **state)
{
    struct kvm_cpuid_entry2 *leaf;

    (void)state;
    adjust(true, false, 0, 1);
    assert_int_equal(find(0xd, 0)->eax, 0x2e7);
    assert_int_equal(find(0xd, 0)->ecx, 0xa88);
    assert_int_equal(find(0xd, 1)->eax, 0xf);
    /* Too large a size, and a component that has no size. */
    server(state);
    leaf = (struct kvm_cpuid_entry2 *)find(0xd, 0);
    leaf->ecx = 0x2000;
    leaf->eax |= BIT(17) | BIT(18);
    leaf->edx = BIT(3);
    add(0xd, 17, 0x40, 0, 0, 0);
    adjust(true, false, 0, 1);
    assert_int_equal(find(0xd, 0)->eax, 0x2e7);
    assert_int_equal(find(0xd, 0)->edx, 0);
    assert_int_equal(find(0xd, 0)->ecx, 0xa88);
    /* Only x87 and SSE. */
    server(state);
    leaf = (struct kvm_cpuid_entry2 *)find(0xd, 0);
    leaf->eax = 3;
    adjust(true, false, 0, 1);
    assert_int_equal(find(0xd, 0)->ecx, 576);
}

static void test_xsaves_needs_xsavec(void **state)
{
    struct kvm_cpuid_entry2 *compact = (struct kvm_cpuid_entry2 *)find(0xd, 1);

    (void)state;
    compact->eax = 0xd;
    adjust(true, false, 0, 1);
    assert_int_equal(compact->eax, 5);
    assert_int_equal(compact->ebx | compact->ecx | compact->edx, 0);
}

/* On a host that hides XSETBV, XSAVE goes, and all that needs it. */
static void test_emulated_host_has_no_xsave(void **state)
{
    const struct kvm_cpuid_entry2 *e;

    (void)state;
    adjust(true, true, 0, 1);
    e = find(1, 0);
    assert_int_equal(e->ecx & (BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(12)), 0);
    /* SSE, AES and POPCNT live in older registers. */
    assert_int_equal(e->ecx & (BIT(0) | BIT(20) | BIT(23) | BIT(25)),
                     BIT(0) | BIT(20) | BIT(23) | BIT(25));
    e = find(7, 0);
    assert_int_equal(e->ebx & (BIT(5) | BIT(14) | BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) |
                               BIT(28) | BIT(30) | BIT(31)),
                     0);
    assert_int_equal(e->ebx & (BIT(3) | BIT(8) | BIT(9) | BIT(29)),
                     BIT(3) | BIT(8) | BIT(9) | BIT(29)); /* BMI, ERMS, SHA */
    assert_int_equal(e->ecx & (BIT(1) | BIT(3) | BIT(4) | BIT(6) | BIT(7) | BIT(9) | BIT(10) |
                               BIT(11) | BIT(12) | BIT(14)),
                     0);
    assert_int_equal(e->ecx & BIT(2), BIT(2)); /* UMIP */
    assert_int_equal(e->edx & (BIT(2) | BIT(3) | BIT(8) | BIT(20) | BIT(22) | BIT(23) | BIT(24) |
                               BIT(25)),
                     0);
    assert_int_equal(e->edx & BIT(4), BIT(4)); /* FSRM */
    assert_int_equal(find(7, 1)->eax, 0);
    for (uint32_t sub = 0; sub <= 9; sub++)
        if (sub <= 2 || (sub >= 5 && sub != 8)) {
            e = find(0xd, sub);
            assert_int_equal(e->eax | e->ebx | e->ecx | e->edx, 0);
        }
    assert_int_equal(find(0x80000001, 0)->ecx & (BIT(11) | BIT(15) | BIT(16)), 0);
}

/* The most entries that KVM may give; none is beyond the table. */
static void test_full_and_empty_tables(void **state)
{
    (void)state;
    table.count = 0;
    adjust(true, true, 0, 1);
    adjust(true, false, 0, 1);
    while (table.count < CPUID_ENTRIES_MAX)
        add(0xd, table.count, 8, 0xfffffff8, 0, 0);
    table.entries[0].eax = 0xffffffff;
    table.entries[0].edx = 0xffffffff;
    adjust(true, false, 0, 1);
}

#define TEST(name) cmocka_unit_test_setup(name, server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_cpu_is_a_package_of_its_own),
        TEST(test_hypervisor_and_deadline_timer),
        TEST(test_xsave_sizes_agree),
        TEST(test_xsaves_needs_xsavec),
        TEST(test_emulated_host_has_no_xsave),
        TEST(test_full_and_empty_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
