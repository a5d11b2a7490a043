/*
 * linux.seccomp of config.json, compiled for the guest's kernel (config-linux.md "Seccomp").
 *
 * The guest has the host's architecture, so libseccomp's idea of "native" is right; what the host's
 * own kernel could load does not matter.
 */
#ifndef VMRT_OCI_SECCOMP_H
#define VMRT_OCI_SECCOMP_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/json.h"

struct seccomp_program {
    struct sock_filter *filter; /* NULL: the profile asks for nothing */
    size_t count;               /* 1 to BPF_MAXINSNS */
    uint64_t flags;             /* SECCOMP_FILTER_FLAG_* */
};

/**
 * seccomp_compile_profile() - make a filter of a profile.
 * @profile: the member linux.seccomp; may be absent.
 * @program: filled in; call seccomp_free_program() whatever is returned.
 *
 * As runc does: names that libseccomp does not know are passed over, rules that repeat the default
 * action are left out, and where the default is a refusal, system calls newer than any that the
 * profile names fail with ENOSYS.
 *
 * Return: 0, -EINVAL, -ENOTSUP (notification) or -E2BIG, naming the field.
 */
int seccomp_compile_profile(const struct json *profile, struct seccomp_program *program,
                            struct error *err);
void seccomp_free_program(struct seccomp_program *program);

/* What a profile may say, one by one, sorted; NULL beyond the last. */
const char *seccomp_action_name(unsigned int index);
const char *seccomp_operator_name(unsigned int index);
const char *seccomp_arch_name(unsigned int index);
const char *seccomp_flag_name(unsigned int index);

#endif
