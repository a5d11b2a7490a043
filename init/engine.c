/*
 * init's engine. One thread, one loop: messages of the host, SIGCHLD, and what containers have in
 * it (container.c): reports of children that prepare themselves, streams, sockets.
 */
#include "init/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/cgroups.h"
#include "init/container.h"
#include "init/io.h"
#include "init/reclaim.h"
#include "init/setup.h"

void engine_sent(struct engine *engine, int ret)
{
    if (ret < 0 && !engine->fatal)
        engine->fatal = ret;
}

/* Everything that ends in this machine without a parent ends here. */
static void signals_ready(struct watch *watch, uint32_t events)
{
    struct engine *engine = watch->context;
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    if (read(watch->fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
        engine_sent(engine, -errno);
    /* One signal may stand for many children. */
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid == engine->reclaimer)
            engine->reclaimer = 0;
        else
            container_reap(engine, pid, status);
    }
}

/* Return: the container of the message, or NULL with the failure set. */
static struct container *find_container(const struct engine *engine,
                                        const struct protocol_header *header,
                                        struct failure *failure)
{
    struct container *container = container_find(engine, header->container);

    if (!container)
        failure_set(failure, ESRCH, "no such process");
    return container;
}

/* Return: the field as a number, or @absent; a malformed one sets *@bad. */
static uint64_t field_number(struct protocol_reader fields, uint16_t tag, uint64_t absent,
                             bool *bad)
{
    struct protocol_field field;

    return protocol_find(fields, tag, &field) == 1 ? protocol_u64(&field, bad) : absent;
}

static void answer(struct engine *engine, const struct protocol_header *header)
{
    engine_sent(engine,
                channel_send_result(&engine->channel, header->container, header->sequence, NULL));
}

static int handle_setup(struct engine *engine, const struct protocol_header *header,
                        struct protocol_reader fields, struct failure *failure)
{
    struct protocol_field field;
    int ret = setup_apply(fields, engine->config.places.shares, failure);

    if (ret < 0)
        return ret;
    if (protocol_find(fields, FIELD_SECRET, &field) == 1) {
        if (field.value.length != sizeof(engine->secret))
            return failure_set(failure, EPROTO, "setup: malformed secret");
        memcpy(engine->secret, field.value.data, sizeof(engine->secret));
    }
    if (protocol_find(fields, FIELD_SHARE_TAG, &field) == 1)
        engine->shares_mounted = true;
    answer(engine, header);
    return 0;
}

/* Answered when the child reports. */
static int handle_container(struct engine *engine, const struct protocol_header *header,
                            struct protocol_reader fields, struct failure *failure)
{
    struct container_plan plan;
    int ret;

    if (container_find(engine, header->container))
        return failure_set(failure, EEXIST, "container %u exists already", header->container);
    ret = container_plan_parse(&plan, fields, failure);
    if (ret == 0)
        ret = container_create(engine, header->container, header->sequence, &plan, failure);
    container_plan_free(&plan);
    return ret;
}

/* Answered when the exec has succeeded or failed. */
static int handle_start(struct engine *engine, const struct protocol_header *header,
                        struct protocol_reader fields, struct failure *failure)
{
    struct container *container = find_container(engine, header, failure);

    return container ? container_start(container, header->sequence, failure) : -ESRCH;
}

/* Likewise. */
static int handle_exec(struct engine *engine, const struct protocol_header *header,
                       struct protocol_reader fields, struct failure *failure)
{
    struct container *container = find_container(engine, header, failure);
    struct process_plan plan;
    bool bad = false;
    uint64_t process = field_number(fields, FIELD_PROCESS, 0, &bad);
    int ret;

    if (!container)
        return -ESRCH;
    if (bad || process == 0 || process > UINT32_MAX)
        return failure_set(failure, EINVAL, "exec: a process number above 0 is expected");
    ret = process_plan_parse(&plan, fields, failure);
    if (ret == 0)
        ret = container_exec(container, (uint32_t)process, header->sequence, &plan, failure);
    process_plan_free(&plan);
    return ret;
}

/* Has no answer: who is gone already needs no signal. */
static int handle_signal(struct engine *engine, const struct protocol_header *header,
                         struct protocol_reader fields, struct failure *failure)
{
    struct container *container = container_find(engine, header->container);
    bool bad = false;
    uint64_t number = field_number(fields, FIELD_SIGNAL, 0, &bad);
    uint64_t id = field_number(fields, FIELD_PROCESS, 0, &bad);
    uint64_t all = field_number(fields, FIELD_ALL, 0, &bad);
    const struct process *process;

    if (bad || !container || number == 0 || number >= NSIG || id > UINT32_MAX)
        return 0;
    if (all && container->cgroup >= 0) {
        cgroups_signal(container->cgroup, (int)number);
        return 0;
    }
    process = container_process(container, (uint32_t)id);
    if (process && process->pid > 0)
        kill(process->pid, (int)number);
    return 0;
}

/* Has no answer either. */
static int handle_resize(struct engine *engine, const struct protocol_header *header,
                         struct protocol_reader fields, struct failure *failure)
{
    struct container *container = container_find(engine, header->container);
    bool bad = false;
    uint64_t id = field_number(fields, FIELD_PROCESS, 0, &bad);
    uint64_t rows = field_number(fields, FIELD_ROWS, 0, &bad);
    uint64_t columns = field_number(fields, FIELD_COLUMNS, 0, &bad);
    struct process *process;

