/* The ELF loader: every length and offset of the file is checked before it is used. */
#include "vmm/x86/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/x86/layout.h"

#define PROGRAM_HEADERS_MAX      32
#define NOTES_MAX                65536u
#define XEN_ELFNOTE_PHYS32_ENTRY 18

static int read_at(int fd, void *data, uint64_t length, uint64_t offset)
{
    uint8_t *at = data;

    while (length) {
        ssize_t n = pread(fd, at, length, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENOEXEC;
        at += n;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

static int bad(struct error *err, const char *name, const char *why)
{
    return error_set(err, ENOEXEC,
                     "kernel %s: expected an uncompressed 64-bit ELF vmlinux with a PVH note: %s",
                     name, why);
}

/* Walks one PT_NOTE segment. Return: 1 found, 0 not in it. */
static int find_entry(const uint8_t *notes, size_t length, uint32_t *entry)
{
    size_t at = 0;

    while (length - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        size_t name, description;

        memcpy(&note, notes + at, sizeof(note));
        name = at + sizeof(note);
        if (note.n_namesz > NOTES_MAX || note.n_descsz > NOTES_MAX)
            return 0;
        description = name + ((note.n_namesz + 3u) & ~3u);
        at = description + ((note.n_descsz + 3u) & ~3u);
        if (description + note.n_descsz > length || at > length)
            return 0;
        if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
            memcmp(notes + name, "Xen", 4) == 0 && note.n_descsz >= 4) {
            memcpy(entry, notes + description, sizeof(*entry));
            return 1;
        }
    }
    return 0;
}

static int load_segment(int fd, const char *name, const Elf64_Phdr *segment,
                        const struct guest_memory *memory, uint64_t limit,
                        struct elf_kernel *kernel, struct error *err)
{
    uint64_t end = segment->p_paddr + segment->p_memsz;
    void *to;
    int ret;

    if (segment->p_filesz > segment->p_memsz || end < segment->p_paddr)
        return bad(err, name, "a segment's sizes contradict each other");
    if (segment->p_paddr < LAYOUT_HIGH_MEMORY)
        return bad(err, name, "a segment lies below 1 MiB");
    to = end <= limit ? memory_translate(memory, segment->p_paddr, segment->p_memsz) : NULL;
    if (!to)
        return error_set(err, ENOMEM,
                         "too little memory: kernel %s needs addresses up to %llu MiB, the machine "
                         "has %llu MiB for it",
                         name, (unsigned long long)(end >> 20) + 1,
                         (unsigned long long)(limit >> 20));
    /* Fresh guest memory is zero, so that bss needs no clearing. */
    ret = read_at(fd, to, segment->p_filesz, segment->p_offset);
    if (ret == -ENOEXEC)
        return bad(err, name, "the file ends early");
    if (ret < 0)
        return error_set(err, -ret, "kernel %s: read: %s", name, strerror(-ret));
    if (end > kernel->end)
        kernel->end = end;
    if (segment->p_paddr < kernel->start)
        kernel->start = segment->p_paddr;
    return 0;
}

static int read_notes(int fd, const Elf64_Phdr *segment, uint32_t *entry)
{
    static uint8_t notes[NOTES_MAX];

    if (segment->p_filesz > sizeof(notes) ||
        read_at(fd, notes, segment->p_filesz, segment->p_offset) < 0)
        return 0;
    return find_entry(notes, segment->p_filesz, entry);
}

int elf_load(int fd, const char *name, const struct guest_memory *memory, uint64_t limit,
             struct elf_kernel *kernel, struct error *err)
{
    Elf64_Phdr segments[PROGRAM_HEADERS_MAX] = { 0 };
    Elf64_Ehdr header = { 0 };
    int found = 0, ret = 0;

    *kernel = (struct elf_kernel) { .start = UINT64_MAX };
    if (read_at(fd, &header, sizeof(header), 0) < 0 || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return bad(err, name, "not an ELF file");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64)
        return bad(err, name, "an ELF file of another architecture");
    if (header.e_phentsize != sizeof(segments[0]) || header.e_phnum == 0 ||
        header.e_phnum > PROGRAM_HEADERS_MAX ||
        read_at(fd, segments, header.e_phnum * sizeof(segments[0]), header.e_phoff) < 0)
        return bad(err, name, "no readable program headers");
    for (unsigned int i = 0; i < header.e_phnum && !found; i++)
        if (segments[i].p_type == PT_NOTE)
            found = read_notes(fd, &segments[i], &kernel->entry);
    if (!found)
        return bad(err, name, "it has no XEN_ELFNOTE_PHYS32_ENTRY note (CONFIG_PVH)");
    for (unsigned int i = 0; i < header.e_phnum && ret == 0; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_memsz)
            ret = load_segment(fd, name, &segments[i], memory, limit, kernel, err);
    if (ret == 0 && (kernel->entry < LAYOUT_HIGH_MEMORY || kernel->entry >= kernel->end))
        return bad(err, name, "its PVH entry lies outside its segments");
    return ret;
}
