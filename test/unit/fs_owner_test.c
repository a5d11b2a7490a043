/* Who owns what is made, and when set-id bits and file capabilities go. */
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "fs_client.h"

static void created_files_belong_to_the_caller(void **state)
{
    struct client *c = *state;
    uint64_t dir = c->share[PRIVATE];
    struct fuse_entry_out entry;
    struct created f;

    c->uid = 1000;
    c->gid = 2000;
    assert_int_equal(create_file(c, dir, "f", O_RDWR, 0644, &f), 0);
    assert_int_equal(f.entry.attr.uid, 1000);
    assert_int_equal(f.entry.attr.gid, 2000);
    assert_int_equal(make_dir(c, dir, "d", 0755, &entry), 0);
    assert_int_equal(entry.attr.uid, 1000);
    assert_int_equal(entry.attr.gid, 2000);
    assert_int_equal(make_symlink(c, dir, "l", "x", &entry), 0);
    assert_int_equal(entry.attr.uid, 1000);
    assert_int_equal(make_node(c, dir, "n", S_IFIFO | 0644, 0, &entry), 0);
    assert_int_equal(entry.attr.gid, 2000);
    /* back to root afterwards */
    assert_int_equal(setfsuid((uid_t)-1), 0);
    assert_int_equal(setfsgid((gid_t)-1), 0);
    /* also when it failed */
    assert_int_equal(make_dir(c, dir, "d", 0755, &entry), -EEXIST);
    assert_int_equal(setfsuid((uid_t)-1), 0);
}

/* The guest has checked: its root, also that of a user namespace in it, may do this. */
static void callers_are_not_checked_again(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out dir, entry;
    struct created f;

    assert_int_equal(make_dir(c, c->share[PRIVATE], "d", 0555, &dir), 0);
    c->uid = c->gid = 100000;
    assert_int_equal(make_dir(c, dir.nodeid, "sub", 0755, &entry), 0);
    assert_int_equal(entry.attr.uid, 100000);
    assert_int_equal(create_file(c, dir.nodeid, "f", O_WRONLY | O_EXCL, 0, &f), 0);
    assert_int_equal(remove_name(c, FUSE_UNLINK, dir.nodeid, "f"), 0);
}

static void an_id_the_host_lacks_is_refused(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    struct stat st;

    c->uid = UINT32_MAX - 1;
    assert_int_equal(make_dir(c, c->share[PRIVATE], "d", 0755, &entry), 0);
    assert_int_equal(entry.attr.uid, UINT32_MAX - 1);
    c->uid = UINT32_MAX;
    assert_int_equal(make_dir(c, c->share[PRIVATE], "e", 0755, &entry), -EOVERFLOW);
    assert_int_equal(lstat(host(c, PRIVATE, "e"), &st), -1);
    assert_int_equal(setfsuid((uid_t)-1), 0);
    assert_int_equal(setfsgid((gid_t)-1), 0);
}

static void the_guests_umask_is_the_only_one(void **state)
{
    struct client *c = *state;
    struct created f;

    assert_int_equal(create_file(c, c->share[PRIVATE], "f", O_RDWR, 06777, &f), 0);
    assert_int_equal(f.entry.attr.mode, S_IFREG | 06777);
}

static void set_group_id_directories_pass_their_group_on(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out dir, entry;
    struct created f;

    c->gid = 500;
    assert_int_equal(make_dir(c, c->share[PRIVATE], "d", 0755, &dir), 0);
    assert_int_equal(chmod(host(c, PRIVATE, "d"), 02775), 0);
    c->uid = 1000;
    c->gid = 2000;
    assert_int_equal(create_file(c, dir.nodeid, "f", O_RDWR, 0644, &f), 0);
    assert_int_equal(f.entry.attr.uid, 1000);
    assert_int_equal(f.entry.attr.gid, 500);
    assert_int_equal(make_dir(c, dir.nodeid, "sub", 0755, &entry), 0);
    assert_int_equal(entry.attr.gid, 500);
    assert_int_equal(entry.attr.mode, S_IFDIR | 02755);
    /* The guest has stripped the bit already if its user may not set it. */
    assert_int_equal(create_file(c, dir.nodeid, "g", O_RDWR, 02755, &f), 0);
    assert_int_equal(f.entry.attr.mode, S_IFREG | 02755);
}

