/* Names: what they may be, what is made, moved and removed by them, and that none leaves a share.
 */
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "fs_client.h"

static void names_are_one_component(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_entry_out entry;
    struct created f;
    char longest[257];
    static const char *const bad[] = { "", ".", "..", "a/b", "/", "/etc", "../x", "x/.." };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(lookup(c, dir, bad[i], &entry), -EINVAL);
        assert_int_equal(create_file(c, dir, bad[i], O_RDWR, 0644, &f), -EINVAL);
        assert_int_equal(make_dir(c, dir, bad[i], 0755, &entry), -EINVAL);
        assert_int_equal(make_node(c, dir, bad[i], S_IFREG | 0644, 0, &entry), -EINVAL);
        assert_int_equal(make_symlink(c, dir, bad[i], "target", &entry), -EINVAL);
        assert_int_equal(link_name(c, c->share[SHARED], dir, bad[i], &entry), -EINVAL);
        assert_int_equal(remove_name(c, FUSE_UNLINK, dir, bad[i]), -EINVAL);
        assert_int_equal(remove_name(c, FUSE_RMDIR, dir, bad[i]), -EINVAL);
        assert_int_equal(rename_name(c, dir, bad[i], dir, "good", 0), -EINVAL);
        assert_int_equal(rename_name(c, dir, "good", dir, bad[i], 0), -EINVAL);
    }
    memset(longest, 'n', 256);
    longest[256] = '\0';
    assert_int_equal(lookup(c, dir, longest, &entry), -ENAMETOOLONG);
    assert_int_equal(make_dir(c, dir, longest, 0755, &entry), -ENAMETOOLONG);
    longest[255] = '\0';
    assert_int_equal(make_dir(c, dir, longest, 0755, &entry), 0);
    assert_int_equal(lookup(c, dir, longest, &entry), 0);
    /* no NUL at the end */
    assert_int_equal(CALL(c, FUSE_LOOKUP, dir, &entry, sizeof(entry), { "abc", 3 }), -EINVAL);
}

static void only_directories_have_names_in_them(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    struct created f;
    uint64_t file;

    assert_int_equal(create_file(c, c->share[PRIVATE], "f", O_RDWR, 0644, &f), 0);
    file = f.entry.nodeid;
    assert_int_equal(lookup(c, file, "x", &entry), -ENOTDIR);
    assert_int_equal(make_dir(c, file, "x", 0755, &entry), -ENOTDIR);
    assert_int_equal(remove_name(c, FUSE_UNLINK, file, "x"), -ENOTDIR);
    assert_int_equal(rename_name(c, c->share[PRIVATE], "f", file, "x", 0), -ENOTDIR);
    assert_int_equal(link_name(c, file, file, "x", &entry), -ENOTDIR);
}

static void missing_names(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;

    /* Nobody else makes names in a private tree: the guest may remember. */
    assert_int_equal(lookup(c, c->share[PRIVATE], "missing", &entry), 0);
    assert_int_equal(entry.nodeid, 0);
    assert_true(entry.entry_valid >= 1);
    assert_int_equal(lookup(c, c->share[SHARED], "missing", &entry), -ENOENT);
    assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[SHARED], "missing"), -ENOENT);
    assert_int_equal(remove_name(c, FUSE_RMDIR, c->share[SHARED], "missing"), -ENOENT);
}

static void validity_follows_the_kind_of_share(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    struct fuse_attr_out attr;

    assert_int_equal(make_dir(c, c->share[PRIVATE], "d", 0755, &entry), 0);
    assert_true(entry.entry_valid >= 1 && entry.attr_valid >= 1);
    assert_int_equal(getattr(c, entry.nodeid, &attr), 0);
    assert_true(attr.attr_valid >= 1);
    assert_int_equal(make_dir(c, c->share[SHARED], "d", 0755, &entry), 0);
    assert_true(entry.entry_valid == 0 && entry.attr_valid == 0);
    assert_int_equal(getattr(c, entry.nodeid, &attr), 0);
    assert_int_equal(attr.attr_valid, 0);
    /* A file with set-id bits loses them on the host's side. */
    assert_int_equal(make_node(c, c->share[PRIVATE], "suid", S_IFREG | 04755, 0, &entry), 0);
    assert_true(entry.entry_valid >= 1);
    assert_int_equal(entry.attr_valid, 0);
}

