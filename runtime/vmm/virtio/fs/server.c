/*
 * The file server's front: the table of opcodes, what INIT agrees on, and the checks every request
 * goes through before its handler sees it.
 *
 * What the guest may cache follows from who else can change a share. A private tree (the
 * container's root file system) is changed by nobody but the guest, save for an engine's "cp" into
 * a running container, which shall be seen soon: names, attributes and missing names are valid for
 * PRIVATE_SECONDS. Any other share may change at any time on the host or in another VM, and there a
 * native container would see it at once: nothing is valid beyond the request that asked for it, and
 * cached data only as long as the attributes say the file is the same (FUSE_AUTO_INVAL_DATA).
 */
#include "vmm/virtio/fs/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/fd.h"
#include "vmm/virtio/fs/request.h"
#include "vmm/virtio/queue.h"

/* The oldest and newest protocol spoken: 7.31 is Linux 5.4's. */
#define MINOR_MIN 31u
#define MINOR_MAX 38u

/*
 * FUSE_EXPORT_SUPPORT is left out: it needs lookups of "..", which cannot be kept inside a share
 * while the host renames directories. FUSE_SETXATTR_EXT, FUSE_POSIX_ACL and the lock flags come
 * with their features.
 */
#define FEATURES                                                                                \
    ((uint64_t)FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | \
     FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |      \
     FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 |          \
     FUSE_INIT_EXT)

#define PAGE_BYTES 4096u
/* Readahead and direct I/O in flight at once; the guest's default of 12 keeps a ring half empty. */
#define BACKGROUND_MAX       64
#define CONGESTION_THRESHOLD 48
/* fuse_init_in up to and with `flags`: what clients before 7.36 send. */
#define INIT_IN_SIZE_MIN 16u

static ssize_t init(struct fs_server *server, struct fs_request *request);
static ssize_t destroy(struct fs_server *server, struct fs_request *request);
static ssize_t ignore(struct fs_server *server, struct fs_request *request);
static ssize_t refuse_ioctl(struct fs_server *server, struct fs_request *request);

enum {
    NO_REPLY = 1 << 0,  /* there is no answer, whatever happens */
    NO_NODE = 1 << 1,   /* header.nodeid need not stand for an inode */
    ROOT_OK = 1 << 2,   /* the handler knows the root */
    DIRECTORY = 1 << 3, /* only for directories */
    MODIFIES = 1 << 4,  /* refused on a read-only share */
    ANYTIME = 1 << 5,   /* also before INIT */
};

struct opcode {
    fs_handler *handler;
    uint16_t args;     /* bytes of arguments behind the header, at least */
    uint16_t reply;    /* bytes of answer behind the header, at least */
    const char *names; /* strings behind the arguments: n(ame), t(ext), x(attr name) */
    unsigned int flags;
};

#define ENTRY  sizeof(struct fuse_entry_out)
#define ATTR   sizeof(struct fuse_attr_out)
#define OPENED sizeof(struct fuse_open_out)

