/* Further processes at the wrong time, in the wrong way, or too many of them. */
#include <sys/resource.h>

#include "control_proxy.h"

/* ---- before the container is prepared ---- */

/* Sends EXEC with /dev/null as stdio. */
static void ask_exec_of_nothing(int fd)
{
    int fds[4] = { description(false, MESSAGE_EXEC) };

    for (int i = 1; i < 4; i++)
        fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    ask_exec(fd, fds, 4);
}

/* runc: a created container is enough, and create returns while the guest still boots. */
static void test_exec_waits_for_the_boot(void **state)
{
    struct world *w = *state;
    struct protocol_header first, second;
    int fds[2] = { dial(), dial() };

    for (int i = 0; i < 2; i++)
        ask_exec_of_nothing(fds[i]);
    assert_true(world_run(w));
    init_expects_nothing(w);
    init_says_hello(w);
    init_expects(w, MESSAGE_SETUP, NULL);
    init_expects_nothing(w);
    init_answers(w, 1, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_CREATED);
    assert_int_equal(field_u64(init_expects(w, MESSAGE_EXEC, &first), FIELD_PROCESS), 1);
    assert_int_equal(field_u64(init_expects(w, MESSAGE_EXEC, &second), FIELD_PROCESS), 2);
    init_expects_nothing(w);
    assert_int_equal(answer(fds[0], NULL, NULL, 0), -1);
    init_answers(w, second.sequence, 0, NULL);
    assert_int_equal(answer(fds[0], NULL, NULL, 0), -1);
    assert_int_equal(answer(fds[1], NULL, NULL, 0), 0);
    init_answers(w, first.sequence, 0, NULL);
    assert_int_equal(answer(fds[0], NULL, NULL, 0), 0);
    init_reports_exit(w, 0, 1, 3);
    world_run(w);
    assert_int_equal(exited(fds[0]), 3);
    close(fds[0]);
    close(fds[1]);
}

/* A guest cannot answer what it was not asked. */
static void test_exec_that_waits_is_not_answered(void **state)
{
    struct world *w = *state;
    int fd = dial();

    ask_exec_of_nothing(fd);
    world_run(w);
    init_says_hello(w);
    init_expects(w, MESSAGE_SETUP, NULL);
    for (uint32_t sequence = 2; sequence < 8; sequence++)
        init_answers(w, sequence, 0, NULL);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), -1);
    init_answers(w, 1, 0, NULL);
    init_expects(w, MESSAGE_EXEC, NULL);
    close(fd);
}

static void test_exec_that_waits_goes_with_its_proxy(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    int gone = dial(), stays = dial();

    ask_exec_of_nothing(gone);
    ask_exec_of_nothing(stays);
    world_run(w);
    ask_signal(gone, SIGTERM);
    close(gone);
    assert_true(world_run(w));
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_expects(w, MESSAGE_SETUP, NULL);
    assert_int_equal(field_u64(init_expects(w, MESSAGE_EXEC, &header), FIELD_PROCESS), 2);
    init_expects_nothing(w);
    init_answers(w, header.sequence, 0, NULL);
    assert_int_equal(answer(stays, NULL, NULL, 0), 0);
    close(stays);
}

static void test_exec_that_waits_for_a_boot_that_fails(void **state)
{
    struct world *w = *state;
    char text[256];
    int fd = dial();

    ask_exec_of_nothing(fd);
    world_run(w);
    init_says_hello(w);
    init_answers(w, 1, EINVAL, "mount /x: no");
    world_run(w);
    assert_int_equal(answer(fd, NULL, text, sizeof(text)), EINVAL);
    assert_string_equal(text, "mount /x: no");
    close(fd);
}

/* ---- what is refused ---- */

