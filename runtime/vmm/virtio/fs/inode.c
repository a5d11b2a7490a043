/* Inodes the guest knows, and the descriptors held for them. */
#include "vmm/virtio/fs/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "vmm/virtio/fs/request.h"

#define BUCKETS_AT_FIRST 256u

#define CROWD_STEP(server) ((server)->crowd / 8 + 1)

#define STATX_WANTED (STATX_BASIC_STATS | STATX_MNT_ID)

struct fs_fd_name fs_fd_name(int fd)
{
    struct fs_fd_name name;
    char *p = name.text + sizeof(name.text) - 1;
    unsigned int number = (unsigned int)fd;

    *p = '\0';
    do {
        *--p = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    memmove(name.text, p, (size_t)(name.text + sizeof(name.text) - p));
    return name;
}

int fs_fd_check(const struct fs_server *server, unsigned int count)
{
    return server->fd_max - server->fd_count >= count ? 0 : -ENFILE;
}

void fs_fd_opened(struct fs_server *server)
{
    unsigned int beyond = ++server->fd_count - server->crowd;

    /* Told again as it grows on: what was given back meanwhile was not enough. */
    if (server->crowd && server->fd_count >= server->crowd && beyond % CROWD_STEP(server) == 0)
        eventfd_write(server->crowd_fd, 1);
}

void fs_server_watch_files(struct fs_server *server, uint32_t files, int event_fd)
{
    server->crowd_fd = event_fd;
    server->crowd = files && files < server->fd_max / 2 ? files : server->fd_max / 2;
}

void fs_fd_close(struct fs_server *server, int fd)
{
    if (fd >= 0)
        close(fd);
    server->fd_count--;
}

int fs_inodes_init(struct fs_inodes *inodes)
{
    fs_table_init(&inodes->table);
    inodes->buckets = calloc(BUCKETS_AT_FIRST, sizeof(struct fs_inode *));
    if (!inodes->buckets)
        return -ENOMEM;
    inodes->bucket_count = BUCKETS_AT_FIRST;
    inodes->count = 0;
    return 0;
}

static uint32_t hash(const struct fs_inodes *inodes, const struct fs_key *key)
{
    uint64_t h = key->ino + key->device * 31 + key->mount * 131 + key->share;

    /* Fibonacci hashing: inode numbers are dense, the upper bits of the product are not. */
    return (uint32_t)((h * 0x9e3779b97f4a7c15ull) >> 32) & (inodes->bucket_count - 1);
}

static bool key_equal(const struct fs_key *a, const struct fs_key *b)
{
    return a->ino == b->ino && a->device == b->device && a->mount == b->mount &&
           a->share == b->share;
}

static struct fs_inode *find(const struct fs_inodes *inodes, const struct fs_key *key)
{
    struct fs_inode *inode = inodes->buckets[hash(inodes, key)];

    while (inode && !key_equal(&inode->key, key))
        inode = inode->next;
    return inode;
}

/* Twice the buckets; when there is no memory the chains get longer instead. */
static void grow(struct fs_inodes *inodes)
{
    uint32_t old_count = inodes->bucket_count;
    struct fs_inode **old = inodes->buckets;
    struct fs_inode **buckets = calloc((size_t)old_count * 2, sizeof(struct fs_inode *));

    if (!buckets)
        return;
    inodes->buckets = buckets;
    inodes->bucket_count = old_count * 2;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct fs_inode *inode = old[i], *next; inode; inode = next) {
            struct fs_inode **head = &buckets[hash(inodes, &inode->key)];

            next = inode->next;
            inode->next = *head;
            *head = inode;
        }
    }
    free(old);
}

static int insert(struct fs_inodes *inodes, struct fs_inode *inode)
{
    struct fs_inode **head;
    int r = fs_table_add(&inodes->table, inode, &inode->nodeid);

    if (r < 0)
        return r;
    if (inodes->count >= inodes->bucket_count)
        grow(inodes);
    head = &inodes->buckets[hash(inodes, &inode->key)];
    inode->next = *head;
    *head = inode;
    inodes->count++;
    return 0;
}

static void drop(struct fs_server *server, struct fs_inode *inode)
{
    struct fs_inodes *inodes = &server->inodes;
    struct fs_inode **link = &inodes->buckets[hash(inodes, &inode->key)];

    while (*link != inode)
        link = &(*link)->next;
    *link = inode->next;
    inodes->count--;
    fs_table_remove(&inodes->table, inode->nodeid);
    if (!inode->share_root)
        fs_fd_close(server, inode->fd);
    free(inode);
}

static void drop_all(struct fs_server *server, bool share_roots)
{
    struct fs_table *table = &server->inodes.table;

    for (uint32_t i = 0; i < table->size; i++) {
        struct fs_inode *inode = table->slots[i].object;

        if (inode && (share_roots || !inode->share_root))
            drop(server, inode);
        else if (inode)
            inode->nlookup = 0;
    }
}

void fs_inodes_reset(struct fs_server *server)
{
    drop_all(server, false);
}

void fs_inodes_destroy(struct fs_server *server)
{
    drop_all(server, true);
    fs_table_destroy(&server->inodes.table);
    free(server->inodes.buckets);
    server->inodes.buckets = NULL;
}

