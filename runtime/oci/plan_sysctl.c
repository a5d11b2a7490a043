/*
 * linux.sysctl: what belongs to a namespace of the container, as runc checks it. The guest's kernel
 * serves this container alone and could take the rest as well; a configuration that works here is
 * to work elsewhere, and the other way round.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "oci/plan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Whole names, and prefixes that end in a dot. */
static const char *const allowed[] = {
    "kernel.msgmax",     "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
    "kernel.shmall",     "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
    "kernel.domainname", "fs.mqueue.",    "net.",
};

/* sysctl(8): where a slash comes first, slashes separate and dots are part of names. */
static int normalize(const char *key, char *out, size_t size)
{
    size_t first = strcspn(key, "./");

    if ((size_t)snprintf(out, size, "%s", key) >= size)
        return -ENAMETOOLONG;
    if (key[first] != '/')
        return 0;
    for (char *c = out; *c; c++)
        *c = (char)(*c == '/' ? '.' : *c == '.' ? '/' : *c);
    return 0;
}

static bool is_allowed(const char *key)
{
    for (size_t i = 0; i < COUNT(allowed); i++) {
        size_t length = strlen(allowed[i]);

        if (allowed[i][length - 1] == '.' ? strncmp(key, allowed[i], length) == 0
                                          : strcmp(key, allowed[i]) == 0)
            return true;
    }
    return false;
}

int plan_check_sysctl(const struct spec *spec, struct error *err)
{
    for (size_t i = 0; i < spec->sysctl_count; i++) {
        char key[NAME_MAX];

        if (normalize(spec->sysctl[i].key, key, sizeof(key)) < 0)
            return error_set(err, ENAMETOOLONG,
                             "config.json: linux.sysctl: \"%.40s...\" is too long",
                             spec->sysctl[i].key);
        /* runc's words for both. */
        if (strcmp(key, "kernel.hostname") == 0)
            return error_set(err, EINVAL,
                             "config.json: linux.sysctl: sysctl \"%s\" is not allowed as it "
                             "conflicts with the OCI \"hostname\" field",
                             key);
        if (!is_allowed(key))
            return error_set(err, EINVAL,
                             "config.json: linux.sysctl: sysctl \"%s\" is not in a separate kernel "
                             "namespace",
                             key);
    }
    return 0;
}
