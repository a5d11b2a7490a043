/* Calling vmrt-scope: its arguments, and what it answers. */
#include "oci/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/files.h"

#define PROGRAM        "vmrt-scope"
#define ARGS_MAX       32
#define ANSWER_MAX     65536
#define PERIOD_DEFAULT 100000 /* microseconds, the kernel's own */
#define MICROSECONDS   1000000
/* systemd keeps percents: what lies between is rounded up, so that it never holds back more. */
#define QUOTA_STEP 10000

struct call {
    const char *args[ARGS_MAX + 1];
    size_t count;
    bool failed;
    struct arena *arena;
};

static void add(struct call *call, const char *text)
{
    call->failed = call->failed || !text || call->count == ARGS_MAX;
    if (!call->failed)
        call->args[call->count++] = text;
}

static void add_number(struct call *call, const char *name, uint64_t value)
{
    add(call, arena_format(call->arena, "%s=%" PRIu64, name, value));
}

/* Bytes; -1 is no limit, which is the largest number to systemd. */
static void add_bytes(struct call *call, const char *name, int64_t value)
{
    if (value != SPEC_UNSET && value != 0)
        add_number(call, name, value < 0 ? UINT64_MAX : (uint64_t)value);
}

static void add_quota(struct call *call, int64_t quota, int64_t period)
{
    uint64_t per_second = UINT64_MAX;

    if (period == SPEC_UNSET || period < 0)
        period = 0;
    if (quota == SPEC_UNSET)
        quota = 0;
    if (period)
        add_number(call, "CPUQuotaPeriodUSec", (uint64_t)period);
    if (!quota && !period)
        return;
    if (quota > 0) {
        uint64_t length = period ? (uint64_t)period : PERIOD_DEFAULT;

        per_second = (uint64_t)quota > UINT64_MAX / MICROSECONDS
                         ? UINT64_MAX
                         : (uint64_t)quota * MICROSECONDS / length;
        if (per_second < UINT64_MAX - QUOTA_STEP)
            per_second = (per_second + QUOTA_STEP - 1) / QUOTA_STEP * QUOTA_STEP;
    }
    add_number(call, "CPUQuotaPerSecUSec", per_second);
}

/* As runc: what systemd would otherwise set back to its own idea at the next reload. */
static void add_limits(struct call *call, bool v2, const struct cgroup_limits *limits)
{
    add_bytes(call, v2 ? "MemoryMax" : "MemoryLimit", limits->memory_max);
    if (v2) {
        add_bytes(call, "MemoryLow", limits->memory_low);
        if (limits->memory_swap != SPEC_UNSET && limits->memory_swap < 0)
            add_number(call, "MemorySwapMax", UINT64_MAX);
        else if (limits->memory_max > 0 && limits->memory_swap >= limits->memory_max)
            add_number(call, "MemorySwapMax", (uint64_t)(limits->memory_swap - limits->memory_max));
    }
    if (limits->cpu_shares != SPEC_UNSET && limits->cpu_shares > 0)
        add_number(call, v2 ? "CPUWeight" : "CPUShares",
                   v2 ? cgroup_cpu_weight(limits->cpu_shares) : (uint64_t)limits->cpu_shares);
    add_quota(call, limits->cpu_quota, limits->cpu_period);
    if (v2 && limits->cpus && limits->cpus[0])
        add(call, arena_format(call->arena, "AllowedCPUs=%s", limits->cpus));
    if (v2 && limits->mems && limits->mems[0])
        add(call, arena_format(call->arena, "AllowedMemoryNodes=%s", limits->mems));
    if (!v2 && limits->io_weight)
        add_number(call, "BlockIOWeight", limits->io_weight);
}

static __attribute__((noreturn)) void exec_program(const struct call *call, const char *program,
                                                   int out, int err)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    /* The environment says where the bus is. */
    execve(program, (char *const *)call->args, environ);
    dprintf(STDERR_FILENO, "%s: %s", program, strerror(errno));
    _exit(127);
}

/* Runs the program. Return: 0 with what it wrote, or -errno with its complaint. */
static int run(const struct call *call, char **answer, struct error *err)
{
    _cleanup_close_ int out = memfd_create(PROGRAM, MFD_CLOEXEC),
                        complaint = memfd_create(PROGRAM, MFD_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    char directory[PATH_MAX], program[PATH_MAX + sizeof(PROGRAM) + 1];
    int status = 0, ret;
    pid_t pid;

    if (call->failed)
        return error_set(err, ENOMEM, "out of memory");
    if (out < 0 || complaint < 0)
        return error_set_errno(err, "memfd");
    files_programs(directory);
    snprintf(program, sizeof(program), "%s/" PROGRAM, directory);
    pid = fork();
    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid == 0)
        exec_program(call, program, out, complaint);
    if (waitpid(pid, &status, 0) < 0)
        return error_set_errno(err, "waitpid");
    if (lseek(out, 0, SEEK_SET) < 0 || lseek(complaint, 0, SEEK_SET) < 0)
        return error_set_errno(err, "memfd");
    ret = fd_read_all(complaint, ANSWER_MAX, &text, NULL);
    if (ret == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        text[strcspn(text, "\n")] = '\0';
        return error_set(err, EIO, "%s", text[0] ? text : PROGRAM " was killed");
    }
    if (ret == 0)
        ret = fd_read_all(out, ANSWER_MAX, answer, NULL);
    return ret < 0 ? error_set(err, -ret, PROGRAM ": %s", strerror(-ret)) : 0;
}

static void begin(struct call *call, const char *verb, const struct scope *scope)
{
    add(call, PROGRAM);
    add(call, verb);
    add(call, scope->user ? "user" : "system");
    add(call, scope->name);
}

void scope_describe(const struct scope_request *request, struct scope *scope)
{
    scope->name = request->unit.name;
    scope->user = request->user;
}

int scope_start(const struct scope_request *request, const struct scope *scope, struct arena *arena,
                const char **path, struct error *err)
{
    struct call call = { .arena = arena };
    _cleanup_free_ char *answer = NULL;
    int ret;

    begin(&call, "start", scope);
    add(&call, request->unit.slice);
    add(&call, arena_format(arena, "%d", (int)request->pid));
    add(&call, arena_format(arena, "vmrt container %s", request->id));
    add_limits(&call, request->v2, request->limits);
    ret = run(&call, &answer, err);
    if (ret < 0)
        return ret;
    answer[strcspn(answer, "\n")] = '\0';
    if (answer[0] != '/')
        return error_set(err, EPROTO, "systemd gave %s no control group", scope->name);
    *path = arena_strdup(arena, answer);
    return *path ? 0 : error_set(err, ENOMEM, "out of memory");
}

int scope_update(const struct scope *scope, bool v2, const struct cgroup_limits *limits,
                 struct error *err)
{
    struct arena arena = { 0 };
    struct call call = { .arena = &arena };
    _cleanup_free_ char *answer = NULL;
    size_t bare;
    int ret = 0;

    begin(&call, "set", scope);
    bare = call.count;
    add_limits(&call, v2, limits);
    if (call.failed || call.count > bare)
        ret = run(&call, &answer, err);
    arena_free(&arena);
    return ret;
}

int scope_stop(const struct scope *scope, struct error *err)
{
    struct call call = { 0 };
    _cleanup_free_ char *answer = NULL;

    begin(&call, "stop", scope);
    return run(&call, &answer, err);
}