static void test_exec_in_a_paused_container(void **state)
{
    struct world *w = *state;
    int fd = dial();

    control_start(w);
    ask(fd, CONTROL_PAUSE, 1);
    world_run(w);
    ask_exec_of_nothing(fd);
    world_run(w);
    assert_int_equal(answer(fd, NULL, NULL, 0), EBUSY);
    control_server_paused(server);
    assert_int_equal(answer(fd, NULL, NULL, 0), 0);
    ask_exec_of_nothing(fd);
    expect_refusal(w, fd, EBUSY, "cannot exec in a paused container");
    close(fd);
}

static void test_descriptors_that_do_not_fit(void **state)
{
    struct world *w = *state;
    int fd = dial(), before, after, ends[2];

    control_start(w);
    before = dup(fd);
    close(before);
    for (size_t count = 0; count < 8; count++) {
        int fds[8];

        if (count == 4)
            continue;
        for (size_t i = 0; i < count; i++)
            fds[i] = i ? open("/dev/null", O_RDWR | O_CLOEXEC) : description(false, MESSAGE_EXEC);
        ask_exec(fd, fds, count);
        if (count == 0)
            expect_refusal(w, fd, EPROTO, "expected a file with one process");
        else
            expect_refusal(w, fd, EINVAL,
                           count == 1   ? "expected stdin, stdout and stderr, found 0 descriptors"
                           : count == 2 ? "expected stdin, stdout and stderr, found 1 descriptors"
                           : count == 3 ? "expected stdin, stdout and stderr, found 2 descriptors"
                           : count == 5 ? "expected stdin, stdout and stderr, found 4 descriptors"
                           : count == 6 ? "expected stdin, stdout and stderr, found 5 descriptors"
                                        : "expected stdin, stdout and stderr, found 6 descriptors");
    }
    close(fd);
    world_run(w);
    fd = dial();
    ask_exec(fd, (int[]) { description(true, MESSAGE_EXEC), dup(1), dup(1), dup(1) }, 4);
    expect_refusal(w, fd, EINVAL, "expected a terminal, found 3 descriptors");
    ask_exec(fd, (int[]) { description(false, MESSAGE_SIGNAL), dup(1), dup(1), dup(1) }, 4);
    expect_refusal(w, fd, EPROTO, "expected one message that describes a process");
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    ask_exec(fd, (int[]) { ends[0], dup(1), dup(1), dup(1) }, 4);
    expect_refusal(w, fd, EPROTO, "expected a file with one process");
    ask_exec(fd, (int[]) { memfd_create("empty", MFD_CLOEXEC), dup(1), dup(1), dup(1) }, 4);
    expect_refusal(w, fd, EPROTO, "expected a file with one process");
    after = dup(fd);
    /* One for the client's other end; those of the process that runs by now. */
    assert_true(after <= before + 8);
    close(after);
    close(fd);
}

/* Nothing a guest sends may name a process that does not expect it. */
static void test_streams_that_nobody_expects(void **state)
{
    struct world *w = *state;
    struct proxy proxy;

    control_start(w);
    assert_true(init_opens_stream_of(w, 1, 0)->reset);
    proxy_run(w, &proxy);
    assert_true(init_opens_stream_of(w, 1, 1)->reset);
    assert_true(init_opens_stream_of(w, 1, 3)->reset);
    assert_true(init_opens_stream_of(w, 2, 0)->reset);
    assert_true(init_opens_stream_of(w, 1ull << 32 | 1, 0)->reset);
    init_reports_exit(w, 0, 1, 0);
    assert_true(init_opens_stream_of(w, 1, 0)->reset);
    proxy_end(&proxy);
}

static void test_impossible_exits(void **state)
{
    struct world *w = *state;
    struct proxy proxy;

    control_start(w);
    proxy_run(w, &proxy);
    /* Of another container: none of ours. */
    init_reports_exit(w, 1, 1, 0);
    init_reports_exit(w, 5, 0, 0);
    assert_int_equal(exited(proxy.fd), -1);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    init_reports_exit(w, 0, 1, 5);
    init_reports_exit(w, 0, 1, 6);
    assert_int_equal(exited(proxy.fd), 5);
    assert_int_equal(exited(proxy.fd), -1);
    init_reports_exit(w, 0, 2, 0);
    assert_int_equal(session_state(w->session), SESSION_FAILED);
    world_expect_report(w, "impossible exit");
    proxy_end(&proxy);
}

