/*
 * Images and processes that try to make init, or what has not yet become a process of the
 * container, work for them. Each test has the name of what it was elsewhere, if it was something.
 */
#include "init_host.h"

#include "init/identity.h"

/* More descriptors than init has. */
#define DESCRIPTORS 24

/* Those that engines give by default: not SYS_PTRACE. */
#define CAPABILITIES 0xa80425fbull

/* A CONTAINER whose /dev is the image's own. */
static struct protocol_writer *begin_without_dev(struct host *host)
{
    struct protocol_writer *writer = host_begin(host, MESSAGE_CONTAINER);

    protocol_put_string(writer, FIELD_ID, "test-container");
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_string(writer, FIELD_ENV, "PATH=/bin");
    host_put_mount(writer, "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    return writer;
}

/* ---- CVE-2024-21626: a working directory through a descriptor of the runtime ---- */

static void test_cwd_through_a_descriptor_at_create(void **state)
{
    struct host *host = host_get(state);

    for (int i = 0; i < DESCRIPTORS; i++) {
        struct protocol_writer *writer = host_begin_container(host);
        char cwd[64];

        snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", i);
        protocol_put_string(writer, FIELD_CWD, cwd);
        host_put_shell(writer, "pwd");
        /* Another container each time: the one before may not be gone yet. */
        protocol_store32(writer->data + 8, (uint32_t)i);
        assert_int_not_equal(host_prepare(host), 0);
        for (int j = 0; j < 3; j++)
            io_close(&host->streams[j]);
    }
}

static void test_cwd_through_a_descriptor_at_exec(void **state)
{
    static const char *const tails[] = { "", "/", "/." };
    struct host *host = host_get(state);

    host_put_shell(host_begin_container(host), "read line; exit 9");
    host_launch(host);
    for (int i = 0; i < DESCRIPTORS; i++) {
        uint32_t id = (uint32_t)i + 1;
        struct protocol_writer *writer = host_begin_exec(host, id);
        char cwd[64];

        snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d%s", i, tails[i % 3]);
        protocol_put_string(writer, FIELD_CWD, cwd);
        host_put_shell(writer, "pwd");
        assert_int_not_equal(host_exec(host, id), 0);
    }
    io_close(&host->streams[0]);
    assert_int_equal(host_wait_exit(host), 9);
}

/* Return: what identity_apply() says in a root that a descriptor leads out of. */
static int apply_outside(const struct host *host)
{
    struct process_plan plan = { .cwd = "/proc/self/fd/100" };
    struct failure failure;

    mkdir(host_path(host, "image/proc"), 0755);
    if (unshare(CLONE_NEWNS) < 0 ||
        mount("proc", host_path(host, "image/proc"), "proc", 0, NULL) < 0 ||
        dup2(open("/", O_RDONLY | O_DIRECTORY), 100) < 0 || chroot(host_path(host, "image")) < 0 ||
        chdir("/") < 0)
        return 1;
    return identity_apply(&plan, &failure) == -EXDEV && strstr(failure.text, "outside") ? 0 : 2;
}

/* Should a descriptor ever be forgotten, it still does not lead out. */
static void test_cwd_outside_of_the_root_is_noticed(void **state)
{
    struct host *host = host_get(state);
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(apply_outside(host));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- CVE-2025-31133: what is bound over masked files ---- */

static void check_mask(void **state, void (*make_null)(const struct host *host))
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[256];

    host_write_file(host_path(host, "image/secret"), "secret\n");
    host_write_file(host_path(host, "image/bait"), "bait\n");
    mkdir(host_path(host, "image/dev"), 0755);
    make_null(host);
    writer = begin_without_dev(host);
    protocol_put_string(writer, FIELD_MASKED_PATH, "/secret");
    host_put_shell(writer, "cat /secret; echo x > /secret; cat /secret; stat -c %t:%T /secret;"
                           "cat /bait");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "1:3\nbait\n");
}

