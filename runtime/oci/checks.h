/* Can this host run virtual machines? A table of checks, each with the remedy for its miss. */
#ifndef VMRT_OCI_CHECKS_H
#define VMRT_OCI_CHECKS_H

#include <stdbool.h>
#include <stddef.h>

enum check_verdict {
    CHECK_OK,
    CHECK_MISSING, /* virtual machines cannot run */
    CHECK_NOTE,    /* they can, with the limitation that is described */
};

struct check_result {
    enum check_verdict verdict;
    char detail[512]; /* what was found */
    char remedy[512]; /* what to do; "" when nothing is to be done */
};

struct check {
    const char *name;
    void (*run)(const char *host_settings, struct check_result *result);
};

extern const struct check checks[];
extern const size_t check_count;

/* The checks of the processor and of /dev/kvm: oci/checks_kvm.c. */
void check_cpu(const char *host_settings, struct check_result *result);
void check_kvm_device(const char *host_settings, struct check_result *result);
void check_kvm_complete(const char *host_settings, struct check_result *result);

/* Who is calling, and what that user has: oci/checks_rootless.c. */
void check_privileges(const char *host_settings, struct check_result *result);
void check_user_ids(const char *host_settings, struct check_result *result);
/* @kind: "v1" or "v2". */
void check_rootless_cgroup(const char *kind, struct check_result *result);

/* Fills in a result. */
void check_set(struct check_result *result, enum check_verdict verdict, const char *remedy,
               const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
