/*
 * Control groups by systemd: a transient scope around the container's processes.
 *
 * systemd owns the tree of control groups on its hosts and takes what it does not know for its own;
 * a scope with Delegate= tells it whose this one is. It is asked over D-Bus by a program of its
 * own, vmrt-scope, because libsystemd cannot be linked into static programs; that program runs for
 * milliseconds, and only with --systemd-cgroup.
 */
#ifndef VMRT_OCI_SCOPE_H
#define VMRT_OCI_SCOPE_H

#include <stdbool.h>
#include <sys/types.h>

#include "oci/cgroup.h"

/* What is kept of it. */
struct scope {
    const char *name; /* of the unit; NULL: none */
    bool user;        /* of the user's own manager */
};

struct scope_request {
    const char *id; /* the container's */
    struct cgroup_unit unit;
    pid_t pid;
    bool user; /* of the user's own manager */
    bool v2;
    const struct cgroup_limits *limits;
};

/* Fills in @scope, so that it can be written down before it exists. */
void scope_describe(const struct scope_request *request, struct scope *scope);

/**
 * scope_start() - make the scope, with the process in it.
 * @path: receives its control group, relative to the hierarchy's root.
 * Return: 0, or -errno with what systemd said.
 */
int scope_start(const struct scope_request *request, const struct scope *scope, struct arena *arena,
                const char **path, struct error *err);

/* Tells systemd of changed limits. Return: 0 or -errno. */
int scope_update(const struct scope *scope, bool v2, const struct cgroup_limits *limits,
                 struct error *err);

/* Ends it; one that is gone already is fine. Return: 0 or -errno. */
int scope_stop(const struct scope *scope, struct error *err);

#endif
