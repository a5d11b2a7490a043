/*
 * When a worker that is woken takes the CPU from who woke it.
 *
 * Theory of operation: a worker with SCHED_BATCH does not preempt who makes packets, a vCPU or the
 * host's sender, but finds several when its turn comes (sched(7)). That is worth a lot while
 * packets follow each other, and a loss in two cases, in which the worker goes over to SCHED_OTHER:
 *
 * Each packet waits for the answer to the one before. There is never more than one to find, however
 * late the worker is; so it is prompt once it has found no more than one for many rounds. Then a
 * run of packets would look the same, since each is taken as soon as it is there; so after some
 * more it tries again.
 *
 * The driver has run out of buffers, and packets wait. It gives more from within the handling of
 * those it has; what gets into them before that is over needs no interrupt.
 */
#include <sched.h>

#include "vmm/virtio/net_internal.h"

/* Rounds of one packet after which there seems to be nothing to wait for. */
#define LONELY_ROUNDS 32u
/* Packets after which a lonely worker tries again: a try is then a twentieth of all of them. */
#define LONELY_PACKETS 640u

static void choose(struct net_pace *pace, bool prompt)
{
    const struct sched_param none = { 0 };

    pace->prompt = prompt;
    /* Of this thread alone. Without it packets move as well. */
    if (pace->adapts)
        (void)sched_setscheduler(0, prompt ? SCHED_OTHER : SCHED_BATCH, &none);
}

void net_worker_setup(struct net_workers *workers, unsigned int index)
{
    struct net_pace *pace = &workers->workers[index % workers->count].pace;

    pace->adapts = sched_getscheduler(0) == SCHED_OTHER;
    choose(pace, false);
}

void net_pace_round(struct net_pace *pace, unsigned int moved, unsigned int most, bool starved)
{
    if (pace->lonely)
        pace->count += moved;
    else if (moved > 0)
        pace->count = most > 1 || starved ? 0 : pace->count + 1;
    if (pace->count >= (pace->lonely ? LONELY_PACKETS : LONELY_ROUNDS)) {
        pace->count = 0;
        pace->lonely = !pace->lonely;
    }
    if (pace->prompt != (pace->lonely || starved))
        choose(pace, !pace->prompt);
}
