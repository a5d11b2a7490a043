/* Building a machine from a plan, and the record of how it ended. */
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/initramfs.h"
#include "vmm/last_words.h"

#define INIT_SIZE_MAX (64u << 20)

/* An open file for a plan entry that may be a path or an inherited descriptor. */
static int open_file(const char *what, const char *path, int *fd, struct error *err)
{
    struct stat st;

    if (*fd < 0)
        *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return error_set_errno(err, "%s %s", what, path);
    if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s %s: expected a regular file", what, path ? path : "");
    return 0;
}

static int load(struct machine *machine, struct vm_plan *plan, struct error *err)
{
    char cmdline[4096];
    struct boot_request request = { .cmdline = cmdline, .cpus = plan->cpus };
    struct stat st = { 0 };
    int ret;

    if (arch_format_cmdline(cmdline, sizeof(cmdline), plan->console != CONSOLE_OFF, plan->cmdline) <
        0)
        return error_set(err, EINVAL, "kernel command line: expected at most 2047 bytes in all");
    ret = open_file("kernel", plan->kernel, &plan->kernel_fd, err);
    if (ret < 0)
        return ret;
    request.kernel_fd = plan->kernel_fd;
    request.kernel_name = plan->kernel ? plan->kernel : "image";
    if (plan->init || plan->init_fd >= 0) {
        ret = open_file("init", plan->init, &plan->init_fd, err);
        if (ret < 0)
            return ret;
        if (fstat(plan->init_fd, &st) < 0 || st.st_size > INIT_SIZE_MAX)
            return error_set(err, EFBIG, "init: expected at most %u MiB", INIT_SIZE_MAX >> 20);
        request.initramfs_size = initramfs_size((uint64_t)st.st_size);
        request.initramfs = arch_initramfs_address(&machine->memory, request.initramfs_size);
        if (!request.initramfs)
            return error_set(err, ENOMEM, "too little memory: init alone needs %llu KiB",
                             (unsigned long long)request.initramfs_size >> 10);
    }
    ret = arch_load_kernel(&machine->memory, &request, &machine->boot, err);
    if (ret == 0 && request.initramfs_size)
        ret = initramfs_write(memory_translate(&machine->memory, request.initramfs,
                                               request.initramfs_size),
                              plan->init_fd, (uint64_t)st.st_size, err);
    fd_close(&plan->kernel_fd);
    fd_close(&plan->init_fd);
    return ret;
}

static void vcpu_kicked(int signal)
{
    (void)signal;
}

/*
 * A lock of glibc's default kind lets readers in for as long as there are any: vCPUs that never
 * leave a device alone would keep machine_detach(), and with it the main loop, waiting for ever.
 */
void machine_init_slots(struct machine *machine)
{
    pthread_rwlockattr_t fair;

    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (unsigned int i = 0; i < SLOT_COUNT; i++) {
        machine->slots[i].kick_fd = machine->slots[i].interrupt_fd = -1;
        pthread_rwlock_init(&machine->slots[i].lock, &fair);
    }
    pthread_rwlockattr_destroy(&fair);
}

int machine_create(struct machine *machine, struct vm_plan *plan, struct error *err)
{
    int ret;

    memset(machine, 0, sizeof(*machine));
    machine->kvm.kvm_fd = machine->kvm.vm_fd = machine->end_fd = machine->paused_fd = -1;
    pthread_mutex_init(&machine->gate_lock, NULL);
    pthread_cond_init(&machine->gate, NULL);
    machine_init_slots(machine);
    machine->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    machine->paused_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (machine->end_fd < 0 || machine->paused_fd < 0)
        return error_set_errno(err, "eventfd");
    ret = kvm_open(&machine->kvm, steal_fd(&plan->kvm_fd), err);
    if (ret == 0)
        ret = memory_create(&machine->memory, (uint64_t)plan->memory_mib << 20, err);
    if (ret == 0)
        ret = load(machine, plan, err);
    if (ret == 0)
        ret = kvm_set_memory(&machine->kvm, &machine->memory, err);
    if (ret == 0)
        ret = arch_vm_setup(&machine->kvm, err);
    if (ret < 0)
        return ret;
    machine->vcpus = calloc(plan->cpus, sizeof(*machine->vcpus));
    if (!machine->vcpus)
        return error_set(err, ENOMEM, "out of memory");
    machine->cpu_count = plan->cpus;
    for (unsigned int i = 0; i < plan->cpus && ret == 0; i++)
        ret = vcpu_create(&machine->vcpus[i], machine, i, err);
    return ret;
}

void machine_destroy(struct machine *machine)
{
    for (unsigned int i = 0; machine->vcpus && i < machine->cpu_count; i++)
        vcpu_destroy(&machine->vcpus[i]);
    free(machine->vcpus);
    machine->vcpus = NULL;
    for (unsigned int i = 0; i < SLOT_COUNT; i++)
        machine_release_slot(machine, i);
    kvm_close(&machine->kvm);
    memory_destroy(&machine->memory);
    fd_close(&machine->end_fd);
    fd_close(&machine->paused_fd);
}

