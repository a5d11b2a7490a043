/*
 * What the engine asked for: config.json of the runtime-spec, read into plain structs.
 *
 * Strings point into the document, which the spec keeps. Reading checks types, required members and
 * ranges; whether what was asked can be done is the plan's question (oci/plan.h, oci/fields.h).
 */
#ifndef VMRT_OCI_SPEC_H
#define VMRT_OCI_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/error.h"
#include "lib/json.h"

/* Largest config.json that is read, bytes. */
#define SPEC_SIZE_MAX (8u << 20)
/* "Not given", for numbers of which 0 has a meaning of its own. */
#define SPEC_UNSET INT64_MIN

struct spec_pair {
    const char *key, *value;
};

struct spec_rlimit {
    unsigned int resource; /* RLIMIT_* */
    uint64_t soft, hard;
};

/* Bit n is capability n. */
struct spec_capabilities {
    uint64_t bounding, effective, inheritable, permitted, ambient;
};

/* As struct sched_attr of sched_setattr(2) has it. */
struct spec_scheduler {
    uint32_t policy;
    uint64_t flags; /* SCHED_FLAG_* */
    int64_t nice, priority;
    uint64_t runtime, deadline, period; /* ns */
};

struct spec_process {
    bool terminal;
    uint32_t console_rows, console_columns; /* consoleSize; 0: not given */
    const char **args, **env; /* NULL-terminated; args has at least one element, env may be NULL */
    const char *cwd;
    uint32_t uid, gid;
    int64_t umask; /* SPEC_UNSET */
    uint32_t *groups;
    size_t group_count;
    struct spec_capabilities capabilities;
    struct spec_rlimit *rlimits;
    size_t rlimit_count;
    bool no_new_privileges;
    int64_t oom_score_adj; /* SPEC_UNSET */
    bool has_scheduler;
    struct spec_scheduler scheduler;
    int64_t io_priority; /* as ioprio_set(2) takes it; SPEC_UNSET */
    const char *selinux_label;
};

struct spec_mount {
    const char *destination, *type, *source; /* type and source may be NULL */
    const char **options;                    /* NULL or NULL-terminated */
};

enum spec_hook_kind {
    HOOK_PRESTART,
    HOOK_CREATE_RUNTIME,
    HOOK_CREATE_CONTAINER,
    HOOK_START_CONTAINER,
    HOOK_POSTSTART,
    HOOK_POSTSTOP,
    HOOK_KINDS,
};

/* As in config.json: "prestart", … */
extern const char *const spec_hook_names[HOOK_KINDS];

struct spec_hook {
    const char *path;
    const char **args, **env; /* NULL or NULL-terminated */
    int64_t timeout;          /* seconds; SPEC_UNSET: none */
};

struct spec_hooks {
    struct spec_hook *list[HOOK_KINDS];
    size_t count[HOOK_KINDS];
};

struct spec_namespace {
    const char *type; /* pid, network, … */
    const char *path; /* NULL: a new one */
};

struct spec_device {
    const char *path;
    char type; /* c, b or p; u is read as c */
    int64_t major, minor;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
};

/* Numbers are SPEC_UNSET when absent. Memory in bytes, periods in microseconds. */
struct spec_resources {
    int64_t memory_limit, memory_reservation, memory_swap;
    int64_t cpu_shares, cpu_quota, cpu_period, cpu_burst, cpu_idle;
    const char *cpuset_cpus, *cpuset_mems;
    int64_t pids_limit; /* runc's reading: 0 is none given, less is no limit */
    struct spec_pair *unified;
    size_t unified_count;
    bool all_devices; /* the last device rule allows everything: a privileged container */
};

/* One range of a user namespace (user_namespaces(7)). */
struct spec_id_map {
    uint32_t inside, outside;
    uint64_t count; /* 1 to 4294967295 */
};

struct spec_time_offset {
    const char *clock; /* "monotonic" or "boottime" */
    int64_t seconds;
    uint32_t nanoseconds;
};

struct spec {
    struct arena arena;
    struct json document;

    const char *oci_version;
    struct spec_process process;
    const char *root_path;
    bool root_readonly;
    const char *hostname, *domainname;
    struct spec_mount *mounts;
    size_t mount_count;
    struct spec_hooks hooks;
    struct spec_pair *annotations;
    size_t annotation_count;

    struct spec_namespace *namespaces;
    size_t namespace_count;
    struct spec_resources resources;
    const char *cgroups_path;
    struct spec_pair *sysctl;
    size_t sysctl_count;
    const char **masked_paths, **readonly_paths;
    struct spec_device *devices;
    size_t device_count;
    const char *rootfs_propagation;
    struct spec_id_map *uid_maps, *gid_maps;
    size_t uid_map_count, gid_map_count;
    struct spec_time_offset *time_offsets;
    size_t time_offset_count;
    bool has_personality;
    uint64_t personality; /* as personality(2) takes it */
};

/**
 * spec_parse() - read the text of a config.json.
 * @text: NUL-terminated.
 * @spec: filled in; call spec_free() whatever is returned.
 * Return: 0, or -errno with the field and what was expected in @err.
 */
int spec_parse(const char *text, struct spec *spec, struct error *err);

/**
 * spec_load() - read the config.json of a bundle.
 * @path: the file; messages about its contents call it "config.json".
 * @text: receives the file's text, which the caller frees; may be NULL.
 * Return: as spec_parse(), and -errno when the file cannot be read.
 */
int spec_load(const char *path, struct spec *spec, char **text, struct error *err);

/**
 * spec_parse_process() - read a process document of its own, as `exec --process` takes it.
 * @spec: only `process`, `document` and `arena` are filled in; messages call the document
 * "process". Return: as spec_parse().
 */
int spec_parse_process(const char *text, struct spec *spec, struct error *err);

/* The same for a document of linux.resources alone, as `update --resources` takes it. */
int spec_parse_resources(const char *text, struct spec *spec, struct error *err);

void spec_free(struct spec *spec);

/* Parts of the reader; each reads its member of the document into @spec. */
int spec_read_process(struct spec *spec, const struct json *process, struct error *err);
int spec_read_scheduling(struct spec *spec, const struct json *process, struct error *err);
int spec_read_resources(struct spec *spec, const struct json *resources, struct error *err);
int spec_read_identity(struct spec *spec, const struct json *section, struct error *err);
int spec_read_hooks(struct spec *spec, struct error *err);
int spec_read_linux(struct spec *spec, struct error *err);
/* An object of strings as pairs; absent is an empty list. */
int spec_read_pairs(struct spec *spec, const struct json *object, struct spec_pair **pairs,
                    size_t *count, struct error *err);

#endif
