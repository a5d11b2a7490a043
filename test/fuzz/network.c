/*
 * MESSAGE_NETWORK as init reads it: interfaces, changes to them, and netlink messages whose
 * interface numbers are replaced. Nothing is sent to a kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "init/links.h"
#include "init/network.h"
#include "init/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int attach(uint64_t slot)
{
    return slot > 32 ? -1 : (int)slot + 2;
}

static int detach(uint64_t slot)
{
    return slot == 7 ? -5 : 0;
}

static const struct links_source source = { attach, detach };

/* What was prepared must hold together: the kernel would be told its length. */
static void use_message(const struct links *links, const struct protocol_reader *message)
{
    static union netlink_request request;
    int step = replay_classify(message);

    if (step < 0)
        return;
    if (step > REPLAY_LINK || message->length < sizeof(struct nlmsghdr))
        abort();
    if (replay_prepare(message, links_map, links, &request) == 0 &&
        request.header.nlmsg_len != message->length)
        abort();
}

static void use_field(struct links *links, const struct protocol_field *field)
{
    struct failure failure = { 0 };
    bool bad = false;
    int ret = 0;

    switch (field->tag) {
    case FIELD_LINK:
        ret = links_add(links, &field->value, &source, &failure);
        break;
    case FIELD_LINK_GONE:
        ret = links_remove(links, (uint32_t)protocol_u64(field, &bad), &source, &failure);
        break;
    case FIELD_NETLINK:
        use_message(links, &field->value);
        if (replay_classify(&field->value) == REPLAY_LINK)
            ret = links_change(links, &field->value, &failure);
        break;
    default:
        break;
    }
    if ((ret < 0) != (failure.code != 0) || links->count > LINKS_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct protocol_reader fields = { data, size }, whole = { data, size };
    struct protocol_field field;
    struct links *links = calloc(1, sizeof(*links));

    /* As one netlink message, and as a list of fields. */
    use_message(links, &whole);
    while (protocol_next(&fields, &field) == 1)
        use_field(links, &field);
    for (size_t i = 0; i < links->count; i++)
        if (strlen(links->items[i].name) >= IF_NAMESIZE || !links->items[i].name[0])
            abort();
    free(links);
    return 0;
}
