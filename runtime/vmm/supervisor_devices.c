/* The devices of a machine, made and put into their slots. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/supervisor_internal.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"

static void handle_kick(void *context, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    virtio_device_kicked(context);
}

static void handle_crowd(void *context, int fd, uint32_t events)
{
    struct supervisor *s = context;
    eventfd_t count;

    (void)events;
    if (eventfd_read(fd, &count) == 0)
        session_reclaim(s->session);
}

/* A device whose queues the main loop serves. */
static int add_device(struct supervisor *s, unsigned int slot, struct virtio_device *device,
                      struct error *err)
{
    int ret;

    if (!device)
        return error_set_errno(err, "device in slot %u", slot);
    ret = loop_add(s->loop, s->machine.slots[slot].kick_fd, EPOLLIN, handle_kick, device);
    return ret < 0 ? error_set(err, -ret, "watch slot %u: %s", slot, strerror(-ret)) : 0;
}

static int create_vsock(struct supervisor *s, struct error *err)
{
    const struct slot *slot = &s->machine.slots[SLOT_VSOCK];
    int ret = machine_prepare_slot(&s->machine, SLOT_VSOCK, err);

    if (ret < 0)
        return ret;
    s->vsock = vsock_create(&s->machine.memory, slot->kick_fd, slot->interrupt_fd, &session_service,
                            s->session);
    ret = add_device(s, SLOT_VSOCK, s->vsock ? vsock_device(s->vsock) : NULL, err);
    return ret < 0 ? ret : machine_attach(&s->machine, SLOT_VSOCK, vsock_device(s->vsock), err);
}

static int create_rng(struct supervisor *s, struct error *err)
{
    const struct slot *slot = &s->machine.slots[SLOT_RNG];
    int ret = machine_prepare_slot(&s->machine, SLOT_RNG, err);

    if (ret < 0)
        return ret;
    s->rng = rng_create(&s->machine.memory, slot->kick_fd, slot->interrupt_fd);
    ret = add_device(s, SLOT_RNG, s->rng, err);
    if (ret < 0 || s->plan->rng_late)
        return ret;
    return machine_attach(&s->machine, SLOT_RNG, s->rng, err);
}

static void write_early(void *console, const char *text, size_t length)
{
    console_write(console, text, length);
}

static int create_console(struct supervisor *s, struct error *err)
{
    const struct slot *slot = &s->machine.slots[SLOT_CONSOLE];
    int ret;

    if (s->plan->console == CONSOLE_OFF)
        return 0;
    ret = machine_prepare_slot(&s->machine, SLOT_CONSOLE, err);
    if (ret < 0)
        return ret;
    s->console =
        console_create(&s->machine.memory, slot->kick_fd, slot->interrupt_fd,
                       s->plan->console == CONSOLE_STDERR ? STDERR_FILENO : s->plan->console_fd);
    ret = add_device(s, SLOT_CONSOLE, s->console, err);
    for (unsigned int i = 0; ret == 0 && i < s->machine.cpu_count; i++) {
        s->machine.vcpus[i].early.write = write_early;
        s->machine.vcpus[i].early.context = s->console;
    }
    return ret < 0 ? ret : machine_attach(&s->machine, SLOT_CONSOLE, s->console, err);
}

static int create_fs(struct supervisor *s, struct error *err)
{
    const struct slot *slot = &s->machine.slots[SLOT_FS];
    struct vm_plan *plan = s->plan;
    int crowd_fd, ret;

    if (plan->share_count == 0)
        return 0;
    s->shares = calloc(plan->share_count, sizeof(*s->shares));
    if (!s->shares)
        return error_set(err, ENOMEM, "out of memory");
    for (uint32_t i = 0; i < plan->share_count; i++) {
        struct plan_share *share = &plan->shares[i];

        if (share->fd < 0)
            share->fd = open(share->path, O_PATH | O_CLOEXEC);
        if (share->fd < 0)
            return error_set_errno(err, "shares[%u]: %s", i, share->path);
        /* Share 0 is the root filesystem, which is this container's alone. */
        s->shares[i] = (struct fs_share) { .fd = share->fd,
                                           .readonly = share->readonly,
                                           .private_tree = i == 0 };
    }
    ret = fs_server_create(&s->fs_server, s->shares, plan->share_count, plan->proc_fd, err);
    if (ret == 0)
        ret = machine_prepare_slot(&s->machine, SLOT_FS, err);
    if (ret < 0)
        return ret;
    crowd_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (crowd_fd < 0)
        return error_set_errno(err, "eventfd");
    ret = loop_add(s->loop, crowd_fd, EPOLLIN, handle_crowd, s);
    if (ret < 0)
        return error_set(err, -ret, "event loop: %s", strerror(-ret));
    fs_server_watch_files(s->fs_server, plan->files_max, crowd_fd);
    s->fs = fs_device_create(&s->machine.memory, slot->kick_fd, slot->interrupt_fd,
                             SESSION_SHARE_TAG, s->fs_server);
    if (!s->fs)
        return error_set_errno(err, "file server");
    return machine_attach(&s->machine, SLOT_FS, fs_device_virtio(s->fs), err);
}

/*
 * As many workers as the machine has CPUs that could keep them busy. Made now: later there is no
 * making of threads.
 */
static int create_nics(struct supervisor *s, struct error *err)
{
    if (s->plan->control_fd < 0)
        return 0;
    s->net_workers = s->machine.cpu_count < NET_PAIRS_MAX ? s->machine.cpu_count : NET_PAIRS_MAX;
    s->nics = nics_create(&s->machine, SLOT_NICS, s->net_workers);
    return s->nics ? 0 : error_set_errno(err, "network workers");
}

int supervisor_create_devices(struct supervisor *s, struct error *err)
{
    int ret = create_vsock(s, err);

    if (ret == 0)
        ret = create_fs(s, err);
    if (ret == 0)
        ret = create_rng(s, err);
    if (ret == 0)
        ret = create_console(s, err);
    return ret == 0 ? create_nics(s, err) : ret;
}
