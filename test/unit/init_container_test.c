/* The reader and writer of messages, and what init makes of MESSAGE_CONTAINER. No privilege needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/channel.h"
#include "init/plan.h"

static struct protocol_writer writer;
static struct container_plan plan;
static struct failure failure;

static void begin(void)
{
    protocol_begin(&writer, MESSAGE_CONTAINER, 3, 4);
}

static void begin_good(void)
{
    begin();
    protocol_put_u64(&writer, FIELD_ROOT_SHARE, 0);
    protocol_put_string(&writer, FIELD_ARG, "sh");
}

static int parse(void)
{
    struct protocol_reader fields;

    assert_int_equal(protocol_finish(&writer), 0);
    fields = (struct protocol_reader) { writer.data + PROTOCOL_HEADER_SIZE,
                                        writer.length - PROTOCOL_HEADER_SIZE };
    container_plan_free(&plan);
    return container_plan_parse(&plan, fields, &failure);
}

static void test_defaults(void **state)
{
    begin_good();
    assert_int_equal(parse(), 0);
    assert_string_equal(plan.process.cwd, "/");
    assert_int_equal(plan.process.umask, 0022);
    assert_int_equal(plan.process.capabilities.bounding, 0);
    assert_int_equal(plan.namespaces, CLONE_NEWPID | CLONE_NEWNS);
    assert_false(plan.process.has_oom_score_adj);
    assert_null(plan.process.env[0]);
    assert_string_equal(plan.process.args[0], "sh");
    assert_null(plan.process.args[1]);
}

static void test_repeated_fields_keep_their_order(void **state)
{
    char text[16];

    begin_good();
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "V=%d", i);
        protocol_put_string(&writer, FIELD_ENV, text);
        protocol_put_u64(&writer, FIELD_GROUP, (uint64_t)i);
    }
    assert_int_equal(parse(), 0);
    assert_int_equal(plan.process.groups.count, 100);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "V=%d", i);
        assert_string_equal(plan.process.env[i], text);
        assert_int_equal(*LIST_AT(plan.process.groups, uint32_t, i), i);
    }
    assert_null(plan.process.env[100]);
}

static void test_all_of_a_mount(void **state)
{
    const struct mount_plan *mount;
    size_t mark;

    begin_good();
    mark = protocol_open(&writer, FIELD_MOUNT);
    protocol_put_string(&writer, FIELD_MOUNT_TARGET, "/data");
    protocol_put_string(&writer, FIELD_MOUNT_TYPE, "share");
    protocol_put_u64(&writer, FIELD_MOUNT_SHARE, 7);
    protocol_put_u64(&writer, FIELD_MOUNT_FLAGS, 4097);
    protocol_put_u64(&writer, FIELD_MOUNT_IS_FILE, 1);
    protocol_close(&writer, mark);
    assert_int_equal(parse(), 0);
    mount = LIST_AT(plan.mounts, struct mount_plan, 0);
    assert_string_equal(mount->target, "/data");
    assert_int_equal(mount->share, 7);
    assert_int_equal(mount->flags, 4097);
    assert_true(mount->is_file);
}

static void test_what_is_missing_is_named(void **state)
{
    begin();
    protocol_put_string(&writer, FIELD_ARG, "sh");
    assert_int_equal(parse(), -EINVAL);
    assert_string_equal(failure.text, "container: no root filesystem was given");
    begin();
    protocol_put_u64(&writer, FIELD_ROOT_SHARE, 0);
    assert_int_equal(parse(), -EINVAL);
    assert_string_equal(failure.text, "process: no arguments were given");
}

static void test_values_out_of_range(void **state)
{
    static const struct {
        uint16_t tag;
        uint64_t value;
        int code;
    } rows[] = {
        { FIELD_UID, 1ull << 32, -EINVAL },
        { FIELD_GROUP, UINT64_MAX, -EINVAL },
        { FIELD_TERMINAL, 2, -EINVAL },
        { FIELD_UMASK, 010000, -EINVAL },
        { FIELD_ROOT_READONLY, 77, -EINVAL },
        { FIELD_NAMESPACES, CLONE_NEWUSER, -EINVAL },
        { FIELD_TERMINAL, 1, 0 },
        { FIELD_NAMESPACES, CLONE_VM, -ENOTSUP },
        { FIELD_ROWS, 65536, -EINVAL },
        { FIELD_COLUMNS, 65535, 0 },
        { FIELD_SECCOMP_FLAGS, 7, 0 },
        { FIELD_SECCOMP_FLAGS, 8, -EINVAL },
        { FIELD_NOTIFY, 2, -EINVAL },
        { FIELD_IO_PRIORITY, 1ull << 32, -EINVAL },
        { FIELD_NAMESPACES, CLONE_NEWNET, 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_good();
        protocol_put_u64(&writer, rows[i].tag, rows[i].value);
        assert_int_equal(parse(), rows[i].code);
    }
    assert_false(plan.namespaces & CLONE_NEWNET);
}

/* Fields that hold one number too many, too few, or one that is out of its range. */
static void test_maps_offsets_and_hooks(void **state)
{
    static const struct {
        uint16_t outer, tag;
        uint64_t first, second, third;
        int code;
    } rows[] = {
        { FIELD_UID_MAP, FIELD_ID_INSIDE, 0, 100000, 0, -EINVAL },
        { FIELD_UID_MAP, FIELD_ID_INSIDE, UINT32_MAX, 0, 1, -EINVAL },
        { FIELD_UID_MAP, FIELD_ID_INSIDE, 0, 1ull << 32, 1, -EINVAL },
        { FIELD_UID_MAP, FIELD_ID_INSIDE, 0, 100000, 65536, -EINVAL }, /* no user namespace */
        { FIELD_HOOK, FIELD_HOOK_KIND, 0, 0, 0, -EPROTO },
        { FIELD_TIME_OFFSET, FIELD_SECONDS, 1, 0, 0, -EINVAL },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t mark;

        begin_good();
        mark = protocol_open(&writer, rows[i].outer);
        protocol_put_u64(&writer, rows[i].tag, rows[i].first);
        protocol_put_u64(&writer, (uint16_t)(rows[i].tag + 1), rows[i].second);
        protocol_put_u64(&writer, (uint16_t)(rows[i].tag + 2), rows[i].third);
        protocol_close(&writer, mark);
        assert_int_equal(parse(), rows[i].code);
    }
}

