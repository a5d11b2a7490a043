/* signalfd(2). */
#include "oci/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_hold(struct error *err)
{
    /* Raised by the kernel for what this very program does wrong. */
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
    sigset_t set;
    int fd;

    sigfillset(&set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&set, faults[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_set_errno(err, "signalfd") : fd;
}

int signals_next(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

bool signals_is_own(int number)
{
    return number == SIGCHLD || number == SIGPIPE;
}
