/* What a kernel finds when it boots: the PVH tables, the MP table as Linux reads it, its initramfs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/arch.h"
#include "vmm/initramfs.h"
#include "vmm/x86/layout.h"
#include "vmm/x86/mptable.h"

#define MIB (1ull << 20)

static struct guest_memory memory;
static struct error err;

static void make_memory(uint64_t size)
{
    assert_int_equal(memory_create(&memory, size, &err), 0);
}

static int teardown(void **state)
{
    (void)state;
    memory_destroy(&memory);
    return 0;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

/* ---- the MP table, in the order of arch/x86/kernel/mpparse.c ---- */

static uint8_t sum(const uint8_t *data, size_t length)
{
    uint8_t total = 0;

    while (length--)
        total = (uint8_t)(total + *data++);
    return total;
}

static const uint8_t *find_floating_pointer(void)
{
    const uint8_t *base = memory_translate(&memory, 0xf0000, 0x10000);

    for (size_t at = 0; at < 0x10000; at += 16)
        if (memcmp(base + at, "_MP_", 4) == 0 && base[at + 8] == 1 && sum(base + at, 16) == 0 &&
            (base[at + 9] == 1 || base[at + 9] == 4))
            return base + at;
    return NULL;
}

static void check_mptable(unsigned int cpus)
{
    const uint8_t *pointer = find_floating_pointer(), *table, *at, *end;
    unsigned int processors = 0, buses = 0, ioapics = 0, interrupts = 0, locals = 0, entries = 0;
    bool pins[24] = { false };

    assert_non_null(pointer);
    assert_int_equal(pointer[11], 0); /* feature 1: a table follows; feature 2: no PIC mode */
    table = memory_translate(&memory, get32(pointer + 4), 44);
    assert_non_null(table);
    assert_memory_equal(table, "PCMP", 4);
    assert_int_equal(table[6], 4);
    assert_int_equal(get32(table + 36), 0xfee00000);
    end = table + (table[4] | table[5] << 8);
    assert_true(get32(pointer + 4) + (size_t)(end - table) <= 0x100000);
    assert_int_equal(sum(table, (size_t)(end - table)), 0);
    for (at = table + 44; at < end; entries++) {
        switch (at[0]) {
        case 0:
            assert_int_equal(at[1], processors);
            assert_int_equal(at[3], processors == 0 ? 3 : 1);
            processors++;
            at += 20;
            break;
        case 1:
            assert_int_equal(at[1], 0);
            assert_memory_equal(at + 2, "ISA   ", 6);
            buses++;
            at += 8;
            break;
        case 2:
            /* An id that no CPU has. */
            assert_true(at[1] >= cpus);
            assert_int_equal(at[3], 1);
            assert_int_equal(get32(at + 4), 0xfec00000);
            ioapics++;
            at += 8;
            break;
        case 3:
            assert_int_equal(at[1], 0);
            assert_int_equal(at[5], at[7]);
            assert_true(at[7] < 24);
            assert_false(pins[at[7]]);
            pins[at[7]] = true;
            interrupts++;
            at += 8;
            break;
        case 4:
            assert_true(at[1] == 1 || at[1] == 3);
            locals++;
            at += 8;
            break;
        default:
            fail_msg("entry of type %u", at[0]);
        }
    }
    assert_ptr_equal(at, end);
    assert_int_equal(table[34] | table[35] << 8, entries);
    assert_int_equal(processors, cpus);
    assert_int_equal(buses, 1);
    assert_int_equal(ioapics, 1);
    assert_int_equal(interrupts, 24);
    assert_int_equal(locals, 2);
}

static void test_mptable_for_every_number_of_cpus(void **state)
{
    (void)state;
    for (unsigned int cpus = 1; cpus <= 64; cpus++) {
        make_memory(2 * MIB);
        assert_int_equal(mptable_write(&memory, cpus), 0);
        check_mptable(cpus);
        memory_destroy(&memory);
    }
}

static void test_mptable_that_does_not_fit(void **state)
{
    (void)state;
    make_memory(2 * MIB);
    assert_int_equal(mptable_write(&memory, 4000), -E2BIG);
    memory_destroy(&memory);
    memory.count = 1;
    memory.regions[0] = (struct memory_region) { .size = 0x80000 };
    assert_int_equal(mptable_write(&memory, 1), -E2BIG);
    memory.count = 0;
}

/* ---- the PVH tables ---- */

#define KERNEL_ENTRY 0x100000u

