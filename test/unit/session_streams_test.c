/* Stream connections and the log of a guest: what they may claim, and how much they may say. */
#include <stdio.h>

#include "init/protocol.h"
#include "session_world.h"
#include "vmm/report.h"
#include "vmm/session.h"

static struct vsock_connection *connect_stream(const struct world *w)
{
    return guest_connect(&session_service, w->session, PORT_STREAM);
}

/* ---- ports ---- */

static void test_other_ports_are_refused(void **state)
{
    struct world *w = *state;

    world_boot(w);
    assert_null(guest_connect(&session_service, w->session, 0));
    assert_null(guest_connect(&session_service, w->session, 53));
    assert_null(guest_connect(&session_service, w->session, 0xffffffff));
}

static void test_second_control_connection_is_refused(void **state)
{
    struct world *w = *state;

    world_boot(w);
    assert_null(guest_connect(&session_service, w->session, PORT_CONTROL));
}

/* A process of the container that connects and says nothing: init must still get through. */
static void test_silent_connections_are_bounded_and_make_room(void **state)
{
    struct world *w = *state;
    struct vsock_connection *held[64], *out;
    char seen[16];

    world_start(w);
    for (int i = 0; i < 64; i++) {
        held[i] = connect_stream(w);
        assert_non_null(held[i]);
    }
    /* One that goes and one that is broken make room. */
    guest_close(held[0]);
    held[0] = connect_stream(w);
    guest_write(held[1], "not a message at all, is it?", 28);
    assert_true(held[1]->reset);
    held[1] = connect_stream(w);
    assert_false(held[2]->reset);
    /* Else the one goes that has been silent for longest. */
    out = init_opens_stream(w, 1);
    assert_true(held[2]->reset);
    assert_false(held[3]->reset);
    guest_write(out, "init's", 6);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 6);
    connect_stream(w);
    assert_false(held[3]->reset);
    connect_stream(w);
    assert_true(held[3]->reset);
    assert_false(held[0]->reset);
}

/* Every process of the guest can connect: to read what is typed, to answer in another's name. */
static void test_streams_are_claimed_by_init_alone(void **state)
{
    struct world *w = *state;
    static const uint8_t guess[2 * PROTOCOL_SECRET_SIZE];
    struct vsock_connection *thief, *out;
    uint8_t near[PROTOCOL_SECRET_SIZE];
    char seen[16];

    world_start(w);
    memcpy(near, init_secret(w).data, sizeof(near));
    near[sizeof(near) - 1] ^= 1;
    for (int i = 0; i < 6; i++) {
        struct protocol_writer writer = { 0 };

        thief = connect_stream(w);
        protocol_begin(&writer, MESSAGE_STREAM, 0, 0);
        protocol_put_u64(&writer, FIELD_PROCESS, 0);
        protocol_put_u64(&writer, FIELD_STREAM, 1);
        if (i == 1)
            protocol_put_bytes(&writer, FIELD_SECRET, guess, PROTOCOL_SECRET_SIZE);
        if (i == 2)
            protocol_put_bytes(&writer, FIELD_SECRET, near, sizeof(near));
        if (i == 3)
            protocol_put_bytes(&writer, FIELD_SECRET, guess, 0);
        if (i == 4)
            protocol_put_bytes(&writer, FIELD_SECRET, init_secret(w).data, 1);
        if (i == 5)
            protocol_put_bytes(&writer, FIELD_SECRET, guess, sizeof(guess));
        assert_int_equal(protocol_finish(&writer), 0);
        guest_write(thief, writer.data, writer.length);
        free(writer.data);
        assert_true(thief->reset);
    }
    out = init_opens_stream(w, 1);
    guest_write(out, "init's", 6);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 6);
}

/* Before SETUP there is no secret, not one of zeros either. */
static void test_no_stream_before_the_secret_is_told(void **state)
{
    struct world *w = *state;
    static const uint8_t zeros[PROTOCOL_SECRET_SIZE];
    struct protocol_writer writer = { 0 };
    struct vsock_connection *thief;

    world_boot(w);
    thief = connect_stream(w);
    protocol_begin(&writer, MESSAGE_STREAM, 0, 0);
    protocol_put_bytes(&writer, FIELD_SECRET, zeros, sizeof(zeros));
    protocol_put_u64(&writer, FIELD_PROCESS, 0);
    protocol_put_u64(&writer, FIELD_STREAM, 0);
    assert_int_equal(protocol_finish(&writer), 0);
    guest_write(thief, writer.data, writer.length);
    free(writer.data);
    assert_true(thief->reset);
}

/* ---- names ---- */

