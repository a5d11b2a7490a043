/*
 * Network interfaces of a machine: slots that are taken, given back and taken again, with a real VM
 * and real TAPs, but without a guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init/protocol.h"
#include "lib/fd.h"
#include "vmm/nics.h"

#define FIRST_SLOT 5u
#define NICS       (SLOT_COUNT - FIRST_SLOT)

static struct machine machine;
static struct nics *nics;
static const char *impossible;

static int open_tap(const char *name, unsigned int queues)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (queues > 1)
        request.ifr_flags |= IFF_MULTI_QUEUE;
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        fail_msg("TAP %s: %s", name, strerror(errno));
    return fd;
}

static int setup(void **state)
{
    struct error err;

    (void)state;
    if (impossible)
        return 0;
    memset(&machine, 0, sizeof(machine));
    machine_init_slots(&machine);
    if (kvm_open(&machine.kvm, -1, &err) < 0 || arch_vm_setup(&machine.kvm, &err) < 0 ||
        memory_create(&machine.memory, 64u << 20, &err) < 0)
        fail_msg("%s", err.message);
    nics = nics_create(&machine, FIRST_SLOT, 2);
    assert_non_null(nics);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (impossible)
        return 0;
    nics_destroy(nics);
    kvm_close(&machine.kvm);
    memory_destroy(&machine.memory);
    return 0;
}

static void need(void)
{
    if (impossible) {
        print_message("skipped: %s\n", impossible);
        skip();
    }
}

static void put_link(struct protocol_writer *writer, uint64_t index, uint64_t queues)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
    size_t mark = protocol_open(writer, FIELD_LINK);

    protocol_put_u64(writer, FIELD_LINK_INDEX, index);
    protocol_put_bytes(writer, FIELD_LINK_MAC, mac, sizeof(mac));
    protocol_put_u64(writer, FIELD_LINK_QUEUES, queues);
    protocol_put_u64(writer, FIELD_LINK_SLOT, 0);
    protocol_close(writer, mark);
}

/* Return: of nics_apply(); @slot: what it filled in, if there is a FIELD_LINK. */
static int apply(struct protocol_writer *writer, const int *fds, size_t count, uint64_t *slot,
                 struct error *err)
{
    struct protocol_reader fields;
    struct protocol_field field, number;
    bool bad = false;
    int ret;

    assert_int_equal(protocol_finish(writer), 0);
    ret = nics_apply(nics, writer->data, writer->length, fds, count, err);
    fields = (struct protocol_reader) { writer->data + PROTOCOL_HEADER_SIZE,
                                        writer->length - PROTOCOL_HEADER_SIZE };
    if (slot && protocol_find(fields, FIELD_LINK, &field) == 1 &&
        protocol_find(field.value, FIELD_LINK_SLOT, &number) == 1)
        *slot = protocol_u64(&number, &bad);
    free(writer->data);
    return ret;
}

/* Return: the slot, or a negative errno. */
static int plug(uint64_t index, unsigned int queues, struct error *err)
{
    struct protocol_writer writer = { 0 };
    char name[IFNAMSIZ];
    uint64_t slot = 0;
    int fds[8], ret;

    snprintf(name, sizeof(name), "vmrt%llu", (unsigned long long)index);
    for (unsigned int i = 0; i < queues; i++)
        fds[i] = open_tap(name, queues);
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    put_link(&writer, index, queues);
    ret = apply(&writer, fds, queues, &slot, err);
    if (ret == 0)
        nics_answered(nics);
    return ret < 0 ? ret : (int)slot;
}

static void announce_gone(uint64_t index)
{
    struct protocol_writer writer = { 0 };
    struct error err;

    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    protocol_put_u64(&writer, FIELD_LINK_GONE, index);
    assert_int_equal(apply(&writer, NULL, 0, NULL, &err), 0);
}

static void unplug(uint64_t index)
{
    announce_gone(index);
    nics_answered(nics);
}

