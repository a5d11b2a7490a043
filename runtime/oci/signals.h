/* Signals as something to read: for commands that stand for a process and pass on what they get. */
#ifndef VMRT_OCI_SIGNALS_H
#define VMRT_OCI_SIGNALS_H

#include <stdbool.h>

#include "lib/error.h"

/**
 * signals_hold() - block every signal that can be passed on; what arrives from now on waits.
 * Return: a signalfd (O_CLOEXEC, O_NONBLOCK), or -errno.
 */
int signals_hold(struct error *err);

/* The next signal that waits; 0: none. */
int signals_next(int fd);

/* Is this one about ourselves (a child, our own stdio) rather than to be passed on? */
bool signals_is_own(int number);

#endif