/* A file with mode @mode, through the server. */
static uint64_t file_with_mode(struct client *c, const char *name, uint32_t mode)
{
    struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = mode };
    struct fuse_attr_out out;
    uint64_t file;

    host_write(host(c, PRIVATE, name), "content");
    file = node(c, c->share[PRIVATE], name);
    assert_int_equal(setattr(c, file, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | mode);
    return file;
}

static uint32_t mode_of(struct client *c, uint64_t file)
{
    struct fuse_attr_out out;

    assert_int_equal(getattr(c, file, &out), 0);
    return out.attr.mode & 07777;
}

static void writing_clears_set_id_bits_as_the_guest_says(void **state)
{
    struct client *c = *state;
    uint64_t file = file_with_mode(c, "f", 06755), fh;
    struct fuse_write_in in = { 0 };

    assert_int_equal(open_file(c, file, O_RDWR, &fh), 0);
    in.fh = fh;
    /* a writer with CAP_FSETID */
    assert_int_equal(write_with(c, file, &in, "x", 1), 1);
    assert_int_equal(mode_of(c, file), 06755);
    in.write_flags = FUSE_WRITE_KILL_SUIDGID;
    assert_int_equal(write_with(c, file, &in, "x", 1), 1);
    assert_int_equal(mode_of(c, file), 0755);
    /* and the next one has it again */
    file = file_with_mode(c, "g", 06755);
    assert_int_equal(open_file(c, file, O_RDWR, &fh), 0);
    in = (struct fuse_write_in) { .fh = fh };
    assert_int_equal(write_with(c, file, &in, "x", 1), 1);
    assert_int_equal(mode_of(c, file), 06755);
}

