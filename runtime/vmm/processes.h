/*
 * The processes of the guest that have streams here: the container's first one, 0, and those of
 * CONTROL_EXEC, 1, 2, 3 …; a number is never used again. Each stream may be claimed by one
 * connection of the guest, once, while its process is expected or runs.
 */
#ifndef VMRT_VMM_PROCESSES_H
#define VMRT_VMM_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "vmm/loop.h"
#include "vmm/stream.h"

/* Streams of all processes together: with the control and nameless connections all the guest can
 * have. */
#define PROCESSES_STREAMS_MAX (VSOCK_CONNECTIONS_MAX - 96u)

struct process;
struct session;

/* What a connection of the guest is: the beginning of its context. */
struct endpoint {
    enum { ENDPOINT_CONTROL, ENDPOINT_NAMELESS, ENDPOINT_STREAM } role;
    struct session *session;
};

/* What becomes of a process is told to whoever asked for it. */
struct process_owner {
    /* It has ended, and what it wrote before has been handed over. */
    void (*exited)(void *context, unsigned int status);
    void *context;
};

/* One claimed stream; the context of its connection. Lives as long as its process. */
struct process_stream {
    struct endpoint endpoint; /* valid once claimed */
    struct stream *stream;    /* NULL: the process has no such stream */
    bool claimed;             /* once: a broken one stays broken */
};

struct process {
    uint32_t number;
    struct process_owner owner; /* exited NULL: nobody waits for it */
    bool running;               /* its exec has succeeded */
    bool ended;                 /* EXIT has come */
    bool finishing;             /* process_finish() was called */
    bool drained;               /* and what it wrote before it has been handed over */
    bool unwanted;              /* its owner has gone: it is to be killed */
    unsigned int status;
    /* Told once it is drained. */
    void (*settled)(void *context, struct process *process);
    void *settled_context;
    struct process *next;
    unsigned int slots; /* of `streams`: STREAM_COUNT and one for each further descriptor */
    struct process_stream streams[];
};

/* What a process has of the host's. */
struct process_descriptors {
    const int *fds; /* stdin, stdout, stderr, or one terminal; then the further ones */
    bool terminal;
    enum stream_ownership ownership; /* of the standard streams; the others are taken */
    const uint8_t *kinds;            /* enum descriptor_kind of each further one */
    size_t further;
};

/* How many descriptors at `fds` there are to be. */
static inline size_t process_descriptor_count(const struct process_descriptors *descriptors)
{
    return (descriptors->terminal ? 1 : STREAM_COUNT) + descriptors->further;
}

struct processes {
    struct loop *loop;
    int proc_fd;
    struct process *first;
    uint32_t next_number;
    unsigned int stream_count;
};

/**
 * processes_add() - a process that is expected.
 * @descriptors: those taken over are closed on failure as well.
 * Return: the process, or NULL with @err; -EAGAIN when there are too many.
 */
struct process *processes_add(struct processes *processes,
                              const struct process_descriptors *descriptors, struct error *err);
/* Breaks the streams of the process and forgets it. Not from one of its own callbacks. */
void processes_remove(struct processes *processes, struct process *process);
/* Forgets those that have ended and whose streams are over. */
void processes_sweep(struct processes *processes);
struct process *processes_find(const struct processes *processes, uint64_t number);
void processes_release(struct processes *processes);

/* Return: the stream that a guest may connect to now, or NULL. */
struct process_stream *processes_claimable(const struct processes *processes, uint64_t process,
                                           uint64_t stream);

/*
 * The process has ended, or the machine has: @settled is called (perhaps at once) when all that has
 * arrived so far has been handed over. Streams that others hold go on.
 */
void process_finish(struct process *process,
                    void (*settled)(void *context, struct process *process), void *context);

#endif
