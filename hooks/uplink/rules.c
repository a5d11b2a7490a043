/*
 * The host's packet filter. Every script is one transaction of its tool, so that a table has all
 * rules of a tag or none, and all of them hang on one chain or table that is named after the tag.
 */
#include "rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SCRIPT_MAX   1024
#define WORDS_MAX    4096

/* Engines may give us no PATH. */
static const char *const directories[] = { "/usr/local/sbin", "/usr/sbin", "/sbin",
                                           "/usr/local/bin",  "/usr/bin",  "/bin" };

struct tool {
    const char *name;
    const char *const *args;
};

static const char *const restore_args[] = { "iptables-restore", "--wait", "--noflush", NULL };
static const struct tool restore = { "iptables-restore", restore_args };
static const char *const nft_args[] = { "nft", "-f", "-", NULL };
static const struct tool nft = { "nft", nft_args };

/* Tables of iptables, and the chain of each that ours hangs on. */
static const struct {
    const char *table, *chain;
} parents[] = { { "filter", "FORWARD" }, { "nat", "POSTROUTING" } };

/* Return: whether there is one, with its path in @out. */
static bool find_tool(const char *name, char out[64])
{
    for (size_t i = 0; i < COUNT(directories); i++) {
        snprintf(out, 64, "%s/%s", directories[i], name);
        if (access(out, X_OK) == 0)
            return true;
    }
    return false;
}

static __attribute__((noreturn)) void execute(const char *path, const char *const *args, int in,
                                              int out)
{
    static const char *const env[] = { "PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
                                       "LC_ALL=C", NULL };
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(out, STDERR_FILENO) >= 0)
        execve(path, (char *const *)args, (char *const *)env);
    dprintf(out, "%s", strerror(errno));
    _exit(127);
}

/* Runs a tool with @script as its input. Return: 0, or -EIO with the first line of what it said. */
static int run(const struct tool *tool, const char *script, struct error *err)
{
    _cleanup_close_ int in = fd_memfd_sealed("script", script, strlen(script)),
                        out = memfd_create("words", MFD_CLOEXEC);
    _cleanup_free_ char *words = NULL;
    char path[64];
    int status = 0;
    pid_t pid;

    if (!find_tool(tool->name, path))
        return error_set(err, ENOENT, "%s was not found", tool->name);
    if (in < 0 || out < 0)
        return error_set_errno(err, "memfd");
    pid = fork();
    if (pid < 0)
        return error_set_errno(err, "fork");
    if (pid == 0)
        execute(path, tool->args, in, out);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(err, "waitpid");
    if (status == 0)
        return 0;
    if (lseek(out, 0, SEEK_SET) < 0 || fd_read_all(out, WORDS_MAX, &words, NULL) < 0)
        return error_set(err, EIO, "%s failed", path);
    words[strcspn(words, "\n")] = '\0';
    return error_set(err, EIO, "%s: %s", path, words[0] ? words : "failed without a word");
}

static int add_iptables(const char *tag, const struct link *link, const char *subnet,
                        struct error *err)
{
    char script[SCRIPT_MAX];

    /* First of all in FORWARD: rules of others for networks of theirs may drop what is not. */
    snprintf(script, sizeof(script),
             "*filter\n:%s - [0:0]\n-A %s -i %s -j ACCEPT\n"
             "-A %s -o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
             "-I FORWARD -j %s\nCOMMIT\n"
             "*nat\n:%s - [0:0]\n-A %s -s %s/30 ! -o %s -j MASQUERADE\n"
             "-A POSTROUTING -j %s\nCOMMIT\n",
             tag, tag, link->name, tag, link->name, tag, tag, tag, subnet, link->name, tag);
    return run(&restore, script, err);
}

static int add_nft(const char *tag, const struct link *link, const char *subnet, struct error *err)
{
    char script[SCRIPT_MAX];

    /* 100: where source addresses are translated. */
    snprintf(script, sizeof(script),
             "table ip %s {\n chain out {\n"
             "  type nat hook postrouting priority 100; policy accept;\n"
             "  ip saddr %s/30 oifname != \"%s\" masquerade\n }\n}\n",
             tag, subnet, link->name);
    return run(&nft, script, err);
}

int rules_add(const char *tag, const struct link *link, struct error *err)
{
    const struct in_addr address = { htonl(link->subnet) };
    char subnet[INET_ADDRSTRLEN], path[64];

    inet_ntop(AF_INET, &address, subnet, sizeof(subnet));
    if (find_tool(restore.name, path))
        return add_iptables(tag, link, subnet, err);
    if (find_tool(nft.name, path))
        return add_nft(tag, link, subnet, err);
    return error_set(err, ENOENT,
                     "neither iptables-restore nor nft is in /usr/sbin and the like: install "
                     "iptables or nftables");
}

/* Whether the table has the tag's chain: a table without it cannot be rid of it. */
static bool has_chain(const char *table, const char *tag)
{
    const char *const args[] = { "iptables", "--wait", "-t", table, "-n", "-L", tag, NULL };
    const struct tool list = { "iptables", args };

    return run(&list, "", NULL) == 0;
}

/* The tag's chain of one table, and with @jump what leads there. */
static int remove_chain(const char *table, const char *parent, const char *tag, bool jump,
                        struct error *err)
{
    char script[SCRIPT_MAX], leads[SCRIPT_MAX / 2] = "";

    if (jump)
        snprintf(leads, sizeof(leads), "-D %s -j %s\n", parent, tag);
    snprintf(script, sizeof(script), "*%s\n%s-F %s\n-X %s\nCOMMIT\n", table, leads, tag, tag);
    return run(&restore, script, err);
}

/* What cannot be removed from one table is no reason to leave it in the other. */
static int remove_iptables(const char *tag, struct error *err)
{
    int first = 0;

    for (size_t i = 0; i < COUNT(parents); i++) {
        const char *table = parents[i].table, *parent = parents[i].chain;
        int ret = remove_chain(table, parent, tag, true, NULL);

        if (ret == 0 || !has_chain(table, tag))
            continue;
        /* Somebody's `iptables -F` takes the jump and leaves the chain. */
        ret = remove_chain(table, parent, tag, false, first ? NULL : err);
        if (first == 0)
            first = ret;
    }
    return first;
}

/* Nor one that nft cannot list: it is there without its part of the kernel, or its rights. */
static bool has_table(const char *tag)
{
    const char *const args[] = { "nft", "list", "table", "ip", tag, NULL };
    const struct tool list = { "nft", args };

    return run(&list, "", NULL) == 0;
}

static int remove_nft(const char *tag, struct error *err)
{
    char script[SCRIPT_MAX];
    int ret;

    snprintf(script, sizeof(script), "delete table ip %s\n", tag);
    ret = run(&nft, script, err);
    return ret < 0 && has_table(tag) ? ret : 0;
}

int rules_remove(const char *tag, struct error *err)
{
    char path[64];
    int ret = 0;

    if (find_tool(restore.name, path))
        ret = remove_iptables(tag, err);
    /* Where iptables came later than the container. */
    if (ret == 0 && find_tool(nft.name, path))
        ret = remove_nft(tag, err);
    return ret;
}
