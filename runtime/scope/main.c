/*
 * vmrt-scope: vmrt's part in D-Bus, in a program of its own because libsystemd cannot be linked
 * statically. It is given a unit, talks to systemd, and ends:
 *
 *   vmrt-scope start system|user UNIT SLICE PID DESCRIPTION [NAME=VALUE...]   prints ControlGroup
 *   vmrt-scope set   system|user UNIT [NAME=VALUE...]
 *   vmrt-scope stop  system|user UNIT
 *
 * What goes wrong is one line on stderr.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scope/bus.h"

#define FIXED 4 /* program, verb, manager, unit */

static int start(sd_bus *bus, int argc, char **argv, struct error *err)
{
    struct bus_unit unit;
    struct bus_properties properties;
    char *path = NULL;
    int ret;

    if (argc < FIXED + 3)
        return error_set(err, EINVAL, "start: expected a slice, a pid and a description");
    unit = (struct bus_unit) { .name = argv[3],
                               .slice = argv[FIXED],
                               .pid = (uint32_t)strtoul(argv[FIXED + 1], NULL, 10),
                               .description = argv[FIXED + 2] };
    properties = (struct bus_properties) { argv + FIXED + 3, (size_t)(argc - FIXED - 3) };
    ret = bus_start(bus, &unit, &properties, err);
    if (ret == 0)
        ret = bus_control_group(bus, unit.name, &path, err);
    if (ret == 0)
        puts(path);
    free(path);
    return ret;
}

static int set(sd_bus *bus, int argc, char **argv, struct error *err)
{
    struct bus_properties properties = { argv + FIXED, (size_t)(argc - FIXED) };

    return bus_set(bus, argv[3], &properties, err);
}

static int stop(sd_bus *bus, int argc, char **argv, struct error *err)
{
    (void)argc;
    return bus_stop(bus, argv[3], err);
}

static const struct {
    const char *verb;
    int (*run)(sd_bus *bus, int argc, char **argv, struct error *err);
} verbs[] = { { "start", start }, { "set", set }, { "stop", stop } };

static int run(int argc, char **argv, struct error *err)
{
    sd_bus *bus = NULL;
    int ret;

    for (size_t i = 0; argc >= FIXED && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[1], verbs[i].verb) != 0)
            continue;
        ret = bus_open(strcmp(argv[2], "user") == 0, &bus, err);
        if (ret == 0)
            ret = verbs[i].run(bus, argc, argv, err);
        sd_bus_flush_close_unref(bus);
        return ret;
    }
    return error_set(err, EINVAL, "expected start, set or stop, then system or user and a unit");
}

int main(int argc, char **argv)
{
    struct error err;

    if (run(argc, argv, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}
