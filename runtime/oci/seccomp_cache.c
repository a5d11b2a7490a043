/* One file for each profile: a header, the key, the filter. */
#include "oci/seccomp_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "lib/fd.h"

/* To be raised with whatever seccomp.c makes of the same profile. */
#define FORMAT 1u

#define MAGIC 0x63657376u /* "vsec" */

/* Docker's default profile has a key of 7 KiB. */
#define KEY_MAX (256u << 10)
/* config-linux.md: a profile is six levels deep. */
#define DEPTH_MAX 8

struct header {
    uint32_t magic, count;  /* instructions */
    uint64_t flags, length; /* of the key, bytes */
    uint64_t sum;           /* of all that follows */
};

/* FNV-1a: a name, and against damage; equality decides. */
static uint64_t hash(uint64_t sum, const void *data, size_t length)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ p[i]) * 0x100000001b3u;
    return sum;
}

#define HASH_BEGIN 0xcbf29ce484222325u

/* ---- the key ---- */

static void put(FILE *out, char kind, const char *text)
{
    /* With its end: what follows is not part of it. */
    fputc(kind, out);
    fwrite(text, 1, strlen(text) + 1, out);
}

/* Return: false for what is no profile anyway. */
static bool put_value(FILE *out, yajl_val value, int depth)
{
    bool done = depth < DEPTH_MAX;

    if (YAJL_IS_OBJECT(value)) {
        put(out, '{', "");
        for (size_t i = 0; i < value->u.object.len && done; i++) {
            put(out, 'k', value->u.object.keys[i]);
            done = put_value(out, value->u.object.values[i], depth + 1);
        }
        put(out, '}', "");
    } else if (YAJL_IS_ARRAY(value)) {
        put(out, '[', "");
        for (size_t i = 0; i < value->u.array.len && done; i++)
            done = put_value(out, value->u.array.values[i], depth + 1);
        put(out, ']', "");
    } else if (YAJL_IS_STRING(value)) {
        put(out, 's', YAJL_GET_STRING(value));
    } else if (YAJL_IS_NUMBER(value)) {
        put(out, 'n', YAJL_GET_NUMBER(value));
    } else {
        put(out, YAJL_IS_TRUE(value) ? 't' : YAJL_IS_FALSE(value) ? 'f' : '0', "");
    }
    return done;
}

static bool make_key(const struct json *profile, struct seccomp_cache *cache)
{
    const struct scmp_version *library = seccomp_version();
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    bool done;

    if (!out)
        return false;
    fprintf(out, "vmrt %s %s %u libseccomp %u.%u.%u", BUILD_VERSION, BUILD_COMMIT, FORMAT,
            library->major, library->minor, library->micro);
    done = put_value(out, profile->value, 0);
    done = fclose(out) == 0 && done && length <= KEY_MAX;
    if (!done) {
        free(text);
        return false;
    }
    cache->key = (uint8_t *)text;
    cache->length = length;
    snprintf(cache->name, sizeof(cache->name), "%016" PRIx64, hash(HASH_BEGIN, text, length));
    return true;
}

/* ---- the directory ---- */

/* Nobody else may have put anything there. */
static int open_own(int parent)
{
    _cleanup_close_ int fd = -1;
    struct stat st;

    fd = openat(parent, SECCOMP_CACHE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 07777) != 0700)
        return -1;
    return steal_fd(&fd);
}

static int open_directory(const char *root)
{
    _cleanup_close_ int parent = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (parent < 0)
        return -1;
    if (mkdirat(parent, SECCOMP_CACHE_DIRECTORY, 0700) < 0 && errno != EEXIST)
        return -1;
    return open_own(parent);
}

void seccomp_cache_open(const char *root, const struct json *profile, struct seccomp_cache *cache)
{
    *cache = (struct seccomp_cache) { .directory = -1 };
    if (root && profile->value && make_key(profile, cache))
        cache->directory = open_directory(root);
}

void seccomp_cache_close(struct seccomp_cache *cache)
{
    fd_close(&cache->directory);
    free(cache->key);
    cache->key = NULL;
}

