/* The proxy of an exec: from the request to vmrt-vmm until the process's end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/cgroup.h"
#include "oci/console.h"
#include "oci/control_client.h"
#include "oci/exec.h"
#include "oci/relay.h"
#include "oci/signals.h"

#define CONNECT_TIMEOUT_MS 10000

static int make_terminal(struct exec_proxy *proxy, struct error *err)
{
    struct console console = CONSOLE_NONE;
    _cleanup_close_ int socket = -1;
    int ret;

    if (proxy->console_socket) {
        socket = console_connect(proxy->console_socket, err);
        if (socket < 0)
            return socket;
    }
    ret = console_open(&console, proxy->rows, proxy->columns, err);
    if (ret < 0)
        return ret;
    proxy->master = console.master;
    proxy->slave = console.slave;
    /* Before anybody can resize it: SIGWINCH goes to the session that owns the terminal. */
    if (proxy->detach)
        ret = console_adopt(proxy->slave, err);
    if (ret == 0 && socket >= 0) {
        ret = console_send(socket, proxy->master, err);
        fd_close(&proxy->master);
    }
    return ret;
}

static int ask_exec(struct exec_proxy *proxy, struct error *err)
{
    struct protocol_writer request = { 0 };
    int fds[4 + PROTOCOL_DESCRIPTORS_MAX] = { proxy->message, STDIN_FILENO, STDOUT_FILENO,
                                              STDERR_FILENO };
    size_t count = proxy->terminal ? 2 : 4;
    struct control_answer answer;
    int ret;

    if (proxy->terminal)
        fds[1] = proxy->slave;
    memcpy(fds + count, proxy->further.fds, proxy->further.count * sizeof(fds[0]));
    count += proxy->further.count;

    protocol_begin(&request, CONTROL_EXEC, 0, 0);
    protocol_put_u64(&request, FIELD_TERMINAL, proxy->terminal);
    /* Looking for the program and executing it may take the guest any time. */
    ret = control_exchange(proxy->control, &request, fds, count, -1, &answer);
    free(request.data);
    descriptors_close(&proxy->further);
    if (ret == -ENOTCONN)
        return error_set(err, ESRCH, "container not running");
    if (ret < 0)
        return error_set(err, -ret, "control socket: %s", strerror(-ret));
    if (answer.code == 0)
        return 0;
    /* What the machine refuses stands for itself; what the guest could not do is put as runc does.
     */
    return error_set(err, (int)answer.code, "%s%s",
                     strncmp(answer.text, "cannot exec", 11) == 0
                         ? ""
                         : "unable to start container process: ",
                     answer.text);
}

int exec_proxy_begin(struct exec_proxy *proxy, struct error *err)
{
    int ret;

    proxy->signals = signals_hold(err);
    if (proxy->signals < 0)
        return proxy->signals;
    ret = cgroup_add(&proxy->container->cgroup, getpid(), err);
    if (ret == 0 && proxy->terminal)
        ret = make_terminal(proxy, err);
    if (ret < 0)
        return ret;
    proxy->control = control_connect(proxy->container->directory, CONNECT_TIMEOUT_MS);
    if (proxy->control == -ENOTCONN)
        return error_set(err, ESRCH, "container not running");
    if (proxy->control < 0)
        return error_set(err, -proxy->control, "control socket: %s", strerror(-proxy->control));
    return ask_exec(proxy, err);
}

/* Return: true with the status once the process has ended, or its machine. */
static bool read_control(const struct exec_proxy *proxy, int *status)
{
    uint8_t packet[1024];
    struct protocol_header header;
    struct protocol_field field;
    bool bad = false;
    ssize_t n = recv(proxy->control, packet, sizeof(packet), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    *status = EXEC_MACHINE_ENDED;
    if (n < (ssize_t)PROTOCOL_HEADER_SIZE || protocol_read_header(packet, &header) < 0 ||
        header.length != (size_t)n - PROTOCOL_HEADER_SIZE)
        return true;
    if (header.type != CONTROL_EXITED)
        return false;
    if (protocol_find((struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE, header.length },
                      FIELD_STATUS, &field) == 1)
        *status = (int)(protocol_u64(&field, &bad) & 0xff);
    return true;
}

static void tell_size(const struct exec_proxy *proxy, const struct winsize *size)
{
    struct protocol_writer request = { 0 };

    protocol_begin(&request, CONTROL_RESIZE, 0, 0);
    protocol_put_u64(&request, FIELD_ROWS, size->ws_row);
    protocol_put_u64(&request, FIELD_COLUMNS, size->ws_col);
    (void)control_tell(proxy->control, &request);
}

/* In the foreground our own terminal changed its size, else the one that was handed over. */
static void resize(const struct exec_proxy *proxy, const struct relay *relay)
{
    struct winsize size;

    if (relay->master >= 0 ? relay_resize(relay, &size)
                           : ioctl(proxy->slave, TIOCGWINSZ, &size) == 0)
        tell_size(proxy, &size);
}

/* The terminal was closed: the guest's own hangs up and says so to those who sit at it. */
static bool is_hung_up(const struct exec_proxy *proxy)
{
    struct pollfd polled = { .fd = proxy->slave };

    return proxy->terminal && proxy->master < 0 && poll(&polled, 1, 0) == 1 &&
           (polled.revents & POLLHUP);
}

static void pass_signals(const struct exec_proxy *proxy, const struct relay *relay)
{
    int number;

    while ((number = signals_next(proxy->signals)) > 0) {
        struct protocol_writer request = { 0 };

        if (signals_is_own(number) || (number == SIGHUP && is_hung_up(proxy)))
            continue;
        if (number == SIGWINCH && proxy->terminal) {
            resize(proxy, relay);
            continue;
        }
        protocol_begin(&request, CONTROL_SIGNAL, 0, 0);
        protocol_put_u64(&request, FIELD_SIGNAL, (uint64_t)number);
        (void)control_tell(proxy->control, &request);
    }
}

int exec_proxy_stay(struct exec_proxy *proxy)
{
    struct relay relay;
    struct winsize size;
    int status = EXEC_MACHINE_ENDED;
    bool ended = false;

    relay_begin(&relay, proxy->master);
    /* It may have been resized between its making and now. */
    if (proxy->terminal && ioctl(proxy->slave, TIOCGWINSZ, &size) == 0 &&
        (size.ws_row != proxy->rows || size.ws_col != proxy->columns))
        tell_size(proxy, &size);
    while (!ended) {
        struct pollfd polled[2 + RELAY_POLLED] = { { .fd = proxy->control, .events = POLLIN },
                                                   { .fd = proxy->signals, .events = POLLIN } };

        relay_prepare(&relay, polled + 2);
        if (poll(polled, 2 + RELAY_POLLED, -1) < 0 && errno != EINTR)
            break;
        relay_move(&relay, polled + 2);
        if (polled[1].revents)
            pass_signals(proxy, &relay);
        if (polled[0].revents)
            ended = read_control(proxy, &status);
    }
    relay_end(&relay);
    return status;
}

void exec_proxy_close(struct exec_proxy *proxy)
{
    fd_close(&proxy->control);
    fd_close(&proxy->signals);
    fd_close(&proxy->slave);
    fd_close(&proxy->master);
    fd_close(&proxy->message);
}
