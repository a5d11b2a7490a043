/* The ELF loader: small kernels made here, whole and broken in every way that has a name. */
#include "vmm/x86/elf.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fd.h"

#define MEMORY (8u << 20)
#define ENTRY  0x100010u

/* A kernel of one segment at 1 MiB and one note; tests change what they are about. */
struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[40];
    uint8_t notes[256];
    uint8_t text[4096];
};

struct fixture {
    struct image image;
    struct guest_memory memory;
    struct elf_kernel kernel;
    struct error err;
    uint64_t limit;
};

static size_t put_note(uint8_t *at, uint32_t type, const char *name, uint32_t name_size,
                       const void *description, uint32_t size)
{
    const Elf64_Nhdr note = { name_size, size, type };
    size_t used = sizeof(note);

    memcpy(at, &note, sizeof(note));
    memcpy(at + used, name, name_size);
    used += (name_size + 3) & ~3u;
    memcpy(at + used, description, size);
    return used + ((size + 3) & ~3u);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct image *image = &f->image;
    const uint32_t entry = ENTRY;
    size_t notes;

    memcpy(image->header.e_ident, ELFMAG, SELFMAG);
    image->header.e_ident[EI_CLASS] = ELFCLASS64;
    image->header.e_ident[EI_DATA] = ELFDATA2LSB;
    image->header.e_machine = EM_X86_64;
    image->header.e_phoff = offsetof(struct image, segments);
    image->header.e_phentsize = sizeof(Elf64_Phdr);
    image->header.e_phnum = 2;
    notes = put_note(image->notes, 18, "Xen", 4, &entry, sizeof(entry));
    image->segments[0] = (Elf64_Phdr) { .p_type = PT_LOAD,
                                        .p_offset = offsetof(struct image, text),
                                        .p_paddr = 0x100000,
                                        .p_filesz = sizeof(image->text),
                                        .p_memsz = 2 * sizeof(image->text) };
    image->segments[1] = (Elf64_Phdr) { .p_type = PT_NOTE,
                                        .p_offset = offsetof(struct image, notes),
                                        .p_filesz = notes };
    memset(image->text, 0x90, sizeof(image->text));
    f->memory.count = 1;
    f->memory.regions[0] = (struct memory_region) { .size = MEMORY, .hva = calloc(1, MEMORY) };
    f->limit = MEMORY;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    free(f->memory.regions[0].hva);
    free(f);
    return 0;
}

static int load_bytes(struct fixture *f, const void *data, size_t length)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC), ret;

    assert_int_equal(fd_write_full(fd, data, length), 0);
    f->err = (struct error) { 0 };
    ret = elf_load(fd, "k", &f->memory, f->limit, &f->kernel, &f->err);
    close(fd);
    return ret;
}

static int load(struct fixture *f)
{
    return load_bytes(f, &f->image, sizeof(f->image));
}

static void expect(struct fixture *f, int ret, const char *why)
{
    assert_int_equal(load(f), ret);
    if (!strstr(f->err.message, why))
        fail_msg("expected \"%s\" in \"%s\"", why, f->err.message);
}

static void test_good_kernel(void **state)
{
    struct fixture *f = *state;
    const uint8_t *hva = f->memory.regions[0].hva;

    assert_int_equal(load(f), 0);
    assert_int_equal(f->kernel.entry, ENTRY);
    assert_int_equal(f->kernel.end, 0x102000);
    assert_int_equal(hva[0xfffff], 0);
    assert_int_equal(hva[0x100000], 0x90);
    assert_int_equal(hva[0x100fff], 0x90);
    assert_int_equal(hva[0x101000], 0);
}

static void test_files_that_are_no_elf(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_bytes(f, "", 0), -ENOEXEC);
    assert_string_equal(f->err.message, "kernel k: expected an uncompressed 64-bit ELF vmlinux "
                                        "with a PVH note: not an ELF file");
    assert_int_equal(load_bytes(f, "MZ a bzImage", 12), -ENOEXEC);
    assert_int_equal(load_bytes(f, &f->image, sizeof(Elf64_Ehdr) - 1), -ENOEXEC);
    f->image.header.e_ident[0] = 'X';
    expect(f, -ENOEXEC, "not an ELF file");
}

