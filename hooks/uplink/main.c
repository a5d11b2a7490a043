/*
 * vmrt-uplink: a way out through the host for a container that asked for the host's network.
 *
 * Its privileges are those of vmrt: the tools that it runs need them, and everything that it reads
 * is the host's own.
 */
#include <build.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/net/sysctl.h"
#include "lib/error.h"
#include "link.h"
#include "rules.h"

#define FORWARD "net/ipv4/ip_forward"

static void print_help(void)
{
    puts("Usage: vmrt-uplink add TAG FD\n"
         "       vmrt-uplink remove TAG\n"
         "       vmrt-uplink --help | --version\n\n"
         "add     connects the network namespace FD with the host: a veth pair with a private\n"
         "        network, a default route, and rules that let it out under the host's address.\n"
         "        What was changed on the host beside that stands on stdout, one line each.\n"
         "remove  takes the rules of TAG away, and fails only if some remain; the veth pair ends\n"
         "        with its namespace\n\n"
         "TAG names chains and tables of the packet filter: letters, digits and \"-\".");
}

static int check_tag(const char *tag, struct error *err)
{
    size_t length = strlen(tag);

    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)tag[i]) && tag[i] != '-')
            length = 0;
    if (length == 0 || length > RULES_TAG_MAX || !isalpha((unsigned char)tag[0]))
        return error_set(err, EINVAL, "\"%s\" is not a tag: letters, digits and \"-\", at most %d",
                         tag, RULES_TAG_MAX);
    return 0;
}

static int forward_packets(struct error *err)
{
    char value[SYSCTL_VALUE_MAX];
    int ret = sysctl_read(FORWARD, value);

    if (ret == 0 && strcmp(value, "0") != 0)
        return 0;
    if (ret == 0)
        ret = sysctl_write(FORWARD, "1");
    if (ret < 0)
        return error_set(err, -ret, "sysctl net.ipv4.ip_forward: %s", strerror(-ret));
    puts("net.ipv4.ip_forward was 0 and is 1 now");
    return 0;
}

static int add(const char *tag, const char *namespace, struct error *err)
{
    char *end;
    unsigned long fd = strtoul(namespace, &end, 10);
    struct link link = { 0 };
    int ret;

    if (!isdigit((unsigned char)namespace[0]) || *end || fd > 1 << 20 ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(err, EINVAL, "\"%s\" is not an open descriptor", namespace);
    ret = link_make((int)fd, &link, err);
    if (ret == 0)
        ret = rules_add(tag, &link, err);
    return ret == 0 ? forward_packets(err) : ret;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    int ret;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("vmrt-uplink version %s\ncommit: %s\n", BUILD_VERSION, BUILD_COMMIT);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return 0;
    }
    ret = argc > 2 ? check_tag(argv[2], &err) : 0;
    if (ret == 0 && argc == 4 && strcmp(argv[1], "add") == 0)
        ret = add(argv[2], argv[3], &err);
    else if (ret == 0 && argc == 3 && strcmp(argv[1], "remove") == 0)
        ret = rules_remove(argv[2], &err);
    else if (ret == 0)
        ret = error_set(&err, EINVAL, "expected \"add TAG FD\" or \"remove TAG\"; see --help");
    if (ret < 0)
        fprintf(stderr, "vmrt-uplink: %s\n", err.message);
    return ret < 0;
}