    if (bad || !container || id > UINT32_MAX || rows > UINT16_MAX || columns > UINT16_MAX)
        return 0;
    process = container_process(container, (uint32_t)id);
    if (process)
        process_resize(process, (uint16_t)rows, (uint16_t)columns);
    return 0;
}

static int handle_stats(struct engine *engine, const struct protocol_header *header,
                        struct protocol_reader fields, struct failure *failure)
{
    const struct container *container = find_container(engine, header, failure);

    if (!container)
        return -ESRCH;
    engine_sent(engine, channel_send_stats(&engine->channel, header->container, header->sequence,
                                           container->cgroup));
    return 0;
}

static int handle_update(struct engine *engine, const struct protocol_header *header,
                         struct protocol_reader fields, struct failure *failure)
{
    const struct container *container = find_container(engine, header, failure);
    struct limits_plan limits;
    int ret;

    if (!container)
        return -ESRCH;
    ret = limits_plan_parse(&limits, fields, failure);
    if (ret == 0)
        ret = cgroups_limit(container->cgroup, &limits, failure);
    if (ret == 0)
        answer(engine, header);
    return ret;
}

/* A container without names is better than none: dockerd, too, only says what is wrong. */
static void start_resolver(struct engine *engine)
{
    const struct resolver_config config = { .epoll = engine->epoll,
                                            .connect_port = engine->config.connect_port,
                                            .secret = engine->secret,
                                            .cgroup = engine->config.cgroup };
    struct failure failure;

    if (resolver_start(&engine->resolver, &config, &failure) < 0)
        engine_sent(engine, channel_send_log(&engine->channel, failure.text));
}

static int handle_network(struct engine *engine, const struct protocol_header *header,
                          struct protocol_reader fields, struct failure *failure)
{
    bool bad = false;
    int ret = network_apply(&engine->network, fields, failure);

    if (ret < 0)
        return ret;
    if (field_number(fields, FIELD_RESOLVER, 0, &bad) == 1 && !bad)
        start_resolver(engine);
    answer(engine, header);
    return 0;
}

/* Has no answer, and one at a time is enough: the host asks again if it was not. */
static int handle_reclaim(struct engine *engine, const struct protocol_header *header,
                          struct protocol_reader fields, struct failure *failure)
{
    pid_t child = engine->reclaimer ? 0 : reclaim_start("/proc/sys/vm/drop_caches");

    if (child > 0)
        engine->reclaimer = child;
    return 0;
}

/* A handler that returns an error has not answered: then the failure is the answer. */
static const struct {
    uint16_t type;
    int (*handle)(struct engine *engine, const struct protocol_header *header,
                  struct protocol_reader fields, struct failure *failure);
} messages[] = {
    { MESSAGE_SETUP, handle_setup },     { MESSAGE_CONTAINER, handle_container },
    { MESSAGE_START, handle_start },     { MESSAGE_SIGNAL, handle_signal },
    { MESSAGE_BIND, handle_setup },      { MESSAGE_EXEC, handle_exec },
    { MESSAGE_RESIZE, handle_resize },   { MESSAGE_STATS, handle_stats },
    { MESSAGE_UPDATE, handle_update },   { MESSAGE_NETWORK, handle_network },
    { MESSAGE_RECLAIM, handle_reclaim },
};

static void engine_handle(struct engine *engine, const struct protocol_header *header,
                          struct protocol_reader fields)
{
    struct failure failure;
    int ret = -ENOSYS;

    failure_set(&failure, ENOSYS, "message type %u is not known to init", header->type);
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (messages[i].type == header->type)
            ret = messages[i].handle(engine, header, fields, &failure);
    if (ret < 0)
        engine_sent(engine, channel_send_result(&engine->channel, header->container,
                                                header->sequence, &failure));
}

static void control_ready(struct watch *watch, uint32_t events)
{
    struct engine *engine = watch->context;
    struct protocol_header header;
    struct protocol_reader fields;
    int ret;

    while ((ret = channel_take(&engine->channel, &header, &fields)) == 1)
        engine_handle(engine, &header, fields);
    engine_sent(engine, ret);
}

int engine_init(struct engine *engine, const struct engine_config *config)
{
    sigset_t mask;
    int ret;

    *engine = (struct engine) { .config = *config, .epoll = -1 };
    channel_init(&engine->channel, config->control);
    network_init(&engine->network, &links_of_slots);
    resolver_init(&engine->resolver);
    engine->control = watch_of(config->control, control_ready, engine);
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    /*
     * Children are born as copies of init, those of an exec among the processes of a container:
     * none of these, hooks included, is to look into them or to use their /proc/PID (CVE-2016-9962,
     * CVE-2019-5736). Their exec ends that.
     */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    engine->signals =
        watch_of(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), signals_ready, engine);
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (engine->signals.fd < 0 || engine->epoll < 0)
        return -errno;
    ret = watch_set(&engine->signals, engine->epoll, EPOLLIN);
    return ret < 0 ? ret : watch_set(&engine->control, engine->epoll, EPOLLIN);
}

int engine_run(struct engine *engine, const char *release)
{
    engine_sent(engine, channel_send_hello(&engine->channel, release));
    while (!engine->fatal)
        engine_sent(engine, events_run_one(engine->epoll));
    return engine->fatal;
}

void engine_destroy(struct engine *engine)
{
    while (engine->containers)
        container_destroy(engine->containers);
    resolver_stop(&engine->resolver);
    watch_stop(&engine->control);
    watch_close(&engine->signals);
    io_close(&engine->epoll);
    channel_destroy(&engine->channel);
}
