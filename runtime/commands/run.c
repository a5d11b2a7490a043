/* vmrt run: create, start and, in the foreground, stay until the container ends. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/creating.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/lifecycle.h"
#include "oci/relay.h"
#include "oci/signals.h"

struct run {
    bool detach, keep;
    struct creating options;
    struct container container;
    int signals; /* signalfd */
    int master;  /* of the process's terminal; -1: none */
};

/* Has the monitor, our child, ended? Its status as a shell would say it. */
static bool has_ended(pid_t pid, int *status)
{
    int wait_status;

    if (waitpid(pid, &wait_status, WNOHANG) != pid)
        return false;
    *status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return true;
}

static void pass_signals(const struct run *run, const struct relay *relay)
{
    struct winsize size;
    struct error err;
    int number;

    while ((number = signals_next(run->signals)) > 0) {
        if (signals_is_own(number))
            continue;
        /* The size of the terminal carries the signal to the monitor, whose terminal it is. */
        if (number == SIGWINCH && run->master >= 0)
            (void)relay_resize(relay, &size);
        else if (lifecycle_signal(&run->container, number, false, &err) < 0)
            log_debug("signal %d: %s", number, err.message);
    }
}

static int stay(const struct run *run)
{
    struct relay relay;
    struct winsize size;
    int status = 1;

    relay_begin(&relay, run->master);
    if (run->master >= 0)
        (void)relay_resize(&relay, &size);
    while (!has_ended((pid_t)run->container.pid, &status)) {
        struct pollfd polled[1 + RELAY_POLLED] = { { .fd = run->signals, .events = POLLIN } };

        relay_prepare(&relay, polled + 1);
        if (poll(polled, 1 + RELAY_POLLED, -1) < 0 && errno != EINTR)
            break;
        relay_move(&relay, polled + 1);
        /* SIGCHLD wakes us for the end. */
        pass_signals(run, &relay);
    }
    relay_end(&relay);
    return status;
}

static int run_container(const struct context *context, const char *id, struct run *run,
                         int *status, struct error *err)
{
    int ret = creating_run(context, &run->options, id, run->detach ? NULL : &run->master,
                           &run->container, err);

    if (ret < 0)
        return ret;
    ret = lifecycle_start(&run->container, err);
    if (ret < 0) {
        (void)lifecycle_delete(context->root, &run->container, true, NULL);
        return ret;
    }
    if (run->detach)
        return 0;
    *status = stay(run);
    return run->keep ? 0 : lifecycle_delete(context->root, &run->container, true, err);
}

int command_run(const struct context *context, const struct command *self, int argc, char **argv)
{
    struct run run = { .container = { .parent = -1, .directory = -1 },
                       .signals = -1,
                       .master = -1 };
    const struct option_row rows[] = {
        CREATING_ROWS(&run.options),
        { "detach", 'd', OPTION_FLAG, NULL, "return once the process runs", &run.detach },
        { "keep", 0, OPTION_FLAG, NULL, "do not delete the container when it has ended",
          &run.keep },
        { "no-subreaper", 0, OPTION_IGNORED_FLAG, NULL, "accepted, without effect", NULL },
    };
    enum options_result parsed =
        options_parse(self, rows, sizeof(rows) / sizeof(rows[0]), 1, 1, &argc, &argv);
    struct error err;
    int ret = 0, status = 0;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    /* What arrives while the VM boots is passed on afterwards. */
    if (!run.detach) {
        run.signals = signals_hold(&err);
        ret = run.signals < 0 ? run.signals : 0;
    }
    if (ret == 0)
        ret = run_container(context, argv[0], &run, &status, &err);
    container_close(&run.container);
    fd_close(&run.master);
    fd_close(&run.signals);
    if (ret < 0)
        log_error("vmrt run failed: %s", err.message);
    return ret < 0 && status == 0 ? 1 : status;
}
