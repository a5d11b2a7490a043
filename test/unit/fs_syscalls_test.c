/* Every opcode, in a thread under the file server's real filter: one call too few kills. */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <seccomp.h>
#include <sys/wait.h>

#include "fs_client.h"
#include "vmm/sandbox_rules.h"

#define ALLOW(call) seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(call), 0);
#define ALLOW_IF(call, argument, mask, value)                   \
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(call), 1, \
                     SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value));

static void enter_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    assert_non_null(filter);
    FILE_SERVER_SYSCALLS(ALLOW, ALLOW_IF)
    assert_int_equal(seccomp_load(filter), 0);
}

static void use_names(struct client *c, uint64_t dir)
{
    struct fuse_entry_out d, entry;
    struct fuse_rename_in rename_in = { .newdir = dir };
    char target[64];

    assert_int_equal(make_dir(c, dir, "d", 0755, &d), 0);
    assert_int_equal(make_symlink(c, dir, "l", "d", &entry), 0);
    assert_true(CALL(c, FUSE_READLINK, entry.nodeid, target, sizeof(target), { NULL, 0 }) > 0);
    assert_int_equal(make_node(c, dir, "n", S_IFREG | 0644, 0, &entry), 0);
    assert_int_equal(make_node(c, dir, "p", S_IFIFO | 0644, 0, &entry), 0);
    assert_int_equal(link_name(c, entry.nodeid, dir, "p2", &entry), 0);
    assert_int_equal(rename_name(c, dir, "p2", dir, "p3", RENAME_NOREPLACE), 0);
    assert_int_equal(CALL(c, FUSE_RENAME, dir, NULL, 0, BLOB(rename_in), STRING("p3"),
                          STRING("p4")),
                     0);
    assert_int_equal(remove_name(c, FUSE_UNLINK, dir, "p4"), 0);
    assert_int_equal(remove_name(c, FUSE_RMDIR, dir, "d"), 0);
    forget(c, d.nodeid, 1);
}

static void use_files(struct client *c, uint64_t dir)
{
    struct fuse_setattr_in set = { .valid = FATTR_MODE | FATTR_UID | FATTR_SIZE | FATTR_MTIME,
                                   .mode = 0600,
                                   .size = 100 };
    struct fuse_fallocate_in allocate = { .length = 8192 };
    struct fuse_lseek_in seek = { .whence = SEEK_HOLE };
    struct fuse_lseek_out position;
    struct fuse_copy_file_range_in copy = { .len = 50, .off_out = 200 };
    struct fuse_create_in tmpfile = { .flags = O_RDWR, .mode = S_IFREG | 0600 };
    struct fuse_fsync_in sync = { 0 };
    struct fuse_flush_in flush = { 0 };
    struct fuse_write_in in = { .write_flags = FUSE_WRITE_KILL_SUIDGID };
    struct fuse_write_out written;
    struct fuse_attr_out attr;
    struct created f, g;
    uint64_t fh;
    char data[64];

    assert_int_equal(create_file(c, dir, "f", O_RDWR, 0644, &f), 0);
    assert_int_equal(create_file(c, dir, "f", O_RDWR | O_TRUNC, 0644, &g), 0);
    in.fh = allocate.fh = seek.fh = copy.fh_in = sync.fh = flush.fh = f.open.fh;
    copy.fh_out = g.open.fh;
    copy.nodeid_out = g.entry.nodeid;
    assert_int_equal(open_file(c, f.entry.nodeid, O_RDONLY, &fh), 0);
    assert_int_equal(write_with(c, f.entry.nodeid, &in, "data", 4), 4);
    assert_int_equal(write_file(c, f.entry.nodeid, f.open.fh, 0, "data", 4), 4);
    assert_int_equal(read_file(c, f.entry.nodeid, fh, 0, data, sizeof(data)), 4);
    assert_int_equal(setattr(c, f.entry.nodeid, &set, &attr), 0);
    set = (struct fuse_setattr_in) { .valid = FATTR_SIZE | FATTR_FH, .fh = f.open.fh, .size = 80 };
    assert_int_equal(setattr(c, f.entry.nodeid, &set, &attr), 0);
    assert_int_equal(getattr(c, f.entry.nodeid, &attr), 0);
    assert_int_equal(CALL(c, FUSE_FALLOCATE, f.entry.nodeid, NULL, 0, BLOB(allocate)), 0);
    assert_true(CALL(c, FUSE_LSEEK, f.entry.nodeid, &position, sizeof(position), BLOB(seek)) > 0);
    assert_true(
        CALL(c, FUSE_COPY_FILE_RANGE, f.entry.nodeid, &written, sizeof(written), BLOB(copy)) > 0);
    assert_int_equal(CALL(c, FUSE_FSYNC, f.entry.nodeid, NULL, 0, BLOB(sync)), 0);
    sync.fsync_flags = FUSE_FSYNC_FDATASYNC;
    assert_int_equal(CALL(c, FUSE_FSYNC, f.entry.nodeid, NULL, 0, BLOB(sync)), 0);
    assert_int_equal(CALL(c, FUSE_FLUSH, f.entry.nodeid, NULL, 0, BLOB(flush)), 0);
    assert_int_equal(release(c, FUSE_RELEASE, f.entry.nodeid, fh), 0);
    assert_true(CALL(c, FUSE_TMPFILE, dir, &g, sizeof(g), BLOB(tmpfile), STRING("/")) > 0);
}

