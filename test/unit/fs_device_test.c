/* virtio-fs: the queues in front of the file server. */
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include "fs_client.h"
#include "vmm/virtio/fs/device.h"
#include "virtio_driver.h"

#define RING_SIZE 1024

enum { HIPRIO, REQUEST };

struct fixture {
    struct client *client;
    struct driver driver;
    struct driver_ring rings[2];
    struct fs_device *device;
    struct virtio_device *virtio;
    uint64_t out, in; /* guest addresses of a request and its answer */
};

static void bring_up(struct fixture *f)
{
    assert_true(driver_negotiate(f->virtio, DRIVER_FEATURES_ALL));
    for (uint32_t i = 0; i < 2; i++)
        assert_true(driver_setup_queue(f->virtio, i, &f->rings[i]));
    driver_add_status(f->virtio, VIRTIO_CONFIG_S_DRIVER_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    void *client;

    client_setup(&client);
    f->client = client;
    fs_server_reset(f->client->server);
    driver_init(&f->driver);
    f->device = fs_device_create(&f->driver.memory, f->driver.kick_fd, f->driver.interrupt_fd,
                                 "rootfs", f->client->server);
    assert_non_null(f->device);
    f->virtio = fs_device_virtio(f->device);
    f->virtio->reported = true;
    for (uint32_t i = 0; i < 2; i++)
        ring_init(&f->rings[i], &f->driver, RING_SIZE);
    f->out = driver_alloc(&f->driver, 2 << 20);
    f->in = driver_alloc(&f->driver, 2 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *client = f->client;

    fs_device_destroy(f->device);
    driver_finish(&f->driver);
    client_teardown(&client);
    free(f);
    return 0;
}

/* Serves in this thread what was kicked, or waits for the serving thread. */
static void wait_for_answer(struct fixture *f, bool inline_)
{
    struct pollfd done = { .fd = f->driver.interrupt_fd, .events = POLLIN };

    if (inline_)
        virtio_device_kicked(f->virtio);
    assert_int_equal(poll(&done, 1, 5000), 1);
    driver_handle_interrupt(&f->driver, f->virtio);
}

/* Lays one request out, as the Linux driver does: header, arguments | header, rest, in pages. */
static void offer(struct fixture *f, uint32_t opcode, uint64_t nodeid, const void *args,
                  size_t size, size_t room)
{
    struct driver_ring *ring = &f->rings[REQUEST];
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + size), .opcode = opcode, .unique = 7, .nodeid = nodeid
    };
    uint16_t n = 0;

    memcpy(driver_at(&f->driver, f->out, header.len), &header, sizeof(header));
    if (size)
        memcpy(driver_at(&f->driver, f->out + sizeof(header), size), args, size);
    ring_set(ring, n, f->out, sizeof(header), VRING_DESC_F_NEXT, n + 1);
    n++;
    if (size) {
        ring_set(ring, n, f->out + sizeof(header), (uint32_t)size, VRING_DESC_F_NEXT, n + 1);
        n++;
    }
    ring_set(ring, n, f->in, 16, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, n + 1);
    n++;
    for (size_t done = 0; done < room; n++) {
        uint32_t part = room - done < 4096 ? (uint32_t)(room - done) : 4096;

        done += part;
        ring_set(ring, n, f->in + 16 + done - part, part,
                 VRING_DESC_F_WRITE | (done < room ? VRING_DESC_F_NEXT : 0), n + 1);
    }
    ring_offer(ring, 0);
    register_write(f->virtio, VIRTIO_MMIO_QUEUE_NOTIFY, REQUEST);
}

/* Return: bytes of the answer behind its header, or its error. */
static int call(struct fixture *f, bool inline_, uint32_t opcode, uint64_t nodeid, const void *args,
                size_t size, size_t room)
{
    struct fuse_out_header out;
    uint32_t head, written;

    offer(f, opcode, nodeid, args, size, room);
    wait_for_answer(f, inline_);
    assert_true(ring_take(&f->rings[REQUEST], &head, &written));
    memcpy(&out, driver_at(&f->driver, f->in, sizeof(out)), sizeof(out));
    assert_int_equal(out.len, written);
    assert_int_equal(out.unique, 7);
    return out.error ? out.error : (int)(written - sizeof(out));
}

