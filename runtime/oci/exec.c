/* What stands around a proxy: the request to the guest, the fork of --detach, the pid-file. */
#include "oci/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/console.h"
#include "oci/pidfile.h"
#include "oci/plan.h"
#include "oci/relay.h"
#include "oci/rootless.h"

static int check_status(const struct container *container, const struct exec_request *request,
                        struct error *err)
{
    switch (container_status(container)) {
    case CONTAINER_STOPPED:
        return error_set(err, EINVAL, "cannot exec in a stopped container");
    case CONTAINER_PAUSED:
        /* No vCPU runs: waiting for the guest would only hide that. */
        return error_set(err, EBUSY, "cannot exec in a paused container%s",
                         request->ignore_paused
                             ? ": --ignore-paused has no meaning for a virtual machine that "
                               "stands still"
                             : "");
    case CONTAINER_CREATING:
        return error_set(err, EINVAL, "cannot exec in a container that is being created");
    case CONTAINER_CREATED:
    case CONTAINER_RUNNING:
    default:
        return 0;
    }
}

/* Return: a sealed file with the MESSAGE_EXEC, or -errno. */
static int write_message(const struct spec *config, const struct spec_process *process,
                         const struct descriptors *further, const char *root, struct error *err)
{
    struct protocol_writer writer = { 0 };
    int ret;

    protocol_begin(&writer, MESSAGE_EXEC, 0, 0);
    ret = plan_put_process(&writer, config, process, root, err);
    if (ret == 0)
        descriptors_put(&writer, further);
    if (ret == 0 && protocol_finish(&writer) < 0)
        ret = error_set(err, E2BIG, "arguments and environment are larger than %u bytes together",
                        PROTOCOL_LENGTH_MAX);
    if (ret == 0) {
        ret = fd_memfd_sealed("vmrt-exec", writer.data, writer.length);
        if (ret < 0)
            ret = error_set(err, -ret, "memfd: %s", strerror(-ret));
    }
    free(writer.data);
    return ret;
}

/* Reads everything that is asked for and packs it up. */
static int prepare(const struct exec_request *request, const struct container *container,
                   struct exec_proxy *proxy, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    struct spec config = { 0 }, own = { 0 };
    struct spec_process *process = NULL;
    struct winsize size;
    int ret = fd_read_file(container->directory, CONTAINER_CONFIG, SPEC_SIZE_MAX, &text, NULL);

    if (ret < 0)
        return error_set(err, -ret, "%s: %s", CONTAINER_CONFIG, strerror(-ret));
    ret = spec_parse(text, &config, err);
    if (ret == 0)
        ret = exec_process_read(request, &config, &own, &process, err);
    if (ret == 0)
        ret = rootless_check_user(&config, process, err);
    if (ret == 0)
        ret = console_check(process->terminal, request->detach, request->console_socket, err);
    if (ret == 0 && process->terminal && !request->detach && relay_own_size(&size)) {
        process->console_rows = size.ws_row;
        process->console_columns = size.ws_col;
    }
    if (ret == 0)
        ret = write_message(&config, process, &proxy->further, request->root, err);
    if (ret >= 0 && process) {
        proxy->message = ret;
        proxy->terminal = process->terminal;
        proxy->rows = process->console_rows;
        proxy->columns = process->console_columns;
        ret = 0;
    }
    spec_free(&own);
    spec_free(&config);
    return ret;
}

/* The engine reads its pipes to their end: a proxy that held them would make it wait. */
static int let_go_of_stdio(struct error *err)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return error_set_errno(err, "/dev/null");
    return console_use(null, err);
}

/* What the engine leaked to us is not for a process that stays. */
static void close_others(int report, const struct exec_proxy *proxy)
{
    const int kept[] = { report, proxy->control, proxy->signals, proxy->slave };
    int first = 3;

    for (;;) {
        int next = -1;

        for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
            if (kept[i] >= first && (next < 0 || kept[i] < next))
                next = kept[i];
        if (next < 0)
            break;
        if (next > first)
            (void)close_range((unsigned int)first, (unsigned int)next - 1, 0);
        first = next + 1;
    }
    (void)close_range((unsigned int)first, ~0u, 0);
}

static __attribute__((noreturn)) void run_detached(struct exec_proxy *proxy, int report,
                                                   pid_t parent)
{
    struct error err = { 0 };
    int ret = 0;

    /* Until it is known to run it must not outlive a runtime that is killed. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    if (setsid() < 0)
        ret = error_set_errno(&err, "setsid");
    if (ret == 0)
        ret = exec_proxy_begin(proxy, &err);
    if (ret == 0)
        ret = let_go_of_stdio(&err);
    if (ret == 0)
        close_others(report, proxy);
    /* From here on the report tells whether the runtime is still there: it fails when not. */
    if (prctl(PR_SET_PDEATHSIG, 0) < 0 || fd_write_full(report, &err, sizeof(err)) < 0 || ret < 0)
        _exit(1);
    close(report);
    _exit(exec_proxy_stay(proxy));
}

static int publish(const struct exec_request *request, pid_t pid, struct error *err)
{
    int ret = 0;

    if (request->pidfd_socket)
        ret = pidfile_send_pidfd(request->pidfd_socket, pid, err);
    return ret == 0 ? pidfile_write(request->pid_file, pid, err) : ret;
}

static int wait_for_report(pid_t pid, int report, struct error *err)
{
    struct error answer;
    int status = 0;

    if (fd_read_full(report, &answer, sizeof(answer)) == (ssize_t)sizeof(answer)) {
        if (answer.code == 0)
            return 0;
        *err = answer;
        waitpid(pid, NULL, 0);
        return -answer.code;
    }
    waitpid(pid, &status, 0);
    return error_set(err, ECHILD, "the process of exec ended before it had said anything (%s %d)",
                     WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static int detach(const struct exec_request *request, struct exec_proxy *proxy, struct error *err)
{
    _cleanup_close_ int reader = -1, writer = -1;
    pid_t self = getpid(), pid;
    int ends[2], ret;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, "pipe");
    reader = ends[0];
    writer = ends[1];
    pid = fork();
    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid == 0) {
        close(reader);
        run_detached(proxy, writer, self);
    }
    fd_close(&writer);
    ret = wait_for_report(pid, reader, err);
    if (ret == 0)
        ret = publish(request, pid, err);
    else
        return ret;
    if (ret < 0) {
        /* The process goes with its proxy. */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return ret;
}

int exec_run(const struct exec_request *request, int *status, struct error *err)
{
    struct exec_proxy proxy = { .detach = request->detach,
                                .console_socket = request->console_socket,
                                .message = -1,
                                .slave = -1,
                                .master = -1,
                                .control = -1,
                                .signals = -1 };
    struct container container = { .parent = -1, .directory = -1 };
    int ret = descriptors_take(request->preserve_fds, false, &proxy.further, err);

    *status = 0;
    proxy.container = &container;
    if (ret == 0)
        ret = container_open(request->root, request->id, &container, err);
    if (ret == 0)
        ret = check_status(&container, request, err);
    if (ret == 0)
        ret = prepare(request, &container, &proxy, err);
    if (ret == 0 && request->detach) {
        ret = detach(request, &proxy, err);
    } else if (ret == 0) {
        ret = exec_proxy_begin(&proxy, err);
        if (ret == 0)
            ret = publish(request, getpid(), err);
        if (ret == 0)
            *status = exec_proxy_stay(&proxy);
    }
    exec_proxy_close(&proxy);
    container_close(&container);
    return ret;
}
