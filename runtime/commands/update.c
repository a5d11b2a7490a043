/* vmrt update: a document of limits, or one made from options. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/update.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum limit_kind { LIMIT_BYTES, LIMIT_NUMBER, LIMIT_SIGNED, LIMIT_TEXT };

/* Options that stand for one field of the document; neighbours of one section stay together. */
static const struct {
    const char *name, *argument, *help;
    const char *section, *member;
    enum limit_kind kind;
} limits[] = {
    { "memory", "BYTES", "memory limit", "memory", "limit", LIMIT_BYTES },
    { "memory-reservation", "BYTES", "soft limit", "memory", "reservation", LIMIT_BYTES },
    { "memory-swap", "BYTES", "memory and swap; -1: no limit", "memory", "swap", LIMIT_BYTES },
    { "cpu-period", "MICROSECONDS", "period of the CPU quota", "cpu", "period", LIMIT_NUMBER },
    { "cpu-quota", "MICROSECONDS", "CPU time in a period", "cpu", "quota", LIMIT_SIGNED },
    { "cpu-burst", "MICROSECONDS", "what may be saved up", "cpu", "burst", LIMIT_NUMBER },
    { "cpu-share", "N", "weight beside other containers", "cpu", "shares", LIMIT_NUMBER },
    { "cpu-idle", "0|1", "only when nothing else runs", "cpu", "idle", LIMIT_SIGNED },
    { "cpu-rt-period", "MICROSECONDS", "not supported", "cpu", "realtimePeriod", LIMIT_NUMBER },
    { "cpu-rt-runtime", "MICROSECONDS", "not supported", "cpu", "realtimeRuntime", LIMIT_SIGNED },
    { "cpuset-cpus", "LIST", "CPUs of the host", "cpu", "cpus", LIMIT_TEXT },
    { "cpuset-mems", "LIST", "memory nodes of the host", "cpu", "mems", LIMIT_TEXT },
    { "blkio-weight", "N", "weight of I/O, 10 to 1000", "blockIO", "weight", LIMIT_NUMBER },
    { "pids-limit", "N", "processes in the container; -1: no limit", "pids", "limit",
      LIMIT_SIGNED },
};

/* Taken as runc takes them. */
static const struct {
    const char *name;
    const char *refusal; /* NULL: ignored */
} others[] = {
    { "kernel-memory", NULL },
    { "kernel-memory-tcp", NULL },
    { "l3-cache-schema", "Intel RDT/CAT: l3 cache schema is not enabled" },
    { "mem-bw-schema", "Intel RDT/MBA: memory bandwidth schema is not enabled" },
};

struct values {
    const char *limits[COUNT(limits)], *others[COUNT(others)];
    const char *resources;
};

/* "512m", "1.5GiB", "-1". Return: 0 or -EINVAL. */
static int parse_bytes(const char *text, int64_t *out)
{
    static const char units[] = "kmgtp";
    const char *unit;
    double value;
    char *end;

    if (strcmp(text, "-1") == 0) {
        *out = -1;
        return 0;
    }
    if (text[strspn(text, "0123456789.")] == 'e' || strchr("0123456789", text[0]) == NULL ||
        !text[0])
        return -EINVAL;
    value = strtod(text, &end);
    end += *end == ' ';
    unit = *end ? strchr(units, *end | 0x20) : NULL;
    for (const char *p = units; unit && p <= unit; p++)
        value *= 1024;
    end += unit != NULL;
    end += unit && (*end | 0x20) == 'i';
    end += (*end | 0x20) == 'b';
    if (*end || value >= 9.2e18)
        return -EINVAL;
    *out = (int64_t)value;
    return 0;
}

