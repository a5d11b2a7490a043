/* The common part of create and run. */
#include "commands/creating.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/creation.h"
#include "oci/lifecycle.h"
#include "oci/process.h"

static int check(const struct creating *options, struct error *err)
{
    const char *notify = getenv("NOTIFY_SOCKET");
    char *end;

    if (options->preserve_fds && (strtol(options->preserve_fds, &end, 10) != 0 || *end))
        return error_set(err, ENOTSUP,
                         "--preserve-fds %s: file descriptors cannot be passed into a virtual "
                         "machine",
                         options->preserve_fds);
    if (notify && notify[0])
        return error_set(err, ENOTSUP,
                         "NOTIFY_SOCKET is set: a virtual machine cannot report readiness to "
                         "systemd yet; unset it (podman: --sdnotify=conmon)");
    return 0;
}

/* One message with one descriptor, as for console sockets. */
static int send_pidfd(const char *path, const struct container *container, struct error *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int pidfd = process_open((pid_t)container->pid, container->start_time);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int ret;

    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
        (int)sizeof(address.sun_path))
        return error_set(err, ENAMETOOLONG, "--pidfd-socket %s", path);
    if (pidfd < 0)
        return error_set(err, ESRCH, "container not running");
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, "--pidfd-socket %s", path);
    ret = fd_send_message(fd, "pidfd", 5, &pidfd, 1);
    return ret < 0 ? error_set(err, -ret, "--pidfd-socket %s: %s", path, strerror(-ret)) : 0;
}

int creating_run(const struct context *context, const struct creating *options, const char *id,
                 struct container *container, struct error *err)
{
    struct creation_request request = { .root = context->root,
                                        .host_settings = context->host_settings,
                                        .id = id,
                                        .bundle = options->bundle ? options->bundle : ".",
                                        .config = options->config,
                                        .pid_file = options->pid_file,
                                        .console_socket = options->console_socket != NULL,
                                        .systemd_cgroup = context->systemd_cgroup,
                                        .no_cgroup = context->no_cgroup };
    int ret = check(options, err);

    if (ret < 0) {
        *container = (struct container) { .parent = -1, .directory = -1 };
        return ret;
    }
    ret = creation_run(&request, container, err);
    if (ret == 0 && options->pidfd_socket) {
        ret = send_pidfd(options->pidfd_socket, container, err);
        if (ret < 0)
            (void)lifecycle_delete(context->root, container, true, NULL);
    }
    return ret;
}
