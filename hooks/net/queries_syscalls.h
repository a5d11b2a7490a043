/*
 * The system calls of queries_serve(), which vmrt-net-dns makes and no other: ALLOW as in
 * vmm/sandbox_rules.h. A socket is of IPv4 or none, and memory is never executable.
 */
#ifndef VMRT_HOOKS_NET_QUERIES_SYSCALLS_H
#define VMRT_HOOKS_NET_QUERIES_SYSCALLS_H

#include <sys/mman.h>
#include <sys/socket.h>

#define QUERIES_SYSCALLS(ALLOW, ALLOW_IF) \
    ALLOW(brk)                            \
    ALLOW(clock_gettime)                  \
    ALLOW(close)                          \
    ALLOW(connect)                        \
    ALLOW(epoll_create1)                  \
    ALLOW(epoll_ctl)                      \
    ALLOW(epoll_wait)                     \
    ALLOW(exit_group)                     \
    ALLOW(futex)                          \
    ALLOW(madvise)                        \
    ALLOW(mremap)                         \
    ALLOW(munmap)                         \
    ALLOW(ppoll)                          \
    ALLOW(read)                           \
    ALLOW(recvfrom)                       \
    ALLOW(rt_sigreturn)                   \
    ALLOW(sendto)                         \
    ALLOW(write)                          \
    ALLOW_IF(mmap, 2, PROT_EXEC, 0)       \
    ALLOW_IF(mprotect, 2, PROT_EXEC, 0)   \
    ALLOW_IF(socket, 0, 0xffffffffull, AF_INET)

#endif
