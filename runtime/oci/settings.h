/*
 * Settings of vmrt itself: one table, four sources.
 *
 * Precedence: VMRT_* in process.env, then the annotation org.vmrt.*, then the host's file, then the
 * default. The host's file also says which settings a container may use and where files that a
 * container names must lie.
 */
#ifndef VMRT_OCI_SETTINGS_H
#define VMRT_OCI_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/arena.h"
#include "lib/error.h"
#include "oci/spec.h"

#define SETTINGS_HOST_FILE "/etc/vmrt/config.json"

enum setting_id {
    SETTING_MEMORY,
    SETTING_CPUS,
    SETTING_KERNEL,
    SETTING_KERNEL_ARGS,
    SETTING_CONSOLE,
    SETTING_NET_VHOST,
    SETTING_NETWORK_MODE,
    SETTING_COUNT,
};

enum setting_source { SETTING_DEFAULT, SETTING_FILE, SETTING_ANNOTATION, SETTING_ENVIRONMENT };

struct setting {
    const char *text; /* the value as given; "" when it has no default */
    uint64_t number;  /* SETTING_MEMORY: MiB; SETTING_CPUS: 0 is "auto";
                       * SETTING_NET_VHOST: 0 or 1 */
    enum setting_source source;
    const char *origin; /* for messages: "VMRT_MEMORY", "annotation org.vmrt.memory", … */
};

struct settings {
    struct setting values[SETTING_COUNT];
    const char **kernel_directories;  /* NULL-terminated; NULL: none */
    const char **console_directories; /* the same for console files */
    struct arena arena;
    struct json host; /* the host's file, which strings above point into */
};

/**
 * settings_load() - gather the settings of one container.
 * @host_file: the host's file; one that does not exist is an empty one.
 * @spec:      where annotations and environment come from; must outlive @settings.
 * @settings:  filled in; call settings_free() whatever is returned.
 *
 * Return: 0, or -errno naming the setting, where it stands and what was expected: an unknown
 * VMRT_*, org.vmrt.* or key of the file, a bad value, one the host does not allow.
 */
int settings_load(const char *host_file, const struct spec *spec, struct settings *settings,
                  struct error *err);
void settings_free(struct settings *settings);

/* Did the container itself ask for it, rather than the host or nobody? */
bool settings_from_container(const struct setting *setting);

/* Is this NAME=VALUE a setting, to be kept from the workload? */
bool settings_is_variable(const char *variable);

/* Prints the table for people, or as Markdown for the documentation. */
void settings_print(FILE *out, bool markdown);

#endif
