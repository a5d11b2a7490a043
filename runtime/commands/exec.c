/* vmrt exec */
#include <errno.h>
#include <stdlib.h>

#include "commands/command.h"
#include "commands/options.h"
#include "lib/log.h"
#include "oci/exec.h"

/* runc: what fails before the process runs is not that process's status. */
#define EXEC_FAILED 255

struct exec_options {
    struct option_list env, caps, groups;
    const char *apparmor, *label, *cgroup;
    struct exec_request request;
};

static int check(const struct exec_options *options, struct error *err)
{
    /* Control groups inside the machine are the guest's, and every container has one. */
    if (options->cgroup && options->cgroup[0] && options->cgroup[1])
        return error_set(err, ENOTSUP,
                         "--cgroup %s: processes cannot be put into other control groups of a "
                         "virtual machine",
                         options->cgroup);
    if (options->apparmor && options->apparmor[0])
        log_debug("exec: --apparmor %s: ignored: the guest has no AppArmor", options->apparmor);
    if (options->label && options->label[0])
        log_debug("exec: --process-label %s: ignored: the guest has no SELinux", options->label);
    return 0;
}

static int run(const struct context *context, struct exec_options *options, int *status,
               struct error *err)
{
    struct exec_request *request = &options->request;
    int ret = check(options, err);

    request->root = context->root;
    request->env = (struct exec_list) { options->env.values, options->env.count };
    request->caps = (struct exec_list) { options->caps.values, options->caps.count };
    request->groups = (struct exec_list) { options->groups.values, options->groups.count };
    return ret == 0 ? exec_run(request, status, err) : ret;
}

int command_exec(const struct context *context, const struct command *self, int argc, char **argv)
{
    struct exec_options options = { .request = { .terminal = -1, .no_new_privileges = -1 } };
    struct exec_request *request = &options.request;
    const struct option_row rows[] = {
        { "process", 'p', OPTION_STRING, "FILE", "the whole process as JSON", &request->process },
        { "detach", 'd', OPTION_FLAG, NULL, "return once the process runs", &request->detach },
        { "pid-file", 0, OPTION_STRING, "FILE", "write the pid of its proxy on the host to FILE",
          &request->pid_file },
        { "console-socket", 0, OPTION_STRING, "SOCKET", "send its terminal to SOCKET",
          &request->console_socket },
        { "pidfd-socket", 0, OPTION_STRING, "SOCKET", "send a pidfd of its proxy to SOCKET",
          &request->pidfd_socket },
        { "tty", 't', OPTION_MAYBE, NULL, "give it a terminal", &request->terminal },
        { "user", 'u', OPTION_STRING, "UID[:GID]", "run as this user", &request->user },
        { "additional-gids", 'g', OPTION_LIST, "GID", "one more group", &options.groups },
        { "cwd", 0, OPTION_STRING, "DIR", "working directory in the container", &request->cwd },
        { "env", 'e', OPTION_LIST, "NAME=VALUE", "set a variable", &options.env },
        { "cap", 'c', OPTION_LIST, "CAP_NAME", "one more capability", &options.caps },
        { "no-new-privs", 0, OPTION_MAYBE, NULL, "set no_new_privs", &request->no_new_privileges },
        { "ignore-paused", 0, OPTION_FLAG, NULL, "accepted: a paused VM cannot run anything",
          &request->ignore_paused },
        { "preserve-fds", 0, OPTION_STRING, "N", "give it descriptors 3 to 2+N, too",
          &request->preserve_fds },
        { "cgroup", 0, OPTION_STRING, "PATH", "must be / when given", &options.cgroup },
        { "apparmor", 0, OPTION_STRING, "PROFILE", "accepted, without effect", &options.apparmor },
        { "process-label", 0, OPTION_STRING, "LABEL", "accepted, without effect", &options.label },
        { "no-subreaper", 0, OPTION_IGNORED_FLAG, NULL, "accepted, without effect", NULL },
    };
    enum options_result parsed =
        options_parse_leading(self, rows, sizeof(rows) / sizeof(rows[0]), 1, &argc, &argv);
    struct error err;
    int status = 0, ret = 0;

    if (parsed == OPTIONS_OK) {
        request->id = argv[0];
        request->args = (const char *const *)argv + 1;
        ret = run(context, &options, &status, &err);
    }
    free(options.env.values);
    free(options.caps.values);
    free(options.groups.values);
    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR ? EXEC_FAILED : 0;
    if (ret < 0)
        log_error("exec failed: %s", err.message);
    return ret < 0 ? EXEC_FAILED : status;
}
