/*
 * Docker's name server for the workload. In a container on a user-defined network resolv.conf names
 * 127.0.0.11, where dockerd answers inside the container's network namespace; that namespace is on
 * the host. So init answers in the guest, at the same address, with what the host's server says:
 *
 *   workload ── 127.0.0.11:53 ─▶ init ── vsock ─▶ vmrt-vmm ─▶ vmrt-net ── 127.0.0.11:53 ─▶ dockerd
 *
 * init listens on a port of the kernel's choice, as dockerd does, and steer.h leads there. Every
 * question, over UDP or TCP, is one MESSAGE_QUERY, and its answer one MESSAGE_ANSWER. Nothing here
 * waits, and everything is bounded: when the host does not take questions none are read, and when
 * too many are open the oldest are forgotten; whoever asked asks again (RFC 1035 §4.2.1).
 */
#ifndef VMRT_INIT_RESOLVER_H
#define VMRT_INIT_RESOLVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "init/channel.h"
#include "init/events.h"
#include "init/failure.h"
#include "init/steer.h"

/* Questions that wait for their answer; connections over TCP. */
#define RESOLVER_OPEN_MAX    512
#define RESOLVER_CLIENTS_MAX 64

struct resolver_config {
    int epoll;
    int (*connect_port)(uint32_t port); /* a fresh non-blocking connection, or -errno */
    const uint8_t *secret;              /* PROTOCOL_SECRET_SIZE bytes */
    int cgroup;                         /* the root of the cgroup tree, or -1 for none */
};

struct resolver;

/* A connection of the workload's; one question at a time, in order. */
struct resolver_client {
    struct watch watch; /* fd -1: free */
    struct resolver *resolver;
    uint64_t since;  /* the higher, the later it did something */
    uint32_t asked;  /* sequence of its question; 0: none */
    bool answering;  /* the buffer holds an answer, else a question: length and message */
    uint8_t *buffer; /* NULL: nothing yet */
    size_t have, size;
};

/* Who asked. */
struct resolver_open {
    uint32_t sequence; /* 0: free */
    struct sockaddr_in address;
    int client; /* over TCP: which; -1: UDP */
};

struct resolver {
    struct resolver_config config;
    struct steer steer;
    uint16_t port; /* of both listeners */
    struct watch udp, listener;
    struct watch questions, answers; /* connections to the host */
    struct channel inbound;
    struct protocol_writer out; /* the last question */
    size_t sent;                /* bytes of it; less than its length: the host is slow */
    uint32_t sequence;
    uint64_t events;
    struct resolver_client clients[RESOLVER_CLIENTS_MAX];
    struct resolver_open open[RESOLVER_OPEN_MAX];
};

/* To begin with: nothing is open. */
void resolver_init(struct resolver *resolver);

/**
 * resolver_start() - answer at RESOLVER_ADDRESS, RESOLVER_PORT from now on. If it does already, it
 * begins anew.
 * @resolver: must not move in memory until resolver_stop().
 * Return: 0 or a negative errno with @failure; then it does not answer.
 */
int resolver_start(struct resolver *resolver, const struct resolver_config *config,
                   struct failure *failure);

/* Harmless when it does not run. It stops by itself when the host ends a connection. */
void resolver_stop(struct resolver *resolver);

#endif
