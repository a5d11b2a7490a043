/* The file server's front: INIT, hostile requests, node ids and handles, the root. */
#include "fs_client.h"

static void init_agrees_on_what_both_know(void **state)
{
    struct client *c = *state;

    assert_int_equal(c->init.major, 7);
    assert_int_equal(c->init.minor, 38);
    assert_int_equal(c->init.max_write, 1 << 20);
    assert_int_equal(c->init.max_pages, 256);
    assert_true(c->init.flags & FUSE_SUBMOUNTS);
    assert_true(c->init.flags & FUSE_HANDLE_KILLPRIV_V2);
    assert_true(c->init.flags & FUSE_AUTO_INVAL_DATA);
    assert_false(c->init.flags & (FUSE_POSIX_LOCKS | FUSE_WRITEBACK_CACHE | FUSE_POSIX_ACL |
                                  FUSE_EXPORT_SUPPORT | FUSE_SETXATTR_EXT));
    assert_true(client_init_as(c, 41, FUSE_SUBMOUNTS) > 0);
    assert_int_equal(c->init.minor, 38);
    assert_int_equal(c->init.flags, FUSE_SUBMOUNTS | FUSE_INIT_EXT);
    assert_true(client_init_as(c, 31, 0) > 0);
    assert_int_equal(c->init.minor, 31);
    assert_int_equal(client_init_as(c, 30, 0), -EPROTO);
}

static void init_of_old_clients_is_sixteen_bytes(void **state)
{
    struct client *c = *state;
    uint32_t in[4] = { 7, 31, 131072, FUSE_MAX_PAGES };

    assert_true(CALL(c, FUSE_INIT, 0, &c->init, sizeof(c->init), BLOB(in)) > 0);
    assert_int_equal(c->init.flags, FUSE_MAX_PAGES);
}

static void newer_major_version_is_told_ours(void **state)
{
    struct client *c = *state;
    uint32_t in[4] = { 8, 0, 131072, 0 };

    fs_server_reset(c->server);
    assert_true(CALL(c, FUSE_INIT, 0, &c->init, sizeof(c->init), BLOB(in)) > 0);
    assert_int_equal(c->init.major, 7);
    in[0] = 6;
    assert_int_equal(CALL(c, FUSE_INIT, 0, &c->init, sizeof(c->init), BLOB(in)), -EPROTO);
    assert_int_equal(CALL(c, FUSE_STATFS, 1, &c->init, sizeof(c->init), { NULL, 0 }), -EIO);
}

static void nothing_works_before_init_or_after_destroy(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;

    assert_int_equal(CALL(c, FUSE_DESTROY, 0, NULL, 0, { NULL, 0 }), 0);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "0", &entry), -EIO);
    assert_true(client_init_as(c, 38, CLIENT_FLAGS) > 0);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "0", &entry), 0);
}

static void unknown_opcodes_are_enosys(void **state)
{
    struct client *c = *state;
    static const uint32_t unknown[] = { 0,          7,         19,        FUSE_GETLK,
                                        FUSE_SETLK, FUSE_POLL, FUSE_BMAP, FUSE_SETUPMAPPING,
                                        52,         1000,      CUSE_INIT, UINT32_MAX };

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(CALL(c, unknown[i], 1, NULL, 0, { NULL, 0 }), -ENOSYS);
    assert_int_equal(CALL(c, FUSE_IOCTL, 1, NULL, 0, { NULL, 0 }), -ENOTTY);
}

static void interrupt_gets_no_answer(void **state)
{
    struct client *c = *state;
    struct {
        struct fuse_in_header header;
        struct fuse_interrupt_in in;
    } request = { .header = { .len = sizeof(request), .opcode = FUSE_INTERRUPT } };
    char answer[64];

    assert_int_equal(client_raw(c, &request, sizeof(request), answer, sizeof(answer)), 0);
}

