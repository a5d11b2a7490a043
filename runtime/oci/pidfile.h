/* How engines learn the pid of what was made for them. */
#ifndef VMRT_OCI_PIDFILE_H
#define VMRT_OCI_PIDFILE_H

#include <sys/types.h>

#include "lib/error.h"

/**
 * pidfile_write() - --pid-file: decimal without a newline, because engines parse the whole file.
 * @path: NULL: none was asked for.
 * Return: 0 or -errno.
 */
int pidfile_write(const char *path, pid_t pid, struct error *err);

/* --pidfd-socket: one message with one descriptor. Return: 0 or -errno. */
int pidfile_send_pidfd(const char *path, pid_t pid, struct error *err);

#endif
