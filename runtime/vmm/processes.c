/* The table of processes. There are few enough for a list. */
#include "vmm/processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "init/protocol.h"
#include "lib/fd.h"

/* Streams of a process with a terminal: to it and from it. */
#define TERMINAL_STREAMS 2u

static void destroy(struct processes *processes, struct process *process)
{
    for (unsigned int i = 0; i < process->slots; i++) {
        processes->stream_count -= process->streams[i].stream != NULL;
        stream_close(process->streams[i].stream);
    }
    free(process);
}

static int open_stream(struct processes *processes, struct process *process, unsigned int slot,
                       struct stream_config *config, struct error *err)
{
    config->loop = processes->loop;
    config->proc_fd = processes->proc_fd;
    process->streams[slot].stream = stream_open(config);
    if (!process->streams[slot].stream)
        return error_set_errno(err, "descriptor %u", slot);
    processes->stream_count++;
    return 0;
}

static int open_stdio(struct processes *processes, struct process *process,
                      const struct process_descriptors *descriptors, int *fds, struct error *err)
{
    bool terminal = descriptors->terminal;
    int ret = 0;

    for (unsigned int i = 0; i < (terminal ? TERMINAL_STREAMS : STREAM_COUNT) && ret == 0; i++) {
        int *fd = terminal ? &fds[0] : &fds[i];
        struct stream_config config = { .input = i == 0,
                                        .fd = *fd,
                                        .ownership = descriptors->ownership };

        /* A terminal is there for both of its streams, and stderr for reports. */
        if ((terminal && i == 0) || *fd == STDERR_FILENO)
            config.ownership = STREAM_KEEP;
        if (config.ownership == STREAM_TAKE)
            *fd = -1;
        ret = open_stream(processes, process, i, &config, err);
    }
    return ret;
}

static int open_further(struct processes *processes, struct process *process,
                        const struct process_descriptors *descriptors, int *fds, struct error *err)
{
    int ret = 0;

    for (unsigned int i = 0; i < descriptors->further && ret == 0; i++) {
        struct stream_config config = { .input = descriptors->kinds[i] == DESCRIPTOR_INPUT,
                                        .both = descriptors->kinds[i] == DESCRIPTOR_SOCKET,
                                        .fd = steal_fd(&fds[i]),
                                        .ownership = STREAM_TAKE };

        ret = open_stream(processes, process, STREAM_COUNT + i, &config, err);
    }
    return ret;
}

static struct process *add(struct processes *processes,
                           const struct process_descriptors *descriptors, int *fds,
                           struct error *err)
{
    unsigned int slots = STREAM_COUNT + (unsigned int)descriptors->further;
    size_t standard = descriptors->terminal ? 1 : STREAM_COUNT;
    struct process *process;

    if (processes->stream_count + slots > PROCESSES_STREAMS_MAX) {
        error_set(err, EAGAIN, "too many processes: their streams would be more than %u",
                  PROCESSES_STREAMS_MAX);
        return NULL;
    }
    process = calloc(1, sizeof(*process) + slots * sizeof(process->streams[0]));
    if (!process) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    process->slots = slots;
    if (open_stdio(processes, process, descriptors, fds, err) < 0 ||
        open_further(processes, process, descriptors, fds + standard, err) < 0) {
        destroy(processes, process);
        return NULL;
    }
    return process;
}

struct process *processes_add(struct processes *processes,
                              const struct process_descriptors *descriptors, struct error *err)
{
    size_t count = process_descriptor_count(descriptors);
    size_t standard = count - descriptors->further;
    int left[STREAM_COUNT + PROTOCOL_DESCRIPTORS_MAX];
    struct process *process, **end = &processes->first;

    memcpy(left, descriptors->fds, count * sizeof(left[0]));
    processes_sweep(processes);
    process = add(processes, descriptors, left, err);
    if (!process) {
        for (size_t i = descriptors->ownership == STREAM_TAKE ? 0 : standard; i < count; i++)
            fd_close(&left[i]);
        return NULL;
    }
    process->number = processes->next_number++;
    while (*end)
        end = &(*end)->next;
    *end = process;
    return process;
}

void processes_remove(struct processes *processes, struct process *process)
{
    struct process **at = &processes->first;

    while (*at && *at != process)
        at = &(*at)->next;
    if (*at)
        *at = process->next;
    destroy(processes, process);
}

/* The first process stays: the machine ends with it. */
static bool is_over(const struct process *process)
{
    if (!process->drained || process->number == 0)
        return false;
    for (unsigned int i = 0; i < process->slots; i++)
        if (process->streams[i].stream && stream_connected(process->streams[i].stream))
            return false;
    return true;
}

void processes_sweep(struct processes *processes)
{
    struct process **at = &processes->first;

    while (*at) {
        struct process *process = *at;

        if (is_over(process)) {
            *at = process->next;
            destroy(processes, process);
        } else {
            at = &process->next;
        }
    }
}

struct process *processes_find(const struct processes *processes, uint64_t number)
{
    struct process *process = processes->first;

    while (process && process->number != number)
        process = process->next;
    return process;
}

void processes_release(struct processes *processes)
{
    while (processes->first)
        processes_remove(processes, processes->first);
}

struct process_stream *processes_claimable(const struct processes *processes, uint64_t number,
                                           uint64_t stream)
{
    struct process *process = processes_find(processes, number);

    if (!process || process->ended || stream >= process->slots ||
        !process->streams[stream].stream || process->streams[stream].claimed)
        return NULL;
    return &process->streams[stream];
}

static void stream_idle(void *context)
{
    struct process *process = context;

    if (!process->finishing || process->drained)
        return;
    for (unsigned int i = 0; i < process->slots; i++)
        if (process->streams[i].stream && !stream_finished(process->streams[i].stream))
            return;
    process->drained = true;
    process->settled(process->settled_context, process);
}

void process_finish(struct process *process,
                    void (*settled)(void *context, struct process *process), void *context)
{
    process->settled = settled;
    process->settled_context = context;
    for (unsigned int i = 0; i < process->slots; i++)
        if (process->streams[i].stream)
            stream_finish(process->streams[i].stream, stream_idle, process);
    /* Not before each of them knows what is due. */
    process->finishing = true;
    stream_idle(process);
}
