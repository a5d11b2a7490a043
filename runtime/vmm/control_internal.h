/* Between the parts of the control server: clients, and what they ask for. */
#ifndef VMRT_VMM_CONTROL_INTERNAL_H
#define VMRT_VMM_CONTROL_INTERNAL_H

#include "init/protocol.h"
#include "lib/fd.h"
#include "vmm/control.h"
#include "vmm/control_server.h"

/* A memfd, and 16 interfaces' TAPs of 8 queues each, or what else fits. */
#define FDS_MAX FD_MESSAGE_MAX

enum pause_state { PAUSE_NONE, PAUSE_STOPPING, PAUSE_STOPPED };

struct client {
    struct control_server *server;
    int fd;            /* -1: gone, its request is still being answered */
    uint16_t asked;    /* type of the request that is being answered; 0: none */
    uint32_t sequence; /* of it */
    uint32_t process;  /* a proxy's; 0: not a proxy */
    bool proxy;        /* is or was one: process is 0 once that has ended */
    struct client *next;
};

struct control_server {
    struct control_config config;
    struct client *clients;
    unsigned int client_count;
    bool listening; /* the listening socket is watched */
    int retry_fd;   /* timer: listen again */
    enum pause_state pause;
    uint8_t packet[CONTROL_PACKET_MAX];
};

/* One request: what came in a packet. */
struct packet {
    struct protocol_header header;
    struct protocol_reader fields;
    int fds[FDS_MAX];
    size_t fd_count;
};

/* ---- control_server.c ---- */

/* A message to the client; loses it when the client does not read. Frees the writer's data. */
void control_send(const struct client *client, struct protocol_writer *writer);
/* RESULT: @failure, or success with what the guest or this process has to say. */
void control_answer(const struct client *client, uint32_t sequence, const struct error *failure,
                    struct protocol_reader fields);
/* RESULT: success with nothing more to say. */
void control_done(const struct client *client, uint32_t sequence);
void control_refuse(const struct client *client, uint32_t sequence, int code, const char *text);
/* A request that is answered later, one at a time for each client, by control_end(). */
void control_begin(struct client *client, const struct packet *packet);
/* A session_answer: the client may be gone afterwards. */
void control_end(void *context, const struct error *failure, struct protocol_reader fields);

/* ---- control_requests.c ---- */

/* Answers a packet, now or later. Descriptors that are wanted are taken out of it. */
void control_handle(struct client *client, struct packet *packet);
bool control_is_paused(const struct client *client);

/* ---- control_handover.c: requests that bring descriptors ---- */

void control_handle_exec(struct client *client, struct packet *packet);
void control_handle_network(struct client *client, struct packet *packet);
void control_handle_resolver(struct client *client, struct packet *packet);

#endif