static void test_streams_carry_bytes_both_ways(void **state)
{
    struct world *w = *state;
    struct vsock_connection *in, *out, *err;
    char seen[64];

    world_start(w);
    in = init_opens_stream(w, 0);
    out = init_opens_stream(w, 1);
    err = init_opens_stream(w, 2);
    assert_int_equal(write(w->io.far[0], "question", 8), 8);
    guest_write(out, "answer", 6);
    guest_write(err, "doubt", 5);
    assert_true(world_run(w));
    assert_int_equal(in->outbox_length, 8);
    assert_memory_equal(in->outbox, "question", 8);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 6);
    assert_memory_equal(seen, "answer", 6);
    assert_int_equal(stdio_read(&w->io, 2, seen, sizeof(seen), NULL), 5);
    assert_memory_equal(seen, "doubt", 5);
}

static void test_name_in_pieces_and_data_behind_it(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;
    struct protocol_writer writer = { 0 };
    char seen[16];

    world_start(w);
    out = connect_stream(w);
    stream_header(w, &writer, 0, 1);
    for (size_t i = 0; i + 1 < writer.length; i++)
        guest_write(out, writer.data + i, 1);
    guest_put(out, writer.data + writer.length - 1, 1);
    guest_write(out, "data", 4);
    free(writer.data);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 4);
    assert_memory_equal(seen, "data", 4);
}

static void test_names_that_are_refused(void **state)
{
    struct world *w = *state;
    static const struct {
        uint64_t process, stream;
    } wrong[] = { { 1, 0 }, { 0, 3 }, { 0, UINT64_MAX }, { UINT64_MAX, 1 }, { 1ull << 32, 1 } };

    world_start(w);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct vsock_connection *connection = connect_stream(w);
        struct protocol_writer writer = { 0 };

        stream_header(w, &writer, wrong[i].process, wrong[i].stream);
        guest_write(connection, writer.data, writer.length);
        free(writer.data);
        assert_true(connection->reset);
    }
}

static void test_first_messages_that_are_no_name(void **state)
{
    struct world *w = *state;

    world_start(w);
    for (int i = 0; i < 6; i++) {
        struct vsock_connection *connection = connect_stream(w);
        struct protocol_writer writer = { 0 };
        static const char padding[300];

        protocol_begin(&writer, i == 0 ? MESSAGE_HELLO : MESSAGE_STREAM, 0, 0);
        protocol_put_bytes(&writer, FIELD_SECRET, init_secret(w).data, PROTOCOL_SECRET_SIZE);
        if (i == 1)
            protocol_put_u64(&writer, FIELD_STREAM, 1);
        if (i == 2)
            protocol_put_u64(&writer, FIELD_PROCESS, 0);
        if (i == 3)
            protocol_put_bytes(&writer, FIELD_TEXT, padding, sizeof(padding));
        if (i >= 4) {
            protocol_put_u64(&writer, FIELD_PROCESS, 0);
            protocol_put_bytes(&writer, FIELD_STREAM, "\1\0\0\0", i == 4 ? 4 : 0);
        }
        assert_int_equal(protocol_finish(&writer), 0);
        if (i == 5)
            protocol_store32(writer.data + 16, 0xffffffff);
        guest_write(connection, writer.data, writer.length);
        free(writer.data);
        assert_true(connection->reset);
    }
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

static void test_stream_claimed_twice(void **state)
{
    struct world *w = *state;
    struct vsock_connection *first, *second;
    char seen[16];

    world_start(w);
    first = init_opens_stream(w, 1);
    second = init_opens_stream(w, 1);
    assert_true(second->reset);
    /* Not even after the first has gone: a broken stream stays broken. */
    guest_write(first, "mine", 4);
    guest_close(first);
    second = init_opens_stream(w, 1);
    assert_true(second->reset);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 4);
}

static void test_half_closed_before_it_had_a_name(void **state)
{
    struct world *w = *state;
    struct vsock_connection *in, *out;
    struct protocol_writer writer = { 0 };
    char seen[16];
    bool eof;

    world_start(w);
    in = connect_stream(w);
    guest_half_close(in, true);
    stream_header(w, &writer, 0, 0);
    guest_write(in, writer.data, writer.length);
    assert_int_equal(write(w->io.far[0], "x", 1), -1);
    out = connect_stream(w);
    guest_put(out, "", 0);
    guest_half_close(out, false);
    stream_header(w, &writer, 0, 1);
    guest_put(out, writer.data, writer.length);
    guest_write(out, "all", 3);
    free(writer.data);
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), &eof), 3);
    assert_true(eof);
}

static void test_reader_that_has_gone(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;

    world_start(w);
    out = init_opens_stream(w, 1);
    fd_close(&w->io.far[1]);
    assert_true(world_run(w));
    assert_true(out->reset);
    assert_int_equal(session_state(w->session), SESSION_RUNNING);
}

