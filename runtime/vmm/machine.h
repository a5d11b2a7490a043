/*
 * The machine: memory, vCPUs and device slots. It knows nothing of what runs inside.
 *
 * Threads: one per vCPU, which only runs the guest and answers its register accesses; whoever
 * created the machine runs the loop. A machine ends once: the first reason to end is kept and
 * `end_fd` becomes readable.
 */
#ifndef VMRT_VMM_MACHINE_H
#define VMRT_VMM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/error.h"
#include "vmm/arch.h"
#include "vmm/kvm.h"
#include "vmm/memory.h"
#include "vmm/plan.h"
#include "vmm/virtio/device.h"

/* Why the guest stopped by itself. */
enum machine_end {
    MACHINE_RUNNING,
    MACHINE_RESET,        /* the kernel asked for a reset: it panicked, or init gave up */
    MACHINE_TRIPLE_FAULT, /* KVM_EXIT_SHUTDOWN */
    MACHINE_FAILED,       /* KVM could not go on; see `failure` */
};

/* The first real-time signal that the C library leaves free (nptl(7)). */
#define VCPU_KICK_SIGNAL 34

/* Exits to user space, by KVM_EXIT_* number; the last counts all others. */
#define EXIT_REASONS 64

struct machine;

struct vcpu {
    struct machine *machine;
    unsigned int index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    timer_t kick; /* sends VCPU_KICK_SIGNAL to the thread: makes it leave the guest */
    atomic_bool has_kick;
    uint64_t exits[EXIT_REASONS];
    struct early_console early;
};

struct slot {
    /* Read: a vCPU is in the device; write: it comes or goes, before vCPUs that come later. */
    pthread_rwlock_t lock;
    struct virtio_device *device; /* NULL: empty, reads as DeviceID 0 */
    int kick_fd;                  /* eventfd: the driver notified */
    int interrupt_fd;             /* eventfd: raises the slot's interrupt when the kernel signals */
    const struct kvm *kvm;        /* whose interrupt it is */
    uint32_t gsi;
    /* Eventfds of the device's single queues; 0 of them: kick_fd is for all. */
    int queue_fds[DEVICE_QUEUES_MAX];
    unsigned int queue_count;
};

struct machine {
    struct kvm kvm;
    struct guest_memory memory;
    struct boot boot;
    struct slot slots[SLOT_COUNT];
    struct vcpu *vcpus;
    unsigned int cpu_count;
    int end_fd;                 /* eventfd, readable once the machine has ended */
    atomic_int end;             /* enum machine_end */
    atomic_flag end_claimed;    /* the first thread to end the machine gets to say why */
    struct error failure;       /* MACHINE_FAILED: valid once `end` says so */
    char end_text[600];         /* what machine_end_text() has put together */
    void (*vcpu_prepare)(void); /* run by each vCPU thread before the guest (its sandbox) */
    /* Pause: vCPUs that find `paused` wait at the gate. */
    atomic_bool paused;
    pthread_mutex_t gate_lock;
    pthread_cond_t gate;
    unsigned int parked; /* vCPUs at the gate; under gate_lock */
    int paused_fd;       /* eventfd, readable once all of them are there */
};

/**
 * machine_create() - build a machine that is ready to run.
 * @plan: memory, CPUs, kernel, init. The plan's kernel_fd, init_fd and kvm_fd are used and closed.
 * Return: 0 or -errno; call machine_destroy() in either case.
 */
int machine_create(struct machine *machine, struct vm_plan *plan, struct error *err);
void machine_destroy(struct machine *machine);
/* Every slot empty and with its lock, as machine_create() has them; for tests. */
void machine_init_slots(struct machine *machine);

/*
 * Puts a device into the slot; before the guest runs it is found at boot, later only once the guest
 * is told to bind the slot (DESIGN: late binding).
 */
int machine_attach(struct machine *machine, unsigned int slot, struct virtio_device *device,
                   struct error *err);
/*
 * Likewise, with notifications of each queue signalled to an eventfd of its own: @queue_fds[queue],
 * which stay open until machine_detach().
 */
int machine_attach_queues(struct machine *machine, unsigned int slot, struct virtio_device *device,
                          const int *queue_fds, unsigned int queue_count, struct error *err);
/**
 * machine_detach() - make the slot empty again; the guest has let go of it, or never will.
 *
 * When this returns, no vCPU is in the device and none comes to it, and the device may be
 * destroyed; then machine_release_slot() closes the eventfds. From any thread; an empty slot stays
 * one.
 */
void machine_detach(struct machine *machine, unsigned int slot);
/*
 * An access of a vCPU to what is no RAM, in its thread: @length of 1 to 8 bytes at @data, which is
 * filled in by a read.
 */
void machine_access(struct machine *machine, uint64_t gpa, void *data, uint32_t length,
                    bool is_write);
/* Prepares a slot's eventfds; devices need them when they are created. Return: 0 or -errno. */
int machine_prepare_slot(struct machine *machine, unsigned int slot, struct error *err);
void machine_release_slot(struct machine *machine, unsigned int slot);

/**
 * machine_run() - start the vCPU threads.
 * @affinity: CPU of the host for each vCPU, or NULL.
 * Return: 0 or -errno; -EINVAL for a CPU that may not be used.
 */
int machine_run(struct machine *machine, const uint32_t *affinity, struct error *err);

/**
 * machine_pause() - begin to stop all vCPUs, wherever in the guest they are.
 *
 * paused_fd becomes readable when none runs any more. Devices go on; time in the guest does, too.
 */
void machine_pause(struct machine *machine);
/* Lets the vCPUs go on; also while some have not stopped yet. */
void machine_resume(struct machine *machine);
/* Whether paused_fd means what it says: all vCPUs wait at the gate now. Drains it. */
bool machine_is_paused(struct machine *machine);

/* What an end means, in words for the log. Return: static text, or machine->failure's. */
const char *machine_end_text(struct machine *machine);

/* Adds up exits by reason over all vCPUs and prints them on @fd, one "exits NAME COUNT" a line. */
void machine_print_exits(struct machine *machine, int fd);

/* From a vCPU thread: records why the machine ended. Only the first call counts. */
void machine_set_end(struct machine *machine, enum machine_end end, const struct error *failure);

/* vcpu.c */
int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned int index, struct error *err);
void vcpu_destroy(struct vcpu *vcpu);
/* The thread's body. */
void *vcpu_main(void *vcpu);
/* From another thread: leave the guest and look at `paused`. */
void vcpu_kick(struct vcpu *vcpu);

#endif