static void link_null(const struct host *host)
{
    assert_int_equal(symlink("/bait", host_path(host, "image/dev/null")), 0);
}

static void test_mask_with_a_link_for_dev_null(void **state)
{
    check_mask(state, link_null);
}

static void fake_null(const struct host *host)
{
    host_write_file(host_path(host, "image/dev/null"), "bait\n");
}

static void test_mask_with_a_file_for_dev_null(void **state)
{
    check_mask(state, fake_null);
}

static void dangle_null(const struct host *host)
{
    assert_int_equal(symlink("/nowhere", host_path(host, "image/dev/null")), 0);
}

static void test_mask_with_a_dangling_dev_null(void **state)
{
    check_mask(state, dangle_null);
}

/* ---- CVE-2025-52565: where the console is bound ---- */

static void test_console_through_a_link_stays_inside(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[256];

    mkdir(host_path(host, "outside"), 0755);
    host_write_file(host_path(host, "outside/console"), "untouched");
    mkdir(host_path(host, "image/dev"), 0755);
    mkdir(host_path(host, "image/dev/pts"), 0755);
    assert_int_equal(symlink(host_path(host, "outside/console"),
                             host_path(host, "image/dev/console")),
                     0);
    writer = begin_without_dev(host);
    host_put_mount(writer, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                   "newinstance,ptmxmode=0666,mode=0620,gid=5");
    host->terminal = true;
    protocol_put_u64(writer, FIELD_TERMINAL, 1);
    protocol_put_string(writer, FIELD_MASKED_PATH, "/proc/timer_list");
    host_put_shell(writer, "stat -L -c %t:%T /dev/console; cat /proc/timer_list");
    host_launch(host);
    host_read_stream(host, 1, output, sizeof(output));
    assert_string_equal(output, "88:0\r\n");
    assert_int_equal(host_wait_exit(host), 0);
    assert_true(io_read_file(AT_FDCWD, host_path(host, "outside/console"), output, sizeof(output)) >
                0);
    assert_string_equal(output, "untouched");
}

/* ---- CVE-2019-19921, CVE-2023-27561, CVE-2025-52881: procfs that is none ---- */

static void test_sysfs_through_a_link_is_refused(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;

    assert_int_equal(symlink("etc", host_path(host, "image/sys")), 0);
    writer = host_begin_container(host);
    host_put_mount(writer, "/sys", "sysfs", 0, NULL);
    host_put_shell(writer, "true");
    assert_int_equal(host_prepare(host), ENOTDIR);
}

/* init writes the kernel's own files, whatever the image has at their names. */
static void test_sysctls_and_oom_score_do_not_go_to_the_images_proc(void **state)
{
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char output[256];
    size_t mark;

    mkdir(host_path(host, "image/proc"), 0755);
    mkdir(host_path(host, "image/proc/self"), 0755);
    mkdir(host_path(host, "image/proc/sys"), 0755);
    mkdir(host_path(host, "image/proc/sys/kernel"), 0755);
    host_write_file(host_path(host, "image/proc/self/oom_score_adj"), "bait\n");
    host_write_file(host_path(host, "image/proc/sys/kernel/shm_rmid_forced"), "bait\n");
    writer = host_begin(host, MESSAGE_CONTAINER);
    protocol_put_u64(writer, FIELD_ROOT_SHARE, 0);
    protocol_put_u64(writer, FIELD_NAMESPACES, CLONE_NEWIPC);
    protocol_put_string(writer, FIELD_ENV, "PATH=/bin");
    protocol_put_u64(writer, FIELD_OOM_SCORE_ADJ, 300);
    mark = protocol_open(writer, FIELD_SYSCTL);
    protocol_put_string(writer, FIELD_KEY, "kernel.shm_rmid_forced");
    protocol_put_string(writer, FIELD_VALUE, "1");
    protocol_close(writer, mark);
    host_put_mount(writer, "/tmp/proc", "proc", 0, NULL);
    host_put_shell(writer, "cat /proc/self/oom_score_adj /proc/sys/kernel/shm_rmid_forced;"
                           "cat /tmp/proc/$$/oom_score_adj /tmp/proc/sys/kernel/shm_rmid_forced");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "bait\nbait\n300\n1\n");
}

