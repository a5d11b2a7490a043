/* Memory that is handed out piecemeal and given back all at once. */
#ifndef VMRT_LIB_ARENA_H
#define VMRT_LIB_ARENA_H

#include <stddef.h>

struct arena_chunk;

/* Zeroed to begin with: struct arena arena = { 0 }. */
struct arena {
    struct arena_chunk *chunks;
};

/* Zeroed memory of @size bytes, aligned for any type. Return: NULL when memory runs out. */
void *arena_alloc(struct arena *arena, size_t size);

/* A zeroed array; NULL also when @count * @size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);

/* A copy of @text. Return: NULL when memory runs out. */
char *arena_strdup(struct arena *arena, const char *text);

/* printf into the arena. Return: NULL when memory runs out. */
char *arena_format(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Gives everything back; the arena can be used again. */
void arena_free(struct arena *arena);

#endif
