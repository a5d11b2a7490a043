/* The clone of a child into the namespaces and the cgroup it is to live in. */
#ifndef VMRT_INIT_BIRTH_H
#define VMRT_INIT_BIRTH_H

#include <stdint.h>
#include <sys/types.h>

#include "init/failure.h"
#include "init/fields.h"

struct birth {
    uint64_t namespaces;             /* CLONE_NEW* that are made */
    const struct list *time_offsets; /* of struct time_offset_plan; with CLONE_NEWTIME */
    int cgroup;                      /* descriptor of its directory; -1: init's own */
    int join; /* pidfd of a process whose PID namespace it is born in; -1: init's */
};

/**
 * birth_clone() - as fork(2).
 * Return: the pid, 0 in the child, or -errno; -EBUSY: the cgroup takes no processes.
 */
pid_t birth_clone(const struct birth *birth, struct failure *failure);

#endif
