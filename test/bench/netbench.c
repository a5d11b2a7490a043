/*
 * Load and answers for test/bench/network.py: one static program, the same in every contender.
 *
 *   netbench shell PORT                    a shell for each connection
 *   netbench echo PORT                     sends back what it gets
 *   netbench rr HOST PORT SECONDS          one byte there and back: transactions a second
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "shell") == 0)
        serve(argv[2], shell);
    else if (argc == 3 && strcmp(argv[1], "echo") == 0)
        serve(argv[2], echo);
    else if (argc == 5 && strcmp(argv[1], "rr") == 0)
        round_trips(argv[2], argv[3], atof(argv[4]));
    else
        errx(2, "usage: netbench shell|echo PORT, rr HOST PORT SECONDS");
    return 0;
}
