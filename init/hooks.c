/*
 * Hooks that run in the container. A createContainer hook is a program of the host but sees the
 * container's files: it is executed by a descriptor that was opened before. That stays open, since
 * an interpreter finds its script by it (/dev/fd/N). What hooks say is kept in memory files, so
 * that nobody has to listen and what they leave running holds nothing up.
 */
#include "init/hooks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/io.h"

/* Bytes of a hook's output that are shown. */
#define HOOK_TEXT_MAX 320

static const char *const hook_names[] = {
    [HOOK_CREATE_CONTAINER] = "createContainer",
    [HOOK_START_CONTAINER] = "startContainer",
};

struct hook_run {
    const struct hook_plan *plan;
    const struct mount_places *places;
    int root;
    int stdio[3]; /* memory files */
};

/* In the hook's process. Return: only when it failed, a positive errno value. */
static int hook_exec(const struct hook_run *run)
{
    const struct hook_plan *plan = run->plan;
    char path[64];
    int fd;

    for (int i = 0; i < 3; i++)
        if (dup2(run->stdio[i], i) < 0)
            return errno;
    if (plan->kind != HOOK_CREATE_CONTAINER) {
        execve(plan->path, plan->args, plan->env);
        return errno;
    }
    snprintf(path, sizeof(path), "%s/%u", run->places->shares, plan->share);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fchdir(run->root) < 0 || chroot(".") < 0)
        return errno;
    execveat(fd, "", plan->args, plan->env, AT_EMPTY_PATH);
    return errno;
}

/* Return: the pid of the hook once its program runs, or -errno. */
static pid_t hook_spawn(const struct hook_run *run)
{
    int ends[2];
    int code = 0;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0) {
        code = hook_exec(run);
        _exit(write(ends[1], &code, sizeof(code)) < 0 ? 2 : 1);
    }
    close(ends[1]);
    if (pid < 0)
        code = EAGAIN;
    else if (read(ends[0], &code, sizeof(code)) > 0)
        waitpid(pid, NULL, 0);
    close(ends[0]);
    return code ? -code : pid;
}

/* Return: 0 with the status, -ETIME when it took too long and was killed, or -errno. */
static int hook_wait(pid_t pid, uint64_t seconds, int *status)
{
    int timeout = seconds == 0 || seconds > 1000000 ? -1 : (int)seconds * 1000;
    _cleanup_close_ int pidfd = pidfd_open(pid, 0);
    struct pollfd wait = { .fd = pidfd, .events = POLLIN };
    int n = 1;

    if (timeout > 0 && pidfd >= 0)
        while ((n = poll(&wait, 1, timeout)) < 0 && errno == EINTR)
            continue;
    if (n == 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return n == 0 ? -ETIME : 0;
}

/* The start of what was written into the memory file @fd, as one line. */
static void read_text(int fd, char text[HOOK_TEXT_MAX])
{
    ssize_t n = pread(fd, text, HOOK_TEXT_MAX - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    for (char *end = text + strlen(text); end > text && isspace((unsigned char)end[-1]);)
        *--end = '\0';
    for (char *c = text; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = ' ';
}

static int hook_report(const struct hook_run *run, size_t index, int status,
                       struct failure *failure)
{
    char output[HOOK_TEXT_MAX], errors[HOOK_TEXT_MAX];
    char end[64];

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    read_text(run->stdio[1], output);
    read_text(run->stdio[2], errors);
    if (WIFSIGNALED(status))
        snprintf(end, sizeof(end), "signal: %s", sigdescr_np(WTERMSIG(status)) ?: "unknown");
    else
        snprintf(end, sizeof(end), "exit status %d", WEXITSTATUS(status));
    for (char *c = end; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return failure_set(failure, ECHILD, "error running %s hook #%zu: %s, stdout: %s, stderr: %s",
                       hook_names[run->plan->kind], index, end, output, errors);
}

static int hook_open_stdio(struct hook_run *run)
{
    static const char *const names[] = { "stdin", "stdout", "stderr" };

    for (int i = 0; i < 3; i++) {
        run->stdio[i] = memfd_create(names[i], MFD_CLOEXEC);
        if (run->stdio[i] < 0)
            return -errno;
    }
    if (io_write_full(run->stdio[0], run->plan->state, strlen(run->plan->state)) < 0 ||
        lseek(run->stdio[0], 0, SEEK_SET) < 0)
        return -errno;
    return 0;
}

static int hook_run(struct hook_run *run, size_t index, struct failure *failure)
{
    const struct hook_plan *plan = run->plan;
    int status = 0;
    int ret = hook_open_stdio(run);
    pid_t pid = ret < 0 ? ret : hook_spawn(run);

    if (pid < 0)
        return failure_set(failure, -pid, "error running %s hook #%zu: fork/exec %s: %s%s",
                           hook_names[plan->kind], index, plan->path, failure_describe(-pid),
                           pid == -ENOENT && plan->kind == HOOK_CREATE_CONTAINER
                               ? " (its interpreter is looked for in the container)"
                               : "");
    ret = hook_wait(pid, plan->timeout, &status);
    if (ret == -ETIME)
        return failure_set(failure, ETIME,
                           "error running %s hook #%zu: hook ran past specified timeout of %llu.0s",
                           hook_names[plan->kind], index, (unsigned long long)plan->timeout);
    if (ret < 0)
        return failure_set(failure, -ret, "error running %s hook #%zu: wait: %s",
                           hook_names[plan->kind], index, failure_describe(-ret));
    return hook_report(run, index, status, failure);
}

int hooks_execute(const struct list *hooks, enum hook_kind kind, const struct mount_places *places,
                  int root, struct failure *failure)
{
    size_t index = 0;
    int ret = 0;

    for (size_t i = 0; i < hooks->count && ret == 0; i++) {
        struct hook_run run = {
            .plan = LIST_AT(*hooks, struct hook_plan, i),
            .places = places,
            .root = root,
            .stdio = { -1, -1, -1 },
        };

        if (run.plan->kind != kind)
            continue;
        ret = hook_run(&run, index++, failure);
        for (int j = 0; j < 3; j++)
            io_close(&run.stdio[j]);
    }
    return ret;
}