static void use_directories(struct client *c, uint64_t dir)
{
    struct fuse_open_in open_in = { 0 };
    struct fuse_open_out open_out;
    struct fuse_read_in in = { .size = 4096 };
    struct fuse_fsync_in sync = { 0 };
    struct fuse_syncfs_in syncfs_in = { 0 };
    struct fuse_access_in access_in = { .mask = R_OK };
    struct fuse_statfs_out statfs_out;
    struct fuse_getxattr_in get = { .size = 100 };
    uint32_t set[2] = { 1, 0 };
    char data[4096];

    assert_true(CALL(c, FUSE_OPENDIR, dir, &open_out, sizeof(open_out), BLOB(open_in)) > 0);
    in.fh = sync.fh = open_out.fh;
    assert_true(CALL(c, FUSE_READDIR, dir, data, sizeof(data), BLOB(in)) > 0);
    assert_true(CALL(c, FUSE_READDIRPLUS, dir, data, sizeof(data), BLOB(in)) > 0);
    assert_int_equal(CALL(c, FUSE_FSYNCDIR, dir, NULL, 0, BLOB(sync)), 0);
    assert_int_equal(release(c, FUSE_RELEASEDIR, dir, open_out.fh), 0);
    assert_int_equal(CALL(c, FUSE_SYNCFS, dir, NULL, 0, BLOB(syncfs_in)), 0);
    assert_int_equal(CALL(c, FUSE_ACCESS, dir, NULL, 0, BLOB(access_in)), 0);
    assert_true(CALL(c, FUSE_STATFS, dir, &statfs_out, sizeof(statfs_out), { NULL, 0 }) > 0);
    assert_int_equal(CALL(c, FUSE_SETXATTR, dir, NULL, 0, BLOB(set), STRING("user.a"), { "v", 1 }),
                     0);
    assert_int_equal(CALL(c, FUSE_GETXATTR, dir, data, sizeof(data), BLOB(get), STRING("user.a")),
                     1);
    assert_int_equal(CALL(c, FUSE_LISTXATTR, dir, data, sizeof(data), BLOB(get)), 7);
    assert_int_equal(CALL(c, FUSE_REMOVEXATTR, dir, NULL, 0, STRING("user.a")), 0);
}

static void *serve(void *context)
{
    struct client *c = context;
    struct fuse_entry_out entry;
    struct error err;
    char name[32];

    assert_int_equal(fs_server_thread_setup(c->server, &err), 0);
    enter_filter();
    assert_true(client_init_as(c, 38, CLIENT_FLAGS) > 0);
    for (unsigned int share = PRIVATE; share <= SHARED; share++) {
        const char number[] = { (char)('0' + share), '\0' };

        c->share[share] = node(c, FUSE_ROOT_ID, number);
    }
    for (unsigned int share = PRIVATE; share <= SHARED; share++) {
        for (c->uid = 0; c->uid <= 1000; c->uid += 1000) {
            use_names(c, c->share[share]);
            use_files(c, c->share[share]);
            use_directories(c, c->share[share]);
            assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[share], "l"), 0);
            assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[share], "n"), 0);
            assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[share], "p"), 0);
            assert_int_equal(remove_name(c, FUSE_UNLINK, c->share[share], "f"), 0);
        }
    }
    c->uid = 0;
    /* tables that grow */
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof(name), "many%d", i);
        assert_int_equal(make_dir(c, c->share[PRIVATE], name, 0755, &entry), 0);
    }
    fs_server_reset(c->server);
    _exit(42);
}

static void every_opcode_under_the_filter(void **state)
{
    struct client *c = *state;
    pthread_t thread;
    int status;
    pid_t pid;

#ifdef __SANITIZE_ADDRESS__
    print_message("skipped: the sanitizer makes calls of its own\n");
    skip();
#endif
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(c->proc_fd);
        c->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
        fs_server_destroy(c->server);
        assert_int_equal(fs_server_create(&c->server, c->shares, CLIENT_SHARES, c->proc_fd, NULL),
                         0);
        pthread_create(&thread, NULL, serve, c);
        pthread_join(thread, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLIENT_TEST(every_opcode_under_the_filter) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