static const struct opcode opcodes[] = {
    [FUSE_LOOKUP] = { fs_lookup, 0, ENTRY, "n", ROOT_OK | DIRECTORY },
    [FUSE_FORGET] = { fs_forget, sizeof(struct fuse_forget_in), 0, "", NO_REPLY | NO_NODE },
    [FUSE_GETATTR] = { fs_getattr, sizeof(struct fuse_getattr_in), ATTR, "", ROOT_OK },
    [FUSE_SETATTR] = { fs_setattr, sizeof(struct fuse_setattr_in), ATTR, "", MODIFIES },
    [FUSE_READLINK] = { fs_readlink, 0, 0, "", 0 },
    [FUSE_SYMLINK] = { fs_symlink, 0, ENTRY, "nt", MODIFIES | DIRECTORY },
    [FUSE_MKNOD] = { fs_mknod, sizeof(struct fuse_mknod_in), ENTRY, "n", MODIFIES | DIRECTORY },
    [FUSE_MKDIR] = { fs_mkdir, sizeof(struct fuse_mkdir_in), ENTRY, "n", MODIFIES | DIRECTORY },
    [FUSE_UNLINK] = { fs_unlink, 0, 0, "n", MODIFIES | DIRECTORY },
    [FUSE_RMDIR] = { fs_rmdir, 0, 0, "n", MODIFIES | DIRECTORY },
    [FUSE_RENAME] = { fs_rename, sizeof(struct fuse_rename_in), 0, "nn", MODIFIES | DIRECTORY },
    [FUSE_LINK] = { fs_link, sizeof(struct fuse_link_in), ENTRY, "n", MODIFIES | DIRECTORY },
    [FUSE_OPEN] = { fs_open, sizeof(struct fuse_open_in), OPENED, "", 0 },
    [FUSE_READ] = { fs_read, sizeof(struct fuse_read_in), 0, "", NO_NODE },
    [FUSE_WRITE] = { fs_write, sizeof(struct fuse_write_in), sizeof(struct fuse_write_out), "",
                     MODIFIES },
    [FUSE_STATFS] = { fs_statfs, 0, sizeof(struct fuse_statfs_out), "", ROOT_OK },
    [FUSE_RELEASE] = { fs_release, sizeof(struct fuse_release_in), 0, "", NO_NODE },
    [FUSE_FSYNC] = { fs_fsync, sizeof(struct fuse_fsync_in), 0, "", NO_NODE },
    [FUSE_SETXATTR] = { fs_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, 0, "x", MODIFIES },
    [FUSE_GETXATTR] = { fs_getxattr, sizeof(struct fuse_getxattr_in), 0, "x", 0 },
    [FUSE_LISTXATTR] = { fs_listxattr, sizeof(struct fuse_getxattr_in), 0, "", 0 },
    [FUSE_REMOVEXATTR] = { fs_removexattr, 0, 0, "x", MODIFIES },
    [FUSE_FLUSH] = { fs_flush, sizeof(struct fuse_flush_in), 0, "", NO_NODE },
    [FUSE_INIT] = { init, INIT_IN_SIZE_MIN, sizeof(struct fuse_init_out), "", NO_NODE | ANYTIME },
    [FUSE_OPENDIR] = { fs_opendir, sizeof(struct fuse_open_in), OPENED, "", ROOT_OK | DIRECTORY },
    [FUSE_READDIR] = { fs_readdir, sizeof(struct fuse_read_in), 0, "", ROOT_OK | DIRECTORY },
    [FUSE_RELEASEDIR] = { fs_releasedir, sizeof(struct fuse_release_in), 0, "", NO_NODE },
    [FUSE_FSYNCDIR] = { fs_fsyncdir, sizeof(struct fuse_fsync_in), 0, "", NO_NODE },
    [FUSE_ACCESS] = { fs_access, sizeof(struct fuse_access_in), 0, "", ROOT_OK },
    [FUSE_CREATE] = { fs_create, sizeof(struct fuse_create_in), ENTRY + OPENED, "n",
                      MODIFIES | DIRECTORY },
    [FUSE_INTERRUPT] = { ignore, 0, 0, "", NO_REPLY | NO_NODE | ANYTIME },
    [FUSE_DESTROY] = { destroy, 0, 0, "", NO_NODE | ANYTIME },
    [FUSE_IOCTL] = { refuse_ioctl, 0, 0, "", NO_NODE },
    [FUSE_NOTIFY_REPLY] = { ignore, 0, 0, "", NO_REPLY | NO_NODE | ANYTIME },
    [FUSE_BATCH_FORGET] = { fs_batch_forget, sizeof(struct fuse_batch_forget_in), 0, "",
                            NO_REPLY | NO_NODE },
    [FUSE_FALLOCATE] = { fs_fallocate, sizeof(struct fuse_fallocate_in), 0, "", MODIFIES },
    [FUSE_READDIRPLUS] = { fs_readdirplus, sizeof(struct fuse_read_in), 0, "",
                           ROOT_OK | DIRECTORY },
    [FUSE_RENAME2] = { fs_rename2, sizeof(struct fuse_rename2_in), 0, "nn", MODIFIES | DIRECTORY },
    [FUSE_LSEEK] = { fs_lseek, sizeof(struct fuse_lseek_in), sizeof(struct fuse_lseek_out), "",
                     NO_NODE },
    [FUSE_COPY_FILE_RANGE] = { fs_copy_file_range, sizeof(struct fuse_copy_file_range_in),
                               sizeof(struct fuse_write_out), "", NO_NODE },
    [FUSE_SYNCFS] = { fs_syncfs, sizeof(struct fuse_syncfs_in), 0, "", ROOT_OK },
    [FUSE_TMPFILE] = { fs_tmpfile, sizeof(struct fuse_create_in), ENTRY + OPENED, "t",
                       MODIFIES | DIRECTORY },
};

