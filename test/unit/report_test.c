/* Reports: one line on stderr, one in the engine's log, and never a wait for either. */
#include "vmm/report.h"

#include <time.h>

#include "stdio_world.h"

static int setup(void **state)
{
    struct stdio_world *io = calloc(1, sizeof(*io));

    stdio_begin(io);
    *state = io;
    return 0;
}

static int teardown(void **state)
{
    struct stdio_world *io = *state;

    report_setup(-1, false);
    stdio_end(io);
    free(io);
    return 0;
}

/* Reports @text and gives the line of the log. */
static void log_line(const char *text, bool json, char *line, size_t size)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    ssize_t n;

    assert_true(fd >= 0);
    report_setup(fd, json);
    report_error("%s", text);
    n = pread(fd, line, size - 1, 0);
    assert_true(n > 0);
    line[n] = '\0';
    close(fd);
}

static void expect_stderr(const struct stdio_world *io, const char *text)
{
    char seen[4096];
    size_t n = stdio_read(io, 2, seen, sizeof(seen) - 1, NULL);

    seen[n] = '\0';
    assert_string_equal(seen, text);
}

static void test_json_line(void **state)
{
    char line[4096];
    static const char begin[] =
        "{\"level\":\"error\",\"msg\":\"say \\\"no\\\" \\\\ to ?lines\",\"time\":\"";

    log_line("say \"no\" \\ to \nlines", true, line, sizeof(line));
    expect_stderr(*state, "vmrt: say \"no\" \\ to ?lines\n");
    assert_memory_equal(line, begin, sizeof(begin) - 1);
    assert_string_equal(line + sizeof(begin) - 1 + 20, "\"}\n");
}

static void test_text_line(void **state)
{
    char line[4096];
    static const char begin[] = "level=error msg=\"a \\\"b\\\" time=x\" time=\"";

    log_line("a \"b\" time=x", false, line, sizeof(line));
    expect_stderr(*state, "vmrt: a \"b\" time=x\n");
    assert_memory_equal(line, begin, sizeof(begin) - 1);
}

/* The calendar is our own: compare it with the library's, over the days that matter. */
static time_t pretended;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    *now = (struct timespec) { .tv_sec = pretended };
    return 0;
}

static void test_time_of_day_and_calendar(void **state)
{
    /* Through the leap years around 2000, 2100 and 2400, and everything near today. */
    static const struct {
        time_t from, to;
    } spans[] = { { 0, 40000 }, { 47000, 48500 }, { 156900, 157500 } };

    (void)state;
    for (size_t span = 0; span < sizeof(spans) / sizeof(spans[0]); span++)
        for (time_t day = spans[span].from; day < spans[span].to; day += span ? 1 : 3) {
            char line[256], expected[32];
            struct tm utc;
            const char *stamp;

            pretended = day * 86400 + (day * 7919) % 86400;
            gmtime_r(&pretended, &utc);
            strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &utc);
            log_line("x", true, line, sizeof(line));
            stamp = strstr(line, "\"time\":\"");
            assert_non_null(stamp);
            assert_memory_equal(stamp + 8, expected, 20);
            stdio_read(*state, 2, line, sizeof(line), NULL);
        }
}

static void test_long_message_is_cut(void **state)
{
    static char text[8192], line[8192];

    (void)state;
    memset(text, '"', sizeof(text) - 1);
    log_line(text, true, line, sizeof(line));
    assert_true(strlen(line) < 2700);
    assert_non_null(strstr(line, "\",\"time\":\""));
}

static void test_reader_that_has_gone_is_no_signal(void **state)
{
    struct stdio_world *io = *state;

    signal(SIGPIPE, SIG_DFL);
    fd_close(&io->far[2]);
    report_error("nobody");
    signal(SIGPIPE, SIG_IGN);
}

/* The last of these tests: whoever was not patient once is not any more. */
static void test_reader_that_does_not_read_costs_a_second_once(void **state)
{
    struct stdio_world *io = *state;

    stdio_fill(2);
    alarm(4);
    for (int i = 0; i < 20; i++)
        report_error("hello?");
    assert_true(alarm(0) >= 2);
    fcntl(io->far[2], F_SETFL, O_NONBLOCK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_json_line),
        TEST(test_text_line),
        TEST(test_time_of_day_and_calendar),
        TEST(test_long_message_is_cut),
        TEST(test_reader_that_has_gone_is_no_signal),
        TEST(test_reader_that_does_not_read_costs_a_second_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
