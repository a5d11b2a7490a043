/* /proc/PID/stat (proc(5)) and pidfds. */
#include "oci/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"

#define KERNEL_THREAD 0x00200000u /* PF_KTHREAD of include/linux/sched.h */

int process_start_time(pid_t pid, uint64_t *start_time)
{
    _cleanup_free_ char *text = NULL;
    unsigned long long start;
    char path[32], state;
    const char *rest;
    int ret;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    ret = fd_read_file(AT_FDCWD, path, 8192, &text, NULL);
    if (ret < 0)
        return ret == -ENOENT ? -ESRCH : ret;
    /* The name in parentheses may hold anything. */
    rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &start) != 2)
        return -EINVAL;
    if (state == 'Z' || state == 'X')
        return -ESRCH;
    *start_time = start;
    return 0;
}

bool process_is_kernel_thread(pid_t pid)
{
    _cleanup_free_ char *text = NULL;
    unsigned int flags = 0;
    char path[32];
    const char *rest;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (fd_read_file(AT_FDCWD, path, 8192, &text, NULL) < 0)
        return false;
    rest = strrchr(text, ')');
    return rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
           (flags & KERNEL_THREAD);
}

bool process_is_alive(pid_t pid, uint64_t start_time)
{
    uint64_t now;

    return pid > 0 && process_start_time(pid, &now) == 0 && now == start_time;
}

int process_open(pid_t pid, uint64_t start_time)
{
    _cleanup_close_ int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    /* Looked at after the pidfd was taken: if it is alive now, the pidfd is its. */
    if (fd < 0 || !process_is_alive(pid, start_time))
        return -ESRCH;
    return steal_fd(&fd);
}

int process_kill(pid_t pid, uint64_t start_time, int timeout_ms)
{
    _cleanup_close_ int fd = process_open(pid, start_time);
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    int n;

    if (fd < 0)
        return 0;
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
        return errno == ESRCH ? 0 : -errno;
    do
        n = poll(&polled, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}
