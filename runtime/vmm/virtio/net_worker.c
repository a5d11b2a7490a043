/* The threads of virtio-net: waiting, and giving each queue pair its turn. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/virtio/net_internal.h"

#define EVENTS_MAX 32

/*
 * Edge-triggered all of them: an eventfd need not be drained (one system call less for each
 * notification), and a TAP whose packets nobody can take yet does not wake the thread again.
 */
#define EVENTS_WATCHED (EPOLLIN | EPOLLET)

/* Data of an event: the pair's id above the kind; id 0 is the worker itself. */
#define EVENT_KIND_BITS 3

struct net_workers *net_workers_create(unsigned int count)
{
    struct net_workers *workers;

    if (count == 0 || count > NET_PAIRS_MAX) {
        errno = EINVAL;
        return NULL;
    }
    workers = calloc(1, sizeof(*workers) + count * sizeof(workers->workers[0]));
    if (!workers)
        return NULL;
    workers->count = count;
    for (unsigned int i = 0; i < count; i++) {
        struct net_worker *worker = &workers->workers[i];

        worker->epoll_fd = -1;
        worker->next_id = 1;
        pthread_mutex_init(&worker->turnstile, NULL);
        pthread_mutex_init(&worker->lock, NULL);
    }
    workers->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned int i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN };
        struct net_worker *worker = &workers->workers[i];

        worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, workers->stop_fd, &event) < 0) {
            int saved = errno;

            net_workers_destroy(workers);
            errno = saved;
            return NULL;
        }
    }
    return workers;
}

void net_workers_destroy(struct net_workers *workers)
{
    if (!workers)
        return;
    for (unsigned int i = 0; i < workers->count; i++) {
        struct net_worker *worker = &workers->workers[i];

        fd_close(&worker->epoll_fd);
        pthread_mutex_destroy(&worker->turnstile);
        pthread_mutex_destroy(&worker->lock);
    }
    fd_close(&workers->stop_fd);
    free(workers);
}

static void enter(struct net_worker *worker)
{
    pthread_mutex_lock(&worker->turnstile);
    pthread_mutex_lock(&worker->lock);
    pthread_mutex_unlock(&worker->turnstile);
}

static void leave(struct net_worker *worker)
{
    pthread_mutex_unlock(&worker->lock);
}