/* Broken at the very moment of its claim, by bytes that came with the name. */
static void test_reader_that_had_gone_before_the_claim(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out;
    struct protocol_writer writer = { 0 };

    world_start(w);
    fd_close(&w->io.far[1]);
    assert_true(world_run(w));
    out = connect_stream(w);
    stream_header(w, &writer, 0, 1);
    guest_put(out, writer.data, writer.length);
    free(writer.data);
    guest_write(out, "nobody", 6);
    assert_true(out->reset);
    init_exits(w, 0);
    assert_false(world_run(w));
}

static void test_exit_waits_for_the_last_byte(void **state)
{
    struct world *w = *state;
    struct vsock_connection *out, *err;
    char seen[4096];

    world_start(w);
    out = init_opens_stream(w, 1);
    err = init_opens_stream(w, 2);
    stdio_fill(1);
    stdio_fill(2);
    guest_write(out, "o", 1);
    guest_write(err, "e", 1);
    init_exits(w, 1);
    assert_true(world_run(w));
    while (stdio_read(&w->io, 1, seen, sizeof(seen), NULL) == sizeof(seen))
        ;
    assert_true(world_run(w));
    while (stdio_read(&w->io, 2, seen, sizeof(seen), NULL) == sizeof(seen))
        ;
    assert_false(world_run(w));
    assert_int_equal(stdio_read(&w->io, 1, seen, sizeof(seen), NULL), 1);
    assert_int_equal(stdio_read(&w->io, 2, seen, sizeof(seen), NULL), 1);
}

/* ---- the log ---- */

static void init_logs(const struct world *w, const char *text)
{
    struct protocol_writer writer = { 0 };

    protocol_begin(&writer, MESSAGE_LOG, 0, 0);
    protocol_put_string(&writer, FIELD_TEXT, text);
    init_sends(w, &writer);
}

static void test_log_before_hello(void **state)
{
    struct world *w = *state;

    world_boot(w);
    init_logs(w, "modules\nmissing");
    world_expect_report(w, "vmrt: guest: modules?missing\n");
    init_says_hello(w);
    assert_int_equal(session_state(w->session), SESSION_BOOTING);
}

static void test_log_without_text(void **state)
{
    struct world *w = *state;
    struct protocol_writer writer = { 0 };

    world_boot(w);
    init_says(w, MESSAGE_LOG, 0);
    protocol_begin(&writer, MESSAGE_LOG, 0, 0);
    protocol_put_bytes(&writer, FIELD_TEXT, "open", 4);
    init_sends(w, &writer);
    world_expect_report(w, NULL);
    assert_int_equal(session_state(w->session), SESSION_BOOTING);
}

/* Every line costs the host's log more than its text: short ones must not come cheap. */
static void test_log_flood_is_bounded(void **state)
{
    static const char *const texts[] = { "", "a", "a line of some length, as a kernel may write" };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char log[] = "/tmp/session_test.XXXXXX";
        int fd = mkstemp(log);
        static const char dropped[] = "further messages are dropped";
        struct world *w;
        char *seen, *end;

        world_teardown(state);
        world_setup(state);
        w = *state;
        world_boot(w);
        report_setup(fd, true);
        for (int line = 0; line < 20000; line++)
            init_logs(w, texts[i]);
        report_setup(-1, false);
        /* They are for the log, and nothing for the container's own stderr. */
        world_expect_report(w, NULL);
        assert_true(lseek(fd, 0, SEEK_END) < 140000);
        assert_int_equal(fd_read_file(AT_FDCWD, log, 200000, &seen, NULL), 0);
        end = strstr(seen, dropped);
        assert_non_null(end);
        assert_null(strstr(end + sizeof(dropped) - 1, dropped));
        assert_int_equal(session_state(w->session), SESSION_BOOTING);
        free(seen);
        close(fd);
        unlink(log);
    }
}

/* The loop has other work than to wait for whoever should be reading stderr. */
static void test_log_that_nobody_reads(void **state)
{
    struct world *w = *state;

    world_boot(w);
    stdio_fill(2);
    init_logs(w, "hello?");
    init_says_hello(w);
    assert_int_equal(session_state(w->session), SESSION_BOOTING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_other_ports_are_refused),
        TEST(test_second_control_connection_is_refused),
        TEST(test_silent_connections_are_bounded_and_make_room),
        TEST(test_streams_are_claimed_by_init_alone),
        TEST(test_no_stream_before_the_secret_is_told),
        TEST(test_streams_carry_bytes_both_ways),
        TEST(test_name_in_pieces_and_data_behind_it),
        TEST(test_names_that_are_refused),
        TEST(test_first_messages_that_are_no_name),
        TEST(test_stream_claimed_twice),
        TEST(test_half_closed_before_it_had_a_name),
        TEST(test_reader_that_has_gone),
        TEST(test_reader_that_had_gone_before_the_claim),
        TEST(test_exit_waits_for_the_last_byte),
        TEST(test_log_before_hello),
        TEST(test_log_without_text),
        TEST(test_log_flood_is_bounded),
        TEST(test_log_that_nobody_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
