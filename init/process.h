/* A process of a container as init keeps it: its child, its streams, what the host waits for. */
#ifndef VMRT_INIT_PROCESS_H
#define VMRT_INIT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/events.h"
#include "init/failure.h"
#include "init/streams.h"
#include "init/terminal.h"
#include "init/workload.h"

#define PROCESS_STREAMS 3

enum process_state {
    PROCESS_PREPARING, /* the child has not reported yet */
    PROCESS_PREPARED,  /* it waits for START */
    PROCESS_STARTING,  /* the exec has neither succeeded nor failed */
    PROCESS_RUNNING,
    PROCESS_FAILED, /* it reported a failure and is about to end */
    PROCESS_EXITED, /* the host has its EXIT; streams may go on */
};

struct container;

struct process {
    struct process *next;
    struct container *container;
    uint32_t id; /* the host's number; 0 is the container's first process */
    enum process_state state;
    pid_t pid; /* 0 once it has been reaped */
    uint8_t status;
    uint32_t sequence;      /* of the message whose RESULT is due */
    uint16_t rows, columns; /* of the terminal, in case it is changed before there is one */
    struct watch report;
    struct stream streams[PROCESS_STREAMS];
    struct stream *further; /* of descriptors 3, 4 …; a socket is the workload's alone */
    unsigned int further_count;
    struct terminal terminal;
    int host[2]; /* connections that wait for the terminal; -1: none */
};

/* What a new process needs from its surroundings. */
struct process_request {
    /* All but the descriptors, which are filled in. A plan: it is the first of its container. */
    struct workload workload;
    pid_t join;                 /* the first process, when there is no plan */
    const struct list *uid_map; /* of struct id_map_plan */
    int cgroup;                 /* descriptor of the container's cgroup; -1: init's own */
    int epoll;
    int (*connect_port)(uint32_t port); /* a fresh connection to the host, or -errno */
    const uint8_t *secret;              /* what makes the host believe that it is init's */
    watch_handler *report;              /* the child reported, or the exec closed its end */
    stream_changed *stream_changed;
    terminal_changed *terminal_changed;
};

/* A process without anything, of the number @id. */
void process_init(struct process *process, struct container *container, uint32_t id,
                  uint32_t sequence);

/**
 * process_spawn() - open the streams and start the child, which begins to prepare itself.
 * @process: must not move in memory afterwards.
 * Return: 0 or -errno; on failure nothing is left behind.
 */
int process_spawn(struct process *process, const struct process_request *request,
                  struct failure *failure);

/**
 * process_read_report() - take one report of the child.
 * @master: the terminal that came with a REPORT_TERMINAL, else -1; the caller's to close.
 * Return: 1 with @report filled in, 0 at end of file, -EAGAIN when there is none, or -errno.
 */
int process_read_report(struct process *process, struct report *report, int *master);

/* Lets the waiting child go on. Return: 0 or -errno. */
int process_release(struct process *process);

/* Connects the terminal @master, which is taken over, with the host. Return: 0 or -errno. */
int process_start_terminal(struct process *process, int epoll, int master,
                           terminal_changed *changed);

/* The size of the terminal, now or once there is one. */
void process_resize(struct process *process, uint16_t rows, uint16_t columns);

/* The first process has ended: nobody is left who would read. */
void process_stop_input(struct process *process);

/* Whether a byte of its output can still arrive at the host. */
bool process_has_output(const struct process *process);

/* The process has ended: notes what it has written, see process_is_settled(). */
void process_settle(struct process *process);

/* Whether all that it had written when it ended is with the host. */
bool process_is_settled(const struct process *process);

/* Whether any of its streams still goes on. */
bool process_has_streams(const struct process *process);

/* Closes its streams at once. */
void process_cut_streams(struct process *process);

/* Closes everything that init holds of @process. */
void process_close(struct process *process);

#endif