static void call_init(struct fixture *f, bool inline_)
{
    struct fuse_init_in in = { .major = 7, .minor = 41, .flags = FUSE_SUBMOUNTS };

    assert_int_equal(call(f, inline_, FUSE_INIT, 0, &in, sizeof(in), sizeof(struct fuse_init_out)),
                     sizeof(struct fuse_init_out));
}

static uint64_t call_lookup(struct fixture *f, bool inline_, uint64_t parent, const char *name)
{
    struct fuse_entry_out entry;

    assert_int_equal(call(f, inline_, FUSE_LOOKUP, parent, name, strlen(name) + 1, sizeof(entry)),
                     sizeof(entry));
    memcpy(&entry, driver_at(&f->driver, f->in + 16, sizeof(entry)), sizeof(entry));
    return entry.nodeid;
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    char tag[37] = { 0 };

    assert_int_equal(register_read(f->virtio, VIRTIO_MMIO_DEVICE_ID), 26);
    for (uint32_t i = 0; i < 36; i++)
        virtio_mmio_read(f->virtio, VIRTIO_MMIO_CONFIG + i, &tag[i], 1);
    assert_string_equal(tag, "rootfs");
    assert_int_equal(register_read(f->virtio, VIRTIO_MMIO_CONFIG + 36), 1);
    register_write(f->virtio, VIRTIO_MMIO_QUEUE_SEL, REQUEST);
    assert_int_equal(register_read(f->virtio, VIRTIO_MMIO_QUEUE_NUM_MAX), 1024);
}

static void tags_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct fs_device *device;

    assert_null(fs_device_create(&f->driver.memory, -1, -1, "", f->client->server));
    assert_null(fs_device_create(&f->driver.memory, -1, -1, "0123456789012345678901234567890123456",
                                 f->client->server));
    device = fs_device_create(&f->driver.memory, -1, -1, "012345678901234567890123456789012345",
                              f->client->server);
    assert_non_null(device);
    fs_device_destroy(device);
}

static void one_mebibyte_in_one_request(void **state)
{
    struct fixture *f = *state;
    struct fuse_open_in open_in = { .flags = O_RDONLY };
    struct fuse_open_out open_out;
    struct fuse_read_in in = { .size = 1 << 20 };
    char *data = malloc(1 << 20);
    uint64_t file;
    int fd;

    memset(data, 'm', 1 << 20);
    data[0] = 'a';
    data[(1 << 20) - 1] = 'z';
    fd = open(host(f->client, PRIVATE, "big"), O_CREAT | O_WRONLY, 0644);
    assert_int_equal(write(fd, data, 1 << 20), 1 << 20);
    close(fd);
    bring_up(f);
    call_init(f, true);
    file = call_lookup(f, true, call_lookup(f, true, FUSE_ROOT_ID, "0"), "big");
    assert_int_equal(call(f, true, FUSE_OPEN, file, &open_in, sizeof(open_in), sizeof(open_out)),
                     sizeof(open_out));
    memcpy(&open_out, driver_at(&f->driver, f->in + 16, sizeof(open_out)), sizeof(open_out));
    in.fh = open_out.fh;
    assert_int_equal(call(f, true, FUSE_READ, file, &in, sizeof(in), 1 << 20), 1 << 20);
    assert_memory_equal(driver_at(&f->driver, f->in + 16, 1 << 20), data, 1 << 20);
    free(data);
}

