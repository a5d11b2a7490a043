/*
 * The conversation with init: boots into a container, starts its process, learns how it ended.
 *
 * All of it runs in the main loop's thread. What init sends is hostile input: bounded, checked,
 * and never more than the end of this one machine.
 */
#ifndef VMRT_VMM_SESSION_H
#define VMRT_VMM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "vmm/loop.h"
#include "vmm/virtio/vsock.h"

/* Exit status of vmrt-vmm when the machine, not the workload, failed. */
#define SESSION_STATUS_FAILED 125

enum session_state {
    SESSION_BOOTING, /* waiting for init's HELLO, or for it to prepare the container */
    SESSION_CREATED, /* prepared, waits to be started */
    SESSION_RUNNING, /* the exec succeeded */
    SESSION_EXITED,  /* the process is over; its output is being drained */
    SESSION_FAILED,  /* the container could not be prepared or started */
};

struct session;

/* Answer to session_start(): @failure NULL for success. */
typedef void session_answer(void *context, const struct error *failure);

struct session_config {
    struct loop *loop;
    const uint8_t *guest_plan; /* messages for init, concatenated; owned by the caller */
    size_t guest_plan_length;
    bool has_shares; /* a virtio-fs device with SESSION_SHARE_TAG exists */
    bool autostart;  /* start without being asked */
    int proc_fd;     /* /proc/self/fd, for stdio */
    /* init said HELLO: attach late devices. Return: bit n set = bind slot n. May be NULL. */
    uint64_t (*attach_late)(void *context);
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

/* The machine ended by itself for the reason @why. */
void session_machine_ended(struct session *session, const char *why);

enum session_state session_state(const struct session *session);
/* Valid once the loop has stopped: 0..255. */
int session_status(const struct session *session);

#endif