struct fs_inode *fs_inode_get(struct fs_server *server, uint64_t nodeid)
{
    return nodeid == FUSE_ROOT_ID ? &server->root : fs_table_get(&server->inodes.table, nodeid);
}

static struct fs_key key_of(const struct statx *st, uint32_t share)
{
    return (struct fs_key) {
        .device = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
        .ino = st->stx_ino,
        .mount = st->stx_mnt_id,
        .share = share,
    };
}

static int stat_fd(int fd, struct statx *st)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_WANTED, st) < 0 ? -errno : 0;
}

int fs_inode_stat(const struct fs_inode *inode, struct statx *st)
{
    return stat_fd(inode->fd, st);
}

/* A new inode for @fd, which it takes over only on success. */
static int add(struct fs_server *server, int fd, const struct statx *st, uint32_t share,
               struct fs_inode **inode)
{
    _cleanup_free_ struct fs_inode *new = calloc(1, sizeof(*new));
    int r;

    if (!new)
        return -ENOMEM;
    new->fd = fd;
    new->key = key_of(st, share);
    new->type = st->stx_mode &S_IFMT;
    r = insert(&server->inodes, new);
    if (r < 0)
        return r;
    *inode = steal_pointer(&new);
    return 0;
}

int fs_inode_add_share(struct fs_server *server, uint32_t index, struct fs_inode **inode)
{
    struct statx st;
    int r = stat_fd(server->shares[index].fd, &st);

    if (r < 0)
        return r;
    /* Sockets and fifos are never opened here: the guest sees what they are, and that is all. */
    if (!S_ISDIR(st.stx_mode) && !S_ISREG(st.stx_mode) && !S_ISSOCK(st.stx_mode) &&
        !S_ISFIFO(st.stx_mode))
        return -EINVAL;
    r = add(server, server->shares[index].fd, &st, index, inode);
    if (r < 0)
        return r;
    (*inode)->share_root = true;
    /* The guest mounts it as a file system of its own, with its own device number. */
    (*inode)->submount = S_ISDIR(st.stx_mode);
    return 0;
}

int fs_inode_adopt(struct fs_server *server, const struct fs_inode *parent, int fd,
                   struct fs_inode **inode, struct statx *st)
{
    struct fs_key key;
    int r;

    fs_fd_opened(server);
    r = stat_fd(fd, st);
    if (r < 0) {
        fs_fd_close(server, fd);
        return r;
    }
    key = key_of(st, parent->key.share);
    *inode = find(&server->inodes, &key);
    if (*inode) {
        fs_fd_close(server, fd);
        return 0;
    }
    r = add(server, fd, st, parent->key.share, inode);
    if (r < 0) {
        fs_fd_close(server, fd);
        return r;
    }
    (*inode)->submount = S_ISDIR(st->stx_mode) && st->stx_mnt_id != parent->key.mount;
    return 0;
}

/* An O_PATH descriptor of one component: never through a link, never out of the directory. */
static int open_component(const struct fs_inode *parent, const char *name)
{
    static const struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, parent->fd, name, &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

/*
 * Most lookups are for what the guest already knows, and cost one statx. For names out of a
 * directory the inode number tells beforehand when that cannot be.
 */
int fs_inode_lookup(struct fs_server *server, const struct fs_inode *parent, const char *name,
                    uint64_t ino, struct fs_inode **inode, struct statx *st)
{
    struct fs_key key = parent->key;
    int fd;
    int r;

    key.ino = ino;
    if (!ino || find(&server->inodes, &key)) {
        if (statx(parent->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANTED, st) < 0)
            return -errno;
        key = key_of(st, parent->key.share);
        *inode = find(&server->inodes, &key);
        if (*inode)
            return 0;
    }
    r = fs_fd_check(server, 1);
    if (r < 0)
        return r;
    fd = open_component(parent, name);
    if (fd < 0)
        return fd;
    return fs_inode_adopt(server, parent, fd, inode, st);
}

void fs_inode_forget(struct fs_server *server, struct fs_inode *inode, uint64_t count)
{
    inode->nlookup -= count < inode->nlookup ? count : inode->nlookup;
    if (inode->nlookup == 0 && !inode->share_root && !fs_is_root(server, inode))
        drop(server, inode);
}

int fs_inode_open(struct fs_server *server, const struct fs_inode *inode, int flags)
{
    int fd;
    int r;

    if (inode->type == S_IFLNK)
        return -ELOOP;
    if (inode->type != S_IFREG && inode->type != S_IFDIR)
        return -ENXIO;
    r = fs_fd_check(server, 1);
    if (r < 0)
        return r;
    flags |= O_CLOEXEC | O_NOCTTY;
    /* A directory is reached from itself; a file only through its name in /proc. */
    if (inode->type == S_IFDIR)
        fd = openat(inode->fd, ".", flags | O_DIRECTORY);
    else
        fd = openat(server->proc_fd, fs_fd_name(inode->fd).text, flags);
    if (fd < 0)
        return -errno;
    fs_fd_opened(server);
    return fd;
}
