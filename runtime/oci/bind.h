/* Tables that say which JSON member goes into which member of a struct. */
#ifndef VMRT_OCI_BIND_H
#define VMRT_OCI_BIND_H

#include "lib/arena.h"
#include "lib/json.h"

enum bind_kind {
    BIND_STRING,  /* const char *, pointing into the document */
    BIND_STRINGS, /* const char **, NULL-terminated, strings pointing into the document */
    BIND_BOOL,    /* bool */
    BIND_U32,     /* uint32_t up to UINT32_MAX - 1: uid_t -1 means "leave alone" to chown(2) */
    BIND_U64,     /* uint64_t */
    BIND_I64,     /* int64_t */
};

struct binding {
    const char *key;
    enum bind_kind kind;
    size_t offset;
    const char *required; /* what is expected when the member must be there; else NULL */
};

/**
 * bind_object() - read the members of @object that @rows name into @base.
 *
 * Absent members leave their target alone. @object itself may be absent when no row is required.
 *
 * Return: 0, or -EINVAL naming the member and what was expected.
 */
int bind_object(const struct json *object, const struct binding *rows, size_t count, void *base,
                struct arena *arena, struct error *err);

/* An array of strings that stay in the document; *@out is NULL-terminated. Return: 0 or -errno. */
int bind_strings(const struct json *array, const char ***out, struct arena *arena,
                 struct error *err);

#endif
