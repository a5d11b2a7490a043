/* A process's terminal as init has it: the pty's master here, two connections to the host there. */
#ifndef VMRT_INIT_TERMINAL_H
#define VMRT_INIT_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/events.h"

struct terminal;
struct terminal_buffer;

/* The terminal has ended: all descriptors are closed; or it has settled. */
typedef void terminal_changed(struct terminal *terminal);

struct terminal {
    struct watch master, input, output; /* input: to the terminal */
    struct terminal_buffer *to_pty, *from_pty;
    bool open;
    bool slave_closed; /* no process has the terminal any more */
    bool hung_up;      /* the host's terminal has gone */
    bool settling;
    uint64_t taken, given, target; /* bytes from the pty; to the host; where it has settled */
    uint64_t settle_limit;         /* of `taken`: who writes on and on does not delay that */
    int epoll;
    terminal_changed *changed;
    void *context;
};

/**
 * terminal_start() - begin to move bytes.
 * @terminal: must not move in memory until it has ended; all zero before.
 * @master, @input, @output: non-blocking; taken over whatever is returned.
 * @changed: called from the event loop, never from the functions below; it may free the terminal.
 * Return: 0 or -errno.
 */
int terminal_start(struct terminal *terminal, int epoll, int master, int input, int output,
                   terminal_changed *changed, void *context);

/* Closes everything now; the session of the terminal gets SIGHUP. Harmless when it has ended. */
void terminal_stop(struct terminal *terminal);

/* Sets the size of the pty @master, in characters, which sends SIGWINCH to its foreground. */
void terminal_set_size(int master, uint16_t rows, uint16_t columns);

/* From here on what was written so far is owed to the host, see terminal_is_settled(). */
void terminal_settle(struct terminal *terminal);

/* Whether all that was written before terminal_settle() is with the host. */
bool terminal_is_settled(const struct terminal *terminal);

#endif
