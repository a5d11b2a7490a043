/* What a guest can use up: descriptors above all. Nothing leaks, and running out is survived. */
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fs_client.h"

static void forget_gives_descriptors_back(void **state)
{
    struct client *c = *state;
    int before = count_fds();
    uint64_t a, b;

    assert_int_equal(mkdir(host(c, PRIVATE, "a"), 0755), 0);
    a = node(c, c->share[PRIVATE], "a");
    b = node(c, c->share[PRIVATE], "a");
    assert_int_equal(a, b);
    assert_int_equal(count_fds(), before + 1);
    forget(c, a, 1);
    assert_int_equal(count_fds(), before + 1);
    /* more than it has */
    forget(c, a, UINT64_MAX);
    assert_int_equal(count_fds(), before);
    /* what always exists cannot be forgotten away */
    forget(c, c->share[PRIVATE], UINT64_MAX);
    forget(c, FUSE_ROOT_ID, UINT64_MAX);
    assert_int_equal(node(c, FUSE_ROOT_ID, "0"), c->share[PRIVATE]);
}

static void batch_forget(void **state)
{
    struct client *c = *state;
    struct {
        struct fuse_in_header header;
        struct fuse_batch_forget_in in;
        struct fuse_forget_one list[10];
    } request = {
        .header = { .len = sizeof(request), .opcode = FUSE_BATCH_FORGET },
        .in = { .count = 10 },
    };
    int before = count_fds();

    for (int i = 0; i < 10; i++) {
        char name[] = { (char)('a' + i), '\0' };

        assert_int_equal(mkdir(host(c, PRIVATE, name), 0755), 0);
        request.list[i].nodeid = node(c, c->share[PRIVATE], name);
        request.list[i].nlookup = 1;
    }
    assert_int_equal(count_fds(), before + 10);
    /* a count larger than the list ends with the list */
    request.in.count = UINT32_MAX;
    assert_int_equal(client_raw(c, &request, sizeof(request), NULL, 0), 0);
    assert_int_equal(count_fds(), before);
}

static void nothing_leaks(void **state)
{
    struct client *c = *state;
    struct fuse_open_in in = { 0 };
    struct fuse_open_out out;
    struct fuse_entry_out entry;
    struct created f;
    int before = count_fds();

    for (int i = 0; i < 50; i++) {
        char name[16];
        uint64_t fh;

        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(create_file(c, c->share[PRIVATE], name, O_RDWR, 0644, &f), 0);
        assert_int_equal(open_file(c, f.entry.nodeid, O_RDONLY, &fh), 0);
        snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(make_dir(c, c->share[PRIVATE], name, 0755, &entry), 0);
        assert_int_equal(make_dir(c, c->share[PRIVATE], name, 0755, &entry), -EEXIST);
        assert_int_equal(create_file(c, c->share[PRIVATE], name, O_RDWR, 0644, &f), -EISDIR);
        assert_true(CALL(c, FUSE_OPENDIR, c->share[PRIVATE], &out, sizeof(out), BLOB(in)) > 0);
        assert_true(CALL(c, FUSE_OPENDIR, FUSE_ROOT_ID, &out, sizeof(out), BLOB(in)) > 0);
    }
    assert_true(count_fds() > before);
    assert_true(c->server->fd_count > 0);
    fs_server_reset(c->server);
    assert_int_equal(count_fds(), before);
    assert_int_equal(c->server->fd_count, 0);
    assert_int_equal(c->server->inodes.count, CLIENT_SHARES);
}

