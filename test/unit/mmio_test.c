/* virtio-mmio registers and the status machine, with a device that only counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>

#include "virtio_driver.h"

#define QUEUE_MAX 64u

static const uint8_t config[6] = { 1, 2, 3, 4, 5, 6 };

struct fixture {
    struct virtio_device device; /* first: the operations cast it back */
    struct driver driver;
    struct driver_ring ring;
    unsigned int activations, resets, kicks, settles;
};

static void count_read_config(struct virtio_device *device, uint32_t offset, void *data,
                              uint32_t length)
{
    assert_true(offset <= 0xf00 && length <= 0xf00 - offset);
    virtio_config_copy(config, sizeof(config), offset, data, length);
}

static void count_activate(struct virtio_device *device)
{
    ((struct fixture *)device)->activations++;
}

static void count_reset(struct virtio_device *device)
{
    ((struct fixture *)device)->resets++;
}

static void count_kick(struct virtio_device *device)
{
    ((struct fixture *)device)->kicks++;
}

static void count_settle(struct virtio_device *device)
{
    ((struct fixture *)device)->settles++;
}

static const struct virtio_ops ops = {
    .name = "count",
    .id = 42,
    .queue_count = 2,
    .queue_size = QUEUE_MAX,
    .features = 1ull << 5 | 1ull << 40,
    .read_config = count_read_config,
    .activate = count_activate,
    .reset = count_reset,
    .kick = count_kick,
    .settle = count_settle,
};

#define FEATURES_OFFERED (DRIVER_FEATURES_ALL | 1ull << 5 | 1ull << 40)

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    driver_init(&f->driver);
    virtio_device_init(&f->device, &ops, &f->driver.memory, f->driver.kick_fd,
                       f->driver.interrupt_fd);
    f->device.reported = true;
    ring_init(&f->ring, &f->driver, 8);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(&f->device);
    driver_finish(&f->driver);
    free(f);
    return 0;
}

static uint32_t status(struct fixture *f)
{
    return register_read(&f->device, VIRTIO_MMIO_STATUS);
}

/* Up to DRIVER_OK with queue 0 only. */
static void bring_up(struct fixture *f)
{
    assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
    assert_true(driver_setup_queue(&f->device, 0, &f->ring));
    driver_add_status(&f->device, VIRTIO_CONFIG_S_DRIVER_OK);
    assert_true(virtio_device_active(&f->device));
}

static void test_identity(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_VERSION), 2);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_DEVICE_ID), 42);
    assert_int_not_equal(register_read(&f->device, VIRTIO_MMIO_VENDOR_ID), 0);
}

static void test_empty_slot(void **state)
{
    uint8_t data[8];

    assert_int_equal(register_read(NULL, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(register_read(NULL, VIRTIO_MMIO_VERSION), 2);
    for (uint32_t offset = VIRTIO_MMIO_DEVICE_ID; offset < 0x1000; offset += 4) {
        if (offset != VIRTIO_MMIO_VENDOR_ID)
            assert_int_equal(register_read(NULL, offset), 0);
        register_write(NULL, offset, 1);
    }
    virtio_mmio_read(NULL, 0x100, data, 8);
}

static void test_features_in_halves(void **state)
{
    struct fixture *f = *state;

    register_write(&f->device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_DEVICE_FEATURES),
                     (uint32_t)FEATURES_OFFERED);
    register_write(&f->device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_DEVICE_FEATURES),
                     FEATURES_OFFERED >> 32);
    register_write(&f->device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_DEVICE_FEATURES), 0);
    register_write(&f->device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_DEVICE_FEATURES), 0);
    register_write(&f->device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
    register_write(&f->device, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
    assert_int_equal(f->device.driver_features, 0);
}

static void test_features_not_offered_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_true(driver_negotiate(&f->device, 1ull << VIRTIO_F_VERSION_1));
    assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
    assert_false(driver_negotiate(&f->device, FEATURES_OFFERED | 1ull << 6));
    assert_false(driver_negotiate(&f->device, FEATURES_OFFERED | 1ull << 63));
    assert_false(driver_negotiate(&f->device, FEATURES_OFFERED | 1ull << VIRTIO_F_RING_PACKED));
}

static void test_version_1_is_mandatory(void **state)
{
    struct fixture *f = *state;

    assert_false(driver_negotiate(&f->device, 1ull << 5));
    assert_false(driver_negotiate(&f->device, 0));
    driver_add_status(&f->device, VIRTIO_CONFIG_S_DRIVER_OK);
    assert_false(virtio_device_active(&f->device));
    assert_int_equal(f->activations, 0);
}