static void put_map(uint16_t tag, uint64_t inside, uint64_t outside, uint64_t count)
{
    size_t mark = protocol_open(&writer, tag);

    protocol_put_u64(&writer, FIELD_ID_INSIDE, inside);
    protocol_put_u64(&writer, FIELD_ID_OUTSIDE, outside);
    protocol_put_u64(&writer, FIELD_ID_COUNT, count);
    protocol_close(&writer, mark);
}

static void test_ids_are_mapped(void **state)
{
    begin_good();
    protocol_put_u64(&writer, FIELD_NAMESPACES, CLONE_NEWUSER);
    put_map(FIELD_UID_MAP, 0, 100000, 10);
    put_map(FIELD_UID_MAP, 10, 0, 1);
    put_map(FIELD_GID_MAP, 0, 5, UINT32_MAX - 5);
    assert_int_equal(parse(), 0);
    assert_int_equal(id_map_outside(&plan.uid_map, 9), 100009);
    assert_int_equal(id_map_outside(&plan.uid_map, 10), 0);
    assert_int_equal(id_map_outside(&plan.uid_map, 11), UINT32_MAX);
    assert_int_equal(id_map_outside(&plan.gid_map, 1), 6);
    assert_int_equal(id_map_outside(&plan.devices, 77), 77);
}