static const struct opcode *find_opcode(uint32_t number)
{
    if (number >= sizeof(opcodes) / sizeof(opcodes[0]) || !opcodes[number].handler)
        return NULL;
    return &opcodes[number];
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static ssize_t init(struct fs_server *server, struct fs_request *request)
{
    struct fuse_init_in in = { 0 };
    struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = MINOR_MAX };

    fs_request_read(request, sizeof(request->header), &in, sizeof(in));
    /* A newer major version: say which one is spoken here, and the client asks again. */
    if (in.major > FUSE_KERNEL_VERSION)
        return fs_request_reply(request, 0, &out, sizeof(out));
    if (in.major < FUSE_KERNEL_VERSION || in.minor < MINOR_MIN)
        return -EPROTO;
    fs_server_reset(server);
    server->features = in.flags;
    if (in.flags & FUSE_INIT_EXT)
        server->features |= (uint64_t)in.flags2 << 32;
    server->features &= FEATURES;
    server->initialised = true;
    out.minor = min_u32(in.minor, MINOR_MAX);
    out.max_readahead = min_u32(in.max_readahead, FS_IO_MAX);
    out.flags = (uint32_t)server->features;
    out.flags2 = (uint32_t)(server->features >> 32);
    out.max_background = BACKGROUND_MAX;
    out.congestion_threshold = CONGESTION_THRESHOLD;
    out.max_write = FS_IO_MAX;
    out.max_pages = FS_IO_MAX / PAGE_BYTES;
    out.time_gran = 1;
    return fs_request_reply(request, 0, &out, sizeof(out));
}

static ssize_t destroy(struct fs_server *server, struct fs_request *request)
{
    (void)request;
    fs_server_reset(server);
    return 0;
}

/* INTERRUPT has no answer of its own; no request waits here long enough to be interrupted. */
static ssize_t ignore(struct fs_server *server, struct fs_request *request)
{
    (void)server;
    (void)request;
    return 0;
}

/* ENOSYS would do as well, but the guest hands the number to the caller, who expects this one. */
static ssize_t refuse_ioctl(struct fs_server *server, struct fs_request *request)
{
    (void)server;
    (void)request;
    return -ENOTTY;
}

static int read_names(struct fs_request *request, const char *names)
{
    char *to = request->name;
    size_t size = sizeof(request->name);

    for (const char *kind = names; *kind; kind++) {
        int r;

        if (*kind == 't' || kind > names) {
            to = request->text;
            size = *kind == 't' ? sizeof(request->text) : sizeof(request->name);
        }
        r = fs_request_string(request, to, size);
        if (r == 0 && *kind == 'n')
            r = fs_name_check(to);
        if (r < 0)
            return r;
    }
    return 0;
}

static int find_inode(struct fs_server *server, struct fs_request *request, unsigned int flags)
{
    struct fs_inode *inode = fs_inode_get(server, request->header.nodeid);

    if (!inode)
        return -ENOENT;
    if (fs_is_root(server, inode)) {
        if (flags & MODIFIES)
            return -EROFS;
        if (!(flags & ROOT_OK))
            return -EOPNOTSUPP;
    } else if ((flags & MODIFIES) && fs_inode_share(server, inode)->readonly) {
        return -EROFS;
    }
    if ((flags & DIRECTORY) && inode->type != S_IFDIR)
        return -ENOTDIR;
    request->inode = inode;
    return 0;
}

static ssize_t run(struct fs_server *server, struct fs_request *request, const struct opcode *op)
{
    size_t args = op->args < sizeof(request->args) ? op->args : sizeof(request->args);
    int r;

    if (!server->identity.ready)
        return -EIO;
    if (!server->initialised && !(op->flags & ANYTIME))
        return -EIO;
    if (request->room < op->reply)
        return -EIO;
    request->tail = sizeof(request->header);
    if (fs_request_read(request, request->tail, &request->args, args) != args)
        return -EINVAL;
    request->tail += args;
    r = read_names(request, op->names);
    if (r < 0)
        return r;
    if (!(op->flags & NO_NODE)) {
        r = find_inode(server, request, op->flags);
        if (r < 0)
            return r;
    }
    return op->handler(server, request);
}

