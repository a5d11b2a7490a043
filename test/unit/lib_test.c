/* Errors and descriptors: messages that cannot be forged, whole reads and writes, passed files. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/error.h"
#include "lib/fd.h"
#include "lib/text.h"

/* ---- errors ---- */

static void test_error_set(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set(&err, ENOENT, "mount %s: %d", "/data", 5), -ENOENT);
    assert_int_equal(err.code, ENOENT);
    assert_string_equal(err.message, "mount /data: 5");
    assert_int_equal(error_set(NULL, EIO, "nobody listens"), -EIO);
}

static void test_error_set_errno(void **state)
{
    struct error err;

    (void)state;
    errno = EACCES;
    assert_int_equal(error_set_errno(&err, "open %s", "x"), -EACCES);
    assert_string_equal(err.message, "open x: Permission denied");
    errno = EIO;
    assert_int_equal(error_set_errno(NULL, "nobody listens"), -EIO);
}

/* A name with a line break must not look like a second line of the log. */
static void test_error_has_no_control_characters(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, EINVAL, "%s", "a\nb\tc\033[1md\177e\xc3\xa9");
    assert_string_equal(err.message, "a?b?c?[1md?e\xc3\xa9");
    errno = ENOENT;
    error_set_errno(&err, "%s", "a\nb");
    assert_string_equal(err.message, "a?b: No such file or directory");
}

