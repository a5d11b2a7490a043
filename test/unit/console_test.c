/* virtio-console: text comes out, a stuck or closed output harms nobody, the total is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>

#include "virtio_driver.h"
#include "vmm/virtio/console.h"

struct fixture {
    struct driver driver;
    struct driver_ring receive, transmit;
    struct virtio_device *device;
    uint64_t data;
    int output[2];
    char text[65536 + 4096];
};

static void start(struct fixture *f, int output)
{
    driver_init(&f->driver);
    f->device =
        console_create(&f->driver.memory, f->driver.kick_fd, f->driver.interrupt_fd, output);
    f->device->reported = true;
    ring_init(&f->receive, &f->driver, 8);
    ring_init(&f->transmit, &f->driver, 8);
    f->data = driver_alloc(&f->driver, 1 << 20);
    memset(driver_at(&f->driver, f->data, 1 << 20), 'x', 1 << 20);
    assert_int_equal(register_read(f->device, VIRTIO_MMIO_DEVICE_ID), 3);
    assert_true(driver_negotiate(f->device, DRIVER_FEATURES_ALL));
    assert_true(driver_setup_queue(f->device, 0, &f->receive));
    assert_true(driver_setup_queue(f->device, 1, &f->transmit));
    driver_add_status(f->device, VIRTIO_CONFIG_S_DRIVER_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(pipe2(f->output, O_CLOEXEC), 0);
    start(f, f->output[1]);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    console_destroy(f->device);
    driver_finish(&f->driver);
    close(f->output[0]);
    close(f->output[1]);
    free(f);
    return 0;
}

/* One chain of @length bytes; it always comes back, with nothing written. */
static void put(struct fixture *f, uint32_t length)
{
    uint32_t head, written;

    ring_set(&f->transmit, 0, f->data, length, 0, 0);
    ring_offer(&f->transmit, 0);
    virtio_device_kicked(f->device);
    assert_true(ring_take(&f->transmit, &head, &written));
    assert_int_equal(written, 0);
}

static void put_text(struct fixture *f, const char *text)
{
    memcpy(driver_at(&f->driver, f->data, strlen(text)), text, strlen(text));
    put(f, (uint32_t)strlen(text));
}

static const char *output(struct fixture *f)
{
    size_t done = 0;
    ssize_t n;

    fcntl(f->output[0], F_SETFL, O_NONBLOCK);
    while (done < sizeof(f->text) - 1 &&
           (n = read(f->output[0], f->text + done, sizeof(f->text) - 1 - done)) > 0)
        done += (size_t)n;
    f->text[done] = '\0';
    return f->text;
}

static void test_text_comes_out(void **state)
{
    struct fixture *f = *state;

    put_text(f, "Linux version 6.12\n");
    assert_true(driver_handle_interrupt(&f->driver, f->device) & VIRTIO_MMIO_INT_VRING);
    put_text(f, "second\n");
    assert_string_equal(output(f), "Linux version 6.12\nsecond\n");
}

static void test_writable_parts_are_not_printed(void **state)
{
    struct fixture *f = *state;

    ring_set(&f->transmit, 0, f->data, 2, VRING_DESC_F_NEXT, 1);
    ring_set(&f->transmit, 1, f->data, 50, VRING_DESC_F_WRITE, 0);
    ring_offer(&f->transmit, 0);
    virtio_device_kicked(f->device);
    assert_string_equal(output(f), "xx");
}

/* A pipe that nobody reads: this test would hang. */
static void test_stuck_output_drops_and_says_so(void **state)
{
    struct fixture *f = *state;

    put(f, 65536);
    assert_int_equal(strlen(output(f)), 65536);
    put(f, 65536 + 1000);
    put(f, 500);
    assert_int_equal(strlen(output(f)), 65536);
    put_text(f, "alive\n");
    assert_string_equal(output(f), "\nvmrt: console: 1500 bytes dropped here\nalive\n");
    put_text(f, "again\n");
    assert_string_equal(output(f), "again\n");
}

/* Nobody has the other end: no SIGPIPE, which would end this test. */
static void test_closed_output_is_no_harm(void **state)
{
    struct fixture *f = *state;

    close(f->output[0]);
    f->output[0] = -1;
    put_text(f, "unheard\n");
}

static void test_output_is_bounded(void **state)
{
    char path[] = "/tmp/vmrt-console-test-XXXXXX";
    struct fixture *f = *state;
    char tail[100] = "";
    int fd = mkstemp(path);
    off_t size;

    assert_true(fd >= 0);
    unlink(path);
    console_destroy(f->device);
    driver_finish(&f->driver);
    start(f, fd);
    for (unsigned int i = 0; i < 8; i++)
        put(f, 1 << 20);
    size = lseek(fd, 0, SEEK_END);
    assert_true(size > CONSOLE_OUTPUT_MAX && size < CONSOLE_OUTPUT_MAX + 100);
    assert_true(pread(fd, tail, sizeof(tail) - 1, CONSOLE_OUTPUT_MAX) > 0);
    assert_string_equal(tail, "\nvmrt: console: limit reached, the rest is dropped\n");
    close(fd);
}

static void test_config_space_is_empty(void **state)
{
    struct fixture *f = *state;

    for (uint32_t offset = 0; offset < 32; offset += 4)
        assert_int_equal(register_read(f->device, VIRTIO_MMIO_CONFIG + offset), 0);
}

static void test_broken_queue_needs_reset(void **state)
{
    struct fixture *f = *state;

    ring_offer(&f->transmit, 99);
    virtio_device_kicked(f->device);
    assert_true(register_read(f->device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_text_comes_out),
        TEST(test_writable_parts_are_not_printed),
        TEST(test_stuck_output_drops_and_says_so),
        TEST(test_closed_output_is_no_harm),
        TEST(test_output_is_bounded),
        TEST(test_config_space_is_empty),
        TEST(test_broken_queue_needs_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
