/* A vCPU: runs the guest, answers register accesses, and says when the machine is over. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/machine.h"

int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned int index, struct error *err)
{
    vcpu->machine = machine;
    vcpu->index = index;
    vcpu->fd = ioctl(machine->kvm.vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu->fd < 0)
        return error_set_errno(err, "create CPU %u (KVM_CREATE_VCPU)", index);
    vcpu->run =
        mmap(NULL, (size_t)machine->kvm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) {
        vcpu->run = NULL;
        return error_set_errno(err, "map CPU %u", index);
    }
    return arch_vcpu_setup(&machine->kvm, vcpu->fd, index, machine->cpu_count, &machine->boot, err);
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, (size_t)vcpu->machine->kvm.run_size);
    if (vcpu->machine)
        close(vcpu->fd);
}

static void handle_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    uint64_t offset = run->mmio.phys_addr - ARCH_SLOT_BASE;
    uint32_t length = run->mmio.len <= 8 ? run->mmio.len : 8;

    if (run->mmio.phys_addr < ARCH_SLOT_BASE || offset >= SLOT_COUNT * ARCH_SLOT_SIZE) {
        /* Nothing there: reads float, writes are lost, as on a bus. */
        if (!run->mmio.is_write)
            memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
        return;
    }
    struct virtio_device *device =
        atomic_load(&vcpu->machine->slots[offset / ARCH_SLOT_SIZE].device);
    uint32_t reg = (uint32_t)(offset % ARCH_SLOT_SIZE);
    if (run->mmio.is_write)
        virtio_mmio_write(device, reg, run->mmio.data, length);
    else
        virtio_mmio_read(device, reg, run->mmio.data, length);
}

/* Return: false when this CPU has run for the last time. */
static bool handle_exit(struct vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    struct kvm_run *run = vcpu->run;
    struct error failure = { 0 };

    vcpu->exits[run->exit_reason < EXIT_REASONS - 1 ? run->exit_reason : EXIT_REASONS - 1]++;
    switch (run->exit_reason) {
    case KVM_EXIT_MMIO:
        handle_mmio(vcpu);
        return true;
    case KVM_EXIT_IO:
        if (arch_handle_io(run) == ARCH_CONTINUE)
            return true;
        machine_set_end(machine, MACHINE_RESET, NULL);
        return false;
    case KVM_EXIT_SHUTDOWN:
        machine_set_end(machine, MACHINE_TRIPLE_FAULT, NULL);
        return false;
    case KVM_EXIT_SYSTEM_EVENT:
        machine_set_end(machine, MACHINE_RESET, NULL);
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        error_set(&failure, EIO, "KVM could not enter the guest on CPU %u (hardware reason 0x%llx)",
                  vcpu->index, (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        error_set(&failure, EIO,
                  "KVM internal error on CPU %u (suberror %u): this KVM cannot run the guest's "
                  "code; vmrt check says whether the host is able to",
                  vcpu->index, run->internal.suberror);
        break;
    default:
        error_set(&failure, EIO, "unexpected KVM exit %u on CPU %u", run->exit_reason, vcpu->index);
        break;
    }
    machine_set_end(machine, MACHINE_FAILED, &failure);
    return false;
}

void *vcpu_main(void *context)
{
    struct vcpu *vcpu = context;
    struct error failure;

    if (vcpu->machine->vcpu_prepare)
        vcpu->machine->vcpu_prepare();
    for (;;) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            if (!handle_exit(vcpu))
                break;
        } else if (errno != EINTR && errno != EAGAIN) {
            error_set_errno(&failure, "run CPU %u (KVM_RUN)", vcpu->index);
            machine_set_end(vcpu->machine, MACHINE_FAILED, &failure);
            break;
        }
    }
    return NULL;
}
