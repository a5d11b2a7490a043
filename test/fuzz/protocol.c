/*
 * The protocol between host and init: header, fields, fields in fields, and what init makes of a
 * MESSAGE_CONTAINER, MESSAGE_EXEC or MESSAGE_UPDATE. Everything that was accepted is used once, so
 * that a pointer or length that should not have been accepted shows.
 */
#include <stdlib.h>
#include <string.h>

#include "init/failure.h"
#include "init/plan.h"
#include "init/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink;

/* As deep as no message is, so that recursion has a bound. */
static void read_fields(struct protocol_reader reader, int depth)
{
    struct protocol_field field;

    while (protocol_next(&reader, &field) == 1) {
        bool bad = false;

        sink += protocol_u64(&field, &bad);
        sink += strlen(protocol_string(&field, &bad));
        if (depth < 8)
            read_fields(field.value, depth + 1);
    }
}

static void use_strings(const struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        sink += strlen(*LIST_AT(*list, const char *, i));
}

static void use_text(const char *text)
{
    if (text)
        sink += strlen(text);
}

static void use_bytes(const struct protocol_reader *bytes)
{
    for (size_t i = 0; i < bytes->length; i++)
        sink += bytes->data[i];
}

static void use_process(const struct process_plan *plan)
{
    use_strings(&plan->arg_list);
    use_strings(&plan->env_list);
    use_text(plan->cwd);
    use_bytes(&plan->seccomp);
    use_bytes(&plan->scheduler);
    if (plan->args[plan->arg_list.count] || plan->env[plan->env_list.count] || plan->cwd[0] != '/')
        abort();
    if (plan->scheduler.length > SCHEDULER_LENGTH_MAX)
        abort();
}

static void use_hook(const struct hook_plan *hook)
{
    use_strings(&hook->arg_list);
    use_strings(&hook->env_list);
    use_text(hook->path);
    use_text(hook->state);
    if (hook->path[0] != '/' || !hook->args[0] || hook->args[hook->arg_list.count] ||
        hook->env[hook->env_list.count])
        abort();
}

static void use_plan(const struct container_plan *plan)
{
    use_process(&plan->process);
    use_strings(&plan->masked_paths);
    use_strings(&plan->readonly_paths);
    use_text(plan->id);
    use_text(plan->hostname);
    use_text(plan->domainname);
    for (size_t i = 0; i < plan->mounts.count; i++) {
        const struct mount_plan *mount = LIST_AT(plan->mounts, struct mount_plan, i);

        use_text(mount->target);
        use_text(mount->type);
        use_text(mount->source);
        use_text(mount->data);
        if (mount->target[0] != '/')
            abort();
    }
    for (size_t i = 0; i < plan->devices.count; i++)
        use_text(LIST_AT(plan->devices, struct device_plan, i)->path);
    for (size_t i = 0; i < plan->sysctls.count; i++) {
        use_text(LIST_AT(plan->sysctls, struct setting_plan, i)->key);
        use_text(LIST_AT(plan->sysctls, struct setting_plan, i)->value);
    }
    for (size_t i = 0; i < plan->hooks.count; i++)
        use_hook(LIST_AT(plan->hooks, struct hook_plan, i));
    for (size_t i = 0; i < plan->time_offsets.count; i++)
        use_text(LIST_AT(plan->time_offsets, struct time_offset_plan, i)->clock);
    for (uint32_t id = 0; id < 8; id++)
        sink += id_map_outside(&plan->uid_map, id << 28) + id_map_outside(&plan->gid_map, id);
}

/* What the writer writes from any bytes, the reader gives back. */
static void round_trip(const uint8_t *data, size_t size)
{
    struct protocol_writer writer = { 0 };
    struct protocol_header header;
    struct protocol_reader reader;
    struct protocol_field field;
    size_t mark;

    protocol_begin(&writer, MESSAGE_LOG, 1, 2);
    mark = protocol_open(&writer, FIELD_MOUNT);
    protocol_put_bytes(&writer, FIELD_ENTROPY, data, size);
    protocol_close(&writer, mark);
    if (protocol_finish(&writer) == 0) {
        reader = (struct protocol_reader) { writer.data + PROTOCOL_HEADER_SIZE,
                                            writer.length - PROTOCOL_HEADER_SIZE };
        if (protocol_read_header(writer.data, &header) < 0 || header.length != reader.length ||
            protocol_find(reader, FIELD_MOUNT, &field) != 1 ||
            protocol_find(field.value, FIELD_ENTROPY, &field) != 1 || field.value.length != size ||
            (size && memcmp(field.value.data, data, size) != 0))
            abort();
    }
    free(writer.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct protocol_reader fields;
    struct protocol_header header;
    struct container_plan plan;
    struct process_plan process;
    struct limits_plan limits;
    struct failure failure;

    round_trip(data, size);
    if (size < PROTOCOL_HEADER_SIZE)
        return 0;
    /* A mutated header is nearly always refused; then the fields are tried all the same. */
    if (protocol_read_header(data, &header) == 0)
        sink += header.type;
    fields = (struct protocol_reader) { data + PROTOCOL_HEADER_SIZE, size - PROTOCOL_HEADER_SIZE };
    read_fields(fields, 0);
    if (container_plan_parse(&plan, fields, &failure) == 0)
        use_plan(&plan);
    else
        use_text(failure.text);
    container_plan_free(&plan);
    if (process_plan_parse(&process, fields, &failure) == 0)
        use_process(&process);
    else
        use_text(failure.text);
    process_plan_free(&process);
    if (limits_plan_parse(&limits, fields, &failure) < 0)
        use_text(failure.text);
    return 0;
}
