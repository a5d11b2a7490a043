/* What vmrt-scope asks of systemd (org.freedesktop.systemd1(5)). */
#ifndef VMRT_SCOPE_BUS_H
#define VMRT_SCOPE_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "lib/error.h"

/* NAME=NUMBER, or NAME=LIST for lists of CPUs and memory nodes. */
struct bus_properties {
    char *const *texts;
    size_t count;
};

struct bus_unit {
    const char *name, *slice, *description;
    uint32_t pid;
};

/**
 * bus_open() - connect to the system's manager, or to the user's own.
 * Return: 0 or -errno.
 */
int bus_open(bool user, sd_bus **bus, struct error *err);

/* StartTransientUnit, and waits for the job. Return: 0 or -errno with what systemd said. */
int bus_start(sd_bus *bus, const struct bus_unit *unit, const struct bus_properties *properties,
              struct error *err);
/* SetUnitProperties, for as long as the unit lives. */
int bus_set(sd_bus *bus, const char *name, const struct bus_properties *properties,
            struct error *err);
/* StopUnit and ResetFailedUnit; a unit that is not there is fine. */
int bus_stop(sd_bus *bus, const char *name, struct error *err);
/* The unit's ControlGroup, which the caller frees. */
int bus_control_group(sd_bus *bus, const char *name, char **path, struct error *err);

/* Appends one property, "(sv)". Return: 0 or -errno (oci: a malformed one is our own bug). */
int bus_put_property(sd_bus_message *message, const char *text, struct error *err);

#endif
