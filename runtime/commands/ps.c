/*
 * vmrt ps: the host's processes that stand for those of the container, the monitor and the proxies
 * of exec. Engines look for these pids in what the host's ps prints.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/container.h"
#include "oci/process.h"

#define OUTPUT_MAX (64u << 20)

static bool has_pid(const struct cgroup_pids *pids, long pid)
{
    for (size_t i = 0; i < pids->count; i++)
        if (pids->list[i] == pid)
            return true;
    return false;
}

static void drop_kernel_threads(struct cgroup_pids *pids)
{
    size_t kept = 0;

    for (size_t i = 0; i < pids->count; i++)
        if (!process_is_kernel_thread(pids->list[i]))
            pids->list[kept++] = pids->list[i];
    pids->count = kept;
}

/* Without a control group only the monitor is known. */
static int read_pids(const struct container *container, struct cgroup_pids *pids, struct error *err)
{
    int ret;

    *pids = (struct cgroup_pids) { 0 };
    if (container_status(container) == CONTAINER_STOPPED)
        return 0;
    if (container->cgroup.count) {
        ret = cgroup_read_pids(&container->cgroup, pids);
        drop_kernel_threads(pids);
        return ret < 0 ? error_set(err, -ret, "control group %s: %s", container->cgroup.paths[0],
                                   strerror(-ret))
                       : 0;
    }
    pids->list = malloc(sizeof(*pids->list));
    if (!pids->list)
        return error_set(err, ENOMEM, "out of memory");
    pids->list[0] = (pid_t)container->pid;
    pids->count = 1;
    return 0;
}

static int print_json(const struct cgroup_pids *pids, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    yajl_gen gen = yajl_gen_alloc(NULL);

    if (!gen)
        return error_set(err, ENOMEM, "out of memory");
    yajl_gen_array_open(gen);
    for (size_t i = 0; i < pids->count; i++)
        yajl_gen_integer(gen, pids->list[i]);
    yajl_gen_array_close(gen);
    if (json_take_text(gen, &text) < 0)
        return error_set(err, ENOMEM, "out of memory");
    puts(text);
    return 0;
}

/* Return: what ps(1) printed, stdout and stderr together as runc shows it, or NULL with @err. */
static char *run_ps(char *const *args, struct error *err)
{
    _cleanup_close_ int reader = -1;
    char *text = NULL;
    int ends[2], status = 0, ret;
    pid_t pid;

    if (pipe2(ends, 0) < 0) {
        error_set_errno(err, "pipe");
        return NULL;
    }
    reader = ends[0];
    pid = fork();
    if (pid == 0) {
        close(reader);
        if (dup2(ends[1], STDOUT_FILENO) >= 0 && dup2(ends[1], STDERR_FILENO) >= 0) {
            close(ends[1]);
            execvp("ps", args);
            printf("ps: %s", strerror(errno));
            fflush(stdout);
        }
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0) {
        error_set_errno(err, "fork");
        return NULL;
    }
    ret = fd_read_all(reader, OUTPUT_MAX, &text, NULL);
    if (ret < 0)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (ret < 0) {
        error_set(err, -ret, "ps: %s", strerror(-ret));
        return NULL;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return text;
    error_set(err, EIO, "exit status %d: %s", WIFEXITED(status) ? WEXITSTATUS(status) : 128, text);
    free(text);
    return NULL;
}

/* Which word of the title is PID. Return: 0.., or -1. */
static int find_column(const char *title)
{
    for (int column = 0; *title; column++) {
        size_t length;

        title += strspn(title, " \t");
        length = strcspn(title, " \t");
        if (length == 3 && strncmp(title, "PID", 3) == 0)
            return column;
        title += length;
    }
    return -1;
}

static long word_number(const char *line, int column)
{
    for (;; column--) {
        line += strspn(line, " \t");
        if (column == 0)
            return strtol(line, NULL, 10);
        line += strcspn(line, " \t");
    }
}

static int print_table(char *text, const struct cgroup_pids *pids, struct error *err)
{
    char *save = NULL, *line = strtok_r(text, "\n", &save);
    int column = line ? find_column(line) : -1;

    if (column < 0)
        return error_set(err, EINVAL, "couldn't find PID field in ps output");
    puts(line);
    while ((line = strtok_r(NULL, "\n", &save)))
        if (has_pid(pids, word_number(line, column)))
            puts(line);
    return 0;
}

static int list_processes(const struct context *context, char **argv, bool json, struct error *err)
{
    char *standard[] = { (char *)"ps", (char *)"-ef", NULL };
    struct cgroup_pids pids = { 0 };
    struct container container;
    _cleanup_free_ char *text = NULL;
    int ret = container_open(context->root, argv[0], &container, err);

    if (ret == 0)
        ret = read_pids(&container, &pids, err);
    if (ret == 0 && json) {
        ret = print_json(&pids, err);
    } else if (ret == 0) {
        char *id = argv[0];

        /* The arguments of ps(1) follow the id, whose place its name takes. */
        argv[0] = standard[0];
        text = run_ps(argv[1] ? argv : standard, err);
        argv[0] = id;
        ret = text ? print_table(text, &pids, err) : -err->code;
    }
    cgroup_free_pids(&pids);
    container_close(&container);
    return ret;
}

int command_ps(const struct context *context, const struct command *self, int argc, char **argv)
{
    const char *format = "table";
    const struct option_row rows[] = {
        { "format", 'f', OPTION_STRING, "FORMAT", "table (default) or json", &format },
    };
    enum options_result parsed = options_parse_leading(self, rows, 1, 1, &argc, &argv);
    struct error err;
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0)
        ret = error_set(&err, EINVAL, "invalid format option");
    else
        ret = list_processes(context, argv, strcmp(format, "json") == 0, &err);
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}