static void test_error_is_cut_not_overrun(void **state)
{
    static char text[4096];
    struct error err;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    error_set(&err, EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    errno = EIO;
    error_set_errno(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

/* ---- descriptors ---- */

/* What a guest, an image or a configuration says ends in somebody's terminal. */
static void test_text_has_nothing_for_a_terminal_to_obey(void **state)
{
    static const struct {
        const char *text, *masked;
    } rows[] = {
        { "", "" },
        { "plain ~", "plain ~" },
        { "\033]0;title\007", "?]0;title?" },
        { "one\r\ntwo\177", "one??two?" },
        /* The other way to write ESC [: as a C1 control character, encoded and bare. */
        { "\302\2332J", "??2J" },
        { "\2332J", "?2J" },
        { "\302\240 caf\303\251 \342\202\254 \360\237\220\263",
          "\302\240 caf\303\251 \342\202\254 \360\237\220\263" },
        /* Cut off, too long, a surrogate, beyond Unicode. */
        { "\303", "?" },
        { "\342\202", "??" },
        { "\300\233", "??" },
        { "\340\202\233", "???" },
        { "\355\240\200", "???" },
        { "\364\220\200\200", "????" },
        { "\377\376", "??" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];

        strcpy(text, rows[i].text);
        text_mask_controls(text);
        assert_string_equal(text, rows[i].masked);
    }
}

static void test_ownership(void **state)
{
    int fd = open("/dev/null", O_RDONLY), stolen = steal_fd(&fd);
    char *text = strdup("x"), *taken = steal_pointer(&text);

    (void)state;
    assert_int_equal(fd, -1);
    assert_true(stolen >= 0);
    fd_close(&stolen);
    assert_int_equal(stolen, -1);
    fd_close(&stolen);
    assert_null(text);
    assert_string_equal(taken, "x");
    free(taken);
    {
        _cleanup_close_ int closed = -1;
        _cleanup_free_ char *freed = NULL;
        (void)closed;
        (void)freed;
    }
}

static void test_read_full_and_write_full(void **state)
{
    char data[8] = "";
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_write_full(ends[1], "abc", 3), 0);
    close(ends[1]);
    assert_int_equal(fd_read_full(ends[0], data, 2), 2);
    assert_int_equal(fd_read_full(ends[0], data, sizeof(data)), 1);
    assert_int_equal(fd_read_full(ends[0], data, sizeof(data)), 0);
    close(ends[0]);
    assert_int_equal(fd_read_full(ends[0], data, 1), -EBADF);
    assert_int_equal(fd_write_full(ends[1], data, 1), -EBADF);
}

static int file_of(size_t length)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    for (size_t i = 0; i < length; i++)
        assert_int_equal(write(fd, &"0123456789"[i % 10], 1), 1);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Around the sizes at which the buffer grows, from files and from what has no size. */
static void test_read_all(void **state)
{
    static const size_t lengths[] = { 0, 1, 4094, 4095, 4096, 4097, 8191, 8192, 20000 };

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for (int by_pipe = 0; by_pipe < 2; by_pipe++) {
            int fd = file_of(lengths[i]);
            char *data = NULL;
            size_t length = 77;

            if (by_pipe) {
                char all[20000];
                int ends[2];

                assert_int_equal(fd_read_full(fd, all, sizeof(all)), lengths[i]);
                close(fd);
                assert_int_equal(pipe(ends), 0);
                assert_int_equal(fd_write_full(ends[1], all, lengths[i]), 0);
                close(ends[1]);
                fd = ends[0];
            }
            assert_int_equal(fd_read_all(fd, 20000, &data, &length), 0);
            assert_int_equal(length, lengths[i]);
            assert_int_equal(data[length], '\0');
            if (length)
                assert_int_equal(data[length - 1], "0123456789"[(length - 1) % 10]);
            free(data);
            close(fd);
        }
}

static void test_read_all_has_a_limit(void **state)
{
    int fd = file_of(101), zero = open("/dev/zero", O_RDONLY);
    char *data = NULL;

    (void)state;
    assert_int_equal(fd_read_all(fd, 100, &data, NULL), -EFBIG);
    assert_int_equal(fd_read_all(zero, 1 << 20, &data, NULL), -EFBIG);
    assert_int_equal(fd_read_all(fd, 101, &data, NULL), 0);
    free(data);
    close(fd);
    close(zero);
    assert_int_equal(fd_read_file(AT_FDCWD, "/nonexistent", 1, &data, NULL), -ENOENT);
    /* A file of /proc, whose size is said to be 0. */
    assert_int_equal(fd_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &data, NULL), 0);
    assert_non_null(strstr(data, "Pid:"));
    free(data);
}

static void test_write_file_atomic(void **state)
{
    char path[] = "/tmp/lib_test.XXXXXX";
    int dir;
    char *data = NULL;
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(path));
    dir = open(path, O_RDONLY | O_DIRECTORY);
    umask(0);
    assert_int_equal(fd_write_file_atomic(dir, "state.json", "one", 3, 0600), 0);
    assert_int_equal(fd_write_file_atomic(dir, "state.json", "two", 3, 0640), 0);
    assert_int_equal(fd_read_file(dir, "state.json", 100, &data, NULL), 0);
    assert_string_equal(data, "two");
    free(data);
    assert_int_equal(fstatat(dir, "state.json", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    /* The place is taken by a directory: an error, and nothing left behind. */
    assert_int_equal(mkdirat(dir, "taken", 0700), 0);
    assert_int_equal(fd_write_file_atomic(dir, "taken", "x", 1, 0600), -EISDIR);
    assert_int_equal(unlinkat(dir, "taken", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(dir, "state.json", 0), 0);
    close(dir);
    assert_int_equal(rmdir(path), 0);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_descriptors_travel_in_messages(void **state)
{
    int pair[2], sent[3], received[4], before;
    size_t count = 4;
    char data[16] = "";

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    for (int i = 0; i < 3; i++)
        sent[i] = file_of((size_t)i + 1);
    before = open_descriptors();
    assert_int_equal(fd_send_message(pair[0], "hello", 5, sent, 3), 0);
    assert_int_equal(fd_receive_message(pair[1], data, sizeof(data), received, &count), 5);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++) {
        struct stat st;

        assert_int_equal(fstat(received[i], &st), 0);
        assert_int_equal(st.st_size, i + 1);
        assert_true(fcntl(received[i], F_GETFD) & FD_CLOEXEC);
        close(received[i]);
    }
    /* More than there is room for: the rest is closed. */
    count = 1;
    assert_int_equal(fd_send_message(pair[0], "x", 1, sent, 3), 0);
    assert_int_equal(fd_receive_message(pair[1], data, sizeof(data), received, &count), 1);
    assert_int_equal(count, 1);
    close(received[0]);
    /* None wanted at all, and a message that does not fit. */
    assert_int_equal(fd_send_message(pair[0], "x", 1, sent, 2), 0);
    assert_int_equal(fd_receive_message(pair[1], data, sizeof(data), NULL, NULL), 1);
    count = 4;
    assert_int_equal(fd_send_message(pair[0], "0123456789", 10, sent, 2), 0);
    assert_int_equal(fd_receive_message(pair[1], data, 4, received, &count), -EMSGSIZE);
    assert_int_equal(count, 0);
    assert_int_equal(open_descriptors(), before);
    int many[FD_MESSAGE_MAX + 1];
    for (int i = 0; i <= FD_MESSAGE_MAX; i++)
        many[i] = sent[0];
    assert_int_equal(fd_send_message(pair[0], "x", 1, many, FD_MESSAGE_MAX + 1), -E2BIG);
    assert_int_equal(fd_send_message(pair[0], "x", 1, many, FD_MESSAGE_MAX), 0);
    count = 0;
    assert_int_equal(fd_receive_message(pair[1], data, sizeof(data), NULL, &count), 1);
    close(pair[0]);
    count = 4;
    assert_int_equal(fd_receive_message(pair[1], data, sizeof(data), received, &count), 0);
    assert_int_equal(fd_send_message(pair[1], "x", 1, NULL, 0), -EPIPE);
    close(pair[1]);
    for (int i = 0; i < 3; i++)
        close(sent[i]);
}

static void test_sealed_memory_file(void **state)
{
    int fd = fd_memfd_sealed("plan", "text", 4);
    char data[8] = "";

    (void)state;
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(read(fd, data, sizeof(data)), 4);
    assert_string_equal(data, "text");
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 100), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set),
        cmocka_unit_test(test_error_set_errno),
        cmocka_unit_test(test_error_has_no_control_characters),
        cmocka_unit_test(test_error_is_cut_not_overrun),
        cmocka_unit_test(test_text_has_nothing_for_a_terminal_to_obey),
        cmocka_unit_test(test_ownership),
        cmocka_unit_test(test_read_full_and_write_full),
        cmocka_unit_test(test_read_all),
        cmocka_unit_test(test_read_all_has_a_limit),
        cmocka_unit_test(test_write_file_atomic),
        cmocka_unit_test(test_descriptors_travel_in_messages),
        cmocka_unit_test(test_sealed_memory_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
