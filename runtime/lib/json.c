/* Reading JSON with messages that name the field: path-keeping cursors over yajl's tree. */
#include "lib/json.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* yajl frees its tree by recursion: deeper than this is refused before it is read. */
#define DEPTH_MAX 1000

/* The last byte of the string or comment that begins at @text, or of the whole text. */
static const char *skip_quoted(const char *text)
{
    const char *end;

    if (*text == '/') {
        end = strstr(text, text[1] == '*' ? "*/" : "\n");
        return end ? end + (text[1] == '*') : text + strlen(text) - 1;
    }
    for (text++; *text && *text != '"'; text++)
        if (*text == '\\' && text[1])
            text++;
    return *text ? text : text - 1;
}

static bool too_deep(const char *text)
{
    unsigned int depth = 0;

    for (; *text && depth <= DEPTH_MAX; text++) {
        if (*text == '"' || (*text == '/' && (text[1] == '*' || text[1] == '/')))
            text = skip_quoted(text);
        else if (*text == '[' || *text == '{')
            depth++;
        else if ((*text == ']' || *text == '}') && depth > 0)
            depth--;
    }
    return depth > DEPTH_MAX;
}

int json_parse(const char *text, const char *file, struct json *root, struct error *err)
{
    char detail[512] = "";

    memset(root, 0, sizeof(*root));
    root->file = file;
    if (too_deep(text))
        return error_set(err, EINVAL, "%s: not valid JSON: nested more than %d deep", file,
                         DEPTH_MAX);
    root->value = yajl_tree_parse(text, detail, sizeof(detail));
    if (root->value)
        return 0;
    /* yajl explains in several lines; the first says what is wrong. */
    detail[strcspn(detail, "\n")] = '\0';
    return error_set(err, EINVAL, "%s: not valid JSON: %s", file,
                     detail[0] ? detail : "the document is empty");
}

void json_free(struct json *root)
{
    yajl_tree_free(root->value);
    root->value = NULL;
}

static struct json child(const struct json *parent, yajl_val value)
{
    struct json json = { .file = parent->file };

    json.value = YAJL_IS_NULL(value) ? NULL : value;
    return json;
}

static void path_member(struct json *json, const struct json *parent, const char *key)
{
    snprintf(json->path, sizeof(json->path), "%.120s%s%.60s", parent->path,
             parent->path[0] ? "." : "", key);
}

struct json json_member(const struct json *object, const char *key)
{
    yajl_val found = NULL;
    struct json json;

    if (object->value && YAJL_IS_OBJECT(object->value)) {
        /* The last of several equal keys wins, as in encoding/json. */
        for (size_t i = YAJL_GET_OBJECT(object->value)->len; i-- > 0 && !found;)
            if (strcmp(YAJL_GET_OBJECT(object->value)->keys[i], key) == 0)
                found = YAJL_GET_OBJECT(object->value)->values[i];
    }
    json = child(object, found);
    path_member(&json, object, key);
    return json;
}

struct json json_element(const struct json *array, size_t index)
{
    struct json json;

    json = child(array,
                 index < json_length(array) ? YAJL_GET_ARRAY(array->value)->values[index] : NULL);
    snprintf(json.path, sizeof(json.path), "%.160s[%zu]", array->path, index);
    return json;
}

size_t json_length(const struct json *array)
{
    return array->value && YAJL_IS_ARRAY(array->value) ? YAJL_GET_ARRAY(array->value)->len : 0;
}

size_t json_pair_count(const struct json *object)
{
    return object->value && YAJL_IS_OBJECT(object->value) ? YAJL_GET_OBJECT(object->value)->len : 0;
}

struct json json_pair(const struct json *object, size_t index, const char **key)
{
    struct json json;

    *key = YAJL_GET_OBJECT(object->value)->keys[index];
    json = child(object, YAJL_GET_OBJECT(object->value)->values[index]);
    path_member(&json, object, *key);
    return json;
}

static const char *type_name(yajl_val value)
{
    switch (value->type) {
    case yajl_t_string:
        return "a string";
    case yajl_t_number:
        return "a number";
    case yajl_t_object:
        return "an object";
    case yajl_t_array:
        return "an array";
    case yajl_t_true:
    case yajl_t_false:
        return "a boolean";
    case yajl_t_null:
    case yajl_t_any:
    default:
        return "null";
    }
}

int json_fail(const struct json *json, struct error *err, int code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(err, code, "%s: %s%s%s", json->file, json->path, json->path[0] ? ": " : "",
                     text);
}

static int expected(const struct json *json, const char *what, struct error *err)
{
    return json_fail(json, err, EINVAL, "expected %s, found %s", what, type_name(json->value));
}