/* Every opcode, cut off at every length: an error, never a read past the end. */
static void truncated_requests_are_refused(void **state)
{
    struct client *c = *state;
    char request[256] = { 0 };
    char answer[4096];
    struct fuse_out_header out;

    for (uint32_t opcode = 1; opcode < 60; opcode++) {
        for (size_t length = 0; length <= sizeof(request); length++) {
            struct fuse_in_header header = { .len = (uint32_t)length,
                                             .opcode = opcode,
                                             .nodeid = c->share[PRIVATE] };
            size_t n;

            if (opcode == FUSE_INIT || opcode == FUSE_DESTROY)
                continue;
            memcpy(request, &header, sizeof(header));
            n = client_raw(c, request, length, answer, sizeof(answer));
            if (length < sizeof(header))
                assert_int_equal(n, 0);
            else if (n)
                assert_true(n >= sizeof(out));
        }
    }
}

static void length_in_the_header_must_be_true(void **state)
{
    struct client *c = *state;
    struct fuse_in_header header = { .opcode = FUSE_STATFS, .nodeid = 1 };
    char answer[256];
    struct fuse_out_header out;
    static const uint32_t lengths[] = { 0, 39, 41, UINT32_MAX };

    for (size_t i = 0; i < 4; i++) {
        header.len = lengths[i];
        assert_int_equal(client_raw(c, &header, sizeof(header), answer, sizeof(answer)),
                         sizeof(out));
        memcpy(&out, answer, sizeof(out));
        assert_int_equal(out.error, -EINVAL);
    }
}

static void answers_fit_their_buffer(void **state)
{
    struct client *c = *state;
    int fds = count_fds();
    char request[sizeof(struct fuse_in_header) + 2] = { 0 };
    struct fuse_in_header header = { .len = sizeof(request), .opcode = FUSE_LOOKUP };

    mkdir(host(c, PRIVATE, "d"), 0755);
    header.nodeid = c->share[PRIVATE];
    memcpy(request, &header, sizeof(header));
    request[sizeof(header)] = 'd';
    for (size_t room = 0; room < sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out);
         room++) {
        char *answer = malloc(room ? room : 1);
        size_t n = client_raw(c, request, sizeof(request), answer, room);

        /* An entry that the guest cannot be told of must not be counted either. */
        assert_int_equal(n, room < sizeof(struct fuse_out_header) ? 0
                                                                  : sizeof(struct fuse_out_header));
        free(answer);
    }
    assert_int_equal(count_fds(), fds);
}

static void requests_in_tiny_pieces_work(void **state)
{
    struct client *c = *state;
    struct created f;
    char data[200];

    c->piece = 1;
    assert_int_equal(create_file(c, c->share[PRIVATE], "pieces", O_RDWR, 0600, &f), 0);
    memset(data, 'x', sizeof(data));
    assert_int_equal(write_file(c, f.entry.nodeid, f.open.fh, 0, data, sizeof(data)), sizeof(data));
    memset(data, 0, sizeof(data));
    assert_int_equal(read_file(c, f.entry.nodeid, f.open.fh, 0, data, sizeof(data)), sizeof(data));
    assert_int_equal(data[0], 'x');
    assert_int_equal(data[199], 'x');
}

static void unknown_node_ids_are_enoent(void **state)
{
    struct client *c = *state;
    struct fuse_attr_out attr;
    struct fuse_entry_out entry;
    static const uint64_t ids[] = { 0, 100, 1000000, UINT64_MAX, 1ull << 32, (1ull << 32) + 2 };

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        assert_int_equal(getattr(c, ids[i], &attr), -ENOENT);
        assert_int_equal(lookup(c, ids[i], "x", &entry), -ENOENT);
        forget(c, ids[i], 5);
    }
}

