/*
 * Asks a name server for a guest: questions come in as MESSAGE_QUERY, answers go out as
 * MESSAGE_ANSWER.
 *
 * Every question has a socket of its own, so that nothing has to be known about its content, and a
 * time limit. Their number is bounded, those over TCP by a smaller one, because they may be large;
 * when there are more, the oldest is given up. The socket to the guest is written to without
 * regard for how long that takes: a guest that does not read its answers gets none.
 */
#ifndef VMRT_HOOKS_NET_QUERIES_H
#define VMRT_HOOKS_NET_QUERIES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/protocol.h"

#define QUERIES_MAX     512
#define QUERIES_TCP_MAX 32
/*
 * Bytes of a question over UDP; RFC 6891 §6.2.5 speaks of 4096 for what is received. Larger ones
 * are answered with SERVFAIL.
 */
#define QUERIES_UDP_SIZE 4096u
/* dockerd asks up to three servers, 4 s each (libnetwork/resolver.go). */
#define QUERIES_SECONDS 15

/* A question as it came. */
struct question {
    uint32_t sequence;
    bool tcp;
    struct protocol_reader data; /* RESOLVER_MESSAGE_MIN to _MAX bytes */
};

/**
 * queries_parse() - the first message of what a guest has sent.
 * Return: bytes of it with @question filled in, 0 when more must come, -EPROTO for what is none.
 */
int queries_parse(const uint8_t *data, size_t length, struct question *question);

/* Bytes that one message can have at most. */
#define QUERIES_INPUT_MAX (PROTOCOL_HEADER_SIZE + 2 * 8 + 8 + RESOLVER_MESSAGE_MAX)

/**
 * queries_serve() - ask until the guest has gone.
 * @host:    stream socket, non-blocking or not; not taken over.
 * @address: of the name server, network byte order, like @port.
 * Return: 0 at the end of what the guest sends, -EPROTO for what is no question, or -errno.
 */
int queries_serve(int host, in_addr_t address, in_port_t port);

#endif
