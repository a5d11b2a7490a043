/*
 * Build-time tool: turns vmm/sandbox_rules.h into BPF programs.
 *
 * Done at build time because libseccomp needs longer to make a filter than the kernel to load it,
 * and because vmrt-vmm then carries no compiler for filters.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/sandbox_rules.h"

#include <linux/filter.h>

static void add(scmp_filter_ctx filter, const char *name, int conditional, unsigned int argument,
                unsigned long long mask, unsigned long long value)
{
    int number = seccomp_syscall_resolve_name(name), ret;

    /* Calls of another architecture do not exist here. Allowed twice is allowed. */
    if (number < 0)
        return;
    if (conditional)
        ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                               SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value));
    else
        ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    if (ret < 0 && ret != -EEXIST) {
        fprintf(stderr, "sandbox: %s: %s\n", name, strerror(-ret));
        exit(1);
    }
}

static void emit(const char *name, scmp_filter_ctx filter)
{
    struct sock_filter code[4096];
    FILE *file = tmpfile();
    size_t count;

    if (!file || seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 ||
        seccomp_export_bpf(filter, fileno(file)) < 0 || fseek(file, 0, SEEK_SET) < 0) {
        fprintf(stderr, "sandbox: cannot export the filter \"%s\"\n", name);
        exit(1);
    }
    count = fread(code, sizeof(code[0]), sizeof(code) / sizeof(code[0]), file);
    fclose(file);
    printf("static const struct sock_filter sandbox_filter_%s[] = {\n", name);
    for (size_t i = 0; i < count; i++)
        printf("    { 0x%x, %u, %u, 0x%x },\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
    printf("};\n");
}

#define ALLOW(call)                           add(filter, #call, 0, 0, 0, 0);
#define ALLOW_IF(call, argument, mask, value) add(filter, #call, 1, argument, mask, value);

int main(void)
{
    scmp_filter_ctx filter;

    puts("/* Made from vmm/sandbox_rules.h. */");
    filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    MAIN_SYSCALLS(ALLOW, ALLOW_IF)
    emit("main", filter);
    seccomp_release(filter);
    filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    VCPU_SYSCALLS(ALLOW, ALLOW_IF)
    emit("vcpu", filter);
    seccomp_release(filter);
    filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    FILE_SERVER_SYSCALLS(ALLOW, ALLOW_IF)
    emit("fs", filter);
    seccomp_release(filter);
    filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    NET_WORKER_SYSCALLS(ALLOW, ALLOW_IF)
    emit("net", filter);
    seccomp_release(filter);
    return 0;
}
