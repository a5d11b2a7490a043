/* The event loop: epoll with one handler per descriptor. Each thread that loops has its own. */
#ifndef VMRT_VMM_LOOP_H
#define VMRT_VMM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* @events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll_wait(2) gave them. */
typedef void loop_handler(void *context, int fd, uint32_t events);

/* Return: a loop or NULL with errno set. */
struct loop *loop_create(void);
void loop_destroy(struct loop *loop);

/**
 * loop_add() - watch @fd (at most 1 watch per descriptor).
 * @events: EPOLLIN, EPOLLOUT or 0.
 * Return: 0, -EPERM for files that epoll cannot watch (regular files), or -errno.
 */
int loop_add(struct loop *loop, int fd, uint32_t events, loop_handler *handler, void *context);
int loop_modify(struct loop *loop, int fd, uint32_t events);
/* Safe inside any handler: pending events of @fd are dropped. */
void loop_remove(struct loop *loop, int fd);

/* Runs until loop_stop(). Return: 0 or -errno of epoll_wait. */
int loop_run(struct loop *loop);
/* From a handler of the same loop, or before loop_run(), which then returns at once. */
void loop_stop(struct loop *loop);

#endif
