/* The head of a filter that answers ENOSYS to system calls which its author could not know. */
#ifndef VMRT_OCI_SECCOMP_STUB_H
#define VMRT_OCI_SECCOMP_STUB_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define SECCOMP_STUB_ARCHES 32
/* Instructions that a stub has at most. */
#define SECCOMP_STUB_MAX (1 + 8 * SECCOMP_STUB_ARCHES)

/* The largest system call that a profile names, per architecture. */
struct seccomp_last {
    uint32_t arch; /* SCMP_ARCH_* */
    uint32_t number;
};

/**
 * seccomp_write_stub() - instructions to put in front of a filter.
 * @last:  one per architecture, none twice.
 * @count: up to SECCOMP_STUB_ARCHES.
 * @out:   room for SECCOMP_STUB_MAX.
 *
 * The filter behind it begins by loading what it looks at, so the stub may leave anything in the
 * accumulator.
 *
 * Return: instructions written, 0 for no architectures.
 */
size_t seccomp_write_stub(const struct seccomp_last *last, size_t count, struct sock_filter *out);

#endif
