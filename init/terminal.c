/*
 * A process's terminal.
 *
 * splice(2) does not know terminals, so each direction has a small buffer; when it is full, its
 * source is not read, and that is all the flow control there is. Ends:
 *
 *   EIO or a hang-up of the master    no process has the terminal any more: what it still holds
 *                                     goes to the host, then the terminal ends
 *   end of file from the host         its terminal has gone: what the processes have written so far
 *                                     goes out, then the master is closed, and their session gets
 *                                     SIGHUP, as when a runtime's caller closes the master
 *   the host reads no more            likewise, at once
 */
#include "init/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init/io.h"

#define TERMINAL_BUFFER_SIZE 16384u
/* What a pty can hold: its flip buffers and the line discipline's. */
#define TERMINAL_PTY_HOLDS (128u * 1024)
/* Rounds before other watches get their turn. */
#define TERMINAL_ROUNDS 4

struct terminal_buffer {
    size_t start, end;
    char data[TERMINAL_BUFFER_SIZE];
};

static size_t buffer_fill(const struct terminal_buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* Room without moving what is there; an empty buffer starts anew. */
static size_t buffer_room(struct terminal_buffer *buffer)
{
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
    return sizeof(buffer->data) - buffer->end;
}

/* Return: bytes, 0 at the end, -EAGAIN when there is nothing or no room, or -errno. */
static ssize_t buffer_take(struct terminal_buffer *buffer, int fd)
{
    size_t room = buffer_room(buffer);
    ssize_t n = room ? read(fd, buffer->data + buffer->end, room) : -1;

    if (n < 0)
        return !room || errno == EINTR ? -EAGAIN : -errno;
    buffer->end += (size_t)n;
    return n;
}

/* Return: bytes, -EAGAIN when there is nothing or the sink is full, or -errno. */
static ssize_t buffer_give(struct terminal_buffer *buffer, int fd)
{
    size_t fill = buffer_fill(buffer);
    ssize_t n = fill ? write(fd, buffer->data + buffer->start, fill) : -1;

    if (n <= 0)
        return !fill || n == 0 || errno == EINTR ? -EAGAIN : -errno;
    buffer->start += (size_t)n;
    return n;
}

void terminal_stop(struct terminal *terminal)
{
    if (!terminal->open)
        return;
    terminal->open = false;
    watch_close(&terminal->master);
    watch_close(&terminal->input);
    watch_close(&terminal->output);
    free(terminal->to_pty);
    free(terminal->from_pty);
    terminal->to_pty = terminal->from_pty = NULL;
}

static void settle_begin(struct terminal *terminal)
{
    if (terminal->settling)
        return;
    terminal->settling = true;
    terminal->settle_limit = terminal->taken + TERMINAL_PTY_HOLDS;
}

static void terminal_hang_up(struct terminal *terminal)
{
    terminal->hung_up = true;
    watch_close(&terminal->input);
    settle_begin(terminal);
}

/* Nothing typed can reach anybody. */
static void terminal_drop_input(struct terminal *terminal)
{
    terminal->slave_closed = true;
    terminal->to_pty->start = terminal->to_pty->end;
    watch_stop(&terminal->input);
}

static bool pump_input(struct terminal *terminal)
{
    bool moved = false;
    ssize_t n;

    if (terminal->slave_closed)
        return false;
    if (!terminal->hung_up) {
        n = buffer_take(terminal->to_pty, terminal->input.fd);
        moved = n > 0;
        if (n <= 0 && n != -EAGAIN)
            terminal_hang_up(terminal);
    }
    n = buffer_give(terminal->to_pty, terminal->master.fd);
    if (n < 0 && n != -EAGAIN)
        terminal_drop_input(terminal);
    return moved || n > 0;
}

static bool is_settling(const struct terminal *terminal)
{
    return terminal->settling && terminal->target == UINT64_MAX;
}

/* The pty has nothing more for now: what was taken so far is what was owed. */
static void note_empty(struct terminal *terminal)
{
    if (is_settling(terminal))
        terminal->target = terminal->taken;
}

/* Return: bytes moved, or -errno once the terminal is over. */
static ssize_t pump_output(struct terminal *terminal)
{
    size_t room = buffer_room(terminal->from_pty);
    ssize_t taken = buffer_take(terminal->from_pty, terminal->master.fd);
    ssize_t given;
    bool over = taken <= 0 && taken != -EAGAIN;

    if (taken > 0)
        terminal->taken += (uint64_t)taken;
    if (over || (room && taken == -EAGAIN) || terminal->taken >= terminal->settle_limit)
        note_empty(terminal);
    given = buffer_give(terminal->from_pty, terminal->output.fd);
    if (given > 0)
        terminal->given += (uint64_t)given;
    if (given < 0 && given != -EAGAIN)
        return given;
    if (over && buffer_fill(terminal->from_pty) == 0)
        return -EIO;
    if (terminal->hung_up && terminal->given >= terminal->target &&
        buffer_fill(terminal->to_pty) == 0)
        return -EPIPE;
    return (taken > 0 ? taken : 0) + (given > 0 ? given : 0);
}

/* Waits for @events, or not at all: hang-ups would be reported for ever. */
static int arm(struct watch *watch, int epoll, uint32_t events)
{
    if (events)
        return watch_set(watch, epoll, events);
    watch_stop(watch);
    return 0;
}

static int terminal_arm(struct terminal *terminal)
{
    bool pending = buffer_fill(terminal->from_pty) != 0;
    uint32_t events = 0;
    int ret = 0;

    if (buffer_room(terminal->from_pty))
        events |= EPOLLIN;
    if (buffer_fill(terminal->to_pty))
        events |= EPOLLOUT;
    ret = arm(&terminal->master, terminal->epoll, events);
    if (ret == 0 && !terminal->hung_up)
        ret = arm(&terminal->input, terminal->epoll,
                  !terminal->slave_closed && buffer_room(terminal->to_pty) ? EPOLLIN : 0);
    /* A host that reads no more is noticed once: output_ready() stops waiting for that. */
    if (ret == 0 && (pending || terminal->output.epoll >= 0))
        ret = watch_set(&terminal->output, terminal->epoll, pending ? EPOLLOUT : EPOLLRDHUP);
    return ret;
}

static void terminal_pump(struct terminal *terminal)
{
    bool settled = terminal_is_settled(terminal);
    ssize_t moved = 1;

    /* No event says that the pty has become empty, so who waits for that looks until it has. */
    for (int i = 0; moved > 0 && (i < TERMINAL_ROUNDS || is_settling(terminal)); i++) {
        bool typed = pump_input(terminal);

        moved = pump_output(terminal);
        if (moved == 0 && typed)
            moved = 1;
    }
    if (moved >= 0 && terminal_arm(terminal) < 0)
        moved = -EIO;
    if (moved < 0)
        terminal_stop(terminal);
    if (moved < 0 || (!settled && terminal_is_settled(terminal)))
        terminal->changed(terminal);
}

static void master_ready(struct watch *watch, uint32_t events)
{
    struct terminal *terminal = watch->context;

    if (events & (EPOLLHUP | EPOLLERR))
        terminal_drop_input(terminal);
    terminal_pump(terminal);
}

static void input_ready(struct watch *watch, uint32_t events)
{
    terminal_pump(watch->context);
}

static void output_ready(struct watch *watch, uint32_t events)
{
    struct terminal *terminal = watch->context;

    if (buffer_fill(terminal->from_pty) == 0) {
        /* The host may just have said that it will not send on this connection. */
        if (io_socket_is_broken(watch->fd)) {
            terminal_stop(terminal);
            terminal->changed(terminal);
            return;
        }
        watch_stop(watch);
    }
    terminal_pump(terminal);
}

int terminal_start(struct terminal *terminal, int epoll, int master, int input, int output,
                   terminal_changed *changed, void *context)
{
    int ret = -ENOMEM;

    *terminal = (struct terminal) {
        .master = watch_of(master, master_ready, terminal),
        .input = watch_of(input, input_ready, terminal),
        .output = watch_of(output, output_ready, terminal),
        .to_pty = calloc(1, sizeof(struct terminal_buffer)),
        .from_pty = calloc(1, sizeof(struct terminal_buffer)),
        .open = true,
        .target = UINT64_MAX,
        .settle_limit = UINT64_MAX,
        .epoll = epoll,
        .changed = changed,
        .context = context,
    };
    if (terminal->to_pty && terminal->from_pty)
        ret = watch_set(&terminal->output, epoll, EPOLLRDHUP);
    if (ret == 0)
        ret = terminal_arm(terminal);
    if (ret < 0)
        terminal_stop(terminal);
    return ret;
}

void terminal_set_size(int master, uint16_t rows, uint16_t columns)
{
    const struct winsize size = { .ws_row = rows, .ws_col = columns };

    ioctl(master, TIOCSWINSZ, &size);
}

void terminal_settle(struct terminal *terminal)
{
    ssize_t moved;

    if (!terminal->open)
        return;
    settle_begin(terminal);
    do
        moved = pump_output(terminal);
    while (moved > 0 && is_settling(terminal));
    if (moved < 0 || terminal_arm(terminal) < 0)
        terminal_stop(terminal);
}

bool terminal_is_settled(const struct terminal *terminal)
{
    return !terminal->open || !terminal->settling || terminal->given >= terminal->target;
}
