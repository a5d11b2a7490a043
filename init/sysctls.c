/* Kernel parameters (runtime-spec config-linux.md "Sysctl"). */
#include "init/sysctls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/io.h"
#include "init/plan.h"

static int sysctl_write(int directory, const struct setting_plan *setting, struct failure *failure)
{
    struct open_how how = { .flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
    _cleanup_close_ int fd = -1;
    char path[256];

    snprintf(path, sizeof(path), "%s", setting->key);
    for (char *dot = path; (dot = strchr(dot, '.')); dot++)
        *dot = '/';
    fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
    if (fd < 0 || write(fd, setting->value, strlen(setting->value)) < 0)
        return failure_errno(failure, "write sysctl key %s", setting->key);
    return 0;
}

int sysctls_apply(const struct list *sysctls, bool network, struct failure *failure)
{
    _cleanup_close_ int directory = -1;

    for (size_t i = 0; i < sysctls->count; i++) {
        const struct setting_plan *setting = LIST_AT(*sysctls, struct setting_plan, i);
        int ret;

        if ((strncmp(setting->key, "net.", 4) == 0) != network)
            continue;
        /* It shows the namespaces of whoever opens it, so init's own mount of it serves. */
        if (directory < 0)
            directory = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
            return failure_errno(failure, "sysctl: /proc/sys");
        ret = sysctl_write(directory, setting, failure);
        if (ret < 0)
            return ret;
    }
    return 0;
}
