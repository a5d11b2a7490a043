/* What MESSAGE_CONTAINER asks for, decoded and checked. */
#ifndef VMRT_INIT_CONTAINER_H
#define VMRT_INIT_CONTAINER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/failure.h"
#include "init/protocol.h"

/* Items of one kind, in the order of the message. */
struct list {
    void *items;
    size_t count;
};

#define LIST_AT(list, type, index) (&((type *)(list).items)[index])

struct capability_sets {
    uint64_t bounding, effective, inheritable, permitted, ambient; /* bit n is capability n */
};

struct mount_plan {
    const char *target; /* in the container */
    const char *type;   /* "share", or a filesystem type */
    const char *source, *data;
    uint64_t flags;       /* MS_* */
    uint64_t propagation; /* MS_SHARED, MS_SLAVE, … with MS_REC; 0: leave */
    uint32_t share;       /* index, type "share" only */
    bool is_file;         /* the share is a single file */
    bool has_share;
};

struct device_plan {
    const char *path;
    uint32_t mode;   /* as for mknod(2) */
    uint64_t number; /* major << 32 | minor */
    uint32_t uid, gid;
};

struct rlimit_plan {
    uint32_t resource;
    uint64_t soft, hard;
};

struct setting_plan {
    const char *key, *value;
};

/* Every pointer but those in lists points into the message, which must outlive the plan. */
struct container_plan {
    /* the process */
    char **args, **env;             /* NULL-terminated */
    struct list arg_list, env_list; /* of const char *: the same, as they are collected */
    const char *cwd;
    uint32_t uid, gid;
    struct list groups; /* of uint32_t */
    uint32_t umask;
    struct capability_sets capabilities;
    bool no_new_privileges, has_oom_score_adj, terminal;
    int64_t oom_score_adj;
    struct list rlimits;            /* of struct rlimit_plan */
    struct protocol_reader seccomp; /* struct sock_filter[]; empty: none */

    /* the surroundings */
    const char *id, *hostname, *domainname;
    uint64_t namespaces; /* CLONE_NEW*; always with CLONE_NEWPID and CLONE_NEWNS */
    uint32_t root_share;
    bool has_root_share, root_readonly;
    uint64_t root_propagation;                /* MS_*; 0: private */
    struct list mounts;                       /* of struct mount_plan */
    struct list masked_paths, readonly_paths; /* of const char * */
    struct list sysctls;                      /* of struct setting_plan */
    struct list devices;                      /* of struct device_plan */
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

#endif
