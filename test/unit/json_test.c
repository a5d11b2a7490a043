/* JSON: values of the right type, and messages that name the field that has the wrong one. */
#include "lib/json.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json root;
static struct error err;

static struct json parse(const char *text)
{
    memset(&err, 0, sizeof(err));
    if (json_parse(text, "config.json", &root, &err) != 0)
        fail_msg("%s", err.message);
    return root;
}

static int teardown(void **state)
{
    (void)state;
    json_free(&root);
    return 0;
}

static void expect_invalid(const char *text, const char *message)
{
    assert_int_equal(json_parse(text, "config.json", &root, &err), -EINVAL);
    assert_null(root.value);
    assert_string_equal(err.message, message);
}

static void test_documents_that_are_none(void **state)
{
    (void)state;
    expect_invalid("", "config.json: not valid JSON: parse error: premature EOF");
    expect_invalid("{\"a\":", "config.json: not valid JSON: parse error: premature EOF");
    expect_invalid("{\"a\":1}}", "config.json: not valid JSON: parse error: trailing garbage");
    expect_invalid("{a:1}",
                   "config.json: not valid JSON: lexical error: invalid char in json text.");
    expect_invalid("{\"a\":\"\xff\"}",
                   "config.json: not valid JSON: lexical error: invalid bytes in UTF8 string.");
}

/* A million brackets must be refused, not followed down the stack. */
static void test_depth_is_bounded(void **state)
{
    size_t depth = 1000000;
    char *text = malloc(2 * depth + 1);

    (void)state;
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
    expect_invalid(text, "config.json: not valid JSON: nested more than 1000 deep");
    memset(text, '[', depth);
    text[depth] = '\0';
    expect_invalid(text, "config.json: not valid JSON: nested more than 1000 deep");
    /* A quote in a comment does not begin a string (yajl takes comments). */
    memcpy(text, "/*\"*/", 5);
    expect_invalid(text, "config.json: not valid JSON: nested more than 1000 deep");
    free(text);
    /* Ends in the middle of a string, of an escape, of what might be a comment. */
    static const char *const cut[] = { "\"", "\"a", "\"a\\", "[/", "[//", "[/*", "[/* *" };
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++)
        assert_int_equal(json_parse(cut[i], "config.json", &root, &err), -EINVAL);
    /* Brackets in strings and comments do not count. */
    text = malloc(5000);
    strcpy(text, "[\"\\\"");
    memset(text + 4, '[', 3000);
    strcpy(text + 3004, "\"] // [[");
    parse(text);
    json_free(&root);
    memcpy(text, "[/*", 3);
    strcpy(text + 3004, "*/1]");
    parse(text);
    free(text);
}

static void test_typed_values(void **state)
{
    const char *text = "unchanged";
    bool flag = true;
    int64_t number = 5;
    uint64_t natural = 6;
    struct json j;

    (void)state;
    parse("{\"s\":\"x\",\"b\":false,\"i\":-3,\"u\":18446744073709551615,\"n\":null,"
          "\"f\":1.5,\"e\":1e3}");
    j = json_member(&root, "s");
    assert_int_equal(json_string(&j, &text, &err), 0);
    assert_string_equal(text, "x");
    j = json_member(&root, "b");
    assert_int_equal(json_bool(&j, &flag, &err), 0);
    assert_false(flag);
    j = json_member(&root, "i");
    assert_int_equal(json_int(&j, &number, &err), 0);
    assert_int_equal(number, -3);
    j = json_member(&root, "u");
    assert_int_equal(json_uint(&j, UINT64_MAX, &natural, &err), 0);
    assert_true(natural == UINT64_MAX);
    /* Absent and null leave things as they are. */
    j = json_member(&root, "n");
    assert_false(json_present(&j));
    assert_int_equal(json_string(&j, &text, &err), 0);
    assert_int_equal(json_bool(&j, &flag, &err), 0);
    j = json_member(&root, "absent");
    assert_int_equal(json_int(&j, &number, &err), 0);
    assert_int_equal(json_uint(&j, 1, &natural, &err), 0);
    assert_string_equal(text, "x");
    assert_int_equal(number, -3);
    assert_true(natural == UINT64_MAX);
}

