/* What goes wrong once the machine runs: one line on stderr and one in the engine's log. */
#ifndef VMRT_VMM_REPORT_H
#define VMRT_VMM_REPORT_H

#include <stdbool.h>

/**
 * report_setup() - where reports go.
 * @log_fd: the engine's log, appended to; -1: stderr only.
 * @json:   log lines in the form of OCI-CONTRACT §1.4, else plain text.
 */
void report_setup(int log_fd, bool json);

/*
 * stderr is the container's terminal: reports go to the log alone, or with the carriage return that
 * a raw terminal needs when there is no log.
 */
void report_to_terminal(void);

/* One failure. Safe from any thread and inside the sandbox; control characters become '?'. */
void report_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What is worth knowing but ends nothing: not on the container's stderr, as long as there is a log.
 */
void report_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
