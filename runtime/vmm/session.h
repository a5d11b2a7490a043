/*
 * The conversation with init: boots into a container, starts its process, runs further ones in it,
 * learns how they ended.
 *
 * All of it runs in the main loop's thread. What init sends is hostile input: bounded, checked,
 * and never more than the end of this one machine.
 */
#ifndef VMRT_VMM_SESSION_H
#define VMRT_VMM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "init/protocol.h"
#include "lib/error.h"
#include "vmm/loop.h"
#include "vmm/virtio/vsock.h"

/* Exit status of vmrt-vmm when the machine, not the workload, failed. */
#define SESSION_STATUS_FAILED 125

enum session_state {
    SESSION_BOOTING, /* waiting for init's HELLO, or for it to prepare the container */
    SESSION_CREATED, /* prepared, waits to be started */
    SESSION_RUNNING, /* the exec succeeded */
    SESSION_EXITED,  /* the process is over; output is being drained */
    SESSION_FAILED,  /* the container could not be had or kept; likewise */
};

struct session;

/* Answer to a request: @failure NULL for success, then @fields are what the guest says with it. */
typedef void session_answer(void *context, const struct error *failure,
                            struct protocol_reader fields);

struct session_config {
    struct loop *loop;
    const uint8_t *guest_plan; /* messages for init, concatenated; owned by the caller */
    size_t guest_plan_length;
    bool has_shares;    /* a virtio-fs device with SESSION_SHARE_TAG exists */
    bool autostart;     /* start without being asked */
    bool terminal;      /* descriptor 0 is a terminal and all of the first process's stdio */
    const int *further; /* what it has beyond stdio; taken over */
    const uint8_t *further_kinds; /* enum descriptor_kind of each */
    size_t further_count;         /* at most PROTOCOL_DESCRIPTORS_MAX */
    int proc_fd;                  /* /proc/self/fd, for stdio */
    int notify_fd; /* datagram socket for what the container says about its readiness; or -1 */
    /* init said HELLO: attach late devices. Return: bit n set = bind slot n. May be NULL. */
    uint64_t (*attach_late)(void *context);
    /* The container is prepared, or @failure says why it cannot be. Once. May be NULL. */
    void (*prepared)(void *context, const struct error *failure);
    /* The exec succeeded. May be NULL. */
    void (*started)(void *context);
    void *context;
};

#define SESSION_SHARE_TAG "vmrt"

/* Return: 0 or -errno; -EPROTO when the guest plan is malformed. */
int session_create(struct session **session, const struct session_config *config,
                   struct error *err);
void session_destroy(struct session *session);

/* What the vsock device calls; its service context is the session. */
extern const struct vsock_service session_service;

/**
 * session_start() - exec the container's process, as soon as the guest is that far.
 * @answer: called exactly once, perhaps before this returns.
 */
void session_start(struct session *session, session_answer *answer, void *context);

/* Passes a signal to the container's first process; before the exec it ends the machine, as a
 * signal would end a runtime's waiting process. @all: to every process. */
void session_signal(struct session *session, unsigned int signal, bool all);

/* Ends the machine as SIGKILL ends a process, whatever the guest does. */
void session_kill(struct session *session);

/* The size of the first process's terminal; remembered until there is such a process. */
void session_resize(struct session *session, unsigned int rows, unsigned int columns);

/* A further process: what CONTROL_EXEC brought. */
struct session_exec {
    const uint8_t *message; /* one whole MESSAGE_EXEC; the caller keeps it */
    size_t length;          /* of it, bytes */
    const int *fds;         /* taken over, whatever is returned */
    size_t fd_count;
    session_answer *answer; /* called exactly once, not before session_exec() returns */
    /* After success: it has ended, its output has been handed over. Once, unless the machine ends.
     */
    void (*exited)(void *context, unsigned int status);
    void *context;
};

/**
 * session_exec() - run a process in the container.
 * @number: receives its number, for the calls below; they ignore one that is gone.
 * Return: 0, -EPROTO when the message is none, -EINVAL when the container does not run or the
 * number of descriptors is wrong, -EAGAIN when there are too many processes, or -errno; then
 * nothing is called.
 */
int session_exec(struct session *session, const struct session_exec *exec, uint32_t *number,
                 struct error *err);
void session_exec_signal(struct session *session, uint32_t number, unsigned int signal);
void session_exec_resize(struct session *session, uint32_t number, unsigned int rows,
                         unsigned int columns);
/* Whoever asked for it has gone: nothing is called any more, and the process is killed. */
void session_exec_abandon(struct session *session, uint32_t number);

/**
 * session_ask() - pass a request on to init and its answer back.
 * @type:   MESSAGE_STATS, MESSAGE_UPDATE or MESSAGE_NETWORK; the last may be asked for while the
 *          guest still boots.
 * @fields: of the message; checked by init.
 * @answer: called exactly once, perhaps before this returns; -EAGAIN for statistics of a guest that
 *          does not take what it was sent before.
 */
void session_ask(struct session *session, uint16_t type, struct protocol_reader fields,
                 session_answer *answer, void *context);

/*
 * Whoever asked with @context by session_ask() has gone: @answer is not called any more, and
 * nothing is kept for an answer that may never come. What was asked for happens all the same.
 */
void session_ask_abandon(struct session *session, const void *context);

/* Asks the guest to give back what its caches of files hold; no answer. Nothing before it is up. */
void session_reclaim(struct session *session);

/**
 * session_set_resolver() - let the guest's init talk to whoever has the other end of @fd, as it
 * does over stdio: nothing is looked into, nothing is kept beyond what a stream keeps.
 * @fd: a stream socket; taken over, whatever is returned. One that was set before is closed, and
 *      the guest's connections to it break.
 * Return: 0, -ENOTSOCK, or -errno.
 */
int session_set_resolver(struct session *session, int fd, struct error *err);

/* The machine ended by itself for the reason @why. */
void session_machine_ended(struct session *session, const char *why);

enum session_state session_state(const struct session *session);
/* The first process was killed, and the guest was short of memory. */
bool session_out_of_memory(const struct session *session);
/* Valid once the loop has stopped: 0..255. */
int session_status(const struct session *session);

#endif