static void make_and_remove_everything(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_entry_out entry;
    struct stat st;
    char target[64] = { 0 };

    assert_int_equal(make_dir(c, dir, "d", 01750, &entry), 0);
    assert_int_equal(entry.attr.mode, S_IFDIR | 01750);
    assert_int_equal(make_dir(c, dir, "d", 0755, &entry), -EEXIST);
    assert_int_equal(make_symlink(c, dir, "l", "../../etc/passwd", &entry), 0);
    assert_true(S_ISLNK(entry.attr.mode));
    assert_int_equal(CALL(c, FUSE_READLINK, entry.nodeid, target, sizeof(target), { NULL, 0 }), 16);
    assert_string_equal(target, "../../etc/passwd");
    assert_int_equal(CALL(c, FUSE_READLINK, dir, target, sizeof(target), { NULL, 0 }), -EINVAL);
    assert_int_equal(CALL(c, FUSE_READLINK, entry.nodeid, target, 5, { NULL, 0 }), -EIO);
    assert_int_equal(make_node(c, dir, "fifo", S_IFIFO | 0600, 0, &entry), 0);
    assert_true(S_ISFIFO(entry.attr.mode));
    assert_int_equal(make_node(c, dir, "socket", S_IFSOCK | 0600, 0, &entry), 0);
    assert_int_equal(make_node(c, dir, "file", S_IFREG | 0640, 0, &entry), 0);
    /* major 0x123, minor 0x45678 as new_encode_dev() has it */
    assert_int_equal(make_node(c, dir, "dev", S_IFCHR | 0600, 0x45612378, &entry), 0);
    assert_int_equal(entry.attr.rdev, 0x45612378);
    st = host_stat(host(c, PRIVATE, "dev"));
    assert_int_equal(major(st.st_rdev), 0x123);
    assert_int_equal(minor(st.st_rdev), 0x45678);
    assert_int_equal(remove_name(c, FUSE_UNLINK, dir, "d"), -EISDIR);
    assert_int_equal(remove_name(c, FUSE_RMDIR, dir, "file"), -ENOTDIR);
    assert_int_equal(remove_name(c, FUSE_RMDIR, dir, "d"), 0);
    assert_int_equal(remove_name(c, FUSE_UNLINK, dir, "l"), 0);
    assert_int_equal(remove_name(c, FUSE_UNLINK, dir, "dev"), 0);
    assert_int_equal(lstat(host(c, PRIVATE, "d"), &st), -1);
    assert_int_equal(lstat(host(c, PRIVATE, "l"), &st), -1);
}

static void longest_symlink_target(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    char target[PATH_MAX + 1], got[PATH_MAX];

    memset(target, 't', sizeof(target));
    target[PATH_MAX] = '\0';
    assert_int_equal(make_symlink(c, c->share[PRIVATE], "l", target, &entry), -ENAMETOOLONG);
    target[PATH_MAX - 1] = '\0';
    assert_int_equal(make_symlink(c, c->share[PRIVATE], "l", target, &entry), 0);
    assert_int_equal(CALL(c, FUSE_READLINK, entry.nodeid, got, sizeof(got), { NULL, 0 }),
                     PATH_MAX - 1);
    assert_memory_equal(got, target, PATH_MAX - 1);
    assert_int_equal(make_symlink(c, c->share[PRIVATE], "empty", "", &entry), -EINVAL);
}

static void hard_links_are_one_node(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_entry_out entry;
    struct created f;

    assert_int_equal(create_file(c, dir, "a", O_RDWR, 0644, &f), 0);
    assert_int_equal(link_name(c, f.entry.nodeid, dir, "b", &entry), 0);
    assert_int_equal(entry.nodeid, f.entry.nodeid);
    assert_int_equal(entry.attr.nlink, 2);
    assert_int_equal(link_name(c, f.entry.nodeid, dir, "b", &entry), -EEXIST);
    /* a symbolic link is linked itself, not what it points to */
    assert_int_equal(make_symlink(c, dir, "l", "/etc/passwd", &entry), 0);
    assert_int_equal(link_name(c, entry.nodeid, dir, "l2", &entry), 0);
    assert_true(S_ISLNK(entry.attr.mode));
    assert_int_equal(link_name(c, dir, dir, "d", &entry), -EPERM);
    assert_int_equal(link_name(c, 999, dir, "d", &entry), -ENOENT);
    assert_int_equal(link_name(c, 1, dir, "d", &entry), -EXDEV);
}

