/* Bare-metal guests in a real machine: what they find, what they may try, how it ends. */
#include <dirent.h>
#include <linux/virtio_ids.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "init/protocol.h"
#include "vmm/control.h"
#include "vmm_program.h"

#define FAILED  125
#define RESET   "vmrt: the guest kernel panicked or reset the machine"
#define PLAN    "{ " VMM_SANDBOX "\"kernel\": \"%s\", \"memory_mib\": 64, \"cmdline\": \"payload=%s\""
#define CONSOLE ", \"console\": \"stderr\""

static const char *payload(void)
{
    return vmm_build_path("guest/payload");
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct vmm));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* A payload that ends well says so, and then resets the machine. */
static void expect_ok(struct vmm *vmm, const char *name, const char *more)
{
    char said[64];

    vmm_start(vmm, PLAN CONSOLE "%s }", payload(), name, more);
    assert_int_equal(vmm_wait(vmm), FAILED);
    snprintf(said, sizeof(said), "payload %s: ok\n", name);
    vmm_expect_said(vmm, said);
    vmm_expect_said(vmm, RESET);
}

/* ---- ends ---- */

static void test_reset(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN " }", payload(), "reset");
    assert_int_equal(vmm_wait(vmm), FAILED);
    assert_string_equal(vmm->output, RESET " (VMRT_CONSOLE=stderr shows its log)\n");
}

static void test_triple_fault(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN " }", payload(), "triple-fault");
    assert_int_equal(vmm_wait(vmm), FAILED);
    assert_string_equal(vmm->output, "vmrt: the guest ended in a triple fault\n");
}

/* Only a KVM that interprets the guest meets an instruction that it does not know. */
static void test_kvm_internal_error(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN CONSOLE " }", payload(), "internal-error");
    assert_int_equal(vmm_wait(vmm), FAILED);
    vmm_expect_said(vmm, "popcnt:\n");
    if (strstr(vmm->output, "payload internal-error: ok")) {
        print_message("skipped: this KVM runs every instruction\n");
        skip();
    }
    vmm_expect_said(vmm, "vmrt: KVM internal error on CPU 0 (suberror 1): this KVM cannot run the "
                         "guest's code; vmrt check says whether the host is able to\n");
}

static void test_signals_before_the_start(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN CONSOLE " }", payload(), "idle");
    assert_true(vmm_says(vmm, "idle\n"));
    kill(vmm->pid, SIGWINCH);
    kill(vmm->pid, SIGCONT);
    kill(vmm->pid, SIGTERM);
    assert_int_equal(vmm_wait(vmm), 128 + SIGTERM);
}

static void test_reports_go_to_the_engine_s_log(void **state)
{
    struct vmm *vmm = *state;
    char text[512] = "";
    int fd = memfd_create("log", 0);

    vmm_need_kvm();
    vmm_start(vmm, PLAN ", \"log_fd\": %d, \"log_json\": true }", payload(), "triple-fault", fd);
    assert_int_equal(vmm_wait(vmm), FAILED);
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(
        strstr(text,
               "{\"level\":\"error\",\"msg\":\"the guest ended in a triple fault\",\"time\":\"20"));
    close(fd);
}

static void test_exit_statistics(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN ", \"exit_stats\": true }", payload(), "reset");
    assert_int_equal(vmm_wait(vmm), FAILED);
    vmm_expect_said(vmm, "exits in all:\nexits io 1\n");
}

/* A descriptor that is closed must not be taken for a stream by what is opened next. */
static void test_closed_stdio(void **state)
{
    struct vmm *vmm = *state;
    pid_t child;
    int log = memfd_create("log", 0), status;
    char plan[64], text[512] = "";
    int fd = memfd_create("plan", 0);

    vmm_need_kvm();
    dprintf(fd, PLAN ", \"log_fd\": %d }", payload(), "triple-fault", log);
    lseek(fd, 0, SEEK_SET);
    snprintf(plan, sizeof(plan), "%d", fd);
    (void)vmm;
    child = fork();
    if (child == 0) {
        close(0);
        close(1);
        close(2);
        execl(vmm_build_path("vmrt-vmm"), "vmrt-vmm", "--plan-fd", plan, NULL);
        _exit(111);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FAILED);
    assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(strstr(text, "triple fault"));
    close(fd);
    close(log);
}

/* ---- what the guest finds ---- */

static void expect_slots(const struct vmm *vmm, const unsigned int found[16])
{
    for (unsigned int slot = 0; slot < 16; slot++) {
        char line[32];

        snprintf(line, sizeof(line), "slot %u device %u\n", slot, found[slot]);
        vmm_expect_said(vmm, line);
    }
}

