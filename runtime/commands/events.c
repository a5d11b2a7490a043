/* vmrt events */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/process.h"
#include "oci/stats.h"

#define INTERVAL_DEFAULT "5s"
#define INTERVAL_MAX_MS  (24.0 * 3600 * 1000)

/* A duration as Go writes them: "5s", "1m30s", "500ms". Return: milliseconds, or -EINVAL. */
static int parse_interval(const char *text, struct error *err)
{
    static const struct {
        const char *unit;
        double milliseconds;
    } units[] = { { "ms", 1 },    { "s", 1000 },   { "m", 60000 },
                  { "h", 3.6e6 }, { "us", 0.001 }, { "ns", 0.000001 } };
    double total = 0;
    const char *p = text;

    do {
        char *end;
        double value = strtod(p, &end);
        size_t length = strspn(end, "hmsun"), i = 0;

        while (i < sizeof(units) / sizeof(units[0]) &&
               (strlen(units[i].unit) != length || strncmp(end, units[i].unit, length) != 0))
            i++;
        if (end == p || i == sizeof(units) / sizeof(units[0]) || !(value >= 0))
            return error_set(err, EINVAL,
                             "--interval: expected a duration such as 5s or 500ms, found \"%s\"",
                             text);
        total += value * units[i].milliseconds;
        p = end + length;
    } while (*p);
    if (!(total > 0))
        return error_set(err, EINVAL, "duration interval must be greater than 0");
    return total < 1 ? 1 : (int)(total > INTERVAL_MAX_MS ? INTERVAL_MAX_MS : total);
}

static int print_stats(const struct container *container, uint64_t *oom_kills, struct error *err)
{
    struct stats stats;
    int ret = stats_read(container, &stats, err);
    char *text = ret == 0 ? stats_text(&stats, container->id) : NULL;

    if (ret == 0 && !text)
        ret = error_set(err, ENOMEM, "out of memory");
    if (ret == 0 && stats.oom_kills > *oom_kills)
        printf("{\"type\":\"oom\",\"id\":\"%s\"}\n", container->id);
    *oom_kills = stats.oom_kills;
    if (text)
        puts(text);
    /* A reader that went away ends it. */
    if (ret == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        ret = error_set_errno(err, "stdout");
    free(text);
    stats_free(&stats);
    return ret;
}

/* Until the container stops. */
static int follow(const struct container *container, int interval, struct error *err)
{
    _cleanup_close_ int pidfd = process_open((pid_t)container->pid, container->start_time);
    uint64_t oom_kills = UINT64_MAX;
    int ret = 0;

    while (ret == 0 && pidfd >= 0) {
        struct pollfd polled = { .fd = pidfd, .events = POLLIN };
        int n = poll(&polled, 1, interval);

        if (n < 0 && errno != EINTR)
            return error_set_errno(err, "poll");
        if (n > 0)
            break;
        if (n == 0)
            ret = print_stats(container, &oom_kills, err);
    }
    return ret;
}

int command_events(const struct context *context, const struct command *self, int argc, char **argv)
{
    const char *interval = INTERVAL_DEFAULT;
    bool once = false;
    const struct option_row rows[] = {
        { "stats", 0, OPTION_FLAG, NULL, "print the statistics once", &once },
        { "interval", 0, OPTION_STRING, "TIME", "how often otherwise (default: 5s)", &interval },
    };
    enum options_result parsed = options_parse(self, rows, 2, 1, 1, &argc, &argv);
    uint64_t oom_kills = UINT64_MAX;
    struct container container;
    struct error err;
    int milliseconds, ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = container_open(context->root, argv[0], &container, &err);
    milliseconds = ret == 0 ? parse_interval(interval, &err) : 0;
    if (ret == 0 && milliseconds < 0)
        ret = milliseconds;
    else if (ret == 0 && container_status(&container) == CONTAINER_STOPPED)
        ret = error_set(&err, ESRCH, "container with id %s is not running", argv[0]);
    else if (ret == 0)
        ret = once ? print_stats(&container, &oom_kills, &err)
                   : follow(&container, milliseconds, &err);
    container_close(&container);
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}
