/* Documents with one thing changed, numbered; and the bundle that test/data/config-*.json want. */
#ifndef VMRT_TEST_CONFIG_MUTATIONS_H
#define VMRT_TEST_CONFIG_MUTATIONS_H

#include "oci_world.h"

#include <dirent.h>

/* Replacements as JSON text; LONG stands for a long string. */
#define LONG  "\001"
#define TWICE "\002"

static const char *const mutation_replacements[] = {
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "1e300",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999999",
    "\"\"",
    "\"x\"",
    "\"/\"",
    "\"..\"",
    "\"../../../../../etc\"",
    "\"/proc/1/root\"",
    "\"-1\"",
    "\"%s%n%s\"",
    "\"a\\u0000b\"",
    "\"line\\nbreak\"",
    "\"\\u00fc\\ud83d\\ude00\"",
    "[]",
    "[[]]",
    "[null]",
    "[\"x\",\"x\"]",
    "[{}]",
    "{}",
    "{\"x\":{\"y\":[1]}}",
    LONG,
    TWICE,
};

#define MUTATION_REPLACEMENTS (sizeof(mutation_replacements) / sizeof(mutation_replacements[0]))

struct mutation {
    size_t target;      /* node to change, counted in document order */
    const char *change; /* NULL: dropped */
    size_t next;        /* number of the node that comes next */
    bool cut;           /* the target was met and left out */
    char path[256];     /* of the target */
    FILE *out;
};

static inline void mutation_emit(struct mutation *m, yajl_val value, const char *path);

static inline void mutation_emit_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static inline bool mutation_is_dropped(struct mutation *m, const char *path)
{
    if (m->next != m->target || m->change)
        return false;
    snprintf(m->path, sizeof(m->path), "%s", path);
    return true;
}

/* Nodes of what is dropped are not counted, so that every number is a case of its own. */
static inline void mutation_emit_members(struct mutation *m, yajl_val value, const char *path)
{
    bool object = YAJL_IS_OBJECT(value), first = true;
    size_t length = object ? value->u.object.len : value->u.array.len;

    fputc(object ? '{' : '[', m->out);
    for (size_t i = 0; i < length; i++) {
        char child[256];

        if (object)
            snprintf(child, sizeof(child), "%s%s%s", path, path[0] ? "." : "",
                     value->u.object.keys[i]);
        else
            snprintf(child, sizeof(child), "%s[%zu]", path, i);
        if (mutation_is_dropped(m, child)) {
            m->next++;
            continue;
        }
        if (!first)
            fputc(',', m->out);
        first = false;
        if (object) {
            mutation_emit_string(m->out, value->u.object.keys[i]);
            fputc(':', m->out);
        }
        mutation_emit(m, object ? value->u.object.values[i] : value->u.array.values[i], child);
    }
    fputc(object ? '}' : ']', m->out);
}

static inline void mutation_emit_plain(struct mutation *m, yajl_val value, const char *path)
{
    if (YAJL_IS_OBJECT(value) || YAJL_IS_ARRAY(value))
        mutation_emit_members(m, value, path);
    else if (YAJL_IS_STRING(value))
        mutation_emit_string(m->out, YAJL_GET_STRING(value));
    else if (YAJL_IS_NUMBER(value))
        fputs(YAJL_GET_NUMBER(value), m->out);
    else
        fputs(YAJL_IS_TRUE(value) ? "true" : YAJL_IS_FALSE(value) ? "false" : "null", m->out);
}

static inline void mutation_emit_long(FILE *out)
{
    fputs("\"/", out);
    for (size_t i = 0; i < 20000; i++)
        fputc('a', out);
    fputc('"', out);
}

static inline void mutation_emit(struct mutation *m, yajl_val value, const char *path)
{
    bool hit = m->next++ == m->target && m->change;

    if (!hit) {
        mutation_emit_plain(m, value, path);
        return;
    }
    snprintf(m->path, sizeof(m->path), "%s", path);
    if (strcmp(m->change, LONG) == 0) {
        mutation_emit_long(m->out);
    } else if (strcmp(m->change, TWICE) == 0) {
        fputc('[', m->out);
        mutation_emit_plain(m, value, path);
        fputc(',', m->out);
        mutation_emit_plain(m, value, path);
        fputc(']', m->out);
    } else {
        fputs(m->change, m->out);
    }
}

/* Return: the text; *@done when there is no such node any more. */
static inline char *mutation_apply(const struct json *document, size_t target, const char *change,
                                   char *path, bool *done)
{
    struct mutation m = { .target = target, .change = change };
    char *text = NULL;
    size_t length;

    m.out = open_memstream(&text, &length);
    assert_non_null(m.out);
    mutation_emit(&m, document->value, "");
    assert_int_equal(fclose(m.out), 0);
    *done = target >= m.next;
    strcpy(path, m.path);
    return text;
}

static inline void mutation_prepare(const struct world *world)
{
    char path[128];

    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", world->directory, i ? "shm" : "files");
        assert_int_equal(mkdir(path, 0755), 0);
    }
    world_file(world, "files/resolv.conf", "nameserver 192.0.2.1\n", 0644);
    world_file(world, "files/hostname", "box\n", 0644);
    world_file(world, "files/hosts", "127.0.0.1 localhost\n", 0644);
}

static inline size_t mutation_count_entries(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

#endif