static void test_features_are_frozen_once_accepted(void **state)
{
    struct fixture *f = *state;

    assert_true(driver_negotiate(&f->device, DRIVER_FEATURES_ALL));
    register_write(&f->device, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
    assert_int_equal(f->device.driver_features, DRIVER_FEATURES_ALL);
}

static void test_status_bits_come_in_order_and_stay(void **state)
{
    struct fixture *f = *state;

    driver_add_status(&f->device, VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(status(f), 0);
    driver_add_status(&f->device, VIRTIO_CONFIG_S_FEATURES_OK);
    assert_int_equal(status(f), 0);
    driver_add_status(&f->device, 0xffffff30);
    assert_int_equal(status(f), 0); /* unknown bits are not kept */
    bring_up(f);
    assert_int_equal(status(f), 15);
    assert_int_equal(f->activations, 1);
    register_write(&f->device, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    assert_int_equal(status(f), 15); /* §2.1.1: a bit is not cleared */
    register_write(&f->device, VIRTIO_MMIO_STATUS, 15);
    assert_int_equal(f->activations, 1);
    driver_add_status(&f->device, VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(status(f), 15); /* that one is the device's */
}

static void test_failed_driver_does_not_come_up(void **state)
{
    struct fixture *f = *state;

    assert_true(driver_negotiate(&f->device, DRIVER_FEATURES_ALL));
    driver_add_status(&f->device, VIRTIO_CONFIG_S_FAILED);
    driver_add_status(&f->device, VIRTIO_CONFIG_S_DRIVER_OK);
    assert_false(virtio_device_active(&f->device));
    bring_up(f);
}

static void test_queue_select_out_of_range_cve_2021_45464(void **state)
{
    const uint32_t bad[] = { 2, 8, 9, 0x10000, 0x7fffffff, UINT32_MAX };
    struct fixture *f = *state;
    struct virtio_device before;

    assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, bad[i]);
        memcpy(&before, &f->device, sizeof(before));
        for (uint32_t offset = VIRTIO_MMIO_QUEUE_NUM_MAX; offset < VIRTIO_MMIO_QUEUE_NOTIFY;
             offset += 4) {
            assert_int_equal(register_read(&f->device, offset), 0);
            register_write(&f->device, offset, 1);
        }
        for (uint32_t offset = VIRTIO_MMIO_QUEUE_DESC_LOW; offset <= VIRTIO_MMIO_QUEUE_USED_HIGH;
             offset += 4)
            register_write(&f->device, offset, 1);
        assert_memory_equal(before.queues, f->device.queues, sizeof(before.queues));
    }
    register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_QUEUE_NUM_MAX), QUEUE_MAX);
}

static void test_queue_notify_out_of_range(void **state)
{
    struct fixture *f = *state;

    register_write(&f->device, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
    assert_false(event_taken(f->driver.kick_fd));
    register_write(&f->device, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_true(event_taken(f->driver.kick_fd));
}

/* Every queue register, written with values other than those that it has. */
static void scribble(struct fixture *f)
{
    register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, 0);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_NUM, 4);
    for (uint32_t offset = VIRTIO_MMIO_QUEUE_DESC_LOW; offset <= VIRTIO_MMIO_QUEUE_USED_HIGH;
         offset += 4)
        register_write(&f->device, offset, 0x4000);
}

static void test_queue_changed_after_ready_cve_2026_5747(void **state)
{
    struct fixture *f = *state;
    struct virtqueue before;

    scribble(f); /* before FEATURES_OK */
    assert_int_equal(f->device.queues[0].desc_gpa, 0);
    assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
    assert_true(driver_setup_queue(&f->device, 0, &f->ring));
    before = f->device.queues[0];
    assert_true(before.event_idx && before.indirect);
    scribble(f);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_memory_equal(&before, &f->device.queues[0], sizeof(before));
    driver_add_status(&f->device, VIRTIO_CONFIG_S_DRIVER_OK);
    scribble(f);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_memory_equal(&before, &f->device.queues[0], sizeof(before));
    /* Not even a queue that was never made ready. */
    assert_false(driver_setup_queue(&f->device, 1, &f->ring));
    assert_int_equal(f->device.queues[1].size, 0);
}

static void test_queue_of_bad_size_needs_reset(void **state)
{
    const uint32_t bad[] = { 0, 3, 2 * QUEUE_MAX, 0x10008, UINT32_MAX };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
        register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, 0);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_NUM, bad[i]);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1000);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x2000);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_USED_LOW, 0x3000);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_READY, 1);
        assert_int_equal(register_read(&f->device, VIRTIO_MMIO_QUEUE_READY), 0);
        assert_true(status(f) & VIRTIO_CONFIG_S_NEEDS_RESET);
        assert_false(event_taken(f->driver.interrupt_fd)); /* nobody would handle it yet */
        driver_add_status(&f->device, VIRTIO_CONFIG_S_DRIVER_OK);
        assert_false(virtio_device_active(&f->device));
        assert_int_equal(f->activations, 0);
    }
    bring_up(f);
}

