/*
 * Fuzzes the file server: arbitrary requests, several to an input, against shares in a small file
 * system of their own. Besides what the sanitizers see, nothing beside the shares may change.
 *
 * Input: records of { le16 size, le16 room, size bytes of request }. A request whose header says
 * length 0 gets the true one, so that mutations need not keep it right.
 */
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/virtio/fs/server.h"

#define SHARES       4
#define PARTS_MAX    64
#define ROOM_MAX     16384u
#define REQUESTS_MAX 64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Only a mount point, in a namespace of our own: nothing is left behind. */
static const char base[] = "/mnt";
static int base_fd, working_directory;
static struct stat canary;

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz/fs: %s\n", what);
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct rlimit files = { 256, 256 };
    int fd;

    (void)argc;
    (void)argv;
    umask(0);
    /* A place that a request for a terabyte fills harmlessly. */
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("fuzz", base, "tmpfs", 0, "size=8m,nr_inodes=4096") < 0) {
        fprintf(stderr, "fuzz/fs: needs root for a tmpfs of its own\n");
        exit(77);
    }
    working_directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    base_fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fd = openat(base_fd, "canary", O_WRONLY | O_CREAT, 0600);
    check(base_fd >= 0 && fd >= 0 && write(fd, "canary", 6) == 6, "canary");
    close(fd);
    check(fstatat(base_fd, "canary", &canary, 0) == 0, "stat");
    setrlimit(RLIMIT_NOFILE, &files);
    return 0;
}

/* Everything but the canary; the shares are made anew for each input. */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    if (ftw->level > 0 && st->st_ino != canary.st_ino)
        remove(path);
    return 0;
}

static void check_outside(void)
{
    struct stat st;

    check(fstatat(base_fd, "canary", &st, AT_SYMLINK_NOFOLLOW) == 0, "the canary is gone");
    check(st.st_mode == canary.st_mode && st.st_uid == canary.st_uid &&
              st.st_gid == canary.st_gid && st.st_size == canary.st_size && st.st_nlink == 1 &&
              st.st_mtim.tv_sec == canary.st_mtim.tv_sec &&
              st.st_mtim.tv_nsec == canary.st_mtim.tv_nsec,
          "the canary was changed");
    check(fstatat(base_fd, "readonly/file", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 4 &&
              (st.st_mode & 07777) == 0640 && st.st_nlink == 1,
          "the read-only share was changed");
}

/* "private", "shared" and "readonly" with something of every kind in them, and "single". */
static void make_tree(struct fs_share *shares)
{
    static const char *const names[SHARES] = { "private", "shared", "readonly", "single" };
    int fd;

    for (int i = 0; i < SHARES; i++) {
        if (i < 3) {
            mkdirat(base_fd, names[i], 0755);
        } else {
            fd = openat(base_fd, names[i], O_WRONLY | O_CREAT | O_TRUNC, 0644);
            close(fd);
        }
        shares[i] = (struct fs_share) {
            .fd = openat(base_fd, names[i], O_PATH | O_CLOEXEC),
            .private_tree = i == 0,
            .readonly = i == 2,
        };
        check(shares[i].fd >= 0, "share");
        if (i == 3)
            break;
        fd = openat(shares[i].fd, "file", O_WRONLY | O_CREAT | O_TRUNC, 0640);
        check(fd >= 0 && write(fd, "data", 4) == 4, "file");
        fchmod(fd, 0640);
        close(fd);
        symlinkat("../canary", shares[i].fd, "link");
        symlinkat("..", shares[i].fd, "up");
        mkdirat(shares[i].fd, "dir", 0755);
        mknodat(shares[i].fd, "fifo", S_IFIFO | 0600, 0);
    }
}

static void send_request(struct fs_server *server, const uint8_t *data, size_t size, size_t room,
                         unsigned int cut)
{
    struct iovec out[PARTS_MAX], in[2];
    unsigned int out_count = 0;
    char *request = malloc(size ? size : 1);
    char *answer = malloc(room ? room : 1);
    size_t first = room < sizeof(struct fuse_out_header) ? room : sizeof(struct fuse_out_header);
    uint32_t length = 0;
    size_t n;

    memcpy(request, data, size);
    if (size >= sizeof(struct fuse_in_header)) {
        memcpy(&length, request, sizeof(length));
        if (length == 0) {
            length = (uint32_t)size;
            memcpy(request, &length, sizeof(length));
        }
    }
    for (size_t done = 0; done < size; out_count++) {
        size_t part = out_count + 1 < PARTS_MAX && size - done > cut ? cut : size - done;

        out[out_count] = (struct iovec) { request + done, part };
        done += part;
    }
    in[0] = (struct iovec) { answer, first };
    in[1] = (struct iovec) { answer + first, room - first };
    n = fs_server_handle(server, out, out_count, in, 2);
    check(n <= room, "an answer longer than its room");
    check(n == 0 || n >= sizeof(struct fuse_out_header), "an answer without a header");
    free(request);
    free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuse_init_in init_in = { .major = 7, .minor = 38, .flags = UINT32_MAX };
    struct {
        struct fuse_in_header header;
        struct fuse_init_in in;
    } init = { .header = { .len = sizeof(init), .opcode = FUSE_INIT }, .in = init_in };
    struct fs_share shares[SHARES];
    struct fs_server *server;
    struct error err;
    int proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);

    make_tree(shares);
    check(fs_server_create(&server, shares, SHARES, proc_fd, &err) == 0, "create");
    check(fs_server_thread_setup(server, &err) == 0, "thread setup");
    send_request(server, (const uint8_t *)&init, sizeof(init), 200, 40);
    for (unsigned int i = 0; size >= 4 && i < REQUESTS_MAX; i++) {
        size_t length = (size_t)(data[0] | data[1] << 8);
        size_t room = (size_t)(data[2] | data[3] << 8) % (ROOM_MAX + 1);

        data += 4;
        size -= 4;
        if (length > size)
            length = size;
        send_request(server, data, length, room, i % 2 ? 40 : 7);
        data += length;
        size -= length;
    }
    fs_server_destroy(server);
    close(proc_fd);
    /* The fuzzer has paths of its own. */
    check(fchdir(working_directory) == 0, "working directory");
    for (int i = 0; i < SHARES; i++)
        close(shares[i].fd);
    check_outside();
    nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
