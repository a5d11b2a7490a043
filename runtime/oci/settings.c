/* The settings table, and how a value is found and checked. */
#include "oci/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "oci/bind.h"
#include "vmm/plan.h"

#define COUNT(table)      (sizeof(table) / sizeof((table)[0]))
#define VARIABLE_PREFIX   "VMRT_"
#define ANNOTATION_PREFIX "org.vmrt."
#define HOST_FILE_MAX     (1u << 20)
#define TEXT_MAX          1024

enum setting_kind {
    KIND_MEMORY,
    KIND_CPUS,
    KIND_TEXT,
    KIND_KERNEL,
    KIND_CONSOLE,
    KIND_SWITCH,
    KIND_NETWORK
};

struct setting_row {
    const char *name; /* as in the host's file; upper case in the environment */
    enum setting_kind kind;
    const char *type, *range, *preset, *help;
};

static const struct setting_row rows[SETTING_COUNT] = {
    [SETTING_MEMORY] = { "memory", KIND_MEMORY, "MiB, or with M or G", "40M to 1024G", "1G",
                         "memory of the virtual machine when linux.resources.memory.limit does not "
                         "say it" },
    [SETTING_CPUS] = { "cpus", KIND_CPUS, "number or \"auto\"", "1 to 64", "auto",
                       "virtual CPUs; auto: what the CPU quota asks for, else up to 4 of those the "
                       "host has" },
    [SETTING_KERNEL] = { "kernel", KIND_KERNEL, "path", "an ELF vmlinux with a PVH entry", "",
                         "guest kernel; a container may name one in kernel_directories" },
    [SETTING_KERNEL_ARGS] = { "kernel_args", KIND_TEXT, "text", "up to 1024 characters", "",
                              "appended to the guest kernel's command line" },
    [SETTING_CONSOLE] = { "console", KIND_CONSOLE, "off, stderr or path", "", "off",
                          "where the guest kernel's messages go; a container may name a file in "
                          "console_directories" },
    [SETTING_NET_VHOST] = { "net_vhost", KIND_SWITCH, "0 or 1", "", "0",
                            "1: packets are moved by the host's kernel (/dev/vhost-net), not by "
                            "vmrt-vmm; without the device a warning, and vmrt-vmm moves them" },
    [SETTING_NETWORK_MODE] = { "network_mode", KIND_NETWORK, "refuse or host", "", "refuse",
                               "for a container that asks for the host's network: refuse it, or "
                               "host: give it a network of its own, translated to the host's" },
};

/* Keys that only the host's file has. */
static const struct {
    const char *name, *help;
} host_rows[] = {
    { "allowed_settings", "names of the settings that a container may use (all)" },
    { "kernel_directories", "where kernels that a container names must lie (nowhere)" },
    { "console_directories", "where console files that a container names must lie (nowhere)" },
};

static int bad_value(const struct setting_row *row, const struct setting *value, struct error *err)
{
    return error_set(err, EINVAL, "%s: expected %s%s%s, found \"%.100s\"", value->origin, row->type,
                     row->range[0] ? ", " : "", row->range, value->text);
}

/* "512", "512M", "512MiB", "2G": MiB. */
static bool parse_memory(const char *text, uint64_t *mib)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = { { "", 1 },     { "M", 1 },     { "MB", 1 },    { "MiB", 1 },
                  { "G", 1024 }, { "GB", 1024 }, { "GiB", 1024 } };
    char *end;
    uint64_t number;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    for (size_t i = 0; i < COUNT(units); i++)
        if (strcasecmp(end, units[i].suffix) == 0)
            return errno == 0 && !__builtin_mul_overflow(number, units[i].factor, mib) &&
                   *mib >= PLAN_MEMORY_MIN_MIB && *mib <= PLAN_MEMORY_MAX_MIB;
    return false;
}

static bool parse_cpus(const char *text, uint64_t *cpus)
{
    char *end;

    *cpus = 0;
    if (strcmp(text, "auto") == 0)
        return true;
    if (!isdigit((unsigned char)text[0]))
        return false;
    *cpus = strtoull(text, &end, 10);
    return *end == '\0' && *cpus >= 1 && *cpus <= PLAN_CPUS_MAX;
}

static bool parse_switch(const char *text, uint64_t *on)
{
    *on = strcmp(text, "1") == 0;
    return *on || strcmp(text, "0") == 0;
}

static bool printable(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            return false;
    return strlen(text) <= TEXT_MAX;
}