static void test_queue_addresses_of_64_bits(void **state)
{
    struct fixture *f = *state;

    assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
    f->ring.desc_gpa = 0x123456789abcdef0;
    f->ring.avail_gpa = 0x23456789abcdef02;
    f->ring.used_gpa = 0x3456789abcdef024;
    assert_false(driver_setup_queue(&f->device, 0, &f->ring));
    assert_int_equal(f->device.queues[0].desc_gpa, 0x123456789abcdef0);
    assert_int_equal(f->device.queues[0].avail_gpa, 0x23456789abcdef02);
    assert_int_equal(f->device.queues[0].used_gpa, 0x3456789abcdef024);
}

static void test_reset_forgets_everything(void **state)
{
    struct fixture *f = *state;

    bring_up(f);
    virtio_device_broken(&f->device, "test");
    assert_true(status(f) & VIRTIO_CONFIG_S_NEEDS_RESET);
    register_write(&f->device, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(f->resets, 2); /* driver_negotiate() made the first */
    assert_int_equal(status(f), 0);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    assert_int_equal(f->device.driver_features, 0);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, 0);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_QUEUE_READY), 0);
    bring_up(f);
}

/* The Linux driver writes 0 and warns when it reads anything else back. */
static void test_queue_ready_0_stops_the_queue(void **state)
{
    struct fixture *f = *state;

    bring_up(f);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, 0);
    register_write(&f->device, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_false(f->device.queues[0].ready);
}

static void test_no_shared_memory_regions(void **state)
{
    struct fixture *f = *state;

    register_write(&f->device, VIRTIO_MMIO_SHM_SEL, 0);
    for (uint32_t offset = VIRTIO_MMIO_SHM_LEN_LOW; offset <= VIRTIO_MMIO_SHM_BASE_HIGH;
         offset += 4)
        assert_int_equal(register_read(&f->device, offset), UINT32_MAX);
}

static void test_config_space_by_every_width(void **state)
{
    struct fixture *f = *state;

    for (uint32_t length = 1; length <= 8; length *= 2)
        for (uint32_t offset = 0; offset < 12; offset++) {
            uint8_t data[10];

            memset(data, 0xee, sizeof(data));
            virtio_mmio_read(&f->device, VIRTIO_MMIO_CONFIG + offset, data + 1, length);
            for (uint32_t i = 0; i < length; i++)
                assert_int_equal(data[1 + i], offset + i < sizeof(config) ? offset + i + 1 : 0);
            assert_int_equal(data[0], 0xee);
            assert_int_equal(data[1 + length], 0xee);
        }
}

static void test_config_space_bounds_cve_2021_45464(void **state)
{
    const uint32_t bad[] = { 0x106, 0xff8, 0xff9, 0xffd, 0xfff, 0x1000, 0x7fffffff, UINT32_MAX };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t value = UINT64_MAX;

        virtio_mmio_read(&f->device, bad[i], &value, sizeof(value));
        assert_int_equal(value, 0);
        virtio_mmio_write(&f->device, bad[i], &value, sizeof(value));
    }
}

static void test_wrong_width_of_registers(void **state)
{
    const struct {
        uint32_t offset, length;
    } bad[] = { { 0, 1 }, { 0, 2 }, { 0, 8 }, { 1, 4 }, { 2, 4 }, { 0xfd, 4 }, { 0xfe, 2 } };
    struct fixture *f = *state;
    uint64_t value;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value = UINT64_MAX;
        virtio_mmio_read(&f->device, bad[i].offset, &value, bad[i].length);
        assert_int_equal(value, bad[i].length == 8 ? 0 : UINT64_MAX << bad[i].length * 8);
    }
    value = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    virtio_mmio_write(&f->device, VIRTIO_MMIO_STATUS, &value, 1);
    virtio_mmio_write(&f->device, VIRTIO_MMIO_STATUS, &value, 2);
    virtio_mmio_write(&f->device, VIRTIO_MMIO_STATUS, &value, 8);
    assert_int_equal(status(f), 0);
    virtio_mmio_write(&f->device, VIRTIO_MMIO_QUEUE_NOTIFY, &value, 2);
    assert_false(event_taken(f->driver.kick_fd));
}

