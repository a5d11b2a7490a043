/*
 * What the files of the session share.
 *
 *   session.c              the state machine: from boot to the end
 *   session_messages.c     what init says
 *   session_requests.c     what is asked of a container that runs
 *   session_connections.c  the guest's connections: which is which
 *   session_resolver.c     the two that lead to the engine's name server
 *   processes.c, stream.c  processes and their stdio
 *   channel.c              messages over the control connection
 *
 * Theory of operation. Every request to init has a sequence number of its own: SETUP 1, then the
 * messages of the guest plan, then START, all in this order; then, in any order, those of the
 * control socket. Those are kept in a list with whoever waits for them, so that a RESULT can only
 * ever answer what was asked. What needs the container waits there until it is prepared. The end
 * comes once: the first process has exited, or the machine failed. From then on init is not heard
 * any more, and what has arrived of everybody's output is handed over before the loop stops.
 */
#ifndef VMRT_VMM_SESSION_INTERNAL_H
#define VMRT_VMM_SESSION_INTERNAL_H

#include <sys/types.h>

#include "vmm/channel.h"
#include "vmm/processes.h"
#include "vmm/session.h"

/* Stream connections that have not said yet which stream they are. */
#define NAMELESS_MAX 64

/* Connections of the name server: answers, questions (MESSAGE_RESOLVER). */
#define RESOLVER_STREAMS 2

/* Sequence numbers: SETUP, then the messages of the guest plan, then START, then requests. */
#define SEQUENCE_SETUP 1u
#define SEQUENCE_PLAN  2u

/* Asked of init and not yet answered. */
struct request {
    uint32_t sequence;
    struct process *process; /* EXEC: the one that is expected */
    session_answer *answer;  /* NULL: nobody waits any more */
    void *context;
    struct protocol_writer held; /* its message, not sent before the container is prepared */
    struct request *next;
};

/* A stream connection without a name. */
struct nameless {
    struct endpoint endpoint;
    struct vsock_connection *connection; /* NULL: free */
    bool receive_closed, half_closed;    /* happened before it was claimed */
    uint64_t since;                      /* the higher, the later it came */
};

struct session {
    struct session_config config;
    enum session_state state;
    int status;
    struct error failure; /* SESSION_FAILED */
    struct channel channel;
    struct endpoint control; /* context of the control connection */
    struct nameless nameless[NAMELESS_MAX];
    uint64_t nameless_count;              /* since the beginning */
    uint8_t secret[PROTOCOL_SECRET_SIZE]; /* valid once init was greeted */
    struct processes processes;
    struct process *first;                            /* the container's; always there */
    struct process_stream resolver[RESOLVER_STREAMS]; /* stream NULL: there is none */
    uint32_t plan_count; /* messages of the guest plan, each answered once */
    uint32_t plan_done;
    bool greeted, start_wanted, start_sent;
    session_answer *answer; /* of START */
    void *answer_context;
    struct request *requests;
    uint32_t next_sequence;
    unsigned int rows, columns; /* of the first process's terminal; 0: not known */
    size_t logged;              /* what the guest added to the host's log */
    unsigned int notified;      /* lines passed on to notify_fd */
    pid_t pid;                  /* of this process, which is the container's */
    int grace_fd;               /* timer: how long the end waits for processes besides the first */
    bool grace_over;
    uint8_t *held; /* messages for init that came before it did */
    size_t held_length;
    bool short_of_memory; /* init said that a process was killed for it */
};

/* session.c */

/* The container cannot be had or kept: whoever waits is told, and the machine ends. */
void session_fail(struct session *session, int code, const char *text);
/* Something was handed over: at the end, stops the loop once nothing is worth waiting for. */
void session_settle(struct session *session);
/* Init has come: it gets SETUP, the plan, and what was held for it. */
void session_greet(struct session *session);
/* Sends START if it is wanted and the container is prepared. */
void session_try_start(struct session *session);
/* Tells init the size of the first process's terminal, if it is known. */
void session_send_size(struct session *session);
/* Answers whoever waits for START. @failure: NULL for success. */
void session_answer_start(struct session *session, const struct error *failure);
/* The container is prepared, or cannot be. Return: whether somebody was still waiting to hear it.
 */
bool session_tell_prepared(struct session *session, const struct error *failure);
/* The first process has ended. */
void session_end_with(struct session *session, int status);
/* Sends a message that a writer has built, or fails the session for want of memory. */
void session_send(struct session *session, struct protocol_writer *writer);

/* The same, but not before init has come and got its plan. */
void session_hold(struct session *session, struct protocol_writer *writer);

/* session_messages.c */

/* The control connection has something to read. */
void session_receive(struct session *session);

/* session_requests.c */

/* The container is prepared: sends what has waited for that. */
void session_send_requests(struct session *session);

/* The answer to a request. @failure: NULL for success. Return: false when there is no such one. */
bool session_answer_request(struct session *session, uint32_t sequence, const struct error *failure,
                            struct protocol_reader fields);
/* The end has come: all that is not answered yet is answered by @why. */
void session_answer_all(struct session *session, const struct error *why);
/* EXIT of a process that is not the first. */
void session_exec_exited(struct session *session, struct process *process, unsigned int status);
/* The machine ends: owners that know of no end yet and whose process has one are told. */
void session_tell_exits(struct session *session);

/* session_resolver.c */

/* The stream of that number if there is one that nobody has named yet, or NULL. */
struct process_stream *session_resolver_claimable(struct session *session, uint64_t number);
/* Ends both streams, the guest's connections with them. */
void session_close_resolver(struct session *session);

/* session_connections.c */

/* Looks for names in all that has arrived. */
void session_claim_all(struct session *session);

#endif
