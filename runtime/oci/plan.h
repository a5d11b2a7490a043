/*
 * What will be done for one container: the machine, the guest's orders, and the host's part.
 *
 * Everything that can be refused is refused while the plan is made, by the name of the field.
 * Making it looks at the host (does a bind source exist, is it a file) but changes nothing.
 */
#ifndef VMRT_OCI_PLAN_H
#define VMRT_OCI_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "init/protocol.h"
#include "lib/arena.h"
#include "lib/error.h"
#include "oci/cgroup.h"
#include "oci/descriptors.h"
#include "oci/settings.h"
#include "oci/spec.h"

/*
 * Host memory that a VM needs beside the guest's own, for memory.max: vmrt-vmm and its buffers,
 * page tables, which grow with the guest, and what the host's kernel holds for each file that the
 * guest knows (a descriptor and an inode that cannot be reclaimed). At so many files the guest is
 * told to forget some, so that vmrt-vmm is never the one that is killed. Measured:
 * docs/performance.md.
 */
#define PLAN_OVERHEAD_BYTES    (192ull << 20)
#define PLAN_FILES_BYTES       (128ull << 20) /* of these for files */
#define PLAN_FILE_BYTES        (3ull << 10)   /* for each file */
#define PLAN_OVERHEAD_FRACTION 64u            /* and one part in so many of the limit */
/* Virtual CPUs when nobody says how many: no more than these. */
#define PLAN_CPUS_DEFAULT_MAX 4u

struct plan_mount {
    const char *where;  /* "config.json: mounts[3]", for messages */
    const char *target; /* absolute, without "." and ".." */
    const char *source; /* binds: absolute path on the host; else what the guest mounts */
    bool bind;          /* shared by the host */
    bool recursive, readonly, is_file;     /* binds only */
    uint32_t share;                        /* binds only: index in the VM plan */
    const char *type;                      /* guest mounts only */
    uint64_t flags;                        /* MS_* */
    uint64_t propagation;                  /* MS_*, 0: not given */
    uint64_t attributes, attributes_clear; /* MOUNT_ATTR_* for the whole tree */
    bool copyup;                           /* tmpfs only: begins with what the mount point holds */
    const char *data;
};

/* A createContainer hook: a file of the host that the guest runs. */
struct plan_hook {
    const char *source; /* absolute, no symlinks */
    uint32_t share;
};

struct plan_device {
    const char *path;
    uint32_t mode; /* type and permission bits */
    uint32_t major, minor, uid, gid;
};

struct plan {
    struct arena arena;
    const struct spec *spec;
    const char *id;
    const char *bundle; /* absolute */
    const char *root;   /* state root, or NULL */
    const char *rootfs; /* absolute, no symlinks */
    const char *hostname;

    /* the machine */
    uint32_t memory_mib, cpus;
    uint32_t files_max;   /* PLAN_FILES_BYTES of them, or 0: as many as vmrt-vmm can open */
    uint32_t exhaust_mib; /* see vmm/plan.h */
    uint32_t *affinity;   /* vCPU i runs on CPU affinity[i]; NULL: where the control group allows */
    uint32_t affinity_count;
    bool net_vhost;
    const char *kernel;      /* NULL: the installed one */
    const char *kernel_args; /* NULL: none */
    const char *console;     /* "off", "stderr" or a path */

    /* the host's part */
    const char *network_path; /* network namespace to join; NULL: a new one */
    bool uplink; /* host networking was asked for: a new one with a way out, see oci/uplink.h */
    bool cgroup_namespace;
    uint64_t namespaces; /* CLONE_NEW* of the guest */
    bool user_namespace; /* the container's is made on the host: see oci/rootless.h */
    /* The host's may not be entered from the caller's user namespace, as podman cp would. */
    bool pid_namespace;
    bool notify;
    const struct descriptors *descriptors; /* beyond stdio; NULL: none */
    const char *cgroup_path;               /* as cgroup_create() takes it */
    struct cgroup_limits limits;

    struct plan_mount *mounts;
    size_t mount_count;
    uint32_t share_count; /* share 0 is the root filesystem */
    struct plan_device *devices;
    size_t device_count;
    struct plan_hook *hooks; /* one for each of spec->hooks.list[HOOK_CREATE_CONTAINER] */
    size_t hook_count;

    /* the guest's part: one MESSAGE_CONTAINER */
    struct protocol_writer guest;
};

struct plan_request {
    const char *id;
    const char *bundle; /* absolute */
    const char *root;   /* state root; NULL: what takes time is not kept for others */
    enum cgroup_driver driver;
    const struct descriptors *descriptors; /* what the process has beyond its stdio; NULL: none */
    bool notify; /* the engine waits on NOTIFY_SOCKET: the workload gets one */
};

/**
 * plan_make() - decide everything about a container.
 * @spec, @settings: what was asked; must outlive @plan.
 * @plan: filled in; call plan_release() whatever is returned.
 * Return: 0, or -errno naming the field and what was expected or why it cannot be done.
 */
int plan_make(const struct spec *spec, const struct settings *settings,
              const struct plan_request *request, struct plan *plan, struct error *err);
void plan_release(struct plan *plan);

/**
 * plan_put_process() - append the fields of "the process" of MESSAGE_CONTAINER or MESSAGE_EXEC.
 * @container: the container's own spec, whose seccomp profile and personality hold for all its
 *             processes.
 * @process: the process to run: that of @container, or one from spec_parse_process().
 * @root: the state root, where compiled filters are kept; NULL: nowhere.
 * Return: 0, or -errno naming the field that cannot be had.
 */
int plan_put_process(struct protocol_writer *writer, const struct spec *container,
                     const struct spec_process *process, const char *root, struct error *err);

/**
 * plan_host_memory() - what the host has to allow so that the VM can have it all.
 * @bytes: a limit for the container, of memory or of memory and swap; none (SPEC_UNSET, 0, -1) is
 *         returned as it is.
 * @limit: the container's limit of memory, by which the VM's own needs grow; else like @bytes.
 * Return: bytes, or -1 (no limit) where the sum is beyond what can be said.
 */
int64_t plan_host_memory(int64_t bytes, int64_t limit);
/* Which files of cgroup v2 may be written. @where: "config.json: linux.resources.", for messages.
 */
int plan_check_unified(const struct spec_resources *resources, const char *where,
                       struct error *err);

/* Parts of plan_make(). */
int plan_namespaces(struct plan *plan, const struct settings *settings, struct error *err);
/* Which network namespace, or why it cannot be had. */
int plan_network(struct plan *plan, const struct settings *settings, struct error *err);
int plan_machine(struct plan *plan, const struct settings *settings, struct error *err);
/* Which sysctls may be set: runc's rules. Return: 0 or -EINVAL naming the one that may not. */
int plan_check_sysctl(const struct spec *spec, struct error *err);
int plan_hooks(struct plan *plan, struct error *err);
/* Appends the fields of all hooks that run in the guest. */
int plan_put_hooks(struct protocol_writer *writer, const struct plan *plan, struct error *err);
int plan_mounts(struct plan *plan, struct error *err);
int plan_devices(struct plan *plan, struct error *err);
int plan_guest(struct plan *plan, struct error *err);
/* One more device node in the guest, where a bind mount of it was asked for. Return: 0 or -errno.
 */
int plan_add_device(struct plan *plan, const struct plan_device *device, struct error *err);
/* Has the guest such a device? @type is c or b. */
bool plan_guest_has_device(char type, uint64_t major, uint64_t minor);

#endif
