/* The sandbox: which system calls each thread may make, and that all others end the process. */
#include "vmm/sandbox.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/net/queries_syscalls.h"
#include "lib/fd.h"
#include "vmm/report.h"
#include "vmm/sandbox_rules.h"
#include "vmm/virtio/device.h"

#define GOLDEN "test/unit/data/syscalls.txt"

/* Besides the threads of vmrt-vmm. */
enum { SANDBOX_RESOLVER = SANDBOX_THREADS, SANDBOX_LISTS };

static const char *const kind_names[SANDBOX_LISTS] = {
    [SANDBOX_MAIN] = "main", [SANDBOX_VCPU] = "vcpu",         [SANDBOX_FS] = "fs",
    [SANDBOX_NET] = "net",   [SANDBOX_RESOLVER] = "resolver",
};

/* ---- the lists, as text ---- */

#define NAME(call) #call "\n"
/* A comma would end an argument of the macro around it. */
#define CONDITION(call, argument, mask, value) \
#call " if argument " #argument " & " #mask " == " #value "\n"

static const char *const lists[SANDBOX_LISTS] = {
    [SANDBOX_MAIN] = MAIN_SYSCALLS(NAME, CONDITION),
    [SANDBOX_VCPU] = VCPU_SYSCALLS(NAME, CONDITION),
    [SANDBOX_FS] = FILE_SERVER_SYSCALLS(NAME, CONDITION),
    [SANDBOX_NET] = NET_WORKER_SYSCALLS(NAME, CONDITION),
    [SANDBOX_RESOLVER] = QUERIES_SYSCALLS(NAME, CONDITION),
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each line once, headed by the thread's name. */
static void print_lists(FILE *to)
{
    for (int kind = 0; kind < SANDBOX_LISTS; kind++) {
        char *copy = strdup(lists[kind]), *save = NULL;
        const char *lines[256], *last = "";
        size_t count = 0;

        for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            lines[count++] = line;
        qsort(lines, count, sizeof(lines[0]), compare);
        fprintf(to, "[%s]\n", kind_names[kind]);
        for (size_t i = 0; i < count; last = lines[i++])
            if (strcmp(lines[i], last) != 0)
                fprintf(to, "%s\n", lines[i]);
        free(copy);
    }
}

static void test_lists_are_what_was_decided(void **state)
{
    char *text = NULL, *golden = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    (void)state;
    print_lists(memory);
    fclose(memory);
    assert_int_equal(fd_read_file(AT_FDCWD, GOLDEN, 65536, &golden, NULL), 0);
    if (strcmp(text, golden) != 0)
        print_error("the lists changed: if that is meant, run sandbox_test --print > " GOLDEN "\n");
    assert_string_equal(text, golden);
    free(text);
    free(golden);
}

/* ---- children in the sandbox ---- */

static void enter(enum sandbox_thread kind)
{
    struct error err;

    if (sandbox_process(kind == SANDBOX_FS, &err) < 0 || sandbox_thread(kind, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        _exit(99);
    }
}

static int wait_for(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define MAIN (1u << SANDBOX_MAIN)
#define VCPU (1u << SANDBOX_VCPU)
#define FS   (1u << SANDBOX_FS)
#define NET  (1u << SANDBOX_NET)
#define ALL  (MAIN | VCPU | FS | NET)

#define BAD_FD     999
#define EXECUTABLE (PROT_READ | PROT_EXEC)
#define WRITABLE   (PROT_READ | PROT_WRITE)
#define ANONYMOUS  (MAP_PRIVATE | MAP_ANONYMOUS)

static const struct {
    const char *name;
    long number;
    unsigned long arguments[6];
    unsigned int allowed;
} calls[] = {
    { "write", SYS_write, { BAD_FD }, ALL },
    { "futex", SYS_futex, { 0 }, ALL },
    { "munmap", SYS_munmap, { 0 }, ALL },
    { "read", SYS_read, { BAD_FD }, MAIN | FS | NET },
    { "close", SYS_close, { BAD_FD }, MAIN | FS | NET },
    { "mmap", SYS_mmap, { 0, 4096, WRITABLE, ANONYMOUS, -1 }, MAIN | FS | NET },
    { "mmap, executable", SYS_mmap, { 0, 4096, EXECUTABLE, ANONYMOUS, -1 }, 0 },
    { "mmap, only executable", SYS_mmap, { 0, 4096, PROT_EXEC, ANONYMOUS, -1 }, 0 },
    { "mprotect", SYS_mprotect, { 0, 4096, PROT_READ }, MAIN | FS | NET },
    { "mprotect, executable", SYS_mprotect, { 0, 4096, EXECUTABLE }, 0 },
    { "pkey_mprotect", SYS_pkey_mprotect, { 0, 4096, EXECUTABLE, -1 }, 0 },
    { "KVM_RUN", SYS_ioctl, { BAD_FD, KVM_RUN }, VCPU },
    { "KVM_IRQ_LINE", SYS_ioctl, { BAD_FD, KVM_IRQ_LINE }, ALL },
    { "KVM_IRQFD", SYS_ioctl, { BAD_FD, KVM_IRQFD }, MAIN },
    { "KVM_IOEVENTFD", SYS_ioctl, { BAD_FD, KVM_IOEVENTFD }, MAIN },
    { "VHOST_NET_SET_BACKEND", SYS_ioctl, { BAD_FD, VHOST_NET_SET_BACKEND }, MAIN | VCPU | NET },
    { "VHOST_SET_OWNER", SYS_ioctl, { BAD_FD, VHOST_SET_OWNER }, MAIN },
    { "VHOST_SET_MEM_TABLE", SYS_ioctl, { BAD_FD, VHOST_SET_MEM_TABLE }, MAIN },
    { "VHOST_SET_VRING_ADDR", SYS_ioctl, { BAD_FD, VHOST_SET_VRING_ADDR }, NET },
    { "VHOST_SET_LOG_BASE", SYS_ioctl, { BAD_FD, VHOST_SET_LOG_BASE }, 0 },
    { "KVM_SET_USER_MEMORY_REGION", SYS_ioctl, { BAD_FD, KVM_SET_USER_MEMORY_REGION }, 0 },
    { "KVM_CREATE_VM", SYS_ioctl, { BAD_FD, KVM_CREATE_VM }, 0 },
    { "KVM_SET_REGS", SYS_ioctl, { BAD_FD, KVM_SET_REGS }, 0 },
    { "TIOCSTI", SYS_ioctl, { 0, 0x5412 }, 0 },
    { "ioctl of another size", SYS_ioctl, { BAD_FD, 0x100000000ul | 0x5412 }, 0 },
    { "epoll_wait", SYS_epoll_wait, { BAD_FD }, MAIN | NET },
    { "readv", SYS_readv, { BAD_FD }, NET },
    { "sched_setscheduler, itself", SYS_sched_setscheduler, { 0, SCHED_BATCH, 0 }, NET },
    { "sched_setscheduler, another", SYS_sched_setscheduler, { 1, SCHED_BATCH, 0 }, 0 },
    { "sched_setattr", SYS_sched_setattr, { 0 }, 0 },
    { "eventfd2", SYS_eventfd2, { 0 }, MAIN },
    { "TUNSETOFFLOAD", SYS_ioctl, { BAD_FD, TUNSETOFFLOAD }, MAIN | NET },
    { "TUNSETQUEUE", SYS_ioctl, { BAD_FD, TUNSETQUEUE }, NET },
    { "TUNSETVNETHDRSZ", SYS_ioctl, { BAD_FD, TUNSETVNETHDRSZ }, MAIN },
    { "TUNSETIFF", SYS_ioctl, { BAD_FD, TUNSETIFF }, 0 },
    { "accept4", SYS_accept4, { BAD_FD }, MAIN },
    { "sendto", SYS_sendto, { BAD_FD }, MAIN },
    { "recvfrom", SYS_recvfrom, { BAD_FD }, MAIN },
    { "getrandom", SYS_getrandom, { 0 }, MAIN },
    { "poll", SYS_poll, { 0 }, MAIN },
    { "ppoll", SYS_ppoll, { 0, 0, 1 }, ALL },
    { "openat", SYS_openat, { BAD_FD, (unsigned long)"x" }, FS },
    { "openat, anew", SYS_openat, { BAD_FD, (unsigned long)"x", OPEN_ANEW_FLAGS }, MAIN | FS },
    { "openat, anew to write",
      SYS_openat,
      { BAD_FD, (unsigned long)"x", OPEN_ANEW_FLAGS | O_WRONLY },
      MAIN | FS },
    { "openat, to create",
      SYS_openat,
      { BAD_FD, (unsigned long)"x", OPEN_ANEW_FLAGS | O_CREAT },
      FS },
    { "openat that may wait",
      SYS_openat,
      { BAD_FD, (unsigned long)"x", O_NOCTTY | O_CLOEXEC },
      FS },
    { "fstat", SYS_newfstatat, { BAD_FD, (unsigned long)"", 0, AT_EMPTY_PATH }, MAIN },
    { "stat", SYS_newfstatat, { BAD_FD, (unsigned long)"x" }, 0 },
    { "pread64", SYS_pread64, { BAD_FD }, MAIN },
    { "timer_settime", SYS_timer_settime, { BAD_FD }, MAIN },
    { "timer_create", SYS_timer_create, { BAD_FD }, 0 },
    { "timerfd_settime", SYS_timerfd_settime, { BAD_FD }, MAIN },
    { "timerfd_create", SYS_timerfd_create, { BAD_FD }, 0 },
    { "TIOCGWINSZ", SYS_ioctl, { BAD_FD, TIOCGWINSZ }, MAIN },
    { "TIOCSCTTY", SYS_ioctl, { BAD_FD, TIOCSCTTY }, 0 },
    { "KVM_KVMCLOCK_CTRL", SYS_ioctl, { BAD_FD, KVM_KVMCLOCK_CTRL }, VCPU },
    { "F_DUPFD_CLOEXEC", SYS_fcntl, { BAD_FD, F_DUPFD_CLOEXEC }, MAIN },
    { "openat2", SYS_openat2, { BAD_FD }, FS },
    { "mknodat", SYS_mknodat, { BAD_FD, (unsigned long)"x" }, FS },
    { "setfsuid", SYS_setfsuid, { 0 }, FS },
    { "capset", SYS_capset, { 0 }, FS },
    { "open", SYS_open, { (unsigned long)"/x" }, 0 },
    { "execve", SYS_execve, { (unsigned long)"/x" }, 0 },
    { "execveat", SYS_execveat, { BAD_FD, (unsigned long)"x" }, 0 },
    { "fork", SYS_fork, { 0 }, 0 },
    { "vfork", SYS_vfork, { 0 }, 0 },
    { "clone", SYS_clone, { 0 }, 0 },
    { "clone3", SYS_clone3, { 0 }, 0 },
    { "ptrace", SYS_ptrace, { 0 }, 0 },
    { "process_vm_readv", SYS_process_vm_readv, { 1 }, 0 },
    { "process_vm_writev", SYS_process_vm_writev, { 1 }, 0 },
    { "pidfd_getfd", SYS_pidfd_getfd, { BAD_FD }, 0 },
    { "kill", SYS_kill, { 1, 0 }, 0 },
    { "tgkill", SYS_tgkill, { 1, 1, 0 }, 0 },
    { "socket", SYS_socket, { 2, 1 }, 0 },
    { "socketpair", SYS_socketpair, { 1, 1 }, 0 },
    { "connect", SYS_connect, { BAD_FD }, 0 },
    { "bind", SYS_bind, { BAD_FD }, 0 },
    { "sendmsg", SYS_sendmsg, { BAD_FD }, 0 },
    { "recvmsg", SYS_recvmsg, { BAD_FD }, MAIN },
    { "dup", SYS_dup, { BAD_FD }, 0 },
    { "dup3", SYS_dup3, { BAD_FD, BAD_FD + 1 }, 0 },
    { "fcntl", SYS_fcntl, { BAD_FD, F_SETFL }, 0 },
    { "memfd_create", SYS_memfd_create, { (unsigned long)"x" }, 0 },
    { "prctl", SYS_prctl, { PR_SET_DUMPABLE, 1 }, 0 },
    { "seccomp", SYS_seccomp, { 0 }, 0 },
    { "setuid", SYS_setuid, { 0 }, 0 },
    { "setrlimit", SYS_setrlimit, { 0 }, 0 },
    { "prlimit64", SYS_prlimit64, { 0 }, 0 },
    { "mount", SYS_mount, { 0 }, 0 },
    { "umount2", SYS_umount2, { 0 }, 0 },
    { "open_tree", SYS_open_tree, { BAD_FD }, 0 },
    { "move_mount", SYS_move_mount, { BAD_FD }, 0 },
    { "pivot_root", SYS_pivot_root, { 0 }, 0 },
    { "chroot", SYS_chroot, { 0 }, 0 },
    { "unshare", SYS_unshare, { 0 }, 0 },
    { "setns", SYS_setns, { BAD_FD }, 0 },
    { "open_by_handle_at", SYS_open_by_handle_at, { BAD_FD }, 0 },
    { "bpf", SYS_bpf, { 0 }, 0 },
    { "perf_event_open", SYS_perf_event_open, { 0 }, 0 },
    { "userfaultfd", SYS_userfaultfd, { 0 }, 0 },
    { "io_uring_setup", SYS_io_uring_setup, { 0 }, 0 },
    { "keyctl", SYS_keyctl, { 0 }, 0 },
    { "init_module", SYS_init_module, { 0 }, 0 },
    { "reboot", SYS_reboot, { 0 }, 0 },
    { "x32 write", 0x40000000 | SYS_write, { BAD_FD }, 0 },
    { "a call of the future", 100000, { 0 }, 0 },
};

static void test_forbidden_calls_end_the_process(void **state)
{
    unsigned int wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        for (int kind = 0; kind < SANDBOX_THREADS; kind++) {
            const unsigned long *a = calls[i].arguments;
            bool allowed = calls[i].allowed >> kind & 1, killed;
            pid_t child = fork();
            int status;

            assert_true(child >= 0);
            if (child == 0) {
                enter((enum sandbox_thread)kind);
                syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
                /* Not _exit(): a sanitizer would want to say goodbye. */
                syscall(SYS_exit_group, 0);
            }
            status = wait_for(child);
            killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
            if (allowed ? status != 0 : !killed) {
                print_error("%s in %s: status 0x%x\n", calls[i].name, kind_names[kind], status);
                wrong++;
            }
        }
    assert_int_equal(wrong, 0);
}

/* The 32-bit entry has other numbers: 11 is munmap for one and execve for the other. */
static void test_32_bit_calls_end_the_process(void **state)
{
    (void)state;
    for (int kind = 0; kind < SANDBOX_THREADS; kind++) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
            long number = 20; /* getpid; writev for the 64-bit entry */

            enter((enum sandbox_thread)kind);
            __asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
            _exit(0);
        }
        status = wait_for(child);
        /* SIGSEGV: a kernel without the 32-bit entry. */
        assert_true(WIFSIGNALED(status) &&
                    (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV));
    }
}

/* Value of a "Name:\tvalue" line of /proc/PID/status. */
static uint64_t status_value(const char *text, const char *name, int base)
{
    const char *line = strstr(text, name);

    assert_non_null(line);
    return strtoull(line + strlen(name) + 1, NULL, base);
}

#define CAP(name) (1ull << CAP_##name)
#define FS_CAPABILITIES                                                                  \
    (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(FOWNER) | CAP(FSETID) | \
     CAP(SETUID) | CAP(SETGID) | CAP(MKNOD) | CAP(SETFCAP))

static void test_privileges_are_gone(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
    for (int kind = 0; kind < SANDBOX_THREADS; kind++) {
        /* A process with a file server has two more threads, without its capabilities. */
        for (int file_server = kind == SANDBOX_FS; file_server < 2; file_server++) {
            _cleanup_free_ char *text = NULL, *limits = NULL;
            uint64_t kept = kind == SANDBOX_FS ? FS_CAPABILITIES : 0;
            int ready[2];
            char path[64], byte;
            pid_t child;

            assert_int_equal(pipe(ready), 0);
            child = fork();
            if (child == 0) {
                const struct rlimit some = { 5, 5 };
                struct error err;
                int forever = 0;

                /* Where it may be raised: without, there is none to begin with. */
                (void)setrlimit(RLIMIT_RTPRIO, &some);
                if (sandbox_process(file_server, &err) < 0 ||
                    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ||
                    sandbox_thread((enum sandbox_thread)kind, &err) < 0)
                    _exit(1);
                syscall(SYS_write, ready[1], "r", 1);
                syscall(SYS_futex, &forever, FUTEX_WAIT, 0, NULL, NULL, 0);
                _exit(0);
            }
            close(ready[1]);
            assert_int_equal(read(ready[0], &byte, 1), 1);
            close(ready[0]);
            snprintf(path, sizeof(path), "/proc/%d/status", (int)child);
            assert_int_equal(fd_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
            snprintf(path, sizeof(path), "/proc/%d/limits", (int)child);
            assert_int_equal(fd_read_file(AT_FDCWD, path, 65536, &limits, NULL), 0);
            kill(child, SIGKILL);
            wait_for(child);
            assert_int_equal(status_value(text, "CapPrm", 16), kept);
            assert_int_equal(status_value(text, "CapEff", 16), kept);
            assert_int_equal(status_value(text, "CapInh", 16), 0);
            assert_int_equal(status_value(text, "CapBnd", 16), 0);
            assert_int_equal(status_value(text, "CapAmb", 16), 0);
            assert_int_equal(status_value(text, "NoNewPrivs", 10), 1);
            assert_int_equal(status_value(text, "Seccomp", 10), 2);
            assert_non_null(strstr(limits, "Max core file size        0                    0 "));
            assert_non_null(strstr(limits, "Max realtime priority     0                    0 "));
        }
    }
}

/* ---- what has to work inside ---- */

#ifndef __SANITIZE_ADDRESS__
static int in_sandbox(enum sandbox_thread kind, void (*work)(void))
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        enter(kind);
        work();
        _exit(0);
    }
    return wait_for(child);
}