static void test_other_architectures(void **state)
{
    struct fixture *f = *state;
    Elf64_Ehdr *header = &f->image.header;

    header->e_machine = EM_AARCH64;
    expect(f, -ENOEXEC, "another architecture");
    header->e_machine = EM_X86_64;
    header->e_ident[EI_CLASS] = ELFCLASS32;
    expect(f, -ENOEXEC, "another architecture");
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2MSB;
    expect(f, -ENOEXEC, "another architecture");
}

static void test_program_headers(void **state)
{
    struct fixture *f = *state;
    Elf64_Ehdr *header = &f->image.header;
    const Elf64_Ehdr good = *header;
    static const uint16_t counts[] = { 0, 33, 0xffff };
    static const uint64_t offsets[] = { sizeof(struct image), 1ull << 40, INT64_MAX, UINT64_MAX };

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        header->e_phnum = counts[i];
        expect(f, -ENOEXEC, "no readable program headers");
    }
    *header = good;
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        header->e_phoff = offsets[i];
        expect(f, -ENOEXEC, "no readable program headers");
    }
    *header = good;
    header->e_phentsize = 32;
    expect(f, -ENOEXEC, "no readable program headers");
    *header = good;
    header->e_phnum = 32;
    assert_int_equal(load(f), 0);
}

/* Every length the file may be cut to. */
static void test_truncated_anywhere(void **state)
{
    struct fixture *f = *state;

    for (size_t length = 0; length < sizeof(f->image); length += length < 2600 ? 1 : 97) {
        assert_int_equal(load_bytes(f, &f->image, length), -ENOEXEC);
        assert_non_null(strstr(f->err.message, "kernel k: expected"));
    }
    assert_int_equal(load_bytes(f, &f->image, sizeof(f->image) - 1), -ENOEXEC);
    assert_non_null(strstr(f->err.message, "the file ends early"));
}

static void test_no_note(void **state)
{
    struct fixture *f = *state;
    uint8_t *notes = f->image.notes;
    Elf64_Phdr *segment = &f->image.segments[1];
    const uint32_t entry = ENTRY;

    segment->p_type = PT_NULL;
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    segment->p_type = PT_NOTE;
    segment->p_filesz = put_note(notes, 17, "Xen", 4, &entry, 4);
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    segment->p_filesz = put_note(notes, 18, "Yen", 4, &entry, 4);
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    segment->p_filesz = put_note(notes, 18, "Xen", 3, &entry, 4);
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    segment->p_filesz = put_note(notes, 18, "Xen", 4, &entry, 2);
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
}

static void test_note_behind_others(void **state)
{
    struct fixture *f = *state;
    uint8_t *notes = f->image.notes;
    const uint64_t entry = ENTRY;
    size_t used = put_note(notes, 3, "GNU", 4, "0123456789abcdef0123", 20);

    used += put_note(notes + used, 6, "Xen", 4, "linux", 6);
    used += put_note(notes + used, 1, "", 0, "", 0);
    /* 64 bits wide, as newer kernels write it. */
    used += put_note(notes + used, 18, "Xen", 4, &entry, 8);
    f->image.segments[1].p_filesz = used;
    assert_int_equal(load(f), 0);
    assert_int_equal(f->kernel.entry, ENTRY);
    /* In the second of two note segments. */
    f->image.segments[2] = f->image.segments[1];
    f->image.segments[1].p_filesz = 16;
    f->image.header.e_phnum = 3;
    assert_int_equal(load(f), 0);
}

static void test_note_sizes_that_overflow(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {
        5, 0x100, 0xffff, 0x10000, 0x7fffffff, 0xfffffffc, 0xffffffff
    };
    Elf64_Nhdr *note = (Elf64_Nhdr *)f->image.notes;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        note->n_namesz = sizes[i];
        note->n_descsz = 4;
        expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
        note->n_namesz = 4;
        note->n_descsz = sizes[i];
        expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    }
    /* The last note's padding is missing: what follows is not in the file. */
    f->image.segments[1].p_filesz = put_note(f->image.notes, 1, "Xen", 4, "five!", 5) - 3;
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    put_note(f->image.notes, 18, "Xen", 4, &(uint32_t) { ENTRY }, 4);
    f->image.segments[1].p_filesz = 19;
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    f->image.segments[1].p_filesz = UINT64_MAX;
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
    f->image.segments[1].p_filesz = 20;
    f->image.segments[1].p_offset = UINT64_MAX - 3;
    expect(f, -ENOEXEC, "no XEN_ELFNOTE_PHYS32_ENTRY note");
}

