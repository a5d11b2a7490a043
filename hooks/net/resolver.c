/* Finding the engine's name server, and the process that asks it. */
#include "resolver.h"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "message.h"
#include "queries.h"
#include "resolver_filter.h"
#include "vmm/control.h"

/* The only descriptor that the process keeps, besides 0 to 2. */
#define HOST_FD 3

/* proc(5), /proc/net/udp: the address in hexadecimal, as it lies in memory. */
bool resolver_is_there(void)
{
    FILE *file = fopen("/proc/self/net/udp", "re");
    char line[256];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file)) {
        unsigned int address, port;

        found = sscanf(line, "%*u: %8X:%4X", &address, &port) == 2 &&
                address == htonl(RESOLVER_ADDRESS);
    }
    if (file)
        fclose(file);
    return found;
}

/* Everything but @host is closed: standard streams, because somebody waits for their end. */
static int keep_only(int host)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return -errno;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fd != null && dup2(null, fd) < 0)
            return -errno;
    if (dup2(host, HOST_FD) < 0)
        return -errno;
    return close_range(HOST_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

/* It reads what a guest says: nothing is left to it but its sockets (queries_syscalls.h). */
static int enter_sandbox(void)
{
    const struct sock_fprog program = {
        sizeof(sandbox_filter_resolver) / sizeof(sandbox_filter_resolver[0]),
        (struct sock_filter *)sandbox_filter_resolver,
    };

    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_apply(CAPNG_SELECT_CAPS) != 0)
        return -EPERM;
    /* no_new_privs is vmrt-net's already. */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

static __attribute__((noreturn)) void serve(int host)
{
    setsid();
    prctl(PR_SET_NAME, "vmrt-net-dns", 0, 0, 0);
    if (chdir("/") < 0 || keep_only(host) < 0 || enter_sandbox() < 0)
        _exit(1);
    _exit(queries_serve(HOST_FD, htonl(RESOLVER_ADDRESS), htons(RESOLVER_PORT)) < 0);
}

int resolver_start(int control, struct error *err)
{
    _cleanup_close_ int ours = -1, theirs = -1;
    int ends[2], ret;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set_errno(err, "name server: socketpair");
    ours = ends[0];
    theirs = ends[1];
    pid = fork();
    if (pid < 0)
        return error_set_errno(err, "name server: fork");
    if (pid == 0)
        serve(ours);
    ret = message_pass(control, CONTROL_RESOLVER, &theirs, 1, err);
    return ret;
}
