/* The last words of a guest: found in its log and nowhere else, and harmless whatever they are. */
#include "vmm/last_words.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define START 0x100000u
#define SIZE  0x40000u

static uint8_t ram[START + SIZE];
static const struct guest_memory memory = {
    .regions = { { 0, sizeof(ram), ram } },
    .count = 1,
};
static char text[200];

static int setup(void **state)
{
    (void)state;
    memset(ram, 0, sizeof(ram));
    return 0;
}

/* A record at @offset of the kernel's image: what is no text, the text, what is none again. */
static void record(size_t offset, const char *what)
{
    memset(ram + START + offset - 8, 0xff, 8);
    memcpy(ram + START + offset, what, strlen(what));
}

static size_t words(void)
{
    return last_words(&memory, START, START + SIZE, text, sizeof(text));
}

static void test_nothing_said(void **state)
{
    (void)state;
    record(64, "Linux version 6.12");
    assert_int_equal(words(), 0);
    assert_string_equal(text, "");
}

static void test_panic(void **state)
{
    (void)state;
    /* The kernel's own format string comes first and is not it. */
    record(64, "Kernel panic - not syncing: %s\n");
    record(0x20000, "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b");
    assert_true(words() > 0);
    assert_string_equal(text,
                        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b");
}

static void test_panic_with_details(void **state)
{
    (void)state;
    record(64, "BUG: unable to handle page fault for address: %px");
    record(80, "RIP: 0010:not this one, it is too far away");
    record(0x20000, "BUG: kernel NULL pointer dereference, address: 0000000000000008");
    record(0x20100, "RIP: 0010:0xffffffff81234567");
    record(0x20200, "Kernel panic - not syncing: Fatal exception");
    words();
    assert_string_equal(text, "Kernel panic - not syncing: Fatal exception; BUG: kernel NULL "
                              "pointer dereference, address: 0000000000000008; RIP: "
                              "0010:0xffffffff81234567");
}

/* On its way to a console it is copied over what was there before. */
static void test_copy_with_the_end_of_another(void **state)
{
    (void)state;
    record(0x200, "vmrt-init: /proc: no such device00");
    record(0x300, "vmrt-init: /proc: no such device");
    record(0x400, "vmrt-init: /proc: no such device[    1.2]");
    words();
    assert_string_equal(text, "vmrt-init: /proc: no such device");
}

/* As printk leaves it in its buffer when the message had a level. */
static void test_rest_of_a_level(void **state)
{
    (void)state;
    record(0x200, "Oops: double fault: 0000 [#1] SMP NOPTITI\n");
    record(0x400, "Kernel panic - not syncing: Fatal exceptionon\n");
    words();
    assert_string_equal(text, "Kernel panic - not syncing: Fatal exception; "
                              "Oops: double fault: 0000 [#1] SMP NOPTI");
}

static void test_init_gave_up(void **state)
{
    (void)state;
    record(0x200, "vmrt-init: /proc: No such device");
    record(0x400, "Kernel panic - not syncing: later");
    words();
    assert_string_equal(text, "vmrt-init: /proc: No such device");
}

/* Nothing that moves a terminal's cursor or begins a line of its own in a log. */
static void test_hostile_words(void **state)
{
    (void)state;
    record(0x200, "vmrt-init: a\033[2Jb\nlevel=error");
    words();
    assert_string_equal(text, "vmrt-init: a");
}

static void test_long_words(void **state)
{
    char line[400] = "vmrt-init: ", small[16];

    (void)state;
    memset(line + strlen(line), 'x', sizeof(line) - strlen(line) - 1);
    record(0x200, line);
    assert_int_equal(words(), 160);
    assert_memory_equal(text, line, 160);
    assert_int_equal(text[160], '\0');
    assert_int_equal(last_words(&memory, START, START + SIZE, small, sizeof(small)), 15);
    assert_string_equal(small, "vmrt-init: xxxx");
    assert_int_equal(last_words(&memory, START, START + SIZE, small, 1), 0);
    assert_string_equal(small, "");
}

/* Words that the end of the image cuts, and images that are none. */
static void test_bounds(void **state)
{
    static const char cut[] = "vmrt-init: ab";

    (void)state;
    for (size_t shown = 1; shown < sizeof(cut); shown++) {
        memset(ram, 0, sizeof(ram));
        memcpy(ram + sizeof(ram) - shown, cut, shown);
        words();
        assert_string_equal(text, shown <= 11 ? "" : shown == 12 ? "vmrt-init: a" : cut);
    }
    assert_int_equal(last_words(&memory, START, START, text, sizeof(text)), 0);
    assert_int_equal(last_words(&memory, START + SIZE, START, text, sizeof(text)), 0);
    assert_int_equal(last_words(&memory, START, START + SIZE + 1, text, sizeof(text)), 0);
    assert_int_equal(last_words(&memory, UINT64_MAX - 4, UINT64_MAX, text, sizeof(text)), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_said, setup),
        cmocka_unit_test_setup(test_panic, setup),
        cmocka_unit_test_setup(test_panic_with_details, setup),
        cmocka_unit_test_setup(test_copy_with_the_end_of_another, setup),
        cmocka_unit_test_setup(test_rest_of_a_level, setup),
        cmocka_unit_test_setup(test_init_gave_up, setup),
        cmocka_unit_test_setup(test_hostile_words, setup),
        cmocka_unit_test_setup(test_long_words, setup),
        cmocka_unit_test_setup(test_bounds, setup),
    };

    return cmocka_run_group_tests_name("last_words", tests, NULL, NULL);
}