/* The smallest kernel: one page at 1 MiB. */
static int kernel_file(void)
{
    static struct {
        uint8_t elf[64], segments[2][56], note[20];
        uint8_t text[256];
    } image;
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    memcpy(image.elf, "\177ELF\2\1\1", 7);
    image.elf[18] = 62; /* x86-64 */
    image.elf[32] = 64; /* program headers follow */
    image.elf[54] = 56;
    image.elf[56] = 2;
    image.segments[0][0] = 1;
    memcpy(image.segments[0] + 8, &(uint64_t) { offsetof(__typeof__(image), text) }, 8);
    memcpy(image.segments[0] + 24, &(uint64_t) { KERNEL_ENTRY }, 8);
    memcpy(image.segments[0] + 32, &(uint64_t) { 256 }, 8);
    memcpy(image.segments[0] + 40, &(uint64_t) { 4096 }, 8);
    image.segments[1][0] = 4;
    memcpy(image.segments[1] + 8, &(uint64_t) { offsetof(__typeof__(image), note) }, 8);
    memcpy(image.segments[1] + 32, &(uint64_t) { 20 }, 8);
    memcpy(image.note, "\4\0\0\0\4\0\0\0\22\0\0\0Xen\0\0\0\20\0", 20);
    assert_int_equal(fd_write_full(fd, &image, sizeof(image)), 0);
    return fd;
}

static int load(struct boot_request *request, struct boot *boot)
{
    int ret;

    request->kernel_fd = kernel_file();
    request->kernel_name = "k";
    ret = arch_load_kernel(&memory, request, boot, &err);
    close(request->kernel_fd);
    return ret;
}

static void check_start_info(const struct boot *boot, uint64_t size, uint64_t initramfs)
{
    const uint8_t *info = memory_translate(&memory, boot->info, 56), *map, *module;
    uint64_t ram = 0, end = 0;
    uint32_t entries;

    assert_int_equal(boot->entry, KERNEL_ENTRY);
    assert_int_equal(boot->kernel_end, 0x101000);
    assert_int_equal(get32(info), 0x336ec578);
    assert_int_equal(get32(info + 4), 1);
    assert_string_equal(memory_translate(&memory, get64(info + 24), 6), "hello");
    entries = get32(info + 48);
    map = memory_translate(&memory, get64(info + 40), entries * 24);
    assert_non_null(map);
    for (uint32_t i = 0; i < entries; i++, map += 24) {
        /* In order, without overlap; what is called RAM is RAM. */
        assert_true(get64(map) >= end);
        end = get64(map) + get64(map + 8);
        if (get32(map + 16) != 1)
            continue;
        assert_non_null(memory_translate(&memory, get64(map), get64(map + 8)));
        ram += get64(map + 8);
    }
    assert_int_equal(ram, size - (0x100000 - 0x9fc00));
    assert_int_equal(get32(info + 12), initramfs != 0);
    if (initramfs) {
        module = memory_translate(&memory, get64(info + 16), 32);
        assert_int_equal(get64(module), initramfs);
        assert_int_equal(get64(module + 8), 5000);
    }
}

static void test_start_info(void **state)
{
    static const uint64_t sizes[] = { 40 * MIB, 3072 * MIB, 3073 * MIB, 20000 * MIB };

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int with = 0; with < 2; with++) {
            struct boot_request request = { .cmdline = "hello", .cpus = 2 };
            struct boot boot;

            make_memory(sizes[i]);
            if (with) {
                request.initramfs_size = 5000;
                request.initramfs = arch_initramfs_address(&memory, 5000);
                assert_int_equal(request.initramfs % 4096, 0);
                assert_int_equal(request.initramfs + 8192, memory.regions[0].size);
            }
            assert_int_equal(load(&request, &boot), 0);
            check_start_info(&boot, sizes[i], request.initramfs);
            check_mptable(2);
            memory_destroy(&memory);
        }
}

static void test_machines_that_are_too_small(void **state)
{
    struct boot_request request = { .cmdline = "x", .cpus = 1 };
    struct boot boot;

    (void)state;
    make_memory(1 * MIB);
    assert_int_equal(load(&request, &boot), -ENOMEM);
    assert_string_equal(err.message, "too little memory: expected more than 1 MiB");
    assert_int_equal(arch_initramfs_address(&memory, MIB), 0);
    assert_int_equal(arch_initramfs_address(&memory, MIB - 100), 0);
    assert_int_equal(arch_initramfs_address(&memory, 0), MIB);
    memory_destroy(&memory);
    make_memory(2 * MIB);
    /* An initramfs down to the kernel's page leaves no room for it. */
    request.initramfs = 0x100000;
    request.initramfs_size = MIB;
    assert_int_equal(load(&request, &boot), -ENOMEM);
}