static unsigned int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned int count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static uint32_t device_id(unsigned int slot)
{
    uint32_t id;

    virtio_mmio_read(machine.slots[slot].device, VIRTIO_MMIO_DEVICE_ID, &id, sizeof(id));
    return id;
}

static void sixteen_interfaces_at_a_time_and_no_more(void **state)
{
    struct error err;

    (void)state;
    need();
    assert_int_equal(NICS, 16);
    for (unsigned int i = 0; i < NICS; i++)
        assert_int_equal(plug(10 + i, 1, &err), FIRST_SLOT + i);
    assert_int_equal(plug(99, 1, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "16 interfaces at a time"));
    assert_int_equal(if_nametoindex("vmrt99"), 0);
    unplug(13);
    assert_int_equal(plug(99, 1, &err), FIRST_SLOT + 3);
}

/* docker network connect and disconnect, for as long as the machine lives. */
static void slots_are_used_again_and_nothing_is_left_open(void **state)
{
    unsigned int before;
    struct error err;

    (void)state;
    need();
    assert_int_equal(plug(5, 1, &err), FIRST_SLOT);
    before = count_descriptors();
    for (unsigned int i = 0; i < 100; i++) {
        unsigned int queues = 1 + i % 3;

        assert_int_equal(plug(100 + i, queues, &err), FIRST_SLOT + 1);
        assert_int_equal(device_id(FIRST_SLOT + 1), 1);
        unplug(100 + i);
        assert_int_equal(device_id(FIRST_SLOT + 1), 0);
        assert_int_equal(count_descriptors(), before);
    }
}

static void a_slot_is_kept_until_the_guest_has_let_go(void **state)
{
    struct error err;

    (void)state;
    need();
    assert_int_equal(plug(7, 1, &err), FIRST_SLOT);
    announce_gone(7);
    /* Its TAP is gone at once; the device stays, for the guest may be looking at it. */
    assert_int_equal(if_nametoindex("vmrt7"), 0);
    assert_int_equal(device_id(FIRST_SLOT), 1);
    assert_int_equal(plug(8, 1, &err), FIRST_SLOT + 1);
    /* Two messages were under way, and plug() has had one answered. */
    assert_int_equal(device_id(FIRST_SLOT), 1);
    nics_answered(nics);
    assert_int_equal(device_id(FIRST_SLOT), 0);
    assert_int_equal(plug(7, 1, &err), FIRST_SLOT);
}

static void set_carrier(uint64_t index, uint64_t up)
{
    struct protocol_writer writer = { 0 };
    struct error err;
    size_t mark;

    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    mark = protocol_open(&writer, FIELD_LINK_STATE);
    protocol_put_u64(&writer, FIELD_LINK_INDEX, index);
    protocol_put_u64(&writer, FIELD_LINK_CARRIER, up);
    protocol_close(&writer, mark);
    assert_int_equal(apply(&writer, NULL, 0, NULL, &err), 0);
    nics_answered(nics);
}

struct guest {
    atomic_bool stop;
    unsigned int writes;
};

/* A guest that does not care what is in the slot, and whether it is still there. */
static void *meddle(void *context)
{
    static const uint32_t registers[] = { VIRTIO_MMIO_STATUS,      VIRTIO_MMIO_QUEUE_SEL,
                                          VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_DRIVER_FEATURES,
                                          VIRTIO_MMIO_QUEUE_NUM,   VIRTIO_MMIO_QUEUE_NOTIFY };
    struct guest *guest = context;

    for (unsigned int i = 0; !atomic_load(&guest->stop); i++) {
        uint64_t window = ARCH_SLOT_BASE + (FIRST_SLOT + i % 2) * ARCH_SLOT_SIZE;
        uint32_t value = i % 16, id = 0;

        machine_access(&machine, window + registers[i % 6], &value, 4, true);
        machine_access(&machine, window + VIRTIO_MMIO_DEVICE_ID, &id, 4, false);
        if (id != 0 && id != 1)
            abort();
        machine_access(&machine, window + VIRTIO_MMIO_CONFIG, &value, 4, false);
        guest->writes++;
    }
    return NULL;
}

