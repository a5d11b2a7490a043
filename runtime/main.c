/* vmrt: the table of commands, nothing else. */
#include <build.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/command.h"
#include "commands/options.h"
#include "lib/log.h"
#include "oci/descriptors.h"
#include "oci/rootless.h"
#include "oci/settings.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SPEC_VERSION "1.2.0"

static const struct command commands[] = {
    { "create", "<container-id>", "Create a container: its VM boots and waits for start.",
      command_create },
    { "start", "<container-id>", "Start the process of a created container.", command_start },
    { "run", "<container-id>", "Create and start a container, and wait for its end.", command_run },
    { "state", "<container-id>", "Print the state of a container as JSON.", command_state },
    { "kill", "<container-id> [signal]", "Send a signal (default: TERM) to a container's process.",
      command_kill },
    { "delete", "<container-id>", "Remove a container that has stopped.", command_delete },
    { "list", "", "List the containers below --root.", command_list },
    { "spec", "", "Write a config.json to begin with.", command_spec },
    { "features", "", "Print what this runtime supports as JSON.", command_features },
    { "check", "", "Say whether this host can run VMs, and what to do if not.", command_check },
    { "settings", "", "Print the settings of vmrt itself.", command_settings },
    { "exec", "<container-id> <command> [args]", "Run another process in a container.",
      command_exec },
    { "ps", "<container-id> [ps options]", "List the processes of a container.", command_ps },
    { "pause", "<container-id>", "Stop all processes of a container.", command_pause },
    { "resume", "<container-id>", "Go on with a paused container.", command_resume },
    { "update", "<container-id>", "Change the limits of a container.", command_update },
    { "events", "<container-id>", "Print statistics of a container.", command_events },
    { "checkpoint", "<container-id>", "Save a running container.", command_unsupported },
    { "restore", "<container-id>", "Restore a saved container.", command_unsupported },
};

/* Global options as given. */
struct globals {
    const char *root, *log, *log_format, *cgroup_manager, *rootless;
    bool debug, systemd_cgroup, version, help;
};

static void print_help(const struct option_row *rows, size_t count)
{
    puts("Usage: vmrt [global options] <command> [options] [arguments]\n\n"
         "An OCI runtime that runs each container in a KVM virtual machine of its own.\n\n"
         "Commands:");
    for (size_t i = 0; i < COUNT(commands); i++)
        printf("  %-12s %s%s\n", commands[i].name, commands[i].summary,
               commands[i].run == command_unsupported ? " (not supported)" : "");
    puts("\nGlobal options:");
    options_print(stdout, rows, count);
    puts("\n\"vmrt <command> --help\" says more.");
}

static void print_version(void)
{
    printf("vmrt version %s\ncommit: %s\nspec: %s\n", BUILD_VERSION, BUILD_COMMIT, SPEC_VERSION);
}

/*
 * What we get from a caller is not always in order. A command started without stdio must not hand
 * the next file it opens to the container; what was left open is not for our children, though it
 * may be for us (--process /dev/fd/63); and where SIGCHLD is ignored, no child can be waited for.
 */
static int settle_inherited(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return -1;
    descriptors_note();
    (void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    (void)signal(SIGCHLD, SIG_DFL);
    return 0;
}

/* Who is calling decides where the state is and what may be done without. */
static int settle_rootless(const struct globals *globals, struct context *context)
{
    static char root[4096];
    enum rootless rootless = ROOTLESS_AUTO;

    if (globals->rootless && rootless_parse(globals->rootless, &rootless) < 0) {
        log_error("--rootless: expected true, false or auto, found \"%s\"", globals->rootless);
        return -1;
    }
    context->rootless = rootless_applies(rootless);
    rootless_root(rootless, root, sizeof(root));
    context->root = globals->root ? globals->root : root;
    return 0;
}

static int apply(const struct globals *globals, struct context *context)
{
    struct log_options log = { .path = globals->log, .debug = globals->debug };
    struct error err;

    log.json = globals->log_format && strcmp(globals->log_format, "json") == 0;
    if (globals->log_format && !log.json && strcmp(globals->log_format, "text") != 0) {
        log_error("--log-format: expected text or json, found \"%s\"", globals->log_format);
        return -1;
    }
    if (globals->log && !globals->log[0])
        log.path = NULL;
    if (log_open(&log, &err) < 0) {
        log_error("%s", err.message);
        return -1;
    }
    if (settle_rootless(globals, context) < 0)
        return -1;
    context->systemd_cgroup = globals->systemd_cgroup;
    if (!globals->cgroup_manager || strcmp(globals->cgroup_manager, "cgroupfs") == 0)
        return 0;
    context->no_cgroup = strcmp(globals->cgroup_manager, "disabled") == 0;
    if (strcmp(globals->cgroup_manager, "systemd") == 0)
        context->systemd_cgroup = true;
    else if (!context->no_cgroup) {
        log_error("--cgroup-manager: expected cgroupfs, systemd or disabled, found \"%s\"",
                  globals->cgroup_manager);
        return -1;
    }
    return 0;
}

static int run_command(const struct context *context, int argc, char **argv)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(context, &commands[i], argc, argv);
    log_error("unknown command \"%s\"; see vmrt --help", argv[0]);
    return 1;
}

int main(int argc, char **argv)
{
    struct globals globals = { 0 };
    const struct option_row rows[] = {
        { "root", 0, OPTION_STRING, "DIR", "where the state of containers is kept (/run/vmrt)",
          &globals.root },
        { "log", 0, OPTION_STRING, "FILE", "append errors to FILE as well", &globals.log },
        { "log-format", 0, OPTION_STRING, "FORMAT", "text (default) or json", &globals.log_format },
        { "debug", 0, OPTION_FLAG, NULL, "log more", &globals.debug },
        { "systemd-cgroup", 0, OPTION_FLAG, NULL, "cgroupsPath is \"slice:prefix:name\"",
          &globals.systemd_cgroup },
        { "cgroup-manager", 0, OPTION_STRING, "MANAGER", "cgroupfs (default), systemd or disabled",
          &globals.cgroup_manager },
        { "rootless", 0, OPTION_STRING, "VALUE", "true, false, or auto: as the caller is (default)",
          &globals.rootless },
        { "criu", 0, OPTION_IGNORED_STRING, "PATH", "accepted, without effect", NULL },
        { "version", 'v', OPTION_FLAG, NULL, "print the version", &globals.version },
        { "help", 'h', OPTION_FLAG, NULL, "print this", &globals.help },
    };
    struct context context = { .host_settings = SETTINGS_HOST_FILE };

    if (settle_inherited() < 0 ||
        options_parse_global(rows, COUNT(rows), &argc, &argv) != OPTIONS_OK ||
        apply(&globals, &context) < 0)
        return 1;
    if (globals.version) {
        print_version();
        return 0;
    }
    if (globals.help || (argc > 0 && strcmp(argv[0], "help") == 0)) {
        print_help(rows, COUNT(rows));
        return 0;
    }
    if (argc == 0) {
        log_error("no command given; see vmrt --help");
        return 1;
    }
    return run_command(&context, argc, argv);
}
