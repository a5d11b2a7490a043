/* One VM from plan to exit status: which device sits in which slot, which thread does what. */
#include "vmm/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "vmm/exhaust.h"
#include "vmm/ready.h"
#include "vmm/report.h"
#include "vmm/sandbox.h"
#include "vmm/standalone.h"
#include "vmm/supervisor_internal.h"

/*
 * Passed on to the workload. Not among them: what a fault of this process raises, what it makes use
 * of itself (SIGPIPE, SIGCHLD, VCPU_KICK_SIGNAL), and what cannot be caught.
 */
static const int forwarded_signals[] = {
    SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,   SIGUSR2, SIGALRM, SIGCONT, SIGWINCH,
    SIGTSTP, SIGTTIN, SIGTTOU, SIGURG,  SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,
};

/* vCPUs wait here until every other thread is in its sandbox. */
static sem_t gate, thread_sandboxed;
static bool sandboxed;

static void enter_sandbox(enum sandbox_thread kind)
{
    struct error err;

    if (sandboxed && sandbox_thread(kind, &err) < 0) {
        report_error("%s", err.message);
        _exit(SESSION_STATUS_FAILED);
    }
}

static void prepare_vcpu(void)
{
    while (sem_wait(&gate) < 0)
        ;
    enter_sandbox(SANDBOX_VCPU);
}

static void *fs_main(void *context)
{
    struct supervisor *s = context;

    struct error err;

    if (fs_server_thread_setup(s->fs_server, &err) < 0) {
        report_error("%s", err.message);
        _exit(SESSION_STATUS_FAILED);
    }
    enter_sandbox(SANDBOX_FS);
    sem_post(&thread_sandboxed);
    fs_device_serve(s->fs);
    return NULL;
}

/* Workers of the network devices are numbered as they come. */
static void *net_main(void *context)
{
    static atomic_uint next;
    struct supervisor *s = context;
    unsigned int index = atomic_fetch_add(&next, 1);

    nics_setup_worker(s->nics, index);
    enter_sandbox(SANDBOX_NET);
    sem_post(&thread_sandboxed);
    nics_serve(s->nics, index);
    return NULL;
}

static void handle_machine_end(void *context, int fd, uint32_t events)
{
    struct supervisor *s = context;

    (void)events;
    loop_remove(s->loop, fd);
    /* What the guest said last may still lie in its queue. */
    virtio_device_kicked(vsock_device(s->vsock));
    session_machine_ended(s->session, machine_end_text(&s->machine));
}

static void handle_paused(void *context, int fd, uint32_t events)
{
    struct supervisor *s = context;

    (void)fd;
    (void)events;
    if (machine_is_paused(&s->machine))
        control_server_paused(s->control);
}

static void pause_machine(void *context)
{
    struct supervisor *s = context;

    machine_pause(&s->machine);
}

static void resume_machine(void *context)
{
    struct supervisor *s = context;

    machine_resume(&s->machine);
}

/* A terminal without a size, as a new one is, says nothing about the container's. */
static void tell_size(struct supervisor *s)
{
    struct winsize size;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        session_resize(s->session, size.ws_row, size.ws_col);
}

/*
 * When the engine's terminal hangs up, the kernel sends SIGHUP and SIGCONT to this process, which
 * it controls. The container learns of it from its own terminal, whose stream ends; before there is
 * a process in it, nobody is left to start one.
 */
static bool is_hangup(const struct supervisor *s, const struct signalfd_siginfo *info)
{
    return s->plan->terminal && info->ssi_code == SI_KERNEL &&
           (info->ssi_signo == SIGHUP || info->ssi_signo == SIGCONT) &&
           session_state(s->session) >= SESSION_RUNNING;
}

static void handle_signal(void *context, int fd, uint32_t events)
{
    struct supervisor *s = context;
    struct signalfd_siginfo info;

    (void)events;
    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (s->plan->terminal && info.ssi_signo == SIGWINCH)
        tell_size(s);
    else if (!is_hangup(s, &info))
        session_signal(s->session, info.ssi_signo, false);
}

