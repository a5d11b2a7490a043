/*
 * agent: PID 1 of the lab once the machine is set up. It takes a command from the supervisor, runs
 * it, reports its status.
 *
 *   agent PORT
 *
 * Theory of operation: the command gets two pipes, not the port itself, because a port can be
 * opened only once while "echo >/dev/stderr" in a script opens its stderr again. The agent copies
 * from the pipes to the port, reaps whatever is orphaned to it, and when the command ends copies
 * what is left in the pipes and sends the status. It does not wait for the pipes to be closed:
 * a daemon that the command left behind must not keep the lab alive.
 *
 * The state of a machine is saved while the agent waits for its first frame, and whatever is
 * different in each run comes after that.
 */
#include "wire.h"

#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

enum { ALIVE_S = 5, ARGV_MAX_BYTES = 4 << 20 };

/* What the command's end looks like to a shell: the status, or 128 + the signal's number. */
static uint32_t shell_status(int wstatus)
{
    return (uint32_t)(WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus));
}

/* PID 1 must not return: the kernel would panic and hide the message that matters. */
static _Noreturn void power_off(const char *why)
{
    if (why)
        dprintf(STDERR_FILENO, "agent: %s: %s\n", why, strerror(errno));
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static void *allocate(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);

    if (!p)
        power_off("realloc");
    return p;
}

/* Reads exactly @len bytes. A port without a host behind it reads 0 bytes; it will come. */
static void read_exact(int fd, void *buf, size_t len)
{
    char *p = buf;

    while (len) {
        ssize_t n = read(fd, p, len);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            power_off("read the port");
        if (n <= 0) {
            nanosleep(&(struct timespec) { .tv_nsec = 10000000 }, NULL);
            continue;
        }
        p += n;
        len -= (size_t)n;
    }
}

/* The clock has stood still while the state was saved, and each run would draw the same numbers. */
static void refresh(int port, size_t len)
{
    struct wire_fresh fresh;
    int urandom = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

    errno = EPROTO;
    if (len != sizeof(fresh))
        power_off("receive the time");
    read_exact(port, &fresh, sizeof(fresh));

    struct timespec now = { .tv_sec = fresh.seconds, .tv_nsec = fresh.nanoseconds };

    if (clock_settime(CLOCK_REALTIME, &now))
        power_off("set the clock");
    if (wire_write_all(urandom, fresh.random, sizeof(fresh.random)) ||
        ioctl(urandom, RNDRESEEDCRNG, 0))
        power_off("seed the random numbers");
    close(urandom);
}

/* Cuts @used bytes at their NULs; returns a NULL-terminated argv behind one free place. */
static char **split(char *bytes, size_t used)
{
    size_t argc = 0;

    errno = EPROTO;
    if (used && bytes[used - 1] != '\0')
        power_off("receive the command");
    for (size_t i = 0; i < used; i++)
        argc += bytes[i] == '\0';

    char **argv = allocate(NULL, (argc + 2) * sizeof(*argv));

    for (size_t i = 1; i <= argc; i++, bytes += strlen(bytes) + 1)
        argv[i] = bytes;
    argv[argc + 1] = NULL;
    return argv;
}

/* Receives arguments up to the frame @end, which says what they are for. */
static char **receive_argv(int port, enum wire_type end)
{
    struct wire_header header;
    char *bytes = NULL;
    size_t used = 0;

    for (;;) {
        read_exact(port, &header, sizeof(header));
        if (header.type == (uint32_t)end)
            return split(bytes, used);
        if (header.type == WIRE_FRESH) {
            refresh(port, header.len);
            continue;
        }
        errno = EPROTO;
        if (header.type != WIRE_ARGV || header.len > WIRE_MAX || used + header.len > ARGV_MAX_BYTES)
            power_off("receive the command");
        bytes = allocate(bytes, used + header.len + 1);
        read_exact(port, bytes + used, header.len);
        used += header.len;
    }
}

static _Noreturn void exec_command(char **argv)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], argv);

    int err = errno;

    dprintf(STDERR_FILENO, "lab: %s: %s\n", argv[0], strerror(err));
    _exit(err == ENOENT ? 127 : 126);
}

/* Runs "attach", whose output belongs on the console. */
static void attach(char **argv)
{
    int wstatus;
    pid_t pid = fork();

    if (pid < 0)
        power_off("fork");
    if (pid == 0) {
        argv[0] = (char *)"/run/lab/attach";
        exec_command(argv);
    }
    while (waitpid(pid, &wstatus, 0) < 0)
        if (errno != EINTR)
            power_off("wait for attach");
    errno = ECANCELED;
    if (wstatus)
        power_off("attach");
}

