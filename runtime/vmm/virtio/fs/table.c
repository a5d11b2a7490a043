/* Numbers the guest may hold and the objects they stand for. */
#include "vmm/virtio/fs/table.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_ID      2u /* id of slot 0 in generation 0 */
#define SIZE_AT_FIRST 64u
#define SIZE_MAX_     (1u << 30)

void fs_table_init(struct fs_table *table)
{
    table->slots = NULL;
    table->size = 0;
    table->free = FS_TABLE_END;
}

void fs_table_destroy(struct fs_table *table)
{
    free(table->slots);
    fs_table_init(table);
}

static int grow(struct fs_table *table)
{
    uint32_t size = table->size ? table->size * 2 : SIZE_AT_FIRST;
    struct fs_slot *slots;

    if (size > SIZE_MAX_)
        return -ENOMEM;
    slots = realloc(table->slots, size * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = table->size; i < size; i++)
        slots[i] = (struct fs_slot) { .next_free = i + 1 < size ? i + 1 : table->free };
    table->free = table->size;
    table->slots = slots;
    table->size = size;
    return 0;
}

int fs_table_add(struct fs_table *table, void *object, uint64_t *id)
{
    struct fs_slot *slot;
    uint32_t index;

    if (table->free == FS_TABLE_END && grow(table) < 0)
        return -ENOMEM;
    index = table->free;
    slot = &table->slots[index];
    table->free = slot->next_free;
    slot->object = object;
    *id = (uint64_t)slot->generation << 32 | (index + FIRST_ID);
    return 0;
}

static struct fs_slot *find(const struct fs_table *table, uint64_t id)
{
    uint32_t index = (uint32_t)id - FIRST_ID;
    struct fs_slot *slot;

    if (index >= table->size)
        return NULL;
    slot = &table->slots[index];
    return slot->object && slot->generation == id >> 32 ? slot : NULL;
}

void *fs_table_get(const struct fs_table *table, uint64_t id)
{
    const struct fs_slot *slot = find(table, id);

    return slot ? slot->object : NULL;
}

void fs_table_remove(struct fs_table *table, uint64_t id)
{
    struct fs_slot *slot = find(table, id);

    if (!slot)
        return;
    slot->object = NULL;
    slot->generation++;
    slot->next_free = table->free;
    table->free = (uint32_t)(slot - table->slots);
}
