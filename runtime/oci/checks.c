/* The table of checks, and those about files, the kernel's interfaces and engines. */
#include "oci/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/access.h"
#include "oci/files.h"
#include "oci/rootless.h"
#include "oci/settings.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

void check_set(struct check_result *result, enum check_verdict verdict, const char *remedy,
               const char *fmt, ...)
{
    va_list args;

    result->verdict = verdict;
    snprintf(result->remedy, sizeof(result->remedy), "%s", remedy);
    va_start(args, fmt);
    vsnprintf(result->detail, sizeof(result->detail), fmt, args);
    va_end(args);
}

/* Calls that the mount tree is made with; on a bad descriptor a kernel that knows them says EBADF.
 */
static void check_kernel_interfaces(const char *host_settings, struct check_result *result)
{
    struct open_how how = { .flags = O_PATH };
    struct mount_attr attr = { 0 };
    bool openat2 = syscall(SYS_openat2, -1, "x", &how, sizeof(how)) == 0 || errno != ENOSYS;
    bool setattr = mount_setattr(-1, "x", 0, &attr, sizeof(attr)) == 0 || errno != ENOSYS;

    if (openat2 && setattr)
        check_set(result, CHECK_OK, "", "openat2, open_tree and mount_setattr are there");
    else
        check_set(result, CHECK_MISSING, "use Linux 5.12 or newer", "the kernel has no %s",
                  openat2 ? "mount_setattr" : "openat2");
}

static void check_programs(const char *host_settings, struct check_result *result)
{
    static const char *const names[] = { "vmrt-vmm", "vmrt-init" };
    char directory[PATH_MAX], path[PATH_MAX + 32];

    files_programs(directory);
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        if (access(path, X_OK) < 0) {
            check_set(result, CHECK_MISSING, "install vmrt again", "%s: %s", path, strerror(errno));
            return;
        }
    }
    check_set(result, CHECK_OK, "", "vmrt-vmm and vmrt-init are in %s", directory);
}

static void check_kernel(const char *host_settings, struct check_result *result)
{
    static const char remedy[] = "install the guest kernel of vmrt, or name one with \"kernel\" "
                                 "in " SETTINGS_HOST_FILE;
    char path[PATH_MAX];
    struct spec nothing = { 0 };
    struct settings settings;
    struct error err;
    _cleanup_close_ int fd = -1;

    files_default_kernel(path);
    if (settings_load(host_settings, &nothing, &settings, &err) < 0) {
        check_set(result, CHECK_MISSING, "correct the file", "%s", err.message);
    } else {
        if (settings.values[SETTING_KERNEL].text[0])
            snprintf(path, sizeof(path), "%s", settings.values[SETTING_KERNEL].text);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            check_set(result, CHECK_MISSING, remedy, "%s: %s", path, strerror(errno));
        else if (files_check_kernel(fd, path, &err) < 0)
            check_set(result, CHECK_MISSING, remedy, "%s", err.message);
        else
            check_set(result, CHECK_OK, "", "%s has a PVH entry", path);
    }
    settings_free(&settings);
}

static void check_tun(const char *host_settings, struct check_result *result)
{
    _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        check_set(result, CHECK_OK, "", "/dev/net/tun can be used");
    } else if (errno == EACCES || errno == EPERM) {
        char remedy[256];

        access_remedy("/dev/net/tun", remedy, sizeof(remedy));
        check_set(result, CHECK_NOTE, remedy, "/dev/net/tun: permission denied: no networking");
    } else
        check_set(result, CHECK_NOTE, "modprobe tun", "/dev/net/tun: %s: no networking",
                  strerror(errno));
}

static void check_cgroup(const char *host_settings, struct check_result *result)
{
    const char *kind;
    struct statfs fs;

    if (statfs("/sys/fs/cgroup", &fs) < 0 ||
        (fs.f_type != CGROUP2_SUPER_MAGIC && access("/sys/fs/cgroup/memory", F_OK) < 0))
        check_set(result, CHECK_MISSING,
                  "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or use --cgroup-manager disabled",
                  "no control groups at /sys/fs/cgroup");
    if (result->detail[0])
        return;
    kind = fs.f_type == CGROUP2_SUPER_MAGIC ? "v2" : "v1";
    if (rootless_applies(ROOTLESS_AUTO))
        check_rootless_cgroup(kind, result);
    else
        check_set(result, CHECK_OK, "", "control groups %s", kind);
}

/* Is @name in a directory of PATH or in one where engines are usually? */
static bool find_program(const char *name)
{
    static const char usual[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const char *path = getenv("PATH");
    char candidate[PATH_MAX];

    for (path = path && path[0] ? path : usual; *path;) {
        size_t length = strcspn(path, ":");

        if (snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)length, path, name) <
                (int)sizeof(candidate) &&
            access(candidate, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static void check_engines(const char *host_settings, struct check_result *result)
{
    static const char *const names[] = { "docker", "containerd", "podman", "buildah", "crio" };
    char found[128] = "";

    for (size_t i = 0; i < COUNT(names); i++)
        if (find_program(names[i]))
            snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s",
                     found[0] ? ", " : "", names[i]);
    if (found[0])
        check_set(result, CHECK_OK, "", "%s", found);
    else
        check_set(result, CHECK_NOTE, "install one, or use \"vmrt run\" with bundles",
                  "no container engine found");
}

const struct check checks[] = {
    { "processor", check_cpu },
    { "kvm", check_kvm_device },
    { "kvm kind", check_kvm_complete },
    { "privileges", check_privileges },
    { "user ids", check_user_ids },
    { "host kernel", check_kernel_interfaces },
    { "programs", check_programs },
    { "guest kernel", check_kernel },
    { "tun", check_tun },
    { "cgroups", check_cgroup },
    { "engines", check_engines },
};
const size_t check_count = COUNT(checks);
