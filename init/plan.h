/* What MESSAGE_CONTAINER, MESSAGE_EXEC and MESSAGE_UPDATE ask for, decoded and checked. */
#ifndef VMRT_INIT_PLAN_H
#define VMRT_INIT_PLAN_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/failure.h"
#include "init/fields.h"
#include "init/protocol.h"

/* Bytes of struct sched_attr at most: the kernel's has 56, those of newer kernels have more. */
#define SCHEDULER_LENGTH_MAX 128

struct capability_sets {
    uint64_t bounding, effective, inheritable, permitted, ambient; /* bit n is capability n */
};

struct rlimit_plan {
    uint32_t resource;
    uint64_t soft, hard;
};

/* Every pointer but those in lists points into the message, which must outlive the plan. */
struct process_plan {
    char **args, **env;             /* NULL-terminated */
    struct list arg_list, env_list; /* of const char *: the same, as they are collected */
    const char *cwd;
    uint32_t uid, gid;
    struct list groups; /* of uint32_t */
    uint32_t umask;
    struct capability_sets capabilities;
    bool no_new_privileges, terminal;
    bool has_oom_score_adj, has_io_priority, has_personality;
    int64_t oom_score_adj;
    struct list rlimits;            /* of struct rlimit_plan */
    struct protocol_reader seccomp; /* struct sock_filter[]; empty: none */
    uint64_t seccomp_flags;
    struct protocol_reader scheduler; /* struct sched_attr; empty: none */
    uint32_t io_priority, personality;
    uint16_t rows, columns;  /* of the terminal; 0: unset */
    struct list descriptors; /* of uint64_t, enum descriptor_kind: 3, 4 … */
};

struct mount_plan {
    const char *target; /* in the container */
    const char *type;   /* "share", or a filesystem type */
    const char *source, *data;
    uint64_t flags;                            /* MS_* */
    uint64_t propagation;                      /* MS_SHARED, MS_SLAVE, … with MS_REC; 0: leave */
    uint64_t attributes_set, attributes_clear; /* MOUNT_ATTR_* for the whole subtree */
    uint32_t share;                            /* index, type "share" only */
    bool is_file;                              /* the share is a single file */
    bool copy_up;                              /* a tmpfs starts with what it covers */
    bool has_share;
};

struct device_plan {
    const char *path;
    uint32_t mode;   /* as for mknod(2) */
    uint64_t number; /* major << 32 | minor */
    uint32_t uid, gid;
};

struct setting_plan {
    const char *key, *value;
};

struct id_map_plan {
    uint32_t inside, outside, count;
};

struct time_offset_plan {
    const char *clock; /* as /proc/PID/timens_offsets names it */
    uint64_t seconds;  /* an int64_t */
    uint64_t nanoseconds;
};

enum hook_kind {
    HOOK_CREATE_CONTAINER = 0,
    HOOK_START_CONTAINER = 1,
};

struct hook_plan {
    uint32_t kind; /* enum hook_kind */
    const char *path, *state;
    uint32_t share; /* the executable, createContainer only */
    bool has_share;
    uint64_t timeout; /* seconds; 0: none */
    char **args, **env;
    struct list arg_list, env_list;
};

/* Limits of the container's cgroup; 0: none. */
struct limits_plan {
    uint64_t pids_max, memory_max;
    bool has_pids_max, has_memory_max;
};

struct container_plan {
    struct process_plan process;

    /* the surroundings */
    const char *id, *hostname, *domainname;
    uint64_t namespaces; /* CLONE_NEW*; always with CLONE_NEWPID and CLONE_NEWNS */
    uint32_t root_share;
    bool has_root_share, root_readonly, notify;
    uint64_t root_propagation;                /* MS_*; 0: private */
    struct list mounts;                       /* of struct mount_plan */
    struct list masked_paths, readonly_paths; /* of const char * */
    struct list sysctls;                      /* of struct setting_plan */
    struct list devices;                      /* of struct device_plan */
    struct list uid_map, gid_map;             /* of struct id_map_plan */
    struct list time_offsets;                 /* of struct time_offset_plan */
    struct list hooks;                        /* of struct hook_plan */
    struct limits_plan limits;
};

/**
 * container_plan_parse() - decode the fields of a MESSAGE_CONTAINER.
 * @plan: filled in; call container_plan_free() whatever is returned.
 * @fields: must stay in place and unchanged while the plan is used.
 * Return: 0, -EPROTO for malformed fields, -EINVAL for values that make no sense, -ENOTSUP for
 * what init cannot do, -ENOMEM; the failure names the field.
 */
int container_plan_parse(struct container_plan *plan, struct protocol_reader fields,
                         struct failure *failure);
void container_plan_free(struct container_plan *plan);

/* The same for the process of a MESSAGE_CONTAINER or MESSAGE_EXEC alone. */
int process_plan_parse(struct process_plan *plan, struct protocol_reader fields,
                       struct failure *failure);
void process_plan_free(struct process_plan *plan);

/* The same for the limits of a MESSAGE_UPDATE. There is nothing to free. */
int limits_plan_parse(struct limits_plan *plan, struct protocol_reader fields,
                      struct failure *failure);

/**
 * id_map_outside() - the id in init's user namespace that is @inside in the container.
 * @map: of struct id_map_plan; an empty one maps every id to itself.
 * Return: the id, or UINT32_MAX when it has none.
 */
uint32_t id_map_outside(const struct list *map, uint32_t inside);

#endif
