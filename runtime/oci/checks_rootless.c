/* What a user who is not root needs beside KVM: a user namespace, ids for it, a control group. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/fd.h"
#include "oci/cgroup.h"
#include "oci/checks.h"
#include "oci/rootless.h"
#include "oci/users.h"

#define FILE_SIZE_MAX (16u << 20)

/* Return: 0, or what unshare(2) said to a process made for that question, as -errno. */
static int try_user_namespace(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 ? 0 : errno);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

void check_privileges(const char *host_settings, struct check_result *result)
{
    const char *where = rootless_in_user_namespace() ? ", in a user namespace" : "";
    int ret = geteuid() == 0 ? 0 : try_user_namespace();

    if (ret < 0)
        check_set(result, CHECK_MISSING,
                  "run as root, or allow them: sysctl kernel.unprivileged_userns_clone=1, "
                  "user.max_user_namespaces=15000",
                  "running as uid %u, which may not make user namespaces: %s",
                  (unsigned int)geteuid(), strerror(-ret));
    else if (geteuid() == 0)
        check_set(result, CHECK_OK, "", "running as root%s", where);
    else
        check_set(result, CHECK_OK, "", "running as uid %u (rootless)%s", (unsigned int)geteuid(),
                  where);
}

/* Has @file (subuid(5)) a range for the user, by name or by number? */
static bool has_range(const char *file, const char *name)
{
    _cleanup_free_ char *text = NULL;
    char number[16];

    snprintf(number, sizeof(number), "%u", (unsigned int)geteuid());
    if (fd_read_file(AT_FDCWD, file, FILE_SIZE_MAX, &text, NULL) < 0)
        return false;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        const char *owner = strsep(&line, ":");

        if (line && (strcmp(owner, name) == 0 || strcmp(owner, number) == 0))
            return true;
    }
    return false;
}

static bool is_in_path(const char *program)
{
    const char *path = getenv("PATH");
    char candidate[PATH_MAX];

    for (path = path && path[0] ? path : "/usr/bin:/bin"; *path;) {
        size_t length = strcspn(path, ":");

        snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)length, path, program);
        if (access(candidate, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

void check_user_ids(const char *host_settings, struct check_result *result)
{
    struct arena arena = { 0 };
    const char *name = users_name(geteuid(), &arena);
    char remedy[256];

    snprintf(remedy, sizeof(remedy),
             "as root \"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s\"",
             name ? name : "USER");
    if (geteuid() == 0)
        check_set(result, CHECK_OK, "", "%s",
                  rootless_in_user_namespace() ? "those of the user namespace" : "all");
    else if (!is_in_path("newuidmap") || !is_in_path("newgidmap"))
        check_set(result, CHECK_NOTE, "install the package uidmap",
                  "newuidmap and newgidmap are not in PATH: containers have one user only");
    else if (!name || !has_range("/etc/subuid", name) || !has_range("/etc/subgid", name))
        check_set(result, CHECK_NOTE, remedy,
                  "no range in /etc/subuid and /etc/subgid: containers have one user only");
    else
        check_set(result, CHECK_OK, "", "ranges in /etc/subuid and /etc/subgid");
    arena_free(&arena);
}

void check_rootless_cgroup(const char *kind, struct check_result *result)
{
    struct arena arena = { 0 };
    struct cgroup cgroup;
    struct error err = { 0 };
    int ret = cgroup_find("vmrt-check", &cgroup, &arena, &err);

    if (ret == 0)
        ret = cgroup_check_rights(&cgroup, &err);
    if (ret < 0)
        check_set(
            result, CHECK_NOTE,
            "use a login session of systemd with --systemd-cgroup (podman: cgroup_manager = "
            "\"systemd\")",
            "control groups %s, none for this user (%s): limits of memory, CPUs and processes "
            "are kept by the machine itself, others are refused",
            kind, err.message);
    else
        check_set(result, CHECK_OK, "", "control groups %s, delegated to this user", kind);
    arena_free(&arena);
}