static void forgets_come_by_the_first_queue(void **state)
{
    struct fixture *f = *state;
    struct {
        struct fuse_in_header header;
        struct fuse_forget_in in;
    } request = { .header = { .len = sizeof(request), .opcode = FUSE_FORGET },
                  .in = { .nlookup = 1 } };
    uint32_t head, written;

    assert_int_equal(mkdir(host(f->client, PRIVATE, "d"), 0755), 0);
    bring_up(f);
    call_init(f, true);
    request.header.nodeid = call_lookup(f, true, call_lookup(f, true, FUSE_ROOT_ID, "0"), "d");
    assert_int_equal(f->client->server->fd_count, 1);
    memcpy(driver_at(&f->driver, f->out, sizeof(request)), &request, sizeof(request));
    ring_set(&f->rings[HIPRIO], 3, f->out, sizeof(request), 0, 0);
    ring_offer(&f->rings[HIPRIO], 3);
    register_write(f->virtio, VIRTIO_MMIO_QUEUE_NOTIFY, HIPRIO);
    wait_for_answer(f, true);
    assert_true(ring_take(&f->rings[HIPRIO], &head, &written));
    assert_int_equal(head, 3);
    assert_int_equal(written, 0);
    assert_int_equal(f->client->server->fd_count, 0);
}

/* The answer is written by another thread than the one that resets the device. */
static void reset_drops_what_the_guest_held(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir(host(f->client, PRIVATE, "d"), 0755), 0);
    bring_up(f);
    call_init(f, true);
    call_lookup(f, true, call_lookup(f, true, FUSE_ROOT_ID, "0"), "d");
    assert_int_equal(f->client->server->fd_count, 1);
    register_write(f->virtio, VIRTIO_MMIO_STATUS, 0);
    /* left to the serving thread, which is told */
    assert_int_equal(f->client->server->fd_count, 1);
    virtio_device_kicked(f->virtio);
    assert_int_equal(f->client->server->fd_count, 0);
    for (uint32_t i = 0; i < 2; i++)
        ring_init(&f->rings[i], &f->driver, RING_SIZE);
    bring_up(f);
    assert_int_equal(call(f, true, FUSE_STATFS, 1, NULL, 0, 80), -EIO);
    call_init(f, true);
    assert_int_equal(call(f, true, FUSE_STATFS, 1, NULL, 0, 80), 80);
}

static void many_requests_at_once(void **state)
{
    struct fixture *f = *state;
    struct driver_ring *ring = &f->rings[REQUEST];
    struct fuse_in_header header = { .len = sizeof(header), .opcode = FUSE_STATFS, .nodeid = 1 };
    uint32_t head, written, taken = 0;

    bring_up(f);
    call_init(f, true);
    memcpy(driver_at(&f->driver, f->out, sizeof(header)), &header, sizeof(header));
    for (uint16_t i = 0; i < 500; i++) {
        ring_set(ring, (uint16_t)(2 * i), f->out, sizeof(header), VRING_DESC_F_NEXT,
                 (uint16_t)(2 * i + 1));
        ring_set(ring, (uint16_t)(2 * i + 1), f->in + 128u * i, 96, VRING_DESC_F_WRITE, 0);
        ring_offer(ring, (uint16_t)(2 * i));
    }
    register_write(f->virtio, VIRTIO_MMIO_QUEUE_NOTIFY, REQUEST);
    for (int rounds = 0; taken < 500 && rounds < 500; rounds++) {
        virtio_device_kicked(f->virtio);
        while (ring_take(ring, &head, &written)) {
            assert_int_equal(written, 96);
            taken++;
        }
    }
    assert_int_equal(taken, 500);
}

static void *serve(void *device)
{
    fs_device_serve(device);
    return NULL;
}

/* In a process of its own, because the thread never ends. */
static void served_by_a_thread(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    struct fuse_attr_out attr;
    struct fuse_getattr_in in = { 0 };
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        bring_up(f);
        /* that thread sets itself up */
        f->client->server->identity = (struct fs_identity) { 0 };
        assert_int_equal(pthread_create(&thread, NULL, serve, f->device), 0);
        call_init(f, false);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(call(f, false, FUSE_GETATTR, 1, &in, sizeof(in), sizeof(attr)),
                             sizeof(attr));
        _exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(tags_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(one_mebibyte_in_one_request, setup, teardown),
        cmocka_unit_test_setup_teardown(forgets_come_by_the_first_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_drops_what_the_guest_held, setup, teardown),
        cmocka_unit_test_setup_teardown(many_requests_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(served_by_a_thread, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
