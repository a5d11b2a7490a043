/* The conversation with init: order, refusals, what a hostile init can and cannot do. */
#include "vmm/session.h"

#include <stdio.h>

#include "init/protocol.h"
#include "session_world.h"

static const char two_containers[] = "two";

/* A guest plan of two messages. */
static void make_plan(struct world *w)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct protocol_writer writer = { 0 };

        protocol_begin(&writer, MESSAGE_CONTAINER, i, 77);
        protocol_put_string(&writer, FIELD_ID, i ? two_containers : "one");
        assert_int_equal(protocol_finish(&writer), 0);
        w->plan = realloc(w->plan, w->plan_length + writer.length);
        memcpy(w->plan + w->plan_length, writer.data, writer.length);
        w->plan_length += writer.length;
        free(writer.data);
    }
    w->config.guest_plan = w->plan;
    w->config.guest_plan_length = w->plan_length;
}

static void expect_failure(struct world *w, const char *text)
{
    assert_int_equal(session_state(w->session), SESSION_FAILED);
    assert_int_equal(session_status(w->session), SESSION_STATUS_FAILED);
    assert_false(world_run(w));
    world_expect_report(w, text);
}

static uint64_t attach_two(void *context)
{
    struct world *w = context;

    w->attached++;
    return 1ull << 2 | 1ull << 15;
}

/* ---- order ---- */

