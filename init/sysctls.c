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
#include "init/network.h"
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

int sysctls_apply(const struct list *sysctls, struct failure *failure)
{
    _cleanup_close_ int directory = -1;

    for (size_t i = 0; i < sysctls->count; i++) {
        const struct setting_plan *setting = LIST_AT(*sysctls, struct setting_plan, i);
        int ret;

        if (network_is_sysctl(setting->key))
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

int sysctls_keep_network(const struct list *sysctls, struct list *kept)
{
    for (size_t i = 0; i < sysctls->count; i++) {
        const struct setting_plan *setting = LIST_AT(*sysctls, struct setting_plan, i);
        struct setting_plan *copy;

        if (!network_is_sysctl(setting->key))
            continue;
        copy = list_append(kept, sizeof(*copy));
        if (!copy)
            return -ENOMEM;
        copy->key = strdup(setting->key);
        copy->value = strdup(setting->value);
        if (!copy->key || !copy->value)
            return -ENOMEM;
    }
    return 0;
}

void sysctls_release(struct list *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        free((char *)LIST_AT(*kept, struct setting_plan, i)->key);
        free((char *)LIST_AT(*kept, struct setting_plan, i)->value);
    }
    free(kept->items);
    *kept = (struct list) { 0 };
}

int sysctls_apply_network(const struct list *kept, struct failure *failure)
{
    int ret = 0;

    for (size_t i = 0; i < kept->count && ret == 0; i++) {
        const struct setting_plan *setting = LIST_AT(*kept, struct setting_plan, i);

        ret = network_apply_sysctl(setting->key, setting->value, failure);
    }
    return ret;
}
