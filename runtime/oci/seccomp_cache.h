/*
 * Compiled filters, kept below the state root: libseccomp needs longer for one than everything else
 * that create does before the machine, and engines give all containers the same profile.
 *
 * An entry carries the whole profile and the versions of what made it, which must be the same, byte
 * for byte; a damaged one counts as none. The directory is this user's alone (0700) or is not used.
 * Everything about the cache is best effort: whatever fails, the filter is compiled.
 */
#ifndef VMRT_OCI_SECCOMP_CACHE_H
#define VMRT_OCI_SECCOMP_CACHE_H

#include <stdbool.h>

#include "lib/json.h"
#include "oci/seccomp.h"

/* Its directory in the state root. No container's: '@' is not allowed in an id. */
#define SECCOMP_CACHE_DIRECTORY "@seccomp"

/* Filters that are kept; the oldest one makes room. */
#define SECCOMP_CACHE_ENTRIES 32u

/* A place in the cache. */
struct seccomp_cache {
    int directory; /* -1: there is no cache */
    uint8_t *key;  /* what a profile is known by */
    size_t length;
    char name[32]; /* of its file */
};

/**
 * seccomp_cache_open() - find the place of @profile.
 * @root: the state root; NULL or one that is not there yet: no cache.
 * Call seccomp_cache_close() whatever comes.
 */
void seccomp_cache_open(const char *root, const struct json *profile, struct seccomp_cache *cache);

/* Return: whether it was there; then @program is to be freed with seccomp_free_program(). */
bool seccomp_cache_read(const struct seccomp_cache *cache, struct seccomp_program *program);
void seccomp_cache_write(const struct seccomp_cache *cache, const struct seccomp_program *program);
void seccomp_cache_close(struct seccomp_cache *cache);

/* Removes the cache from the state root @parent, whose last container is gone. */
void seccomp_cache_remove(int parent);

#endif
