/*
 * A miniature FUSE client: builds requests as the guest's kernel does and hands them to the file
 * server from plain buffers of exactly the right size, so that a sanitizer sees every byte too
 * many.
 */
#ifndef VMRT_TEST_UNIT_FS_CLIENT_H
#define VMRT_TEST_UNIT_FS_CLIENT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/virtio/fs/request.h"
#include "vmm/virtio/fs/server.h"

#define CLIENT_SHARES 4

/* Shares of every client: "0" private, "1" shared, "2" the directory of "1" read-only, "3" a file.
 */
enum { PRIVATE, SHARED, READONLY, SINGLE };

struct client {
    struct fs_server *server;
    char path[64];                     /* of the temporary directory */
    char directory[CLIENT_SHARES][96]; /* host paths of the shares */
    struct fs_share shares[CLIENT_SHARES];
    uint64_t share[CLIENT_SHARES]; /* their node ids */
    int proc_fd;
    uint32_t uid, gid; /* who asks */
    uint64_t unique;
    size_t piece; /* nonzero: cut buffers into pieces of so many bytes */
    struct fuse_init_out init;
};

static inline int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Cuts @length bytes at @data into parts: the first of @first bytes, as a guest lays them out. */
static inline unsigned int cut(const struct client *c, void *data, size_t length, size_t first,
                               struct iovec *parts)
{
    unsigned int count = 0;
    size_t done = 0;

    while (done < length) {
        size_t size = c->piece ? c->piece : count ? length - done : first;

        if (size > length - done)
            size = length - done;
        parts[count++] = (struct iovec) { (char *)data + done, size };
        done += size;
    }
    return count;
}

/*
 * One request whose header is as given. @room: bytes for the answer, with its header.
 * Return: what fs_server_handle() returned; the answer is at @answer.
 */
__attribute__((noinline, unused)) static size_t client_raw(struct client *c, const void *request,
                                                           size_t length, void *answer, size_t room)
{
    static struct iovec out[1024], in[1024];
    void *copy = malloc(length ? length : 1);
    unsigned int out_count, in_count;
    size_t n;

    memcpy(copy, request, length);
    out_count = cut(c, copy, length, sizeof(struct fuse_in_header), out);
    in_count = cut(c, answer, room, sizeof(struct fuse_out_header), in);
    n = fs_server_handle(c->server, out, out_count, in, in_count);
    free(copy);
    return n;
}

struct blob {
    const void *data;
    size_t size;
};

/*
 * One request of up to three blobs behind the header.
 * Return: bytes of the answer behind its header, or its negative error.
 */
__attribute__((noinline, unused)) static int client_call(struct client *c, uint32_t opcode,
                                                         uint64_t nodeid, const struct blob *blobs,
                                                         unsigned int count, void *reply,
                                                         size_t room)
{
    struct fuse_in_header header = {
        .len = sizeof(header),
        .opcode = opcode,
        .unique = ++c->unique,
        .nodeid = nodeid,
        .uid = c->uid,
        .gid = c->gid,
        .pid = 1,
    };
    char *request, *answer;
    struct fuse_out_header out;
    size_t used = sizeof(header);
    size_t n;

    for (unsigned int i = 0; i < count; i++)
        header.len += (uint32_t)blobs[i].size;
    request = malloc(header.len);
    memcpy(request, &header, sizeof(header));
    for (unsigned int i = 0; i < count; i++) {
        if (blobs[i].size)
            memcpy(request + used, blobs[i].data, blobs[i].size);
        used += blobs[i].size;
    }
    answer = malloc(sizeof(out) + room);
    n = client_raw(c, request, header.len, answer, sizeof(out) + room);
    free(request);
    assert_true(n >= sizeof(out) && n <= sizeof(out) + room);
    memcpy(&out, answer, sizeof(out));
    assert_int_equal(out.len, n);
    assert_int_equal(out.unique, c->unique);
    assert_true(out.error <= 0 && (out.error == 0 || n == sizeof(out)));
    if (reply && n > sizeof(out))
        memcpy(reply, answer + sizeof(out), n - sizeof(out));
    free(answer);
    return out.error ? out.error : (int)(n - sizeof(out));
}

#define BLOB(x)         \
    {                   \
        &(x), sizeof(x) \
    }
#define STRING(s)        \
    {                    \
        s, strlen(s) + 1 \
    }
#define CALL(c, opcode, nodeid, reply, room, ...)                   \
    client_call(c, opcode, nodeid, (struct blob[]) { __VA_ARGS__ }, \
                sizeof((struct blob[]) { __VA_ARGS__ }) / sizeof(struct blob), reply, room)

