/* Walks binding tables. */
#include "oci/bind.h"

#include <errno.h>
#include <stdint.h>

int bind_strings(const struct json *array, const char ***out, struct arena *arena,
                 struct error *err)
{
    size_t count = json_length(array);
    const char **strings;
    int ret;

    if (!json_present(array))
        return 0;
    ret = json_expect_array(array, err);
    if (ret < 0)
        return ret;
    strings = arena_array(arena, count + 1, sizeof(*strings));
    if (!strings)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct json element = json_element(array, i);

        if (!json_present(&element))
            return json_fail(&element, err, EINVAL, "expected a string, found null");
        ret = json_string(&element, &strings[i], err);
        if (ret < 0)
            return ret;
    }
    *out = strings;
    return 0;
}

static int bind_value(const struct json *json, enum bind_kind kind, void *target,
                      struct arena *arena, struct error *err)
{
    uint64_t number = 0;
    int ret;

    switch (kind) {
    case BIND_STRING:
        return json_string(json, target, err);
    case BIND_STRINGS:
        return bind_strings(json, target, arena, err);
    case BIND_BOOL:
        return json_bool(json, target, err);
    case BIND_U32:
        ret = json_uint(json, UINT32_MAX - 1, &number, err);
        if (ret == 0)
            *(uint32_t *)target = (uint32_t)number;
        return ret;
    case BIND_U64:
        return json_uint(json, UINT64_MAX, target, err);
    case BIND_I64:
    default:
        return json_int(json, target, err);
    }
}

int bind_object(const struct json *object, const struct binding *rows, size_t count, void *base,
                struct arena *arena, struct error *err)
{
    int ret = json_expect_object(object, err);

    for (size_t i = 0; ret == 0 && i < count; i++) {
        struct json member = json_member(object, rows[i].key);

        if (json_present(&member))
            ret = bind_value(&member, rows[i].kind, (char *)base + rows[i].offset, arena, err);
        else if (rows[i].required)
            ret = json_fail(&member, err, EINVAL, "expected %s, found nothing", rows[i].required);
    }
    return ret;
}