static void rename_and_its_flags(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_rename_in in = { .newdir = dir };
    struct fuse_entry_out a, b, d;
    struct stat st;

    assert_int_equal(make_node(c, dir, "a", S_IFREG | 0644, 0, &a), 0);
    assert_int_equal(make_node(c, dir, "b", S_IFREG | 0644, 0, &b), 0);
    assert_int_equal(make_dir(c, dir, "d", 0755, &d), 0);
    assert_int_equal(rename_name(c, dir, "a", dir, "b", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_name(c, dir, "a", dir, "b", RENAME_EXCHANGE), 0);
    assert_int_equal(node(c, dir, "a"), b.nodeid);
    assert_int_equal(node(c, dir, "b"), a.nodeid);
    assert_int_equal(rename_name(c, dir, "a", d.nodeid, "moved", 0), 0);
    assert_int_equal(node(c, d.nodeid, "moved"), b.nodeid);
    assert_int_equal(CALL(c, FUSE_RENAME, d.nodeid, NULL, 0, BLOB(in), STRING("moved"),
                          STRING("back")),
                     0);
    assert_int_equal(node(c, dir, "back"), b.nodeid);
    assert_int_equal(rename_name(c, dir, "back", dir, "x", 1 << 5), -EINVAL);
    assert_int_equal(rename_name(c, dir, "d", d.nodeid, "self", 0), -EINVAL);
    c->uid = 1000;
    assert_int_equal(rename_name(c, dir, "back", dir, "gone", RENAME_WHITEOUT), 0);
    st = host_stat(host(c, PRIVATE, "back"));
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(st.st_uid, 1000);
}

static void shares_do_not_mix(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    uint64_t writable, readonly;

    host_write(host(c, SHARED, "f"), "x");
    writable = node(c, c->share[SHARED], "f");
    readonly = node(c, c->share[READONLY], "f");
    assert_int_not_equal(writable, readonly);
    /* The same host directory: a link would make the read-only file writable. */
    assert_int_equal(link_name(c, readonly, c->share[SHARED], "g", &entry), -EXDEV);
    assert_int_equal(link_name(c, writable, c->share[PRIVATE], "g", &entry), -EXDEV);
    assert_int_equal(rename_name(c, c->share[SHARED], "f", c->share[PRIVATE], "f", 0), -EXDEV);
    assert_int_equal(rename_name(c, c->share[SHARED], "f", c->share[READONLY], "f", 0), -EXDEV);
    assert_int_equal(rename_name(c, c->share[READONLY], "f", c->share[SHARED], "f", 0), -EROFS);
}

static void readonly_share_refuses_every_change(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[READONLY], file, fh;
    struct fuse_entry_out entry;
    struct created f;
    struct fuse_attr_out attr;
    struct fuse_setattr_in setattr_in = { .valid = FATTR_MODE, .mode = 0777 };
    struct fuse_fallocate_in fallocate_in = { .length = 10 };
    struct fuse_create_in create_in = { .flags = O_RDWR, .mode = S_IFREG | 0600 };
    struct fuse_access_in access_in = { .mask = W_OK };
    uint32_t setxattr_in[2] = { 1, 0 };
    char data[8];

    host_write(host(c, SHARED, "f"), "data");
    file = node(c, dir, "f");
    assert_int_equal(create_file(c, dir, "new", O_RDWR, 0644, &f), -EROFS);
    assert_int_equal(create_file(c, dir, "f", O_RDONLY, 0644, &f), -EROFS);
    assert_int_equal(make_dir(c, dir, "new", 0755, &entry), -EROFS);
    assert_int_equal(make_node(c, dir, "new", S_IFREG | 0644, 0, &entry), -EROFS);
    assert_int_equal(make_symlink(c, dir, "new", "x", &entry), -EROFS);
    assert_int_equal(link_name(c, file, dir, "new", &entry), -EROFS);
    assert_int_equal(remove_name(c, FUSE_UNLINK, dir, "f"), -EROFS);
    assert_int_equal(remove_name(c, FUSE_RMDIR, dir, "f"), -EROFS);
    assert_int_equal(rename_name(c, dir, "f", dir, "g", 0), -EROFS);
    assert_int_equal(setattr(c, file, &setattr_in, &attr), -EROFS);
    setattr_in = (struct fuse_setattr_in) { .valid = FATTR_SIZE };
    assert_int_equal(setattr(c, file, &setattr_in, &attr), -EROFS);
    setattr_in = (struct fuse_setattr_in) { .valid = FATTR_MTIME | FATTR_MTIME_NOW };
    assert_int_equal(setattr(c, file, &setattr_in, &attr), -EROFS);
    assert_int_equal(CALL(c, FUSE_SETXATTR, file, NULL, 0, BLOB(setxattr_in), STRING("user.x"),
                          { "v", 1 }),
                     -EROFS);
    assert_int_equal(CALL(c, FUSE_REMOVEXATTR, file, NULL, 0, STRING("user.x")), -EROFS);
    assert_int_equal(CALL(c, FUSE_TMPFILE, dir, data, sizeof(data), BLOB(create_in), STRING("/")),
                     -EIO);
    assert_int_equal(CALL(c, FUSE_TMPFILE, dir, &f, sizeof(f), BLOB(create_in), STRING("/")),
                     -EROFS);
    assert_int_equal(CALL(c, FUSE_FALLOCATE, file, NULL, 0, BLOB(fallocate_in)), -EROFS);
    assert_int_equal(CALL(c, FUSE_ACCESS, file, NULL, 0, BLOB(access_in)), -EROFS);
    assert_int_equal(open_file(c, file, O_WRONLY, &fh), -EROFS);
    assert_int_equal(open_file(c, file, O_RDWR, &fh), -EROFS);
    assert_int_equal(open_file(c, file, O_RDONLY | O_TRUNC, &fh), -EROFS);
    assert_int_equal(open_file(c, file, O_RDONLY, &fh), 0);
    assert_int_equal(read_file(c, file, fh, 0, data, sizeof(data)), 4);
    assert_int_equal(write_file(c, file, fh, 0, "x", 1), -EROFS);
    /* the handle with a node of a writable share */
    assert_int_equal(write_file(c, node(c, c->share[SHARED], "f"), fh, 0, "x", 1), -EBADF);
    assert_int_equal(host_stat(host(c, SHARED, "f")).st_size, 4);
}

/* A link is handed to the guest as a link; nothing here ever follows it. */
static void symlinks_do_not_lead_out(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_entry_out entry;
    struct created f;
    struct fuse_attr_out attr;
    struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = 0777 };
    struct fuse_open_in open_in = { 0 };
    struct fuse_open_out open_out;
    char secret[512];
    uint64_t fh;

    strcpy(secret, host(c, SHARED, "secret"));
    host_write(secret, "secret");
    assert_int_equal(symlink(secret, host(c, PRIVATE, "file")), 0);
    assert_int_equal(symlink(c->directory[SHARED], host(c, PRIVATE, "dir")), 0);
    assert_int_equal(symlink("/proc/self/root", host(c, PRIVATE, "magic")), 0);
    assert_int_equal(lookup(c, dir, "file", &entry), 0);
    assert_true(S_ISLNK(entry.attr.mode));
    assert_int_equal(open_file(c, entry.nodeid, O_RDWR, &fh), -ELOOP);
    assert_int_equal(setattr(c, entry.nodeid, &in, &attr), -EOPNOTSUPP);
    in = (struct fuse_setattr_in) { .valid = FATTR_SIZE };
    assert_int_equal(setattr(c, entry.nodeid, &in, &attr), -EINVAL);
    in = (struct fuse_setattr_in) { .valid = FATTR_UID, .uid = 77 };
    assert_int_equal(setattr(c, entry.nodeid, &in, &attr), 0);
    assert_int_equal(host_stat(secret).st_uid, 0);
    assert_int_equal(host_stat(host(c, PRIVATE, "file")).st_uid, 77);
    in = (struct fuse_setattr_in) { .valid = FATTR_MTIME, .mtime = 1234 };
    assert_int_equal(setattr(c, entry.nodeid, &in, &attr), 0);
    assert_int_not_equal(host_stat(secret).st_mtime, 1234);
    assert_int_equal(create_file(c, dir, "file", O_RDWR | O_TRUNC, 0644, &f), -ELOOP);
    assert_int_equal(create_file(c, dir, "file", O_RDWR | O_EXCL, 0644, &f), -EEXIST);
    assert_int_equal(lookup(c, dir, "dir", &entry), 0);
    assert_true(S_ISLNK(entry.attr.mode));
    assert_int_equal(lookup(c, entry.nodeid, "secret", &entry), -ENOTDIR);
    assert_int_equal(lookup(c, dir, "magic", &entry), 0);
    assert_int_equal(CALL(c, FUSE_OPENDIR, entry.nodeid, &open_out, sizeof(open_out),
                          BLOB(open_in)),
                     -ENOTDIR);
    assert_int_equal(host_stat(secret).st_size, 6);
}

