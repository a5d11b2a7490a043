/*
 * supervise: starts the lab's machine, gives it a command, passes its output on, ends with its
 * status.
 *
 *   supervise [OPTION]... COUNT ARG... EMULATOR...
 *
 *   -c FILE  the machine's console goes there: removed when the command has reported a status,
 *            quoted and kept otherwise (required)
 *   -t N     end after N seconds
 *   -p WORD  an argument for the lab's "attach"; may be repeated
 *   -r       the machine comes from a saved state, in which the agent waits for its first frame
 *   -i       the emulator has the terminal
 *   -m LINES when the machine is up, write this to the emulator's monitor and wait for its end,
 *            instead of running a command
 *   -v       say when the machine was ready
 *
 * COUNT arguments for the lab are followed by the emulator's command line, in which file
 * descriptor 3 is the agent's port and, with -m, 4 is the monitor.
 *
 * Exit status: the command's; 124 when the time was up, 125 when the machine failed, 128 + n when
 * signal n ended the supervisor, 141 (as for SIGPIPE) when nobody reads the output any more.
 */
#include "wire.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum {
    EXIT_TIMEOUT = 124,
    EXIT_MACHINE = 125,
    PORT_FD = 3,
    MONITOR_FD = 4,
    TAIL_LINES = 60,
    TAIL_BYTES = 16384,
    BOOT_LIMIT_S = 180,   /* ten times the slowest boot that was measured on a loaded machine */
    FROZEN_LIMIT_S = 120, /* the agent speaks every 5 s */
    NUDGE_S = 8,
    END_LIMIT_S = 5,
    TICK_MS = 200,
    MAX_ATTACH = 32,
};

struct lab {
    /* options */
    const char *console;
    double timeout; /* seconds since start, 0 for none */
    bool restored;
    bool interactive;
    bool verbose;
    const char *monitor_lines;
    char *attach[MAX_ATTACH];
    int attach_count;
    char **command;
    int command_count;

    /* state */
    pid_t emulator;
    int port;
    int monitor;
    int signals;
    bool ready;
    struct timespec start;
    double last_frame; /* seconds since start */
    double nudged;     /* likewise */
};

static double since_start(const struct lab *lab)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - lab->start.tv_sec) +
           (double)(now.tv_nsec - lab->start.tv_nsec) / 1e9;
}

/* Asks the emulator to end, which settles its writes to the disks, and insists after a while. */
static void end_machine(struct lab *lab)
{
    if (lab->emulator <= 0)
        return;
    kill(lab->emulator, SIGTERM);
    for (int i = 0; i < END_LIMIT_S * 1000; i++) {
        if (waitpid(lab->emulator, NULL, WNOHANG))
            return;
        nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);
    }
    kill(lab->emulator, SIGKILL);
    waitpid(lab->emulator, NULL, 0);
}

/* Quotes the last lines of the machine's console. */
static void show_console(const char *path)
{
    char buf[TAIL_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    ssize_t n = 0;

    if (size > 0)
        n = pread(fd, buf, sizeof(buf), size > TAIL_BYTES ? size - TAIL_BYTES : 0);
    if (fd >= 0)
        close(fd);
    if (n <= 0) {
        dprintf(STDERR_FILENO, "lab: the console is empty\n");
        return;
    }

    ssize_t from = n;

    for (int lines = 0; from > 0; from--)
        if (buf[from - 1] == '\n' && from != n && ++lines == TAIL_LINES)
            break;
    dprintf(STDERR_FILENO, "lab: the end of the console (%s):\n", path);
    wire_write_all(STDERR_FILENO, buf + from, (size_t)(n - from));
}

static _Noreturn __attribute__((format(printf, 3, 4))) void fail(struct lab *lab, int status,
                                                                 const char *format, ...)
{
    va_list ap;

    end_machine(lab);
    dprintf(STDERR_FILENO, "lab: ");
    va_start(ap, format);
    vdprintf(STDERR_FILENO, format, ap);
    va_end(ap);
    dprintf(STDERR_FILENO, "\n");
    if (status == EXIT_MACHINE || !lab->ready)
        show_console(lab->console);
    else
        unlink(lab->console);
    exit(status);
}

static _Noreturn void finish(struct lab *lab, int status)
{
    end_machine(lab);
    unlink(lab->console);
    exit(status);
}

/* In the emulator's process: the descriptors its command line counts on, then the emulator. */
static _Noreturn void exec_emulator(struct lab *lab, char **argv, int port, int monitor)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(lab->console, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    /* A machine must not outlive whoever waits for it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (!lab->interactive) {
        /* nor see the terminal's Ctrl-C, which is for us */
        setpgid(0, 0);
        if (dup2(null, 0) < 0 || dup2(log, 1) < 0)
            _exit(127);
    }
    /* via high numbers, so that one dup2() does not overwrite the other's source */
    port = fcntl(port, F_DUPFD_CLOEXEC, 20);
    monitor = fcntl(monitor, F_DUPFD_CLOEXEC, 20);
    if (dup2(log, 2) < 0 || dup2(port, PORT_FD) < 0 || dup2(monitor, MONITOR_FD) < 0)
        _exit(127);
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void start_emulator(struct lab *lab, char **argv)
{
    int port[2], monitor[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, port) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitor))
        fail(lab, EXIT_MACHINE, "socketpair: %s", strerror(errno));
    lab->emulator = fork();
    if (lab->emulator < 0)
        fail(lab, EXIT_MACHINE, "fork: %s", strerror(errno));
    if (lab->emulator == 0)
        exec_emulator(lab, argv, port[1], monitor[1]);
    close(port[1]);
    close(monitor[1]);
    lab->port = port[0];
    lab->monitor = monitor[0];
}

