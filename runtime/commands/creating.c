/* The common part of create and run. */
#include "commands/creating.h"

#include <stdlib.h>

#include "oci/creation.h"
#include "oci/descriptors.h"
#include "oci/lifecycle.h"
#include "oci/pidfile.h"

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
    struct descriptors descriptors;
    int ret = descriptors_take(options->preserve_fds, true, &descriptors, err);

    if (ret < 0) {
        *container = (struct container) { .parent = -1, .directory = -1 };
        return ret;
    }
    request.descriptors = &descriptors;
    ret = creation_run(&request, master, container, err);
    descriptors_close(&descriptors);
    if (ret == 0 && options->pidfd_socket) {
        ret = pidfile_send_pidfd(options->pidfd_socket, (pid_t)container->pid, err);
        if (ret < 0)
            (void)lifecycle_delete(context->root, container, true, NULL);
    }
    return ret;
}
