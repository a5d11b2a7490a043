/* vmrt run: create, start and, in the foreground, stay until the container ends. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/creating.h"
#include "lib/log.h"
#include "oci/lifecycle.h"

/* Every signal waits from the start: what arrives while the VM boots is passed on afterwards. */
static void hold_signals(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGSEGV);
    sigdelset(set, SIGBUS);
    sigdelset(set, SIGFPE);
    sigdelset(set, SIGILL);
    sigdelset(set, SIGABRT);
    sigprocmask(SIG_BLOCK, set, NULL);
}

/* Has the monitor, our child, ended? Its status as a shell would say it. */
static bool has_ended(pid_t pid, int *status)
{
    int wait_status;

    if (waitpid(pid, &wait_status, WNOHANG) != pid)
        return false;
    *status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return true;
}

static int stay(const struct container *container, const sigset_t *signals)
{
    int status = 1;

    while (!has_ended((pid_t)container->pid, &status)) {
        siginfo_t info;
        struct error err;
        int number = sigwaitinfo(signals, &info);

        /* SIGPIPE is about our own stderr. */
        if (number <= 0 || number == SIGCHLD || number == SIGPIPE)
            continue;
        if (lifecycle_signal(container, number, false, &err) < 0)
            log_debug("signal %d: %s", number, err.message);
    }
    return status;
}

int command_run(const struct context *context, const struct command *self, int argc, char **argv)
{
    struct creating options = { 0 };
    bool detach = false, keep = false;
    const struct option_row rows[] = {
        CREATING_ROWS(&options),
        { "detach", 'd', OPTION_FLAG, NULL, "return once the process runs", &detach },
        { "keep", 0, OPTION_FLAG, NULL, "do not delete the container when it has ended", &keep },
        { "no-subreaper", 0, OPTION_IGNORED_FLAG, NULL, "accepted, without effect", NULL },
    };
    enum options_result parsed =
        options_parse(self, rows, sizeof(rows) / sizeof(rows[0]), 1, 1, &argc, &argv);
    struct container container;
    struct error err;
    sigset_t signals;
    int ret, status = 0;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    if (!detach)
        hold_signals(&signals);
    ret = creating_run(context, &options, argv[0], &container, &err);
    if (ret == 0) {
        ret = lifecycle_start(&container, &err);
        if (ret < 0)
            (void)lifecycle_delete(context->root, &container, true, NULL);
        else if (!detach)
            status = stay(&container, &signals);
        if (ret == 0 && !detach && !keep)
            ret = lifecycle_delete(context->root, &container, true, &err);
    }
    container_close(&container);
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0 && status == 0 ? 1 : status;
}