/* A file that a container names: resolved, and in one of the host's directories. */
static int confine_path(struct settings *settings, struct setting *value, const char **directories,
                        const char *key, bool must_exist, struct error *err)
{
    char resolved[PATH_MAX], directory[PATH_MAX];
    const char *slash = strrchr(value->text, '/');

    if (must_exist) {
        if (!realpath(value->text, resolved))
            return error_set_errno(err, "%s: %s", value->origin, value->text);
    } else {
        if (snprintf(resolved, sizeof(resolved), "%.*s", (int)(slash - value->text) + 1,
                     value->text) >= PATH_MAX ||
            !realpath(resolved, directory))
            return error_set_errno(err, "%s: %s", value->origin, value->text);
        if (snprintf(resolved, sizeof(resolved), "%s/%s", directory, slash + 1) >= PATH_MAX)
            return error_set(err, ENAMETOOLONG, "%s: path too long", value->origin);
    }
    for (; directories && *directories; directories++) {
        size_t length;

        if (!realpath(*directories, directory))
            continue;
        length = strlen(directory);
        if (strncmp(resolved, directory, length) == 0 && resolved[length] == '/') {
            value->text = arena_strdup(&settings->arena, resolved);
            return value->text ? 0 : error_set(err, ENOMEM, "out of memory");
        }
    }
    return error_set(err, EPERM, "%s: %s is in none of the directories that \"%s\" in %s allows",
                     value->origin, value->text, key, SETTINGS_HOST_FILE);
}

static int check_path(struct settings *settings, const struct setting_row *row,
                      struct setting *value, struct error *err)
{
    const char *slash = strrchr(value->text, '/');

    if (value->text[0] == '\0')
        return 0;
    if (row->kind == KIND_CONSOLE &&
        (strcmp(value->text, "off") == 0 || strcmp(value->text, "stderr") == 0))
        return 0;
    if (value->text[0] != '/' || strlen(value->text) >= PATH_MAX || !slash[1])
        return bad_value(row, value, err);
    if (!settings_from_container(value))
        return 0;
    return row->kind == KIND_CONSOLE ? confine_path(settings, value, settings->console_directories,
                                                    "console_directories", false, err)
                                     : confine_path(settings, value, settings->kernel_directories,
                                                    "kernel_directories", true, err);
}

static int check_value(struct settings *settings, enum setting_id id, struct error *err)
{
    const struct setting_row *row = &rows[id];
    struct setting *value = &settings->values[id];
    bool good = true;

    switch (row->kind) {
    case KIND_MEMORY:
        good = parse_memory(value->text, &value->number);
        break;
    case KIND_CPUS:
        good = parse_cpus(value->text, &value->number);
        break;
    case KIND_SWITCH:
        good = parse_switch(value->text, &value->number);
        break;
    case KIND_TEXT:
        good = printable(value->text);
        break;
    case KIND_NETWORK:
        good = strcmp(value->text, "refuse") == 0 || strcmp(value->text, "host") == 0;
        break;
    case KIND_KERNEL:
    case KIND_CONSOLE:
    default:
        return check_path(settings, row, value, err);
    }
    return good ? 0 : bad_value(row, value, err);
}

/* Row of @name, whose characters before @length count in any case. Return: index or -1. */
static int find_row(const char *name, size_t length)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strlen(rows[i].name) == length && strncasecmp(rows[i].name, name, length) == 0)
            return i;
    return -1;
}

