/* Virtqueues: what an honest driver gets, and what each known attack gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "virtio_driver.h"

#define SIZE 8u

struct fixture {
    struct driver driver;
    struct driver_ring ring;
    struct virtqueue queue;
    struct virtqueue_chain chain;
    uint64_t data; /* gpa of 64 KiB */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    driver_init(&f->driver);
    ring_init(&f->ring, &f->driver, SIZE);
    f->data = driver_alloc(&f->driver, 65536);
    f->queue = (struct virtqueue) { .memory = &f->driver.memory,
                                    .size_max = 256,
                                    .size = SIZE,
                                    .indirect = true,
                                    .event_idx = true,
                                    .desc_gpa = f->ring.desc_gpa,
                                    .avail_gpa = f->ring.avail_gpa,
                                    .used_gpa = f->ring.used_gpa };
    assert_int_equal(virtqueue_start(&f->queue), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    driver_finish(&f->driver);
    free(f);
    return 0;
}

static int pop(struct fixture *f)
{
    return virtqueue_pop(&f->queue, &f->chain);
}

/* The attack was seen, and nothing happens on the queue afterwards. */
static void assert_broken(struct fixture *f)
{
    uint16_t used = f->ring.used[1];

    assert_int_equal(pop(f), -EIO);
    assert_true(f->queue.broken);
    assert_int_equal(pop(f), -EIO);
    assert_false(virtqueue_has_next(&f->queue));
    assert_false(virtqueue_enable_notify(&f->queue));
    virtqueue_push(&f->queue, 0, 0);
    assert_int_equal(f->ring.used[1], used);
    assert_false(virtqueue_wants_interrupt(&f->queue));
}

static void test_chain_of_readable_and_writable_parts(void **state)
{
    struct fixture *f = *state;
    uint32_t head, written;
    char text[16] = "";

    assert_int_equal(pop(f), 0);
    ring_set(&f->ring, 3, f->data, 5, VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, f->data + 100, 3, VRING_DESC_F_NEXT, 6);
    ring_set(&f->ring, 6, f->data + 200, 50, VRING_DESC_F_WRITE, 0);
    memcpy(driver_at(&f->driver, f->data, 5), "hello", 5);
    memcpy(driver_at(&f->driver, f->data + 100, 3), "you", 3);
    ring_offer(&f->ring, 3);
    assert_true(virtqueue_has_next(&f->queue));
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.head, 3);
    assert_int_equal(f->chain.out_count, 2);
    assert_int_equal(f->chain.in_count, 1);
    assert_int_equal(iov_length(f->chain.iov, 3), 58);
    assert_int_equal(iov_read(f->chain.iov, 2, 3, text, sizeof(text)), 5);
    assert_memory_equal(text, "loyou", 5);
    assert_int_equal(iov_write(&f->chain.iov[2], 1, 48, "abc", 3), 2);
    virtqueue_push(&f->queue, 3, 50);
    assert_true(ring_take(&f->ring, &head, &written));
    assert_int_equal(head, 3);
    assert_int_equal(written, 50);
    assert_false(virtqueue_has_next(&f->queue));
    assert_int_equal(pop(f), 0);
}

static void test_indirect_table(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 48);

    table[0] = (struct vring_desc) { f->data + 100, 10, VRING_DESC_F_NEXT, 2 };
    table[2] = (struct vring_desc) { f->data + 200, 20, VRING_DESC_F_WRITE, 0 };
    /* WRITE on the naming descriptor means nothing (§2.7.5.3.2). */
    ring_set(&f->ring, 0, f->data, 48, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.out_count, 1);
    assert_int_equal(f->chain.in_count, 1);
    assert_int_equal(f->chain.iov[1].iov_len, 20);
}

/* §2.7.5.3.2: direct descriptors may come first. */
static void test_indirect_table_after_direct_descriptors(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16);

    table[0] = (struct vring_desc) { f->data + 200, 20, VRING_DESC_F_WRITE, 0 };
    ring_set(&f->ring, 0, f->data + 100, 7, VRING_DESC_F_NEXT, 4);
    ring_set(&f->ring, 4, f->data, 16, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.out_count, 1);
    assert_int_equal(f->chain.in_count, 1);
}

