/* Extended attributes, on everything that has them, without opening anything. */
#include <sys/xattr.h>

#include "fs_client.h"

static int set(struct client *c, uint64_t nodeid, const char *name, const void *value, size_t size,
               uint32_t flags)
{
    uint32_t in[2] = { (uint32_t)size, flags };

    return CALL(c, FUSE_SETXATTR, nodeid, NULL, 0, BLOB(in), STRING(name), { value, size });
}

static int get(struct client *c, uint64_t nodeid, const char *name, void *value, uint32_t size)
{
    struct fuse_getxattr_in in = { .size = size };

    return CALL(c, FUSE_GETXATTR, nodeid, value, size ? size : sizeof(struct fuse_getxattr_out),
                BLOB(in), STRING(name));
}

static int list(struct client *c, uint64_t nodeid, void *value, uint32_t size)
{
    struct fuse_getxattr_in in = { .size = size };

    return CALL(c, FUSE_LISTXATTR, nodeid, value, size ? size : sizeof(struct fuse_getxattr_out),
                BLOB(in));
}

static void user_attributes_on_files_and_directories(void **state)
{
    struct client *c = *state;
    struct fuse_getxattr_out size;
    uint64_t nodes[2];
    char value[64];

    host_write(host(c, PRIVATE, "f"), "");
    nodes[0] = node(c, c->share[PRIVATE], "f");
    nodes[1] = c->share[PRIVATE];
    for (int i = 0; i < 2; i++) {
        uint64_t n = nodes[i];

        assert_int_equal(get(c, n, "user.a", value, sizeof(value)), -ENODATA);
        assert_int_equal(set(c, n, "user.a", "value", 5, 0), 0);
        assert_int_equal(set(c, n, "user.a", "value", 5, XATTR_CREATE), -EEXIST);
        assert_int_equal(set(c, n, "user.b", "value", 5, XATTR_REPLACE), -ENODATA);
        assert_int_equal(set(c, n, "user.empty", "", 0, 0), 0);
        assert_int_equal(get(c, n, "user.a", value, sizeof(value)), 5);
        assert_memory_equal(value, "value", 5);
        assert_int_equal(get(c, n, "user.empty", value, sizeof(value)), 0);
        assert_int_equal(get(c, n, "user.a", value, 4), -ERANGE);
        assert_int_equal(get(c, n, "user.a", &size, 0), sizeof(size));
        assert_int_equal(size.size, 5);
        assert_int_equal(list(c, n, value, sizeof(value)), 18);
        assert_int_equal(list(c, n, &size, 0), sizeof(size));
        assert_int_equal(size.size, 18);
        assert_int_equal(list(c, n, value, 3), -ERANGE);
        assert_int_equal(CALL(c, FUSE_REMOVEXATTR, n, NULL, 0, STRING("user.a")), 0);
        assert_int_equal(CALL(c, FUSE_REMOVEXATTR, n, NULL, 0, STRING("user.a")), -ENODATA);
    }
}

/* overlayfs in the guest sets these on links and whiteouts; nothing is followed or opened. */
static void links_and_special_files(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    char value[8];
    int r;

    host_write(host(c, SHARED, "secret"), "");
    assert_int_equal(make_symlink(c, c->share[PRIVATE], "l", host(c, SHARED, "secret"), &entry), 0);
    assert_int_equal(set(c, entry.nodeid, "user.a", "v", 1, 0), -EPERM);
    r = set(c, entry.nodeid, "trusted.a", "v", 1, 0);
    assert_true(r == 0 || r == -EPERM);
    assert_int_equal(getxattr(host(c, SHARED, "secret"), "trusted.a", value, 8), -1);
    assert_int_equal(getxattr(host(c, SHARED, "secret"), "user.a", value, 8), -1);
    assert_int_equal(make_node(c, c->share[PRIVATE], "p", S_IFIFO | 0600, 0, &entry), 0);
    assert_int_equal(set(c, entry.nodeid, "user.a", "v", 1, 0), -EPERM);
    r = set(c, entry.nodeid, "trusted.a", "v", 1, 0);
    assert_true(r == 0 || r == -EPERM);
}

