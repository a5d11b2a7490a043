/* Reading directories: complete, once each, with small buffers, from any cookie, while they change.
 */
#include "fs_client.h"

#define MANY 3000

/* One entry as read. */
struct seen {
    char name[NAME_MAX + 1];
    uint64_t ino, offset, nodeid;
    uint32_t type;
};

static uint64_t open_dir(struct client *c, uint64_t nodeid)
{
    struct fuse_open_in in = { 0 };
    struct fuse_open_out out;

    assert_int_equal(CALL(c, FUSE_OPENDIR, nodeid, &out, sizeof(out), BLOB(in)), sizeof(out));
    return out.fh;
}

/* Parses an answer of @length bytes. Return: entries. */
static size_t parse(const char *data, size_t length, bool plus, struct seen *seen)
{
    size_t count = 0;

    for (size_t used = 0; used < length; count++) {
        struct fuse_dirent head;
        struct fuse_entry_out entry = { 0 };
        size_t before = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

        if (plus)
            memcpy(&entry, data + used, sizeof(entry));
        memcpy(&head, data + used + (plus ? sizeof(entry) : 0), FUSE_NAME_OFFSET);
        assert_true(head.namelen > 0 && head.namelen <= NAME_MAX);
        memset(&seen[count], 0, sizeof(seen[count]));
        memcpy(seen[count].name, data + used + before, head.namelen);
        seen[count].ino = head.ino;
        seen[count].offset = head.off;
        seen[count].type = head.type;
        seen[count].nodeid = entry.nodeid;
        used += FUSE_DIRENT_ALIGN(before + head.namelen);
        assert_true(used <= length);
    }
    return count;
}

/* Return: entries, or a negative error. */
static int read_dir(struct client *c, uint64_t nodeid, uint64_t fh, uint64_t offset, size_t size,
                    bool plus, struct seen *seen)
{
    struct fuse_read_in in = { .fh = fh, .offset = offset, .size = (uint32_t)size };
    char *data = malloc(size);
    int r = CALL(c, plus ? FUSE_READDIRPLUS : FUSE_READDIR, nodeid, data, size, BLOB(in));

    if (r > 0)
        r = (int)parse(data, (size_t)r, plus, seen);
    free(data);
    return r;
}

static const struct seen *find(const struct seen *seen, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(seen[i].name, name))
            return &seen[i];
    return NULL;
}

static void root_directory(void **state)
{
    struct client *c = *state;
    struct seen seen[100];
    uint64_t fh = open_dir(c, FUSE_ROOT_ID);
    uint64_t offset = 0;
    int n;

    assert_int_equal(read_dir(c, FUSE_ROOT_ID, fh, 0, 4096, false, seen), 6);
    assert_string_equal(seen[0].name, ".");
    assert_string_equal(seen[1].name, "..");
    assert_string_equal(seen[2].name, "0");
    assert_string_equal(seen[5].name, "3");
    assert_int_equal(seen[2].type, DT_DIR);
    assert_int_equal(seen[5].type, DT_REG);
    assert_int_equal(read_dir(c, FUSE_ROOT_ID, fh, 6, 4096, false, seen), 0);
    assert_int_equal(read_dir(c, FUSE_ROOT_ID, fh, UINT64_MAX, 4096, false, seen), 0);
    assert_int_equal(read_dir(c, FUSE_ROOT_ID, fh, 0, 10, false, seen), -EINVAL);
    /* one at a time */
    for (int i = 0; i < 6; i++) {
        n = read_dir(c, FUSE_ROOT_ID, fh, offset, 32, false, seen);
        assert_int_equal(n, 1);
        offset = seen[0].offset;
    }
    assert_int_equal(read_dir(c, FUSE_ROOT_ID, fh, 0, 4096, true, seen), 6);
    assert_int_equal(seen[0].nodeid, 0);
    assert_int_equal(seen[2].nodeid, c->share[0]);
    assert_int_equal(release(c, FUSE_RELEASEDIR, FUSE_ROOT_ID, fh), 0);
}