static void test_all_of_a_hook(void **state)
{
    const struct hook_plan *hook;
    size_t mark;

    begin_good();
    mark = protocol_open(&writer, FIELD_HOOK);
    protocol_put_u64(&writer, FIELD_HOOK_KIND, HOOK_CREATE_CONTAINER);
    protocol_put_string(&writer, FIELD_HOOK_PATH, "/bin/hook");
    protocol_put_u64(&writer, FIELD_MOUNT_SHARE, 4);
    protocol_put_string(&writer, FIELD_ARG, "hook");
    protocol_put_string(&writer, FIELD_ARG, "argument");
    protocol_put_string(&writer, FIELD_ENV, "A=b");
    protocol_put_u64(&writer, FIELD_HOOK_TIMEOUT, 9);
    protocol_put_string(&writer, FIELD_HOOK_STATE, "{}");
    protocol_close(&writer, mark);
    /* What is in it is not the container's. */
    assert_int_equal(parse(), 0);
    assert_int_equal(plan.process.arg_list.count, 1);
    assert_int_equal(plan.process.env_list.count, 0);
    hook = LIST_AT(plan.hooks, struct hook_plan, 0);
    assert_string_equal(hook->args[1], "argument");
    assert_null(hook->args[2]);
    assert_string_equal(hook->env[0], "A=b");
    assert_string_equal(hook->state, "{}");
    assert_int_equal(hook->share, 4);
    assert_int_equal(hook->timeout, 9);
}

static void test_limits_are_told_from_their_absence(void **state)
{
    begin_good();
    protocol_put_u64(&writer, FIELD_PIDS_MAX, 0);
    assert_int_equal(parse(), 0);
    assert_true(plan.limits.has_pids_max);
    assert_false(plan.limits.has_memory_max);
}

static void test_strings_must_be_strings(void **state)
{
    static const uint16_t tags[] = { FIELD_ARG, FIELD_ENV, FIELD_CWD, FIELD_HOSTNAME };

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        begin_good();
        protocol_put_bytes(&writer, tags[i], "no end", 6);
        assert_int_equal(parse(), -EPROTO);
        begin_good();
        protocol_put_bytes(&writer, tags[i], "a\0b", 4);
        assert_int_equal(parse(), -EPROTO);
        begin_good();
        protocol_put_bytes(&writer, tags[i], "", 0);
        assert_int_equal(parse(), -EPROTO);
    }
}

static void test_paths_and_ids(void **state)
{
    static const struct {
        uint16_t tag;
        const char *value;
    } rows[] = { { FIELD_CWD, "relative" }, { FIELD_ID, "../up" }, { FIELD_ID, "a/b" },
                 { FIELD_ID, ".." },        { FIELD_ID, "" },      { FIELD_CWD, "" } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_good();
        protocol_put_string(&writer, rows[i].tag, rows[i].value);
        assert_int_equal(parse(), -EINVAL);
    }
}

static void test_incomplete_groups_of_fields(void **state)
{
    static const uint16_t tags[] = { FIELD_MOUNT, FIELD_DEVICE, FIELD_SYSCTL };

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        begin_good();
        protocol_close(&writer, protocol_open(&writer, tags[i]));
        assert_int_equal(parse(), -EINVAL);
    }
}

static void test_share_mount_without_share(void **state)
{
    size_t mark;

    begin_good();
    mark = protocol_open(&writer, FIELD_MOUNT);
    protocol_put_string(&writer, FIELD_MOUNT_TARGET, "/data");
    protocol_put_string(&writer, FIELD_MOUNT_TYPE, "share");
    protocol_close(&writer, mark);
    assert_int_equal(parse(), -EINVAL);
}

static void test_nested_field_longer_than_its_parent(void **state)
{
    size_t mark;

    begin_good();
    mark = protocol_open(&writer, FIELD_MOUNT);
    protocol_put_string(&writer, FIELD_MOUNT_TARGET, "/data");
    protocol_close(&writer, mark);
    protocol_store32(writer.data + mark + 12, 1000);
    assert_int_equal(parse(), -EPROTO);
}

static void test_every_truncation_is_survived(void **state)
{
    size_t mark, length;

    begin_good();
    mark = protocol_open(&writer, FIELD_MOUNT);
    protocol_put_string(&writer, FIELD_MOUNT_TARGET, "/data");
    protocol_put_string(&writer, FIELD_MOUNT_TYPE, "tmpfs");
    protocol_close(&writer, mark);
    protocol_put_string(&writer, FIELD_HOSTNAME, "name");
    assert_int_equal(protocol_finish(&writer), 0);
    length = writer.length - PROTOCOL_HEADER_SIZE;
    for (size_t i = 0; i < length; i++) {
        /* Exactly as large as said, so that ASan sees one byte more. */
        uint8_t *copy = malloc(i ? i : 1);

        assert_non_null(copy);
        memcpy(copy, writer.data + PROTOCOL_HEADER_SIZE, i);
        container_plan_free(&plan);
        container_plan_parse(&plan, (struct protocol_reader) { copy, i }, &failure);
        free(copy);
    }
    container_plan_free(&plan);
}