int machine_prepare_slot(struct machine *machine, unsigned int slot, struct error *err)
{
    struct slot *s = &machine->slots[slot];

    s->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->kick_fd < 0 || s->interrupt_fd < 0) {
        error_set_errno(err, "eventfd");
        machine_release_slot(machine, slot);
        return -err->code;
    }
    return 0;
}

void machine_release_slot(struct machine *machine, unsigned int slot)
{
    fd_close(&machine->slots[slot].kick_fd);
    fd_close(&machine->slots[slot].interrupt_fd);
}

/* virtio 1.2 §4.2.2: QueueNotify, which is written the queue's number. */
#define REGISTER_QUEUE_NOTIFY 0x50

/*
 * One eventfd for all queues where one thread serves them: each is a grace period in KVM. Return:
 * how many notifications have been set up or taken away, before a failure if there is one.
 */
static unsigned int set_doorbells(struct machine *machine, unsigned int slot, unsigned int count,
                                  bool assign, struct error *err)
{
    const struct slot *s = &machine->slots[slot];
    struct kvm_doorbell bell = {
        .gpa = ARCH_SLOT_BASE + slot * ARCH_SLOT_SIZE + REGISTER_QUEUE_NOTIFY,
        .fd = s->kick_fd,
        .any = s->queue_count == 0,
    };
    unsigned int done = 0;

    for (; done < count; done++) {
        if (!bell.any) {
            bell.fd = s->queue_fds[done];
            bell.value = done;
        }
        if (kvm_ioeventfd(&machine->kvm, &bell, assign, err) < 0)
            break;
    }
    return done;
}

static void set_device(struct slot *slot, struct virtio_device *device)
{
    pthread_rwlock_wrlock(&slot->lock);
    slot->device = device;
    pthread_rwlock_unlock(&slot->lock);
}

static void raise_interrupt(void *line)
{
    const struct slot *slot = line;

    kvm_raise(slot->kvm, slot->gsi);
}

/* The kernel itself raises interrupts of a device that it serves (vhost). */
static bool kernel_interrupts(const struct virtio_device *device)
{
    return device->interrupt_always != 0;
}

int machine_attach_queues(struct machine *machine, unsigned int slot, struct virtio_device *device,
                          const int *queue_fds, unsigned int queue_count, struct error *err)
{
    struct slot *s = &machine->slots[slot];
    unsigned int count = queue_count ? queue_count : 1, done;
    struct error ignored;
    int ret = 0;

    s->queue_count = queue_count;
    if (queue_count)
        memcpy(s->queue_fds, queue_fds, queue_count * sizeof(*queue_fds));
    done = set_doorbells(machine, slot, count, true, err);
    if (done < count)
        ret = -err->code;
    s->kvm = &machine->kvm;
    s->gsi = arch_slot_gsi(slot);
    if (!kernel_interrupts(device)) {
        virtio_device_connect(device, raise_interrupt, s);
    } else if (ret == 0) {
        /* An earlier device of this slot may have left it up. */
        kvm_lower(&machine->kvm, s->gsi);
        ret = kvm_irqfd(&machine->kvm, s->gsi, s->interrupt_fd, true, err);
    }
    if (ret == 0)
        set_device(s, device);
    else
        set_doorbells(machine, slot, done, false, &ignored);
    return ret;
}

int machine_attach(struct machine *machine, unsigned int slot, struct virtio_device *device,
                   struct error *err)
{
    return machine_attach_queues(machine, slot, device, NULL, 0, err);
}

void machine_access(struct machine *machine, uint64_t gpa, void *data, uint32_t length,
                    bool is_write)
{
    uint64_t offset = gpa - ARCH_SLOT_BASE;
    uint32_t reg = (uint32_t)(offset % ARCH_SLOT_SIZE);
    struct slot *slot;

    if (gpa < ARCH_SLOT_BASE || offset >= SLOT_COUNT * ARCH_SLOT_SIZE) {
        /* Nothing there: reads float, writes are lost, as on a bus. */
        if (!is_write)
            memset(data, 0xff, length);
        return;
    }
    slot = &machine->slots[offset / ARCH_SLOT_SIZE];
    pthread_rwlock_rdlock(&slot->lock);
    if (is_write)
        virtio_mmio_write(slot->device, reg, data, length);
    else
        virtio_mmio_read(slot->device, reg, data, length);
    pthread_rwlock_unlock(&slot->lock);
}

void machine_detach(struct machine *machine, unsigned int slot)
{
    struct slot *s = &machine->slots[slot];
    const struct virtio_device *device = s->device;
    struct error ignored;

    if (!device)
        return;
    set_device(s, NULL);
    set_doorbells(machine, slot, s->queue_count ? s->queue_count : 1, false, &ignored);
    if (kernel_interrupts(device))
        (void)kvm_irqfd(&machine->kvm, s->gsi, s->interrupt_fd, false, &ignored);
    s->queue_count = 0;
}

