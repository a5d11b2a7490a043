/* Command lines: the forms that engines use, and what is said about others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/options.h"

struct parsed {
    const char *bundle;
    bool force;
    enum options_result result;
    int argc;
    char **argv;
    char said[512]; /* on stderr */
};

static const struct command command = { "test", "<id> [more]", "A command.", NULL };

/* Parses a command line of words, the command's name first. */
static struct parsed parse(char **words)
{
    static struct parsed p;
    const struct option_row rows[] = {
        { "bundle", 'b', OPTION_STRING, "DIR", "help", &p.bundle },
        { "force", 'f', OPTION_FLAG, NULL, "help", &p.force },
        { "no-pivot", 0, OPTION_IGNORED_FLAG, NULL, "help", NULL },
    };
    int saved = dup(STDERR_FILENO), pipes[2];
    ssize_t length;

    memset(&p, 0, sizeof(p));
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    dup2(pipes[1], STDERR_FILENO);
    close(pipes[1]);
    p.argv = words;
    while (words[p.argc])
        p.argc++;
    p.result = options_parse(&command, rows, 3, 1, 2, &p.argc, &p.argv);
    dup2(saved, STDERR_FILENO);
    close(saved);
    length = read(pipes[0], p.said, sizeof(p.said) - 1);
    p.said[length > 0 ? length : 0] = '\0';
    close(pipes[0]);
    return p;
}

#define PARSE(...) parse((char *[]) { (char *)"test", __VA_ARGS__, NULL })
#define W(text)    (char *)text

static void test_forms(void **state)
{
    struct parsed p = PARSE(W("--bundle"), W("/b"), W("id"));

    assert_int_equal(p.result, OPTIONS_OK);
    assert_string_equal(p.bundle, "/b");
    assert_int_equal(p.argc, 1);
    assert_string_equal(p.argv[0], "id");
    p = PARSE(W("--bundle=/b=c"), W("id"));
    assert_string_equal(p.bundle, "/b=c");
    p = PARSE(W("-b"), W("/b"), W("id"));
    assert_string_equal(p.bundle, "/b");
    p = PARSE(W("-bundle"), W("/b"), W("-no-pivot"), W("id"));
    assert_string_equal(p.bundle, "/b");
    p = PARSE(W("id"), W("--force"), W("x"));
    assert_true(p.force);
    assert_int_equal(p.argc, 2);
    assert_string_equal(p.argv[1], "x");
    p = PARSE(W("--force=false"), W("id"));
    assert_int_equal(p.result, OPTIONS_OK);
    assert_false(p.force);
    p = PARSE(W("-f"), W("--"), W("--id"));
    assert_true(p.force);
    assert_string_equal(p.argv[0], "--id");
}

static void test_errors_name_the_option(void **state)
{
    struct parsed p = PARSE(W("--bogus=1"), W("id"));

    assert_int_equal(p.result, OPTIONS_ERROR);
    assert_non_null(strstr(p.said, "test: option --bogus is not known"));
    p = PARSE(W("-x"), W("id"));
    assert_non_null(strstr(p.said, "option -x is not known"));
    p = PARSE(W("id"), W("--bundle"));
    assert_non_null(strstr(p.said, "option --bundle needs a value"));
    p = PARSE(W("--force=maybe"), W("id"));
    assert_non_null(strstr(p.said, "expected true or false, found \"maybe\""));
    p = PARSE(W("--force"));
    assert_non_null(strstr(p.said, "expected <id> [more], found 0 arguments"));
    p = PARSE(W("1"), W("2"), W("3"));
    assert_non_null(strstr(p.said, "found 3 arguments"));
}

static void test_global_options_stop_at_the_command(void **state)
{
    const char *root = NULL;
    bool debug = false;
    const struct option_row rows[] = {
        { "root", 0, OPTION_STRING, "DIR", "help", &root },
        { "debug", 0, OPTION_FLAG, NULL, "help", &debug },
        { "rootless", 0, OPTION_IGNORED_FLAG, NULL, "help", NULL },
        { "criu", 0, OPTION_IGNORED_STRING, "PATH", "help", NULL },
    };
    char *words[] = {
        W("vmrt"),    W("--root=/r"), W("--rootless=auto"), W("--criu"), W("/x"), W("kill"),
        W("--debug"), W("id"),        W("--root"),          W("/other"), NULL
    };
    char **argv = words;
    int argc = 10;

    assert_int_equal(options_parse_global(rows, 4, &argc, &argv), OPTIONS_OK);
    assert_string_equal(root, "/r");
    assert_false(debug);
    assert_int_equal(argc, 5);
    assert_string_equal(argv[0], "kill");
}

static void test_lists_and_choices(void **state)
{
    struct option_list list = { 0 };
    int tty = -1, other = -1;
    const struct option_row rows[] = {
        { "env", 'e', OPTION_LIST, "NAME=VALUE", "help", &list },
        { "tty", 't', OPTION_MAYBE, NULL, "help", &tty },
        { "other", 0, OPTION_MAYBE, NULL, "help", &other },
    };
    char *words[] = { W("test"), W("-e"), W("A=1"), W("--env=B=2"), W("-t"), W("id"), NULL };
    char **argv = words;
    int argc = 6;

    assert_int_equal(options_parse(&command, rows, 3, 1, 1, &argc, &argv), OPTIONS_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.values[0], "A=1");
    assert_string_equal(list.values[1], "B=2");
    assert_int_equal(tty, 1);
    assert_int_equal(other, -1);
    free(list.values);
}

/* What stands behind the container's id is somebody else's command line. */
static void test_the_first_argument_ends_the_options(void **state)
{
    int tty = -1;
    const struct option_row rows[] = { { "tty", 't', OPTION_MAYBE, NULL, "help", &tty } };
    char *words[] = { W("test"), W("--tty=false"), W("id"), W("sh"), W("-t"), W("--nosuch"), NULL };
    char **argv = words;
    int argc = 6;

    assert_int_equal(options_parse_leading(&command, rows, 1, 1, &argc, &argv), OPTIONS_OK);
    assert_int_equal(tty, 0);
    assert_int_equal(argc, 4);
    assert_string_equal(argv[0], "id");
    assert_string_equal(argv[3], "--nosuch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_errors_name_the_option),
        cmocka_unit_test(test_global_options_stop_at_the_command),
        cmocka_unit_test(test_lists_and_choices),
        cmocka_unit_test(test_the_first_argument_ends_the_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