static void forgotten_node_ids_are_never_reused(void **state)
{
    struct client *c = *state;
    struct fuse_attr_out attr;
    uint64_t first, second;

    mkdir(host(c, PRIVATE, "a"), 0755);
    mkdir(host(c, PRIVATE, "b"), 0755);
    first = node(c, c->share[PRIVATE], "a");
    forget(c, first, 1);
    assert_int_equal(getattr(c, first, &attr), -ENOENT);
    second = node(c, c->share[PRIVATE], "b");
    assert_int_not_equal(first, second);
    assert_int_equal(getattr(c, first, &attr), -ENOENT);
}

static void handles_are_checked(void **state)
{
    struct client *c = *state;
    struct created f, g;
    struct fuse_open_in in = { 0 };
    struct fuse_open_out dir;
    char data[8];

    assert_int_equal(create_file(c, c->share[PRIVATE], "f", O_RDWR, 0600, &f), 0);
    assert_int_equal(create_file(c, c->share[PRIVATE], "g", O_RDONLY, 0600, &g), 0);
    assert_true(CALL(c, FUSE_OPENDIR, c->share[PRIVATE], &dir, sizeof(dir), BLOB(in)) > 0);
    assert_int_equal(read_file(c, f.entry.nodeid, 12345, 0, data, 8), -EBADF);
    assert_int_equal(read_file(c, f.entry.nodeid, 0, 0, data, 8), -EBADF);
    /* another inode's handle, a directory's handle, a file's handle as a directory's */
    assert_int_equal(read_file(c, f.entry.nodeid, g.open.fh, 0, data, 8), -EBADF);
    assert_int_equal(read_file(c, c->share[PRIVATE], dir.fh, 0, data, 8), -EBADF);
    assert_int_equal(release(c, FUSE_RELEASE, c->share[PRIVATE], dir.fh), -EBADF);
    assert_int_equal(release(c, FUSE_RELEASEDIR, f.entry.nodeid, f.open.fh), -EBADF);
    /* reading only */
    assert_int_equal(write_file(c, g.entry.nodeid, g.open.fh, 0, "x", 1), -EBADF);
    /* after release */
    assert_int_equal(release(c, FUSE_RELEASE, f.entry.nodeid, f.open.fh), 0);
    assert_int_equal(read_file(c, f.entry.nodeid, f.open.fh, 0, data, 8), -EBADF);
    assert_int_equal(release(c, FUSE_RELEASE, f.entry.nodeid, f.open.fh), -EBADF);
}

static void root_lists_the_shares(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    struct fuse_attr_out attr;
    struct created f;

    assert_int_equal(getattr(c, FUSE_ROOT_ID, &attr), 0);
    assert_int_equal(attr.attr.mode, S_IFDIR | 0555);
    assert_int_equal(attr.attr.ino, 1);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "0", &entry), 0);
    assert_true(S_ISDIR(entry.attr.mode));
    assert_int_equal(entry.attr.flags, FUSE_ATTR_SUBMOUNT);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "3", &entry), 0);
    assert_true(S_ISREG(entry.attr.mode));
    assert_int_equal(entry.attr.flags, 0);
    /* names that are no share: the guest may remember that */
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "4", &entry), 0);
    assert_int_equal(entry.nodeid, 0);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "00", &entry), 0);
    assert_int_equal(entry.nodeid, 0);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "4294967296", &entry), 0);
    assert_int_equal(entry.nodeid, 0);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "..", &entry), -EINVAL);
    assert_int_equal(make_dir(c, FUSE_ROOT_ID, "x", 0755, &entry), -EROFS);
    assert_int_equal(create_file(c, FUSE_ROOT_ID, "x", O_RDWR, 0644, &f), -EROFS);
    assert_int_equal(remove_name(c, FUSE_RMDIR, FUSE_ROOT_ID, "0"), -EROFS);
    assert_int_equal(rename_name(c, c->share[0], "x", FUSE_ROOT_ID, "y", 0), -EXDEV);
}

