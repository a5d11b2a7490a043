/*
 * Who the workload is. The order is runc's (finalizeNamespace): bounding set while we may still
 * change it, then the user with KEEPCAPS, then the other sets, then ambient ones.
 */
#include "init/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/io.h"

#define CAPABILITIES_MAX 64
/* What is read of the image's /etc/passwd, bytes: of a line, and of all lines. */
#define PASSWD_LINE_MAX 65536
#define PASSWD_MAX      (16u << 20)

int identity_apply_oom_score(const struct process_plan *plan, const char *path,
                             struct failure *failure)
{
    char text[24];
    int ret;

    if (!plan->has_oom_score_adj)
        return 0;
    snprintf(text, sizeof(text), "%lld", (long long)plan->oom_score_adj);
    ret = io_write_file(AT_FDCWD, path, text);
    return ret < 0
               ? failure_set(failure, -ret, "oom_score_adj %s: %s", text, failure_describe(-ret))
               : 0;
}

int identity_raise_limits(const struct process_plan *plan, pid_t pid, struct failure *failure)
{
    for (size_t i = 0; i < plan->rlimits.count; i++) {
        const struct rlimit_plan *limit = LIST_AT(plan->rlimits, struct rlimit_plan, i);
        const __rlimit_resource_t resource = (__rlimit_resource_t)limit->resource;
        struct rlimit64 value;

        if (prlimit64(pid, resource, NULL, &value) < 0)
            return failure_errno(failure, "error setting rlimit %u", limit->resource);
        if (limit->hard <= value.rlim_max)
            continue;
        value.rlim_max = limit->hard;
        if (prlimit64(pid, resource, &value, NULL) < 0)
            return failure_errno(failure, "error setting rlimit %u", limit->resource);
    }
    return 0;
}

int identity_apply_scheduling(const struct process_plan *plan, struct failure *failure)
{
    /* struct sched_attr, as long as the host made it; its own size says how long that is. */
    struct {
        uint32_t size;
        uint8_t rest[SCHEDULER_LENGTH_MAX - sizeof(uint32_t)];
    } attr = { 0 };

    if (plan->scheduler.length) {
        memcpy(&attr, plan->scheduler.data, plan->scheduler.length);
        attr.size = (uint32_t)plan->scheduler.length;
        if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
            return failure_errno(failure, "error setting scheduler");
    }
    if (plan->has_io_priority &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (int)plan->io_priority) < 0)
        return failure_errno(failure, "failed to set io priority");
    return 0;
}

int identity_apply_limits(const struct process_plan *plan, struct failure *failure)
{
    for (size_t i = 0; i < plan->rlimits.count; i++) {
        const struct rlimit_plan *limit = LIST_AT(plan->rlimits, struct rlimit_plan, i);
        const struct rlimit64 value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };

        if (setrlimit64((__rlimit_resource_t)limit->resource, &value) < 0)
            return failure_errno(failure, "error setting rlimit %u", limit->resource);
    }
    return 0;
}

static int identity_limit_bounding(uint64_t keep, struct failure *failure)
{
    for (unsigned int cap = 0; cap < CAPABILITIES_MAX; cap++) {
        if (keep & (1ull << cap))
            continue;
        /* EINVAL: beyond the last capability of this kernel. */
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                return 0;
            return failure_errno(failure, "unable to apply bounding set");
        }
    }
    return 0;
}

static int identity_set_capabilities(const struct capability_sets *sets, struct failure *failure)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective = (uint32_t)(sets->effective >> (32 * i));
        data[i].permitted = (uint32_t)(sets->permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(sets->inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return failure_errno(failure, "unable to apply caps");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return failure_errno(failure, "unable to clear ambient caps");
    for (unsigned int cap = 0; cap < CAPABILITIES_MAX; cap++) {
        /* One that is not permitted and inheritable too cannot be raised; runc warns and goes on.
         */
        if (sets->ambient & sets->permitted & sets->inheritable & (1ull << cap) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 && errno != EINVAL)
            return failure_errno(failure, "unable to raise ambient cap %u", cap);
    }
    return 0;
}

static int identity_set_user(const struct process_plan *plan, struct failure *failure)
{
    /* gid_t is what the list holds. */
    _Static_assert(sizeof(gid_t) == sizeof(uint32_t), "gid_t is 32 bits");

    if (syscall(SYS_setgroups, plan->groups.count, plan->groups.items) < 0)
        return failure_errno(failure, "setgroups");
    if (syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) < 0)
        return failure_errno(failure, "setgid");
    if (syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) < 0)
        return failure_errno(failure, "setuid");
    return 0;
}

