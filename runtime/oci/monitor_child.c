/* The monitor's own side: namespaces, the mount tree, and the exec of vmrt-vmm. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/console.h"
#include "oci/monitor.h"
#include "oci/resolve.h"
#include "oci/rootfs.h"
#include "vmm/plan.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

/* What the runtime ignored or held back must not be inherited by vmrt-vmm. */
static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int bring_up_loopback(struct error *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return error_set_errno(err, "network namespace: cannot bring up lo");
    return 0;
}

static int enter_network(const struct plan *plan, struct error *err)
{
    _cleanup_close_ int fd = -1;

    if (!plan->network_path) {
        if (unshare(CLONE_NEWNET) < 0)
            return error_set_errno(err, "cannot make a network namespace");
        return bring_up_loopback(err);
    }
    fd = open(plan->network_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return error_set_errno(err,
                               "config.json: linux.namespaces: cannot join the network "
                               "namespace %s",
                               plan->network_path);
    return 0;
}

/* Ends as root of a new user namespace, which owns the namespaces that come after it. */
static int enter_user_namespace(int channel, struct error *err)
{
    if (unshare(CLONE_NEWUSER) < 0)
        return error_set(err, errno,
                         "cannot make a user namespace: %s: see the sysctls "
                         "user.max_user_namespaces and kernel.unprivileged_userns_clone",
                         strerror(errno));
    if (monitor_report(channel, &(struct error) { 0 }) < 0 || monitor_wait(channel) < 0)
        return error_set(err, EPIPE, "the runtime went away");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return error_set(err, errno,
                         "config.json: linux.uidMappings: user and group 0 must be mapped: %s",
                         strerror(errno));
    /* A change of ids takes it back; who died meanwhile closed the channel. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return error_set_errno(err, "prctl");
    return 0;
}

static int enter_namespaces(const struct plan *plan, struct error *err)
{
    int ret = enter_network(plan, err);

    if (ret < 0)
        return ret;
    if (unshare(NAMESPACES) < 0)
        return error_set_errno(err, "cannot make mount, IPC and UTS namespaces");
    if (sethostname(plan->hostname, strlen(plan->hostname)) < 0)
        return error_set_errno(err, "cannot set the host name to %s", plan->hostname);
    /* Nothing mounted from here on is to be seen by the host, nor the other way round. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set_errno(err, "cannot make the mount tree private");
    return 0;
}

static void describe_descriptors(const struct plan *plan, struct plan_descriptors *out)
{
    for (size_t i = 0; plan->descriptors && i < plan->descriptors->count; i++) {
        out->fds[i] = plan->descriptors->fds[i];
        out->kinds[i] = plan->descriptors->kinds[i];
        out->count++;
    }
}

/* Fills in what only exists in this process: descriptors. Strings stay the plan's. */
static int describe_machine(const struct monitor_request *request, const struct rootfs *rootfs,
                            int ready, struct vm_plan *vm, struct error *err)
{
    struct plan *plan = request->plan;

    plan_init(vm);
    vm->id = arena_strdup(&plan->arena, plan->id);
    vm->cmdline = plan->kernel_args ? arena_strdup(&plan->arena, plan->kernel_args) : NULL;
    vm->shares = arena_array(&plan->arena, plan->share_count, sizeof(*vm->shares));
    if (!vm->id || !vm->shares || (plan->kernel_args && !vm->cmdline))
        return error_set(err, ENOMEM, "out of memory");
    vm->memory_mib = plan->memory_mib;
    vm->cpus = plan->cpus;
    vm->exhaust_mib = plan->exhaust_mib;
    vm->files_max = plan->files_max;
    vm->kvm_fd = request->files->kvm;
    vm->kernel_fd = request->files->kernel;
    vm->init_fd = request->files->init;
    vm->control_fd = request->control;
    vm->ready_fd = ready;
    vm->notify_fd = request->notify;
    vm->terminal = request->terminal >= 0;
    describe_descriptors(plan, &vm->descriptors);
    vm->log_fd = log_fd();
    vm->log_json = log_is_json();
    vm->console = request->files->console >= 0           ? CONSOLE_FD
                  : strcmp(plan->console, "stderr") == 0 ? CONSOLE_STDERR
                                                         : CONSOLE_OFF;
    vm->console_fd = request->files->console;
    vm->share_count = plan->share_count;
    for (uint32_t i = 0; i < plan->share_count; i++) {
        vm->shares[i].fd = rootfs->shares[i];
        vm->shares[i].readonly = i == 0 && plan->spec->root_readonly;
    }
    for (size_t i = 0; i < plan->mount_count; i++)
        if (plan->mounts[i].bind)
            vm->shares[plan->mounts[i].share].readonly = plan->mounts[i].readonly;
    for (size_t i = 0; i < plan->hook_count; i++)
        vm->shares[plan->hooks[i].share].readonly = true;
    vm->affinity = plan->affinity;
    vm->affinity_count = plan->affinity_count;
    /* Hooks of createContainer are part of create, and so is their failure. */
    vm->wait_prepared = plan->spec->hooks.count[HOOK_CREATE_CONTAINER] > 0;
    vm->guest_fd = fd_memfd_sealed("vmrt-guest", plan->guest.data, plan->guest.length);
    if (vm->guest_fd < 0)
        return error_set(err, -vm->guest_fd, "memfd: %s", strerror(-vm->guest_fd));
    vm->proc_fd = rootfs_clone_descriptors();
    if (vm->proc_fd < 0)
        return error_set(err, -vm->proc_fd, "cannot clone /proc/self/fd: %s",
                         strerror(-vm->proc_fd));
    return 0;
}

/* Return: a sealed file with the plan's text, or -errno. */
static int write_plan(const struct vm_plan *vm, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    int ret = plan_format(vm, &text, err);

    if (ret < 0)
        return ret;
    ret = fd_memfd_sealed("vmrt-plan", text, strlen(text));
    return ret < 0 ? error_set(err, -ret, "memfd: %s", strerror(-ret)) : ret;
}

/* Everything but stdio and what the plan names is closed by the exec, whoever opened it. */
static int keep_descriptors(const struct vm_plan *vm, int plan_fd, struct error *err)
{
    const int named[] = { plan_fd,        vm->kvm_fd,     vm->kernel_fd, vm->init_fd,
                          vm->control_fd, vm->guest_fd,   vm->ready_fd,  vm->log_fd,
                          vm->proc_fd,    vm->console_fd, vm->notify_fd };

    if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return error_set_errno(err, "close_range");
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (named[i] >= 0 && fcntl(named[i], F_SETFD, 0) < 0)
            return error_set_errno(err, "descriptor %d", named[i]);
    for (uint32_t i = 0; i < vm->share_count; i++)
        if (fcntl(vm->shares[i].fd, F_SETFD, 0) < 0)
            return error_set_errno(err, "share %u", i);
    for (uint32_t i = 0; i < vm->descriptors.count; i++)
        if (fcntl(vm->descriptors.fds[i], F_SETFD, 0) < 0)
            return error_set_errno(err, "descriptor %d", vm->descriptors.fds[i]);
    return 0;
}

static int exec_vmm(const struct monitor_request *request, int plan_fd, struct error *err)
{
    char number[16];
    /* What the container's environment holds is nobody's business on the host. */
    const char *const args[] = { "vmrt-vmm", "--plan-fd", number, NULL };
    const char *const env[] = { NULL };

    snprintf(number, sizeof(number), "%d", plan_fd);
    /* From here on vmrt-vmm ends by itself when the ready pipe has no reader. */
    if (prctl(PR_SET_PDEATHSIG, 0) < 0)
        return error_set_errno(err, "prctl");
    syscall(SYS_execveat, request->files->vmm, "", args, env, AT_EMPTY_PATH);
    return error_set_errno(err, "cannot execute vmrt-vmm");
}

int monitor_child(const struct monitor_request *request, int channel, int ready, struct error *err)
{
    struct rootfs rootfs = { .root = -1 };
    struct vm_plan vm = { 0 };
    int plan_fd, ret;

    reset_signals();
    umask(022);
    if (setsid() < 0)
        return error_set_errno(err, "setsid");
    /* The engine's stdio is a log then; to be resized, the session must own the terminal. */
    if (request->terminal >= 0) {
        ret = console_adopt(request->terminal, err);
        if (ret == 0)
            ret = console_use(request->terminal, err);
        if (ret < 0)
            return ret;
    }
    if (monitor_wait(channel) < 0)
        return error_set(err, EPIPE, "the runtime went away");
    ret = request->plan->user_namespace ? enter_user_namespace(channel, err) : 0;
    if (ret == 0)
        ret = enter_namespaces(request->plan, err);
    if (ret < 0)
        return ret;
    if (monitor_report(channel, &(struct error) { 0 }) < 0 || monitor_wait(channel) < 0)
        return error_set(err, EPIPE, "the runtime went away");
    ret = rootfs_build(request->plan, &rootfs, err);
    if (ret == 0)
        ret = resolve_directory(request->plan, rootfs.root, err);
    if (ret == 0)
        ret = resolve_executable(request->plan, rootfs.root, err);
    if (ret == 0)
        ret = describe_machine(request, &rootfs, ready, &vm, err);
    if (ret < 0)
        return ret;
    plan_fd = write_plan(&vm, err);
    if (plan_fd < 0)
        return plan_fd;
    ret = rootfs_enter(&rootfs, err);
    if (ret == 0)
        ret = keep_descriptors(&vm, plan_fd, err);
    return ret == 0 ? exec_vmm(request, plan_fd, err) : ret;
}