static void test_interrupt_status_is_there_before_the_interrupt(void **state)
{
    struct fixture *f = *state;
    struct virtqueue_chain chain;

    bring_up(f);
    ring_set(&f->ring, 0, 0x100, 1, 0, 0);
    ring_offer(&f->ring, 0);
    assert_int_equal(virtqueue_pop(&f->device.queues[0], &chain), 1);
    virtio_interrupt(&f->device, &f->device.queues[0]);
    assert_false(event_taken(f->driver.interrupt_fd)); /* nothing pushed */
    virtqueue_push(&f->device.queues[0], 0, 0);
    virtio_interrupt(&f->device, &f->device.queues[0]);
    assert_true(event_taken(f->driver.interrupt_fd));
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS),
                     VIRTIO_MMIO_INT_VRING);
    virtio_device_broken(&f->device, "test");
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    register_write(&f->device, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS),
                     VIRTIO_MMIO_INT_CONFIG);
}

static void test_kicks_reach_the_device_only_while_it_is_active(void **state)
{
    struct fixture *f = *state;

    register_write(&f->device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    virtio_device_kicked(&f->device);
    assert_int_equal(f->kicks, 0);
    assert_int_equal(f->settles, 1);
    assert_false(event_taken(f->driver.kick_fd)); /* drained */
    bring_up(f);
    assert_true(event_taken(f->driver.kick_fd)); /* look: there may be something already */
    virtio_device_kicked(&f->device);
    assert_int_equal(f->kicks, 1);
    assert_int_equal(f->settles, 2);
    virtio_device_broken(&f->device, "test");
    virtio_device_kicked(&f->device);
    assert_int_equal(f->kicks, 1);
    assert_int_equal(f->settles, 3);
}

static void *hammer(void *context)
{
    struct fixture *f = context;

    for (unsigned int i = 0; i < 20000; i++) {
        register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS);
        register_write(&f->device, VIRTIO_MMIO_INTERRUPT_ACK, 3);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        register_write(&f->device, VIRTIO_MMIO_QUEUE_SEL, i);
        register_write(&f->device, VIRTIO_MMIO_STATUS, i % 64);
        register_read(&f->device, VIRTIO_MMIO_STATUS);
    }
    return NULL;
}

/* Two vCPUs and the device's thread at once; for the sanitizers. */
static void test_registers_from_several_threads(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[2];

    for (unsigned int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, f), 0);
    for (unsigned int i = 0; i < 20000; i++)
        virtio_device_kicked(&f->device);
    for (unsigned int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    bring_up(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* vhost-net raises interrupts, and cannot set the bit first: nothing is ever acknowledged away. */
static void test_interrupts_of_somebody_else_have_their_bit(void **state)
{
    struct fixture *f = *state;

    f->device.interrupt_always = 1;
    bring_up(f);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    register_write(&f->device, VIRTIO_MMIO_INTERRUPT_ACK, 3);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    pthread_mutex_lock(&f->device.lock);
    virtio_device_config_changed(&f->device);
    pthread_mutex_unlock(&f->device.lock);
    assert_int_equal(register_read(&f->device, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
}

static void test_driver_without_a_needed_feature_is_refused(void **state)
{
    struct fixture *f = *state;
    struct virtio_ops demanding = ops;

    demanding.features_needed = 1ull << 40;
    f->device.ops = &demanding;
    assert_false(driver_negotiate(&f->device, FEATURES_OFFERED & ~(1ull << 40)));
    assert_true(driver_negotiate(&f->device, FEATURES_OFFERED));
    f->device.ops = &ops;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identity),
        cmocka_unit_test(test_empty_slot),
        TEST(test_features_in_halves),
        TEST(test_features_not_offered_are_refused),
        TEST(test_version_1_is_mandatory),
        TEST(test_features_are_frozen_once_accepted),
        TEST(test_status_bits_come_in_order_and_stay),
        TEST(test_failed_driver_does_not_come_up),
        TEST(test_queue_select_out_of_range_cve_2021_45464),
        TEST(test_queue_notify_out_of_range),
        TEST(test_queue_changed_after_ready_cve_2026_5747),
        TEST(test_queue_of_bad_size_needs_reset),
        TEST(test_queue_addresses_of_64_bits),
        TEST(test_reset_forgets_everything),
        TEST(test_queue_ready_0_stops_the_queue),
        TEST(test_no_shared_memory_regions),
        TEST(test_config_space_by_every_width),
        TEST(test_config_space_bounds_cve_2021_45464),
        TEST(test_wrong_width_of_registers),
        TEST(test_interrupt_status_is_there_before_the_interrupt),
        TEST(test_interrupts_of_somebody_else_have_their_bit),
        TEST(test_driver_without_a_needed_feature_is_refused),
        TEST(test_kicks_reach_the_device_only_while_it_is_active),
        TEST(test_registers_from_several_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
