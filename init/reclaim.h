/* Memory given back because the host asks for it. */
#ifndef VMRT_INIT_RECLAIM_H
#define VMRT_INIT_RECLAIM_H

#include <sys/types.h>

/**
 * reclaim_start() - drop what the guest's caches know of files and do not need.
 *
 * For each file known here the host's file server holds a descriptor, and the host's kernel the
 * file's inode (MESSAGE_RECLAIM). Done by a child, since it may take seconds.
 *
 * @path: /proc/sys/vm/drop_caches.
 * Return: the child, which the caller reaps, or -errno.
 */
pid_t reclaim_start(const char *path);

#endif
