/*
 * A stand-in for vmrt-vmm in tests of the runtime on hosts without KVM: the same plan, ready pipe,
 * control socket and exit status, but the "guest" is a child process in the mount tree.
 *
 * FAKE_* variables in the workload's environment make it misbehave: FAKE_DIE=N exits with N before
 * it is ready, FAKE_REFUSE=TEXT reports TEXT, FAKE_PLAN=1 reports figures of the plan,
 * FAKE_START=TEXT refuses to start.
 *
 * A process of CONTROL_EXEC is a child, too. CONTROL_RESIZE is written to its terminal as a line,
 * limits of CONTROL_UPDATE come back as statistics.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "vmm/control.h"
#include "vmm/plan.h"

#define STRINGS_MAX 1024
#define CLIENTS_MAX 64

struct process {
    const char *args[STRINGS_MAX], *env[STRINGS_MAX];
    const char *cwd;
    bool terminal;
    size_t further; /* descriptors beyond stdio */
};

/* A connection; with a process, it is a proxy's. */
struct client {
    int fd; /* -1: free */
    pid_t child;
    int terminal;
};

struct fake {
    struct vm_plan plan;
    struct process first;
    pid_t child;
    bool paused;
    uint64_t pids_max, memory_max;
    struct client clients[CLIENTS_MAX];
};

static const char *variable(const struct fake *fake, const char *name)
{
    size_t length = strlen(name);

    for (const char *const *env = fake->first.env; *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}

static void send_result(int fd, uint64_t code, const char *text, const char *state)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_RESULT, 0, 0);
    protocol_put_u64(&writer, FIELD_CODE, code);
    if (text)
        protocol_put_string(&writer, FIELD_TEXT, text);
    if (state)
        protocol_put_string(&writer, FIELD_STATE, state);
    if (protocol_finish(&writer) == 0 && fd_write_full(fd, writer.data, writer.length) < 0)
        _exit(1);
    free(writer.data);
}

/* The message stays in memory: the process's strings lie in it. */
static bool read_process(int fd, struct process *process)
{
    size_t length = 0, args = 0, env = 0;
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    bool bad = false;
    char *data;

    if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, 8u << 20, &data, &length) < 0 ||
        length < PROTOCOL_HEADER_SIZE || protocol_read_header(data, &header) < 0 ||
        header.length != length - PROTOCOL_HEADER_SIZE)
        return false;
    fields = (struct protocol_reader) { (uint8_t *)data + PROTOCOL_HEADER_SIZE, header.length };
    while (protocol_next(&fields, &field) == 1) {
        if (field.tag == FIELD_ARG && args + 1 < STRINGS_MAX)
            process->args[args++] = protocol_string(&field, &bad);
        else if (field.tag == FIELD_ENV && env + 1 < STRINGS_MAX)
            process->env[env++] = protocol_string(&field, &bad);
        else if (field.tag == FIELD_CWD)
            process->cwd = protocol_string(&field, &bad);
        else if (field.tag == FIELD_TERMINAL)
            process->terminal = protocol_u64(&field, &bad) != 0;
        else if (field.tag == FIELD_DESCRIPTOR)
            process->further++;
    }
    return !bad;
}

#define FURTHER_END (3 + (int)PROTOCOL_DESCRIPTORS_MAX)

/* They may have any number below FURTHER_END: first out of the way, then in place. */
static void place_further(const int *further, size_t count)
{
    int moved[PROTOCOL_DESCRIPTORS_MAX];

    for (size_t i = 0; i < count; i++)
        moved[i] = fcntl(further[i], F_DUPFD_CLOEXEC, FURTHER_END);
    for (size_t i = 0; i < count; i++)
        if (moved[i] < 0 || dup2(moved[i], 3 + (int)i) < 0)
            _exit(107);
}

/* Return: the child, or -errno of its exec. */
static pid_t run(const struct process *process, const int stdio[3], const int *further,
                 size_t further_count)
{
    int exec_pipe[2], code = 0;
    sigset_t none;
    pid_t pid;

    if (pipe2(exec_pipe, O_CLOEXEC) < 0)
        _exit(104);
    pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            _exit(103);
        for (int fd = 0; fd < 3; fd++)
            if (stdio[fd] != fd && dup2(stdio[fd], fd) < 0)
                _exit(106);
        place_further(further, further_count);
        /* Where a further one is now. */
        exec_pipe[1] = fcntl(exec_pipe[1], F_DUPFD_CLOEXEC, FURTHER_END);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        environ = (char **)process->env;
        if (chdir(process->cwd) == 0)
            execvp(process->args[0], (char *const *)process->args);
        code = errno;
        _exit(write(exec_pipe[1], &code, sizeof(code)) == sizeof(code) ? 127 : 105);
    }
    /* Closed by the exec: then the child has also said that it dies with us. */
    close(exec_pipe[1]);
    if (read(exec_pipe[0], &code, sizeof(code)) == sizeof(code)) {
        waitpid(pid, NULL, 0);
        pid = -code;
    }
    close(exec_pipe[0]);
    return pid;
}

