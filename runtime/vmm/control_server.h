/* The side of the control socket that vmrt-vmm is on. */
#ifndef VMRT_VMM_CONTROL_SERVER_H
#define VMRT_VMM_CONTROL_SERVER_H

#include "lib/error.h"
#include "vmm/loop.h"
#include "vmm/session.h"

struct control_server;

struct control_config {
    struct loop *loop;
    int listen_fd; /* not taken over */
    struct session *session;
    /* Begins to stop the vCPUs; control_server_paused() is called once none runs. */
    void (*pause)(void *context);
    /* Lets them go; also before all have stopped. */
    void (*resume)(void *context);
    /*
     * Makes devices of the interfaces that @message, one MESSAGE_NETWORK, describes, and fills in
     * their slots. @fds: their TAPs, taken over whatever is returned. Return: 0 or -errno.
     */
    int (*network)(void *context, uint8_t *message, size_t length, const int *fds, size_t fd_count,
                   struct error *err);
    /* The guest has answered such a message, or never will: once for each that succeeded. */
    void (*network_answered)(void *context);
    void *context;
};

/* Serves listen_fd in the loop until the process ends. Return: 0 or -errno. */
int control_server_create(struct control_server **server, const struct control_config *config,
                          struct error *err);
/* For tests: closes all connections and frees everything. */
void control_server_destroy(struct control_server *server);

/**
 * control_server_part() - let the proxies end before this process does.
 *
 * Engines forget a container at its end, and with it the ends of its further processes that come
 * later: with runc there are none, because the kernel ends all of a PID namespace before its first
 * process (pid_namespaces(7)). Waits until they have hung up, a second at most.
 */
void control_server_part(struct control_server *server);

/* No vCPU runs any more. */
void control_server_paused(struct control_server *server);

#endif
