/*
 * A terminal in the foreground: bytes between our own stdio and the master of a console, with our
 * own terminal in raw mode for as long as it lasts.
 *
 * Whoever owns it polls, since there is always something else to wait for as well.
 */
#ifndef VMRT_OCI_RELAY_H
#define VMRT_OCI_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

#define RELAY_POLLED 3
#define RELAY_BUFFER 8192

/* What was read and is yet to be written. */
struct relay_flow {
    char data[RELAY_BUFFER];
    size_t start, end;
    bool over; /* nothing more will come */
};

struct relay {
    int master;           /* O_NONBLOCK; the owner's */
    int terminal;         /* our own, -1 when there is none */
    struct termios saved; /* as it was */
    struct relay_flow in, out;
};

/* The size of our own terminal. Return: false when there is none. */
bool relay_own_size(struct winsize *size);

/* Begins: our own terminal becomes raw. @master -1: nothing to do, in every other call too. */
void relay_begin(struct relay *relay, int master);

/* Gives the console the size of our own terminal. Return: false when there is none. */
bool relay_resize(const struct relay *relay, struct winsize *size);

/* Fills in what to wait for; entries that wait for nothing have a negative descriptor. */
void relay_prepare(const struct relay *relay, struct pollfd polled[RELAY_POLLED]);
/* Moves what can be moved. */
void relay_move(struct relay *relay, const struct pollfd polled[RELAY_POLLED]);

/* Writes out what the console still holds, and puts our own terminal back. */
void relay_end(struct relay *relay);

#endif
