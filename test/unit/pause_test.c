/* Stopping the vCPUs and letting them go, in a real machine whose guest takes no interrupts. */
#include <sys/socket.h>
#include <sys/un.h>

#include "init/protocol.h"
#include "vmm/control.h"
#include "vmm_program.h"

#define PLAN                                                                 \
    "{ " VMM_SANDBOX "\"kernel\": \"%s\", \"memory_mib\": 64, \"cpus\": 3, " \
    "\"cmdline\": \"payload=ticks\", \"console\": \"stderr\", \"control_fd\": %d }"

struct world {
    struct vmm vmm;
    int client;
    struct sockaddr_un address;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    *state = w;
    w->client = -1;
    w->address.sun_family = AF_UNIX;
    snprintf(w->address.sun_path + 1, sizeof(w->address.sun_path) - 1, "pause_test.%d",
             (int)getpid());
    if (bind(listener, (struct sockaddr *)&w->address, sizeof(w->address)) < 0 ||
        listen(listener, 8) < 0)
        return -1;
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        vmm_start(&w->vmm, PLAN, vmm_build_path("guest/payload"), listener);
    close(listener);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (w->vmm.pid > 0 && w->vmm.output_fd > 0) {
        kill(w->vmm.pid, SIGKILL);
        vmm_wait(&w->vmm);
    }
    fd_close(&w->client);
    free(w);
    return 0;
}

static int dial(const struct world *w)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&w->address, sizeof(w->address)), 0);
    return fd;
}

static void ask(int fd, uint16_t type, uint64_t signal)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, type, 0, type);
    if (signal)
        protocol_put_u64(&writer, FIELD_SIGNAL, signal);
    assert_int_equal(protocol_finish(&writer), 0);
    assert_int_equal(send(fd, writer.data, writer.length, MSG_NOSIGNAL), writer.length);
    free(writer.data);
}

/* Return: the code of the answer to @type. */
static int answer(int fd, uint16_t type, char *state, size_t size)
{
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    uint8_t packet[4096];
    bool bad = false;
    ssize_t n = recv(fd, packet, sizeof(packet), 0);

    assert_true(n > (ssize_t)PROTOCOL_HEADER_SIZE);
    assert_int_equal(protocol_read_header(packet, &header), 0);
    assert_int_equal(header.sequence, type);
    fields = (struct protocol_reader) { packet + PROTOCOL_HEADER_SIZE, header.length };
    if (state && protocol_find(fields, FIELD_STATE, &field) == 1)
        snprintf(state, size, "%s", protocol_string(&field, &bad));
    assert_int_equal(protocol_find(fields, FIELD_CODE, &field), 1);
    return (int)protocol_u64(&field, &bad);
}

static int request(struct world *w, uint16_t type, uint64_t signal)
{
    ask(w->client, type, signal);
    return answer(w->client, type, NULL, 0);
}

static void begin(struct world *w)
{
    vmm_need_kvm();
    w->client = dial(w);
    assert_true(vmm_says(&w->vmm, "tick\n"));
}

static void forget_output(struct world *w)
{
    char rest[4096];

    while (read(w->vmm.output_fd, rest, sizeof(rest)) > 0)
        ;
    memset(w->vmm.output, 0, sizeof(w->vmm.output));
    w->vmm.length = 0;
}

static void expect_state(struct world *w, const char *expected)
{
    char state[32] = "";

    ask(w->client, CONTROL_STATUS, 0);
    assert_int_equal(answer(w->client, CONTROL_STATUS, state, sizeof(state)), 0);
    assert_string_equal(state, expected);
}

static void test_paused_guest_does_nothing(void **state)
{
    struct world *w = *state;

    begin(w);
    for (int i = 0; i < 3; i++) {
        char byte;

        assert_int_equal(request(w, CONTROL_PAUSE, 0), 0);
        expect_state(w, "paused");
        assert_int_equal(request(w, CONTROL_PAUSE, 0), EBUSY);
        /* What the devices had taken before is written; then comes nothing more. */
        usleep(50000);
        forget_output(w);
        usleep(200000);
        assert_int_equal(read(w->vmm.output_fd, &byte, 1), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(request(w, CONTROL_RESUME, 0), 0);
        assert_true(vmm_says(&w->vmm, "tick\ntick\n"));
        forget_output(w);
        expect_state(w, "created");
        assert_int_equal(request(w, CONTROL_RESUME, 0), EINVAL);
    }
}

/* A kick that is lost leaves a pause unanswered; one too many, a vCPU that never enters again. */
static void test_many_pauses(void **state)
{
    struct world *w = *state;

    begin(w);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(request(w, CONTROL_PAUSE, 0), 0);
        assert_int_equal(request(w, CONTROL_RESUME, 0), 0);
        forget_output(w);
    }
    assert_true(vmm_says(&w->vmm, "tick\ntick\n"));
}

/* Resumed by somebody else before all vCPUs have stopped, or right after. */
static void test_resume_while_pausing(void **state)
{
    struct world *w = *state;
    int other;

    begin(w);
    other = dial(w);
    for (int i = 0; i < 500; i++) {
        int code;

        ask(w->client, CONTROL_PAUSE, 0);
        ask(other, CONTROL_RESUME, 0);
        code = answer(other, CONTROL_RESUME, NULL, 0);
        assert_true(code == 0 || code == EINVAL);
        if (code == 0) {
            code = answer(w->client, CONTROL_PAUSE, NULL, 0);
            assert_true(code == 0 || code == EINTR);
        } else {
            /* It came first. */
            assert_int_equal(answer(w->client, CONTROL_PAUSE, NULL, 0), 0);
            assert_int_equal(request(w, CONTROL_RESUME, 0), 0);
        }
        forget_output(w);
    }
    assert_true(vmm_says(&w->vmm, "tick\ntick\n"));
    close(other);
}

static void test_paused_machine_can_be_killed(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(request(w, CONTROL_PAUSE, 0), 0);
    assert_int_equal(request(w, CONTROL_SIGNAL, SIGKILL), 0);
    assert_int_equal(vmm_wait(&w->vmm), 128 + SIGKILL);
}

static void test_kill_of_the_process(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(request(w, CONTROL_PAUSE, 0), 0);
    kill(w->vmm.pid, SIGKILL);
    assert_int_equal(vmm_wait(&w->vmm), 1000 + SIGKILL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_paused_guest_does_nothing), TEST(test_many_pauses),
        TEST(test_resume_while_pausing),      TEST(test_paused_machine_can_be_killed),
        TEST(test_kill_of_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
