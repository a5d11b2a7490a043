/*
 * The VM plan: all that vmrt-vmm is told. A small JSON document, in a sealed memfd when the runtime
 * starts it, in a file when a person or a test does.
 *
 * Every file may be named by path ("kernel": "/x") or, from the runtime, by an inherited descriptor
 * ("kernel_fd": 5). docs/man/vmrt-vmm.8 lists the keys.
 */
#ifndef VMRT_VMM_PLAN_H
#define VMRT_VMM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "init/protocol.h"
#include "lib/error.h"

#define PLAN_SHARES_MAX     256
#define PLAN_CPUS_MAX       64
#define PLAN_MEMORY_MIN_MIB 40u        /* the smallest machine whose kernel still boots */
#define PLAN_MEMORY_MAX_MIB (1u << 20) /* 1 TiB */

#define PLAN_HOST_CPU_MAX 65535u /* highest CPU number that a host may have */

/* A directory or a single file of the host that the guest may see. */
struct plan_share {
    char *path;    /* NULL when fd is given */
    int fd;        /* O_PATH descriptor or detached mount; -1 when path is given */
    bool readonly; /* refused by the server whatever the guest asks */
};

/* What the first process has beyond its stdio. */
struct plan_descriptors {
    int fds[PROTOCOL_DESCRIPTORS_MAX];
    uint8_t kinds[PROTOCOL_DESCRIPTORS_MAX]; /* enum descriptor_kind */
    uint32_t count;
};

enum plan_console {
    CONSOLE_OFF,    /* the guest has no console at all */
    CONSOLE_STDERR, /* kernel log on the VMM's stderr */
    CONSOLE_FD,     /* kernel log to console_fd */
};

struct vm_plan {
    char *id;     /* container id, for messages; "vm" when absent */
    char *kernel; /* uncompressed ELF with a PVH note */
    int kernel_fd;
    char *init; /* static executable that becomes PID 1 */
    int init_fd;
    char *cmdline; /* appended to the built-in command line; may be NULL */
    uint32_t memory_mib;
    uint32_t cpus;
    enum plan_console console;
    int console_fd;
    bool rng_late;   /* give the rng its slot only after init said HELLO (a test of late binding) */
    bool exit_stats; /* print KVM exits by reason on stderr at the end */
    struct plan_share *shares;
    uint32_t share_count;
    int kvm_fd;         /* open /dev/kvm; -1: the VMM opens it */
    int control_fd;     /* listening SOCK_SEQPACKET socket; -1: start without being asked */
    int guest_fd;       /* messages for init, concatenated; -1: none */
    int ready_fd;       /* receives one RESULT when the VM exists, then is closed; -1: none */
    bool wait_prepared; /* … but not before the guest has prepared the container, or failed to */
    int log_fd;         /* failures after that, as lines; -1: stderr only */
    int proc_fd;        /* O_PATH on /proc/self/fd; -1: opened by the VMM */
    int notify_fd;      /* datagram socket connected to the engine's NOTIFY_SOCKET; -1: none */
    bool terminal;      /* descriptor 0 is the first process's terminal, and this process's own */
    /* Files the guest may know before it is told to forget some; 0: half the descriptors. */
    uint32_t files_max;
    struct plan_descriptors descriptors;
    uint32_t exhaust_mib; /* memory to use up when the guest ran out of its own; 0: none */
    uint32_t *affinity;   /* vCPU i runs on CPU affinity[i] of the host; NULL: wherever it may */
    uint32_t affinity_count;
    bool log_json;
    bool sandbox; /* false only in tests of the VMM's own (default true) */
    /* Standalone only: a container made from "root" and "process" when there is no guest_fd. */
    char *root;
    char **args;
    char **env;
    char *cwd;
};

/**
 * plan_parse() - read a VM plan from JSON text.
 * @text: NUL-terminated JSON.
 * @plan: filled in; call plan_free() whatever is returned.
 * @err:  names the key and what was expected.
 * Return: 0 or -EINVAL / -ENOMEM.
 */
int plan_parse(const char *text, struct vm_plan *plan, struct error *err);

/**
 * plan_format() - the JSON text of a plan whose files are descriptors.
 * Return: 0 with memory the caller frees in *@text, or -ENOMEM.
 */
int plan_format(const struct vm_plan *plan, char **text, struct error *err);

/* A plan with every descriptor -1 and every default set. */
void plan_init(struct vm_plan *plan);
void plan_free(struct vm_plan *plan);

#endif
