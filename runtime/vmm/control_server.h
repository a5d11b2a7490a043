/* The side of the control socket that vmrt-vmm is on. */
#ifndef VMRT_VMM_CONTROL_SERVER_H
#define VMRT_VMM_CONTROL_SERVER_H

#include "lib/error.h"
#include "vmm/loop.h"
#include "vmm/session.h"

struct control_server;

/* Serves @listen_fd in @loop until the process ends. Return: 0 or -errno. */
int control_server_create(struct control_server **server, struct loop *loop, int listen_fd,
                          struct session *session, struct error *err);

#endif
