/* Start, signal, delete; messages are runc's, which engines look for. */
#include "oci/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/control_client.h"
#include "oci/hooks.h"
#include "oci/network.h"
#include "oci/process.h"
#include "oci/uplink.h"

#define KILL_TIMEOUT_MS    10000
#define REQUEST_TIMEOUT_MS 10000
/*
 * Longer than vmrt-vmm waits for its proxies (vmm/control_server.c); killing waits no longer than
 * that for one that does not answer.
 */
#define PARTING_TIMEOUT_MS 1200

/* Runs hooks of the config.json that was kept at create. */
static int run_kept_hooks(const struct container *container, enum spec_hook_kind kind,
                          enum container_status status, struct error *err)
{
    _cleanup_free_ char *state = container_state_text(container, status, CONTAINER_FOR_HOOKS);
    _cleanup_free_ char *config = NULL;
    const char *bundle = access(container->bundle, X_OK) == 0 ? container->bundle : NULL;
    struct spec spec = { 0 };
    int ret;

    if (!state)
        return error_set(err, ENOMEM, "out of memory");
    ret = fd_read_file(container->directory, CONTAINER_CONFIG, SPEC_SIZE_MAX, &config, NULL);
    if (ret < 0)
        return error_set(err, -ret, "%s: %s", CONTAINER_CONFIG, strerror(-ret));
    ret = spec_parse(config, &spec, err);
    if (ret == 0)
        ret = hooks_run(&spec.hooks, kind, state, bundle, err);
    spec_free(&spec);
    return ret;
}

static int ask_start(const struct container *container, struct error *err)
{
    struct protocol_writer request = { 0 };
    struct control_answer answer;
    int ret;

    protocol_begin(&request, CONTROL_START, 0, 0);
    /* The guest may still be booting: its own end is the only timeout. */
    ret = control_ask(container->directory, &request, -1, &answer);
    if (ret == -ENOTCONN)
        return error_set(err, ESRCH, "the virtual machine ended before the process was started");
    if (ret < 0)
        return error_set(err, -ret, "control socket: %s", strerror(-ret));
    /* What runc finds out in create, or in its own init: in the same words. */
    return answer.code ? error_set(err, (int)answer.code, "unable to start container process: %s",
                                   answer.text)
                       : 0;
}

int lifecycle_start(struct container *container, struct error *err)
{
    int ret;

    switch (container_status(container)) {
    case CONTAINER_CREATED:
        break;
    case CONTAINER_RUNNING:
        return error_set(err, EINVAL, "cannot start an already running container");
    case CONTAINER_STOPPED:
        return error_set(err, EINVAL, "cannot start a container that has stopped");
    case CONTAINER_PAUSED:
        return error_set(err, EINVAL, "cannot start a container in the paused state");
    case CONTAINER_CREATING:
    default:
        return error_set(err, EINVAL, "cannot start a container in the creating state");
    }
    ret = network_connect(container, err);
    if (ret == 0)
        ret = ask_start(container, err);
    if (ret < 0)
        return ret;
    container->started = true;
    ret = container_save(container, err);
    if (ret == 0)
        ret = run_kept_hooks(container, HOOK_POSTSTART, CONTAINER_RUNNING, err);
    if (ret < 0)
        (void)process_kill((pid_t)container->pid, container->start_time, KILL_TIMEOUT_MS);
    return ret;
}

/* One request that is only done or not. @what: for a socket that does not answer. */
static int ask(const struct container *container, struct protocol_writer *request, const char *what,
               struct error *err)
{
    struct control_answer answer;
    int ret = control_ask(container->directory, request, REQUEST_TIMEOUT_MS, &answer);

    if (ret == -ENOTCONN)
        return error_set(err, ESRCH, "container not running");
    if (ret < 0)
        return error_set(err, -ret, "cannot %s the container: %s", what, strerror(-ret));
    return answer.code ? error_set(err, (int)answer.code, "%s", answer.text) : 0;
}

static int signal_guest(const struct container *container, int number, bool all, struct error *err)
{
    struct protocol_writer request = { 0 };

    protocol_begin(&request, CONTROL_SIGNAL, 0, 0);
    protocol_put_u64(&request, FIELD_SIGNAL, (uint64_t)number);
    protocol_put_u64(&request, FIELD_ALL, all);
    return ask(container, &request, "signal", err);
}

int lifecycle_pause(const struct container *container, struct error *err)
{
    enum container_status status = container_status(container);
    struct protocol_writer request = { 0 };

    if (status != CONTAINER_CREATED && status != CONTAINER_RUNNING)
        return error_set(err, status == CONTAINER_PAUSED ? EBUSY : ESRCH, "container not running");
    protocol_begin(&request, CONTROL_PAUSE, 0, 0);
    return ask(container, &request, "pause", err);
}

