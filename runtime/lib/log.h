/*
 * The log that an engine reads: one line per event, text or JSON (runc's logrus formats).
 *
 * Errors also go to stderr, because engines that pass no --log read them there. Debug lines go to
 * the log file only, or to stderr when there is none.
 */
#ifndef VMRT_LIB_LOG_H
#define VMRT_LIB_LOG_H

#include <stdbool.h>

#include "lib/error.h"

struct log_options {
    const char *path; /* NULL: no file */
    bool json;
    bool debug; /* also write debug lines */
};

/**
 * log_open() - open the file of @options for appending and keep it for the process's life.
 * Return: 0 or -errno.
 */
int log_open(const struct log_options *options, struct error *err);

/* The log file's descriptor (O_CLOEXEC), or -1. */
int log_fd(void);
bool log_is_json(void);

/*
 * An error: the log file and, as it is, stderr. As with runc, --log-format json without a log file
 * is the form of stderr.
 */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Worth knowing, not fatal: stderr, or the log file when there is one, and there only with --debug.
 * podman reads the whole log as one JSON object, so that a line beside the error would hide the
 * error; and create's stderr is that of the container.
 */
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Only with --debug. */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