static void test_seccomp_program_size(void **state)
{
    static const uint8_t program[8 * 4097];

    begin_good();
    protocol_put_bytes(&writer, FIELD_SECCOMP, program, 9);
    assert_int_equal(parse(), -EPROTO);
    begin_good();
    protocol_put_bytes(&writer, FIELD_SECCOMP, program, sizeof(program));
    assert_int_equal(parse(), -EINVAL);
    begin_good();
    protocol_put_bytes(&writer, FIELD_SECCOMP, program, sizeof(program) - 8);
    assert_int_equal(parse(), 0);
}

static void test_writer_refuses_more_than_the_limit(void **state)
{
    static const uint8_t block[1 << 20];

    begin();
    for (int i = 0; i < 5; i++)
        protocol_put_bytes(&writer, FIELD_SECCOMP, block, sizeof(block));
    assert_int_equal(protocol_finish(&writer), -EMSGSIZE);
}

static void test_header_is_checked(void **state)
{
    struct protocol_header header;

    begin();
    assert_int_equal(protocol_finish(&writer), 0);
    assert_int_equal(protocol_read_header(writer.data, &header), 0);
    assert_int_equal(header.type, MESSAGE_CONTAINER);
    assert_int_equal(header.container, 3);
    assert_int_equal(header.sequence, 4);
    writer.data[0] ^= 1;
    assert_int_equal(protocol_read_header(writer.data, &header), -EPROTO);
    writer.data[0] ^= 1;
    protocol_store32(writer.data + 16, PROTOCOL_LENGTH_MAX + 1);
    assert_int_equal(protocol_read_header(writer.data, &header), -EPROTO);
}

static void test_channel_takes_messages_byte_by_byte(void **state)
{
    struct protocol_header header;
    struct protocol_reader fields;
    struct channel channel;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    channel_init(&channel, ends[0]);
    begin_good();
    assert_int_equal(protocol_finish(&writer), 0);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < writer.length; i++) {
            assert_int_equal(channel_take(&channel, &header, &fields), 0);
            assert_int_equal(write(ends[1], writer.data + i, 1), 1);
        }
        assert_int_equal(channel_take(&channel, &header, &fields), 1);
        assert_int_equal(fields.length, writer.length - PROTOCOL_HEADER_SIZE);
    }
    assert_int_equal(write(ends[1], "not a message, not a message", 28), 28);
    assert_int_equal(channel_take(&channel, &header, &fields), -EPROTO);
    channel_destroy(&channel);
    channel_init(&channel, ends[1]);
    close(ends[0]);
    assert_int_equal(channel_take(&channel, &header, &fields), -ECONNRESET);
    channel_destroy(&channel);
    close(ends[1]);
}

static int free_all(void **state)
{
    container_plan_free(&plan);
    free(writer.data);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_repeated_fields_keep_their_order),
        cmocka_unit_test(test_all_of_a_mount),
        cmocka_unit_test(test_what_is_missing_is_named),
        cmocka_unit_test(test_values_out_of_range),
        cmocka_unit_test(test_maps_offsets_and_hooks),
        cmocka_unit_test(test_ids_are_mapped),
        cmocka_unit_test(test_all_of_a_hook),
        cmocka_unit_test(test_limits_are_told_from_their_absence),
        cmocka_unit_test(test_strings_must_be_strings),
        cmocka_unit_test(test_paths_and_ids),
        cmocka_unit_test(test_incomplete_groups_of_fields),
        cmocka_unit_test(test_share_mount_without_share),
        cmocka_unit_test(test_nested_field_longer_than_its_parent),
        cmocka_unit_test(test_every_truncation_is_survived),
        cmocka_unit_test(test_seccomp_program_size),
        cmocka_unit_test(test_writer_refuses_more_than_the_limit),
        cmocka_unit_test(test_header_is_checked),
        cmocka_unit_test(test_channel_takes_messages_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, free_all);
}
