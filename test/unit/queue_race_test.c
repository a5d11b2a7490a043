/*
 * Lost wake-ups: a driver and a device, each in its own thread, use one queue as fast as they can
 * and sleep whenever the rules allow it. Should one of them ever sleep while the other believes it
 * awake, both sleep, and the test fails instead of hanging.
 *
 * The driver is written after the rules for drivers (virtio 1.2 §2.7.7, §2.7.10, §2.7.13); the
 * device is queue.c as its users have it. Sleeping is spinning on a flag: system calls would take
 * so much longer than the moments that matter that these would hardly ever be met.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/virtio/queue.h"

#define QUEUE_SIZE 16u
#define PATIENCE   10 /* s that a side sleeps before it calls a wake-up lost */
#define DATA       0x10000u

/* QUEUE_RACE_REQUESTS: more, for a long run by hand. */
#ifdef __SANITIZE_ADDRESS__
#define REQUESTS 300000u
#else
#define REQUESTS 2000000u
#endif

static struct guest_memory memory;
static struct virtqueue queue;
static bool event_idx;
static uint32_t requests;
static bool done;
static uint32_t kicked, interrupted; /* what the other side has not looked at yet */
static uint64_t served;

/* The guest's view of the rings. */
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;

static void relax(unsigned int rounds)
{
    while (rounds--)
        __asm__ volatile("" : : : "memory");
}

static void wake(uint32_t *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_SEQ_CST);
}

/* Return: false when nobody woke this side for far too long. */
static bool sleep_on(uint32_t *flag)
{
    time_t end = 0;

    for (unsigned int spins = 1; !__atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST); spins++) {
        if (spins % 1000)
            continue;
        sched_yield();
        if (end == 0)
            end = time(NULL) + PATIENCE;
        else if (time(NULL) > end)
            return false;
    }
    return true;
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 16;
}

/* As virtio_device_serve() and the vsock device do it. */
static void *device_main(void *unused)
{
    struct virtqueue_chain chain;
    uint32_t random = 7;

    (void)unused;
    while (sleep_on(&kicked) && !__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
        virtqueue_disable_notify(&queue);
        do {
            while (virtqueue_pop(&queue, &chain) > 0) {
                relax(next_random(&random) & 31);
                virtqueue_push(&queue, chain.head, 0);
                served++;
                /* Now for each, now for several at once. */
                if (next_random(&random) & 1 && virtqueue_wants_interrupt(&queue))
                    wake(&interrupted);
            }
        } while (virtqueue_enable_notify(&queue));
        if (virtqueue_wants_interrupt(&queue))
            wake(&interrupted);
    }
    return NULL;
}

/* §2.7.13.4: the index is out before the device's wish is read. */
static void notify(uint16_t before, uint16_t now)
{
    bool wanted;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (event_idx)
        wanted =
            vring_need_event(__atomic_load_n((uint16_t *)&used->ring[QUEUE_SIZE], __ATOMIC_RELAXED),
                             now, before);
    else
        wanted = !(__atomic_load_n(&used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
    if (wanted)
        wake(&kicked);
}

static uint16_t used_index(void)
{
    return __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
}

/* §2.7.7: the wish is out before the index is read again. Return: false when nobody woke it. */
static bool wait_for_used(uint16_t seen)
{
    bool woken = true;

    if (event_idx)
        __atomic_store_n(&avail->ring[QUEUE_SIZE], seen, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&avail->flags, 0, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (woken && used_index() == seen)
        woken = sleep_on(&interrupted);
    if (!event_idx)
        __atomic_store_n(&avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELEASE);
    return woken;
}

/* Batches of all sizes and pauses of many, so that now one side is the faster, now the other. */
static uint32_t drive(void)
{
    uint32_t sent = 0, back = 0, random = 1;
    uint16_t next = 0, seen = 0;

    while (back < requests) {
        uint32_t batch = next_random(&random) & 3;

        for (uint32_t i = 0; i <= batch && sent - back < QUEUE_SIZE && sent < requests; i++) {
            avail->ring[next % QUEUE_SIZE] = next % QUEUE_SIZE;
            __atomic_store_n(&avail->idx, (uint16_t)(next + 1), __ATOMIC_RELEASE);
            notify(next, (uint16_t)(next + 1));
            next++;
            sent++;
            relax(next_random(&random) & 127);
        }
        if (used_index() == seen && next_random(&random) & 1)
            continue;
        if (sent > back && used_index() == seen && !wait_for_used(seen))
            return back;
        while (seen != used_index()) {
            seen++;
            back++;
        }
    }
    return back;
}

static void start_queue(void)
{
    struct error err;

    assert_int_equal(memory_create(&memory, 2u << 20, &err), 0);
    desc = memory_translate(&memory, 0x1000, sizeof(*desc) * QUEUE_SIZE);
    avail = memory_translate(&memory, 0x2000, 4096);
    used = memory_translate(&memory, 0x3000, 4096);
    for (unsigned int i = 0; i < QUEUE_SIZE; i++)
        desc[i] = (struct vring_desc) { .addr = DATA, .len = 64 };
    queue = (struct virtqueue) { .memory = &memory,
                                 .size = QUEUE_SIZE,
                                 .size_max = QUEUE_SIZE,
                                 .event_idx = event_idx,
                                 .desc_gpa = 0x1000,
                                 .avail_gpa = 0x2000,
                                 .used_gpa = 0x3000 };
    assert_int_equal(virtqueue_start(&queue), 0);
    avail->flags = event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
    done = false;
    kicked = interrupted = 0;
    served = 0;
}

static void race(void)
{
    pthread_t thread;
    uint32_t back;

    start_queue();
    assert_int_equal(pthread_create(&thread, NULL, device_main, NULL), 0);
    back = drive();
    __atomic_store_n(&done, true, __ATOMIC_SEQ_CST);
    wake(&kicked);
    pthread_join(thread, NULL);
    if (back != requests)
        print_error("after %u requests the driver was not woken; the device had served %llu\n",
                    back, (unsigned long long)served);
    assert_int_equal(back, requests);
    assert_int_equal(served, requests);
    memory_destroy(&memory);
}

static void test_no_wake_up_is_lost_with_event_idx(void **state)
{
    (void)state;
    event_idx = true;
    race();
}

static void test_no_wake_up_is_lost_with_flags(void **state)
{
    (void)state;
    event_idx = false;
    race();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_up_is_lost_with_event_idx),
        cmocka_unit_test(test_no_wake_up_is_lost_with_flags),
    };
    const char *more = getenv("QUEUE_RACE_REQUESTS");

    requests = more ? (uint32_t)strtoul(more, NULL, 10) : REQUESTS;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