static uint64_t attach_late(void *context)
{
    struct supervisor *s = context;
    struct error err;

    if (!s->plan->rng_late)
        return 0;
    if (machine_attach(&s->machine, SLOT_RNG, s->rng, &err) < 0) {
        report_error("%s", err.message);
        return 0;
    }
    return 1ull << SLOT_RNG;
}

static int apply_network(void *context, uint8_t *message, size_t length, const int *fds,
                         size_t fd_count, struct error *err)
{
    struct supervisor *s = context;

    return nics_apply(s->nics, message, length, fds, fd_count, err);
}

static void network_answered(void *context)
{
    struct supervisor *s = context;

    nics_answered(s->nics);
}

static void print_exits(struct supervisor *s, const char *title)
{
    if (!s->plan->exit_stats)
        return;
    fd_write_full(STDERR_FILENO, title, strlen(title));
    machine_print_exits(&s->machine, STDERR_FILENO);
}

static void process_started(void *context)
{
    print_exits(context, "exits up to the entrypoint:\n");
}

/* Tells a runtime that waits for more than the VM: for the container in it. */
static void container_prepared(void *context, const struct error *failure)
{
    struct supervisor *s = context;

    if (ready_tell(&s->plan->ready_fd, failure) < 0) {
        report_error("the runtime that started this machine is gone");
        session_kill(s->session);
    }
}

static int load_guest_plan(struct supervisor *s, struct error *err)
{
    struct vm_plan *plan = s->plan;
    char *data;
    int ret;

    if (plan->guest_fd >= 0) {
        ret = fd_read_all(plan->guest_fd, 4 * PROTOCOL_LENGTH_MAX, &data, &s->guest_plan_length);
        if (ret < 0)
            return error_set(err, -ret, "guest plan: %s", strerror(-ret));
        s->guest_plan = (unsigned char *)data;
        fd_close(&plan->guest_fd);
        return 0;
    }
    return plan->root ? standalone_container(plan, &s->guest_plan, &s->guest_plan_length, err) : 0;
}

static int create_session(struct supervisor *s, struct error *err)
{
    struct session_config config = {
        .loop = s->loop,
        .guest_plan = s->guest_plan,
        .guest_plan_length = s->guest_plan_length,
        .has_shares = s->plan->share_count > 0,
        .autostart = s->plan->control_fd < 0,
        .terminal = s->plan->terminal,
        .further = s->plan->descriptors.fds,
        .further_kinds = s->plan->descriptors.kinds,
        .further_count = s->plan->descriptors.count,
        .proc_fd = s->plan->proc_fd,
        .notify_fd = s->plan->notify_fd,
        .attach_late = attach_late,
        .prepared = s->plan->wait_prepared ? container_prepared : NULL,
        .started = process_started,
        .context = s,
    };
    int ret = session_create(&s->session, &config, err);
    struct control_config control = {
        .loop = s->loop,
        .listen_fd = s->plan->control_fd,
        .session = s->session,
        .pause = pause_machine,
        .resume = resume_machine,
        .network = apply_network,
        .network_answered = network_answered,
        .context = s,
    };

    if (ret == 0 && s->plan->terminal)
        tell_size(s);
    if (ret == 0 && s->plan->control_fd >= 0)
        ret = control_server_create(&s->control, &control, err);
    return ret;
}

static int watch(struct supervisor *s, struct error *err)
{
    sigset_t signals;
    int fd, ret;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(forwarded_signals) / sizeof(forwarded_signals[0]); i++)
        sigaddset(&signals, forwarded_signals[i]);
    signal(SIGPIPE, SIG_IGN);
    /* Before any thread exists, so that all of them have these blocked. */
    sigprocmask(SIG_SETMASK, &signals, NULL);
    fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, "signalfd");
    ret = loop_add(s->loop, fd, EPOLLIN, handle_signal, s);
    if (ret == 0)
        ret = loop_add(s->loop, s->machine.end_fd, EPOLLIN, handle_machine_end, s);
    if (ret == 0)
        ret = loop_add(s->loop, s->machine.paused_fd, EPOLLIN, handle_paused, s);
    return ret < 0 ? error_set(err, -ret, "event loop: %s", strerror(-ret)) : 0;
}

