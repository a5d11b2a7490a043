/* Log lines: formatted whole, written by one write(2) so that lines of several processes stay
 * apart. */
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/json.h"
#include "lib/text.h"

static struct {
    int fd;
    bool json, debug;
} log_state = { .fd = -1 };

int log_open(const struct log_options *options, struct error *err)
{
    log_state.json = options->json;
    log_state.debug = options->debug;
    fd_close(&log_state.fd);
    if (!options->path)
        return 0;
    log_state.fd = open(options->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (log_state.fd < 0)
        return error_set_errno(err, "--log %s", options->path);
    return 0;
}

int log_fd(void)
{
    return log_state.fd;
}

bool log_is_json(void)
{
    return log_state.json;
}

static char *format_json(const char *level, const char *text, const char *stamp)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    char *line = NULL;

    if (!gen)
        return NULL;
    yajl_gen_map_open(gen);
    json_put_string(gen, "level", level);
    json_put_string(gen, "msg", text);
    json_put_string(gen, "time", stamp);
    yajl_gen_map_close(gen);
    return json_take_text(gen, &line) == 0 ? line : NULL;
}

static char *format_text(const char *level, const char *text, const char *stamp)
{
    size_t length = strlen(text), used;
    char *line = malloc(2 * length + 128);

    if (!line)
        return NULL;
    used = (size_t)snprintf(line, 128, "time=\"%s\" level=%s msg=\"", stamp, level);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            line[used++] = '\\';
        line[used++] = *text;
    }
    line[used++] = '"';
    line[used] = '\0';
    return line;
}

static void write_line(int fd, const char *level, const char *text)
{
    struct timespec now;
    struct tm utc;
    char stamp[40], *line;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
    line = log_state.json ? format_json(level, text, stamp) : format_text(level, text, stamp);
    if (!line)
        return;
    /* The terminating NUL makes room for the newline. */
    length = strlen(line);
    line[length] = '\n';
    (void)fd_write_full(fd, line, length + 1);
    free(line);
}

static void format(char *text, size_t size, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static void format(char *text, size_t size, const char *fmt, va_list args)
{
    vsnprintf(text, size, fmt, args);
    text_mask_controls(text);
}

void log_error(const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    format(text, sizeof(text), fmt, args);
    va_end(args);
    /* The file first: stderr may be a pipe that nobody reads any more, and so our end. */
    if (log_state.fd >= 0)
        write_line(log_state.fd, "error", text);
    if (log_state.fd < 0 && log_state.json)
        write_line(STDERR_FILENO, "error", text);
    else
        dprintf(STDERR_FILENO, "%s\n", text);
}

void log_warning(const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    format(text, sizeof(text), fmt, args);
    va_end(args);
    if (log_state.fd < 0)
        dprintf(STDERR_FILENO, "vmrt: warning: %s\n", text);
    else if (log_state.debug)
        write_line(log_state.fd, "warning", text);
}

void log_debug(const char *fmt, ...)
{
    char text[2048];
    va_list args;

    if (!log_state.debug)
        return;
    va_start(args, fmt);
    format(text, sizeof(text), fmt, args);
    va_end(args);
    write_line(log_state.fd >= 0 ? log_state.fd : STDERR_FILENO, "debug", text);
}