static void start(struct fake *fake, int client)
{
    static const int stdio[] = { 0, 1, 2 };
    const char *refusal = variable(fake, "FAKE_START");

    if (refusal) {
        send_result(client, EACCES, refusal, NULL);
        _exit(126);
    }
    /* A guest's processes end with their machine: those of a PID namespace with its first. */
    if (unshare(CLONE_NEWPID) < 0)
        _exit(104);
    fake->child =
        run(&fake->first, stdio, fake->plan.descriptors.fds, fake->plan.descriptors.count);
    if (fake->child < 0)
        _exit(127);
    send_result(client, 0, NULL, NULL);
}

static void exec_process(struct fake *fake, struct client *client, const int *fds, size_t count)
{
    struct process process = { .cwd = "/" };
    size_t standard = 0; /* those before the further ones */
    char text[256];
    int stdio[3];
    pid_t pid;

    if (fake->paused || fake->child <= 0) {
        send_result(client->fd, EBUSY,
                    fake->paused ? "cannot exec in a paused container"
                                 : "cannot exec in a container that is still being created",
                    NULL);
        return;
    }
    if (count >= 2 && read_process(fds[0], &process))
        standard = process.terminal ? 2 : 4;
    if (standard == 0 || count != standard + process.further) {
        send_result(client->fd, EINVAL, "malformed exec", NULL);
        return;
    }
    for (size_t i = 0; i < 3; i++)
        stdio[i] = fds[process.terminal ? 1 : 1 + i];
    pid = run(&process, stdio, fds + standard, process.further);
    if (pid < 0) {
        snprintf(text, sizeof(text), "exec: \"%s\": executable file not found in $PATH",
                 process.args[0]);
        send_result(client->fd, (uint64_t)-pid, text, NULL);
        return;
    }
    client->child = pid;
    client->terminal = process.terminal ? fcntl(fds[1], F_DUPFD_CLOEXEC, 3) : -1;
    send_result(client->fd, 0, NULL, NULL);
}

static void send_stats(const struct fake *fake, int client)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_RESULT, 0, 0);
    protocol_put_u64(&writer, FIELD_CODE, fake->paused ? EAGAIN : 0);
    protocol_put_u64(&writer, FIELD_STAT_PIDS, 7);
    if (fake->pids_max)
        protocol_put_u64(&writer, FIELD_STAT_PIDS_MAX, fake->pids_max);
    protocol_put_u64(&writer, FIELD_STAT_MEMORY, 40 << 20);
    protocol_put_u64(&writer, FIELD_STAT_MEMORY_PEAK, fake->memory_max);
    if (protocol_finish(&writer) == 0 && fd_write_full(client, writer.data, writer.length) < 0)
        _exit(1);
    free(writer.data);
}

static uint64_t number(struct protocol_reader fields, uint16_t tag, uint64_t missing)
{
    struct protocol_field field;
    bool bad = false;

    return protocol_find(fields, tag, &field) == 1 ? protocol_u64(&field, &bad) : missing;
}

static void set_paused(struct fake *fake, int client, bool paused)
{
    if (fake->paused == paused) {
        send_result(client, paused ? EBUSY : EINVAL, paused ? "is paused" : "is not paused", NULL);
        return;
    }
    fake->paused = paused;
    if (fake->child > 0)
        kill(fake->child, paused ? SIGSTOP : SIGCONT);
    send_result(client, 0, NULL, NULL);
}

static void drop(struct client *client)
{
    if (client->child > 0)
        kill(client->child, SIGKILL);
    if (client->terminal >= 0)
        close(client->terminal);
    close(client->fd);
    *client = (struct client) { .fd = -1, .terminal = -1 };
}

