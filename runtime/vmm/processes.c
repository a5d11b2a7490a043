/* The table of processes. There are few enough for a list. */
#include "vmm/processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"

/* Streams of a process with a terminal: to it and from it. */
#define TERMINAL_STREAMS 2u

static void destroy(struct processes *processes, struct process *process)
{
    for (int i = 0; i < STREAM_COUNT; i++) {
        processes->stream_count -= process->streams[i].stream != NULL;
        stream_close(process->streams[i].stream);
    }
    free(process);
}

static int open_streams(struct processes *processes, struct process *process, int *fds,
                        bool terminal, enum stream_ownership ownership, struct error *err)
{
    unsigned int count = terminal ? TERMINAL_STREAMS : STREAM_COUNT;

    for (unsigned int i = 0; i < count; i++) {
        struct stream_config config = {
            .loop = processes->loop,
            .input = i == 0,
            .fd = terminal ? fds[0] : fds[i],
            .ownership = ownership,
            .proc_fd = processes->proc_fd,
        };

        /* A terminal is there for both of its streams, and stderr for reports. */
        if ((terminal && i == 0) || config.fd == STDERR_FILENO)
            config.ownership = STREAM_KEEP;
        process->streams[i].stream = stream_open(&config);
        if (config.ownership == STREAM_TAKE)
            fds[terminal ? 0 : i] = -1;
        if (!process->streams[i].stream)
            return error_set_errno(err, "stdio descriptor %u", i);
        processes->stream_count++;
    }
    return 0;
}

struct process *processes_add(struct processes *processes, const int *fds, bool terminal,
                              enum stream_ownership ownership, struct error *err)
{
    unsigned int count = terminal ? TERMINAL_STREAMS : STREAM_COUNT;
    struct process *process = NULL, **end = &processes->first;
    int left[STREAM_COUNT] = { -1, -1, -1 };

    memcpy(left, fds, (terminal ? 1 : STREAM_COUNT) * sizeof(*fds));
    processes_sweep(processes);
    if (processes->stream_count + count > PROCESSES_STREAMS_MAX)
        error_set(err, EAGAIN, "too many processes: their streams would be more than %u",
                  PROCESSES_STREAMS_MAX);
    else if (!(process = calloc(1, sizeof(*process))))
        error_set(err, ENOMEM, "out of memory");
    if (process && open_streams(processes, process, left, terminal, ownership, err) < 0) {
        destroy(processes, process);
        process = NULL;
    }
    if (!process) {
        for (int i = 0; ownership == STREAM_TAKE && i < STREAM_COUNT; i++)
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
    for (int i = 0; i < STREAM_COUNT; i++)
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

    if (!process || process->ended || stream >= STREAM_COUNT || !process->streams[stream].stream ||
        process->streams[stream].claimed)
        return NULL;
    return &process->streams[stream];
}

static void stream_idle(void *context)
{
    struct process *process = context;

    if (!process->finishing || process->drained)
        return;
    for (int i = 0; i < STREAM_COUNT; i++)
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
    for (int i = 0; i < STREAM_COUNT; i++)
        if (process->streams[i].stream)
            stream_finish(process->streams[i].stream, stream_idle, process);
    /* Not before each of them knows what is due. */
    process->finishing = true;
    stream_idle(process);
}