static int identity_chdir(const char *cwd, struct failure *failure)
{
    char path[PATH_MAX];

    if (chdir(cwd) < 0)
        return failure_set(failure, errno, "chdir to cwd (\"%s\") set in config.json failed: %s",
                           cwd, failure_describe(errno));
    /*
     * /proc/self/fd/N, of a descriptor from outside, would be a way out of the root
     * (CVE-2024-21626). None is open by now; should one ever be, the kernel says "(unreachable)" of
     * where it leads.
     */
    if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
        return failure_errno(failure, "cwd (\"%s\") set in config.json", cwd);
    if (path[0] != '/')
        return failure_set(failure, EXDEV,
                           "cwd (\"%s\") set in config.json is outside of the container's root",
                           cwd);
    return 0;
}

int identity_apply(const struct process_plan *plan, struct failure *failure)
{
    bool retry = false;
    int ret;

    /* Root may go where the user may not, and the user where root may not (runc tries both). */
    ret = identity_chdir(plan->cwd, failure);
    if (ret < 0 && ret != -EACCES && ret != -EPERM)
        return ret;
    retry = ret < 0;
    ret = identity_limit_bounding(plan->capabilities.bounding, failure);
    if (ret < 0)
        return ret;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return failure_errno(failure, "unable to set keep caps");
    ret = identity_set_user(plan, failure);
    if (ret < 0)
        return ret;
    if (retry) {
        ret = identity_chdir(plan->cwd, failure);
        if (ret < 0)
            return ret;
    }
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return failure_errno(failure, "unable to clear keep caps");
    return identity_set_capabilities(&plan->capabilities, failure);
}

/* The sixth field of the line "name:password:UID:…" whose UID is @uid. Return: false at no match.
 */
static bool passwd_line_home(char *line, uint32_t uid, const char **home)
{
    char *fields[7] = { NULL };
    char *end;

    for (size_t i = 0; i < 7 && line; i++)
        fields[i] = strsep(&line, ":\n");
    if (!fields[5] || !fields[2][0] || strtoul(fields[2], &end, 10) != uid || *end)
        return false;
    *home = fields[5];
    return true;
}

/* Return: "HOME=…" in fresh memory, or NULL without memory. */
static char *passwd_home(uint32_t uid)
{
    char *line = malloc(PASSWD_LINE_MAX);
    /* The image's file may be anything: do not wait for the other end of a fifo. */
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *home = "/";
    char *text = NULL;
    FILE *file = NULL;
    struct stat st;

    if (line && fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        file = fdopen(fd, "re");
    if (!file)
        io_close(&fd);
    while (file && ftell(file) < PASSWD_MAX && fgets(line, PASSWD_LINE_MAX, file))
        if (passwd_line_home(line, uid, &home))
            break;
    if (asprintf(&text, "HOME=%s", home) < 0)
        text = NULL;
    if (file)
        fclose(file);
    free(line);
    return text;
}

int identity_add_home(struct process_plan *plan, struct failure *failure)
{
    size_t count = plan->env_list.count;
    size_t used = 0;
    char **env;

    for (size_t i = 0; i < count; i++)
        if (strncmp(plan->env[i], "HOME=", 5) == 0 && plan->env[i][5])
            return 0;
    env = calloc(count + 2, sizeof(*env));
    if (!env)
        return failure_set(failure, ENOMEM, "environment: out of memory");
    /* An empty HOME gives way to the new one. */
    for (size_t i = 0; i < count; i++)
        if (strncmp(plan->env[i], "HOME=", 5) != 0)
            env[used++] = plan->env[i];
    env[used] = passwd_home(plan->uid);
    if (!env[used]) {
        free(env);
        return failure_set(failure, ENOMEM, "environment: out of memory");
    }
    free(plan->env_list.items);
    plan->env_list = (struct list) { .items = env, .count = used + 1 };
    plan->env = env;
    return 0;
}
