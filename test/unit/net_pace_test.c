/* virtio-net: when a worker gives way to who makes packets. */
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_packets.h"

/* net_pace.c: rounds of one packet until it is prompt, packets until it tries again. */
#define LONELY 32u
#define PROMPT 640u

static struct buffers buffers;

static int setup_paced(void **state)
{
    struct nic *w;

    assert_int_equal(setup(state), 0);
    w = *state;
    assert_true(nic_bring_up(w, FEATURES_USUAL));
    give_buffers(&buffers, w, 0, RX_BUFFER, NIC_RING);
    net_worker_setup(w->workers, 0);
    return 0;
}

static int teardown_paced(void **state)
{
    const struct sched_param none = { 0 };

    sched_setscheduler(0, SCHED_OTHER, &none);
    return teardown(state);
}

/* A round of the worker that finds @packets. */
static void round_of(struct nic *w, unsigned int packets)
{
    for (unsigned int i = 0; i < packets; i++)
        send_to_guest(w, 0, 60, i);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 0);
    for (unsigned int i = 0; i < packets; i++)
        expect_packet(&buffers, 60, i);
}

static void rounds_of(struct nic *w, unsigned int packets, unsigned int rounds)
{
    for (unsigned int i = 0; i < rounds; i++)
        round_of(w, packets);
}

static void test_a_worker_waits_for_others_at_first(void **state)
{
    (void)state;
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
}

static void test_single_packets_make_a_worker_prompt(void **state)
{
    struct nic *w = *state;

    rounds_of(w, 1, LONELY - 1);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    round_of(w, 1);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static void test_runs_of_packets_keep_it_waiting(void **state)
{
    struct nic *w = *state;

    for (unsigned int i = 0; i < 20; i++) {
        rounds_of(w, 1, LONELY - 1);
        round_of(w, 2);
    }
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
}

static void test_rounds_without_a_packet_say_nothing(void **state)
{
    struct nic *w = *state;

    for (unsigned int i = 0; i < 10 * LONELY; i++) {
        virtio_device_kicked(w->device);
        nic_run(w);
    }
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
}

static void test_a_prompt_worker_tries_again(void **state)
{
    struct nic *w = *state;

    rounds_of(w, 1, LONELY);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    rounds_of(w, 4, PROMPT / 4 - 1);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    round_of(w, 4);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    /* Still nothing but single packets. */
    rounds_of(w, 1, LONELY);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    /* Packets follow each other now. */
    rounds_of(w, 1, PROMPT);
    rounds_of(w, 3, 10 * LONELY);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
}

/* A packet each way at once, as where one answers the other, is no run. */
static void test_one_packet_each_way_is_no_run(void **state)
{
    struct nic *w = *state;
    struct driver_ring *r = &w->rings[1];
    uint32_t head, written;

    memset(driver_at(&w->driver, w->buffers_gpa, 100), 0, 100);
    for (unsigned int i = 0; i < LONELY; i++) {
        offer_packet(w, 1, 0, w->buffers_gpa, 100, 1);
        register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
        round_of(w, 1);
        assert_true(ring_take(r, &head, &written));
        assert_int_equal(recv(w->host[0], answer, sizeof(answer), 0), 100);
    }
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static void test_packets_of_the_guest_count_too(void **state)
{
    struct nic *w = *state;
    struct driver_ring *r = &w->rings[1];
    uint32_t head, written;

    memset(driver_at(&w->driver, w->buffers_gpa, 100), 0, 100);
    rounds_of(w, 1, LONELY - 1);
    for (unsigned int i = 0; i < 2; i++)
        offer_packet(w, 1, (uint16_t)i, w->buffers_gpa, 100, 1);
    register_write(w->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_int_equal(net_worker_step(w->workers, 0, 0), 0);
    assert_true(ring_take(r, &head, &written) && ring_take(r, &head, &written));
    rounds_of(w, 1, LONELY - 1);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    round_of(w, 1);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

/* The driver gives buffers while it handles what it has: what gets into them needs no interrupt. */
static void test_a_worker_is_prompt_while_packets_wait_for_buffers(void **state)
{
    struct nic *w = *state;

    for (unsigned int i = 0; i < NIC_RING + 2; i++)
        send_to_guest(w, 0, 60, i);
    nic_run(w);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    for (unsigned int i = 0; i < NIC_RING; i++)
        expect_packet(&buffers, 60, i);
    nic_kick(w, 0);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    expect_packet(&buffers, 60, NIC_RING);
    expect_packet(&buffers, 60, NIC_RING + 1);
}

/* Whoever starts vmrt with chrt(1) has chosen. */
static void test_a_policy_that_was_given_stays(void **state)
{
    struct nic *w = *state;
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        const struct sched_param none = { 0 };

        if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
            _exit(2);
        net_worker_setup(w->workers, 0);
        rounds_of(w, 1, LONELY);
        _exit(sched_getscheduler(0) != SCHED_IDLE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define PACED(name) cmocka_unit_test_setup_teardown(name, setup_paced, teardown_paced)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACED(test_a_worker_waits_for_others_at_first),
        PACED(test_single_packets_make_a_worker_prompt),
        PACED(test_runs_of_packets_keep_it_waiting),
        PACED(test_rounds_without_a_packet_say_nothing),
        PACED(test_a_prompt_worker_tries_again),
        PACED(test_one_packet_each_way_is_no_run),
        PACED(test_packets_of_the_guest_count_too),
        PACED(test_a_worker_is_prompt_while_packets_wait_for_buffers),
        PACED(test_a_policy_that_was_given_stays),
    };

    signal(SIGPIPE, SIG_IGN); /* TAPs do not have it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