static void test_hello_setup_plan_start(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    static const uint8_t zeros[64];
    bool bad = false;

    make_plan(w);
    w->config.autostart = true;
    w->config.has_shares = true;
    w->config.attach_late = attach_two;
    world_boot(w);
    init_says_hello(w);
    assert_int_equal(w->attached, 1);

    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(header.type, MESSAGE_SETUP);
    assert_int_equal(header.sequence, 1);
    assert_int_equal(protocol_find(fields, FIELD_TIME, &field), 1);
    assert_true(protocol_u64(&field, &bad) > 1600000000ull * 1000000000ull);
    assert_int_equal(protocol_find(fields, FIELD_ENTROPY, &field), 1);
    assert_int_equal(field.value.length, 64);
    assert_memory_not_equal(field.value.data, zeros, 64);
    assert_int_equal(protocol_find(fields, FIELD_SECRET, &field), 1);
    assert_int_equal(field.value.length, PROTOCOL_SECRET_SIZE);
    assert_memory_not_equal(field.value.data, zeros, PROTOCOL_SECRET_SIZE);
    assert_int_equal(protocol_find(fields, FIELD_SHARE_TAG, &field), 1);
    assert_string_equal(protocol_string(&field, &bad), SESSION_SHARE_TAG);
    assert_int_equal(protocol_find(fields, FIELD_SLOT, &field), 1);
    assert_int_equal(protocol_u64(&field, &bad), 2);
    assert_false(bad);

    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(header.type, MESSAGE_CONTAINER);
    assert_int_equal(header.sequence, 2);
    assert_int_equal(header.container, 0);
    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(header.sequence, 3);
    assert_int_equal(header.container, 1);
    assert_int_equal(protocol_find(fields, FIELD_ID, &field), 1);
    assert_string_equal(protocol_string(&field, &bad), two_containers);

    for (uint32_t sequence = 1; sequence <= 3; sequence++) {
        assert_false(init_receives(w, &header, &fields));
        assert_int_equal(session_state(w->session), SESSION_BOOTING);
        init_answers(w, sequence, 0, NULL);
    }
    assert_int_equal(session_state(w->session), SESSION_CREATED);
    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(header.type, MESSAGE_START);
    assert_int_equal(header.sequence, 4);
    assert_int_equal(w->started, 0);
    init_answers(w, 4, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
    assert_int_equal(w->started, 1);
    /* Again: nothing happens twice. */
    init_answers(w, 4, 0, NULL);
    assert_int_equal(w->started, 1);
    init_exits(w, 42);
    assert_false(world_run(w));
    assert_int_equal(session_status(w->session), 42);
}

static void test_setup_without_extras(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field = { 0 };

    world_boot(w);
    init_says_hello(w);
    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(protocol_find(fields, FIELD_SLOT, &field), 0);
    assert_int_equal(protocol_find(fields, FIELD_SHARE_TAG, &field), 0);
}

static void test_messages_in_single_bytes(void **state)
{
    struct world *w = *state;
    struct protocol_writer writer = { 0 };

    w->config.autostart = true;
    world_boot(w);
    protocol_begin(&writer, MESSAGE_HELLO, 0, 0);
    protocol_put_string(&writer, FIELD_RELEASE, "6.12.1");
    protocol_finish(&writer);
    for (size_t i = 0; i < writer.length; i++)
        guest_write(w->control, writer.data + i, 1);
    assert_true(w->control->outbox_length > 0);
    free(writer.data);
}

static void test_many_messages_at_once(void **state)
{
    struct world *w = *state;
    struct protocol_writer writer = { 0 };
    uint8_t all[512];
    size_t length = 0;

    w->config.autostart = true;
    world_boot(w);
    protocol_begin(&writer, MESSAGE_HELLO, 0, 0);
    protocol_finish(&writer);
    memcpy(all, writer.data, writer.length);
    length = writer.length;
    for (uint32_t sequence = 1; sequence <= 2; sequence++) {
        protocol_begin(&writer, MESSAGE_RESULT, 0, sequence);
        protocol_put_u64(&writer, FIELD_CODE, 0);
        protocol_finish(&writer);
        memcpy(all + length, writer.data, writer.length);
        length += writer.length;
    }
    free(writer.data);
    guest_write(w->control, all, length);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

/* The guest takes a few bytes at a time: messages stay whole and in order. */
static void test_slow_guest_gets_everything_in_order(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;

    make_plan(w);
    world_boot(w);
    w->control->window = 0;
    init_says_hello(w);
    assert_false(init_receives(w, &header, &fields));
    for (int i = 0; i < 200; i++)
        guest_take(w->control, 3);
    for (uint32_t sequence = 1; sequence <= 3; sequence++) {
        assert_true(init_receives(w, &header, &fields));
        assert_int_equal(header.sequence, sequence);
    }
    assert_false(init_receives(w, &header, &fields));
}

static void test_second_hello_is_ignored(void **state)
{
    struct world *w = *state;
    size_t length;

    w->config.attach_late = attach_two;
    world_boot(w);
    init_says_hello(w);
    length = w->control->outbox_length;
    init_says_hello(w);
    assert_int_equal(w->control->outbox_length, length);
    assert_int_equal(w->attached, 1);
}

/* ---- what breaks the rules ---- */

static void test_no_hello_first(void **state)
{
    struct world *w = *state;

    world_boot(w);
    init_answers(w, 1, 0, NULL);
    expect_failure(w, "did not say HELLO first");
}

static void test_unknown_type(void **state)
{
    struct world *w = *state;

    world_boot(w);
    init_says_hello(w);
    init_says(w, MESSAGE_SETUP, 0);
    expect_failure(w, "unknown type");
}

static void test_malformed_headers(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
    } wrong[] = {
        { 0, 0xdeadbeef },     /* magic */
        { 4, 0x00010002 },     /* version 2 */
        { 16, 8192 - 24 + 1 }, /* a byte more than init may send */
        { 16, PROTOCOL_LENGTH_MAX + 1 },
        { 16, 0xffffffff },
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t header[PROTOCOL_HEADER_SIZE] = { 0 };
        struct world *w;

        world_teardown(state);
        world_setup(state);
        w = *state;
        world_boot(w);
        init_says_hello(w);
        protocol_store32(header, PROTOCOL_MAGIC);
        protocol_store16(header + 4, PROTOCOL_VERSION);
        protocol_store16(header + 6, MESSAGE_LOG);
        protocol_store32(header + wrong[i].at, wrong[i].value);
        guest_write(w->control, header, sizeof(header));
        expect_failure(w, "malformed message");
    }
}

/*
 * A header that promises more than there is room for, when the session is past caring: the bytes
 * behind it must not be stored.
 */
static void flood_after(struct world *w)
{
    uint8_t header[PROTOCOL_HEADER_SIZE] = { 0 };
    uint8_t *flood = malloc(VSOCK_BUFFER_SIZE);

    memset(flood, 0xa5, VSOCK_BUFFER_SIZE);
    protocol_store32(header, PROTOCOL_MAGIC);
    protocol_store16(header + 4, PROTOCOL_VERSION);
    protocol_store32(header + 16, PROTOCOL_LENGTH_MAX);
    for (int i = 0; i < 3; i++) {
        guest_write(w->control, header, sizeof(header));
        guest_write(w->control, flood, VSOCK_BUFFER_SIZE);
    }
    assert_int_equal(w->control->inbox_length, 0);
    free(flood);
}

static void test_flood_behind_a_malformed_header(void **state)
{
    struct world *w = *state;

    world_boot(w);
    init_says_hello(w);
    flood_after(w);
    expect_failure(w, "malformed message");
}

static void test_flood_after_exit(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;
    char seen[4096];

    world_start(w);
    out = init_opens_stream(w, 1);
    stdio_fill(1);
    guest_write(out, "tail", 4);
    init_exits(w, 7);
    assert_true(world_run(w));
    flood_after(w);
    assert_int_equal(session_state(w->session), SESSION_EXITED);
    while (stdio_read(&w->io, 1, seen, sizeof(seen), NULL) == sizeof(seen))
        ;
    assert_false(world_run(w));
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 4);
    assert_int_equal(session_status(w->session), 7);
}

