/*
 * The system calls that each thread of vmrt-vmm may make. The file server's stand beside its code.
 *
 * ALLOW(call) allows a call with any arguments; ALLOW_IF(call, argument, mask, value) only when
 * (argument & mask) == value. test/unit/data/syscalls.txt holds a copy of each list, so that growth
 * is a decision.
 */
#ifndef VMRT_VMM_SANDBOX_RULES_H
#define VMRT_VMM_SANDBOX_RULES_H

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vmm/virtio/fs/syscalls.h"
#include "vmm/virtio/net_syscalls.h"

#define ANY_BITS 0xffffffffull

/* All flags but the access mode; the kernel adds O_LARGEFILE itself. */
#define OPEN_ANEW_FLAGS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define OPEN_ANEW_MASK  (ANY_BITS & ~(uint64_t)O_ACCMODE)

/*
 * What malloc, stdio on descriptors, mutexes, ending and interrupts of the guest need; in every
 * thread but the vCPUs'.
 */
#define COMMON_SYSCALLS(ALLOW, ALLOW_IF)       \
    ALLOW(brk)                                 \
    ALLOW(clock_gettime)                       \
    ALLOW(close)                               \
    ALLOW(exit)                                \
    ALLOW(exit_group)                          \
    ALLOW(futex)                               \
    ALLOW(madvise)                             \
    ALLOW(mremap)                              \
    ALLOW(munmap)                              \
    ALLOW(ppoll)                               \
    ALLOW(read)                                \
    ALLOW(rt_sigprocmask)                      \
    ALLOW(rt_sigreturn)                        \
    ALLOW(write)                               \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_IRQ_LINE) \
    ALLOW_IF(mmap, 2, PROT_EXEC, 0)            \
    ALLOW_IF(mprotect, 2, PROT_EXEC, 0)

/*
 * Streams of a process that is executed later: recvmsg brings their descriptors, fstat (newfstatat
 * of nothing but a descriptor) tells what they are, openat opens pipes and terminals anew through
 * /proc/self/fd, fcntl duplicates the others. openat neither creates nor truncates, and waits for
 * nothing; shutdown passes on that the guest did it to a socket. pread64 reads the description of
 * the process. Timers: timer_settime stops vCPUs, timerfd_settime lets the loop come back. Network
 * devices are made when their interfaces appear.
 */
#define MAIN_SYSCALLS(ALLOW, ALLOW_IF)                   \
    COMMON_SYSCALLS(ALLOW, ALLOW_IF)                     \
    NET_CREATE_SYSCALLS(ALLOW, ALLOW_IF)                 \
    ALLOW(accept4)                                       \
    ALLOW(epoll_ctl)                                     \
    ALLOW(epoll_wait)                                    \
    ALLOW(getrandom)                                     \
    ALLOW(poll)                                          \
    ALLOW(pread64)                                       \
    ALLOW(recvfrom)                                      \
    ALLOW(recvmsg)                                       \
    ALLOW(sendto)                                        \
    ALLOW_IF(shutdown, 1, ANY_BITS, SHUT_WR)             \
    ALLOW(timer_settime)                                 \
    ALLOW(timerfd_settime)                               \
    ALLOW(writev)                                        \
    ALLOW_IF(fcntl, 1, ANY_BITS, F_DUPFD_CLOEXEC)        \
    ALLOW_IF(newfstatat, 3, ANY_BITS, AT_EMPTY_PATH)     \
    ALLOW_IF(openat, 2, OPEN_ANEW_MASK, OPEN_ANEW_FLAGS) \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_IOEVENTFD)          \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_IRQFD)              \
    ALLOW_IF(ioctl, 1, ANY_BITS, TIOCGWINSZ)

/*
 * clock_gettime, ppoll and write: a report that the guest's driver broke its device. KVMCLOCK_CTRL:
 * after a pause. Waiting for its end is futex.
 */
#define VCPU_SYSCALLS(ALLOW, ALLOW_IF)              \
    NET_RESET_SYSCALLS(ALLOW, ALLOW_IF)             \
    ALLOW(clock_gettime)                            \
    ALLOW(exit)                                     \
    ALLOW(exit_group)                               \
    ALLOW(futex)                                    \
    ALLOW(madvise)                                  \
    ALLOW(munmap)                                   \
    ALLOW(ppoll)                                    \
    ALLOW(rt_sigprocmask)                           \
    ALLOW(rt_sigreturn)                             \
    ALLOW(write)                                    \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_IRQ_LINE)      \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_KVMCLOCK_CTRL) \
    ALLOW_IF(ioctl, 1, ANY_BITS, KVM_RUN)

#define FILE_SERVER_SYSCALLS(ALLOW, ALLOW_IF) \
    COMMON_SYSCALLS(ALLOW, ALLOW_IF)          \
    FS_SYSCALLS(ALLOW)

#define NET_WORKER_SYSCALLS(ALLOW, ALLOW_IF) \
    COMMON_SYSCALLS(ALLOW, ALLOW_IF)         \
    NET_SYSCALLS(ALLOW, ALLOW_IF)

#endif