/* ---- links at every place where something is mounted or made ---- */

static void test_links_at_all_places_stay_inside(void **state)
{
    static const char *const names[] = { "dev", "run", "var", "data", "work", "masked", "ro" };
    struct host *host = host_get(state);
    struct protocol_writer *writer;
    char path[64], output[4096];

    mkdir(host_path(host, "outside"), 0755);
    mkdir(host_path(host, "shares/1"), 0755);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "image/%s", names[i]);
        assert_int_equal(symlink(host_path(host, "outside"), host_path(host, path)), 0);
    }
    writer = host_begin_container(host);
    host_put_mount(writer, "/var/tmpfs", "tmpfs", 0, NULL);
    host_put_share(writer, "/data/share", 1, MS_BIND, false);
    protocol_put_u64(writer, FIELD_NOTIFY, 1);
    protocol_put_string(writer, FIELD_CWD, "/work/here");
    protocol_put_string(writer, FIELD_MASKED_PATH, "/masked/tmpfs");
    protocol_put_string(writer, FIELD_READONLY_PATH, "/ro/share");
    host_put_shell(writer, "pwd; ls /run; test -c /dev/null && echo null");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_non_null(strstr(output, "/outside/here\n"));
    assert_non_null(strstr(output, "notify\n"));
    assert_non_null(strstr(output, "null\n"));
    /* Empty still: that is when a directory can be removed. */
    assert_int_equal(rmdir(host_path(host, "outside")), 0);
}

/* ---- CVE-2016-9962: looking into what is still a copy of init ---- */

/* A hook is a program of the image, with the rights of the process that waits for it. */
static void test_hook_cannot_look_into_the_process_that_waits(void **state)
{
    struct host *host = host_get(state);
    uint64_t sets[5] = { CAPABILITIES, CAPABILITIES, 0, CAPABILITIES, 0 };
    struct protocol_writer *writer;
    char output[4096];
    size_t mark;

    host_write_file(host_path(host, "image/bin/hook"),
                    "#!/bin/sh\n"
                    "exec > /log 2>&1\n"
                    "readlink /proc/1/exe || echo exe\n"
                    "readlink /proc/1/fd/3 || echo fd\n"
                    "cat /proc/1/environ 2>/dev/null || echo environ\n"
                    "{ dd if=/proc/1/mem bs=1 count=1; } 2>/dev/null || echo mem\n"
                    "{ ls /proc/1/root/; } 2>/dev/null || echo root\n"
                    "for f in /proc/$$/fd/*; do echo ${f##*/}; done\n");
    assert_int_equal(chmod(host_path(host, "image/bin/hook"), 0755), 0);
    writer = host_begin_container(host);
    host_put_capabilities(writer, sets);
    mark = protocol_open(writer, FIELD_HOOK);
    protocol_put_u64(writer, FIELD_HOOK_KIND, 1);
    protocol_put_string(writer, FIELD_HOOK_PATH, "/bin/hook");
    protocol_close(writer, mark);
    /* The program itself can be looked into again, as any. */
    host_put_shell(writer, "cat /log; readlink /proc/1/exe");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    /* 10 is the shell's own, its script; 3 the directory it reads. */
    assert_string_equal(output, "exe\nfd\nenviron\nmem\nroot\n0\n1\n10\n2\n3\n/bin/busybox\n");
}

/* ---- what is read of an image ---- */

static void test_endless_passwd_file(void **state)
{
    struct host *host = host_get(state);
    char output[256];

    assert_int_equal(truncate(host_path(host, "image/etc/passwd"), 1ll << 40), 0);
    host_put_shell(host_begin_container(host), "echo $HOME");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "/root\n");
    for (int i = 0; i < 3; i++)
        io_close(&host->streams[i]);
    protocol_put_u64(host_begin_container(host), FIELD_UID, 5);
    host_put_shell(&host->writer, "echo $HOME");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "/\n");
}