size_t fs_server_handle(struct fs_server *server, const struct iovec *out, unsigned int out_count,
                        const struct iovec *in, unsigned int in_count)
{
    struct fs_request request;
    struct fuse_out_header answer = { 0 };
    const struct opcode *op;
    uint64_t room = iov_length(in, in_count);
    ssize_t r = -EINVAL;

    request.out = out;
    request.out_count = out_count;
    request.in = in;
    request.in_count = in_count;
    request.room = room < sizeof(answer) ? 0 : room - sizeof(answer);
    request.inode = NULL;
    if (iov_read(out, out_count, 0, &request.header, sizeof(request.header)) !=
        sizeof(request.header))
        return 0;
    op = find_opcode(request.header.opcode);
    if (!op)
        r = -ENOSYS;
    else if (room < sizeof(answer) && !(op->flags & NO_REPLY))
        return 0;
    else if (request.header.len >= sizeof(request.header) &&
             request.header.len <= iov_length(out, out_count))
        r = run(server, &request, op);
    if ((op && (op->flags & NO_REPLY)) || room < sizeof(answer))
        return 0;
    answer.unique = request.header.unique;
    answer.error = r < 0 ? (int32_t)r : 0;
    answer.len = (uint32_t)(sizeof(answer) + (r > 0 ? (size_t)r : 0));
    iov_write(in, in_count, 0, &answer, sizeof(answer));
    return answer.len;
}

void fs_server_reset(struct fs_server *server)
{
    fs_handles_reset(server);
    fs_inodes_reset(server);
    server->initialised = false;
}

int fs_server_thread_setup(struct fs_server *server, struct error *err)
{
    return fs_identity_setup(&server->identity, server->proc_fd, err);
}

static unsigned int descriptor_limit(void)
{
    struct rlimit limit;
    rlim_t reserve;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return FS_FD_RESERVE;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = { limit.rlim_max, limit.rlim_max };

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    if (limit.rlim_cur > INT32_MAX)
        limit.rlim_cur = INT32_MAX;
    reserve = limit.rlim_cur / 4;
    return (unsigned int)(limit.rlim_cur - (reserve < FS_FD_RESERVE ? reserve : FS_FD_RESERVE));
}

static int allocate(struct fs_server *server, const struct fs_share *shares, unsigned int count)
{
    struct fs_share *copy = calloc(count ? count : 1, sizeof(*copy));

    server->shares = copy;
    server->share_roots = calloc(count ? count : 1, sizeof(struct fs_inode *));
    server->scratch = malloc(FS_SCRATCH_SIZE);
    if (!copy || !server->share_roots || !server->scratch)
        return -ENOMEM;
    if (count)
        memcpy(copy, shares, count * sizeof(*copy));
    return 0;
}

/* Another process's directory would open its files instead of ours. */
static bool is_own_proc_fd(int proc_fd)
{
    struct stat self, named;

    return fstat(proc_fd, &self) == 0 &&
           fstatat(proc_fd, fs_fd_name(proc_fd).text, &named, 0) == 0 &&
           self.st_dev == named.st_dev && self.st_ino == named.st_ino;
}

int fs_server_create(struct fs_server **result, const struct fs_share *shares, unsigned int count,
                     int proc_fd, struct error *err)
{
    struct fs_server *server;
    int r;

    if (!is_own_proc_fd(proc_fd))
        return error_set(err, EINVAL, "file server: not this process's /proc/self/fd");
    server = calloc(1, sizeof(*server));
    if (!server)
        return error_set(err, ENOMEM, "file server: out of memory");
    server->proc_fd = proc_fd;
    server->share_count = count;
    server->fd_max = descriptor_limit();
    server->root = (struct fs_inode) { .nodeid = FUSE_ROOT_ID, .fd = -1, .type = S_IFDIR };
    fs_table_init(&server->handles);
    r = fs_inodes_init(&server->inodes);
    if (r == 0)
        r = allocate(server, shares, count);
    if (r < 0)
        error_set(err, -r, "file server: out of memory");
    for (unsigned int i = 0; r == 0 && i < count; i++) {
        r = fs_inode_add_share(server, i, &server->share_roots[i]);
        if (r == -EINVAL)
            error_set(err, EINVAL, "share %u is neither a directory nor a regular file", i);
        else if (r < 0)
            error_set(err, -r, "share %u: %s", i, strerror(-r));
    }
    if (r < 0) {
        fs_server_destroy(server);
        return r;
    }
    *result = server;
    return 0;
}

void fs_server_destroy(struct fs_server *server)
{
    if (!server)
        return;
    fs_handles_reset(server);
    fs_table_destroy(&server->handles);
    if (server->inodes.buckets)
        fs_inodes_destroy(server);
    free((void *)server->shares);
    free(server->share_roots);
    free(server->scratch);
    free(server);
}