static void sizes_are_bounded(void **state)
{
    struct client *c = *state;
    uint32_t in[2] = { 100, 0 };
    char longest[300], *value = calloc(1, 70000);

    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "user.", 5);
    longest[256] = '\0';
    assert_int_equal(set(c, c->share[PRIVATE], longest, "v", 1, 0), -ENAMETOOLONG);
    longest[255] = '\0';
    assert_int_equal(set(c, c->share[PRIVATE], longest, "v", 1, 0), 0);
    assert_int_equal(set(c, c->share[PRIVATE], "user.big", value, 65537, 0), -E2BIG);
    assert_int_equal(set(c, c->share[PRIVATE], "", "v", 1, 0), -EINVAL);
    /* a value that is not there */
    assert_int_equal(CALL(c, FUSE_SETXATTR, c->share[PRIVATE], NULL, 0, BLOB(in),
                          STRING("user.short"), { "v", 1 }),
                     -EINVAL);
    assert_int_equal(get(c, c->share[PRIVATE], "user.none", value, 70000), -ENODATA);
    /* asks for more than there is room for in the answer */
    in[0] = 64;
    assert_int_equal(set(c, c->share[PRIVATE], "user.v", "value", 5, 0), 0);
    assert_int_equal(CALL(c, FUSE_GETXATTR, c->share[PRIVATE], value, 2, BLOB(in),
                          STRING("user.v")),
                     -ERANGE);
    free(value);
}

static void unlinked_files_have_them_too(void **state)
{
    struct client *c = *state;
    struct created f;

    assert_int_equal(create_file(c, c->share[PRIVATE], "f", O_RDWR, 0600, &f), 0);
    assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[PRIVATE], "f"), 0);
    assert_int_equal(set(c, f.entry.nodeid, "user.a", "v", 1, 0), 0);
}

static void the_root_has_none(void **state)
{
    struct client *c = *state;
    char value[8];

    assert_int_equal(get(c, FUSE_ROOT_ID, "user.a", value, 8), -EOPNOTSUPP);
    assert_int_equal(set(c, FUSE_ROOT_ID, "user.a", "v", 1, 0), -EROFS);
}

/* An access ACL sets the mode; a stranger to the file's group loses set-group-ID by it. */
static void access_lists_obey_the_set_group_id_rule(void **state)
{
    struct client *c = *state;
    /* version 2; user::rwx group::r-x other::r-x */
    static const uint8_t acl[] = { 2,    0,    0, 0, 1,    0,    7,    0,    0xff, 0xff,
                                   0xff, 0xff, 4, 0, 5,    0,    0xff, 0xff, 0xff, 0xff,
                                   0x20, 0,    5, 0, 0xff, 0xff, 0xff, 0xff };
    uint64_t file;
    int r;

    host_write(host(c, PRIVATE, "f"), "");
    assert_int_equal(chown(host(c, PRIVATE, "f"), 1000, 2000), 0);
    assert_int_equal(chmod(host(c, PRIVATE, "f"), 02755), 0);
    file = node(c, c->share[PRIVATE], "f");
    r = set(c, file, "system.posix_acl_access", acl, sizeof(acl), 0);
    if (r == -EOPNOTSUPP) {
        print_message("skipped: /tmp has no POSIX ACLs\n");
        skip();
    }
    assert_int_equal(r, 0);
    assert_int_equal(host_stat(host(c, PRIVATE, "f")).st_mode & 07777, 02755);
    c->uid = 1000;
    c->gid = 2000;
    assert_int_equal(set(c, file, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
    assert_int_equal(host_stat(host(c, PRIVATE, "f")).st_mode & 07777, 02755);
    c->gid = 3000;
    assert_int_equal(set(c, file, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
    assert_int_equal(host_stat(host(c, PRIVATE, "f")).st_mode & 07777, 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(user_attributes_on_files_and_directories),
        CLIENT_TEST(links_and_special_files),
        CLIENT_TEST(sizes_are_bounded),
        CLIENT_TEST(unlinked_files_have_them_too),
        CLIENT_TEST(the_root_has_none),
        CLIENT_TEST(access_lists_obey_the_set_group_id_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
