/* A process of a container as init keeps it: its child, its streams, what the host waits for. */
#ifndef VMRT_INIT_PROCESS_H
#define VMRT_INIT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/events.h"
#include "init/failure.h"
#include "init/streams.h"
#include "init/workload.h"

#define PROCESS_STREAMS 3

enum process_state {
    PROCESS_PREPARING, /* the child has not reported yet */
    PROCESS_PREPARED,  /* it waits for START */
    PROCESS_STARTING,  /* START was passed on; the exec has neither succeeded nor failed */
    PROCESS_RUNNING,
    PROCESS_FAILED, /* it reported a failure and is about to end */
};

struct process {
    uint32_t container, id; /* the host's numbers; id 0 is the container's first process */
    enum process_state state;
    pid_t pid; /* 0 once it has been reaped */
    uint8_t status;
    uint32_t sequence; /* of the message whose RESULT is due */
    struct watch report;
    struct stream streams[PROCESS_STREAMS];
};

/* What a new process needs from its surroundings. */
struct process_request {
    struct container_plan *plan;
    const struct mount_places *places;
    int cgroup; /* descriptor of the cgroup to be born in; -1: init's own */
    int epoll;
    int (*connect_port)(uint32_t port); /* a fresh connection to the host, or -errno */
    watch_handler *report;              /* the child reported, or the exec closed its end */
    stream_ended *stream_ended;
};

/**
 * process_spawn() - open the streams and start the child, which begins to prepare itself.
 * @process: container and id are set; must not move in memory afterwards.
 * Return: 0 or -errno; on failure nothing is left behind.
 */
int process_spawn(struct process *process, const struct process_request *request,
                  struct failure *failure);

/**
 * process_read_report() - take one report of the child.
 * Return: 1 with @report filled in, 0 at end of file, -EAGAIN when there is none, or -errno.
 */
int process_read_report(struct process *process, struct report *report);

/* Lets the prepared child exec. Return: 0 or -errno. */
int process_release(struct process *process);

/* Whether a byte of its output can still arrive at the host. */
bool process_has_output(const struct process *process);

/* Closes everything that init holds of @process. */
void process_close(struct process *process);

#endif