static void test_exit_that_cannot_be(void **state)
{
    struct world *w = *state;

    /* Before START. */
    world_boot(w);
    init_says_hello(w);
    init_exits(w, 0);
    expect_failure(w, "impossible exit");

    for (int i = 0; i < 3; i++) {
        struct protocol_writer writer = { 0 };

        world_teardown(state);
        world_setup(state);
        w = *state;
        world_start(w);
        protocol_begin(&writer, MESSAGE_EXIT, 0, 0);
        if (i == 1)
            protocol_put_u64(&writer, FIELD_STATUS, 256);
        if (i == 2)
            protocol_put_bytes(&writer, FIELD_STATUS, "\1\0\0\0", 4);
        init_sends(w, &writer);
        expect_failure(w, "impossible exit");
    }
}

static void test_second_exit_changes_nothing(void **state)
{
    struct world *w = *state;

    world_start(w);
    init_exits(w, 3);
    init_exits(w, 4);
    assert_false(world_run(w));
    assert_int_equal(session_status(w->session), 3);
}

static void test_results_that_cannot_be(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct protocol_writer writer = { 0 };
        struct world *w;

        world_teardown(state);
        world_setup(state);
        w = *state;
        world_boot(w);
        init_says_hello(w);
        protocol_begin(&writer, MESSAGE_RESULT, 0, 1);
        if (i == 0)
            protocol_put_u64(&writer, FIELD_CODE, 4096);
        if (i == 1)
            protocol_put_bytes(&writer, FIELD_CODE, "", 0);
        if (i == 2) {
            protocol_put_u64(&writer, FIELD_CODE, 2);
            protocol_put_bytes(&writer, FIELD_TEXT, "no end", 6);
        }
        if (i == 3) {
            /* A field that is longer than its message. */
            protocol_put_u64(&writer, FIELD_TEXT, 0);
            protocol_store32(writer.data + PROTOCOL_HEADER_SIZE + 4, 0xfffffff0);
        }
        init_sends(w, &writer);
        expect_failure(w, i == 3 ? "gave no reason" : "malformed result");
    }
}