static void test_exit_before_the_answer(void **state)
{
    struct world *w = *state;
    struct proxy proxy;

    control_start(w);
    proxy_begin(w, &proxy);
    init_reports_exit(w, 0, proxy.process, 0);
    assert_int_equal(session_state(w->session), SESSION_FAILED);
    assert_int_equal(answer(proxy.fd, NULL, NULL, 0), EPROTO);
    proxy_end(&proxy);
}

/* A RESULT ends nothing but what it answers. */
static void test_results_that_answer_nothing(void **state)
{
    struct world *w = *state;
    struct proxy proxy;

    control_start(w);
    proxy_run(w, &proxy);
    init_answers(w, proxy.sequence, EIO, "again");
    init_answers(w, proxy.sequence + 1, EIO, "early");
    init_answers(w, 2, EIO, "START again");
    init_answers(w, 0, EIO, "nothing");
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    assert_int_equal(answer(proxy.fd, NULL, NULL, 0), -1);
    proxy_end(&proxy);
}

/* ---- many ---- */

static void more_descriptors(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

#define MANY 300

static void test_three_hundred_at_once(void **state)
{
    static struct proxy proxies[MANY];
    struct world *w = *state;
    char seen[16];

    more_descriptors();
    control_start(w);
    for (int i = 0; i < MANY; i++) {
        proxy_run(w, &proxies[i]);
        assert_int_equal(proxies[i].process, i + 1);
    }
    for (int i = MANY - 1; i >= 0; i--) {
        guest_write(proxies[i].streams[1], "done", 4);
        init_reports_exit(w, 0, proxies[i].process, (uint64_t)i % 256);
        assert_int_equal(exited(proxies[i].fd), i % 256);
        assert_int_equal(see(&proxies[i], 1, seen, sizeof(seen), NULL), 4);
        for (int k = 0; k < 3; k++)
            guest_close(proxies[i].streams[k]);
        proxy_end(&proxies[i]);
    }
    assert_true(world_run(w));
    /* Numbers are not used again. */
    proxy_run(w, &proxies[0]);
    assert_int_equal(proxies[0].process, MANY + 1);
    proxy_end(&proxies[0]);
}

static void test_more_than_the_guest_has_connections_for(void **state)
{
    static struct proxy proxies[VSOCK_CONNECTIONS_MAX];
    struct world *w = *state;
    unsigned int room = (VSOCK_CONNECTIONS_MAX - 96) / 3 - 1, count = 0;
    int fd = dial();

    more_descriptors();
    control_start(w);
    while (count < room)
        proxy_begin(w, &proxies[count++]);
    ask_exec(fd, (int[]) { description(false, MESSAGE_EXEC), dup(1), dup(1), dup(1) }, 4);
    expect_refusal(w, fd, EAGAIN, "too many processes: their streams would be more than 928");
    init_answers(w, proxies[0].sequence, ENOENT, "no");
    proxy_end(&proxies[0]);
    world_run(w);
    proxy_begin(w, &proxies[0]);
    while (count > 0)
        proxy_end(&proxies[--count]);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_setup, control_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exec_waits_for_the_boot),
        TEST(test_exec_that_waits_is_not_answered),
        TEST(test_exec_that_waits_goes_with_its_proxy),
        TEST(test_exec_that_waits_for_a_boot_that_fails),
        TEST(test_exec_in_a_paused_container),
        TEST(test_descriptors_that_do_not_fit),
        TEST(test_streams_that_nobody_expects),
        TEST(test_impossible_exits),
        TEST(test_exit_before_the_answer),
        TEST(test_results_that_answer_nothing),
        TEST(test_three_hundred_at_once),
        TEST(test_more_than_the_guest_has_connections_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