static void *serve(void *context)
{
    (void)context;
    nics_serve(nics, 0);
    return NULL;
}

/* Sanitizers look for what is used after it was released. */
static void a_guest_at_the_registers_while_interfaces_come_and_go(void **state)
{
    struct guest guest = { 0 };
    pthread_t vcpu, worker;
    struct error err;

    (void)state;
    need();
    assert_int_equal(pthread_create(&worker, NULL, serve, NULL), 0);
    assert_int_equal(pthread_create(&vcpu, NULL, meddle, &guest), 0);
    for (unsigned int i = 0; i < 100; i++) {
        assert_int_equal(plug(100 + i, 1 + i % 3, &err), FIRST_SLOT);
        assert_int_equal(plug(300 + i, 1, &err), FIRST_SLOT + 1);
        set_carrier(100 + i, i % 2);
        unplug(100 + i);
        unplug(300 + i);
    }
    atomic_store(&guest.stop, true);
    pthread_join(vcpu, NULL);
    nics_stop(nics);
    pthread_join(worker, NULL);
    assert_true(guest.writes > 100);
}

static void *detach(void *context)
{
    (void)context;
    machine_detach(&machine, FIRST_SLOT);
    return NULL;
}

/* Several vCPUs can see to it that one of them is in the device at any moment. */
static void vcpus_that_never_leave_a_device_do_not_hold_up_its_end(void **state)
{
    const time_t deadline = time(NULL) + 10;
    pthread_t main_loop;
    struct error err;
    int ret;

    (void)state;
    need();
    assert_int_equal(plug(5, 1, &err), FIRST_SLOT);
    assert_int_equal(pthread_rwlock_rdlock(&machine.slots[FIRST_SLOT].lock), 0);
    assert_int_equal(pthread_create(&main_loop, NULL, detach, NULL), 0);
    /* From when the main loop waits for this vCPU on, it is before all others. */
    while ((ret = pthread_rwlock_tryrdlock(&machine.slots[FIRST_SLOT].lock)) == 0 &&
           time(NULL) < deadline) {
        pthread_rwlock_unlock(&machine.slots[FIRST_SLOT].lock);
        sched_yield();
    }
    if (ret == 0)
        pthread_rwlock_unlock(&machine.slots[FIRST_SLOT].lock);
    pthread_rwlock_unlock(&machine.slots[FIRST_SLOT].lock);
    pthread_join(main_loop, NULL);
    assert_int_equal(ret, EBUSY);
    assert_int_equal(device_id(FIRST_SLOT), 0);
}

static bool has_link(unsigned int slot)
{
    uint16_t status;

    virtio_mmio_read(machine.slots[slot].device,
                     VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, status), &status,
                     sizeof(status));
    return le16toh(status) & VIRTIO_NET_S_LINK_UP;
}

static void the_link_follows_the_carrier_of_the_host(void **state)
{
    struct error err;

    (void)state;
    need();
    assert_int_equal(plug(5, 1, &err), FIRST_SLOT);
    assert_int_equal(plug(6, 1, &err), FIRST_SLOT + 1);
    assert_true(has_link(FIRST_SLOT + 1));
    set_carrier(6, 0);
    assert_true(has_link(FIRST_SLOT));
    assert_false(has_link(FIRST_SLOT + 1));
    set_carrier(6, 1);
    assert_true(has_link(FIRST_SLOT + 1));
    /* Of an interface that nobody knows. */
    set_carrier(77, 0);
}

