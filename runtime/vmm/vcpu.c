/* A vCPU: runs the guest, answers register accesses, and says when the machine is over. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
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

    machine_access(vcpu->machine, run->mmio.phys_addr, run->mmio.data,
                   run->mmio.len <= 8 ? run->mmio.len : 8, run->mmio.is_write);
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
        if (arch_handle_io(run, &vcpu->early) == ARCH_CONTINUE)
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

/*
 * A timer whose signal goes to this thread alone. The threads of the sandbox may set timers; tgkill
 * would let them end other processes of their user.
 */
static int make_kick(struct vcpu *vcpu)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = VCPU_KICK_SIGNAL };

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &vcpu->kick) < 0)
        return -errno;
    atomic_store(&vcpu->has_kick, true);
    return 0;
}

/*
 * `paused` is set before: a vCPU that looked too early finds immediate_exit when it enters KVM_RUN,
 * or is in it already and gets the signal. One without a timer has not looked yet.
 */
void vcpu_kick(struct vcpu *vcpu)
{
    const struct itimerspec now = { .it_value.tv_nsec = 1 };

    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (atomic_load(&vcpu->has_kick))
        timer_settime(vcpu->kick, 0, &now, NULL);
}

/* Waits while the machine is paused. */
static void wait_at_gate(struct vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    const uint64_t one = 1;

    pthread_mutex_lock(&machine->gate_lock);
    while (atomic_load(&machine->paused)) {
        ssize_t ignored = 0;

        /* It is full only when it is signalled already. */
        if (++machine->parked == machine->cpu_count)
            ignored = write(machine->paused_fd, &one, sizeof(one));
        (void)ignored;
        pthread_cond_wait(&machine->gate, &machine->gate_lock);
        machine->parked--;
    }
    pthread_mutex_unlock(&machine->gate_lock);
    arch_vcpu_resumed(vcpu->fd);
}

void *vcpu_main(void *context)
{
    struct vcpu *vcpu = context;
    struct machine *machine = vcpu->machine;
    struct error failure;

    if (make_kick(vcpu) < 0) {
        error_set_errno(&failure, "timer of CPU %u", vcpu->index);
        machine_set_end(machine, MACHINE_FAILED, &failure);
        return NULL;
    }
    if (machine->vcpu_prepare)
        machine->vcpu_prepare();
    for (;;) {
        if (atomic_load(&machine->paused))
            wait_at_gate(vcpu);
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            if (!handle_exit(vcpu))
                break;
        } else if (errno == EINTR) {
            /* Before `paused` is looked at again, or the next kick could be lost here. */
            __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        } else if (errno != EAGAIN) {
            error_set_errno(&failure, "run CPU %u (KVM_RUN)", vcpu->index);
            machine_set_end(machine, MACHINE_FAILED, &failure);
            break;
        }
    }
    return NULL;
}
