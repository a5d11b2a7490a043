/* Running vmrt-net. */
#include "oci/network.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/control_client.h"
#include "oci/files.h"

#define CONTROL_TIMEOUT_MS 10000
/*
 * All that vmrt-net says before it goes to the background, bytes: of 64 interfaces that it leaves
 * out (hooks/net/scan.h) in lines of 160, a few other warnings, and the reason why it failed, which
 * comes last. Its pipe holds as much.
 */
#define REASON_MAX (16u << 10)
/* virtio 1.2 §5.1 knows more, vmrt-net does not. */
#define QUEUES_MAX 8u

/* The descriptors that vmrt-net inherits. */
struct handover {
    int program, namespace, log;
    int control; /* -1: only clean up */
    int user;    /* user namespace that owns the network's; -1: this process's own */
    uint32_t queues;
    bool vhost;
};

static int open_program(struct error *err)
{
    char directory[PATH_MAX], path[PATH_MAX + sizeof("/vmrt-net")];
    int fd;

    files_programs(directory);
    snprintf(path, sizeof(path), "%s/vmrt-net", directory);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, "%s", path) : fd;
}

static int open_namespace(const struct container *container, struct error *err)
{
    char path[48];
    int fd;

    snprintf(path, sizeof(path), "/proc/%lld/ns/net", (long long)container->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, "the container's network namespace") : fd;
}

/*
 * Without root the monitor made a user namespace, in which alone its network may be administered.
 * Return: 0 with a descriptor in @user, -1 there when it is this process's own; or -errno.
 */
static int open_owner(const struct container *container, int *user, struct error *err)
{
    struct stat theirs, own;
    char path[48];
    int fd;

    snprintf(path, sizeof(path), "/proc/%lld/ns/user", (long long)container->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &theirs) < 0 || stat("/proc/self/ns/user", &own) < 0) {
        error_set_errno(err, "the container's user namespace");
        fd_close(&fd);
        return -err->code;
    }
    if (theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino)
        fd_close(&fd);
    *user = fd;
    return 0;
}

static __attribute__((noreturn)) void run_program(const struct handover *handover, int errors)
{
    char namespace[16], control[16], queues[16], log[16];
    const char *args[12] = { "vmrt-net", "--netns", namespace };
    const char *const env[] = { NULL };
    const int kept[] = { handover->namespace, handover->control, handover->log };
    size_t count = 3;

    snprintf(namespace, sizeof(namespace), "%d", handover->namespace);
    snprintf(control, sizeof(control), "%d", handover->control);
    snprintf(queues, sizeof(queues), "%u", handover->queues);
    snprintf(log, sizeof(log), "%d", handover->log);
    if (handover->control < 0) {
        args[count++] = "--clean";
    } else {
        args[count++] = "--control";
        args[count++] = control;
        args[count++] = "--queues";
        args[count++] = queues;
        args[count++] = "--watch";
    }
    if (handover->vhost)
        args[count++] = "--vhost";
    if (handover->log >= 0) {
        args[count++] = "--log";
        args[count] = log;
    }
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (kept[i] >= 0 && fcntl(kept[i], F_SETFD, 0) < 0)
            _exit(1);
    if (dup2(errors, STDERR_FILENO) >= 0 &&
        (handover->user < 0 || setns(handover->user, CLONE_NEWUSER) == 0))
        fexecve(handover->program, (char *const *)args, (char *const *)env);
    dprintf(STDERR_FILENO, "vmrt-net: cannot be executed: %s\n", strerror(errno));
    _exit(1);
}

/* A line that it said, without its name. */
static const char *strip_name(const char *line)
{
    static const char name[] = "vmrt-net: ";

    return strncmp(line, name, sizeof(name) - 1) == 0 ? line + sizeof(name) - 1 : line;
}

/* The last line says why it failed; those before it, if any, are warnings. */
static int explain(char *words, int status, struct error *err)
{
    char *rest = words, *line, *reason = NULL;

    while ((line = strsep(&rest, "\n"))) {
        if (!line[0])
            continue;
        if (reason)
            log_warning("network: %s", strip_name(reason));
        reason = line;
    }
    if (status && reason)
        return error_set(err, EIO, "network: %s", strip_name(reason));
    if (status)
        return error_set(err, EIO,
                         "network: vmrt-net ended with wait status %#x and without a word",
                         (unsigned int)status);
    if (reason)
        log_warning("network: %s", strip_name(reason));
    return 0;
}

static int wait_program(pid_t pid, int errors, struct error *err)
{
    char words[REASON_MAX] = "";
    ssize_t length = fd_read_full(errors, words, sizeof(words) - 1);
    int status = 0;

    if (length >= 0)
        words[length] = '\0';
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(err, "network: waitpid");
    return explain(words, status, err);
}

static int hand_over(const struct handover *handover, struct error *err)
{
    _cleanup_close_ int reader = -1, writer = -1;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, "pipe");
    reader = ends[0];
    writer = ends[1];
    pid = fork();
    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid == 0)
        run_program(handover, writer);
    fd_close(&writer);
    return wait_program(pid, reader, err);
}

int network_connect(const struct container *container, struct error *err)
{
    _cleanup_close_ int program = open_program(err), namespace = -1, control = -1, user = -1;
    struct handover handover;
    int ret;

    if (program < 0)
        return program;
    namespace = open_namespace(container, err);
    if (namespace < 0)
        return namespace;
    ret = open_owner(container, &user, err);
    if (ret < 0)
        return ret;
    control = control_connect(container->directory, CONTROL_TIMEOUT_MS);
    if (control == -ENOTCONN)
        return error_set(err, ESRCH, "the virtual machine ended before the process was started");
    if (control < 0)
        return error_set(err, -control, "control socket: %s", strerror(-control));
    handover = (struct handover) { program, namespace, log_fd(), control, user, 1, false };
    if (container->cpus > 1)
        handover.queues = container->cpus < QUEUES_MAX ? container->cpus : QUEUES_MAX;
    handover.vhost = container->net_vhost;
    return hand_over(&handover, err);
}

int network_clean(const char *path, struct error *err)
{
    _cleanup_close_ int program = -1, namespace = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    /* Where the namespace was mounted is an empty file now, or nothing. */
    if (namespace < 0 || ioctl(namespace, NS_GET_NSTYPE) != CLONE_NEWNET)
        return 0;
    program = open_program(err);
    if (program < 0)
        return program;
    return hand_over(&(struct handover) { program, namespace, -1, -1, -1, 1, false }, err);
}
