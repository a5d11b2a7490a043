/*
 * The system calls the serving thread makes, for the sandbox, besides those for memory, locks and
 * eventfds that every such thread makes: FS_SYSCALLS after fs_server_thread_setup(),
 * FS_SETUP_SYSCALLS in it.
 *
 * test/unit/fs_syscalls_test.c runs every opcode under the resulting filter.
 */
#ifndef VMRT_VMM_VIRTIO_FS_SYSCALLS_H
#define VMRT_VMM_VIRTIO_FS_SYSCALLS_H

/* Waiting; files; who the thread is. */
#define FS_SYSCALLS(X) \
    X(ppoll)           \
    X(copy_file_range) \
    X(fallocate)       \
    X(fchmodat)        \
    X(fchownat)        \
    X(fdatasync)       \
    X(fstatfs)         \
    X(fsync)           \
    X(ftruncate)       \
    X(getdents64)      \
    X(getxattr)        \
    X(linkat)          \
    X(listxattr)       \
    X(lseek)           \
    X(mkdirat)         \
    X(mknodat)         \
    X(openat)          \
    X(openat2)         \
    X(preadv2)         \
    X(pwritev2)        \
    X(readlinkat)      \
    X(removexattr)     \
    X(renameat2)       \
    X(setxattr)        \
    X(statx)           \
    X(symlinkat)       \
    X(syncfs)          \
    X(unlinkat)        \
    X(utimensat)       \
    X(capget)          \
    X(capset)          \
    X(setfsgid)        \
    X(setfsuid)

#define FS_SETUP_SYSCALLS(X) \
    X(unshare)               \
    X(umask)                 \
    X(fchdir)                \
    X(capget)                \
    X(geteuid)               \
    X(getegid)               \
    X(setgroups)             \
    X(prctl)

#endif
