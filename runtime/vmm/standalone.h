/* A container for machines started by hand: from the plan's "root", "args", "env" and "cwd". */
#ifndef VMRT_VMM_STANDALONE_H
#define VMRT_VMM_STANDALONE_H

#include "lib/error.h"
#include "vmm/plan.h"

/**
 * standalone_container() - add share 0 for "root" and write init's messages.
 * @message, @length: receive memory the caller frees; the container runs as root with /proc, /dev
 *                    and /tmp.
 * Return: 0 or -errno.
 */
int standalone_container(struct vm_plan *plan, unsigned char **message, size_t *length,
                         struct error *err);

#endif
