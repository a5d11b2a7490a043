/* Opening programs, kernel and /dev/kvm. */
#include "oci/files.h"

#include <build.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/access.h"

#define KVM_DEVICE      "/dev/kvm"
#define PVH_NOTE_NAME   "Xen"
#define PVH_NOTE_TYPE   18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PROGRAM_HEADERS 64u
#define NOTES_MAX       65536u

static bool beside_ourselves(char *directory)
{
    char probe[PATH_MAX + 16];
    ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);
    char *slash;

    if (length <= 0)
        return false;
    directory[length] = '\0';
    slash = strrchr(directory, '/');
    if (!slash)
        return false;
    *slash = '\0';
    snprintf(probe, sizeof(probe), "%s/vmrt-vmm", directory);
    return access(probe, X_OK) == 0;
}

void files_programs(char *out)
{
    if (!beside_ourselves(out))
        snprintf(out, PATH_MAX, "%s", BUILD_LIBEXECDIR);
}

void files_default_kernel(char *out)
{
    char directory[PATH_MAX];

    if (beside_ourselves(directory) &&
        snprintf(out, PATH_MAX, "%s/vmlinux", directory) < PATH_MAX && access(out, R_OK) == 0)
        return;
    snprintf(out, PATH_MAX, "%s", BUILD_KERNEL);
}

/* Looks for the PVH note among the bytes of one PT_NOTE segment. */
static bool has_pvh_note(const unsigned char *data, size_t length)
{
    while (length >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        size_t name, descriptor;

        memcpy(&note, data, sizeof(note));
        data += sizeof(note);
        length -= sizeof(note);
        name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
        descriptor = ((size_t)note.n_descsz + 3) & ~(size_t)3;
        if (name > length || descriptor > length - name)
            return false;
        if (note.n_type == PVH_NOTE_TYPE && note.n_namesz == sizeof(PVH_NOTE_NAME) &&
            memcmp(data, PVH_NOTE_NAME, sizeof(PVH_NOTE_NAME)) == 0)
            return true;
        data += name + descriptor;
        length -= name + descriptor;
    }
    return false;
}

static bool read_at(int fd, void *data, size_t length, uint64_t offset)
{
    return offset <= INT64_MAX && pread(fd, data, length, (off_t)offset) == (ssize_t)length;
}

static bool segment_has_note(int fd, const Elf64_Phdr *segment)
{
    unsigned char *data;
    bool found;

    if (segment->p_type != PT_NOTE || segment->p_filesz > NOTES_MAX)
        return false;
    data = malloc(segment->p_filesz + 1);
    if (!data)
        return false;
    found = read_at(fd, data, segment->p_filesz, segment->p_offset) &&
            has_pvh_note(data, segment->p_filesz);
    free(data);
    return found;
}

int files_check_kernel(int fd, const char *name, struct error *err)
{
    Elf64_Ehdr header;

    if (!read_at(fd, &header, sizeof(header), 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr))
        return error_set(err, ENOEXEC,
                         "guest kernel %s is not a 64-bit ELF file: expected an uncompressed "
                         "vmlinux, not a bzImage",
                         name);
    for (unsigned int i = 0; i < header.e_phnum && i < PROGRAM_HEADERS; i++) {
        Elf64_Phdr segment;

        if (!read_at(fd, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment)))
            break;
        if (segment_has_note(fd, &segment))
            return 0;
    }
    return error_set(err, ENOEXEC,
                     "guest kernel %s has no PVH entry note: build it with CONFIG_PVH=y", name);
}

int files_open_kvm(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    int version;

    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        return error_set(err, errno,
                         "%s: %s: load the module kvm_intel or kvm_amd, and see \"vmrt check\"",
                         path, strerror(errno));
    if (fd < 0 && (errno == EACCES || errno == EPERM)) {
        char remedy[256];
        int code = errno;

        access_remedy(path, remedy, sizeof(remedy));
        /* runc's words for it, which engines turn into a status. */
        return error_set(err, code, "%s: permission denied: %s", path, remedy);
    }
    if (fd < 0)
        return error_set_errno(err, "%s", path);
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return error_set(err, ENODEV, "%s is not a usable KVM device: see \"vmrt check\"", path);
    return steal_fd(&fd);
}

static int open_program(const char *directory, const char *name, struct error *err)
{
    char path[PATH_MAX + 32];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "%s: %s: vmrt is not completely installed", path,
                         strerror(errno));
    return fd;
}

static int open_kernel(const struct plan *plan, struct error *err)
{
    char preset[PATH_MAX];
    const char *path = plan->kernel;
    _cleanup_close_ int fd = -1;
    struct stat st;
    int ret;

    if (!path) {
        files_default_kernel(preset);
        path = preset;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, errno,
                         "guest kernel %s: %s: install one there, or name one with the setting "
                         "\"kernel\"",
                         path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, ENOEXEC, "guest kernel %s is not a regular file", path);
    ret = files_check_kernel(fd, path, err);
    return ret < 0 ? ret : steal_fd(&fd);
}

/* A container may have named the file: it must not lead out of the directory that was allowed. */
static int open_console(const struct plan *plan, struct error *err)
{
    int fd;

    if (plan->console[0] != '/')
        return -1;
    fd = open(plan->console,
              O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    return fd < 0 ? error_set_errno(err, "console %s", plan->console) : fd;
}

int files_open(const struct plan *plan, struct machine_files *files, struct error *err)
{
    char programs[PATH_MAX];
    bool console = plan->console[0] == '/';

    *files = (struct machine_files)MACHINE_FILES_NONE;
    files_programs(programs);
    files->vmm = open_program(programs, "vmrt-vmm", err);
    if (files->vmm >= 0)
        files->init = open_program(programs, "vmrt-init", err);
    if (files->init >= 0)
        files->kernel = open_kernel(plan, err);
    if (files->kernel >= 0)
        files->kvm = files_open_kvm(KVM_DEVICE, err);
    if (files->kvm >= 0)
        files->console = open_console(plan, err);
    if (files->kvm >= 0 && (files->console >= 0 || !console))
        return 0;
    files_close(files);
    return -err->code;
}

void files_close(struct machine_files *files)
{
    fd_close(&files->vmm);
    fd_close(&files->kvm);
    fd_close(&files->kernel);
    fd_close(&files->init);
    fd_close(&files->console);
}
