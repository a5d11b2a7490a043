/* Trees of mounts in the bundle of a test, which are made in a mount namespace of their own. */
#ifndef VMRT_TEST_OCI_ROOTFS_WORLD_H
#define VMRT_TEST_OCI_ROOTFS_WORLD_H

#include "oci_world.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

static inline int open_root(const struct world *world)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/rootfs", world->directory);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Runs @body in a child with a mount namespace of its own. */
static inline void in_namespace(struct world *world, int (*body)(struct world *world))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int ret;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(77);
        ret = body(world);
        if (ret)
            fprintf(stderr, "line %d: %s\n", ret, world->err.message);
        /* No leak report from a copy of the parent. */
        _exit(ret != 0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: mount namespaces need root\n");
        skip();
    }
    assert_int_equal(status, 0);
}

#define CHECK(condition)     \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

#endif