static void dots_and_types(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    struct seen seen[100];
    const struct seen *s;
    uint64_t fh;
    int n;

    assert_int_equal(make_dir(c, c->share[PRIVATE], "d", 0755, &entry), 0);
    assert_int_equal(make_symlink(c, c->share[PRIVATE], "l", "x", &entry), 0);
    assert_int_equal(make_node(c, c->share[PRIVATE], "p", S_IFIFO | 0600, 0, &entry), 0);
    fh = open_dir(c, c->share[PRIVATE]);
    n = read_dir(c, c->share[PRIVATE], fh, 0, 4096, false, seen);
    assert_int_equal(n, 5);
    s = find(seen, n, ".");
    assert_non_null(s);
    /* the number of what lies above the share is not told */
    assert_non_null(find(seen, n, ".."));
    assert_int_equal(find(seen, n, "..")->ino, s->ino);
    assert_int_equal(find(seen, n, "d")->type, DT_DIR);
    assert_int_equal(find(seen, n, "l")->type, DT_LNK);
    assert_int_equal(find(seen, n, "p")->type, DT_FIFO);
    assert_int_equal(read_dir(c, c->share[PRIVATE], fh, seen[4].offset, 4096, false, seen), 0);
}

static void make_many(struct client *c)
{
    char name[64];

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "entry-%d-%.*s", i, i % 40,
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        close(open(host(c, PRIVATE, name), O_WRONLY | O_CREAT, 0644));
    }
}

/* Reads everything in pieces of @size; every entry must come exactly once. */
static void read_all(struct client *c, size_t size, bool plus)
{
    struct seen *seen = calloc(1024, sizeof(*seen));
    char *found = calloc(1, MANY);
    uint64_t fh = open_dir(c, c->share[PRIVATE]);
    uint64_t offset = 0;
    int total = 0, n;

    while ((n = read_dir(c, c->share[PRIVATE], fh, offset, size, plus, seen)) > 0) {
        for (int i = 0; i < n; i++) {
            int number;

            if (sscanf(seen[i].name, "entry-%d-", &number) == 1) {
                assert_int_equal(found[number], 0);
                found[number] = 1;
                if (plus) {
                    assert_int_not_equal(seen[i].nodeid, 0);
                    forget(c, seen[i].nodeid, 1);
                }
            }
        }
        total += n;
        offset = seen[n - 1].offset;
    }
    assert_int_equal(n, 0);
    assert_int_equal(total, MANY + 2);
    assert_int_equal(release(c, FUSE_RELEASEDIR, c->share[PRIVATE], fh), 0);
    free(found);
    free(seen);
}

static void big_directory_in_small_pieces(void **state)
{
    struct client *c = *state;

    make_many(c);
    read_all(c, 4096, false);
    read_all(c, 4096, true);
    read_all(c, 300, false);
    read_all(c, 300, true);
    read_all(c, 20000, true);
}

/* Without a buffer of its own, a directory is read by seeking. */
static void big_directory_without_a_buffer(void **state)
{
    struct client *c = *state;

    make_many(c);
    c->server->entries_count = FS_ENTRIES_MAX;
    read_all(c, 4096, false);
    read_all(c, 300, true);
    c->server->entries_count = 0;
}

static void two_handles_do_not_disturb_each_other(void **state)
{
    struct client *c = *state;
    struct seen a[64], b[64];
    uint64_t first, second, oa = 0, ob = 0;
    int na, nb;

    make_many(c);
    first = open_dir(c, c->share[PRIVATE]);
    second = open_dir(c, c->share[PRIVATE]);
    for (int i = 0; i < 100; i++) {
        na = read_dir(c, c->share[PRIVATE], first, oa, 512, false, a);
        nb = read_dir(c, c->share[PRIVATE], second, ob, 512, false, b);
        assert_true(na > 0 && na == nb);
        assert_string_equal(a[0].name, b[0].name);
        oa = a[na - 1].offset;
        ob = b[nb - 1].offset;
    }
}

static void cookies_can_be_returned_to(void **state)
{
    struct client *c = *state;
    struct seen seen[64], again[64];
    uint64_t cookies[50], fh, offset = 0;
    char names[50][NAME_MAX + 1];

    make_many(c);
    fh = open_dir(c, c->share[PRIVATE]);
    for (int i = 0; i < 50; i++) {
        int n = read_dir(c, c->share[PRIVATE], fh, offset, 1024, false, seen);

        assert_true(n > 1);
        cookies[i] = offset;
        strcpy(names[i], seen[0].name);
        offset = seen[n - 1].offset;
    }
    for (int i = 49; i >= 0; i -= 7) {
        assert_true(read_dir(c, c->share[PRIVATE], fh, cookies[i], 1024, false, again) > 0);
        assert_string_equal(again[0].name, names[i]);
    }
    /* a cookie that is none: an error or some entry, nothing worse */
    read_dir(c, c->share[PRIVATE], fh, UINT64_MAX, 1024, false, again);
    read_dir(c, c->share[PRIVATE], fh, 12345, 1024, false, again);
    assert_true(read_dir(c, c->share[PRIVATE], fh, 0, 1024, false, again) > 0);
    assert_string_equal(again[0].name, names[0]);
}