static void special_files_are_never_opened(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_entry_out entry;
    struct fuse_attr_out attr;
    struct fuse_setattr_in in = { .valid = FATTR_SIZE };
    struct created f;
    uint64_t fh;
    static const uint32_t types[] = { S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK };

    for (size_t i = 0; i < 4; i++) {
        char name[] = { (char)('a' + i), '\0' };

        /* 1:3 is /dev/null, had it been opened it would have worked */
        assert_int_equal(make_node(c, dir, name, types[i] | 0666, 0x103, &entry), 0);
        assert_int_equal(open_file(c, entry.nodeid, O_RDWR, &fh), -ENXIO);
        assert_int_equal(open_file(c, entry.nodeid, O_RDONLY, &fh), -ENXIO);
        assert_int_equal(create_file(c, dir, name, O_RDWR, 0644, &f), -ENXIO);
        assert_int_equal(setattr(c, entry.nodeid, &in, &attr), -EINVAL);
    }
}

static void directory_moved_out_gives_no_way_up(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    uint64_t dir;

    assert_int_equal(mkdir(host(c, PRIVATE, "d"), 0755), 0);
    dir = node(c, c->share[PRIVATE], "d");
    assert_int_equal(rename(host(c, PRIVATE, "d"), host(c, SHARED, "moved")), 0);
    host_write(host(c, SHARED, "secret"), "secret");
    assert_int_equal(lookup(c, dir, "..", &entry), -EINVAL);
    assert_int_equal(lookup(c, dir, "../secret", &entry), -EINVAL);
    assert_int_equal(lookup(c, dir, "secret", &entry), 0);
    assert_int_equal(entry.nodeid, 0);
}

