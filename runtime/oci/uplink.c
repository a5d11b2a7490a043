/* Calling vmrt-uplink. */
#include "oci/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/files.h"

#define PROGRAM   "vmrt-uplink"
#define WORDS_MAX 4096
/* Fits an iptables chain: both numbers are far smaller in practice than their types allow. */
#define TAG_SIZE 29

/* A process of the host is never the same in both: no two containers have one tag. */
static int make_tag(const struct container *container, char tag[TAG_SIZE], struct error *err)
{
    if (snprintf(tag, TAG_SIZE, "vmrt-%" PRIx64 "-%" PRIx64, (uint64_t)container->pid,
                 container->start_time) >= TAG_SIZE)
        return error_set(err, ERANGE, "network: the host has been up for too long");
    return 0;
}

static __attribute__((noreturn)) void execute(const char *const *args, int namespace, int words)
{
    static const char *const env[] = { NULL };
    char directory[PATH_MAX], program[PATH_MAX + sizeof(PROGRAM) + 1];
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    files_programs(directory);
    snprintf(program, sizeof(program), "%s/" PROGRAM, directory);
    if (dup2(words, STDOUT_FILENO) >= 0 && dup2(words, STDERR_FILENO) >= 0 &&
        (namespace < 0 || fcntl(namespace, F_SETFD, 0) == 0))
        execve(program, (char *const *)args, (char *const *)env);
    dprintf(words, PROGRAM ": %s: %s", program, strerror(errno));
    _exit(127);
}

/* Runs the program; what it says is the error, or a line worth knowing. */
static int run(const char *const *args, int namespace, struct error *err)
{
    _cleanup_close_ int words = memfd_create(PROGRAM, MFD_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    int status = 0, ret;
    pid_t pid;

    if (words < 0)
        return error_set_errno(err, "memfd");
    pid = fork();
    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid == 0)
        execute(args, namespace, words);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(err, "waitpid");
    if (lseek(words, 0, SEEK_SET) < 0)
        return error_set_errno(err, "memfd");
    ret = fd_read_all(words, WORDS_MAX, &text, NULL);
    if (ret < 0)
        return error_set(err, -ret, PROGRAM ": %s", strerror(-ret));
    text[strcspn(text, "\n")] = '\0';
    if (status)
        return error_set(err, EIO, "network: %s", text[0] ? text : PROGRAM " was killed");
    if (text[0])
        log_warning("network: %s", text);
    return 0;
}

int uplink_add(const struct container *container, struct error *err)
{
    _cleanup_close_ int namespace = -1;
    char tag[TAG_SIZE], number[16], path[48];
    const char *const args[] = { PROGRAM, "add", tag, number, NULL };
    int ret = make_tag(container, tag, err);

    if (ret < 0)
        return ret;
    snprintf(path, sizeof(path), "/proc/%lld/ns/net", (long long)container->pid);
    namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0)
        return error_set_errno(err, "the container's network namespace");
    snprintf(number, sizeof(number), "%d", namespace);
    return run(args, namespace, err);
}

int uplink_remove(const struct container *container, struct error *err)
{
    char tag[TAG_SIZE];
    const char *const args[] = { PROGRAM, "remove", tag, NULL };
    int ret = make_tag(container, tag, err);

    return ret < 0 ? ret : run(args, -1, err);
}
