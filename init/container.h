/* A container of the machine: its processes from clone to EXIT, and what surrounds them. */
#ifndef VMRT_INIT_CONTAINER_H
#define VMRT_INIT_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/failure.h"
#include "init/plan.h"
#include "init/process.h"

struct engine;

struct container {
    struct container *next;
    struct engine *engine;
    uint32_t id; /* the host's number */
    char *name;  /* its id, and the name of its cgroup */
    int cgroup;  /* descriptor of its directory; -1: none */
    bool user_namespace, time_namespace;
    struct list uid_map;     /* of struct id_map_plan */
    struct list sysctls;     /* of struct setting_plan: the network's, for START */
    struct process first;    /* FIELD_PROCESS 0 */
    struct process *further; /* those of MESSAGE_EXEC */
    struct watch oom;        /* memory.events of the cgroup */
    uint64_t oom_kills;      /* that the host knows of */
    struct watch notify;     /* its NOTIFY_SOCKET */
    struct watch grace;      /* runs out when streams of an EXEC have held it long enough */
};

struct container *container_find(const struct engine *engine, uint32_t id);

/**
 * container_create() - make a container and have its first process prepare itself.
 * @sequence: of the message whose RESULT is sent when that is done.
 * Return: 0, or -errno with nothing left behind and no RESULT sent.
 */
int container_create(struct engine *engine, uint32_t id, uint32_t sequence,
                     struct container_plan *plan, struct failure *failure);

/* Starts a further process, likewise. */
int container_exec(struct container *container, uint32_t process, uint32_t sequence,
                   struct process_plan *plan, struct failure *failure);

/* Lets the prepared first process exec, likewise. */
int container_start(struct container *container, uint32_t sequence, struct failure *failure);

/* Return: the process of that number, or NULL. */
struct process *container_process(struct container *container, uint32_t id);

/* A child of init has ended; it may be anybody's. */
void container_reap(struct engine *engine, pid_t pid, int status);

/* Kills what still runs in it and frees it. */
void container_destroy(struct container *container);

#endif
