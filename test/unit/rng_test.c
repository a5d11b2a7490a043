/* virtio-rng: requests are filled, bounded, and cannot keep the thread busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "virtio_driver.h"
#include "vmm/virtio/rng.h"

struct fixture {
    struct driver driver;
    struct driver_ring ring;
    struct virtio_device *device;
    uint64_t data;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    driver_init(&f->driver);
    f->device = rng_create(&f->driver.memory, f->driver.kick_fd, f->driver.interrupt_fd);
    f->device->reported = true;
    ring_init(&f->ring, &f->driver, 8);
    f->data = driver_alloc(&f->driver, 1 << 20);
    assert_int_equal(register_read(f->device, VIRTIO_MMIO_DEVICE_ID), 4);
    assert_true(driver_negotiate(f->device, DRIVER_FEATURES_ALL));
    assert_true(driver_setup_queue(f->device, 0, &f->ring));
    driver_add_status(f->device, VIRTIO_CONFIG_S_DRIVER_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    rng_destroy(f->device);
    driver_finish(&f->driver);
    free(f);
    return 0;
}

static bool all_zero(const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (data[i])
            return false;
    return true;
}

static void test_request_is_filled(void **state)
{
    struct fixture *f = *state;
    const uint8_t *data = driver_at(&f->driver, f->data, 128);
    uint32_t head, written;

    ring_set(&f->ring, 5, f->data, 64, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->ring, 5);
    register_write(f->device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    virtio_device_kicked(f->device);
    assert_true(driver_handle_interrupt(&f->driver, f->device) & VIRTIO_MMIO_INT_VRING);
    assert_true(ring_take(&f->ring, &head, &written));
    assert_int_equal(head, 5);
    assert_int_equal(written, 64);
    assert_false(all_zero(data, 32));
    assert_false(all_zero(data + 32, 32));
    assert_true(all_zero(data + 64, 64));
}

static void test_request_is_bounded(void **state)
{
    struct fixture *f = *state;
    const uint8_t *data = driver_at(&f->driver, f->data, 1 << 20);
    uint32_t head, written;

    ring_set(&f->ring, 0, f->data, 100, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    ring_set(&f->ring, 1, f->data + 4096, (1 << 20) - 4096, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->ring, 0);
    virtio_device_kicked(f->device);
    assert_true(ring_take(&f->ring, &head, &written));
    assert_int_equal(written, 4096);
    assert_true(all_zero(data + 100, 3996));
    assert_false(all_zero(data + 4096 + 3964, 32));
    assert_true(all_zero(data + 8092, (1 << 20) - 8092));
}

static void test_readable_or_empty_request_gets_nothing(void **state)
{
    struct fixture *f = *state;
    uint32_t head, written;

    ring_set(&f->ring, 0, f->data, 64, 0, 0);
    ring_offer(&f->ring, 0);
    ring_set(&f->ring, 1, f->data, 0, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->ring, 1);
    virtio_device_kicked(f->device);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(ring_take(&f->ring, &head, &written));
        assert_int_equal(head, i);
        assert_int_equal(written, 0);
    }
    assert_true(all_zero(driver_at(&f->driver, f->data, 64), 64));
}

/* Adds a request for every one that is answered, as a second vCPU could for ever. */
struct greedy {
    struct virtio_device device;
    struct driver_ring *ring;
    unsigned int handled;
};

static uint32_t greedy_handle(struct virtio_device *device, const struct virtqueue_chain *chain)
{
    struct greedy *g = (struct greedy *)device;

    g->handled++;
    ring_offer(g->ring, chain->head ^ 1);
    return 0;
}

static void test_busy_driver_does_not_keep_the_thread(void **state)
{
    static const struct virtio_ops ops = { .name = "greedy", .queue_count = 1, .queue_size = 8 };
    struct fixture *f = *state;
    struct greedy g = { .ring = &f->ring };

    event_taken(f->driver.kick_fd);
    virtio_device_init(&g.device, &ops, &f->driver.memory, f->driver.kick_fd,
                       f->driver.interrupt_fd);
    assert_true(driver_negotiate(&g.device, DRIVER_FEATURES_ALL));
    assert_true(driver_setup_queue(&g.device, 0, &f->ring));
    ring_set(&f->ring, 0, f->data, 1, 0, 0);
    ring_set(&f->ring, 1, f->data, 1, 0, 0);
    ring_offer(&f->ring, 0);
    virtio_device_serve(&g.device, &g.device.queues[0], 20, greedy_handle);
    assert_int_equal(g.handled, 20);
    assert_true(event_taken(f->driver.kick_fd)); /* it comes back */
    virtio_device_destroy(&g.device);
}

static void test_broken_queue_needs_reset(void **state)
{
    struct fixture *f = *state;

    ring_offer(&f->ring, 99);
    virtio_device_kicked(f->device);
    assert_true(register_read(f->device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(driver_handle_interrupt(&f->driver, f->device), VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(register_read(f->device, VIRTIO_MMIO_CONFIG), 0); /* it has none */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_is_filled),
        TEST(test_request_is_bounded),
        TEST(test_readable_or_empty_request_gets_nothing),
        TEST(test_busy_driver_does_not_keep_the_thread),
        TEST(test_broken_queue_needs_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