/* Sends arguments and the frame that says what they are for; 0 or a negative errno. */
static int send_argv(struct lab *lab, char **argv, int argc, enum wire_type end)
{
    int err = 0;

    for (int i = 0; i < argc; i++) {
        size_t len = strlen(argv[i]) + 1;

        for (size_t at = 0; at < len && !err; at += WIRE_MAX) {
            size_t piece = len - at < WIRE_MAX ? len - at : WIRE_MAX;

            err = wire_send(lab->port, WIRE_ARGV, argv[i] + at, piece);
        }
    }
    return err ? err : wire_send(lab->port, end, NULL, 0);
}

/* Tells the waiting agent what this run is. A dead machine is the main loop's to notice. */
static void send_run(struct lab *lab)
{
    struct timespec now;
    struct wire_fresh fresh;

    clock_gettime(CLOCK_REALTIME, &now);
    fresh.seconds = now.tv_sec;
    fresh.nanoseconds = now.tv_nsec;
    if (getrandom(fresh.random, sizeof(fresh.random), 0) != sizeof(fresh.random))
        fail(lab, EXIT_MACHINE, "getrandom: %s", strerror(errno));
    if (wire_send(lab->port, WIRE_FRESH, &fresh, sizeof(fresh)) == 0)
        send_argv(lab, lab->attach, lab->attach_count, WIRE_PREPARE);
}

/* Has the emulator do what the monitor's lines say, to the end, and ends with its status. */
static _Noreturn void run_monitor(struct lab *lab)
{
    char buf[4096];
    int wstatus = 0;

    wire_write_all(lab->monitor, lab->monitor_lines, strlen(lab->monitor_lines));
    /* what it answers is terminal output, of no use except to see its end */
    while (read(lab->monitor, buf, sizeof(buf)) > 0)
        ;
    waitpid(lab->emulator, &wstatus, 0);
    lab->emulator = 0;
    if (wstatus)
        fail(lab, EXIT_MACHINE, "the emulator failed to save the machine's state");
    finish(lab, 0);
}

static _Noreturn void machine_ended(struct lab *lab)
{
    int wstatus = 0;

    /* The port closes just before the process ends; do not report that as a kill of our own. */
    for (int i = 0; i < 1000 && waitpid(lab->emulator, &wstatus, WNOHANG) == 0; i++)
        nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);

    lab->emulator = 0;
    if (WIFSIGNALED(wstatus))
        fail(lab, EXIT_MACHINE, "the emulator was killed by signal %d", WTERMSIG(wstatus));
    fail(lab, EXIT_MACHINE, "the machine ended (emulator's status %d) before the command did",
         WEXITSTATUS(wstatus));
}

