/* The common part of create and run. */
#include "commands/creating.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "oci/creation.h"
#include "oci/lifecycle.h"
#include "oci/pidfile.h"

int creating_check_descriptors(const char *preserve_fds, struct error *err)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    char *end;

    if (preserve_fds && (strtol(preserve_fds, &end, 10) != 0 || *end))
        return error_set(err, ENOTSUP,
                         "--preserve-fds %s: file descriptors cannot be passed into a virtual "
                         "machine",
                         preserve_fds);
    /* sd_listen_fds(3): they are meant for the process whose pid is named, and no other. */
    if (count && pid && strtol(count, NULL, 10) > 0 && strtol(pid, NULL, 10) == getpid())
        return error_set(err, ENOTSUP,
                         "LISTEN_FDS=%s: sockets of the host cannot be passed into a virtual "
                         "machine",
                         count);
    return 0;
}

int creating_run(const struct context *context, const struct creating *options, const char *id,
                 int *master, struct container *container, struct error *err)
{
    const char *notify = getenv("NOTIFY_SOCKET");
    struct creation_request request = { .root = context->root,
                                        .host_settings = context->host_settings,
                                        .id = id,
                                        .bundle = options->bundle ? options->bundle : ".",
                                        .config = options->config,
                                        .pid_file = options->pid_file,
                                        .console_socket = options->console_socket,
                                        .notify_socket = notify && notify[0] ? notify : NULL,
                                        .detach = !master,
                                        .systemd_cgroup = context->systemd_cgroup,
                                        .no_cgroup = context->no_cgroup,
                                        .rootless = context->rootless };
    int ret = creating_check_descriptors(options->preserve_fds, err);

    if (ret < 0) {
        *container = (struct container) { .parent = -1, .directory = -1 };
        return ret;
    }
    ret = creation_run(&request, master, container, err);
    if (ret == 0 && options->pidfd_socket) {
        ret = pidfile_send_pidfd(options->pidfd_socket, (pid_t)container->pid, err);
        if (ret < 0)
            (void)lifecycle_delete(context->root, container, true, NULL);
    }
    return ret;
}
