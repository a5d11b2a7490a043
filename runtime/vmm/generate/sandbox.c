/*
 * Build-time tool: turns the lists of system calls of vmrt-vmm's threads, and of vmrt-net-dns, into
 * BPF programs.
 *
 * Done at build time because libseccomp needs longer to make a filter than the kernel to load it,
 * and because the programs then carry no compiler for filters.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hooks/net/queries_syscalls.h"
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

#define FILL(name, LIST)                            \
    static void fill_##name(scmp_filter_ctx filter) \
    {                                               \
        LIST(ALLOW, ALLOW_IF)                       \
    }

FILL(main, MAIN_SYSCALLS)
FILL(vcpu, VCPU_SYSCALLS)
FILL(fs, FILE_SERVER_SYSCALLS)
FILL(net, NET_WORKER_SYSCALLS)
FILL(resolver, QUERIES_SYSCALLS)

static const struct {
    const char *name;
    void (*fill)(scmp_filter_ctx filter);
} lists[] = {
    { "main", fill_main }, { "vcpu", fill_vcpu },         { "fs", fill_fs },
    { "net", fill_net },   { "resolver", fill_resolver },
};

/* sandbox-generate NAME...: prints the filters of these lists. */
int main(int argc, char **argv)
{
    puts("/* Made by runtime/vmm/generate/sandbox.c. */");
    for (int i = 1; i < argc; i++)
        for (size_t j = 0; j < sizeof(lists) / sizeof(lists[0]); j++)
            if (strcmp(lists[j].name, argv[i]) == 0) {
                scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

                lists[j].fill(filter);
                emit(lists[j].name, filter);
                seccomp_release(filter);
            }
    return 0;
}