int json_string(const struct json *json, const char **out, struct error *err)
{
    if (!json->value)
        return 0;
    if (!YAJL_IS_STRING(json->value))
        return expected(json, "a string", err);
    *out = YAJL_GET_STRING(json->value);
    return 0;
}

int json_bool(const struct json *json, bool *out, struct error *err)
{
    if (!json->value)
        return 0;
    if (!YAJL_IS_TRUE(json->value) && !YAJL_IS_FALSE(json->value))
        return expected(json, "true or false", err);
    *out = YAJL_IS_TRUE(json->value);
    return 0;
}

int json_int(const struct json *json, int64_t *out, struct error *err)
{
    if (!json->value)
        return 0;
    if (!YAJL_IS_NUMBER(json->value))
        return expected(json, "a whole number", err);
    if (!YAJL_IS_INTEGER(json->value))
        return json_fail(json, err, EINVAL, "expected a whole number, found %s",
                         YAJL_GET_NUMBER(json->value));
    *out = YAJL_GET_INTEGER(json->value);
    return 0;
}

int json_uint(const struct json *json, uint64_t max, uint64_t *out, struct error *err)
{
    const char *digits;
    char *end;
    unsigned long long value;

    if (!json->value)
        return 0;
    if (!YAJL_IS_NUMBER(json->value))
        return expected(json, "a non-negative whole number", err);
    /* yajl's integers are signed: limits such as RLIM_INFINITY (2^64-1) need the digits. */
    digits = YAJL_GET_NUMBER(json->value);
    errno = 0;
    value = strtoull(digits, &end, 10);
    if (digits[0] == '-' || *end || errno)
        return json_fail(json, err, EINVAL, "expected a non-negative whole number, found %s",
                         digits);
    if (value > max)
        return json_fail(json, err, EINVAL, "expected at most %llu, found %llu",
                         (unsigned long long)max, value);
    *out = value;
    return 0;
}

int json_string_copy(const struct json *json, char **out, struct error *err)
{
    const char *text = NULL;
    int ret = json_string(json, &text, err);

    if (ret < 0 || !text)
        return ret;
    *out = strdup(text);
    return *out ? 0 : error_set(err, ENOMEM, "out of memory");
}

int json_strings_copy(const struct json *json, char ***out, struct error *err)
{
    size_t count = json_length(json);
    char **strings;
    int ret;

    if (!json->value)
        return 0;
    ret = json_expect_array(json, err);
    if (ret < 0)
        return ret;
    strings = calloc(count + 1, sizeof(*strings));
    if (!strings)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct json element = json_element(json, i);

        if (!element.value)
            ret = json_fail(&element, err, EINVAL, "expected a string, found null");
        else
            ret = json_string_copy(&element, &strings[i], err);
        if (ret < 0) {
            strings_free(strings);
            return ret;
        }
    }
    *out = strings;
    return 0;
}

int json_expect_object(const struct json *json, struct error *err)
{
    return !json->value || YAJL_IS_OBJECT(json->value) ? 0 : expected(json, "an object", err);
}

int json_expect_array(const struct json *json, struct error *err)
{
    return !json->value || YAJL_IS_ARRAY(json->value) ? 0 : expected(json, "an array", err);
}

void strings_free(char **strings)
{
    for (char **s = strings; s && *s; s++)
        free(*s);
    free(strings);
}

void json_put_key(yajl_gen gen, const char *key)
{
    yajl_gen_string(gen, (const unsigned char *)key, strlen(key));
}

void json_put_string(yajl_gen gen, const char *key, const char *value)
{
    if (!value)
        return;
    if (key)
        json_put_key(gen, key);
    yajl_gen_string(gen, (const unsigned char *)value, strlen(value));
}

void json_put_int(yajl_gen gen, const char *key, int64_t value)
{
    if (key)
        json_put_key(gen, key);
    yajl_gen_integer(gen, value);
}

void json_put_bool(yajl_gen gen, const char *key, bool value)
{
    if (key)
        json_put_key(gen, key);
    yajl_gen_bool(gen, value);
}

void json_put_strings(yajl_gen gen, const char *key, char *const *values)
{
    if (!values)
        return;
    json_put_key(gen, key);
    yajl_gen_array_open(gen);
    for (; *values; values++)
        json_put_string(gen, NULL, *values);
    yajl_gen_array_close(gen);
}

int json_take_text(yajl_gen gen, char **text)
{
    const unsigned char *buffer;
    size_t length;

    *text = NULL;
    if (yajl_gen_get_buf(gen, &buffer, &length) == yajl_gen_status_ok)
        *text = strndup((const char *)buffer, length);
    yajl_gen_free(gen);
    return *text ? 0 : -ENOMEM;
}