static int pin(const struct vcpu *vcpu, uint32_t cpu, struct error *err)
{
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    int code = ENOMEM;

    if (set) {
        CPU_ZERO_S(size, set);
        CPU_SET_S(cpu, size, set);
        code = pthread_setaffinity_np(vcpu->thread, size, set);
        CPU_FREE(set);
    }
    if (code)
        return error_set(err, code, "run CPU %u of the guest on CPU %u of the host: %s",
                         vcpu->index, cpu, strerror(code));
    return 0;
}

int machine_run(struct machine *machine, const uint32_t *affinity, struct error *err)
{
    /* Its only effect is that KVM_RUN ends. */
    struct sigaction nothing = { .sa_handler = vcpu_kicked, .sa_flags = SA_RESTART };

    sigemptyset(&nothing.sa_mask);
    if (sigaction(VCPU_KICK_SIGNAL, &nothing, NULL) < 0)
        return error_set_errno(err, "signal %d", VCPU_KICK_SIGNAL);
    for (unsigned int i = 0; i < machine->cpu_count; i++) {
        struct vcpu *vcpu = &machine->vcpus[i];
        int code = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu), ret;

        if (code)
            return error_set(err, code, "start CPU %u: %s", i, strerror(code));
        ret = affinity ? pin(vcpu, affinity[i], err) : 0;
        if (ret < 0)
            return ret;
    }
    return 0;
}

void machine_pause(struct machine *machine)
{
    atomic_store(&machine->paused, true);
    for (unsigned int i = 0; i < machine->cpu_count; i++)
        vcpu_kick(&machine->vcpus[i]);
}

void machine_resume(struct machine *machine)
{
    pthread_mutex_lock(&machine->gate_lock);
    atomic_store(&machine->paused, false);
    pthread_cond_broadcast(&machine->gate);
    pthread_mutex_unlock(&machine->gate_lock);
}

bool machine_is_paused(struct machine *machine)
{
    uint64_t count;
    bool all = false;

    if (read(machine->paused_fd, &count, sizeof(count)) == sizeof(count)) {
        pthread_mutex_lock(&machine->gate_lock);
        all = atomic_load(&machine->paused) && machine->parked == machine->cpu_count;
        pthread_mutex_unlock(&machine->gate_lock);
    }
    return all;
}

void machine_set_end(struct machine *machine, enum machine_end end, const struct error *failure)
{
    uint64_t one = 1;

    if (atomic_flag_test_and_set(&machine->end_claimed))
        return;
    if (failure)
        machine->failure = *failure;
    atomic_store(&machine->end, end);
    if (write(machine->end_fd, &one, sizeof(one)) < 0)
        return; /* a fresh eventfd takes 1; nobody could be told of it anyway */
}

static const char *reset_text(struct machine *machine)
{
    static const char known[] = "the guest kernel panicked or reset the machine";
    char words[500];

    if (last_words(&machine->memory, machine->boot.kernel_start, machine->boot.kernel_end, words,
                   sizeof(words)) == 0)
        snprintf(machine->end_text, sizeof(machine->end_text),
                 "%s (VMRT_CONSOLE=stderr shows its log)", known);
    else
        snprintf(machine->end_text, sizeof(machine->end_text), "%s: \"%s\"", known, words);
    return machine->end_text;
}

const char *machine_end_text(struct machine *machine)
{
    switch ((enum machine_end)atomic_load(&machine->end)) {
    case MACHINE_RUNNING:
        return "the virtual machine is running";
    case MACHINE_RESET:
        return reset_text(machine);
    case MACHINE_TRIPLE_FAULT:
        return "the guest ended in a triple fault";
    case MACHINE_FAILED:
    default:
        return machine->failure.message;
    }
}

void machine_print_exits(struct machine *machine, int fd)
{
    static const char *const names[EXIT_REASONS] = {
        [KVM_EXIT_IO] = "io",
        [KVM_EXIT_MMIO] = "mmio",
        [KVM_EXIT_HLT] = "hlt",
        [KVM_EXIT_SHUTDOWN] = "shutdown",
        [KVM_EXIT_INTR] = "signal",
        [KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window",
        [KVM_EXIT_SYSTEM_EVENT] = "system-event",
        [EXIT_REASONS - 1] = "other",
    };

    for (unsigned int reason = 0; reason < EXIT_REASONS; reason++) {
        char line[64];
        uint64_t sum = 0;
        int length;

        for (unsigned int i = 0; i < machine->cpu_count; i++)
            sum += machine->vcpus[i].exits[reason];
        if (sum == 0)
            continue;
        /* dprintf would stat the descriptor, which the sandbox does not allow. */
        if (names[reason])
            length = snprintf(line, sizeof(line), "exits %s %llu\n", names[reason],
                              (unsigned long long)sum);
        else
            length = snprintf(line, sizeof(line), "exits reason-%u %llu\n", reason,
                              (unsigned long long)sum);
        fd_write_full(fd, line, (size_t)length);
    }
}