/* As many directories as there are descriptors and more: in a process of its own. */
static void run_out_of_descriptors(struct client *c)
{
    struct rlimit limit = { 200, 200 };
    struct fs_server *server;
    struct fuse_entry_out entry;
    struct fuse_open_in in = { 0 };
    struct fuse_open_out dir;
    struct fuse_read_in read_in = { .size = 4096 };
    struct created f;
    struct error err;
    char name[16], *data = malloc(4096);
    int found = 0, refused = 0, r;
    uint64_t fh;

    c->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fs_server_create(&server, c->shares, CLIENT_SHARES, c->proc_fd, &err), 0);
    c->server = server;
    assert_int_equal(fs_server_thread_setup(server, &err), 0);
    assert_true(client_init_as(c, 38, CLIENT_FLAGS) > 0);
    c->share[PRIVATE] = node(c, FUSE_ROOT_ID, "0");
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        mkdir(host(c, PRIVATE, name), 0755);
        r = lookup(c, c->share[PRIVATE], name, &entry);
        found += r == 0;
        refused += r == -ENFILE;
        if (i == 0)
            assert_int_equal(r, 0);
    }
    /* three quarters of the limit */
    assert_int_equal(found, 150);
    assert_int_equal(refused, 150);
    assert_int_equal(create_file(c, c->share[PRIVATE], "new", O_RDWR, 0644, &f), -ENFILE);
    assert_int_equal(access(host(c, PRIVATE, "new"), F_OK), -1);
    assert_int_equal(make_dir(c, c->share[PRIVATE], "new", 0755, &entry), -ENFILE);
    assert_int_equal(access(host(c, PRIVATE, "new"), F_OK), -1);
    assert_int_equal(open_file(c, c->share[PRIVATE], O_RDONLY, &fh), -EISDIR);
    assert_int_equal(CALL(c, FUSE_OPENDIR, c->share[PRIVATE], &dir, sizeof(dir), BLOB(in)),
                     -ENFILE);
    assert_int_equal(CALL(c, FUSE_OPENDIR, FUSE_ROOT_ID, &dir, sizeof(dir), BLOB(in)), -ENFILE);
    /* the process has some left for other things, and what is known goes on working */
    r = open("/", O_PATH);
    assert_true(r >= 0);
    close(r);
    assert_int_equal(lookup(c, c->share[PRIVATE], "d5", &entry), 0);
    forget(c, entry.nodeid, 2);
    /* one free again: a directory can be listed, without attributes of what is not known */
    assert_true(CALL(c, FUSE_OPENDIR, c->share[PRIVATE], &dir, sizeof(dir), BLOB(in)) > 0);
    read_in.fh = dir.fh;
    for (found = 0;
         (r = CALL(c, FUSE_READDIRPLUS, c->share[PRIVATE], data, 4096, BLOB(read_in))) > 0;) {
        for (int used = 0; used < r; found++) {
            struct fuse_direntplus head;

            memcpy(&head, data + used, FUSE_NAME_OFFSET_DIRENTPLUS);
            read_in.offset = head.dirent.off;
            used += (int)FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + head.dirent.namelen);
        }
    }
    assert_int_equal(r, 0);
    assert_int_equal(found, 302);
    free(data);
    fs_server_destroy(server);
}

static void running_out_of_descriptors_is_survived(void **state)
{
    struct client *c = *state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        run_out_of_descriptors(c);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void table_gives_out_fresh_ids(void **state)
{
    struct fs_table table;
    uint64_t ids[1000], again;
    int objects[1000];

    (void)state;
    fs_table_init(&table);
    assert_null(fs_table_get(&table, 0));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(fs_table_add(&table, &objects[i], &ids[i]), 0);
        assert_true(ids[i] > 1);
    }
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(fs_table_get(&table, ids[i]), &objects[i]);
    fs_table_remove(&table, ids[500]);
    fs_table_remove(&table, ids[500]);
    assert_null(fs_table_get(&table, ids[500]));
    assert_int_equal(fs_table_add(&table, &objects[0], &again), 0);
    assert_int_not_equal(again, ids[500]);
    assert_null(fs_table_get(&table, ids[500]));
    assert_ptr_equal(fs_table_get(&table, again), &objects[0]);
    assert_null(fs_table_get(&table, UINT64_MAX));
    fs_table_destroy(&table);
}

/* Looks up @count further directories. Return: how often the eventfd was written. */
static unsigned int told_for(struct client *c, int fd, unsigned int *next, unsigned int count)
{
    eventfd_t times = 0;
    char name[12];

    for (unsigned int end = *next + count; *next < end; (*next)++) {
        snprintf(name, sizeof(name), "%u", *next);
        assert_int_equal(mkdir(host(c, PRIVATE, name), 0755), 0);
        node(c, c->share[PRIVATE], name);
    }
    return eventfd_read(fd, &times) == 0 ? (unsigned int)times : 0;
}

static void many_files_are_told_at_the_limit_and_at_each_eighth(void **state)
{
    struct client *c = *state;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    unsigned int next = 0;
    uint64_t first;

    assert_true(fd >= 0);
    fs_server_watch_files(c->server, 32, fd);
    assert_int_equal(told_for(c, fd, &next, 31), 0);
    assert_int_equal(told_for(c, fd, &next, 1), 1);
    assert_int_equal(told_for(c, fd, &next, 4), 0);
    assert_int_equal(told_for(c, fd, &next, 1), 1);
    assert_int_equal(told_for(c, fd, &next, 10), 2);
    /* What was given back has to come again before there are many. */
    fs_server_reset(c->server);
    assert_true(client_init_as(c, 38, CLIENT_FLAGS) > 0);
    c->share[PRIVATE] = first = node(c, FUSE_ROOT_ID, "0");
    assert_true(first);
    assert_int_equal(told_for(c, fd, &next, 31), 0);
    assert_int_equal(told_for(c, fd, &next, 1), 1);
    /* A limit beyond what may be opened: half of that. */
    fs_server_watch_files(c->server, UINT32_MAX, fd);
    assert_int_equal(told_for(c, fd, &next, 40), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(forget_gives_descriptors_back),
        CLIENT_TEST(batch_forget),
        CLIENT_TEST(nothing_leaks),
        CLIENT_TEST(many_files_are_told_at_the_limit_and_at_each_eighth),
        CLIENT_TEST(running_out_of_descriptors_is_survived),
        cmocka_unit_test(table_gives_out_fresh_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
