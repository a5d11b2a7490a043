/*
 * The system calls that each thread of vmrt-vmm may make. The file server's stand beside its code.
 *
 * ALLOW(call) allows a call with any arguments; ALLOW_IF(call, argument, mask, value) only when
 * (argument & mask) == value. test/unit/data/syscalls.txt holds a copy of each list, so that growth
 * is a decision.
 */
#ifndef VMRT_VMM_SANDBOX_RULES_H
#define VMRT_VMM_SANDBOX_RULES_H

#include <linux/kvm.h>
#include <sys/mman.h>

#include "vmm/virtio/fs/syscalls.h"

#define ANY_BITS 0xffffffffull

/* What malloc, stdio on descriptors, mutexes and ending need; in every thread but the vCPUs'. */
#define COMMON_SYSCALLS(ALLOW, ALLOW_IF) \
    ALLOW(brk)                           \
    ALLOW(clock_gettime)                 \
    ALLOW(close)                         \
    ALLOW(exit)                          \
    ALLOW(exit_group)                    \
    ALLOW(futex)                         \
    ALLOW(madvise)                       \
    ALLOW(mremap)                        \
    ALLOW(munmap)                        \
    ALLOW(ppoll)                         \
    ALLOW(read)                          \
    ALLOW(rt_sigprocmask)                \
    ALLOW(rt_sigreturn)                  \
    ALLOW(write)                         \
    ALLOW_IF(mmap, 2, PROT_EXEC, 0)      \
    ALLOW_IF(mprotect, 2, PROT_EXEC, 0)

#define MAIN_SYSCALLS(ALLOW, ALLOW_IF)          \
    COMMON_SYSCALLS(ALLOW, ALLOW_IF)            \
    ALLOW(accept4)                              \
    ALLOW(epoll_ctl)                            \
    ALLOW(epoll_wait)                           \
    ALLOW(getrandom)                            \
    ALLOW(poll)                                 \
    ALLOW(recvfrom)                             \
    ALLOW(sendto)                               \
    ALLOW(writev)                               \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_IOEVENTFD) \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_IRQFD)

/* clock_gettime, ppoll and write: a report that the guest's driver broke its device. */
#define VCPU_SYSCALLS(ALLOW, ALLOW_IF) \
    ALLOW(clock_gettime)               \
    ALLOW(exit)                        \
    ALLOW(exit_group)                  \
    ALLOW(futex)                       \
    ALLOW(madvise)                     \
    ALLOW(munmap)                      \
    ALLOW(ppoll)                       \
    ALLOW(rt_sigprocmask)              \
    ALLOW(rt_sigreturn)                \
    ALLOW(write)                       \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_RUN)

#define FILE_SERVER_SYSCALLS(ALLOW, ALLOW_IF) \
    COMMON_SYSCALLS(ALLOW, ALLOW_IF)          \
    FS_SYSCALLS(ALLOW)

#endif
