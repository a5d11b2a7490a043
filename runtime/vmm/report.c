/* Reports: formatted without locale, time zone files or unbounded output. */
#include "vmm/report.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/text.h"

/* How long the first descriptor that takes nothing is waited for, s; after that, none is. */
#define PATIENCE 1

static int report_fd = -1;
static bool report_json, report_terminal;
static atomic_int patience = PATIENCE;

void report_setup(int log_fd, bool json)
{
    report_fd = log_fd;
    report_json = json;
}

void report_to_terminal(void)
{
    report_terminal = true;
}

static void escape(const char *text, char *to, size_t size)
{
    size_t used = 0;

    for (; *text && used + 3 < size; text++) {
        if (*text == '"' || *text == '\\')
            to[used++] = '\\';
        to[used++] = *text;
    }
    to[used] = '\0';
}

/*
 * RFC 3339, UTC. gmtime_r(3) and strftime(3) read /etc/localtime the first time they are called,
 * which the sandbox ends; so the calendar is counted here, in years that begin with March.
 */
static void format_time(char *to, size_t size)
{
    struct timespec now;
    unsigned int days, second, year, day, month;

    clock_gettime(CLOCK_REALTIME, &now);
    second = (unsigned int)(now.tv_sec % 86400);
    days = (unsigned int)(now.tv_sec / 86400) + 719468; /* from 0000-03-01 to 1970-01-01 */
    year = days / 146097 * 400;
    days %= 146097;
    /* Within the 400 years: leap days come every 4 years, not every 100. */
    year += (days - days / 1460 + days / 36524 - days / 146096) / 365;
    day = days - (year % 400 * 365 + year % 400 / 4 - year % 400 / 100);
    month = (5 * day + 2) / 153;
    day = day - (153 * month + 2) / 5 + 1;
    snprintf(to, size, "%04u-%02u-%02uT%02u:%02u:%02uZ", year + (month >= 10),
             month < 10 ? month + 3 : month - 9, day, second / 3600, second / 60 % 60, second % 60);
}

/*
 * The machine must not stop because nobody empties a pipe: what cannot be written is lost. A pipe
 * that polls as writable takes PIPE_BUF bytes at once (pipe(7)), and a line is shorter.
 */
static void put(int fd, const char *line, size_t length)
{
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    const struct timespec wait = { .tv_sec = patience };

    /* ppoll rather than poll: every architecture has it. */
    if (ppoll(&ready, 1, &wait, NULL) == 0)
        patience = 0;
    /* Anything besides POLLOUT: the reader is gone, and write(2) would raise SIGPIPE. */
    if (ready.revents == POLLOUT && write(fd, line, length) < 0)
        return;
}

__attribute__((format(printf, 3, 0))) static void put_line(const char *level, bool on_stderr,
                                                           const char *fmt, va_list args)
{
    char text[1200], escaped[2400], line[2700], stamp[40];
    int length;

    vsnprintf(text, sizeof(text), fmt, args);
    text_mask_controls(text);
    _Static_assert(sizeof(line) <= PIPE_BUF, "written at once");
    length = snprintf(line, sizeof(line), "vmrt: %s%s\n", text, report_terminal ? "\r" : "");
    if (on_stderr || report_fd < 0)
        put(STDERR_FILENO, line, (size_t)length);
    if (report_fd < 0)
        return;
    format_time(stamp, sizeof(stamp));
    escape(text, escaped, sizeof(escaped));
    length = snprintf(line, sizeof(line),
                      report_json ? "{\"level\":\"%s\",\"msg\":\"%s\",\"time\":\"%s\"}\n"
                                  : "level=%s msg=\"%s\" time=\"%s\"\n",
                      level, escaped, stamp);
    put(report_fd, line, (size_t)length);
}

void report_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_line("error", !report_terminal, fmt, args);
    va_end(args);
}

void report_warning(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_line("warning", false, fmt, args);
    va_end(args);
}