static int watch(struct net_pair *pair, int fd, unsigned int kind)
{
    struct epoll_event event = {
        .events = EVENTS_WATCHED,
        .data.u64 = (uint64_t)pair->id << EVENT_KIND_BITS | kind,
    };

    return epoll_ctl(pair->worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int net_worker_add(struct net_workers *workers, struct net_pair *pair, unsigned int number)
{
    struct net_worker *worker = &workers->workers[number % workers->count];
    int ret;

    enter(worker);
    pair->worker = worker;
    pair->id = worker->next_id++;
    pair->next = worker->pairs;
    worker->pairs = pair;
    ret = pair->vhost_fd < 0 ? watch(pair, pair->tap_fd, NET_EVENT_TAP) : 0;
    if (ret == 0 && pair->kick_fd >= 0)
        ret = watch(pair, pair->kick_fd, NET_EVENT_KICK);
    if (ret == 0 && pair->index == 0)
        ret = watch(pair, pair->net->virtio.kick_fd, NET_EVENT_DEVICE);
    leave(worker);
    return ret;
}

static void forget(struct net_pair *pair, int fd)
{
    if (fd >= 0)
        epoll_ctl(pair->worker->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void net_worker_forget_tap(struct net_pair *pair)
{
    forget(pair, pair->tap_fd);
}

void net_worker_remove(struct net_pair *pair)
{
    struct net_worker *worker = pair->worker;

    if (!worker)
        return;
    enter(worker);
    for (struct net_pair **p = &worker->pairs; *p; p = &(*p)->next)
        if (*p == pair) {
            *p = pair->next;
            break;
        }
    forget(pair, pair->tap_fd);
    forget(pair, pair->kick_fd);
    if (pair->index == 0)
        forget(pair, pair->net->virtio.kick_fd);
    leave(worker);
    pair->worker = NULL;
}

void net_worker_wake(struct net_pair *pair)
{
    const uint64_t one = 1;

    fd_write_full(pair->kick_fd, &one, sizeof(one));
}

/* What concerns all of the device, and passing on a notification that was for any of its queues. */
static void device_kicked(struct net *net)
{
    pthread_mutex_lock(&net->virtio.lock);
    net_settle(net);
    net_control_run(net);
    pthread_mutex_unlock(&net->virtio.lock);
    for (unsigned int i = 0; i < net->pair_count; i++) {
        if (net->pairs[i].vhost_fd >= 0)
            net_vhost_wake(&net->pairs[i]);
        else if (i > 0)
            net_worker_wake(&net->pairs[i]);
    }
}

/*
 * Queue 2 belongs to the second pair only if the driver knows of several (§5.1.2): to any other it
 * is the control queue, whose notifications then come here.
 */
static void second_pair_kicked(struct net *net)
{
    pthread_mutex_lock(&net->virtio.lock);
    /* The driver may have started the device just now: settling later would undo the command. */
    net_settle(net);
    net_control_run(net);
    pthread_mutex_unlock(&net->virtio.lock);
}

/* One turn of @pair, if there is something to do. Return: whether there is more. */
static bool run_pair(struct net_pair *pair)
{
    struct net *net = pair->net;
    unsigned int events = pair->events, trouble = 0;
    bool control;

    if (!events && !pair->again)
        return false;
    pair->events = 0;
    if (events & NET_EVENT_DEVICE)
        device_kicked(net);
    if (atomic_load(&net->holding)) {
        /* Let the one that waits for this thread go first. */
        pthread_mutex_lock(&net->virtio.lock);
        pthread_mutex_unlock(&net->virtio.lock);
    }
    pthread_mutex_lock(&pair->lock);
    if (events & NET_EVENT_TAP)
        pair->tap_ready = true;
    if (events & (NET_EVENT_KICK | NET_EVENT_DEVICE)) {
        pair->starved = false;
        pair->tx_ready = true;
    }
    if (pair->running) {
        trouble = net_transmit_run(pair);
        trouble |= net_receive_run(pair);
    }
    /* Without its interface a pair still returns what the driver sends. */
    pair->again = pair->running && !(trouble & NET_TROUBLE_BROKEN) &&
                  (pair->tx_ready || net_receive_ready(pair));
    pair->waits = pair->running && pair->starved;
    control = pair->index == 1 && !pair->running && events & NET_EVENT_KICK;
    pthread_mutex_unlock(&pair->lock);
    if (control)
        second_pair_kicked(net);
    if (trouble)
        net_handle_trouble(net, trouble);
    return pair->again;
}

static void note(struct net_worker *worker, const struct epoll_event *event)
{
    uint64_t id = event->data.u64 >> EVENT_KIND_BITS;

    for (struct net_pair *pair = worker->pairs; pair; pair = pair->next)
        if (pair->id == id)
            pair->events |= event->data.u64 & ((1u << EVENT_KIND_BITS) - 1);
}

/* Return: 1, or 0 when the workers are to stop, or -errno. */
static int step(struct net_worker *worker, int timeout)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(worker->epoll_fd, events, EVENTS_MAX, worker->busy ? 0 : timeout);
    bool busy = false, stop = false, starved = false;

    if (count < 0)
        return errno == EINTR ? 1 : -errno;
    enter(worker);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == 0)
            stop = true;
        else
            note(worker, &events[i]);
    }
    worker->moved = worker->most = 0;
    for (struct net_pair *pair = worker->pairs; pair; pair = pair->next) {
        busy |= run_pair(pair);
        starved |= pair->waits;
    }
    worker->busy = busy;
    net_pace_round(&worker->pace, worker->moved, worker->most, starved);
    leave(worker);
    return !stop;
}

int net_worker_step(struct net_workers *workers, unsigned int index, int timeout)
{
    int ret = step(&workers->workers[index], timeout);

    return ret < 0 ? ret : workers->workers[index].busy;
}

int net_worker_serve(struct net_workers *workers, unsigned int index)
{
    int ret;

    do {
        ret = step(&workers->workers[index], -1);
    } while (ret > 0);
    return ret;
}

void net_workers_stop(struct net_workers *workers)
{
    const uint64_t one = 1;

    fd_write_full(workers->stop_fd, &one, sizeof(one));
}
