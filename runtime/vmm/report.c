/* Reports: formatted without locale, time zone files or unbounded output. */
#include "vmm/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

static int report_fd = -1;
static bool report_json;

void report_setup(int log_fd, bool json)
{
    report_fd = log_fd;
    report_json = json;
}

static void escape(const char *text, char *to, size_t size)
{
    size_t used = 0;

    for (; *text && used + 3 < size; text++) {
        if (report_json && (*text == '"' || *text == '\\'))
            to[used++] = '\\';
        to[used++] = *text;
    }
    to[used] = '\0';
}

void report_error(const char *fmt, ...)
{
    char text[1200], escaped[2400], line[2700], stamp[40];
    struct timespec now;
    struct tm utc;
    va_list args;
    int length;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    /* The engine may have given a blocking or broken stderr: what cannot be written is lost. */
    length = snprintf(line, sizeof(line), "vmrt: %s\n", text);
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        length = 0;
    if (report_fd < 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
    escape(text, escaped, sizeof(escaped));
    length = snprintf(line, sizeof(line),
                      report_json ? "{\"level\":\"error\",\"msg\":\"%s\",\"time\":\"%s\"}\n"
                                  : "level=error msg=\"%s\" time=%s\n",
                      escaped, stamp);
    fd_write_full(report_fd, line, (size_t)length);
}
