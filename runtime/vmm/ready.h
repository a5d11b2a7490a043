/* The one word to the runtime that started this process: it waits on a pipe for a RESULT. */
#ifndef VMRT_VMM_READY_H
#define VMRT_VMM_READY_H

#include "lib/error.h"

/**
 * ready_tell() - write the RESULT and close the pipe.
 * @fd:      the pipe; -1: nobody waits. Becomes -1.
 * @failure: NULL for success.
 * Return: 0, or -errno when nobody reads any more.
 */
int ready_tell(int *fd, const struct error *failure);

#endif
