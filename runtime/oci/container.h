/*
 * A container as the commands know it: its state directory <root>/<id>, 0700.
 *
 *   state.json    everything below; written first with complete = false, so that whatever a killed
 *                 create left behind can be found and deleted
 *   config.json   the bundle's, as it was at create: the hooks of later are in it
 *   control.sock  vmrt-vmm's
 */
#ifndef VMRT_OCI_CONTAINER_H
#define VMRT_OCI_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/arena.h"
#include "lib/error.h"
#include "lib/json.h"
#include "oci/cgroup.h"
#include "oci/scope.h"
#include "oci/spec.h"

#define CONTAINER_STATE   "state.json"
#define CONTAINER_CONFIG  "config.json"
#define CONTAINER_CONTROL "control.sock"

enum container_status {
    CONTAINER_CREATING,
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_STOPPED,
};

struct container {
    struct arena arena;
    struct json document;  /* state.json, which strings point into */
    int parent, directory; /* <root> and <root>/<id> */
    bool made_root;        /* <root> was not there before */

    const char *id, *oci_version, *bundle, *rootfs, *created;
    struct spec_pair *annotations;
    size_t annotation_count;
    int64_t pid;
    uint64_t start_time; /* field 22 of /proc/PID/stat: tells a pid from its next owner */
    struct cgroup cgroup;
    struct scope scope;   /* its name is NULL without systemd */
    uint32_t memory_mib;  /* RAM of the machine */
    uint32_t cpus;        /* its virtual CPUs */
    bool net_vhost;       /* packets are to be moved by the host's kernel */
    int64_t memory_limit; /* the container's as last asked for, bytes; 0 or less: none */
    bool uplink;          /* to be taken away at the end: see oci/uplink.h */
    bool complete;        /* create has succeeded */
    bool started;         /* start has succeeded */
};

/* Checks an id: [A-Za-z0-9_+.-]+ and not "." or "..". Return: 0 or -EINVAL. */
int container_check_id(const char *id, struct error *err);

/**
 * container_reserve() - make the state directory of a new container.
 * @root: made too when it is not there.
 * @container: call container_close() whatever is returned.
 * Return: 0, -EEXIST when the id is taken, or -errno.
 */
int container_reserve(const char *root, const char *id, struct container *container,
                      struct error *err);

/**
 * container_open() - find an existing container.
 * Return: 0, -ENOENT ("container does not exist"), -EINVAL for a state.json that cannot be read,
 * or -errno.
 */
int container_open(const char *root, const char *id, struct container *container,
                   struct error *err);

/* Writes state.json. Return: 0 or -errno. */
int container_save(const struct container *container, struct error *err);

/* Asks process and vmrt-vmm how it is. */
enum container_status container_status(const struct container *container);
const char *container_status_name(enum container_status status);

/* Who gets the state; each form has what runc puts there. */
enum container_form {
    CONTAINER_FOR_HOOKS, /* the runtime-spec's state */
    CONTAINER_FOR_STATE, /* with rootfs, time and an empty owner */
    CONTAINER_FOR_LIST,  /* with the owner's name */
};

/* Appends the state as a JSON object. */
void container_put_state(yajl_gen gen, const struct container *container,
                         enum container_status status, enum container_form form);
/* The same as text that the caller frees; indented unless it is for hooks. */
char *container_state_text(const struct container *container, enum container_status status,
                           enum container_form form);

/* Ends what systemd knows of it and removes its control group. Return: 0 or -errno. */
int container_remove_cgroup(struct container *container, struct error *err);

/* Removes the state directory and everything in it; and a root that was made for it, once it is
 * the last of it. Return: 0 or -errno.
 */
int container_discard(const char *root, struct container *container, struct error *err);

void container_close(struct container *container);

#endif
