/* Runs vmrt-vmm as a program and keeps what it says: for tests of it from the outside. */
#ifndef VMRT_TEST_UNIT_VMM_PROGRAM_H
#define VMRT_TEST_UNIT_VMM_PROGRAM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

#define VMM_SECONDS_MAX 120

/* A VMM with sanitizers makes system calls that no filter knows. */
#ifdef __SANITIZE_ADDRESS__
#define VMM_SANDBOX "\"sandbox\": false, "
#else
#define VMM_SANDBOX ""
#endif

struct vmm {
    pid_t pid;
    int output_fd;
    char output[65536]; /* stdout and stderr */
    size_t length;
    int status; /* as of waitpid(2) */
};

/* A file of the build, which the test lies in: NAME is "vmrt-vmm" or "guest/payload". */
static inline const char *vmm_build_path(const char *name)
{
    static char paths[4][512];
    static unsigned int turn;
    char *path = paths[turn++ % 4];
    ssize_t n = readlink("/proc/self/exe", path, 300);

    assert_true(n > 0);
    path[n] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(path, '/') = '\0';
    snprintf(path + strlen(path), 200, "/%s", name);
    return path;
}

/* Starts the program with @arguments (NULL-terminated, without argv[0]). */
static inline void vmm_spawn(struct vmm *vmm, const char *const *arguments)
{
    const char *argv[16] = { vmm_build_path("vmrt-vmm") };
    int ends[2];

    memset(vmm, 0, sizeof(*vmm));
    for (int i = 0; i < 14 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    vmm->pid = fork();
    assert_true(vmm->pid >= 0);
    if (vmm->pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(null);
        execv(argv[0], (char *const *)argv);
        _exit(111);
    }
    close(ends[1]);
    vmm->output_fd = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

/* Starts the program with a plan; its descriptors are inherited as they are. */
static inline void vmm_start(struct vmm *vmm, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void vmm_start(struct vmm *vmm, const char *fmt, ...)
{
    char *text = NULL, number[16];
    int fd = memfd_create("plan", 0), length;
    va_list args;

    va_start(args, fmt);
    length = vasprintf(&text, fmt, args);
    va_end(args);
    assert_true(length >= 0);
    assert_int_equal(fd_write_full(fd, text, (size_t)length), 0);
    lseek(fd, 0, SEEK_SET);
    free(text);
    snprintf(number, sizeof(number), "%d", fd);
    vmm_spawn(vmm, (const char *const[]) { "--plan-fd", number, NULL });
    close(fd);
}

/* Reads on until @text has been said, or the program has ended. Return: whether it was said. */
static inline bool vmm_says(struct vmm *vmm, const char *text)
{
    time_t end = time(NULL) + VMM_SECONDS_MAX;

    while (!text || !strstr(vmm->output, text)) {
        struct pollfd poll_fd = { .fd = vmm->output_fd, .events = POLLIN };
        ssize_t n;

        poll(&poll_fd, 1, 1000);
        n = read(vmm->output_fd, vmm->output + vmm->length, sizeof(vmm->output) - 1 - vmm->length);
        if (n > 0)
            vmm->length += (size_t)n;
        else if (n == 0 || errno != EAGAIN || time(NULL) > end)
            return false;
    }
    return true;
}

/* Waits for the end. Return: the exit status, or 1000 + n when signal n ended it. */
static inline int vmm_wait(struct vmm *vmm)
{
    vmm_says(vmm, NULL);
    if (waitpid(vmm->pid, &vmm->status, WNOHANG) == 0) {
        /* It closed its output first, or it hangs. */
        usleep(200000);
        if (waitpid(vmm->pid, &vmm->status, WNOHANG) == 0) {
            print_error("vmrt-vmm did not end; it said:\n%s", vmm->output);
            kill(vmm->pid, SIGKILL);
            waitpid(vmm->pid, &vmm->status, 0);
        }
    }
    fd_close(&vmm->output_fd);
    return WIFEXITED(vmm->status) ? WEXITSTATUS(vmm->status) : 1000 + WTERMSIG(vmm->status);
}

static inline void vmm_expect_said(const struct vmm *vmm, const char *text)
{
    if (strstr(vmm->output, text))
        return;
    print_error("expected to read: %s\nfound:\n%s", text, vmm->output);
    fail();
}

static inline void vmm_need_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
        return;
    }
    print_message("skipped: /dev/kvm: %s\n", strerror(errno));
    skip();
}

#endif
