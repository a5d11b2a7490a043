/* init's engine: it does what the host says, keeps the containers, and reports how they end. */
#ifndef VMRT_INIT_ENGINE_H
#define VMRT_INIT_ENGINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "init/channel.h"
#include "init/events.h"
#include "init/mounts.h"
#include "init/network.h"
#include "init/resolver.h"

struct container;

/* Where it runs; tests give places of their own. */
struct engine_config {
    int control; /* connection to PORT_CONTROL, non-blocking; not taken over */
    int (*connect_port)(uint32_t port); /* a fresh non-blocking connection, or -errno */
    struct mount_places places;
    int cgroup; /* the root of the cgroup tree, or -1 for none; not taken over */
};

struct engine {
    struct engine_config config;
    struct channel channel;
    struct watch control, signals;
    int epoll;
    uint8_t secret[PROTOCOL_SECRET_SIZE]; /* of SETUP, for stream connections */
    bool shares_mounted;                  /* by virtio-fs, which wants to be flushed at the end */
    struct container *containers;
    struct network network;
    struct resolver resolver;
    pid_t reclaimer; /* child that drops caches, or 0 */
    int fatal;       /* negative errno once the loop has to end */
};

/**
 * engine_init() - set up the loop. SIGCHLD gets blocked and SIGPIPE ignored for the process, which
 * nobody may look into any more (PR_SET_DUMPABLE).
 * Return: 0 or -errno; call engine_destroy() whatever is returned.
 */
int engine_init(struct engine *engine, const struct engine_config *config);

/**
 * engine_run() - say HELLO and serve the host.
 * Return: only when it cannot go on: -ECONNRESET when the host went away, -EPROTO, or -errno.
 */
int engine_run(struct engine *engine, const char *release);

/* Kills what still runs and frees everything. */
void engine_destroy(struct engine *engine);

/* What a send gave: a message that cannot be sent means that the host is gone, and the end. */
void engine_sent(struct engine *engine, int ret);

#endif
