/*
 * The host's side of init, for tests: its engine in a child process, unix sockets instead of
 * vsock, bind mounts instead of shares, and busybox as the image. Needs root and busybox-static.
 */
#ifndef VMRT_TEST_INIT_HOST_H
#define VMRT_TEST_INIT_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/cgroups.h"
#include "init/io.h"
#include "init/protocol.h"
#include "init/engine.h"

#define HOST_BUSYBOX   "/bin/busybox"
#define HOST_TIMEOUT_S 30

struct host {
    char base[64]; /* holds shares/, root/, cgroup/, image/ */
    pid_t init;
    int listener, control;
    int streams[3]; /* of the first process */
    int further[3]; /* of the process of the last EXEC */
    bool terminal;  /* the next process has one */
    uint32_t sequence;
    struct protocol_writer writer;
    uint8_t *message;
    struct protocol_header header;
    struct protocol_reader fields;
    uint64_t code;
    char text[2048];
};

static uint32_t host_instance;

static inline socklen_t host_address(struct sockaddr_un *address, pid_t pid, uint32_t instance)
{
    *address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
                                        "vmrt-init-test-%d-%u", pid, instance));
}

/* In the engine's process. */
static inline int host_connect_port(uint32_t port)
{
    struct sockaddr_un address;
    socklen_t length = host_address(&address, getppid(), host_instance);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (port != PORT_STREAM && port != PORT_CONTROL)
        return -EINVAL;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return fd;
}

static inline const char *host_path(const struct host *host, const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned int next;
    char *path = paths[next++ % 8];

    snprintf(path, PATH_MAX, "%s/%s", host->base, name);
    return path;
}

