/*
 * Without root's rights: as an ordinary user, or as root of a user namespace (rootless podman).
 *
 * In a user namespace everything is done as by root, with the ids and rights that the namespace
 * has. An ordinary user's container has a user namespace in its config.json; vmrt-vmm is put into
 * it, so that its ids are those of the host's files (oci/idmap.h).
 */
#ifndef VMRT_OCI_ROOTLESS_H
#define VMRT_OCI_ROOTLESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"
#include "oci/plan.h"

/* --rootless: AUTO looks at who is calling. */
enum rootless { ROOTLESS_AUTO, ROOTLESS_YES, ROOTLESS_NO };

/* As runc reads it: "", "auto", and what Go takes for true and false. Return: 0 or -EINVAL. */
int rootless_parse(const char *text, enum rootless *out);

/* Does a uid_map (user_namespaces(7)) show that this is not the initial user namespace? */
bool rootless_is_mapped(const char *uid_map);
/* The same for the calling process. */
bool rootless_in_user_namespace(void);

/* Is a control group that may not be made no reason to give up? */
bool rootless_applies(enum rootless wanted);

/**
 * rootless_root() - the default of --root: as runc, XDG_RUNTIME_DIR for who is not the host's root.
 * @out: receives the path.
 */
void rootless_root(enum rootless wanted, char *out, size_t size);

/**
 * rootless_check_user() - may @process have the user and group that it asks for?
 * @spec: the container's: its user namespace decides, or else that of the caller.
 * Return: 0, or -EINVAL naming an id that the namespace does not have.
 */
int rootless_check_user(const struct spec *spec, const struct spec_process *process,
                        struct error *err);

/**
 * rootless_settle_cgroup() - go without a control group where none may be made.
 *
 * With cgroupsPath the engine has one in mind: then, as with runc, its absence is an error. Limits
 * that the machine keeps by its own size are kept; each is named in a warning.
 *
 * @plan: its limits on the host are lifted when there will be no group.
 * @without: receives whether there will be none.
 * Return: 0, or -errno naming a limit that nothing but a control group could keep.
 */
int rootless_settle_cgroup(struct plan *plan, bool *without, struct error *err);

#endif
