/*
 * What a guest says to vmrt-net about its questions: the parser alone, and the whole server, whose
 * questions go to a port of the loopback interface where nobody listens.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hooks/net/queries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As much as its answers fit into a socket that nobody reads. */
#define SERVED_MAX 4096u
/* RFC 863's, which nobody runs any more. */
#define NOBODY 9

static void parse(const uint8_t *data, size_t size)
{
    struct question question;
    uint8_t *exact = malloc(size + !size);
    int ret;

    if (!exact)
        abort();
    if (size)
        memcpy(exact, data, size);
    ret = queries_parse(exact, size, &question);
    if (ret > 0) {
        const uint8_t *end = question.data.data + question.data.length;

        if ((size_t)ret > size || question.data.length < RESOLVER_MESSAGE_MIN ||
            question.data.length > RESOLVER_MESSAGE_MAX || question.data.data < exact ||
            end > exact + ret)
            abort();
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];

    parse(data, size);
    if (size > SERVED_MAX)
        return 0;
    signal(SIGPIPE, SIG_IGN);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        abort();
    if (size && send(ends[1], data, size, 0) != (ssize_t)size)
        abort();
    shutdown(ends[1], SHUT_WR);
    queries_serve(ends[0], htonl(INADDR_LOOPBACK), htons(NOBODY));
    close(ends[0]);
    close(ends[1]);
    return 0;
}