static int set_from_container(struct settings *settings, int id, const char *text,
                              enum setting_source source, const char *origin,
                              const char *const *allowed, struct error *err)
{
    struct setting *value = &settings->values[id];

    if (allowed) {
        while (*allowed && strcmp(*allowed, rows[id].name) != 0)
            allowed++;
        if (!*allowed)
            return error_set(err, EPERM, "%s: \"allowed_settings\" in %s does not allow it", origin,
                             SETTINGS_HOST_FILE);
    }
    value->text = text;
    value->source = source;
    value->origin = origin;
    return origin ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int read_annotations(struct settings *settings, const struct spec *spec,
                            const char *const *allowed, struct error *err)
{
    for (size_t i = 0; i < spec->annotation_count; i++) {
        const struct spec_pair *pair = &spec->annotations[i];
        const char *name = pair->key + strlen(ANNOTATION_PREFIX);
        int id, ret;

        if (strncmp(pair->key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) != 0)
            continue;
        id = find_row(name, strlen(name));
        if (id < 0)
            return error_set(err, EINVAL,
                             "annotation %s is not a setting: \"vmrt settings\" lists them",
                             pair->key);
        ret = set_from_container(settings, id, pair->value, SETTING_ANNOTATION,
                                 arena_format(&settings->arena, "annotation %s", pair->key),
                                 allowed, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int read_environment(struct settings *settings, const struct spec *spec,
                            const char *const *allowed, struct error *err)
{
    for (const char **env = spec->process.env; env && *env; env++) {
        const char *name = *env + strlen(VARIABLE_PREFIX);
        size_t length;
        int id, ret;

        if (!settings_is_variable(*env))
            continue;
        length = strcspn(name, "=");
        id = find_row(name, length);
        if (id < 0)
            return error_set(err, EINVAL,
                             "process.env: %.*s is not a setting: \"vmrt settings\" lists them",
                             (int)strcspn(*env, "="), *env);
        ret = set_from_container(
            settings, id, name[length] ? name + length + 1 : "", SETTING_ENVIRONMENT,
            arena_format(&settings->arena, "%.*s", (int)strcspn(*env, "="), *env), allowed, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int read_host_member(struct settings *settings, const char *key, const struct json *value,
                            const char ***allowed, const char *host_file, struct error *err)
{
    int id = find_row(key, strlen(key));
    struct setting *setting;

    if (strcmp(key, "allowed_settings") == 0)
        return bind_strings(value, allowed, &settings->arena, err);
    if (strcmp(key, "kernel_directories") == 0)
        return bind_strings(value, &settings->kernel_directories, &settings->arena, err);
    if (strcmp(key, "console_directories") == 0)
        return bind_strings(value, &settings->console_directories, &settings->arena, err);
    if (id < 0 || strcmp(key, rows[id].name) != 0)
        return json_fail(value, err, EINVAL, "not a setting: \"vmrt settings\" lists them");
    if (!json_present(value))
        return 0;
    setting = &settings->values[id];
    setting->source = SETTING_FILE;
    setting->origin = arena_format(&settings->arena, "%s: %s", host_file, key);
    if (!setting->origin)
        return error_set(err, ENOMEM, "out of memory");
    if (YAJL_IS_NUMBER(value->value)) {
        setting->text = YAJL_GET_NUMBER(value->value);
        return 0;
    }
    return json_string(value, &setting->text, err);
}

static int read_host_file(struct settings *settings, const char *host_file, const char ***allowed,
                          struct error *err)
{
    _cleanup_free_ char *text = NULL;
    int ret = fd_read_file(AT_FDCWD, host_file, HOST_FILE_MAX, &text, NULL);

    if (ret == -ENOENT)
        return 0;
    if (ret < 0)
        return error_set(err, -ret, "%s: %s", host_file, strerror(-ret));
    ret = json_parse(text, host_file, &settings->host, err);
    if (ret < 0)
        return ret;
    if (!YAJL_IS_OBJECT(settings->host.value))
        return json_fail(&settings->host, err, EINVAL, "expected an object");
    for (size_t i = 0; ret == 0 && i < json_pair_count(&settings->host); i++) {
        const char *key;
        struct json value = json_pair(&settings->host, i, &key);

        ret = read_host_member(settings, key, &value, allowed, host_file, err);
    }
    return ret;
}

int settings_load(const char *host_file, const struct spec *spec, struct settings *settings,
                  struct error *err)
{
    const char **allowed = NULL;
    int ret;

    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < SETTING_COUNT; i++)
        settings->values[i] = (struct setting) { .text = rows[i].preset, .origin = rows[i].name };
    ret = read_host_file(settings, host_file, &allowed, err);
    for (const char **name = allowed; ret == 0 && name && *name; name++)
        if (find_row(*name, strlen(*name)) < 0)
            ret = error_set(err, EINVAL, "%s: allowed_settings: \"%s\" is not a setting", host_file,
                            *name);
    if (ret == 0)
        ret = read_annotations(settings, spec, allowed, err);
    if (ret == 0)
        ret = read_environment(settings, spec, allowed, err);
    for (int i = 0; ret == 0 && i < SETTING_COUNT; i++)
        ret = check_value(settings, i, err);
    return ret;
}

void settings_free(struct settings *settings)
{
    json_free(&settings->host);
    arena_free(&settings->arena);
}

bool settings_from_container(const struct setting *setting)
{
    return setting->source == SETTING_ENVIRONMENT || setting->source == SETTING_ANNOTATION;
}

bool settings_is_variable(const char *variable)
{
    return strncmp(variable, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0;
}

static void print_names(FILE *out, const char *format, const char *name)
{
    char upper[64];
    size_t i;

    for (i = 0; name[i] && i + 1 < sizeof(upper); i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    upper[i] = '\0';
    if (format[0] == '|')
        fprintf(out, "| `%s%s` | `%s%s` | `%s` |", VARIABLE_PREFIX, upper, ANNOTATION_PREFIX, name,
                name);
    else
        fprintf(out, "%s%s  (annotation %s%s, host file \"%s\")\n", VARIABLE_PREFIX, upper,
                ANNOTATION_PREFIX, name, name);
}

void settings_print(FILE *out, bool markdown)
{
    if (markdown)
        fputs("| variable | annotation | host file | value | default | "
              "|\n|---|---|---|---|---|---|\n",
              out);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = &rows[i];

        print_names(out, markdown ? "|" : "", row->name);
        if (markdown)
            fprintf(out, " %s%s%s | %s%s%s | %s |\n", row->type, row->range[0] ? "; " : "",
                    row->range, row->preset[0] ? "`" : "", row->preset, row->preset[0] ? "`" : "",
                    row->help);
        else
            fprintf(out, "    %s\n    value: %s%s%s; default: %s\n\n", row->help, row->type,
                    row->range[0] ? "; " : "", row->range, row->preset[0] ? row->preset : "none");
    }
    fprintf(out, markdown ? "\nOnly in %s:\n\n" : "Only in %s:\n", SETTINGS_HOST_FILE);
    for (size_t i = 0; i < COUNT(host_rows); i++)
        fprintf(out, markdown ? "* `%s`: %s\n" : "    \"%s\"\n        %s\n", host_rows[i].name,
                host_rows[i].help);
}
