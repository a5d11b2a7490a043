/*
 * Terminals on the host: a pair whose slave belongs to vmrt-vmm and whose master goes to whoever
 * asked for the terminal.
 *
 * The guest has a line discipline of its own: the pair is a raw pipe with a size.
 */
#ifndef VMRT_OCI_CONSOLE_H
#define VMRT_OCI_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

struct console {
    int master, slave; /* -1: none */
};

#define CONSOLE_NONE              \
    {                             \
        .master = -1, .slave = -1 \
    }

/**
 * console_check() - do the terminal and the options fit together?
 * @terminal: process.terminal.
 * @detach:   nobody stays who could relay.
 * @socket:   --console-socket, or NULL.
 * Return: 0 or -EINVAL in runc's words.
 */
int console_check(bool terminal, bool detach, const char *socket, struct error *err);

/**
 * console_open() - make a pair; O_CLOEXEC, the slave raw and nobody's controlling terminal.
 * @rows, @columns: its size; 0: none.
 * Return: 0 or -errno.
 */
int console_open(struct console *console, uint32_t rows, uint32_t columns, struct error *err);
void console_close(struct console *console);

/* Makes @slave the controlling terminal of the caller, who leads its session. */
int console_adopt(int slave, struct error *err);

/* Makes @slave the caller's stdin, stdout and stderr. */
int console_use(int slave, struct error *err);

/**
 * console_connect() - connect to --console-socket.
 * Return: descriptor or -errno.
 */
int console_connect(const char *path, struct error *err);

/* Hands @master over: one message, the name of the device as data. Return: 0 or -errno. */
int console_send(int socket, int master, struct error *err);

#endif