static void test_result_out_of_order_is_ignored(void **state)
{
    struct world *w = *state;

    make_plan(w);
    world_boot(w);
    init_says_hello(w);
    for (uint32_t sequence = 2; sequence < 10; sequence++)
        init_answers(w, sequence, 0, NULL);
    init_answers(w, 0, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_BOOTING);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_BOOTING);
    init_answers(w, 3, 0, NULL);
    assert_int_equal(session_state(w->session), SESSION_CREATED);
}

static void test_control_channel_closed(void **state)
{
    struct world *w = *state;

    world_start(w);
    guest_close(w->control);
    expect_failure(w, "closed its channel");
}

static void test_control_channel_closed_after_exit(void **state)
{
    struct world *w = *state;

    world_start(w);
    init_exits(w, 9);
    guest_close(w->control);
    assert_int_equal(session_state(w->session), SESSION_EXITED);
    assert_int_equal(session_status(w->session), 9);
}

/* ---- failures with a name ---- */

static void test_failures_have_the_shell_s_status(void **state)
{
    static const struct {
        int code, status;
    } cases[] = { { ENOENT, 127 }, { EACCES, 126 }, { EIO, 125 }, { 4095, 125 } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *w;

        world_teardown(state);
        world_setup(state);
        w = *state;
        world_boot(w);
        init_says_hello(w);
        init_answers(w, 1, 0, NULL);
        session_start(w->session, world_answer, w);
        assert_int_equal(w->answers, 0);
        init_answers(w, 2, cases[i].code, "exec: \"x\"\n\033[31m");
        assert_int_equal(w->answers, 1);
        assert_int_equal(w->answer_code, cases[i].code);
        assert_string_equal(w->answer_text, "exec: \"x\"??[31m");
        assert_int_equal(session_status(w->session), cases[i].status);
        assert_false(world_run(w));
        /* Whoever asked says it; twice would be once too often. */
        world_expect_report(w, NULL);
    }
}

static void test_machine_that_ends_by_itself(void **state)
{
    struct world *w = *state;

    world_boot(w);
    session_start(w->session, world_answer, w);
    session_machine_ended(w->session, "triple fault");
    assert_int_equal(w->answer_code, EIO);
    assert_string_equal(w->answer_text, "triple fault");
    assert_int_equal(session_status(w->session), 125);
    session_machine_ended(w->session, "again");
    assert_int_equal(w->answers, 1);
}

static void test_machine_that_ends_after_exit(void **state)
{
    struct world *w = *state;

    world_start(w);
    init_exits(w, 5);
    session_machine_ended(w->session, "reset");
    assert_false(world_run(w));
    assert_int_equal(session_status(w->session), 5);
    world_expect_report(w, NULL);
}

static void test_plan_that_is_not_whole_messages(void **state)
{
    struct world *w = *state;
    struct error err = { 0 };

    make_plan(w);
    for (size_t cut = 1; cut < w->plan_length; cut++) {
        struct protocol_header first;

        protocol_read_header(w->plan, &first);
        if (cut == PROTOCOL_HEADER_SIZE + first.length)
            continue;
        w->config.guest_plan_length = cut;
        assert_int_equal(session_create(&w->session, &w->config, &err), -EPROTO);
    }
    w->plan[0] ^= 1;
    w->config.guest_plan_length = w->plan_length;
    assert_int_equal(session_create(&w->session, &w->config, &err), -EPROTO);
    assert_string_equal(err.message, "guest plan: expected whole messages for init");
    w->session = NULL;
}

/* ---- starting and signals ---- */

static void test_start_waits_for_the_guest(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;

    world_boot(w);
    session_start(w->session, world_answer, w);
    init_says_hello(w);
    assert_true(init_receives(w, &header, &fields));
    init_answers(w, 1, 0, NULL);
    assert_int_equal(w->answers, 0);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(w->answers, 1);
    assert_int_equal(w->answer_code, 0);
}

static void test_second_start_is_refused(void **state)
{
    struct world *w = *state;

    world_boot(w);
    session_start(w->session, world_answer, w);
    session_start(w->session, world_answer, w);
    assert_int_equal(w->answers, 1);
    assert_int_equal(w->answer_code, EINVAL);
    init_says_hello(w);
    init_answers(w, 1, 0, NULL);
    init_answers(w, 2, 0, NULL);
    assert_int_equal(w->answers, 2);
    assert_int_equal(w->answer_code, 0);
}