static void test_fifo_for_a_passwd_file(void **state)
{
    struct host *host = host_get(state);
    char output[256];

    assert_int_equal(unlink(host_path(host, "image/etc/passwd")), 0);
    assert_int_equal(mkfifo(host_path(host, "image/etc/passwd"), 0666), 0);
    host_put_shell(host_begin_container(host), "echo $HOME");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "/\n");
}

/* The kernel takes no string of 128 KiB; init lives on. */
static void test_huge_environment(void **state)
{
    struct host *host = host_get(state);
    char *huge = malloc(3u << 20), output[256];

    assert_non_null(huge);
    memset(huge, 'x', 3u << 20);
    memcpy(huge, "HUGE=", 5);
    huge[(3u << 20) - 1] = '\0';
    protocol_put_string(host_begin_container(host), FIELD_ENV, huge);
    free(huge);
    host_put_shell(&host->writer, "true");
    host_launch(host);
    host_read_stream(host, 2, output, sizeof(output));
    assert_string_equal(output, "exec /bin/sh: argument list too long\n");
    assert_int_equal(host_wait_exit(host), 1);
    for (int i = 0; i < 3; i++)
        io_close(&host->streams[i]);
    host_put_shell(host_begin_container(host), "echo alive");
    assert_int_equal(host_run(host, output, sizeof(output)), 0);
    assert_string_equal(output, "alive\n");
}

/* ---- who is believed to be init ---- */

static void check_secret(struct host *host, const uint8_t *secret)
{
    struct protocol_field field = { 0 };

    /* The last message of the last stream connection. */
    io_close(&host->further[0]);
    host->further[0] = host_accept(host);
    host_receive(host, host->further[0]);
    assert_int_equal(host->header.type, MESSAGE_STREAM);
    assert_int_equal(protocol_find(host->fields, FIELD_SECRET, &field), 1);
    assert_int_equal(field.value.length, PROTOCOL_SECRET_SIZE);
    assert_memory_equal(field.value.data, secret, PROTOCOL_SECRET_SIZE);
}

static void test_streams_show_the_secret(void **state)
{
    static const uint8_t secret[] = "sixteen bytes...";
    struct host *host = host_get(state);

    protocol_put_bytes(host_begin(host, MESSAGE_SETUP), FIELD_SECRET, secret,
                       PROTOCOL_SECRET_SIZE - 1);
    host_send(host);
    assert_int_equal(host_result(host), EPROTO);
    protocol_put_bytes(host_begin(host, MESSAGE_SETUP), FIELD_SECRET, secret, PROTOCOL_SECRET_SIZE);
    host_send(host);
    assert_int_equal(host_result(host), 0);
    host_put_shell(host_begin_container(host), "true");
    host_send(host);
    for (int i = 0; i < 3; i++)
        check_secret(host, secret);
    assert_int_equal(host_result(host), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cwd_through_a_descriptor_at_create),
        TEST(test_cwd_through_a_descriptor_at_exec),
        TEST(test_cwd_outside_of_the_root_is_noticed),
        TEST(test_mask_with_a_link_for_dev_null),
        TEST(test_mask_with_a_file_for_dev_null),
        TEST(test_mask_with_a_dangling_dev_null),
        TEST(test_console_through_a_link_stays_inside),
        TEST(test_sysfs_through_a_link_is_refused),
        TEST(test_sysctls_and_oom_score_do_not_go_to_the_images_proc),
        TEST(test_links_at_all_places_stay_inside),
        TEST(test_hook_cannot_look_into_the_process_that_waits),
        TEST(test_endless_passwd_file),
        TEST(test_fifo_for_a_passwd_file),
        TEST(test_huge_environment),
        TEST(test_streams_show_the_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
