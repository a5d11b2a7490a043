/* Two flows of bytes, each with one buffer that is emptied before it is filled again. */
#include "oci/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"

/* As runc: any of the three may be redirected; all of them, and there is still /dev/tty. */
static int open_own_terminal(void)
{
    static const int candidates[] = { STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO };

    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
        if (isatty(candidates[i]))
            return fcntl(candidates[i], F_DUPFD_CLOEXEC, 3);
    return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

bool relay_own_size(struct winsize *size)
{
    _cleanup_close_ int terminal = open_own_terminal();

    return terminal >= 0 && ioctl(terminal, TIOCGWINSZ, size) == 0 && size->ws_row && size->ws_col;
}

void relay_begin(struct relay *relay, int master)
{
    struct termios raw;

    *relay = (struct relay) { .master = master, .terminal = -1 };
    if (master < 0)
        return;
    (void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    relay->terminal = open_own_terminal();
    if (relay->terminal >= 0 && tcgetattr(relay->terminal, &relay->saved) < 0)
        fd_close(&relay->terminal);
    if (relay->terminal < 0)
        return;
    raw = relay->saved;
    cfmakeraw(&raw);
    (void)tcsetattr(relay->terminal, TCSANOW, &raw);
}

bool relay_resize(const struct relay *relay, struct winsize *size)
{
    if (relay->terminal < 0 || ioctl(relay->terminal, TIOCGWINSZ, size) < 0)
        return false;
    return ioctl(relay->master, TIOCSWINSZ, size) == 0;
}

static bool is_empty(const struct relay_flow *flow)
{
    return flow->start == flow->end;
}

void relay_prepare(const struct relay *relay, struct pollfd polled[RELAY_POLLED])
{
    bool read_in = relay->master >= 0 && !relay->in.over && is_empty(&relay->in);
    bool read_out = relay->master >= 0 && !relay->out.over && is_empty(&relay->out);
    bool write_in = relay->master >= 0 && !is_empty(&relay->in);

    polled[0] = (struct pollfd) { .fd = read_in ? STDIN_FILENO : -1, .events = POLLIN };
    polled[1] =
        (struct pollfd) { .fd = read_out || write_in ? relay->master : -1,
                          .events = (short)((read_out ? POLLIN : 0) | (write_in ? POLLOUT : 0)) };
    polled[2] =
        (struct pollfd) { .fd = is_empty(&relay->out) ? -1 : STDOUT_FILENO, .events = POLLOUT };
}

/* Return: false when nothing could be read now. */
static bool fill(struct relay_flow *flow, int fd)
{
    ssize_t n = read(fd, flow->data, sizeof(flow->data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    /* EIO: the other side of a terminal has been closed. */
    flow->over = n <= 0;
    flow->start = 0;
    flow->end = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void empty(struct relay_flow *flow, int fd)
{
    ssize_t n = write(fd, flow->data + flow->start, flow->end - flow->start);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    flow->over = flow->over || n < 0;
    flow->start = n < 0 ? flow->end : flow->start + (size_t)n;
}

void relay_move(struct relay *relay, const struct pollfd polled[RELAY_POLLED])
{
    if (polled[0].revents)
        (void)fill(&relay->in, STDIN_FILENO);
    if (polled[1].revents && !is_empty(&relay->in))
        empty(&relay->in, relay->master);
    if (polled[1].revents && is_empty(&relay->out) && !relay->out.over)
        (void)fill(&relay->out, relay->master);
    if (polled[2].revents)
        empty(&relay->out, STDOUT_FILENO);
}

void relay_end(struct relay *relay)
{
    if (relay->master < 0)
        return;
    do {
        if (fd_write_full(STDOUT_FILENO, relay->out.data + relay->out.start,
                          relay->out.end - relay->out.start) < 0)
            break;
        relay->out.start = relay->out.end;
    } while (!relay->out.over && fill(&relay->out, relay->master));
    if (relay->terminal >= 0)
        (void)tcsetattr(relay->terminal, TCSANOW, &relay->saved);
    fd_close(&relay->terminal);
}