static inline void host_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A root filesystem with busybox and nothing else. */
static inline void host_make_image(const char *image)
{
    static const char *const applets[] = {
        "sh",   "cat",  "id",       "ls",    "sleep", "touch", "env",      "head",  "wc",
        "stat", "kill", "mount",    "umask", "true",  "ps",    "hostname", "mkdir", "md5sum",
        "grep", "cut",  "readlink", "dd",    "sed",   "tr",    "rm",       "test",  "tty",
        "stty", "echo", "sync",     "chmod", "pwd",   "nc",    "find"
    };
    char path[PATH_MAX], command[PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/bin", image);
    assert_int_equal(mkdir(image, 0755), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(command, sizeof(command), "cp " HOST_BUSYBOX " %s/bin/busybox", image);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++) {
        snprintf(path, sizeof(path), "%s/bin/%s", image, applets[i]);
        assert_int_equal(symlink("busybox", path), 0);
    }
    snprintf(path, sizeof(path), "%s/etc", image);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/etc/passwd", image);
    host_write_file(path, "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
}

static inline _Noreturn void host_run_engine(const struct host *host)
{
    struct engine_config config = {
        .connect_port = host_connect_port,
        .places = {
            .shares = host_path(host, "shares"),
            .root = host_path(host, "root"),
            .notify = host_path(host, "notify"),
            .devices = host_path(host, "devices"),
            .sysfs = host_path(host, "sysfs"),
        },
        .cgroup = open(host_path(host, "group"), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
    /* Whoever runs the tests may ignore even what the C library keeps to itself (32, 33). */
    const char by_default[32] = { 0 };
    struct engine engine;
    int ret;

    for (int number = 32; number <= 33; number++)
        syscall(SYS_rt_sigaction, number, by_default, NULL, 8);
    umask(0);
    if (config.cgroup >= 0)
        cgroups_enable_controllers(config.cgroup);
    config.control = host_connect_port(PORT_CONTROL);
    ret = config.control < 0 ? config.control : engine_init(&engine, &config);
    if (ret == 0) {
        ret = engine_run(&engine, "test-release");
        engine_destroy(&engine);
    }
    close(config.control);
    close(config.cgroup);
    exit(ret == -ECONNRESET ? 0 : 1);
}

static inline void host_read_full(int fd, void *data, size_t length)
{
    for (size_t have = 0; have < length;) {
        ssize_t n = read(fd, (char *)data + have, length - have);

        assert_true(n > 0);
        have += (size_t)n;
    }
}

/* Receives one message into host->header and host->fields. */
static inline void host_receive(struct host *host, int fd)
{
    uint8_t head[PROTOCOL_HEADER_SIZE];

    host_read_full(fd, head, sizeof(head));
    assert_int_equal(protocol_read_header(head, &host->header), 0);
    free(host->message);
    host->message = malloc(host->header.length + 1);
    assert_non_null(host->message);
    host_read_full(fd, host->message, host->header.length);
    host->fields = (struct protocol_reader) { host->message, host->header.length };
}

static inline uint64_t host_field_u64(const struct host *host, uint16_t tag)
{
    struct protocol_field field = { 0 };
    bool bad = false;
    uint64_t value;

    assert_int_equal(protocol_find(host->fields, tag, &field), 1);
    value = protocol_u64(&field, &bad);
    assert_false(bad);
    return value;
}

static inline int host_accept(struct host *host)
{
    struct timeval timeout = { .tv_sec = HOST_TIMEOUT_S };
    struct pollfd wait = { .fd = host->listener, .events = POLLIN };
    int fd;

    assert_int_equal(poll(&wait, 1, HOST_TIMEOUT_S * 1000), 1);
    fd = accept4(host->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    return fd;
}

static inline void host_enable_controllers(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        cgroups_enable_controllers(fd);
}

/* Cmocka's own setup: once per test, a fresh engine with a fresh image. */
static inline int host_setup(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    struct sockaddr_un address;
    char group[128];
    socklen_t length;

    if (!host)
        return -1;
    *state = host;
    host->listener = host->control = -1;
    for (int i = 0; i < 3; i++)
        host->streams[i] = host->further[i] = -1;
    if (geteuid() != 0 || access(HOST_BUSYBOX, X_OK) < 0)
        return 0;
    alarm(4 * HOST_TIMEOUT_S);
    signal(SIGPIPE, SIG_IGN);
    if (host_instance == 0) {
        assert_int_equal(unshare(CLONE_NEWNS), 0);
        assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    }
    host_instance++;
    snprintf(host->base, sizeof(host->base), "/tmp/vmrt-init-test-XXXXXX");
    assert_non_null(mkdtemp(host->base));
    assert_int_equal(mount("tmpfs", host->base, "tmpfs", 0, "mode=755"), 0);
    umask(022);
    host_make_image(host_path(host, "image"));
    mkdir(host_path(host, "root"), 0755);
    mkdir(host_path(host, "shares"), 0755);
    mkdir(host_path(host, "shares/0"), 0755);
    assert_int_equal(mount(host_path(host, "image"), host_path(host, "shares/0"), NULL, MS_BIND,
                           NULL),
                     0);
    mkdir(host_path(host, "cgroup"), 0755);
    mkdir(host_path(host, "group"), 0755);
    /* One of its own for each test program: several run side by side. */
    snprintf(group, sizeof(group), "%s/cgroup/vmrt-test-%d", host->base, (int)getpid());
    if (mount("cgroup2", host_path(host, "cgroup"), "cgroup2", 0, NULL) == 0 &&
        (mkdir(group, 0755) == 0 || errno == EEXIST))
        assert_int_equal(mount(group, host_path(host, "group"), NULL, MS_BIND, NULL), 0);
    host_enable_controllers(host_path(host, "cgroup"));

    length = host_address(&address, getpid(), host_instance);
    host->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(host->listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(host->listener, 8), 0);
    host->init = fork();
    if (host->init == 0)
        host_run_engine(host);
    host->control = host_accept(host);
    host_receive(host, host->control);
    assert_int_equal(host->header.type, MESSAGE_HELLO);
    return 0;
}

static inline int host_teardown(void **state)
{
    struct host *host = *state;
    char group[128];
    int status = 0;

    for (int i = 0; i < 3; i++) {
        io_close(&host->streams[i]);
        io_close(&host->further[i]);
    }
    io_close(&host->control);
    io_close(&host->listener);
    if (host->init > 0) {
        waitpid(host->init, &status, 0);
        umount2(host_path(host, "group"), MNT_DETACH);
        snprintf(group, sizeof(group), "%s/cgroup/vmrt-test-%d", host->base, (int)getpid());
        rmdir(group);
        umount2(host->base, MNT_DETACH);
        rmdir(host->base);
    }
    free(host->message);
    free(host->writer.data);
    free(host);
    /* The engine ends cleanly when the host goes: leaks and overruns show here. */
    return status == 0 ? 0 : -1;
}

/* Skips a test where it cannot run. */
static inline struct host *host_get(void **state)
{
    struct host *host = *state;

    if (host->init == 0) {
        print_message("skipped: needs root and " HOST_BUSYBOX "\n");
        skip();
    }
    return host;
}

static inline struct protocol_writer *host_begin(struct host *host, enum message_type type)
{
    protocol_begin(&host->writer, (uint16_t)type, 0, ++host->sequence);
    return &host->writer;
}

static inline void host_send(struct host *host)
{
    assert_int_equal(protocol_finish(&host->writer), 0);
    assert_int_equal(io_write_full(host->control, host->writer.data, host->writer.length), 0);
}

/* Waits for the RESULT of the last message. Return: its code; the text is in host->text. */
static inline int host_result(struct host *host)
{
    struct protocol_field field = { 0 };
    bool bad = false;

    host_receive(host, host->control);
    assert_int_equal(host->header.type, MESSAGE_RESULT);
    assert_int_equal(host->header.sequence, host->sequence);
    host->code = host_field_u64(host, FIELD_CODE);
    host->text[0] = '\0';
    if (protocol_find(host->fields, FIELD_TEXT, &field) == 1)
        snprintf(host->text, sizeof(host->text), "%s", protocol_string(&field, &bad));
    return (int)host->code;
}

static inline void host_put_mount(struct protocol_writer *writer, const char *target,
                                  const char *type, uint64_t flags, const char *data)
{
    size_t mark = protocol_open(writer, FIELD_MOUNT);

    protocol_put_string(writer, FIELD_MOUNT_TARGET, target);
    protocol_put_string(writer, FIELD_MOUNT_TYPE, type);
    protocol_put_string(writer, FIELD_MOUNT_SOURCE, type);
    protocol_put_u64(writer, FIELD_MOUNT_FLAGS, flags);
    if (data)
        protocol_put_string(writer, FIELD_MOUNT_DATA, data);
    protocol_close(writer, mark);
}

static inline void host_put_share(struct protocol_writer *writer, const char *target,
                                  uint32_t share, uint64_t flags, bool is_file)
{
    size_t mark = protocol_open(writer, FIELD_MOUNT);

    protocol_put_string(writer, FIELD_MOUNT_TARGET, target);
    protocol_put_string(writer, FIELD_MOUNT_TYPE, "share");
    protocol_put_u64(writer, FIELD_MOUNT_SHARE, share);
    protocol_put_u64(writer, FIELD_MOUNT_FLAGS, flags);
    protocol_put_u64(writer, FIELD_MOUNT_IS_FILE, is_file);
    protocol_close(writer, mark);
}

static inline void host_put_capabilities(struct protocol_writer *writer, uint64_t sets[5])
{
    size_t mark = protocol_open(writer, FIELD_CAPABILITIES);

    for (uint16_t i = 0; i < 5; i++)
        protocol_put_u64(writer, (uint16_t)(FIELD_CAP_BOUNDING + i), sets[i]);
    protocol_close(writer, mark);
}

/* Begins a CONTAINER: PATH, the root, all namespaces, /proc, /dev, /dev/pts. */
static inline struct protocol_writer *host_begin_container(struct host *host)
{
    struct protocol_writer *writer = host_begin(host, MESSAGE_CONTAINER);

    protocol_put_string(writer, FIELD_ID, "test-container");
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_u64(writer, FIELD_NAMESPACES,
                     CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP);
    protocol_put_string(writer, FIELD_ENV, "PATH=/usr/bin:/bin");
    host_put_mount(writer, "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    host_put_mount(writer, "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    host_put_mount(writer, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                   "newinstance,ptmxmode=0666,mode=0620,gid=5");
    return writer;
}

static inline void host_put_shell(struct protocol_writer *writer, const char *script)
{
    protocol_put_string(writer, FIELD_ARG, "sh");
    protocol_put_string(writer, FIELD_ARG, "-c");
    protocol_put_string(writer, FIELD_ARG, script);
}

/* Takes the stream connections of a process. */
static inline void host_accept_streams(struct host *host, uint64_t process, int streams[3])
{
    for (int i = 0; i < (host->terminal ? 2 : 3); i++) {
        int fd = host_accept(host);
        uint64_t stream;

        host_receive(host, fd);
        assert_int_equal(host->header.type, MESSAGE_STREAM);
        assert_int_equal(host_field_u64(host, FIELD_PROCESS), process);
        stream = host_field_u64(host, FIELD_STREAM);
        assert_true(stream < 3 && streams[stream] < 0);
        streams[stream] = fd;
    }
}

/* Sends the CONTAINER begun and takes its streams. Return: the code of the RESULT. */
static inline int host_prepare(struct host *host)
{
    host_send(host);
    host_accept_streams(host, 0, host->streams);
    return host_result(host);
}

static inline int host_start(struct host *host)
{
    host_begin(host, MESSAGE_START);
    host_send(host);
    return host_result(host);
}

/* Prepares and starts the CONTAINER begun. */
static inline void host_launch(struct host *host)
{
    if (host_prepare(host) != 0)
        fail_msg("prepare: %s", host->text);
    if (host_start(host) != 0)
        fail_msg("start: %s", host->text);
}

/* Begins an EXEC of the process @id. */
static inline struct protocol_writer *host_begin_exec(struct host *host, uint32_t id)
{
    struct protocol_writer *writer = host_begin(host, MESSAGE_EXEC);

    for (int i = 0; i < 3; i++)
        io_close(&host->further[i]);
    host->terminal = false;
    protocol_put_u64(writer, FIELD_PROCESS, id);
    protocol_put_string(writer, FIELD_ENV, "PATH=/usr/bin:/bin");
    return writer;
}

/* Sends the EXEC begun of the process @id. Return: the code of the RESULT. */
static inline int host_exec(struct host *host, uint32_t id)
{
    host_send(host);
    host_accept_streams(host, id, host->further);
    return host_result(host);
}

static inline void host_signal_process(struct host *host, uint32_t id, int number, bool all)
{
    struct protocol_writer *writer = host_begin(host, MESSAGE_SIGNAL);

    protocol_put_u64(writer, FIELD_PROCESS, id);
    protocol_put_u64(writer, FIELD_SIGNAL, (uint64_t)number);
    protocol_put_u64(writer, FIELD_ALL, all);
    host_send(host);
}

static inline void host_signal(struct host *host, int number, bool all)
{
    host_signal_process(host, 0, number, all);
}

/* Reads to the end as text. Return: bytes. */
static inline size_t host_read_text(int fd, char *text, size_t size)
{
    size_t have = 0;
    ssize_t n;

    while ((n = read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t)n;
    assert_int_equal(n, 0);
    text[have] = '\0';
    return have;
}

static inline size_t host_read_stream(struct host *host, int stream, char *text, size_t size)
{
    return host_read_text(host->streams[stream], text, size);
}

/* Reads until @wanted is in what was read; the stream must not end before. */
static inline void host_read_until(int fd, const char *wanted, char *text, size_t size)
{
    size_t have = 0;

    text[0] = '\0';
    while (!strstr(text, wanted)) {
        ssize_t n = read(fd, text + have, size - 1 - have);

        if (n <= 0)
            fail_msg("\"%s\" instead of \"%s\"", text, wanted);
        have += (size_t)n;
        text[have] = '\0';
    }
}

/* Waits for the EXIT of the process @id. Return: the status. */
static inline int host_wait_exit_of(struct host *host, uint32_t id)
{
    host_receive(host, host->control);
    assert_int_equal(host->header.type, MESSAGE_EXIT);
    assert_int_equal(host_field_u64(host, FIELD_PROCESS), id);
    return (int)host_field_u64(host, FIELD_STATUS);
}

static inline int host_wait_exit(struct host *host)
{
    return host_wait_exit_of(host, 0);
}

/* Runs the CONTAINER begun to its end, with nothing on stdin. Return: the status. */
static inline int host_run(struct host *host, char *output, size_t size)
{
    char errors[4096];

    host_launch(host);
    io_close(&host->streams[0]);
    host_read_stream(host, 1, output, size);
    host_read_stream(host, 2, errors, sizeof(errors));
    if (errors[0])
        print_message("stderr: %s", errors);
    return host_wait_exit(host);
}

#endif
