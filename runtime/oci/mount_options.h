/* Mount options of config.json: flags, propagation, and what is left for the filesystem. */
#ifndef VMRT_OCI_MOUNT_OPTIONS_H
#define VMRT_OCI_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/error.h"

struct mount_options {
    uint64_t flags;       /* MS_* without MS_BIND and MS_REC */
    uint64_t cleared;     /* those that were asked not to be */
    bool bind, recursive; /* bind or rbind was among them */
    uint64_t propagation; /* MS_PRIVATE or MS_SLAVE, with MS_REC or not; 0: not given */
    uint64_t attributes, attributes_clear; /* MOUNT_ATTR_* for the whole tree */
    bool copyup;                           /* tmpcopyup */
    const char *data;                      /* comma-separated; NULL: nothing left */
};

/**
 * mount_options_parse() - sort the options of one mount.
 * @options: NULL or NULL-terminated.
 * @where:   "config.json: mounts[3]", for messages.
 * Return: 0, or -ENOTSUP for one that a virtual machine cannot honour.
 */
int mount_options_parse(const char *const *options, const char *where, struct mount_options *parsed,
                        struct arena *arena, struct error *err);

/* Names of the options that are accepted, one by one; NULL beyond the last. */
const char *mount_options_name(unsigned int index);

#endif
