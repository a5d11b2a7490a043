/*
 * A stand-in for vmrt-vmm in tests of the runtime on hosts without KVM: the same plan, ready pipe,
 * control socket and exit status, but the "guest" is a child process in the mount tree.
 *
 * FAKE_* variables in the workload's environment make it misbehave: FAKE_DIE=N exits with N before
 * it is ready, FAKE_REFUSE=TEXT reports TEXT, FAKE_START=TEXT refuses to start.
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

struct fake {
    struct vm_plan plan;
    const char *args[STRINGS_MAX], *env[STRINGS_MAX];
    const char *cwd;
    pid_t child;
};

static const char *variable(const struct fake *fake, const char *name)
{
    size_t length = strlen(name);

    for (const char *const *env = fake->env; *env; env++)
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

static void read_guest_plan(struct fake *fake)
{
    size_t length = 0, args = 0, env = 0;
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field;
    bool bad = false;
    char *data;

    if (fd_read_all(fake->plan.guest_fd, 8u << 20, &data, &length) < 0 ||
        length < PROTOCOL_HEADER_SIZE || protocol_read_header(data, &header) < 0 ||
        header.length != length - PROTOCOL_HEADER_SIZE)
        _exit(100);
    fields = (struct protocol_reader) { (uint8_t *)data + PROTOCOL_HEADER_SIZE, header.length };
    while (protocol_next(&fields, &field) == 1) {
        if (field.tag == FIELD_ARG && args + 1 < STRINGS_MAX)
            fake->args[args++] = protocol_string(&field, &bad);
        else if (field.tag == FIELD_ENV && env + 1 < STRINGS_MAX)
            fake->env[env++] = protocol_string(&field, &bad);
        else if (field.tag == FIELD_CWD)
            fake->cwd = protocol_string(&field, &bad);
    }
    if (bad)
        _exit(101);
}

static void start(struct fake *fake, int client)
{
    const char *refusal = variable(fake, "FAKE_START");
    sigset_t none;
    int exec_pipe[2];
    char unused;

    if (refusal) {
        send_result(client, EACCES, refusal, NULL);
        _exit(126);
    }
    /* A guest's processes end with their machine: those of a PID namespace with its first. */
    if (unshare(CLONE_NEWPID) < 0 || pipe2(exec_pipe, O_CLOEXEC) < 0)
        _exit(104);
    fake->child = fork();
    if (fake->child == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            _exit(103);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (chdir(fake->cwd) < 0)
            _exit(102);
        environ = (char **)fake->env;
        execvp(fake->args[0], (char *const *)fake->args);
        _exit(127);
    }
    /* Closed by the exec: then the child has also said that it dies with us. */
    close(exec_pipe[1]);
    if (read(exec_pipe[0], &unused, 1) != 0)
        _exit(105);
    close(exec_pipe[0]);
    send_result(client, 0, NULL, NULL);
}

static void handle(struct fake *fake, int client)
{
    static uint8_t packet[CONTROL_PACKET_MAX];
    ssize_t length = recv(client, packet, sizeof(packet), 0);
    struct protocol_header header;
    struct protocol_field field;
    struct protocol_reader fields = { packet + PROTOCOL_HEADER_SIZE, 0 };
    bool bad = false;

    if (length < (ssize_t)PROTOCOL_HEADER_SIZE || protocol_read_header(packet, &header) < 0)
        return;
    fields.length = header.length;
    if (header.type == CONTROL_STATUS) {
        send_result(client, 0, NULL, fake->child > 0 ? "running" : "created");
    } else if (header.type == CONTROL_START) {
        start(fake, client);
    } else if (header.type == CONTROL_SIGNAL && protocol_find(fields, FIELD_SIGNAL, &field) == 1) {
        if (fake->child > 0)
            kill(fake->child, (int)protocol_u64(&field, &bad));
        send_result(client, 0, NULL, NULL);
    }
}

static void serve(struct fake *fake)
{
    struct pollfd polled[2] = { { .fd = fake->plan.control_fd, .events = POLLIN } };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    polled[1] = (struct pollfd) { .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN };
    while (poll(polled, 2, -1) > 0) {
        int status;

        if (polled[0].revents) {
            int client = accept4(fake->plan.control_fd, NULL, NULL, SOCK_CLOEXEC);

            if (client >= 0) {
                handle(fake, client);
                close(client);
            }
        }
        if (polled[1].revents && waitpid(fake->child, &status, WNOHANG) == fake->child)
            _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
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
    read_guest_plan(&fake);
    if (variable(&fake, "FAKE_DIE"))
        return atoi(variable(&fake, "FAKE_DIE"));
    if (variable(&fake, "FAKE_REFUSE")) {
        send_result(fake.plan.ready_fd, EINVAL, variable(&fake, "FAKE_REFUSE"), NULL);
        return 1;
    }
    send_result(fake.plan.ready_fd, 0, NULL, NULL);
    fd_close(&fake.plan.ready_fd);
    serve(&fake);
    return 98;
}
