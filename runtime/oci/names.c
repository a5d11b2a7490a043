/* Name tables of the Linux ABI (capabilities(7), getrlimit(2), signal(7)). */
#include "oci/names.h"

#include <limits.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct name_row {
    const char *name;
    int number;
};

/* Position is the capability's number. */
static const char *const capabilities[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

static const struct name_row rlimits[] = {
    { "RLIMIT_AS", RLIMIT_AS },
    { "RLIMIT_CORE", RLIMIT_CORE },
    { "RLIMIT_CPU", RLIMIT_CPU },
    { "RLIMIT_DATA", RLIMIT_DATA },
    { "RLIMIT_FSIZE", RLIMIT_FSIZE },
    { "RLIMIT_LOCKS", RLIMIT_LOCKS },
    { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
    { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
    { "RLIMIT_NICE", RLIMIT_NICE },
    { "RLIMIT_NOFILE", RLIMIT_NOFILE },
    { "RLIMIT_NPROC", RLIMIT_NPROC },
    { "RLIMIT_RSS", RLIMIT_RSS },
    { "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
    { "RLIMIT_RTTIME", RLIMIT_RTTIME },
    { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
    { "RLIMIT_STACK", RLIMIT_STACK },
};

static const struct name_row signals[] = {
    { "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "BUS", SIGBUS },       { "CHLD", SIGCHLD },
    { "CLD", SIGCHLD },  { "CONT", SIGCONT }, { "FPE", SIGFPE },       { "HUP", SIGHUP },
    { "ILL", SIGILL },   { "INT", SIGINT },   { "IO", SIGIO },         { "IOT", SIGIOT },
    { "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "POLL", SIGPOLL },     { "PROF", SIGPROF },
    { "PWR", SIGPWR },   { "QUIT", SIGQUIT }, { "SEGV", SIGSEGV },     { "STKFLT", SIGSTKFLT },
    { "STOP", SIGSTOP }, { "SYS", SIGSYS },   { "TERM", SIGTERM },     { "TRAP", SIGTRAP },
    { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },     { "URG", SIGURG },
    { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH },
    { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
};

/* The kernel's numbers: glibc's SIGRTMIN keeps two of them for itself. */
#define SIGNAL_RTMIN 34
#define SIGNAL_MAX   64

const char *names_capability(unsigned int number)
{
    return number < COUNT(capabilities) ? capabilities[number] : NULL;
}

int names_capability_number(const char *name)
{
    for (size_t i = 0; i < COUNT(capabilities); i++)
        if (strcmp(name, capabilities[i]) == 0)
            return (int)i;
    return -1;
}

int names_rlimit_number(const char *name)
{
    for (size_t i = 0; i < COUNT(rlimits); i++)
        if (strcmp(name, rlimits[i].name) == 0)
            return rlimits[i].number;
    return -1;
}

/* "RTMIN", "RTMIN+3", "RTMAX-2". */
static int realtime_number(const char *text)
{
    int base = strncasecmp(text, "RTMIN", 5) == 0 ? SIGNAL_RTMIN : SIGNAL_MAX;
    char *end;
    long offset;

    if (strncasecmp(text, "RTMIN", 5) != 0 && strncasecmp(text, "RTMAX", 5) != 0)
        return -1;
    if (text[5] == '\0')
        return base;
    if (text[5] != (base == SIGNAL_RTMIN ? '+' : '-'))
        return -1;
    offset = strtol(text + 5, &end, 10);
    if (*end || base + offset < SIGNAL_RTMIN || base + offset > SIGNAL_MAX)
        return -1;
    return base + (int)offset;
}

int names_signal_number(const char *text)
{
    if (text[0] >= '0' && text[0] <= '9') {
        char *end;
        long number = strtol(text, &end, 10);

        return *end == '\0' && number <= INT_MAX ? (int)number : -1;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < COUNT(signals); i++)
        if (strcasecmp(text, signals[i].name) == 0)
            return signals[i].number;
    return realtime_number(text);
}
