/* vmrt-net: connects the interfaces of a network namespace with a virtual machine. */
#include <build.h>
#include <cap-ng.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/fd.h"
#include "hold.h"
#include "network.h"
#include "tap.h"

#define HOLD_WAIT_MS 1000

struct options {
    int namespace, control, log;
    unsigned int queues;
    bool watch, vhost, clean;
};

static int log_fd = STDERR_FILENO;

static void say(const char *line)
{
    char text[1200];
    int length = snprintf(text, sizeof(text), "vmrt-net: %s\n", line);

    if (log_fd >= 0 && length > 0)
        (void)!write(log_fd, text,
                     (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

static void print_help(void)
{
    printf("Usage: vmrt-net --netns FD|PATH --control FD [--queues N] [--vhost]\n"
           "                [--watch] [--log FD]\n"
           "       vmrt-net --netns FD|PATH --clean\n"
           "       vmrt-net --help | --version\n\n"
           "Gives every interface of a network namespace to a virtual machine: a TAP device for\n"
           "each, traffic redirected both ways, and the same name, MAC, MTU, addresses, routes,\n"
           "rules, permanent neighbours and settings in the guest.\n\n"
           "  --netns FD|PATH  the namespace\n"
           "  --control FD     a connection to the machine's control socket\n"
           "  --queues N       queue pairs of each interface, 1 to %d (1)\n"
           "  --vhost          let the host's kernel move the packets (/dev/vhost-net)\n"
           "  --watch          when all is done, go on in the background: pass changes to the\n"
           "                   guest until the machine ends, then take everything back\n"
           "  --clean          only take away what one that was killed has left in the namespace,\n"
           "                   unless it is in use\n"
           "  --log FD         where the background process writes its lines (nowhere)\n\n"
           "Ends with 0 when the guest's network works; else with one line on stderr and 1, or 2\n"
           "for bad options.\n",
           TAP_QUEUES_MAX);
}

/* Return: 0, or -EINVAL for what is not a number within the bounds. */
static int parse_number(const char *text, unsigned long low, unsigned long high,
                        unsigned long *value)
{
    char *end;

    errno = 0;
    *value = strtoul(text, &end, 10);
    return !isdigit((unsigned char)text[0]) || *end || errno || *value < low || *value > high
               ? -EINVAL
               : 0;
}

static int parse_fd(const char *name, const char *text, int *fd, struct error *err)
{
    unsigned long number;

    if (parse_number(text, 0, 1 << 20, &number) < 0 || fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(err, EINVAL, "%s: \"%s\" is not an open descriptor", name, text);
    *fd = (int)number;
    return 0;
}

static int parse_namespace(const char *text, int *fd, struct error *err)
{
    if (isdigit((unsigned char)text[0]))
        return parse_fd("--netns", text, fd, err);
    *fd = open(text, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_set_errno(err, "--netns: %s", text) : 0;
}

static int parse_options(int argc, char **argv, struct options *options, struct error *err)
{
    static const struct option known[] = {
        { "netns", required_argument, NULL, 'n' },  { "control", required_argument, NULL, 'c' },
        { "queues", required_argument, NULL, 'q' }, { "watch", no_argument, NULL, 'w' },
        { "log", required_argument, NULL, 'l' },    { "vhost", no_argument, NULL, 'v' },
        { "clean", no_argument, NULL, 'x' },        { NULL, 0, NULL, 0 },
    };
    unsigned long number;
    int option, ret = 0;

    *options = (struct options) { .namespace = -1, .control = -1, .log = -1, .queues = 1 };
    opterr = 0;
    while (ret == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'n':
            ret = parse_namespace(optarg, &options->namespace, err);
            break;
        case 'c':
            ret = parse_fd("--control", optarg, &options->control, err);
            break;
        case 'l':
            ret = parse_fd("--log", optarg, &options->log, err);
            break;
        case 'q':
            if (parse_number(optarg, 1, TAP_QUEUES_MAX, &number) < 0)
                return error_set(err, EINVAL, "--queues: \"%s\" is not a number from 1 to %d",
                                 optarg, TAP_QUEUES_MAX);
            options->queues = (unsigned int)number;
            break;
        case 'v':
            options->vhost = true;
            break;
        case 'x':
            options->clean = true;
            break;
        case 'w':
            options->watch = true;
            break;
        default:
            return error_set(err, EINVAL, "unknown or incomplete option %s; see --help",
                             argv[optind - 1]);
        }
    }
    if (ret < 0)
        return ret;
    if (optind < argc)
        return error_set(err, EINVAL, "unexpected argument \"%s\"; see --help", argv[optind]);
    if (options->namespace < 0 || (options->control < 0 && !options->clean))
        return error_set(err, EINVAL, "--netns and --control are needed; see --help");
    return 0;
}

/* In the namespace, and with nothing left but the right to administer networks. */
static int enter(const struct options *options, struct error *err)
{
    if (setns(options->namespace, CLONE_NEWNET) < 0)
        return error_set_errno(err, "enter the network namespace");
    close(options->namespace);
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN) != 0 ||
        capng_apply(CAPNG_SELECT_BOTH) != 0)
        return error_set(err, EPERM, "give up capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(err, "give up privileges");
    return 0;
}

/* Return: in the child 0, in the parent the child's pid, or a negative errno. */
static pid_t go_on_in_background(const struct options *options, struct error *err)
{
    pid_t pid = fork();
    int null;

    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid > 0)
        return pid;
    /* Nobody is to wait for the end of these, and nothing is to keep a mount busy. */
    log_fd = options->log;
    setsid();
    null = chdir("/") == 0 ? open("/dev/null", O_RDWR) : -1;
    for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
        if (fd != options->log && fd != options->control)
            dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
    return 0;
}

static int connect_network(const struct options *options, struct network *network,
                           struct error *err)
{
    /*
     * Another one may be about to end in the namespace, and take its filters off it. Without the
     * lock all works, unless this process is killed.
     */
    _cleanup_close_ int hold = hold_take(HOLD_WAIT_MS);
    int ret = network_open(network, options->control, options->queues, options->vhost, say, err);

    if (ret < 0)
        return ret;
    ret = network_sync(network, err);
    if (ret == 0 && options->watch) {
        pid_t pid = go_on_in_background(options, err);

        if (pid == 0) {
            network_watch(network);
            network_undo(network);
        }
        ret = pid < 0 ? pid : 0;
    }
    if (ret < 0)
        network_undo(network);
    network_close(network);
    return ret;
}

static int clean_network(struct error *err)
{
    _cleanup_close_ int hold = hold_take(0);

    if (hold == -EWOULDBLOCK)
        return 0;
    return hold < 0 ? error_set(err, -hold, "lock the network namespace: %s", strerror(-hold))
                    : network_clean(err);
}

int main(int argc, char **argv)
{
    static struct network network;
    struct options options;
    struct error err = { 0 };
    int ret;

    /* fexecve(3) leaves a descriptor's number there before Linux 6.14. */
    prctl(PR_SET_NAME, "vmrt-net", 0, 0, 0);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("vmrt-net version %s\ncommit: %s\n", BUILD_VERSION, BUILD_COMMIT);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    /* Whoever asks name servers for the guest ends when it ends; nobody waits for that. */
    signal(SIGCHLD, SIG_IGN);
    ret = parse_options(argc, argv, &options, &err);
    if (ret < 0) {
        say(err.message);
        return 2;
    }
    ret = enter(&options, &err);
    if (ret == 0)
        ret = options.clean ? clean_network(&err) : connect_network(&options, &network, &err);
    if (ret < 0)
        say(err.message);
    return ret < 0 ? 1 : 0;
}