static void test_segments_in_the_wrong_place(void **state)
{
    struct fixture *f = *state;
    Elf64_Phdr *segment = &f->image.segments[0];
    static const uint64_t low[] = { 0, 0x6000, 0xf0000, 0xfffff };
    static const struct {
        uint64_t address, size;
    } high[] = {
        { MEMORY, 4096 },         { MEMORY - 4095, 4096 }, { MEMORY - 4096, 8192 },
        { 1ull << 40, 4096 },     { 0xc0000000, 4096 },    { 0x100000, MEMORY },
        { 0x100000, 1ull << 60 },
    };

    for (size_t i = 0; i < sizeof(low) / sizeof(low[0]); i++) {
        segment->p_paddr = low[i];
        expect(f, -ENOEXEC, "below 1 MiB");
    }
    for (size_t i = 0; i < sizeof(high) / sizeof(high[0]); i++) {
        segment->p_paddr = high[i].address;
        segment->p_memsz = high[i].size;
        expect(f, -ENOMEM, "too little memory: kernel k needs addresses up to ");
    }
    segment->p_paddr = 0x100000;
    segment->p_memsz = MEMORY - 0x100000;
    assert_int_equal(load(f), 0);
    /* The top of memory is taken by an initramfs. */
    f->limit = MEMORY - 4096;
    expect(f, -ENOMEM, "needs addresses up to 9 MiB, the machine has 7 MiB for it");
}

static void test_sizes_that_contradict_each_other(void **state)
{
    struct fixture *f = *state;
    Elf64_Phdr *segment = &f->image.segments[0];
    const Elf64_Phdr good = *segment;

    segment->p_filesz = segment->p_memsz + 1;
    expect(f, -ENOEXEC, "contradict");
    *segment = good;
    segment->p_memsz = UINT64_MAX;
    expect(f, -ENOEXEC, "contradict");
    *segment = good;
    segment->p_paddr = UINT64_MAX - 100;
    expect(f, -ENOEXEC, "contradict");
    *segment = good;
    segment->p_offset = 1ull << 40;
    expect(f, -ENOEXEC, "the file ends early");
    segment->p_offset = UINT64_MAX;
    assert_int_equal(load(f), -EINVAL);
}

/* The later one wins, within the guest's own memory. */
static void test_segments_that_overlap(void **state)
{
    struct fixture *f = *state;

    f->image.segments[2] = f->image.segments[0];
    f->image.segments[2].p_paddr += 100;
    f->image.segments[2].p_memsz = f->image.segments[2].p_filesz = 64;
    f->image.segments[2].p_offset = offsetof(struct image, notes);
    f->image.header.e_phnum = 3;
    assert_int_equal(load(f), 0);
    assert_memory_equal(f->memory.regions[0].hva + 0x100000 + 100, f->image.notes, 64);
    assert_int_equal(f->kernel.end, 0x102000);
}

static void test_empty_segments_are_passed_over(void **state)
{
    struct fixture *f = *state;

    f->image.segments[2] = (Elf64_Phdr) { .p_type = PT_LOAD };
    f->image.header.e_phnum = 3;
    assert_int_equal(load(f), 0);
    /* Nothing but empty ones: then the entry is nowhere. */
    f->image.segments[0].p_memsz = 0;
    expect(f, -ENOEXEC, "outside its segments");
}

static void test_entry_outside_the_kernel(void **state)
{
    struct fixture *f = *state;
    static const uint32_t entries[] = { 0, 0xfffff, 0x102000, 0xffffffff };

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        put_note(f->image.notes, 18, "Xen", 4, &entries[i], 4);
        expect(f, -ENOEXEC, "entry lies outside its segments");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_kernel),
        TEST(test_files_that_are_no_elf),
        TEST(test_other_architectures),
        TEST(test_program_headers),
        TEST(test_truncated_anywhere),
        TEST(test_no_note),
        TEST(test_note_behind_others),
        TEST(test_note_sizes_that_overflow),
        TEST(test_segments_in_the_wrong_place),
        TEST(test_sizes_that_contradict_each_other),
        TEST(test_segments_that_overlap),
        TEST(test_empty_segments_are_passed_over),
        TEST(test_entry_outside_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