static pid_t start_piped(char **argv, int *out, int *err)
{
    int o[2], e[2];

    if (pipe2(o, O_CLOEXEC) || pipe2(e, O_CLOEXEC))
        power_off("pipe");

    pid_t pid = fork();

    if (pid < 0)
        power_off("fork");
    if (pid == 0) {
        setsid();
        /* the tree, if there is one; "attach" has mounted it after we were started */
        if (chdir("/src") && chdir("/"))
            _exit(126);

        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (dup2(null, STDIN_FILENO) < 0 || dup2(o[1], STDOUT_FILENO) < 0 ||
            dup2(e[1], STDERR_FILENO) < 0)
            _exit(126);
        exec_command(argv);
    }
    close(o[1]);
    close(e[1]);
    *out = o[0];
    *err = e[0];
    return pid;
}

/* Copies one piece from a pipe to the port; returns false at the pipe's end. */
static bool forward(int port, int pipe_fd, enum wire_type type)
{
    static char buf[WIRE_MAX / 2];
    ssize_t n = read(pipe_fd, buf, sizeof(buf));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n > 0 && wire_send(port, type, buf, (size_t)n))
        power_off("write the port");
    return n > 0;
}

/* Sends what is already in the pipe and leaves what a surviving child may still write. */
static void drain(int port, int pipe_fd, enum wire_type type)
{
    struct pollfd p = { .fd = pipe_fd, .events = POLLIN };
    int left = 0;

    /* What is there now, and no more: a child that never stops writing must not hold us. */
    if (pipe_fd < 0 || ioctl(pipe_fd, FIONREAD, &left))
        return;
    for (int pieces = left / (WIRE_MAX / 2) + 1; pieces && poll(&p, 1, 0) > 0; pieces--)
        if (!forward(port, pipe_fd, type))
            return;
}

/* Reaps everything that has ended; true when the command was among it. */
static bool reap(pid_t command, int *wstatus)
{
    bool ended = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == command) {
            *wstatus = status;
            ended = true;
        }
    return ended;
}

static int child_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void eat_signals(int fd)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == sizeof(info))
        ;
}

/* Seconds since the kernel started. */
static time_t uptime(void)
{
    struct timespec up;

    clock_gettime(CLOCK_MONOTONIC, &up);
    return up.tv_sec;
}

static void report_ready(int port)
{
    struct timespec up;

    clock_gettime(CLOCK_MONOTONIC, &up);

    uint32_t ms = (uint32_t)(up.tv_sec * 1000 + up.tv_nsec / 1000000);

    if (wire_send(port, WIRE_READY, &ms, sizeof(ms)))
        power_off("write the port");
}

/* A frame that says nothing: its interrupt has done what it is for. */
static void receive_nudge(int port)
{
    struct wire_header header;

    errno = EPROTO;
    if (read(port, &header, sizeof(header)) != sizeof(header) || header.type != WIRE_NUDGE)
        power_off("read the port");
}

/* Runs the command with its output going to the port; returns its status as a shell has it. */
static uint32_t run_command(int port, int signals, char **argv)
{
    int wstatus = 0;
    struct pollfd fds[4] = {
        { .events = POLLIN },
        { .events = POLLIN },
        { .fd = signals, .events = POLLIN },
        { .fd = port, .events = POLLIN },
    };
    pid_t command = start_piped(argv, &fds[0].fd, &fds[1].fd);

    for (time_t told = 0;;) {
        /* By the clock, not when poll() finds nothing: orphans may end all the time. */
        if (uptime() - told >= ALIVE_S) {
            if (wire_send(port, WIRE_ALIVE, NULL, 0))
                power_off("write the port");
            told = uptime();
        }
        poll(fds, 4, ALIVE_S * 1000);
        if (fds[3].revents & POLLIN)
            receive_nudge(port);
        if (fds[0].revents && !forward(port, fds[0].fd, WIRE_STDOUT))
            fds[0].fd = -1;
        if (fds[1].revents && !forward(port, fds[1].fd, WIRE_STDERR))
            fds[1].fd = -1;
        if (fds[2].revents) {
            eat_signals(signals);
            if (reap(command, &wstatus))
                break;
        }
    }
    drain(port, fds[0].fd, WIRE_STDOUT);
    drain(port, fds[1].fd, WIRE_STDERR);
    return shell_status(wstatus);
}

int main(int argc, char **argv)
{
    errno = EINVAL;
    if (argc != 2)
        power_off("usage: agent PORT");

    int port = open(argv[1], O_RDWR | O_CLOEXEC), signals = child_signals();

    if (port < 0 || signals < 0)
        power_off(argv[1]);
    if (wire_send(port, WIRE_UP, NULL, 0))
        power_off("write the port");
    attach(receive_argv(port, WIRE_PREPARE));
    report_ready(port);

    char **command = receive_argv(port, WIRE_GO);

    errno = EPROTO;
    if (!command[1])
        power_off("receive the command");

    uint32_t status = run_command(port, signals, command + 1);

    wire_send(port, WIRE_STATUS, &status, sizeof(status));
    /* The supervisor ends the machine now; power off only if it does not. */
    nanosleep(&(struct timespec) { .tv_sec = 30 }, NULL);
    errno = ETIMEDOUT;
    power_off("wait for the supervisor");
}
