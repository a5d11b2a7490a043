/*
 * Why: C libraries try a new system call first and fall back when the kernel says ENOSYS. A profile
 * that is older than the call and refuses with EPERM breaks them (runc's libcontainer/seccomp/
 * patchbpf has the history). So a number above all that the profile knows is answered like an old
 * kernel would.
 *
 *         ld arch
 *         jeq <arch>, next, over      for each architecture:
 *         ld nr
 *         jgt <last>, next, +1
 *         ret ENOSYS
 *         ja <filter>
 *   over: ...
 *
 * x86-64 and x32 share an architecture; bit 30 of the number tells them apart.
 */
#include "oci/seccomp_stub.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>

#define X32_BIT 0x40000000u

#define LOAD(member) \
    ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member)))
#define JUMP(condition, k, yes, no) \
    ((struct sock_filter)BPF_JUMP(BPF_JMP | (condition) | BPF_K, (k), (yes), (no)))
/* To the filter; filled in once it is known how far that is. */
#define TO_FILTER ((struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX))
#define ENOSYS_REPLY \
    ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (ENOSYS & SECCOMP_RET_DATA)))

static size_t put_limit(struct sock_filter *out, uint32_t last)
{
    out[0] = JUMP(BPF_JGT, last, 0, 1);
    out[1] = ENOSYS_REPLY;
    out[2] = TO_FILTER;
    return 3;
}

static const struct seccomp_last *find(const struct seccomp_last *last, size_t count, uint32_t arch)
{
    for (size_t i = 0; i < count; i++)
        if (last[i].arch == arch)
            return &last[i];
    return NULL;
}

/* Numbers of the mode that the profile does not name go to the filter, which knows what to do. */
static size_t put_x86_64(const struct seccomp_last *wide, const struct seccomp_last *x32,
                         struct sock_filter *out)
{
    size_t n = 1;

    if (wide)
        n += put_limit(out + n, wide->number);
    else
        out[n++] = TO_FILTER;
    out[0] = JUMP(BPF_JSET, X32_BIT, (uint8_t)(n - 1), 0);
    if (x32)
        n += put_limit(out + n, x32->number);
    else
        out[n++] = TO_FILTER;
    return n;
}

size_t seccomp_write_stub(const struct seccomp_last *last, size_t count, struct sock_filter *out)
{
    size_t n = 0;
    bool x86_64_done = false;

    if (count)
        out[n++] = LOAD(arch);
    for (size_t i = 0; i < count; i++) {
        bool x86_64 = last[i].arch == SCMP_ARCH_X86_64 || last[i].arch == SCMP_ARCH_X32;
        size_t head = n;

        if (x86_64 && x86_64_done)
            continue;
        n++;
        out[n++] = LOAD(nr);
        if (x86_64)
            n += put_x86_64(find(last, count, SCMP_ARCH_X86_64), find(last, count, SCMP_ARCH_X32),
                            out + n);
        else
            n += put_limit(out + n, last[i].number);
        x86_64_done = x86_64_done || x86_64;
        /* Every part ends in a jump to the filter, so that the architecture is still loaded. */
        out[head] =
            JUMP(BPF_JEQ, x86_64 ? SCMP_ARCH_X86_64 : last[i].arch, 0, (uint8_t)(n - head - 1));
    }
    for (size_t i = 0; i < n; i++)
        if (out[i].code == (BPF_JMP | BPF_JA))
            out[i].k = (uint32_t)(n - i - 1);
    return n;
}
