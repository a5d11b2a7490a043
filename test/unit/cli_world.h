/*
 * The program vmrt itself, as an engine calls it, with the stand-in for the VM beside it: a bundle
 * with busybox, a state root of its own, and what commands print.
 */
#ifndef VMRT_TEST_CLI_WORLD_H
#define VMRT_TEST_CLI_WORLD_H

#include "oci_world.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/json.h"

struct cli {
    struct world world; /* directory: bundle */
    char program[128];  /* vmrt, vmrt-vmm … lie together */
    char root[96];      /* --root */
    char out[1 << 16];  /* stdout and stderr of the last command */
    char cgroup[64];
    int status; /* its exit status */
};

/* Runs a shell command in the bundle; $V is vmrt with --root. Return: its exit status. */
static inline int cli_shell(struct cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline int cli_shell(struct cli *cli, const char *fmt, ...)
{
    char script[4096], vmrt[512];
    int ends[2], wait_status;
    size_t used = 0;
    va_list args;
    pid_t pid;
    ssize_t n;

    va_start(args, fmt);
    vsnprintf(script, sizeof(script), fmt, args);
    va_end(args);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        snprintf(vmrt, sizeof(vmrt), "%s --root %s", cli->program, cli->root);
        setenv("V", vmrt, 1);
        setenv("VMRT", cli->program, 1);
        setenv("ROOT", cli->root, 1);
        if (dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0 || chdir(cli->world.directory) < 0)
            _exit(126);
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
    close(ends[1]);
    while (used < sizeof(cli->out) - 1 &&
           (n = read(ends[0], cli->out + used, sizeof(cli->out) - 1 - used)) > 0)
        used += (size_t)n;
    cli->out[used] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    cli->status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return cli->status;
}

/* One that must succeed. */
#define CLI_OK(cli, ...)                                          \
    do {                                                          \
        if (cli_shell(cli, __VA_ARGS__) != 0)                     \
            fail_msg("status %d: %s", (cli)->status, (cli)->out); \
    } while (0)

/* One that must fail with @wanted and say @text. */
#define CLI_FAILS(cli, wanted, text, ...)                                                \
    do {                                                                                 \
        (void)cli_shell(cli, __VA_ARGS__);                                               \
        if ((cli)->status != (wanted) || !strstr((cli)->out, text))                      \
            fail_msg("expected status %d and \"%s\", found %d and \"%s\"", wanted, text, \
                     (cli)->status, (cli)->out);                                         \
    } while (0)

#define CLI_SAYS(cli, text)                                          \
    do {                                                             \
        if (!strstr((cli)->out, text))                               \
            fail_msg("expected \"%s\" in \"%s\"", text, (cli)->out); \
    } while (0)

/* Until a shell condition holds; fails after half a minute. */
static inline void cli_wait_for(struct cli *cli, const char *condition)
{
    const struct timespec step = { .tv_nsec = 20000000 };

    for (int tries = 0; tries < 1500; tries++) {
        if (cli_shell(cli, "%s", condition) == 0)
            return;
        nanosleep(&step, NULL);
    }
    fail_msg("never: %s: %s", condition, cli->out);
}

/* Writes config.json: a shell script as the process. */
static inline void cli_config(struct cli *cli, const char *script, const char *process,
                              const char *top)
{
    char all[2048], section[128];

    snprintf(all, sizeof(all), "\"args\":[\"sh\",\"-c\",\"%s\"]%s%s", script, process ? "," : "",
             process ? process : "");
    snprintf(section, sizeof(section), "\"cgroupsPath\":\"%s\"", cli->cgroup);
    world_config(&cli->world, all, section, top);
    world_file(&cli->world, "config.json", cli->world.text, 0644);
}

static inline bool cli_host_can(void)
{
    return geteuid() == 0 && access("/dev/kvm", R_OK | W_OK) == 0 &&
           access("/bin/busybox", X_OK) == 0;
}

static inline int cli_setup(void **state)
{
    struct cli *cli = calloc(1, sizeof(*cli));
    char own[PATH_MAX] = "", command[PATH_MAX * 3], kernel[160];
    void *world = NULL;

    if (!cli || readlink("/proc/self/exe", own, sizeof(own) - 1) < 0 || world_setup(&world) < 0)
        return -1;
    cli->world = *(struct world *)world;
    free(world);
    snprintf(cli->program, sizeof(cli->program), "%s/bin/vmrt", cli->world.directory);
    snprintf(cli->root, sizeof(cli->root), "%s/state", cli->world.directory);
    snprintf(cli->cgroup, sizeof(cli->cgroup), "/vmrt-cli-%d/c", (int)getpid());
    snprintf(command, sizeof(command),
             "D=%s && cd %s && mkdir bin rootfs/bin && "
             "cp -L $D/vmrt $D/vmrt-vmm $D/vmrt-init $D/vmrt-net $D/vmrt-scope bin/ && "
             "cp /bin/busybox rootfs/bin/ && for a in sh sleep cat echo id env pwd stty kill; do "
             "ln -s busybox rootfs/bin/$a; done",
             dirname(own), cli->world.directory);
    snprintf(kernel, sizeof(kernel), "%s/bin/vmlinux", cli->world.directory);
    if (system(command) != 0)
        return -1;
    world_kernel(kernel);
    /* What outlives its command is to be our child, as it would be the engine's. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    *state = cli;
    return 0;
}

static inline int cli_teardown(void **state)
{
    struct cli *cli = *state;

    (void)cli_shell(cli,
                    "for d in $ROOT/*/; do [ -d $d ] && $V delete --force $(basename $d); done;"
                    "find /sys/fs/cgroup -ignore_readdir_race -depth -type d -path '*vmrt-cli-%d*' "
                    "-exec rmdir {} +",
                    (int)getpid());
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    nftw(cli->world.directory, world_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(cli);
    return 0;
}

/* Skips the test where nothing of this can be done. */
static inline void cli_require_host(void)
{
    if (!cli_host_can()) {
        print_message("skipped: needs root, /dev/kvm and busybox-static\n");
        skip();
    }
}

/* A container "c" that runs @script, detached, its output in the file "output". */
static inline void cli_start(struct cli *cli, const char *script)
{
    cli_config(cli, script, NULL, NULL);
    CLI_OK(cli,
           "$V run --detach --pid-file pid c >output 2>&1 </dev/null || { cat output; false; }");
}

/* The child of ours with that pid; waits for its end. */
static inline int cli_reap(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline pid_t cli_read_pid(const struct cli *cli, const char *name)
{
    char path[256], *text = NULL;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/%s", cli->world.directory, name);
    assert_int_equal(fd_read_file(AT_FDCWD, path, 64, &text, NULL), 0);
    assert_true(strlen(text) > 0 && !strchr(text, '\n'));
    pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    return pid;
}

#define CLI_TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup, cli_teardown)

#endif
