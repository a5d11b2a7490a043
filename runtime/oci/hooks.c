/* One hook: fork, feed it the state, keep the beginning of what it writes, wait with a deadline. */
#include "oci/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

#define OUTPUT_MAX 400 /* bytes of each stream that go into a message */

struct output {
    int fd;
    char text[OUTPUT_MAX + 1];
    size_t length;
};

struct running_hook {
    pid_t pid;
    int pidfd;
    struct output out, err;
};

static __attribute__((noreturn)) void exec_hook(const struct spec_hook *hook, int input, int out,
                                                int err, const char *bundle)
{
    char *const fallback[] = { (char *)hook->path, NULL };
    /* Pointers into the document; execve(2) does not change them. */
    char *const *args = hook->args && hook->args[0] ? (char *const *)hook->args : fallback;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (dup2(input, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    if (bundle && chdir(bundle) < 0)
        dprintf(STDERR_FILENO, "chdir %s: %s", bundle, strerror(errno));
    /* As with runc, a hook without "env" has the runtime's environment. */
    execve(hook->path, args, hook->env ? (char *const *)hook->env : environ);
    dprintf(STDERR_FILENO, "fork/exec %s: %s", hook->path,
            errno == ENOENT ? "no such file or directory" : strerror(errno));
    _exit(127);
}

static int start_hook(const struct spec_hook *hook, const char *state, const char *bundle,
                      struct running_hook *running, struct error *err)
{
    /* A sealed file rather than a pipe: nothing blocks when the hook does not read. */
    _cleanup_close_ int input = fd_memfd_sealed("vmrt-state", state, strlen(state));
    int out[2], error[2];

    if (input < 0)
        return error_set(err, -input, "memfd: %s", strerror(-input));
    if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set_errno(err, "pipe");
    if (pipe2(error, O_CLOEXEC | O_NONBLOCK) < 0) {
        close(out[0]);
        close(out[1]);
        return error_set_errno(err, "pipe");
    }
    /* Only our ends: a hook expects ordinary pipes. */
    (void)fcntl(out[1], F_SETFL, 0);
    (void)fcntl(error[1], F_SETFL, 0);
    running->out.fd = out[0];
    running->err.fd = error[0];
    running->pid = fork();
    if (running->pid == 0)
        exec_hook(hook, input, out[1], error[1], bundle);
    close(out[1]);
    close(error[1]);
    if (running->pid < 0)
        return error_set_errno(err, "fork");
    running->pidfd = (int)syscall(SYS_pidfd_open, running->pid, 0);
    return running->pidfd < 0 ? error_set_errno(err, "pidfd_open") : 0;
}

/* Takes what is there; what does not fit is thrown away so that the hook goes on. */
static void drain(struct output *output)
{
    char buffer[4096];

    while (output->fd >= 0) {
        ssize_t n = read(output->fd, buffer, sizeof(buffer));
        size_t room = OUTPUT_MAX - output->length;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            fd_close(&output->fd);
            return;
        }
        if ((size_t)n < room)
            room = (size_t)n;
        memcpy(output->text + output->length, buffer, room);
        output->length += room;
    }
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the end of the process, not of its output: it may have left a daemon behind. */
static bool wait_hook(struct running_hook *running, int64_t timeout)
{
    int64_t deadline = timeout == SPEC_UNSET ? INT64_MAX : now_ms() + timeout * 1000;

    for (;;) {
        struct pollfd polled[] = { { .fd = running->pidfd, .events = POLLIN },
                                   { .fd = running->out.fd, .events = POLLIN },
                                   { .fd = running->err.fd, .events = POLLIN } };
        int64_t left = deadline == INT64_MAX ? -1 : deadline - now_ms();
        int n;

        if (deadline != INT64_MAX && left <= 0)
            return false;
        n = poll(polled, 3, (int)(left > 60000 ? 60000 : left));
        if (n < 0 && errno != EINTR)
            return false;
        drain(&running->out);
        drain(&running->err);
        if (n > 0 && polled[0].revents)
            return true;
    }
}

static int run_hook(const struct spec_hook *hook, const char *name, size_t index, const char *state,
                    const char *bundle, struct error *err)
{
    struct running_hook running = { .pid = -1, .pidfd = -1, .out.fd = -1, .err.fd = -1 };
    int status = 0, ret = start_hook(hook, state, bundle, &running, err);
    bool ended = ret == 0 && wait_hook(&running, hook->timeout);

    if (running.pid > 0) {
        if (!ended)
            kill(running.pid, SIGKILL);
        waitpid(running.pid, &status, 0);
    }
    fd_close(&running.pidfd);
    fd_close(&running.out.fd);
    fd_close(&running.err.fd);
    if (ret < 0)
        return ret;
    if (!ended)
        return error_set(err, ETIMEDOUT,
                         "error running %s hook #%zu: %s ran past its timeout of %lld s", name,
                         index, hook->path, (long long)hook->timeout);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    /* runc's words, with the hook's name. */
    return error_set(err, ECHILD, "error running %s hook #%zu: %s %d, stdout: %s, stderr: %s", name,
                     index, WIFSIGNALED(status) ? "signal" : "exit status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), running.out.text,
                     running.err.text);
}

int hooks_run(const struct spec_hooks *hooks, enum spec_hook_kind kind, const char *state,
              const char *bundle, struct error *err)
{
    for (size_t i = 0; i < hooks->count[kind]; i++) {
        int ret = run_hook(&hooks->list[kind][i], spec_hook_names[kind], i, state, bundle, err);

        if (ret < 0)
            return ret;
    }
    return 0;
}