static int log_file;

static void report(void)
{
    report_error("in the %s", "sandbox");
}

static void test_reports_are_possible_inside(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++)
        for (int kind = 0; kind < SANDBOX_THREADS; kind++) {
            char text[256] = "";

            log_file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
            assert_true(log_file >= 0);
            report_setup(log_file, json);
            assert_int_equal(in_sandbox((enum sandbox_thread)kind, report), 0);
            report_setup(-1, false);
            assert_true(pread(log_file, text, sizeof(text) - 1, 0) > 0);
            assert_non_null(strstr(text, "in the sandbox"));
            close(log_file);
        }
}

static struct guest_memory memory;

static void break_device(void)
{
    static const struct virtio_ops ops = { .name = "test", .id = 4, .queue_count = 1 };
    static struct virtio_device device;

    virtio_device_init(&device, &ops, &memory, BAD_FD, BAD_FD);
    device.status = 0xf;
    virtio_device_broken(&device, "a test broke it");
}

/* A guest can do this from a vCPU's thread: by a bad queue address, for example. */
static void test_a_broken_device_is_reported_from_any_thread(void **state)
{
    (void)state;
    for (int kind = 0; kind < SANDBOX_THREADS; kind++)
        assert_int_equal(in_sandbox((enum sandbox_thread)kind, break_device), 0);
}

static void use_memory(void)
{
    void *volatile pointers[64];

    for (size_t i = 0; i < 64; i++)
        pointers[i] = malloc(i * i * 1024 + 1);
    for (size_t i = 0; i < 64; i++) {
        pointers[i] = realloc(pointers[i], (64 - i) * 4096);
        if (!pointers[i])
            _exit(2);
    }
    for (size_t i = 0; i < 64; i++)
        free(pointers[i]);
}

static void test_malloc_works_inside(void **state)
{
    (void)state;
    assert_int_equal(in_sandbox(SANDBOX_MAIN, use_memory), 0);
    assert_int_equal(in_sandbox(SANDBOX_FS, use_memory), 0);
}
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_what_was_decided),
        cmocka_unit_test(test_forbidden_calls_end_the_process),
        cmocka_unit_test(test_32_bit_calls_end_the_process),
        cmocka_unit_test(test_privileges_are_gone),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(test_reports_are_possible_inside),
        cmocka_unit_test(test_a_broken_device_is_reported_from_any_thread),
        cmocka_unit_test(test_malloc_works_inside),
#endif
    };

    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        print_lists(stdout);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
