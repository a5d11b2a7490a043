/* A new terminal for a process, opened in the container it belongs to. */
#ifndef VMRT_INIT_PTY_H
#define VMRT_INIT_PTY_H

#include "init/failure.h"
#include "init/plan.h"

struct pty {
    int master, slave; /* O_CLOEXEC; the master non-blocking */
};

/**
 * pty_open() - a pty of the container's own devpts, so that its name is one the container knows.
 * @root: directory below which /dev/pts is the container's.
 * @plan: whose user is to own it, and its size.
 * Return: 0 or -errno.
 */
int pty_open(struct pty *pty, int root, const struct process_plan *plan, struct failure *failure);

/* Binds the terminal on /dev/console, as runc does. Return: 0 or -errno. */
int pty_make_console(const struct pty *pty, int root, struct failure *failure);

/* Makes the slave the standard streams and the controlling terminal. Return: 0 or -errno. */
int pty_take(const struct pty *pty, struct failure *failure);

#endif