static int build(struct supervisor *s, struct error *err)
{
    int ret;

    if (s->plan->proc_fd < 0)
        s->plan->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->plan->proc_fd < 0)
        return error_set_errno(err, "/proc/self/fd");
    s->loop = loop_create();
    if (!s->loop)
        return error_set_errno(err, "epoll");
    ret = load_guest_plan(s, err);
    if (ret == 0)
        ret = machine_create(&s->machine, s->plan, err);
    if (ret == 0)
        ret = create_session(s, err);
    if (ret == 0)
        ret = watch(s, err);
    if (ret == 0)
        ret = supervisor_create_devices(s, err);
    return ret;
}

/* Everything that is neither the main loop nor a vCPU. Return: how many threads, or -errno. */
static int start_helpers(struct supervisor *s, struct error *err)
{
    pthread_t thread;
    int count = 0, ret = 0;

    if (s->fs) {
        ret = pthread_create(&thread, NULL, fs_main, s);
        count++;
    }
    for (unsigned int i = 0; s->nics && i < s->net_workers && ret == 0; i++, count++)
        ret = pthread_create(&thread, NULL, net_main, s);
    return ret ? error_set(err, ret, "start a thread: %s", strerror(ret)) : count;
}

static int start_threads(struct supervisor *s, struct error *err)
{
    int ret = 0, helpers;

    sandboxed = s->plan->sandbox;
    if (sem_init(&gate, 0, 0) < 0 || sem_init(&thread_sandboxed, 0, 0) < 0)
        return error_set_errno(err, "sem_init");
    if (sandboxed)
        ret = sandbox_process(s->fs != NULL, err);
    helpers = ret < 0 ? ret : start_helpers(s, err);
    if (helpers < 0)
        return helpers;
    s->machine.vcpu_prepare = prepare_vcpu;
    ret = machine_run(&s->machine, s->plan->affinity, err);
    if (ret < 0)
        return ret;
    enter_sandbox(SANDBOX_MAIN);
    while (helpers > 0)
        helpers -= sem_wait(&thread_sandboxed) == 0;
    for (unsigned int i = 0; i < s->machine.cpu_count; i++)
        sem_post(&gate);
    return 0;
}

/*
 * Tells the runtime that the VM exists. A runtime that died meanwhile has told nobody of it: the VM
 * must not outlive it.
 */
static int send_ready(struct supervisor *s, struct error *err)
{
    int ret = s->plan->wait_prepared ? 0 : ready_tell(&s->plan->ready_fd, NULL);

    return ret < 0 ? error_set(err, -ret, "the runtime that started this machine is gone") : 0;
}

int supervisor_run(struct vm_plan *plan, struct error *err)
{
    static struct supervisor supervisor;
    struct supervisor *s = &supervisor;
    int ret;

    s->plan = plan;
    s->machine.end_fd = -1;
    ret = build(s, err);
    if (ret == 0)
        ret = start_threads(s, err);
    if (ret == 0)
        ret = send_ready(s, err);
    if (ret < 0)
        return ret;
    ret = loop_run(s->loop);
    if (ret < 0) {
        report_error("event loop: %s", strerror(-ret));
        return SESSION_STATUS_FAILED;
    }
    print_exits(s, "exits in all:\n");
    if (s->control)
        control_server_part(s->control);
    if (session_out_of_memory(s->session))
        exhaust_memory(plan->exhaust_mib);
    /* Threads may still be running the guest: the process ends as a whole, without tidying up. */
    return session_status(s->session);
}
