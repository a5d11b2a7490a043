/*
 * Who works on a network namespace: a lock that lasts as long as the process and those that it
 * forks, however they end. It lies on the namespace itself (flock(2) of /proc/self/ns/net), so that
 * nothing stays on disk and nobody needs a name for it.
 */
#ifndef VMRT_HOOKS_NET_HOLD_H
#define VMRT_HOOKS_NET_HOLD_H

/**
 * hold_take() - take the lock of the namespace that the caller is in.
 * @wait_ms: how long another one may take to let go of it.
 * Return: a descriptor whose end is the lock's, -EWOULDBLOCK when another one has it, or a negative
 * errno.
 */
int hold_take(int wait_ms);

#endif