static void test_devices_in_their_slots(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "probe", "");
    expect_slots(*state,
                 (unsigned int[16]) { VIRTIO_ID_VSOCK, 0, VIRTIO_ID_RNG, VIRTIO_ID_CONSOLE });
    expect_ok(*state, "probe", ", \"shares\": [ { \"path\": \"/\" } ]");
    expect_slots(*state, (unsigned int[16]) { VIRTIO_ID_VSOCK, VIRTIO_ID_FS, VIRTIO_ID_RNG,
                                              VIRTIO_ID_CONSOLE });
}

/* Nobody says HELLO here, so it never comes. */
static void test_late_slot_stays_empty(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "probe", ", \"rng_late\": true");
    expect_slots(*state, (unsigned int[16]) { VIRTIO_ID_VSOCK, 0, 0, VIRTIO_ID_CONSOLE });
}

static void test_random_numbers(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "rng", "");
}

static void test_memory_map(void **state)
{
    static const unsigned int sizes[] = { 40, 64, 3072, 3073, 5000 };
    struct vmm *vmm = *state;

    vmm_need_kvm();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char more[64], said[32];

        /* The last of two equal keys counts. All but what lies from 0x9fc00 to 1 MiB. */
        snprintf(more, sizeof(more), ", \"memory_mib\": %u", sizes[i]);
        snprintf(said, sizeof(said), "ram %u KiB\nmodules 0\n", sizes[i] * 1024 - 385);
        expect_ok(vmm, "boot-information", more);
        vmm_expect_said(vmm, said);
    }
}

static void test_initramfs_is_a_module(void **state)
{
    char more[600];

    vmm_need_kvm();
    snprintf(more, sizeof(more), ", \"init\": \"%s\"", payload());
    expect_ok(*state, "boot-information", more);
    vmm_expect_said(*state, "modules 1\n");
}

static void test_two_cpus(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "two-cpus", ", \"cpus\": 2");
}

static void test_many_cpus(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "rng", ", \"cpus\": 64");
}

/* ---- what the guest may try ---- */

#define ALL_DEVICES ", \"shares\": [ { \"path\": \"/\", \"readonly\": true } ]"

static void test_bad_queues(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "queues", ALL_DEVICES);
    /* Many times broken, one time reported. */
    vmm_expect_said(*state, "vmrt: virtio-rng: the driver");
    const struct vmm *vmm = *state;
    assert_null(strstr(strstr(vmm->output, "virtio-rng") + 1, "virtio-rng"));
}

static void test_every_register_at_every_width(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "registers", ALL_DEVICES);
}

static void test_addresses_where_nothing_is(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "outside", ALL_DEVICES);
}

static void test_every_port(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "ports", ALL_DEVICES);
}

static void test_flood_of_notifications(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "notify", ALL_DEVICES);
}

static void test_noise_on_every_device(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "chaos", ALL_DEVICES);
}

static void test_reset_while_another_cpu_notifies(void **state)
{
    vmm_need_kvm();
    expect_ok(*state, "race", ", \"cpus\": 2");
}

/* ---- a guest that is its own init ---- */

static void test_from_hello_to_the_exit_status(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN CONSOLE ", \"rng_late\": true }", payload(), "init");
    if (vmm_wait(vmm) != 42)
        fail_msg("%s", vmm->output);
    assert_string_equal(vmm->output, "from bare metal\n");
}

static void test_init_that_floods(void **state)
{
    struct vmm *vmm = *state;

    vmm_need_kvm();
    vmm_start(vmm, PLAN ", \"rng_late\": true }", payload(), "init-flood");
    assert_int_equal(vmm_wait(vmm), FAILED);
    assert_string_equal(vmm->output, "vmrt: the guest's init sent a malformed message\n");
}

/* ---- from outside, while it runs ---- */

#ifndef __SANITIZE_ADDRESS__ /* a VMM with sanitizers runs without sandbox */
static int status_number(pid_t pid, const char *thread, const char *name, uint64_t *value)
{
    char path[300];
    _cleanup_free_ char *text = NULL;
    const char *line;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, thread);
    if (fd_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0 || !(line = strstr(text, name)))
        return -1;
    *value = strtoull(line + strlen(name) + 1, NULL, 16);
    return 0;
}

