/* "The process" of MESSAGE_CONTAINER and MESSAGE_EXEC (init/protocol.h). */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "lib/log.h"
#include "oci/plan.h"
#include "oci/seccomp.h"
#include "oci/seccomp_cache.h"
#include "oci/settings.h"

/* struct sched_attr of sched_setattr(2) as first published: 48 bytes. */
struct scheduler_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static void put_capabilities(struct protocol_writer *writer, const struct spec_capabilities *caps)
{
    size_t mark = protocol_open(writer, FIELD_CAPABILITIES);

    protocol_put_u64(writer, FIELD_CAP_BOUNDING, caps->bounding);
    protocol_put_u64(writer, FIELD_CAP_EFFECTIVE, caps->effective);
    protocol_put_u64(writer, FIELD_CAP_INHERITABLE, caps->inheritable);
    protocol_put_u64(writer, FIELD_CAP_PERMITTED, caps->permitted);
    protocol_put_u64(writer, FIELD_CAP_AMBIENT, caps->ambient);
    protocol_close(writer, mark);
}

static void put_command(struct protocol_writer *writer, const struct spec_process *process)
{
    for (const char **arg = process->args; *arg; arg++)
        protocol_put_string(writer, FIELD_ARG, *arg);
    for (const char **env = process->env; env && *env; env++)
        if (!settings_is_variable(*env))
            protocol_put_string(writer, FIELD_ENV, *env);
    protocol_put_string(writer, FIELD_CWD, process->cwd);
    protocol_put_u64(writer, FIELD_TERMINAL, process->terminal);
    if (process->terminal && process->console_rows && process->console_columns) {
        protocol_put_u64(writer, FIELD_ROWS, process->console_rows);
        protocol_put_u64(writer, FIELD_COLUMNS, process->console_columns);
    }
}

static void put_identity(struct protocol_writer *writer, const struct spec_process *process)
{
    protocol_put_u64(writer, FIELD_UID, process->uid);
    protocol_put_u64(writer, FIELD_GID, process->gid);
    for (size_t i = 0; i < process->group_count; i++)
        protocol_put_u64(writer, FIELD_GROUP, process->groups[i]);
    if (process->umask != SPEC_UNSET)
        protocol_put_u64(writer, FIELD_UMASK, (uint64_t)process->umask);
    put_capabilities(writer, &process->capabilities);
    protocol_put_u64(writer, FIELD_NO_NEW_PRIVILEGES, process->no_new_privileges);
}

static void put_rlimit(struct protocol_writer *writer, unsigned int resource, uint64_t soft,
                       uint64_t hard)
{
    size_t mark = protocol_open(writer, FIELD_RLIMIT);

    protocol_put_u64(writer, FIELD_RESOURCE, resource);
    protocol_put_u64(writer, FIELD_SOFT, soft);
    protocol_put_u64(writer, FIELD_HARD, hard);
    protocol_close(writer, mark);
}

static bool has_rlimit(const struct spec_process *process, unsigned int resource)
{
    for (size_t i = 0; i < process->rlimit_count; i++)
        if (process->rlimits[i].resource == resource)
            return true;
    return false;
}

/*
 * Limits that the configuration does not name are the caller's, as a process that runc starts has
 * them: dockerd sets none and counts on its own (LimitNOFILE of its unit).
 */
static void put_limits(struct protocol_writer *writer, const struct spec_process *process)
{
    struct rlimit own;

    if (process->oom_score_adj != SPEC_UNSET)
        protocol_put_u64(writer, FIELD_OOM_SCORE_ADJ, (uint64_t)process->oom_score_adj);
    for (size_t i = 0; i < process->rlimit_count; i++)
        put_rlimit(writer, process->rlimits[i].resource, process->rlimits[i].soft,
                   process->rlimits[i].hard);
    for (unsigned int resource = 0; resource < RLIM_NLIMITS; resource++)
        if (!has_rlimit(process, resource) && getrlimit((__rlimit_resource_t)resource, &own) == 0)
            put_rlimit(writer, resource, own.rlim_cur, own.rlim_max);
}

static void put_scheduling(struct protocol_writer *writer, const struct spec_process *process)
{
    const struct spec_scheduler *s = &process->scheduler;

    if (process->has_scheduler) {
        struct scheduler_attributes attributes = { .size = sizeof(attributes),
                                                   .policy = s->policy,
                                                   .flags = s->flags,
                                                   .nice = (int32_t)s->nice,
                                                   .priority = (uint32_t)s->priority,
                                                   .runtime = s->runtime,
                                                   .deadline = s->deadline,
                                                   .period = s->period };

        protocol_put_bytes(writer, FIELD_SCHEDULER, &attributes, sizeof(attributes));
    }
    if (process->io_priority != SPEC_UNSET)
        protocol_put_u64(writer, FIELD_IO_PRIORITY, (uint64_t)process->io_priority);
}

/*
 * A label means something to the host's policy only, and an engine gives one only when the host has
 * one: without it, refuse in runc's words.
 */
static int check_label(const struct spec_process *process, struct error *err)
{
    struct statfs fs;

    if (!process->selinux_label || !process->selinux_label[0])
        return 0;
    if (statfs("/sys/fs/selinux", &fs) < 0 || fs.f_type != SELINUX_MAGIC)
        return error_set(err, ENOTSUP,
                         "process.selinuxLabel: selinux label is specified in config, but selinux "
                         "is disabled or not supported");
    log_debug("process.selinuxLabel: ignored: the guest has no SELinux");
    return 0;
}

static int make_filter(const struct json *profile, const char *root,
                       struct seccomp_program *program, struct error *err)
{
    struct seccomp_cache cache;
    int ret = 0;

    *program = (struct seccomp_program) { 0 };
    seccomp_cache_open(root, profile, &cache);
    if (!seccomp_cache_read(&cache, program)) {
        ret = seccomp_compile_profile(profile, program, err);
        if (ret == 0)
            seccomp_cache_write(&cache, program);
    }
    seccomp_cache_close(&cache);
    return ret;
}

static int put_seccomp(struct protocol_writer *writer, const struct spec *container,
                       const char *root, struct error *err)
{
    struct json section = json_member(&container->document, "linux");
    struct json profile = json_member(&section, "seccomp");
    struct seccomp_program program;
    int ret = make_filter(&profile, root, &program, err);

    if (ret == 0 && program.count) {
        protocol_put_bytes(writer, FIELD_SECCOMP, program.filter,
                           program.count * sizeof(*program.filter));
        protocol_put_u64(writer, FIELD_SECCOMP_FLAGS, program.flags);
    }
    seccomp_free_program(&program);
    return ret;
}

int plan_put_process(struct protocol_writer *writer, const struct spec *container,
                     const struct spec_process *process, const char *root, struct error *err)
{
    int ret = check_label(process, err);

    if (ret < 0)
        return ret;
    put_command(writer, process);
    put_identity(writer, process);
    put_limits(writer, process);
    put_scheduling(writer, process);
    if (container->has_personality)
        protocol_put_u64(writer, FIELD_PERSONALITY, container->personality);
    return put_seccomp(writer, container, root, err);
}