int lifecycle_resume(const struct container *container, struct error *err)
{
    struct protocol_writer request = { 0 };

    if (container_status(container) != CONTAINER_PAUSED)
        return error_set(err, EINVAL, "container not paused");
    protocol_begin(&request, CONTROL_RESUME, 0, 0);
    return ask(container, &request, "resume", err);
}

/* So that no engine hears of the container's end before that of its further processes. */
static void part(const struct container *container)
{
    struct protocol_writer request = { 0 };
    struct control_answer answer;

    protocol_begin(&request, CONTROL_PARTING, 0, 0);
    (void)control_ask(container->directory, &request, PARTING_TIMEOUT_MS, &answer);
}

int lifecycle_signal(const struct container *container, int number, bool all, struct error *err)
{
    _cleanup_close_ int fd = process_open((pid_t)container->pid, container->start_time);

    if (fd < 0)
        return error_set(err, ESRCH, "container not running");
    /* kill(2): 0 only asks whether there is anybody. */
    if (number == 0)
        return 0;
    if (number < 0 || number >= NSIG)
        return error_set(err, EINVAL, "unable to signal init: invalid argument");
    if (number != SIGKILL)
        return signal_guest(container, number, all, err);
    part(container);
    /* Every process of the container goes with the machine, whatever the guest thinks of it. */
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
        return error_set(err, errno, "container not running");
    cgroup_thaw(&container->cgroup);
    return 0;
}

static int end_process(const struct container *container, bool force, struct error *err)
{
    enum container_status status = container_status(container);
    int ret;

    if (status == CONTAINER_STOPPED)
        return 0;
    if (status != CONTAINER_CREATED && !force)
        return error_set(err, EBUSY, "cannot delete container %s that is not stopped: %s",
                         container->id, container_status_name(status));
    /* Killed where it is frozen, it dies when it is let go. */
    ret = lifecycle_signal(container, SIGKILL, true, NULL);
    if (ret == 0)
        ret = process_kill((pid_t)container->pid, container->start_time, KILL_TIMEOUT_MS);
    else if (ret == -ESRCH)
        ret = 0;
    if (ret == -ETIMEDOUT)
        return error_set(err, ETIMEDOUT, "container init still running");
    return ret < 0 ? error_set(err, -ret, "cannot kill the container: %s", strerror(-ret)) : 0;
}

/* A watcher of the network that was killed has left the namespace as it was with the machine. */
static void clean_network(const struct container *container)
{
    _cleanup_free_ char *config = NULL;
    struct spec spec = { 0 };
    struct error err = { 0 };
    int ret = fd_read_file(container->directory, CONTAINER_CONFIG, SPEC_SIZE_MAX, &config, NULL);

    ret = ret < 0 ? error_set(&err, -ret, "%s: %s", CONTAINER_CONFIG, strerror(-ret))
                  : spec_parse(config, &spec, &err);
    for (size_t i = 0; ret == 0 && i < spec.namespace_count; i++)
        if (strcmp(spec.namespaces[i].type, "network") == 0 && spec.namespaces[i].path)
            ret = network_clean(spec.namespaces[i].path, &err);
    if (ret < 0)
        log_warning("%s", err.message);
    spec_free(&spec);
}

static int remove_uplink(const struct container *container, bool force, struct error *err)
{
    struct error reason;
    int ret = uplink_remove(container, &reason);

    if (ret == 0)
        return 0;
    if (!force)
        return error_set(err, -ret, "%s", reason.message);
    /* Better a rule of the host's too many than a container that nobody can remove. */
    log_warning("%s", reason.message);
    return 0;
}

int lifecycle_delete(const char *root, struct container *container, bool force, struct error *err)
{
    struct error hook_error;
    int ret = end_process(container, force, err);

    if (ret == 0)
        ret = container_remove_cgroup(container, err);
    if (ret == 0 && container->uplink)
        ret = remove_uplink(container, force, err);
    if (ret < 0)
        return ret;
    if (container->complete && !container->uplink)
        clean_network(container);
    /* A container that create did not finish was never there for its hooks. config.md
     * "poststop": failures are logged, the rest goes on. */
    if (container->complete &&
        run_kept_hooks(container, HOOK_POSTSTOP, CONTAINER_STOPPED, &hook_error) < 0)
        log_warning("%s", hook_error.message);
    return container_discard(root, container, err);
}
