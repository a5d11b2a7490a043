/*
 * PID 1 of the guest. Makes the machine a place where a container can run, connects to the host
 * and serves it. Boot time is start time: nothing here waits, and nothing is done that no
 * container needs. The kernel never takes PID 1 for want of memory (oom_unkillable_task()), so its
 * OOM score stays the 0 that its children are to start with.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "init/cgroups.h"
#include "init/io.h"
#include "init/network.h"
#include "init/engine.h"

#define PLACE_SHARES "/shares"
#define PLACE_ROOT   "/container"
#define PLACE_SELF   "/self"
#define PLACE_CGROUP "/sys/fs/cgroup"
/* Made when they are wanted; the nodes in devtmpfs, since a mount table shows where they are. */
#define PLACE_NOTIFY   "/notify"
#define PLACE_DEVICES  "/dev/.container"
#define PLACE_SYSFS    "/sysfs"
#define OPEN_FILES_MAX "1073741816" /* of one process */

/* Directories the initramfs lacks; mounts, in order. */
static const char *const boot_directories[] = {
    "/proc", "/sys", "/dev", PLACE_SHARES, PLACE_ROOT, PLACE_SELF,
};

static const struct {
    const char *type, *target;
    unsigned long flags;
    const char *data;
} boot_mounts[] = {
    { "devtmpfs", "/dev", MS_NOSUID, NULL },
    { "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
    { "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
    /* As systemd mounts it, so that a container sees the rules it knows from other hosts. */
    { "cgroup2", PLACE_CGROUP, MS_NOSUID | MS_NODEV | MS_NOEXEC,
      "nsdelegate,memory_recursiveprot" },
};

/*
 * The root of the initramfs has no parent mount, so nothing could ever be pivoted in its place. A
 * bind mount of itself has one.
 */
static int boot_leave_rootfs(void)
{
    if (mount("/", PLACE_SELF, NULL, MS_BIND, NULL) < 0 || chdir(PLACE_SELF) < 0 ||
        mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
        return -errno;
    return 0;
}

/* Without a console the kernel starts init with no descriptors at all: 0 to 2 must not be reused.
 */
static int boot_fill_stdio(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/*
 * A workload that writes little by little would have init run, and the host be kicked, for every
 * piece. SCHED_BATCH keeps a wakeup of init from taking the CPU away from the workload: it runs
 * when the workload waits for something, or its time slice is over, and finds the pipe full. A
 * child starts as an ordinary process again.
 */
static int boot_yield_to_workload(void)
{
    const struct sched_param none = { 0 };

    return sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none) < 0 ? -errno : 0;
}

/*
 * A limit of open files may be as high here as on a host with systemd, which sets the same
 * (systemd 240): engines there have such a limit and pass it on.
 */
static int boot_allow_open_files(void)
{
    return io_write_file(AT_FDCWD, "/proc/sys/fs/nr_open", OPEN_FILES_MAX);
}

static int boot_cgroup(void)
{
    int fd = open(PLACE_CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        cgroups_enable_controllers(fd);
    return fd;
}

static int boot_prepare(const char **step)
{
    int ret;

    umask(0);
    *step = "directories";
    for (size_t i = 0; i < sizeof(boot_directories) / sizeof(boot_directories[0]); i++)
        if (mkdir(boot_directories[i], 0755) < 0 && errno != EEXIST)
            return -errno;
    *step = "root";
    ret = boot_leave_rootfs();
    if (ret < 0)
        return ret;
    for (size_t i = 0; i < sizeof(boot_mounts) / sizeof(boot_mounts[0]); i++) {
        *step = boot_mounts[i].target;
        if (mount(boot_mounts[i].type, boot_mounts[i].target, boot_mounts[i].type,
                  boot_mounts[i].flags, boot_mounts[i].data) < 0)
            return -errno;
    }
    *step = "descriptors";
    ret = boot_fill_stdio();
    if (ret < 0)
        return ret;
    *step = "scheduling";
    ret = boot_yield_to_workload();
    if (ret < 0)
        return ret;
    *step = "nr_open";
    ret = boot_allow_open_files();
    if (ret < 0)
        return ret;
    *step = "loopback interface";
    return network_loopback_up();
}

/* Return: a non-blocking connection to @port of the host, or -errno. */
static int vsock_connect(uint32_t port)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK,
        .svm_cid = VMADDR_CID_HOST,
        .svm_port = port,
    };
    /*
     * Not the kernel's 2 s (net/vmw_vsock/af_vsock.c): vmrt-vmm may not have come as far yet on a
     * host with more to do. If it has ended, so has this machine.
     */
    const struct timeval patience = { .tv_sec = 3600 };
    _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience)) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return steal_fd(&fd);
}

/*
 * The host takes a reset without an EXIT for a failure, and finds the reason in the kernel's log
 * (vmm/last_words.c): what is sent in this machine's last moments may end with it.
 */
static _Noreturn void give_up(const char *step, int code)
{
    char text[256];
    int log;

    /* A node of its own: /dev may be what is missing. 1:11 is kmsg (drivers/char/mem.c). */
    mknod("/kmsg", S_IFCHR | 0600, makedev(1, 11));
    log = open("/kmsg", O_WRONLY | O_CLOEXEC);
    snprintf(text, sizeof(text), "<0>vmrt-init: %s: %s\n", step, failure_describe(code));
    /* In one piece, which is one record; dprintf(3) takes kmsg's refusal to seek for a failure. */
    if (log < 0 || write(log, text, strlen(text)) < 0)
        _exit(EXIT_FAILURE);
    reboot(RB_AUTOBOOT);
    _exit(EXIT_FAILURE);
}

int main(void)
{
    struct engine_config config = {
        .control = -1,
        .connect_port = vsock_connect,
        .places = {
            .shares = PLACE_SHARES,
            .root = PLACE_ROOT,
            .notify = PLACE_NOTIFY,
            .devices = PLACE_DEVICES,
            .sysfs = PLACE_SYSFS,
        },
    };
    struct engine engine;
    struct utsname name;
    const char *step;
    int prepared = boot_prepare(&step);
    int ret;

    if (prepared < 0)
        give_up(step, -prepared);
    config.control = vsock_connect(PORT_CONTROL);
    if (config.control < 0)
        give_up("connect to the host", -config.control);
    config.cgroup = boot_cgroup();
    ret = engine_init(&engine, &config);
    if (ret < 0)
        give_up("start", -ret);
    uname(&name);
    ret = engine_run(&engine, name.release);
    give_up("control connection", -ret);
}