static void handle(struct fake *fake, struct client *client)
{
    static uint8_t packet[CONTROL_PACKET_MAX];
    int fds[4 + PROTOCOL_DESCRIPTORS_MAX];
    size_t fd_count = sizeof(fds) / sizeof(fds[0]);
    ssize_t length = fd_receive_message(client->fd, packet, sizeof(packet), fds, &fd_count);
    struct protocol_header header;
    struct protocol_reader fields = { packet + PROTOCOL_HEADER_SIZE, 0 };

    if (length < (ssize_t)PROTOCOL_HEADER_SIZE || protocol_read_header(packet, &header) < 0) {
        drop(client);
        return;
    }
    fields.length = header.length;
    switch (header.type) {
    case CONTROL_STATUS:
        send_result(client->fd, 0, NULL,
                    fake->paused      ? "paused"
                    : fake->child > 0 ? "running"
                                      : "created");
        break;
    case CONTROL_START:
        start(fake, client->fd);
        break;
    case CONTROL_SIGNAL:
        if (client->child > 0) {
            kill(client->child, (int)number(fields, FIELD_SIGNAL, 0));
        } else {
            if (fake->child > 0)
                kill(fake->child, (int)number(fields, FIELD_SIGNAL, 0));
            send_result(client->fd, 0, NULL, NULL);
        }
        break;
    case CONTROL_EXEC:
        exec_process(fake, client, fds, fd_count);
        break;
    case CONTROL_RESIZE:
        dprintf(client->terminal, "resized %ux%u\n", (unsigned int)number(fields, FIELD_ROWS, 0),
                (unsigned int)number(fields, FIELD_COLUMNS, 0));
        break;
    case CONTROL_PAUSE:
    case CONTROL_RESUME:
        set_paused(fake, client->fd, header.type == CONTROL_PAUSE);
        break;
    case CONTROL_STATS:
        send_stats(fake, client->fd);
        break;
    case CONTROL_NETWORK:
        send_result(client->fd, 0, NULL, NULL);
        break;
    case CONTROL_UPDATE:
        fake->pids_max = number(fields, FIELD_PIDS_MAX, fake->pids_max);
        fake->memory_max = number(fields, FIELD_MEMORY_MAX, fake->memory_max);
        send_result(client->fd, 0, NULL, NULL);
        break;
    default:
        send_result(client->fd, EOPNOTSUPP, "unknown request", NULL);
        break;
    }
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
}

static void accept_client(struct fake *fake)
{
    int fd = accept4(fake->plan.control_fd, NULL, NULL, SOCK_CLOEXEC);

    for (size_t i = 0; fd >= 0 && i < CLIENTS_MAX; i++)
        if (fake->clients[i].fd < 0) {
            fake->clients[i].fd = fd;
            return;
        }
    close(fd);
}

static void end_proxy(struct client *client, int status)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, CONTROL_EXITED, 0, 0);
    protocol_put_u64(&writer, FIELD_STATUS, (uint64_t)status);
    if (protocol_finish(&writer) == 0 && fd_write_full(client->fd, writer.data, writer.length) < 0)
        _exit(1);
    free(writer.data);
    client->child = 0;
    drop(client);
}

static void reap(struct fake *fake)
{
    int wait_status;
    pid_t pid;

    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        int status =
            WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);

        if (pid == fake->child)
            _exit(status);
        for (size_t i = 0; i < CLIENTS_MAX; i++)
            if (fake->clients[i].fd >= 0 && fake->clients[i].child == pid)
                end_proxy(&fake->clients[i], status);
    }
}

static void serve(struct fake *fake)
{
    struct pollfd polled[2 + CLIENTS_MAX] = { { .fd = fake->plan.control_fd, .events = POLLIN } };
    struct signalfd_siginfo info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    polled[1] = (struct pollfd) { .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN };
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        fake->clients[i] = (struct client) { .fd = -1, .terminal = -1 };
    for (;;) {
        for (size_t i = 0; i < CLIENTS_MAX; i++)
            polled[2 + i] = (struct pollfd) { .fd = fake->clients[i].fd, .events = POLLIN };
        if (poll(polled, 2 + CLIENTS_MAX, -1) < 0)
            return;
        for (size_t i = 0; i < CLIENTS_MAX; i++)
            if (polled[2 + i].revents)
                handle(fake, &fake->clients[i]);
        if (polled[0].revents)
            accept_client(fake);
        if (polled[1].revents && read(polled[1].fd, &info, sizeof(info)) > 0)
            reap(fake);
    }
}

int main(int argc, char **argv)
{
    static struct fake fake;
    struct error err;
    char *text;

    if (argc != 3 || strcmp(argv[1], "--plan-fd") != 0 ||
        fd_read_all(atoi(argv[2]), 1u << 20, &text, NULL) < 0 ||
        plan_parse(text, &fake.plan, &err) < 0)
        return 99;
    close(atoi(argv[2]));
    if (!read_process(fake.plan.guest_fd, &fake.first))
        return 100;
    if (variable(&fake, "FAKE_DIE"))
        return atoi(variable(&fake, "FAKE_DIE"));
    if (variable(&fake, "FAKE_REFUSE")) {
        send_result(fake.plan.ready_fd, EINVAL, variable(&fake, "FAKE_REFUSE"), NULL);
        return 1;
    }
    if (variable(&fake, "FAKE_PLAN")) {
        char figures[64];

        snprintf(figures, sizeof(figures), "files_max %u exhaust_mib %u", fake.plan.files_max,
                 fake.plan.exhaust_mib);
        send_result(fake.plan.ready_fd, EINVAL, figures, NULL);
        return 1;
    }
    send_result(fake.plan.ready_fd, 0, NULL, NULL);
    fd_close(&fake.plan.ready_fd);
    serve(&fake);
    return 98;
}
