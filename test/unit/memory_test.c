/* Guest memory: where it lies, and that no address outside it becomes a pointer. */
#include "vmm/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct guest_memory memory;
static struct error err;

static void test_small_machine_has_one_region(void **state)
{
    (void)state;
    assert_int_equal(memory_create(&memory, 64 * MIB, &err), 0);
    assert_int_equal(memory.count, 1);
    assert_int_equal(memory.regions[0].gpa, 0);
    assert_int_equal(memory.regions[0].size, 64 * MIB);
    /* 2 MiB alignment on both sides, for huge pages. */
    assert_int_equal((uintptr_t)memory.regions[0].hva % (2 * MIB), 0);
    assert_int_equal(memory.regions[0].hva[0], 0);
    memory.regions[0].hva[64 * MIB - 1] = 1;
    memory_destroy(&memory);
    assert_int_equal(memory.count, 0);
    memory_destroy(&memory);
}

static void test_memory_goes_around_the_device_hole(void **state)
{
    static const uint64_t sizes[] = { 3 * GIB, 3 * GIB + MIB, 64 * GIB };

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(memory_create(&memory, sizes[i], &err), 0);
        assert_int_equal(memory.count, i == 0 ? 1 : 2);
        assert_int_equal(memory.regions[0].size, 3 * GIB);
        if (i > 0) {
            assert_int_equal(memory.regions[1].gpa, 4 * GIB);
            assert_int_equal(memory.regions[1].size, sizes[i] - 3 * GIB);
        }
        assert_null(memory_translate(&memory, MEMORY_HOLE_START, 1));
        assert_null(memory_translate(&memory, MEMORY_HOLE_START - 1, 2));
        assert_null(memory_translate(&memory, MEMORY_HOLE_END - 1, 1));
        assert_null(memory_translate(&memory, MEMORY_HOLE_END - 1, 2));
        memory_destroy(&memory);
    }
}

static void test_translation_at_every_edge(void **state)
{
    uint8_t *low, *high;

    (void)state;
    assert_int_equal(memory_create(&memory, 3 * GIB + MIB, &err), 0);
    low = memory.regions[0].hva;
    high = memory.regions[1].hva;
    assert_ptr_equal(memory_translate(&memory, 0, 0), low);
    assert_ptr_equal(memory_translate(&memory, 0, 3 * GIB), low);
    assert_null(memory_translate(&memory, 0, 3 * GIB + 1));
    assert_ptr_equal(memory_translate(&memory, 3 * GIB - 1, 1), low + 3 * GIB - 1);
    assert_ptr_equal(memory_translate(&memory, 3 * GIB - 1, 0), low + 3 * GIB - 1);
    assert_null(memory_translate(&memory, 3 * GIB, 0));
    assert_ptr_equal(memory_translate(&memory, 4 * GIB, MIB), high);
    assert_null(memory_translate(&memory, 4 * GIB, MIB + 1));
    assert_ptr_equal(memory_translate(&memory, 4 * GIB + MIB - 1, 1), high + MIB - 1);
    assert_null(memory_translate(&memory, 4 * GIB + MIB, 0));
    /* Sums that wrap around. */
    assert_null(memory_translate(&memory, UINT64_MAX, 1));
    assert_null(memory_translate(&memory, UINT64_MAX, 2));
    assert_null(memory_translate(&memory, 1, UINT64_MAX));
    assert_null(memory_translate(&memory, 4096, UINT64_MAX - 4095));
    assert_null(memory_translate(&memory, UINT64_MAX - 4095, 8192));
    memory_destroy(&memory);
}

/* Neighbours for the guest, strangers in this process (CVE-2019-18960). */
static void test_range_across_two_regions(void **state)
{
    uint8_t a[16], b[16];
    const struct guest_memory two = {
        .regions = { { .gpa = 0, .size = 16, .hva = a }, { .gpa = 16, .size = 16, .hva = b } },
        .count = 2,
    };

    (void)state;
    assert_ptr_equal(memory_translate(&two, 15, 1), a + 15);
    assert_ptr_equal(memory_translate(&two, 16, 16), b);
    assert_null(memory_translate(&two, 15, 2));
    assert_null(memory_translate(&two, 0, 32));
}

static void test_more_than_the_address_space(void **state)
{
    (void)state;
    assert_int_equal(memory_create(&memory, 1ull << 47, &err), -ENOMEM);
    assert_int_equal(memory.count, 0);
    assert_non_null(strstr(err.message, "guest memory: reserve"));
}

/* The guest's secrets are in no core file and in no child. */
static void test_memory_is_private(void **state)
{
    char line[256];
    bool found = false, flags = false;
    FILE *smaps;

    (void)state;
    assert_int_equal(memory_create(&memory, 64 * MIB, &err), 0);
    memory.regions[0].hva[0] = 1;
    smaps = fopen("/proc/self/smaps", "r");
    assert_non_null(smaps);
    while (fgets(line, sizeof(line), smaps)) {
        unsigned long begin, end;

        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            found = begin == (uintptr_t)memory.regions[0].hva;
        if (found && strncmp(line, "VmFlags:", 8) == 0) {
            flags = true;
            assert_non_null(strstr(line, " dd")); /* MADV_DONTDUMP */
            assert_non_null(strstr(line, " dc")); /* MADV_DONTFORK */
            assert_null(strstr(line, " ex"));
        }
    }
    fclose(smaps);
    assert_true(flags);
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_machine_has_one_region),
        cmocka_unit_test(test_memory_goes_around_the_device_hole),
        cmocka_unit_test(test_translation_at_every_edge),
        cmocka_unit_test(test_range_across_two_regions),
        cmocka_unit_test(test_more_than_the_address_space),
        cmocka_unit_test(test_memory_is_private),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
