/* The child between clone and exec: its state, and the steps that several kinds of child share. */
#ifndef VMRT_INIT_CHILD_H
#define VMRT_INIT_CHILD_H

#include <stdbool.h>

#include "init/failure.h"
#include "init/protocol.h"
#include "init/workload.h"

/* Beyond all that the process itself may have. */
#define CHILD_REPORT_FD (3 + (int)PROTOCOL_DESCRIPTORS_MAX)
#define CHILD_JOIN_FD   (CHILD_REPORT_FD + 1)

struct child {
    const struct workload *given;
    struct process_plan *process;
    struct container_plan *plan;           /* NULL: it joins a container */
    int stdio[3];                          /* -1: it has a terminal */
    int further[PROTOCOL_DESCRIPTORS_MAX]; /* what becomes its descriptors 3, 4 … */
    int root; /* O_PATH of the root filesystem while init's tree is the root */
};

typedef int child_step(struct child *child, struct failure *failure);

/* Tells init; @fd is sent along unless it is -1. */
void child_report(enum report_kind kind, const struct failure *failure, int fd);

/* Waits for init. Return: 0, or -EPIPE when init gave up. */
int child_wait(void);

/* Becomes user and group 0 of the user namespace it is in. */
int child_become_root(struct failure *failure);

/* Its descriptors from 3 on are to survive the exec. */
int child_keep_descriptors(struct child *child, struct failure *failure);

/* Opens its terminal below @root, hands it to init and takes it. */
int child_make_terminal(struct child *child, int root, bool console, struct failure *failure);

/* Steps that make the container (build.c); the table ends with NULL. */
extern child_step *const build_steps[];
/* Steps that join one (join.c). */
extern child_step *const join_steps[];
/* Steps that make it the process that was asked for (become.c). */
extern child_step *const become_steps[];

/* Comes back only when it failed (become.c). */
int become_exec(struct child *child, struct failure *failure);

#endif