static void malformed_messages_change_nothing(void **state)
{
    struct protocol_writer writer = { 0 };
    struct error err;
    size_t mark;

    (void)state;
    need();
    assert_int_equal(plug(5, 1, &err), FIRST_SLOT);
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    mark = protocol_open(&writer, FIELD_LINK_STATE);
    protocol_put_u64(&writer, FIELD_LINK_INDEX, 5);
    protocol_close(&writer, mark);
    assert_int_equal(apply(&writer, NULL, 0, NULL, &err), -EPROTO);
    assert_non_null(strstr(err.message, "malformed change"));
    assert_true(has_link(FIRST_SLOT));
    writer = (struct protocol_writer) { 0 };
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    put_link(&writer, 6, 9);
    assert_int_equal(apply(&writer, NULL, 0, NULL, &err), -EPROTO);
    assert_int_equal(device_id(FIRST_SLOT + 1), 0);
}

/* What looks like vhost-net and is not: the workers do it, and nothing of it stays open. */
static void without_vhost_the_workers_move_the_packets(void **state)
{
    struct protocol_writer writer = { 0 };
    unsigned int before;
    struct error err;
    size_t mark;
    int fds[2];

    (void)state;
    need();
    assert_int_equal(plug(5, 1, &err), FIRST_SLOT);
    before = count_descriptors();
    assert_int_equal(plug(6, 1, &err), FIRST_SLOT + 1);
    before = count_descriptors() - before;
    unplug(6);
    before += count_descriptors();
    fds[0] = open_tap("vmrt6", 1);
    fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    mark = protocol_open(&writer, FIELD_LINK);
    protocol_put_u64(&writer, FIELD_LINK_INDEX, 6);
    protocol_put_u64(&writer, FIELD_LINK_VHOST, 1);
    protocol_put_u64(&writer, FIELD_LINK_SLOT, 0);
    protocol_close(&writer, mark);
    assert_int_equal(apply(&writer, fds, 2, NULL, &err), 0);
    nics_answered(nics);
    assert_int_equal(device_id(FIRST_SLOT + 1), 1);
    assert_int_equal(machine.slots[FIRST_SLOT + 1].device->interrupt_always, 0);
    assert_int_equal(count_descriptors(), before);
}

/* No message that failed may keep descriptors or a slot. */
static void what_cannot_be_plugged_in_is_given_back(void **state)
{
    struct protocol_writer writer = { 0 };
    unsigned int before;
    struct error err;
    int null;

    (void)state;
    need();
    before = count_descriptors();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    protocol_begin(&writer, MESSAGE_NETWORK, 0, 0);
    put_link(&writer, 6, 1);
    assert_int_equal(apply(&writer, &null, 1, NULL, &err), -ENOTTY);
    assert_non_null(strstr(err.message, "expected a TAP"));
    assert_int_equal(count_descriptors(), before);
    /* The notification register is somebody else's already. */
    assert_int_equal(kvm_ioeventfd(&machine.kvm,
                                   &(struct kvm_doorbell) {
                                       .gpa = ARCH_SLOT_BASE + FIRST_SLOT * ARCH_SLOT_SIZE + 0x50,
                                       .fd = machine.slots[0].kick_fd =
                                           eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                       .any = true },
                                   true, &err),
                     0);
    assert_int_equal(plug(6, 1, &err), -EEXIST);
    assert_int_equal(if_nametoindex("vmrt6"), 0);
    machine_release_slot(&machine, 0);
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(sixteen_interfaces_at_a_time_and_no_more),
        TEST(slots_are_used_again_and_nothing_is_left_open),
        TEST(a_slot_is_kept_until_the_guest_has_let_go),
        TEST(a_guest_at_the_registers_while_interfaces_come_and_go),
        TEST(vcpus_that_never_leave_a_device_do_not_hold_up_its_end),
        TEST(the_link_follows_the_carrier_of_the_host),
        TEST(malformed_messages_change_nothing),
        TEST(without_vhost_the_workers_move_the_packets),
        TEST(what_cannot_be_plugged_in_is_given_back),
    };

    if (access("/dev/kvm", R_OK | W_OK) < 0)
        impossible = "no /dev/kvm";
    else if (access("/dev/net/tun", R_OK | W_OK) < 0 || unshare(CLONE_NEWNET) < 0)
        impossible = "no /dev/net/tun, or no right to a network namespace";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
