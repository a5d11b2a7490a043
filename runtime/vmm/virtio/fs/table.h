/* Numbers the guest may hold (node ids, file handles) and the objects they stand for. */
#ifndef VMRT_VMM_VIRTIO_FS_TABLE_H
#define VMRT_VMM_VIRTIO_FS_TABLE_H

#include <stdint.h>

struct fs_slot {
    void *object;        /* NULL: free */
    uint32_t generation; /* how often the slot was freed */
    uint32_t next_free;  /* index of the next free slot, or FS_TABLE_END */
};

/*
 * An id is the slot's generation and its index, so that an id is not used again for another object
 * and a stale or made-up one finds nothing. 0 (no node) and 1 (the root) are never given out.
 */
struct fs_table {
    struct fs_slot *slots;
    uint32_t size; /* slots allocated */
    uint32_t free; /* index of the first free slot, or FS_TABLE_END */
};

#define FS_TABLE_END UINT32_MAX

void fs_table_init(struct fs_table *table);
/* Frees the slots, not the objects. */
void fs_table_destroy(struct fs_table *table);

/* Return: 0 with the new object's number in @id, or -ENOMEM. */
int fs_table_add(struct fs_table *table, void *object, uint64_t *id);
/* Return: the object, or NULL when @id stands for none. */
void *fs_table_get(const struct fs_table *table, uint64_t id);
void fs_table_remove(struct fs_table *table, uint64_t id);

#endif