/* Reads exactly @len bytes from the port; the machine's end is fatal. */
static void receive(struct lab *lab, void *buf, size_t len)
{
    char *p = buf;

    while (len) {
        ssize_t n = read(lab->port, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            machine_ended(lab);
        p += n;
        len -= (size_t)n;
    }
}

static void check_timeout(struct lab *lab)
{
    if (lab->timeout > 0 && since_start(lab) >= lab->timeout)
        fail(lab, EXIT_TIMEOUT, "timed out after %g s%s", lab->timeout,
             lab->ready ? "" : ", while booting");
}

static void handle_signal(struct lab *lab)
{
    struct signalfd_siginfo info;

    if (read(lab->signals, &info, sizeof(info)) != sizeof(info))
        return;
    fail(lab, 128 + (int)info.ssi_signo, "ended by signal %d", (int)info.ssi_signo);
}

/* Writes output; a reader that has stopped reading holds up neither the timeout nor signals. */
static void pass_on(struct lab *lab, int fd, const char *buf, size_t len)
{
    while (len) {
        struct pollfd fds[] = {
            { .fd = fd, .events = POLLOUT },
            { .fd = lab->signals, .events = POLLIN },
        };

        check_timeout(lab);
        if (poll(fds, 2, TICK_MS) < 0 && errno != EINTR)
            fail(lab, EXIT_MACHINE, "poll: %s", strerror(errno));
        if (fds[1].revents)
            handle_signal(lab);
        if (!fds[0].revents)
            continue;

        /* A pipe that polls writable has room for PIPE_BUF bytes; more might block. */
        ssize_t n = write(fd, buf, len < PIPE_BUF ? len : PIPE_BUF);

        if (n < 0 && errno == EPIPE)
            finish(lab, 128 + SIGPIPE);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            fail(lab, EXIT_MACHINE, "write output: %s", strerror(errno));
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
}

static void handle_frame(struct lab *lab)
{
    static char payload[WIRE_MAX];
    struct wire_header header;
    uint32_t value = 0;

    receive(lab, &header, sizeof(header));
    if (header.len > WIRE_MAX)
        fail(lab, EXIT_MACHINE, "frame of %" PRIu32 " bytes from the agent", header.len);
    receive(lab, payload, header.len);
    if (header.len == sizeof(value))
        memcpy(&value, payload, sizeof(value));

    switch (header.type) {
    case WIRE_UP:
        if (lab->monitor_lines)
            run_monitor(lab);
        send_run(lab);
        break;
    case WIRE_READY:
        lab->ready = true;
        if (lab->verbose)
            dprintf(STDERR_FILENO, "lab: ready after %.1f s (kernel's clock: %.1f s)\n",
                    since_start(lab), value / 1e3);
        send_argv(lab, lab->command, lab->command_count, WIRE_GO);
        break;
    case WIRE_STDOUT:
        pass_on(lab, STDOUT_FILENO, payload, header.len);
        break;
    case WIRE_STDERR:
        pass_on(lab, STDERR_FILENO, payload, header.len);
        break;
    case WIRE_ALIVE:
        break;
    case WIRE_STATUS:
        if (lab->verbose)
            dprintf(STDERR_FILENO, "lab: status %" PRIu32 " after %.1f s\n", value,
                    since_start(lab));
        finish(lab, (int)value);
    default:
        fail(lab, EXIT_MACHINE, "frame of type %" PRIu32 " from the agent", header.type);
    }
    /* Taken here, not on arrival: a slow reader of our output must not look like a frozen lab. */
    lab->last_frame = since_start(lab);
}

static int watch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: supervise -c FILE [-t N] [-p WORD]... [-m LINES] [-riv] "
                    "COUNT ARG... EMULATOR...\n");
    exit(EXIT_MACHINE);
}

/* Returns the emulator's command line. */
static char **parse_options(struct lab *lab, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "+c:t:p:m:riv")) != -1) {
        switch (option) {
        case 'c':
            lab->console = optarg;
            break;
        case 't':
            lab->timeout = atof(optarg);
            break;
        case 'p':
            if (lab->attach_count == MAX_ATTACH)
                usage();
            lab->attach[lab->attach_count++] = optarg;
            break;
        case 'm':
            lab->monitor_lines = optarg;
            break;
        case 'r':
            lab->restored = true;
            break;
        case 'i':
            lab->interactive = true;
            break;
        case 'v':
            lab->verbose = true;
            break;
        default:
            usage();
        }
    }
    if (!lab->console || optind >= argc)
        usage();
    lab->command_count = atoi(argv[optind++]);
    lab->command = argv + optind;
    if (lab->command_count < 0 || lab->command_count >= argc - optind)
        usage();
    return lab->command + lab->command_count;
}

/*
 * VMRUN and #VMEXIT of QEMU's TCG change the CPU's word of pending interrupts without a lock, while
 * another thread may set the timer's bit in it (target/i386/tcg/sysemu/svm_helper.c,
 * "interrupt_request
 * |= CPU_INTERRUPT_VIRQ"). A bit that is lost so comes back with the next interrupt, whatever it
 * is; a machine that goes idle before has none.
 */
static void nudge(struct lab *lab, double now)
{
    double silent_since = lab->nudged > lab->last_frame ? lab->nudged : lab->last_frame;

    if (!lab->ready || now - silent_since < NUDGE_S)
        return;
    lab->nudged = now;
    if (wire_send(lab->port, WIRE_NUDGE, NULL, 0))
        machine_ended(lab);
}

int main(int argc, char **argv)
{
    struct lab lab = { .port = -1, .monitor = -1 };
    char **emulator = parse_options(&lab, argc, argv);

    clock_gettime(CLOCK_MONOTONIC, &lab.start);
    lab.signals = watch_signals();
    start_emulator(&lab, emulator);
    if (lab.restored)
        send_run(&lab);

    for (;;) {
        struct pollfd fds[] = {
            { .fd = lab.port, .events = POLLIN },
            { .fd = lab.signals, .events = POLLIN },
        };
        double now = since_start(&lab);

        check_timeout(&lab);
        if (!lab.ready && now >= BOOT_LIMIT_S)
            fail(&lab, EXIT_MACHINE, "not up after %d s", BOOT_LIMIT_S);
        if (lab.ready && now - lab.last_frame >= FROZEN_LIMIT_S)
            fail(&lab, EXIT_MACHINE, "frozen: no sign of life for %d s", FROZEN_LIMIT_S);
        nudge(&lab, now);

        /* Waking up a few times a second is simpler than computing three deadlines. */
        if (poll(fds, 2, TICK_MS) < 0 && errno != EINTR)
            fail(&lab, EXIT_MACHINE, "poll: %s", strerror(errno));
        if (fds[1].revents)
            handle_signal(&lab);
        if (fds[0].revents)
            handle_frame(&lab);
    }
}