void seccomp_cache_remove(int parent)
{
    int fd = open_own(parent);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!entries) {
        fd_close(&fd);
        return;
    }
    /* "." and ".." cannot be removed this way; what somebody adds meanwhile keeps the directory. */
    while ((entry = readdir(entries)))
        (void)unlinkat(fd, entry->d_name, 0);
    closedir(entries);
    (void)unlinkat(parent, SECCOMP_CACHE_DIRECTORY, AT_REMOVEDIR);
}

/* ---- entries ---- */

static uint64_t sum_of(const struct header *header, const void *rest, size_t length)
{
    uint64_t sum = hash(HASH_BEGIN, &header->count, sizeof(header->count));

    sum = hash(sum, &header->flags, sizeof(header->flags));
    return hash(sum, rest, length);
}

static bool is_entry(const struct seccomp_cache *cache, const char *data, size_t length,
                     struct header *header)
{
    size_t rest = length - sizeof(*header);

    if (length < sizeof(*header))
        return false;
    memcpy(header, data, sizeof(*header));
    data += sizeof(*header);
    return header->magic == MAGIC && header->count >= 1 && header->count <= BPF_MAXINSNS &&
           header->length == cache->length &&
           rest == cache->length + header->count * sizeof(struct sock_filter) &&
           memcmp(data, cache->key, cache->length) == 0 &&
           header->sum == sum_of(header, data, rest);
}

bool seccomp_cache_read(const struct seccomp_cache *cache, struct seccomp_program *program)
{
    const size_t max = sizeof(struct header) + KEY_MAX + BPF_MAXINSNS * sizeof(*program->filter);
    _cleanup_free_ char *data = NULL;
    _cleanup_close_ int fd = -1;
    struct header header;
    size_t length;

    if (cache->directory < 0)
        return false;
    fd = openat(cache->directory, cache->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fd_read_all(fd, max, &data, &length) < 0 ||
        !is_entry(cache, data, length, &header))
        return false;
    program->filter = malloc(header.count * sizeof(*program->filter));
    if (!program->filter)
        return false;
    memcpy(program->filter, data + sizeof(header) + cache->length,
           header.count * sizeof(*program->filter));
    program->count = header.count;
    program->flags = header.flags;
    return true;
}

/* Makes room for one more. */
static void remove_oldest(int directory)
{
    int copy = fcntl(directory, F_DUPFD_CLOEXEC, 3);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    struct timespec oldest = { 0 };
    const struct dirent *entry;
    char name[NAME_MAX + 1] = "";
    unsigned int count = 0;
    struct stat st;

    if (!entries) {
        fd_close(&copy);
        return;
    }
    rewinddir(entries);
    while ((entry = readdir(entries))) {
        if (fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (count++ == 0 || st.st_mtim.tv_sec < oldest.tv_sec ||
            (st.st_mtim.tv_sec == oldest.tv_sec && st.st_mtim.tv_nsec < oldest.tv_nsec)) {
            oldest = st.st_mtim;
            snprintf(name, sizeof(name), "%s", entry->d_name);
        }
    }
    closedir(entries);
    if (count >= SECCOMP_CACHE_ENTRIES)
        unlinkat(directory, name, 0);
}

void seccomp_cache_write(const struct seccomp_cache *cache, const struct seccomp_program *program)
{
    size_t filter = program->count * sizeof(*program->filter);
    struct header header = { .magic = MAGIC,
                             .count = (uint32_t)program->count,
                             .flags = program->flags,
                             .length = cache->length };
    uint8_t *data;

    if (cache->directory < 0 || program->count == 0)
        return;
    data = malloc(sizeof(header) + cache->length + filter);
    if (!data)
        return;
    memcpy(data + sizeof(header), cache->key, cache->length);
    memcpy(data + sizeof(header) + cache->length, program->filter, filter);
    header.sum = sum_of(&header, data + sizeof(header), cache->length + filter);
    memcpy(data, &header, sizeof(header));
    remove_oldest(cache->directory);
    (void)fd_write_file_atomic(cache->directory, cache->name, data,
                               sizeof(header) + cache->length + filter, 0600);
    free(data);
}