static void truncating_clears_set_id_bits_as_the_guest_says(void **state)
{
    struct client *c = *state;
    uint64_t file = file_with_mode(c, "f", 04755);
    struct fuse_setattr_in in = { .valid = FATTR_SIZE, .size = 3 };
    struct fuse_open_in open_in = { .flags = O_WRONLY | O_TRUNC };
    struct fuse_open_out open_out;
    struct fuse_attr_out out;
    struct fuse_create_in create_in = { .flags = O_CREAT | O_TRUNC | O_RDWR, .mode = 0644 };
    struct created f;

    assert_int_equal(setattr(c, file, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | 04755);
    in.valid |= FATTR_KILL_SUIDGID;
    in.size = 2;
    assert_int_equal(setattr(c, file, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | 0755);
    file = file_with_mode(c, "g", 04755);
    assert_int_equal(CALL(c, FUSE_OPEN, file, &open_out, sizeof(open_out), BLOB(open_in)),
                     sizeof(open_out));
    assert_int_equal(mode_of(c, file), 04755);
    open_in.open_flags = FUSE_OPEN_KILL_SUIDGID;
    assert_int_equal(CALL(c, FUSE_OPEN, file, &open_out, sizeof(open_out), BLOB(open_in)),
                     sizeof(open_out));
    assert_int_equal(mode_of(c, file), 0755);
    file = file_with_mode(c, "h", 04755);
    create_in.open_flags = FUSE_OPEN_KILL_SUIDGID;
    assert_int_equal(CALL(c, FUSE_CREATE, c->share[PRIVATE], &f, sizeof(f), BLOB(create_in),
                          STRING("h")),
                     sizeof(f));
    assert_int_equal(f.entry.attr.mode, S_IFREG | 0755);
}

static void changing_the_owner_clears_set_id_bits(void **state)
{
    struct client *c = *state;
    uint64_t file = file_with_mode(c, "f", 06755);
    struct fuse_setattr_in in = { .valid = FATTR_UID | FATTR_KILL_SUIDGID, .uid = 5 };
    struct fuse_attr_out out;
    struct fuse_entry_out dir;

    assert_int_equal(setattr(c, file, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | 0755);
    /* set-group-ID without group execution is not a privilege */
    file = file_with_mode(c, "g", 02745);
    in.valid = FATTR_GID | FATTR_KILL_SUIDGID;
    assert_int_equal(setattr(c, file, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | 02745);
    /* a mode in the same request is what holds */
    file = file_with_mode(c, "h", 06755);
    in.valid = FATTR_UID | FATTR_MODE;
    in.mode = 04755;
    assert_int_equal(setattr(c, file, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | 04755);
    /* directories keep theirs */
    assert_int_equal(make_dir(c, c->share[PRIVATE], "d", 0755, &dir), 0);
    assert_int_equal(chmod(host(c, PRIVATE, "d"), 02755), 0);
    in.valid = FATTR_UID;
    assert_int_equal(setattr(c, dir.nodeid, &in, &out), 0);
    assert_int_equal(out.attr.mode, S_IFDIR | 02755);
}

static void allocating_clears_set_id_bits_of_others(void **state)
{
    struct client *c = *state;
    uint64_t file = file_with_mode(c, "f", 04755), fh;
    struct fuse_fallocate_in in = { .length = 100 };

    assert_int_equal(open_file(c, file, O_RDWR, &fh), 0);
    in.fh = fh;
    assert_int_equal(CALL(c, FUSE_FALLOCATE, file, NULL, 0, BLOB(in)), 0);
    assert_int_equal(mode_of(c, file), 04755);
    c->uid = 1000;
    in.length = 200;
    assert_int_equal(CALL(c, FUSE_FALLOCATE, file, NULL, 0, BLOB(in)), 0);
    assert_int_equal(mode_of(c, file), 0755);
}

static void file_capabilities_go_with_the_content_and_the_owner(void **state)
{
    struct client *c = *state;
    struct vfs_cap_data caps = { .magic_etc = VFS_CAP_REVISION_2,
                                 .data[0].permitted = 1u << CAP_NET_RAW };
    uint32_t in[2] = { sizeof(caps), 0 };
    struct fuse_setattr_in setattr_in = { .valid = FATTR_UID | FATTR_KILL_SUIDGID, .uid = 5 };
    struct fuse_attr_out out;
    uint64_t file = file_with_mode(c, "f", 0755), fh;
    char value[64];

    assert_int_equal(CALL(c, FUSE_SETXATTR, file, NULL, 0, BLOB(in), STRING("security.capability"),
                          BLOB(caps)),
                     0);
    assert_int_equal(getxattr(host(c, PRIVATE, "f"), "security.capability", value, sizeof(value)),
                     sizeof(caps));
    assert_int_equal(open_file(c, file, O_RDWR, &fh), 0);
    assert_int_equal(write_file(c, file, fh, 0, "x", 1), 1);
    assert_int_equal(getxattr(host(c, PRIVATE, "f"), "security.capability", value, sizeof(value)),
                     -1);
    assert_int_equal(CALL(c, FUSE_SETXATTR, file, NULL, 0, BLOB(in), STRING("security.capability"),
                          BLOB(caps)),
                     0);
    assert_int_equal(setattr(c, file, &setattr_in, &out), 0);
    assert_int_equal(getxattr(host(c, PRIVATE, "f"), "security.capability", value, sizeof(value)),
                     -1);
}

/* The VMM keeps only these; everything above must work with them, and nothing else is used. */
static void keep_the_servers_capabilities(void)
{
    static const unsigned int kept[] = { CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
                                         CAP_FOWNER, CAP_FSETID,       CAP_SETUID,
                                         CAP_SETGID, CAP_MKNOD,        CAP_SETFCAP };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        data[0].permitted |= 1u << kept[i];
    data[0].effective = data[0].permitted;
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
    assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(created_files_belong_to_the_caller),
        CLIENT_TEST(callers_are_not_checked_again),
        CLIENT_TEST(an_id_the_host_lacks_is_refused),
        CLIENT_TEST(the_guests_umask_is_the_only_one),
        CLIENT_TEST(set_group_id_directories_pass_their_group_on),
        CLIENT_TEST(writing_clears_set_id_bits_as_the_guest_says),
        CLIENT_TEST(truncating_clears_set_id_bits_as_the_guest_says),
        CLIENT_TEST(changing_the_owner_clears_set_id_bits),
        CLIENT_TEST(allocating_clears_set_id_bits_of_others),
        CLIENT_TEST(file_capabilities_go_with_the_content_and_the_owner),
    };
    struct fs_identity identity = { 0 };
    int root = open("/", O_PATH);
    int failed = 0;

    /* As in the VMM: the secure bit is set while there is CAP_SETPCAP, and inherited. */
    if (geteuid() == 0) {
        assert_int_equal(fs_identity_setup(&identity, root, NULL), 0);
        keep_the_servers_capabilities();
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(root);
    return failed;
}