static void host_rename_is_seen_at_once_in_shared(void **state)
{
    struct client *c = *state;
    uint64_t before, after, fh;
    struct fuse_attr_out attr;
    char data[8] = { 0 };

    host_write(host(c, SHARED, "f"), "old");
    before = node(c, c->share[SHARED], "f");
    assert_int_equal(open_file(c, before, O_RDONLY, &fh), 0);
    host_write(host(c, SHARED, "f.new"), "newer");
    assert_int_equal(rename(host(c, SHARED, "f.new"), host(c, SHARED, "f")), 0);
    after = node(c, c->share[SHARED], "f");
    assert_int_not_equal(before, after);
    /* what is open goes on being the old file, without ESTALE */
    assert_int_equal(read_file(c, before, fh, 0, data, sizeof(data)), 3);
    assert_string_equal(data, "old");
    assert_int_equal(getattr(c, before, &attr), 0);
    assert_int_equal(attr.attr.nlink, 0);
}

static void mounts_inside_a_share_are_submounts(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;

    assert_int_equal(mkdir(host(c, PRIVATE, "m"), 0755), 0);
    if (mount("none", host(c, PRIVATE, "m"), "tmpfs", 0, "size=1m") < 0) {
        print_message("skipped: cannot mount a tmpfs\n");
        skip();
    }
    assert_int_equal(lookup(c, c->share[PRIVATE], "m", &entry), 0);
    assert_int_equal(entry.attr.flags, FUSE_ATTR_SUBMOUNT);
    assert_int_equal(make_dir(c, entry.nodeid, "d", 0755, &entry), 0);
    assert_int_equal(entry.attr.flags, 0);
    fs_server_reset(c->server);
    assert_int_equal(umount(host(c, PRIVATE, "m")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(names_are_one_component),
        CLIENT_TEST(only_directories_have_names_in_them),
        CLIENT_TEST(missing_names),
        CLIENT_TEST(validity_follows_the_kind_of_share),
        CLIENT_TEST(make_and_remove_everything),
        CLIENT_TEST(longest_symlink_target),
        CLIENT_TEST(hard_links_are_one_node),
        CLIENT_TEST(rename_and_its_flags),
        CLIENT_TEST(shares_do_not_mix),
        CLIENT_TEST(readonly_share_refuses_every_change),
        CLIENT_TEST(symlinks_do_not_lead_out),
        CLIENT_TEST(special_files_are_never_opened),
        CLIENT_TEST(directory_moved_out_gives_no_way_up),
        CLIENT_TEST(host_rename_is_seen_at_once_in_shared),
        CLIENT_TEST(mounts_inside_a_share_are_submounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
