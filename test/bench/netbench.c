/*
 * Load and answers for test/bench/network.py: one static program, the same in every contender.
 *
 *   netbench shell PORT                    a shell for each connection
 *   netbench echo PORT                     sends back what it gets
 *   netbench rr HOST PORT SECONDS          one byte there and back: transactions a second
 *   netbench http HOST PORT keep|new CONNECTIONS SECONDS    GET /file: requests a second
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in address_of(const char *host, const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        errx(1, "%s is no IPv4 address", host);
    return address;
}

static int connect_to(const char *host, const char *port)
{
    struct sockaddr_in address = address_of(host, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        err(1, "connect to %s port %s", host, port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void serve(const char *port, void (*handle)(int fd))
{
    struct sockaddr_in address = address_of("0.0.0.0", port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    signal(SIGCHLD, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 64) < 0)
        err(1, "listen on port %s", port);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            err(1, "accept");
        if (fork() == 0) {
            signal(SIGCHLD, SIG_DFL);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            handle(fd);
            _exit(0);
        }
        close(fd);
    }
}

static void shell(int fd)
{
    for (int i = 0; i < 3; i++)
        dup2(fd, i);
    close(fd);
    execl("/bin/sh", "sh", (char *)NULL);
    err(1, "/bin/sh");
}

static void echo(int fd)
{
    char buffer[4096];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        if (write(fd, buffer, (size_t)n) != n)
            return;
}

static void round_trips(const char *host, const char *port, double seconds)
{
    int fd = connect_to(host, port);
    double begin = now(), end = begin + seconds, t = begin;
    unsigned long count = 0;
    char byte = 'x';

    for (; t < end; t = now(), count++)
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            err(1, "round trip");
    printf("%.1f\n", (double)count / (t - begin));
}

/* One answer, to its end: by its length, or the connection's. Return: whether it was whole. */
static bool read_answer(int fd, bool keep)
{
    char buffer[65536];
    size_t have = 0, want = 0;
    ssize_t n;

    while ((n = read(fd, buffer + have, sizeof(buffer) - 1 - have)) > 0) {
        const char *body, *length;

        have += (size_t)n;
        buffer[have] = '\0';
        body = strstr(buffer, "\r\n\r\n");
        length = strstr(buffer, "Content-Length: ");
        if (body && length)
            want = (size_t)(body + 4 - buffer) + (size_t)atol(length + 16);
        if (keep && want && have >= want)
            return have == want;
    }
    return n == 0 && !keep && want && have == want;
}

static unsigned long requests(const char *host, const char *port, bool keep, double seconds)
{
    char text[256];
    double end = now() + seconds;
    unsigned long count = 0;
    int fd = -1, length;

    length = snprintf(text, sizeof(text), "GET /file HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n",
                      keep ? "keep-alive" : "close");
    for (; now() < end; count++) {
        if (fd < 0)
            fd = connect_to(host, port);
        if (write(fd, text, (size_t)length) != length || !read_answer(fd, keep))
            errx(1, "an answer that is not whole after %lu requests", count);
        if (!keep) {
            close(fd);
            fd = -1;
        }
    }
    return count;
}

static void load(const char *host, const char *port, bool keep, int connections, double seconds)
{
    unsigned long sum = 0, one;
    double begin = now();
    int ends[2], status;

    if (pipe(ends) < 0)
        err(1, "pipe");
    for (int i = 0; i < connections; i++)
        if (fork() == 0) {
            one = requests(host, port, keep, seconds);
            _exit(write(ends[1], &one, sizeof(one)) != sizeof(one));
        }
    for (int i = 0; i < connections; i++)
        if (wait(&status) < 0 || status != 0)
            errx(1, "a connection failed");
    begin = now() - begin;
    for (int i = 0; i < connections; i++)
        if (read(ends[0], &one, sizeof(one)) == sizeof(one))
            sum += one;
    printf("%.1f\n", (double)sum / begin);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "shell") == 0)
        serve(argv[2], shell);
    else if (argc == 3 && strcmp(argv[1], "echo") == 0)
        serve(argv[2], echo);
    else if (argc == 5 && strcmp(argv[1], "rr") == 0)
        round_trips(argv[2], argv[3], atof(argv[4]));
    else if (argc == 7 && strcmp(argv[1], "http") == 0)
        load(argv[2], argv[3], strcmp(argv[4], "keep") == 0, atoi(argv[5]), atof(argv[6]));
    else
        errx(2, "usage: netbench shell|echo PORT, rr HOST PORT SECONDS, "
                "http HOST PORT keep|new CONNECTIONS SECONDS");
    return 0;
}