static void test_signal_before_the_start_ends_the_machine(void **state)
{
    struct world *w = *state;

    world_boot(w);
    session_signal(w->session, SIGWINCH, false);
    session_signal(w->session, SIGCONT, false);
    session_signal(w->session, SIGCHLD, false);
    session_signal(w->session, SIGURG, false);
    assert_int_equal(session_state(w->session), SESSION_BOOTING);
    session_start(w->session, world_answer, w);
    session_signal(w->session, SIGKILL, false);
    assert_int_equal(w->answer_code, EINTR);
    assert_int_equal(session_status(w->session), 137);
    session_signal(w->session, SIGTERM, false);
    assert_int_equal(session_status(w->session), 137);
    assert_int_equal(w->answers, 1);
}

static void test_signal_while_running_goes_to_the_guest(void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;
    struct protocol_field field = { 0 };
    bool bad = false;

    world_start(w);
    session_signal(w->session, SIGWINCH, true);
    assert_true(init_receives(w, &header, &fields));
    assert_int_equal(header.type, MESSAGE_SIGNAL);
    assert_int_equal(protocol_find(fields, FIELD_SIGNAL, &field), 1);
    assert_int_equal(protocol_u64(&field, &bad), SIGWINCH);
    assert_int_equal(protocol_find(fields, FIELD_ALL, &field), 1);
    assert_int_equal(protocol_u64(&field, &bad), 1);
    assert_false(bad);
    init_exits(w, 0);
    session_signal(w->session, SIGTERM, false);
    assert_false(init_receives(w, &header, &fields));
}

/* A guest has files in great numbers whenever it likes, and need not listen to what it is told. */
static void test_guest_that_does_not_listen_is_told_to_reclaim_a_bounded_number_of_times(
    void **state)
{
    struct world *w = *state;
    struct protocol_header header;
    struct protocol_reader fields;
    size_t told = 0;

    world_start(w);
    w->control->window = 0;
    for (int i = 0; i < 100000; i++)
        session_reclaim(w->session);
    guest_take(w->control, SIZE_MAX / 2);
    for (; init_receives(w, &header, &fields); told++)
        assert_int_equal(header.type, MESSAGE_RECLAIM);
    assert_true(told > 0 && told * PROTOCOL_HEADER_SIZE <= (256u << 10) + PROTOCOL_HEADER_SIZE);
    session_reclaim(w->session);
    assert_true(init_receives(w, &header, &fields));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello_setup_plan_start),
        TEST(test_setup_without_extras),
        TEST(test_messages_in_single_bytes),
        TEST(test_many_messages_at_once),
        TEST(test_slow_guest_gets_everything_in_order),
        TEST(test_second_hello_is_ignored),
        TEST(test_no_hello_first),
        TEST(test_unknown_type),
        TEST(test_malformed_headers),
        TEST(test_flood_behind_a_malformed_header),
        TEST(test_flood_after_exit),
        TEST(test_exit_that_cannot_be),
        TEST(test_second_exit_changes_nothing),
        TEST(test_results_that_cannot_be),
        TEST(test_result_out_of_order_is_ignored),
        TEST(test_control_channel_closed),
        TEST(test_control_channel_closed_after_exit),
        TEST(test_failures_have_the_shell_s_status),
        TEST(test_machine_that_ends_by_itself),
        TEST(test_machine_that_ends_after_exit),
        TEST(test_plan_that_is_not_whole_messages),
        TEST(test_start_waits_for_the_guest),
        TEST(test_second_start_is_refused),
        TEST(test_signal_before_the_start_ends_the_machine),
        TEST(test_signal_while_running_goes_to_the_guest),
        TEST(test_guest_that_does_not_listen_is_told_to_reclaim_a_bounded_number_of_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