static inline int client_init_as(struct client *c, uint32_t minor, uint64_t flags)
{
    struct fuse_init_in in = {
        .major = 7,
        .minor = minor,
        .max_readahead = 131072,
        .flags = (uint32_t)flags | FUSE_INIT_EXT,
        .flags2 = (uint32_t)(flags >> 32),
    };

    return CALL(c, FUSE_INIT, 0, &c->init, sizeof(c->init), BLOB(in));
}

static inline int lookup(struct client *c, uint64_t parent, const char *name,
                         struct fuse_entry_out *entry)
{
    int r = CALL(c, FUSE_LOOKUP, parent, entry, sizeof(*entry), STRING(name));

    return r < 0 ? r : 0;
}

/* The node id of @name, which must exist. */
static inline uint64_t node(struct client *c, uint64_t parent, const char *name)
{
    struct fuse_entry_out entry;

    assert_int_equal(lookup(c, parent, name, &entry), 0);
    assert_int_not_equal(entry.nodeid, 0);
    return entry.nodeid;
}

static inline int setattr(struct client *c, uint64_t nodeid, struct fuse_setattr_in *in,
                          struct fuse_attr_out *out)
{
    int r = CALL(c, FUSE_SETATTR, nodeid, out, sizeof(*out), { in, sizeof(*in) });

    return r < 0 ? r : 0;
}

static inline int getattr(struct client *c, uint64_t nodeid, struct fuse_attr_out *out)
{
    struct fuse_getattr_in in = { 0 };
    int r = CALL(c, FUSE_GETATTR, nodeid, out, sizeof(*out), BLOB(in));

    return r < 0 ? r : 0;
}

static inline int open_file(struct client *c, uint64_t nodeid, uint32_t flags, uint64_t *fh)
{
    struct fuse_open_in in = { .flags = flags };
    struct fuse_open_out out;
    int r = CALL(c, FUSE_OPEN, nodeid, &out, sizeof(out), BLOB(in));

    *fh = 0;
    if (r < 0)
        return r;
    *fh = out.fh;
    return 0;
}

struct created {
    struct fuse_entry_out entry;
    struct fuse_open_out open;
};

static inline int create_file(struct client *c, uint64_t parent, const char *name, uint32_t flags,
                              uint32_t mode, struct created *out)
{
    struct fuse_create_in in = { .flags = flags | O_CREAT, .mode = S_IFREG | mode };
    int r = CALL(c, FUSE_CREATE, parent, out, sizeof(*out), BLOB(in), STRING(name));

    return r < 0 ? r : 0;
}

static inline int make_dir(struct client *c, uint64_t parent, const char *name, uint32_t mode,
                           struct fuse_entry_out *entry)
{
    struct fuse_mkdir_in in = { .mode = mode };
    int r = CALL(c, FUSE_MKDIR, parent, entry, sizeof(*entry), BLOB(in), STRING(name));

    return r < 0 ? r : 0;
}

static inline int make_symlink(struct client *c, uint64_t parent, const char *name,
                               const char *target, struct fuse_entry_out *entry)
{
    int r = CALL(c, FUSE_SYMLINK, parent, entry, sizeof(*entry), STRING(name), STRING(target));

    return r < 0 ? r : 0;
}

static inline int make_node(struct client *c, uint64_t parent, const char *name, uint32_t mode,
                            uint32_t rdev, struct fuse_entry_out *entry)
{
    struct fuse_mknod_in in = { .mode = mode, .rdev = rdev };
    int r = CALL(c, FUSE_MKNOD, parent, entry, sizeof(*entry), BLOB(in), STRING(name));

    return r < 0 ? r : 0;
}

static inline int remove_name(struct client *c, uint32_t opcode, uint64_t parent, const char *name)
{
    return CALL(c, opcode, parent, NULL, 0, STRING(name));
}

static inline int rename_name(struct client *c, uint64_t from, const char *name, uint64_t to,
                              const char *newname, uint32_t flags)
{
    struct fuse_rename2_in in = { .newdir = to, .flags = flags };

    return CALL(c, FUSE_RENAME2, from, NULL, 0, BLOB(in), STRING(name), STRING(newname));
}

static inline int link_name(struct client *c, uint64_t nodeid, uint64_t to, const char *newname,
                            struct fuse_entry_out *entry)
{
    struct fuse_link_in in = { .oldnodeid = nodeid };
    int r = CALL(c, FUSE_LINK, to, entry, sizeof(*entry), BLOB(in), STRING(newname));

    return r < 0 ? r : 0;
}