static void rewinding_shows_what_is_new(void **state)
{
    struct client *c = *state;
    struct seen seen[64];
    uint64_t fh = open_dir(c, c->share[PRIVATE]);
    int n = read_dir(c, c->share[PRIVATE], fh, 0, 4096, false, seen);

    assert_null(find(seen, n, "new"));
    assert_int_equal(mkdir(host(c, PRIVATE, "new"), 0755), 0);
    n = read_dir(c, c->share[PRIVATE], fh, 0, 4096, false, seen);
    assert_non_null(find(seen, n, "new"));
}

static void buffer_too_small_for_one_entry(void **state)
{
    struct client *c = *state;
    struct seen seen[4];
    uint64_t fh = open_dir(c, c->share[PRIVATE]);

    assert_int_equal(read_dir(c, c->share[PRIVATE], fh, 0, 31, false, seen), -EINVAL);
    assert_int_equal(read_dir(c, c->share[PRIVATE], fh, 0, 0, false, seen), -EINVAL);
    assert_int_equal(read_dir(c, c->share[PRIVATE], fh, 0, 32, false, seen), 1);
}

/* The whole tree can be removed while it is being read, as rm -r does. */
static void removing_while_reading(void **state)
{
    struct client *c = *state;
    struct seen seen[64];
    uint64_t fh, offset = 0;
    int removed = 0, n;

    make_many(c);
    fh = open_dir(c, c->share[PRIVATE]);
    while ((n = read_dir(c, c->share[PRIVATE], fh, offset, 1024, true, seen)) > 0) {
        for (int i = 0; i < n; i++) {
            if (seen[i].name[0] != 'e')
                continue;
            assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[PRIVATE], seen[i].name), 0);
            removed++;
        }
        offset = seen[n - 1].offset;
    }
    assert_int_equal(n, 0);
    assert_int_equal(removed, MANY);
}

static void entry_that_vanishes_is_listed_without_attributes(void **state)
{
    struct client *c = *state;
    struct seen seen[64];
    const struct seen *s;
    uint64_t fh;
    int n;

    close(open(host(c, PRIVATE, "a"), O_WRONLY | O_CREAT, 0644));
    close(open(host(c, PRIVATE, "b"), O_WRONLY | O_CREAT, 0644));
    fh = open_dir(c, c->share[PRIVATE]);
    n = read_dir(c, c->share[PRIVATE], fh, 0, 200, true, seen); /* reads ahead */
    assert_int_equal(n, 1);
    unlink(host(c, PRIVATE, "a"));
    unlink(host(c, PRIVATE, "b"));
    n = read_dir(c, c->share[PRIVATE], fh, seen[0].offset, 4096, true, seen);
    assert_true(n > 0);
    s = find(seen, n, "a") ? find(seen, n, "a") : find(seen, n, "b");
    assert_non_null(s);
    assert_int_equal(s->nodeid, 0);
}

static void directories_are_synced(void **state)
{
    struct client *c = *state;
    struct fuse_fsync_in in = { .fh = open_dir(c, c->share[PRIVATE]) };

    assert_int_equal(CALL(c, FUSE_FSYNCDIR, c->share[PRIVATE], NULL, 0, BLOB(in)), 0);
    in.fsync_flags = FUSE_FSYNC_FDATASYNC;
    assert_int_equal(CALL(c, FUSE_FSYNCDIR, c->share[PRIVATE], NULL, 0, BLOB(in)), 0);
    in.fh = open_dir(c, FUSE_ROOT_ID);
    assert_int_equal(CALL(c, FUSE_FSYNCDIR, FUSE_ROOT_ID, NULL, 0, BLOB(in)), 0);
    in.fh = 999;
    assert_int_equal(CALL(c, FUSE_FSYNCDIR, c->share[PRIVATE], NULL, 0, BLOB(in)), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(root_directory),
        CLIENT_TEST(dots_and_types),
        CLIENT_TEST(big_directory_in_small_pieces),
        CLIENT_TEST(big_directory_without_a_buffer),
        CLIENT_TEST(two_handles_do_not_disturb_each_other),
        CLIENT_TEST(cookies_can_be_returned_to),
        CLIENT_TEST(rewinding_shows_what_is_new),
        CLIENT_TEST(buffer_too_small_for_one_entry),
        CLIENT_TEST(removing_while_reading),
        CLIENT_TEST(entry_that_vanishes_is_listed_without_attributes),
        CLIENT_TEST(directories_are_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