static int put_limit(yajl_gen gen, size_t row, const char *text, struct error *err)
{
    int64_t number = 0;
    char *end = NULL;
    int ret = 0;

    if (limits[row].kind == LIMIT_TEXT) {
        json_put_string(gen, limits[row].member, text);
        return 0;
    }
    errno = 0;
    if (limits[row].kind == LIMIT_BYTES)
        ret = parse_bytes(text, &number);
    else
        number = strtoll(text, &end, 10);
    if (ret < 0 || errno || (end && (*end || end == text)) ||
        (limits[row].kind == LIMIT_NUMBER && number < 0))
        return error_set(err, EINVAL, "invalid value for %s: \"%s\"", limits[row].name, text);
    json_put_int(gen, limits[row].member, number);
    return 0;
}

/* Return: the document as fresh memory, or NULL with @err. */
static char *make_document(const struct values *values, struct error *err)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    const char *section = NULL;
    char *text = NULL;
    int ret = 0;

    if (!gen) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    yajl_gen_map_open(gen);
    for (size_t i = 0; ret == 0 && i < COUNT(limits); i++) {
        if (!values->limits[i] || !values->limits[i][0])
            continue;
        if (section && strcmp(section, limits[i].section) != 0)
            yajl_gen_map_close(gen);
        if (!section || strcmp(section, limits[i].section) != 0) {
            section = limits[i].section;
            json_put_key(gen, section);
            yajl_gen_map_open(gen);
        }
        ret = put_limit(gen, i, values->limits[i], err);
    }
    if (section)
        yajl_gen_map_close(gen);
    yajl_gen_map_close(gen);
    if (json_take_text(gen, &text) < 0)
        error_set(err, ENOMEM, "out of memory");
    if (ret == 0)
        return text;
    free(text);
    return NULL;
}

static char *read_document(const char *path, struct error *err)
{
    bool standard = strcmp(path, "-") == 0;
    char *text = NULL;
    int ret = standard ? fd_read_all(STDIN_FILENO, SPEC_SIZE_MAX, &text, NULL)
                       : fd_read_file(AT_FDCWD, path, SPEC_SIZE_MAX, &text, NULL);

    if (ret < 0)
        error_set(err, -ret, "open %s: %s", standard ? "stdin" : path,
                  ret == -ENOENT ? "no such file or directory" : strerror(-ret));
    return text;
}

static int update(const struct context *context, const char *id, const struct values *values,
                  struct error *err)
{
    _cleanup_free_ char *text = NULL;
    struct container container;
    int ret = container_open(context->root, id, &container, err);

    for (size_t i = 0; ret == 0 && i < COUNT(others); i++)
        if (values->others[i] && values->others[i][0] && others[i].refusal)
            ret = error_set(err, ENOTSUP, "%s", others[i].refusal);
        else if (values->others[i] && values->others[i][0])
            log_warning("Setting --%s is ignored and will be removed", others[i].name);
    if (ret == 0) {
        /* As with runc, all other options are ignored beside a document. */
        text = values->resources && values->resources[0] ? read_document(values->resources, err)
                                                         : make_document(values, err);
        ret = text ? update_run(&container, text, err) : -err->code;
    }
    container_close(&container);
    return ret;
}

int command_update(const struct context *context, const struct command *self, int argc, char **argv)
{
    struct values values = { 0 };
    struct option_row rows[COUNT(limits) + COUNT(others) + 1];
    enum options_result parsed;
    struct error err;
    size_t count = 0;
    int ret;

    rows[count++] = (struct option_row) { "resources",
                                          'r',
                                          OPTION_STRING,
                                          "FILE",
                                          "limits as JSON (linux.resources); -: from stdin",
                                          &values.resources };
    for (size_t i = 0; i < COUNT(limits); i++)
        rows[count++] = (struct option_row) { limits[i].name, 0,
                                              OPTION_STRING,  limits[i].argument,
                                              limits[i].help, &values.limits[i] };
    for (size_t i = 0; i < COUNT(others); i++)
        rows[count++] =
            (struct option_row) { others[i].name,
                                  0,
                                  OPTION_STRING,
                                  "VALUE",
                                  others[i].refusal ? "not supported" : "without effect",
                                  &values.others[i] };
    parsed = options_parse(self, rows, count, 1, 1, &argc, &argv);
    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = update(context, argv[0], &values, &err);
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}