static inline int read_file(struct client *c, uint64_t nodeid, uint64_t fh, uint64_t offset,
                            void *data, size_t size)
{
    struct fuse_read_in in = { .fh = fh, .offset = offset, .size = (uint32_t)size };

    return CALL(c, FUSE_READ, nodeid, data, size, BLOB(in));
}

static inline int write_with(struct client *c, uint64_t nodeid, struct fuse_write_in *in,
                             const void *data, size_t size)
{
    struct fuse_write_out out = { 0 };
    int r;

    in->size = (uint32_t)size;
    r = CALL(c, FUSE_WRITE, nodeid, &out, sizeof(out), { in, sizeof(*in) }, { data, size });
    return r < 0 ? r : (int)out.size;
}

static inline int write_file(struct client *c, uint64_t nodeid, uint64_t fh, uint64_t offset,
                             const void *data, size_t size)
{
    struct fuse_write_in in = { .fh = fh, .offset = offset };

    return write_with(c, nodeid, &in, data, size);
}

/* RELEASE or RELEASEDIR. */
static inline int release(struct client *c, uint32_t opcode, uint64_t nodeid, uint64_t fh)
{
    struct fuse_release_in in = { .fh = fh };

    return CALL(c, opcode, nodeid, NULL, 0, BLOB(in));
}

static inline void forget(struct client *c, uint64_t nodeid, uint64_t count)
{
    struct {
        struct fuse_in_header header;
        struct fuse_forget_in in;
    } request = {
        .header = { .len = sizeof(request), .opcode = FUSE_FORGET, .nodeid = nodeid },
        .in = { .nlookup = count },
    };

    assert_int_equal(client_raw(c, &request, sizeof(request), NULL, 0), 0);
}

/* "path/of/share/name" on the host, in static memory that holds until the fourth call after. */
static inline const char *host(const struct client *c, unsigned int share, const char *name)
{
    static char paths[4][512];
    static unsigned int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s%s%s", c->directory[share], *name ? "/" : "", name);
    return path;
}

static inline void host_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static inline struct stat host_stat(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st;
}

#define CLIENT_FLAGS                                                                            \
    ((uint64_t)FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT | \
     FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |     \
     FUSE_WRITEBACK_CACHE | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL | FUSE_MAX_PAGES |            \
     FUSE_CACHE_SYMLINKS | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT)

/* cmocka setup: a server over fresh directories, INIT done, the shares looked up. */
static inline int client_setup(void **state)
{
    static const char *const names[] = { "private", "shared", "shared", "single" };
    struct client *c = calloc(1, sizeof(*c));
    struct error err;

    if (geteuid() != 0) {
        print_message("skipped: the file server's tests need root\n");
        skip();
    }
    umask(0);
    strcpy(c->path, "/tmp/vmrt-fs-test-XXXXXX");
    assert_non_null(mkdtemp(c->path));
    for (unsigned int i = 0; i < CLIENT_SHARES; i++) {
        snprintf(c->directory[i], sizeof(c->directory[i]), "%s/%s", c->path, names[i]);
        if (i == SINGLE)
            host_write(c->directory[i], "single file\n");
        else if (i != READONLY)
            assert_int_equal(mkdir(c->directory[i], 0755), 0);
        c->shares[i].fd = open(c->directory[i], O_PATH | O_CLOEXEC);
        assert_true(c->shares[i].fd >= 0);
    }
    c->shares[PRIVATE].private_tree = true;
    c->shares[READONLY].readonly = true;
    /* As the VMM gets it: a mount of its own, which outlives the root it was made in. */
    c->proc_fd = open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (c->proc_fd < 0)
        c->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(c->proc_fd >= 0);
    assert_int_equal(fs_server_create(&c->server, c->shares, CLIENT_SHARES, c->proc_fd, &err), 0);
    assert_int_equal(fs_server_thread_setup(c->server, &err), 0);
    assert_true(client_init_as(c, 38, CLIENT_FLAGS) > 0);
    for (unsigned int i = 0; i < CLIENT_SHARES; i++) {
        char number[] = { (char)('0' + i), '\0' };

        c->share[i] = node(c, FUSE_ROOT_ID, number);
    }
    *state = c;
    return 0;
}

static inline int client_teardown(void **state)
{
    struct client *c = *state;
    char command[128];

    fs_identity_use_fsetid(&c->server->identity, true);
    fs_server_destroy(c->server);
    close(c->proc_fd);
    for (unsigned int i = 0; i < CLIENT_SHARES; i++)
        close(c->shares[i].fd);
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", c->path);
    assert_int_equal(system(command), 0);
    free(c);
    return 0;
}

#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

#endif