static void submounts_are_marked_only_when_agreed(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;

    assert_true(client_init_as(c, 38, 0) > 0);
    assert_int_equal(lookup(c, FUSE_ROOT_ID, "0", &entry), 0);
    assert_int_equal(entry.attr.flags, 0);
}

static void single_file_share_is_a_file(void **state)
{
    struct client *c = *state;
    struct fuse_entry_out entry;
    uint64_t fh;
    char data[32] = { 0 };

    assert_int_equal(lookup(c, c->share[SINGLE], "x", &entry), -ENOTDIR);
    assert_int_equal(open_file(c, c->share[SINGLE], O_RDWR, &fh), 0);
    assert_int_equal(read_file(c, c->share[SINGLE], fh, 0, data, sizeof(data)), 12);
    assert_string_equal(data, "single file\n");
    assert_int_equal(write_file(c, c->share[SINGLE], fh, 0, "S", 1), 1);
    assert_int_equal(release(c, FUSE_RELEASE, c->share[SINGLE], fh), 0);
}

static void statfs_is_the_hosts(void **state)
{
    struct client *c = *state;
    struct fuse_statfs_out out;

    assert_int_equal(CALL(c, FUSE_STATFS, c->share[0], &out, sizeof(out), { NULL, 0 }),
                     sizeof(out));
    assert_true(out.st.blocks > 0);
    assert_int_equal(CALL(c, FUSE_STATFS, 1, &out, sizeof(out), { NULL, 0 }), sizeof(out));
    assert_int_equal(out.st.namelen, 255);
}

static void proc_fd_must_be_our_own(void **state)
{
    struct client *c = *state;
    struct fs_server *server;
    struct error err;
    int other = open("/proc/1/fd", O_PATH | O_DIRECTORY);

    assert_int_equal(fs_server_create(&server, c->shares, 1, other, &err), -EINVAL);
    close(other);
    assert_int_equal(fs_server_create(&server, c->shares, 1, c->shares[0].fd, &err), -EINVAL);
    assert_int_equal(fs_server_create(&server, c->shares, 1, -1, &err), -EINVAL);
}

static void shares_must_be_directories_or_files(void **state)
{
    struct client *c = *state;
    struct fs_share share = { 0 };
    struct fs_server *server;
    struct error err;

    share.fd = open("/dev/null", O_PATH);
    assert_int_equal(fs_server_create(&server, &share, 1, c->proc_fd, &err), -EINVAL);
    assert_string_equal(err.message, "share 0 is neither a directory nor a regular file");
    close(share.fd);
    assert_int_equal(fs_server_create(&server, &share, 1, c->proc_fd, &err), -EBADF);
    assert_int_equal(fs_server_create(&server, NULL, 0, c->proc_fd, &err), 0);
    fs_server_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(init_agrees_on_what_both_know),
        CLIENT_TEST(init_of_old_clients_is_sixteen_bytes),
        CLIENT_TEST(newer_major_version_is_told_ours),
        CLIENT_TEST(nothing_works_before_init_or_after_destroy),
        CLIENT_TEST(unknown_opcodes_are_enosys),
        CLIENT_TEST(interrupt_gets_no_answer),
        CLIENT_TEST(truncated_requests_are_refused),
        CLIENT_TEST(length_in_the_header_must_be_true),
        CLIENT_TEST(answers_fit_their_buffer),
        CLIENT_TEST(requests_in_tiny_pieces_work),
        CLIENT_TEST(unknown_node_ids_are_enoent),
        CLIENT_TEST(forgotten_node_ids_are_never_reused),
        CLIENT_TEST(handles_are_checked),
        CLIENT_TEST(root_lists_the_shares),
        CLIENT_TEST(submounts_are_marked_only_when_agreed),
        CLIENT_TEST(single_file_share_is_a_file),
        CLIENT_TEST(statfs_is_the_hosts),
        CLIENT_TEST(proc_fd_must_be_our_own),
        CLIENT_TEST(shares_must_be_directories_or_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
