/* KVM objects common to every architecture: the VM, its memory, its eventfds. */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/fd.h"

static const struct {
    int extension;
    const char *name;
} required[] = {
    { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
    { KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
    { KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

static int open_device(struct error *err)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    switch (errno) {
    case ENOENT:
        return error_set(err, ENOENT,
                         "/dev/kvm does not exist: load kvm_intel or kvm_amd "
                         "(vmrt check says more)");
    case EACCES:
        return error_set(err, EACCES, "/dev/kvm: permission denied: join the group that owns it");
    default:
        return error_set_errno(err, "open /dev/kvm");
    }
}

int kvm_open(struct kvm *kvm, int kvm_fd, struct error *err)
{
    _cleanup_close_ int device = kvm_fd;
    int version;

    *kvm = (struct kvm) { .kvm_fd = -1, .vm_fd = -1 };
    if (device < 0) {
        device = open_device(err);
        if (device < 0)
            return device;
    }
    version = ioctl(device, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return error_set_errno(err, "/dev/kvm is not a KVM device: KVM_GET_API_VERSION");
    if (version != KVM_API_VERSION)
        return error_set(err, ENOTSUP, "/dev/kvm: expected KVM API %d, found %d", KVM_API_VERSION,
                         version);
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (ioctl(device, KVM_CHECK_EXTENSION, required[i].extension) <= 0)
            return error_set(err, ENOTSUP, "/dev/kvm lacks %s", required[i].name);
    kvm->run_size = ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (kvm->run_size < (int)sizeof(struct kvm_run))
        return error_set(err, ENOTSUP, "/dev/kvm: KVM_GET_VCPU_MMAP_SIZE gave %d", kvm->run_size);
    /* A signal makes KVM_CREATE_VM fail with EINTR: simply again. */
    do
        kvm->vm_fd = ioctl(device, KVM_CREATE_VM, 0);
    while (kvm->vm_fd < 0 && errno == EINTR);
    if (kvm->vm_fd < 0)
        return error_set_errno(err, "create a virtual machine (KVM_CREATE_VM)");
    kvm->kvm_fd = steal_fd(&device);
    return 0;
}

void kvm_close(struct kvm *kvm)
{
    fd_close(&kvm->vm_fd);
    fd_close(&kvm->kvm_fd);
}

int kvm_set_memory(struct kvm *kvm, const struct guest_memory *memory, struct error *err)
{
    for (unsigned int i = 0; i < memory->count; i++) {
        struct kvm_userspace_memory_region region = {
            .slot = i,
            .guest_phys_addr = memory->regions[i].gpa,
            .memory_size = memory->regions[i].size,
            .userspace_addr = (uintptr_t)memory->regions[i].hva,
        };

        if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
            return error_set_errno(err, "guest memory: KVM_SET_USER_MEMORY_REGION");
    }
    return 0;
}

int kvm_ioeventfd(struct kvm *kvm, const struct kvm_doorbell *doorbell, bool assign,
                  struct error *err)
{
    struct kvm_ioeventfd request = {
        .addr = doorbell->gpa,
        .len = 4,
        .fd = doorbell->fd,
        .datamatch = doorbell->value,
        .flags = (doorbell->any ? 0u : (uint32_t)KVM_IOEVENTFD_FLAG_DATAMATCH) |
                 (assign ? 0u : (uint32_t)KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    if (ioctl(kvm->vm_fd, KVM_IOEVENTFD, &request) < 0)
        return error_set_errno(err, "KVM_IOEVENTFD at 0x%llx", (unsigned long long)doorbell->gpa);
    return 0;
}

/* Cannot fail: the chip is there, and so is the pin. */
static void set_line(const struct kvm *kvm, uint32_t gsi, uint32_t level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    (void)ioctl(kvm->vm_fd, KVM_IRQ_LINE, &line);
}

/*
 * Down before up, and up it stays. What is raised while the line is up already is lost to KVM: then
 * another thread has raised it since this one put it down, and the guest's handler, which runs
 * after that, finds what this one has to say. The other way round it might run before.
 */
void kvm_raise(const struct kvm *kvm, uint32_t gsi)
{
    set_line(kvm, gsi, 0);
    set_line(kvm, gsi, 1);
}

void kvm_lower(const struct kvm *kvm, uint32_t gsi)
{
    set_line(kvm, gsi, 0);
}

int kvm_irqfd(struct kvm *kvm, uint32_t gsi, int fd, bool assign, struct error *err)
{
    struct kvm_irqfd request = { .fd = (uint32_t)fd,
                                 .gsi = gsi,
                                 .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN };

    if (ioctl(kvm->vm_fd, KVM_IRQFD, &request) < 0)
        return error_set_errno(err, "KVM_IRQFD for interrupt %u", gsi);
    return 0;
}
