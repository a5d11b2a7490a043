/*
 * Reading JSON with messages that name the field, and writing it; over yajl.
 *
 * A struct json points at one value and knows its path ("process.args[2]"), so that every typed
 * accessor can say which field was wrong and what was expected.
 */
#ifndef VMRT_LIB_JSON_H
#define VMRT_LIB_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

#include "lib/error.h"

struct json {
    yajl_val value;   /* NULL: absent */
    const char *file; /* what messages call the document, e.g. "config.json" */
    char path[192];   /* "" for the document itself */
};

/**
 * json_parse() - parse a whole document.
 * @text: NUL-terminated.
 * @file: name for messages; must outlive @root.
 * @root: filled in; release with json_free().
 * Return: 0 or -EINVAL with the reason and place in @err.
 */
int json_parse(const char *text, const char *file, struct json *root, struct error *err);
void json_free(struct json *root);

/* The member @key of an object; value NULL when absent, null, or @object is no object. */
struct json json_member(const struct json *object, const char *key);
/* The element @index of an array; value NULL when out of range. */
struct json json_element(const struct json *array, size_t index);
/* Elements of an array, 0 for anything else. */
size_t json_length(const struct json *array);
/* The member at @index of an object and its key (owned by the document). */
struct json json_pair(const struct json *object, size_t index, const char **key);
size_t json_pair_count(const struct json *object);
static inline bool json_present(const struct json *json)
{
    return json->value != NULL;
}

/*
 * Typed values. An absent value leaves *@out alone and returns 0; a wrong type returns -EINVAL with
 * "config.json: process.cwd: expected a string, found a number".
 */
int json_string(const struct json *json, const char **out, struct error *err);
int json_bool(const struct json *json, bool *out, struct error *err);
int json_int(const struct json *json, int64_t *out, struct error *err);
/* A non-negative whole number of at most @max. */
int json_uint(const struct json *json, uint64_t max, uint64_t *out, struct error *err);
/* Fresh copy of a string; NULL-terminated vector of fresh copies of an array of strings. */
int json_string_copy(const struct json *json, char **out, struct error *err);
int json_strings_copy(const struct json *json, char ***out, struct error *err);
/* -EINVAL unless the value is absent or an object / array. */
int json_expect_object(const struct json *json, struct error *err);
int json_expect_array(const struct json *json, struct error *err);
/* Records "<file>: <path>: <text>". Return: -@code. */
int json_fail(const struct json *json, struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Frees a NULL-terminated vector and its strings; NULL is fine. */
void strings_free(char **strings);

/* Writing: thin names over yajl_gen, keys and values in one call. NULL strings are left out. */
void json_put_string(yajl_gen gen, const char *key, const char *value);
void json_put_int(yajl_gen gen, const char *key, int64_t value);
void json_put_bool(yajl_gen gen, const char *key, bool value);
void json_put_key(yajl_gen gen, const char *key);
void json_put_strings(yajl_gen gen, const char *key, char *const *values);
/* The text so far as fresh memory. Return: 0 or -ENOMEM. Frees @gen in any case. */
int json_take_text(yajl_gen gen, char **text);

#endif