static void test_wrong_types_are_named(void **state)
{
    const char *text = NULL;
    char *copy = NULL, **strings = NULL;
    bool flag = false;
    int64_t number = 0;
    uint64_t natural = 0;
    struct json j, k;

    (void)state;
    parse("{\"process\":{\"cwd\":5,\"terminal\":\"yes\",\"args\":[\"a\",{}],\"none\":[null]},"
          "\"f\":1.5,\"e\":1e3,\"neg\":-1,\"big\":18446744073709551616,\"a\":[[1]]}");
    j = json_member(&root, "process");
    k = json_member(&j, "cwd");
    assert_int_equal(json_string(&k, &text, &err), -EINVAL);
    assert_string_equal(err.message, "config.json: process.cwd: expected a string, found a number");
    assert_int_equal(json_string_copy(&k, &copy, &err), -EINVAL);
    k = json_member(&j, "terminal");
    assert_int_equal(json_bool(&k, &flag, &err), -EINVAL);
    assert_string_equal(err.message,
                        "config.json: process.terminal: expected true or false, found a string");
    k = json_member(&j, "args");
    assert_int_equal(json_strings_copy(&k, &strings, &err), -EINVAL);
    assert_string_equal(err.message,
                        "config.json: process.args[1]: expected a string, found an object");
    k = json_member(&j, "none");
    assert_int_equal(json_strings_copy(&k, &strings, &err), -EINVAL);
    assert_string_equal(err.message, "config.json: process.none[0]: expected a string, found null");
    assert_null(strings);
    assert_int_equal(json_strings_copy(&j, &strings, &err), -EINVAL);
    assert_string_equal(err.message, "config.json: process: expected an array, found an object");
    k = json_member(&root, "f");
    assert_int_equal(json_int(&k, &number, &err), -EINVAL);
    assert_string_equal(err.message, "config.json: f: expected a whole number, found 1.5");
    assert_int_equal(json_uint(&k, 10, &natural, &err), -EINVAL);
    k = json_member(&root, "e");
    assert_int_equal(json_uint(&k, 10000, &natural, &err), -EINVAL);
    k = json_member(&root, "neg");
    assert_int_equal(json_uint(&k, 10, &natural, &err), -EINVAL);
    assert_string_equal(err.message,
                        "config.json: neg: expected a non-negative whole number, found -1");
    k = json_member(&root, "big");
    assert_int_equal(json_uint(&k, UINT64_MAX, &natural, &err), -EINVAL);
    assert_int_equal(json_int(&k, &number, &err), -EINVAL);
    k = json_member(&root, "a");
    j = json_element(&k, 0);
    j = json_element(&j, 0);
    assert_int_equal(json_uint(&j, 0, &natural, &err), -EINVAL);
    assert_string_equal(err.message, "config.json: a[0][0]: expected at most 0, found 1");
    assert_int_equal(json_expect_object(&k, &err), -EINVAL);
    assert_int_equal(json_expect_array(&k, &err), 0);
    assert_int_equal(json_fail(&root, &err, E2BIG, "%d", 7), -E2BIG);
    assert_string_equal(err.message, "config.json: 7");
}

static void test_members_and_elements(void **state)
{
    const char *key, *text = NULL;
    struct json j, k;

    (void)state;
    parse("{\"a\":[\"x\",\"y\"],\"b\":1,\"b\":\"last\"}");
    j = json_member(&root, "a");
    assert_int_equal(json_length(&j), 2);
    k = json_element(&j, 1);
    assert_int_equal(json_string(&k, &text, &err), 0);
    assert_string_equal(text, "y");
    k = json_element(&j, 2);
    assert_false(json_present(&k));
    k = json_element(&k, 0);
    k = json_member(&k, "deep");
    assert_false(json_present(&k));
    assert_string_equal(k.path, "a[2][0].deep");
    /* Equal keys: the last, as in encoding/json. */
    j = json_member(&root, "b");
    assert_int_equal(json_string(&j, &text, &err), 0);
    assert_string_equal(text, "last");
    assert_int_equal(json_length(&j), 0);
    assert_int_equal(json_pair_count(&root), 3);
    assert_int_equal(json_pair_count(&j), 0);
    j = json_pair(&root, 0, &key);
    assert_string_equal(key, "a");
    assert_string_equal(j.path, "a");
}

static void test_long_paths_are_cut(void **state)
{
    static char text[20000];
    size_t used = 0;
    struct json j;

    (void)state;
    for (int i = 0; i < 50; i++)
        used += (size_t)sprintf(text + used, "{\"%0100d\":", i);
    used += (size_t)sprintf(text + used, "[1]");
    memset(text + used, '}', 50);
    j = parse(text);
    for (int i = 0; i < 50; i++) {
        char key[128];

        snprintf(key, sizeof(key), "%0100d", i);
        j = json_member(&j, key);
        assert_true(json_present(&j));
    }
    j = json_element(&j, 0);
    assert_true(json_present(&j));
    assert_true(strlen(j.path) < sizeof(j.path));
}

static void test_copies(void **state)
{
    char *copy = NULL, **strings = NULL;
    struct json j;

    (void)state;
    parse("{\"s\":\"x\",\"a\":[\"p\",\"\"],\"e\":[]}");
    j = json_member(&root, "s");
    assert_int_equal(json_string_copy(&j, &copy, &err), 0);
    assert_string_equal(copy, "x");
    free(copy);
    j = json_member(&root, "a");
    assert_int_equal(json_strings_copy(&j, &strings, &err), 0);
    assert_string_equal(strings[0], "p");
    assert_string_equal(strings[1], "");
    assert_null(strings[2]);
    strings_free(strings);
    j = json_member(&root, "e");
    assert_int_equal(json_strings_copy(&j, &strings, &err), 0);
    assert_null(strings[0]);
    strings_free(strings);
    strings_free(NULL);
}

static void test_writing(void **state)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    char *text, *list[] = { (char[]) { "a" }, (char[]) { "b" }, NULL };

    (void)state;
    yajl_gen_map_open(gen);
    json_put_string(gen, "s", "line\n\"q\"");
    json_put_string(gen, "absent", NULL);
    json_put_int(gen, "i", INT64_MIN);
    json_put_bool(gen, "b", true);
    json_put_strings(gen, "l", list);
    json_put_strings(gen, "none", NULL);
    json_put_key(gen, "k");
    json_put_int(gen, NULL, 1);
    yajl_gen_map_close(gen);
    assert_int_equal(json_take_text(gen, &text), 0);
    assert_string_equal(text, "{\"s\":\"line\\n\\\"q\\\"\",\"i\":-9223372036854775808,\"b\":true,"
                              "\"l\":[\"a\",\"b\"],\"k\":1}");
    free(text);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_documents_that_are_none),
        TEST(test_depth_is_bounded),
        TEST(test_typed_values),
        TEST(test_wrong_types_are_named),
        TEST(test_members_and_elements),
        TEST(test_long_paths_are_cut),
        TEST(test_copies),
        TEST(test_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