static void test_every_thread_is_in_its_sandbox(void **state)
{
    struct vmm *vmm = *state;
    unsigned int threads = 0, with_capabilities = 0;
    char path[64];

    vmm_need_kvm();
    vmm_start(vmm, PLAN CONSOLE ", \"cpus\": 2, \"shares\": [ { \"path\": \"/\" } ] }", payload(),
              "idle");
    assert_true(vmm_says(vmm, "idle\n"));
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)vmm->pid);
    _cleanup_free_ char *maps = NULL;
    assert_int_equal(fd_read_file(AT_FDCWD, path, 1 << 20, &maps, NULL), 0);
    assert_null(strstr(maps, "rwx"));
    /* Main, file server, two CPUs. */
    snprintf(path, sizeof(path), "/proc/%d/task", (int)vmm->pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks));) {
        const char *thread = task->d_name;
        uint64_t value;

        if (thread[0] == '.')
            continue;
        assert_int_equal(status_number(vmm->pid, thread, "Seccomp:", &value), 0);
        threads++;
        assert_int_equal(value, 2);
        assert_int_equal(status_number(vmm->pid, thread, "NoNewPrivs:", &value), 0);
        assert_int_equal(value, 1);
        assert_int_equal(status_number(vmm->pid, thread, "CapEff:", &value), 0);
        with_capabilities += value != 0;
        assert_int_equal(status_number(vmm->pid, thread, "CapBnd:", &value), 0);
        if (geteuid() == 0)
            assert_int_equal(value, 0);
    }
    closedir(tasks);
    kill(vmm->pid, SIGTERM);
    assert_int_equal(vmm_wait(vmm), 128 + SIGTERM);
    /* KVM may have put a thread of its own into the process; it shows up as the main one. */
    assert_true(threads >= 4);
    assert_int_equal(with_capabilities, geteuid() == 0);
}
#endif

static int request(int fd, uint16_t type, uint64_t signal, char *text, size_t size)
{
    struct protocol_writer writer = { 0 };
    struct protocol_field field = { 0 };
    uint8_t packet[4096];
    struct protocol_reader fields;
    bool bad = false;
    ssize_t n;

    protocol_begin(&writer, type, 0, 5);
    if (signal)
        protocol_put_u64(&writer, FIELD_SIGNAL, signal);
    assert_int_equal(protocol_finish(&writer), 0);
    assert_int_equal(send(fd, writer.data, writer.length, 0), writer.length);
    free(writer.data);
    n = recv(fd, packet, sizeof(packet), 0);
    assert_true(n > (ssize_t)PROTOCOL_HEADER_SIZE);
    fields = (struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE,
                                        (size_t)n - PROTOCOL_HEADER_SIZE };
    if (text && protocol_find(fields, FIELD_STATE, &field) == 1)
        snprintf(text, size, "%s", protocol_string(&field, &bad));
    assert_int_equal(protocol_find(fields, FIELD_CODE, &field), 1);
    return (int)protocol_u64(&field, &bad);
}

static void test_control_socket(void **state)
{
    struct vmm *vmm = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), ready[2], client;
    uint8_t result[256];
    struct protocol_header header;
    char text[32] = "";

    vmm_need_kvm();
    snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "payload_test.%d", (int)getpid());
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(pipe(ready), 0);
    vmm_start(vmm, PLAN CONSOLE ", \"control_fd\": %d, \"ready_fd\": %d }", payload(), "idle",
              listener, ready[1]);
    close(ready[1]);
    close(listener);
    /* Ready is said once, when the machine exists; then the end of the file. */
    ssize_t n = fd_read_full(ready[0], result, sizeof(result));
    assert_int_equal(n, PROTOCOL_HEADER_SIZE + 16);
    assert_int_equal(protocol_read_header(result, &header), 0);
    assert_int_equal(header.type, MESSAGE_RESULT);
    assert_int_equal(protocol_load64(result + n - 8), 0);
    close(ready[0]);
    client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(request(client, CONTROL_STATUS, 0, text, sizeof(text)), 0);
    assert_string_equal(text, "created");
    assert_int_equal(request(client, CONTROL_SIGNAL, SIGKILL, NULL, 0), 0);
    close(client);
    assert_int_equal(vmm_wait(vmm), 128 + SIGKILL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reset),
        TEST(test_triple_fault),
        TEST(test_kvm_internal_error),
        TEST(test_signals_before_the_start),
        TEST(test_reports_go_to_the_engine_s_log),
        TEST(test_exit_statistics),
        TEST(test_closed_stdio),
        TEST(test_devices_in_their_slots),
        TEST(test_late_slot_stays_empty),
        TEST(test_random_numbers),
        TEST(test_memory_map),
        TEST(test_initramfs_is_a_module),
        TEST(test_two_cpus),
        TEST(test_many_cpus),
        TEST(test_bad_queues),
        TEST(test_every_register_at_every_width),
        TEST(test_addresses_where_nothing_is),
        TEST(test_every_port),
        TEST(test_flood_of_notifications),
        TEST(test_noise_on_every_device),
        TEST(test_reset_while_another_cpu_notifies),
        TEST(test_from_hello_to_the_exit_status),
        TEST(test_init_that_floods),
#ifndef __SANITIZE_ADDRESS__
        TEST(test_every_thread_is_in_its_sandbox),
#endif
        TEST(test_control_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