static void test_chain_as_long_as_the_queue(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16 * SIZE);

    for (uint16_t i = 0; i < SIZE; i++) {
        ring_set(&f->ring, i, f->data, 1, i + 1u < SIZE ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
        table[i] = f->ring.desc[i];
    }
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.out_count, SIZE);
    virtqueue_push(&f->queue, 0, 0);
    ring_set(&f->ring, 0, f->data, 16 * SIZE, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.out_count, SIZE);
}

static void test_zero_length_descriptors_are_left_out(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 0, VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, f->data, 4, VRING_DESC_F_NEXT, 2);
    ring_set(&f->ring, 2, f->data, 0, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.out_count, 1);
    assert_int_equal(f->chain.in_count, 0);
}

static void test_zero_length_descriptors_in_a_loop(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 0, VRING_DESC_F_NEXT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_avail_head_outside_the_queue(void **state)
{
    struct fixture *f = *state;

    ring_offer(&f->ring, SIZE);
    assert_broken(f);
    virtqueue_reset(&f->queue);
    teardown(state);
    setup(state);
    f = *state;
    ring_offer(&f->ring, 0xffff);
    assert_broken(f);
}

static void test_next_outside_the_queue(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 4, VRING_DESC_F_NEXT, SIZE);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_chain_loop(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 4, VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, f->data, 4, VRING_DESC_F_NEXT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_indirect_chain_longer_than_the_queue(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16 * (SIZE + 1));

    for (uint16_t i = 0; i <= SIZE; i++)
        table[i] =
            (struct vring_desc) { f->data, 1, i < SIZE ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1) };
    ring_set(&f->ring, 0, f->data, 16 * (SIZE + 1), VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_indirect_chain_loop(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16);

    table[0] = (struct vring_desc) { f->data, 1, VRING_DESC_F_NEXT, 0 };
    ring_set(&f->ring, 0, f->data, 16, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_indirect_next_outside_the_table(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 32);

    /* Entry 2 would be fine in the queue's own table. */
    table[0] = (struct vring_desc) { f->data, 1, VRING_DESC_F_NEXT, 2 };
    table[2] = (struct vring_desc) { f->data, 1, 0, 0 };
    ring_set(&f->ring, 0, f->data, 32, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_nested_indirect(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16);

    table[0] = (struct vring_desc) { f->data, 16, VRING_DESC_F_INDIRECT, 0 };
    ring_set(&f->ring, 0, f->data, 16, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_indirect_with_next(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16);

    table[0] = (struct vring_desc) { f->data, 16, 0, 0 };
    ring_set(&f->ring, 0, f->data, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, f->data, 16, 0, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_indirect_not_negotiated(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16);

    f->queue.indirect = false;
    table[0] = (struct vring_desc) { f->data, 16, 0, 0 };
    ring_set(&f->ring, 0, f->data, 16, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

/* Every table here would be good but for its place or length. */
static void test_indirect_table_of_bad_place_or_length(void **state)
{
    const struct {
        uint64_t gpa;
        uint32_t length;
    } bad[] = {
        { 0x100004, 16 },          /* misaligned: fields would be torn */
        { 0x100001, 16 },          /* misaligned */
        { 0x100000, 0 },           /* empty */
        { 0x100000, 15 },          /* no whole descriptor */
        { 0x100000, 24 },          /* one and a half */
        { 0x100000, 65537u * 16 }, /* more than next can name */
        { 0x100000, 0xfffffff0u }, /* oversized: beyond memory */
        { DRIVER_END - 16, 32 },   /* beyond the end */
        { DRIVER_SEAM - 16, 32 },  /* across two regions */
        { DRIVER_END, 16 },        /* outside */
        { UINT64_MAX - 15, 32 },   /* wraps around */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        virtqueue_reset(&f->queue);
        teardown(state);
        setup(state);
        f = *state;
        for (uint64_t gpa = 0x100000; gpa < 0x100040; gpa += 16)
            *(struct vring_desc *)driver_at(&f->driver, gpa, 16) =
                (struct vring_desc) { f->data, 1, 0, 0 };
        ring_set(&f->ring, 0, bad[i].gpa, bad[i].length, VRING_DESC_F_INDIRECT, 0);
        ring_offer(&f->ring, 0);
        assert_broken(f);
    }
}

/* A large table of which little is used is no crime. */
static void test_indirect_table_larger_than_its_chain(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *table = driver_at(&f->driver, f->data, 16 * 100);

    table[0] = (struct vring_desc) { f->data, 1, VRING_DESC_F_NEXT, 99 };
    table[99] = (struct vring_desc) { f->data, 1, 0, 0 };
    ring_set(&f->ring, 0, f->data, 16 * 100, VRING_DESC_F_INDIRECT, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.out_count, 2);
}

static void test_buffer_across_two_regions_cve_2019_18960(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, DRIVER_SEAM - 2, 4, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

static void test_buffer_up_to_the_seam_and_from_it(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, DRIVER_SEAM - 4, 4, VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, DRIVER_SEAM, 4, 0, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    assert_ptr_equal(f->chain.iov[1].iov_base, f->driver.memory.regions[1].hva);
}

static void test_buffer_outside_memory(void **state)
{
    const uint64_t bad[] = { DRIVER_END, DRIVER_END - 3, UINT64_MAX - 3, UINT64_MAX, 1ull << 63 };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fixture *f;

        teardown(state);
        setup(state);
        f = *state;
        ring_set(&f->ring, 0, bad[i], 4, 0, 0);
        ring_offer(&f->ring, 0);
        assert_broken(f);
    }
}

static void test_writable_before_readable(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, f->data, 4, 0, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
}

/* §2.7.5.2; the sum must not wrap round in what the used ring tells. */
static void test_chain_of_more_than_4_gib(void **state)
{
    struct fixture *f = *state;
    struct memory_region *r = &f->driver.memory.regions[1];
    uint64_t size = r->size;

    r->size = 0xffffffff; /* never touched */
    ring_set(&f->ring, 0, DRIVER_SEAM, 0xfffffff0, VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, DRIVER_SEAM, 0x20, 0, 0);
    ring_offer(&f->ring, 0);
    assert_broken(f);
    r->size = size;
}

static void test_avail_index_jump_larger_than_the_queue(void **state)
{
    struct fixture *f = *state;

    for (uint16_t i = 0; i < SIZE; i++)
        ring_set(&f->ring, i, f->data, 1, 0, 0);
    f->ring.avail[1] = SIZE + 1;
    assert_broken(f);
}

static void test_avail_index_step_back(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 1, 0, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(pop(f), 1);
    f->ring.avail[1] = 0;
    assert_broken(f);
}

static void test_same_head_twice_in_flight_cve_2026_45782(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 2, f->data, 1, 0, 0);
    ring_offer(&f->ring, 2);
    ring_offer(&f->ring, 2);
    assert_int_equal(pop(f), 1);
    assert_broken(f);
}

static void test_same_head_again_after_it_came_back(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 2, f->data, 1, 0, 0);
    for (int i = 0; i < 3; i++) {
        ring_offer(&f->ring, 2);
        assert_int_equal(pop(f), 1);
        virtqueue_push(&f->queue, 2, 0);
    }
}

static void test_push_of_a_head_not_in_flight(void **state)
{
    struct fixture *f = *state;

    virtqueue_push(&f->queue, 2, 0);
    assert_true(f->queue.broken);
    assert_int_equal(f->ring.used[1], 0);
    virtqueue_reset(&f->queue);
    assert_false(f->queue.broken);
}

static void test_push_of_a_head_outside_the_queue(void **state)
{
    struct fixture *f = *state;

    virtqueue_push(&f->queue, 0xffff, 0);
    assert_true(f->queue.broken);
}

/* Chains come back in any order while both indices wrap at 2^16. */
static void test_index_wrap(void **state)
{
    struct fixture *f = *state;
    uint32_t head, written;

    for (uint16_t i = 0; i < SIZE; i++)
        ring_set(&f->ring, i, f->data, 1, 0, 0);
    for (uint32_t round = 0; round < 3 * 65536 / 4; round++) {
        for (uint16_t i = 0; i < 4; i++)
            ring_offer(&f->ring, i);
        for (uint16_t i = 0; i < 4; i++) {
            assert_int_equal(pop(f), 1);
            assert_int_equal(f->chain.head, i);
        }
        assert_int_equal(pop(f), 0);
        for (uint16_t i = 4; i-- > 0;)
            virtqueue_push(&f->queue, i, round);
        for (uint16_t i = 4; i-- > 0;) {
            assert_true(ring_take(&f->ring, &head, &written));
            assert_int_equal(head, i);
            assert_int_equal(written, round);
        }
        assert_false(ring_take(&f->ring, &head, &written));
    }
}

static void test_start_refuses_bad_sizes_cve_2026_5747(void **state)
{
    const uint16_t bad[] = { 0, 3, 7, 9, 512, 2048, 0x8000, 0xffff };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct virtqueue q = f->queue;

        q.ready = false;
        q.size = bad[i];
        assert_int_equal(virtqueue_start(&q), -EINVAL);
        assert_false(q.ready);
        assert_int_equal(virtqueue_pop(&q, &f->chain), 0);
    }
}

static void test_start_refuses_bad_addresses(void **state)
{
    /* Offsets that make the rings of size 8 (128, 22, 70 bytes) leave their region. */
    const struct {
        uint64_t desc, avail, used;
    } bad[] = {
        { 0x1008, 0x2000, 0x3000 },           { 0x1000, 0x2001, 0x3000 },
        { 0x1000, 0x2000, 0x3002 },           { DRIVER_END - 112, 0x2000, 0x3000 },
        { 0x1000, DRIVER_END - 20, 0x3000 },  { 0x1000, 0x2000, DRIVER_END - 68 },
        { DRIVER_SEAM - 64, 0x2000, 0x3000 }, { 0x1000, DRIVER_SEAM - 20, 0x3000 },
        { 0x1000, 0x2000, DRIVER_SEAM - 68 }, { UINT64_MAX - 15, 0x2000, 0x3000 },
        { 0x1000, 0x2000, DRIVER_END },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct virtqueue q = f->queue;

        q.ready = false;
        q.desc = NULL;
        q.desc_gpa = bad[i].desc;
        q.avail_gpa = bad[i].avail;
        q.used_gpa = bad[i].used;
        assert_int_equal(virtqueue_start(&q), -EINVAL);
        assert_null(q.desc);
        assert_false(q.ready);
    }
    assert_int_equal(virtqueue_start(&f->queue), -EINVAL); /* already ready */
}

static void test_start_at_the_very_end_of_memory(void **state)
{
    struct fixture *f = *state;
    struct virtqueue q = f->queue;

    q.ready = false;
    q.used_gpa = DRIVER_END - 72; /* 70 bytes, aligned to 4 */
    assert_int_equal(virtqueue_start(&q), 0);
    assert_false(virtqueue_enable_notify(&q)); /* writes the last field */
}

static void test_interrupt_by_event_index(void **state)
{
    struct fixture *f = *state;

    for (uint16_t i = 0; i < SIZE; i++) {
        ring_set(&f->ring, i, f->data, 1, 0, 0);
        ring_offer(&f->ring, i);
    }
    assert_false(virtqueue_wants_interrupt(&f->queue)); /* nothing was pushed */
    *ring_used_event(&f->ring) = 2;                     /* after the third */
    for (uint16_t i = 0; i < 6; i++) {
        assert_int_equal(pop(f), 1);
        virtqueue_push(&f->queue, i, 0);
        assert_int_equal(virtqueue_wants_interrupt(&f->queue), i == 2);
    }
    *ring_used_event(&f->ring) = 6;
    assert_int_equal(pop(f), 1);
    virtqueue_push(&f->queue, 6, 0);
    assert_int_equal(pop(f), 1);
    virtqueue_push(&f->queue, 7, 0);
    assert_true(virtqueue_wants_interrupt(&f->queue)); /* crossed within a batch */
    assert_false(virtqueue_wants_interrupt(&f->queue));
}

static void test_interrupt_by_flag(void **state)
{
    struct fixture *f = *state;

    f->queue.event_idx = false;
    ring_set(&f->ring, 0, f->data, 1, 0, 0);
    for (uint16_t flag = 0; flag < 2; flag++) {
        f->ring.avail[0] = flag; /* VRING_AVAIL_F_NO_INTERRUPT */
        ring_offer(&f->ring, 0);
        assert_int_equal(pop(f), 1);
        virtqueue_push(&f->queue, 0, 0);
        assert_int_equal(virtqueue_wants_interrupt(&f->queue), !flag);
        assert_false(virtqueue_wants_interrupt(&f->queue)); /* nothing new */
    }
}

static void test_notification_by_event_index(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->ring, 0, f->data, 1, 0, 0);
    assert_false(virtqueue_enable_notify(&f->queue));
    assert_int_equal(*ring_avail_event(&f->ring), 0);
    ring_offer(&f->ring, 0);
    assert_true(virtqueue_enable_notify(&f->queue)); /* look again */
    assert_int_equal(pop(f), 1);
    assert_false(virtqueue_enable_notify(&f->queue));
    assert_int_equal(*ring_avail_event(&f->ring), 1);
    assert_int_equal(f->ring.used[0], 0);
}

static void test_notification_by_flag(void **state)
{
    struct fixture *f = *state;

    f->queue.event_idx = false;
    virtqueue_disable_notify(&f->queue);
    assert_int_equal(f->ring.used[0], VRING_USED_F_NO_NOTIFY);
    assert_false(virtqueue_enable_notify(&f->queue));
    assert_int_equal(f->ring.used[0], 0);
}

static void test_reset_keeps_memory_and_size_max(void **state)
{
    struct fixture *f = *state;

    virtqueue_reset(&f->queue);
    assert_false(f->queue.ready);
    assert_int_equal(f->queue.size, 0);
    assert_int_equal(f->queue.size_max, 256);
    assert_ptr_equal(f->queue.memory, &f->driver.memory);
    assert_int_equal(pop(f), 0);
    assert_false(virtqueue_enable_notify(&f->queue));
    virtqueue_disable_notify(&f->queue);
    virtqueue_push(&f->queue, 0, 0);
}

static void test_iov_copies_respect_every_edge(void **state)
{
    char a[3] = "abc", b[1] = "d", c[4] = "efgh", out[9] = "";
    const struct iovec iov[] = { { a, 3 }, { b, 1 }, { NULL, 0 }, { c, 4 } };

    (void)state;
    assert_int_equal(iov_length(iov, 4), 8);
    assert_int_equal(iov_length(iov, 0), 0);
    for (size_t offset = 0; offset <= 9; offset++)
        for (size_t length = 0; length <= 9; length++) {
            size_t expected = offset > 8 ? 0 : length < 8 - offset ? length : 8 - offset;

            memset(out, 0, sizeof(out));
            assert_int_equal(iov_read(iov, 4, offset, out, length), expected);
            if (expected)
                assert_memory_equal(out, &"abcdefgh"[offset], expected);
            assert_int_equal(out[expected], 0);
        }
    assert_int_equal(iov_write(iov, 4, 2, "CDEF", 4), 4);
    assert_memory_equal(a, "abC", 3);
    assert_memory_equal(b, "D", 1);
    assert_memory_equal(c, "EFgh", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chain_of_readable_and_writable_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_table_after_direct_descriptors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_chain_as_long_as_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zero_length_descriptors_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zero_length_descriptors_in_a_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_avail_head_outside_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_outside_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_chain_longer_than_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_chain_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_next_outside_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested_indirect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_with_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_not_negotiated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indirect_table_of_bad_place_or_length, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_indirect_table_larger_than_its_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffer_across_two_regions_cve_2019_18960, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_buffer_up_to_the_seam_and_from_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffer_outside_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writable_before_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_of_more_than_4_gib, setup, teardown),
        cmocka_unit_test_setup_teardown(test_avail_index_jump_larger_than_the_queue, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_avail_index_step_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_head_twice_in_flight_cve_2026_45782, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_same_head_again_after_it_came_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_of_a_head_not_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_of_a_head_outside_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_refuses_bad_sizes_cve_2026_5747, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_start_refuses_bad_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_at_the_very_end_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt_by_event_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt_by_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notification_by_event_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notification_by_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_keeps_memory_and_size_max, setup, teardown),
        cmocka_unit_test(test_iov_copies_respect_every_edge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
