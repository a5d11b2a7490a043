/* Fields to members of a struct. Tags without a row are passed over, as init/protocol.h demands. */
#include "init/fields.h"

#include <stdbool.h>

int fields_parse(struct protocol_reader reader, const struct field_rule *rules, size_t rule_count,
                 void *object, uint16_t *culprit)
{
    struct protocol_field field;
    int ret;

    while ((ret = protocol_next(&reader, &field)) == 1) {
        for (size_t i = 0; i < rule_count; i++) {
            if (rules[i].tag != field.tag)
                continue;
            ret = rules[i].parse((char *)object + rules[i].offset, &field);
            if (ret < 0) {
                *culprit = field.tag;
                return ret;
            }
            if (rules[i].present)
                *(bool *)((char *)object + rules[i].present) = true;
        }
    }
    return ret;
}

void *list_append(struct list *list, size_t size)
{
    char *items = list->items;

    /* Room for 1, 2, 4, … items: it is full whenever the count is a power of two (or 0). */
    if ((list->count & (list->count - 1)) == 0) {
        items = reallocarray(items, list->count ? list->count * 2 : 1, size);
        if (!items)
            return NULL;
        list->items = items;
    }
    items += list->count++ * size;
    memset(items, 0, size);
    return items;
}

char **list_finish(struct list *list)
{
    const char **end = list_append(list, sizeof(*end));

    if (!end)
        return NULL;
    list->count--;
    return list->items;
}

int parse_u64(void *member, const struct protocol_field *field)
{
    bool bad = false;

    *(uint64_t *)member = protocol_u64(field, &bad);
    return bad ? -EPROTO : 0;
}

int parse_u32(void *member, const struct protocol_field *field)
{
    bool bad = false;
    uint64_t value = protocol_u64(field, &bad);

    *(uint32_t *)member = (uint32_t)value;
    return bad ? -EPROTO : value > UINT32_MAX ? -EINVAL : 0;
}

int parse_u16(void *member, const struct protocol_field *field)
{
    bool bad = false;
    uint64_t value = protocol_u64(field, &bad);

    *(uint16_t *)member = (uint16_t)value;
    return bad ? -EPROTO : value > UINT16_MAX ? -EINVAL : 0;
}

int parse_flag(void *member, const struct protocol_field *field)
{
    bool bad = false;
    uint64_t value = protocol_u64(field, &bad);

    *(bool *)member = value != 0;
    return bad ? -EPROTO : value > 1 ? -EINVAL : 0;
}

int parse_string(void *member, const struct protocol_field *field)
{
    bool bad = false;

    *(const char **)member = protocol_string(field, &bad);
    return bad ? -EPROTO : 0;
}

int parse_string_item(void *member, const struct protocol_field *field)
{
    const char **item = list_append(member, sizeof(*item));

    return item ? parse_string(item, field) : -ENOMEM;
}

int parse_bytes(void *member, const struct protocol_field *field)
{
    *(struct protocol_reader *)member = field->value;
    return 0;
}