static void test_command_line(void **state)
{
    struct boot_request request = { .cpus = 1 };
    struct boot boot;
    char text[8192];
    int length;

    (void)state;
    length = arch_format_cmdline(text, 4096, false, NULL);
    assert_int_equal(length, strlen(text));
    assert_non_null(strstr(text, "quiet "));
    assert_null(strstr(text, "console="));
    assert_non_null(strstr(text, " virtio_mmio.device=4K@0xd0000000:3"));
    assert_non_null(strstr(text, " virtio_mmio.device=4K@0xd0014000:23"));
    assert_true(arch_format_cmdline(text, 4096, true, "extra=1") > length);
    assert_non_null(strstr(text, "console=hvc0"));
    assert_string_equal(text + strlen(text) - 8, " extra=1");
    /* 2047 bytes are taken whole, one more is refused, not cut. */
    length = arch_format_cmdline(text, 4096, false, NULL);
    memset(text, 'x', sizeof(text));
    text[2047 - length - 1] = '\0';
    char line[4096];
    assert_int_equal(arch_format_cmdline(line, sizeof(line), false, text), 2047);
    text[2047 - length - 1] = 'x';
    text[2048 - length - 1] = '\0';
    assert_int_equal(arch_format_cmdline(line, sizeof(line), false, text), -EMSGSIZE);
    for (size_t size = 1; size < 700; size++)
        assert_int_equal(arch_format_cmdline(line, size, true, "y"), -EMSGSIZE);
    make_memory(2 * MIB);
    memset(text, 'x', 4096);
    text[4096] = '\0';
    request.cmdline = text;
    assert_int_equal(load(&request, &boot), -E2BIG);
    text[4095] = '\0';
    assert_int_equal(load(&request, &boot), 0);
}

/* ---- the initramfs, as cpio(1) unpacks it ---- */

static bool have(const char *program)
{
    char command[64];

    snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
    return system(command) == 0;
}

static void unpack_and_compare(size_t init_size)
{
    char dir[] = "/tmp/boot_test.XXXXXX", command[128];
    uint8_t *data = malloc(init_size + 1);
    uint64_t size = initramfs_size(init_size);
    uint8_t *archive = calloc(1, size);
    int init = memfd_create("init", MFD_CLOEXEC), at, file;
    char *unpacked = NULL;
    size_t length = 0;
    struct stat st;

    for (size_t i = 0; i < init_size; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    assert_int_equal(fd_write_full(init, data, init_size), 0);
    assert_int_equal(initramfs_write(archive, init, init_size, &err), 0);
    close(init);
    assert_non_null(mkdtemp(dir));
    at = open(dir, O_RDONLY | O_DIRECTORY);
    file = openat(at, "archive", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(fd_write_full(file, archive, size), 0);
    close(file);
    snprintf(command, sizeof(command), "cd %s && cpio --quiet -i < archive", dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(fd_read_file(at, "init", SIZE_MAX, &unpacked, &length), 0);
    assert_int_equal(length, init_size);
    assert_memory_equal(unpacked, data, init_size);
    assert_int_equal(fstatat(at, "init", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0755);
    assert_int_equal(fstatat(at, "dev/console", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFCHR | 0600);
    assert_int_equal(st.st_rdev, makedev(5, 1));
    assert_int_equal(unlinkat(at, "dev/console", 0), 0);
    assert_int_equal(unlinkat(at, "dev", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(at, "init", 0), 0);
    assert_int_equal(unlinkat(at, "archive", 0), 0);
    close(at);
    assert_int_equal(rmdir(dir), 0);
    free(unpacked);
    free(archive);
    free(data);
}

static void test_initramfs_unpacks(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 4, 5, 4095, 4096, 1000003 };

    (void)state;
    if (geteuid() != 0 || !have("cpio")) {
        print_message("skipped: needs root and cpio\n");
        skip();
    }
    umask(0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        unpack_and_compare(sizes[i]);
}

static void test_init_that_became_shorter(void **state)
{
    uint8_t *archive = calloc(1, initramfs_size(5000));
    int init = memfd_create("init", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(ftruncate(init, 4999), 0);
    assert_int_equal(initramfs_write(archive, init, 5000, &err), -EIO);
    assert_string_equal(err.message, "read the guest's init: the file became shorter");
    close(init);
    assert_int_equal(initramfs_write(archive, -1, 5000, &err), -EBADF);
    free(archive);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mptable_for_every_number_of_cpus),
        TEST(test_mptable_that_does_not_fit),
        TEST(test_start_info),
        TEST(test_machines_that_are_too_small),
        TEST(test_command_line),
        TEST(test_initramfs_unpacks),
        TEST(test_init_that_became_shorter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
