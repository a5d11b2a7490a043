/*
 * virtio-console, output only. The output may be a pipe that nobody empties, and the loop's thread
 * must not wait for it, nor the guest, whose kernel spins until its text is taken: what the output
 * does not take at once is dropped, and the next text that it takes is preceded by how much.
 */
#include "vmm/virtio/console.h"

#include <errno.h>
#include <limits.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CONSOLE_QUEUE_SIZE 64u
#define CONSOLE_KICK_MAX   64u /* chains per kick */

enum { CONSOLE_QUEUE_RECEIVE, CONSOLE_QUEUE_TRANSMIT, CONSOLE_QUEUES };

struct console {
    struct virtio_device device;
    int output;
    uint32_t taken;   /* bytes, written or dropped, up to CONSOLE_OUTPUT_MAX */
    uint32_t dropped; /* bytes since the output last took something */
};

/*
 * Writes without waiting. A pipe that polls as writable takes PIPE_BUF bytes (pipe(7)), so that is
 * what one write is given. The descriptor's O_NONBLOCK is not ours to change: others share it.
 *
 * Return: bytes written.
 */
static size_t write_now(int fd, const char *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
        size_t piece = length - done < PIPE_BUF ? length - done : PIPE_BUF;
        ssize_t n;

        /*
         * Anything besides POLLOUT: the reader is gone, and write(2) would raise SIGPIPE. ppoll
         * rather than poll: vCPUs may call it.
         */
        if (ppoll(&poll_fd, 1, &(struct timespec) { 0 }, NULL) != 1 || poll_fd.revents != POLLOUT)
            break;
        n = write(fd, data + done, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* Says what is missing before this place. Return: false when the output still takes nothing. */
static bool report_dropped(struct console *console)
{
    char line[80];
    int length;

    if (console->dropped == 0)
        return true;
    length =
        snprintf(line, sizeof(line), "\nvmrt: console: %u bytes dropped here\n", console->dropped);
    if (write_now(console->output, line, (size_t)length) == 0)
        return false;
    console->dropped = 0;
    return true;
}

static void write_output(struct console *console, const char *data, size_t length)
{
    static const char last[] = "\nvmrt: console: limit reached, the rest is dropped\n";
    size_t room = CONSOLE_OUTPUT_MAX - console->taken;
    size_t piece = length < room ? length : room, n = 0;

    if (room == 0)
        return;
    if (report_dropped(console))
        n = write_now(console->output, data, piece);
    console->dropped += piece - n;
    console->taken += (uint32_t)piece;
    if (piece == room)
        write_now(console->output, last, sizeof(last) - 1);
}

void console_write(struct virtio_device *device, const char *text, size_t length)
{
    pthread_mutex_lock(&device->lock);
    write_output((struct console *)device, text, length);
    pthread_mutex_unlock(&device->lock);
}

static uint32_t handle_text(struct virtio_device *device, const struct virtqueue_chain *chain)
{
    struct console *console = (struct console *)device;

    for (unsigned int i = 0; i < chain->out_count; i++)
        write_output(console, chain->iov[i].iov_base, chain->iov[i].iov_len);
    return 0;
}

static void kick(struct virtio_device *device)
{
    virtio_device_serve(device, &device->queues[CONSOLE_QUEUE_TRANSMIT], CONSOLE_KICK_MAX,
                        handle_text);
}

static void activate(struct virtio_device *device)
{
    /* Nothing is ever sent to the guest: its receive buffers may lie. */
    virtqueue_disable_notify(&device->queues[CONSOLE_QUEUE_RECEIVE]);
}

static void read_config(struct virtio_device *device, uint32_t offset, void *data, uint32_t length)
{
    /* No feature of §5.3.3 is offered, so that no field is valid. */
    static const struct virtio_console_config config;

    (void)device;
    virtio_config_copy(&config, sizeof(config), offset, data, length);
}

static const struct virtio_ops console_ops = {
    .name = "console",
    .id = VIRTIO_ID_CONSOLE,
    .queue_count = CONSOLE_QUEUES,
    .queue_size = CONSOLE_QUEUE_SIZE,
    .read_config = read_config,
    .activate = activate,
    .kick = kick,
};

struct virtio_device *console_create(struct guest_memory *memory, int kick_fd, int interrupt_fd,
                                     int output)
{
    struct console *console = malloc(sizeof(*console));

    if (!console)
        return NULL;
    *console = (struct console) { .output = output };
    virtio_device_init(&console->device, &console_ops, memory, kick_fd, interrupt_fd);
    return &console->device;
}

void console_destroy(struct virtio_device *device)
{
    if (!device)
        return;
    virtio_device_destroy(device);
    free(device);
}
