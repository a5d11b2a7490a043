/* For test programs whose every test needs the same of the machine: without it each is skipped. */
#ifndef VMRT_TEST_UNIT_SKIP_ALL_H
#define VMRT_TEST_UNIT_SKIP_ALL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static const char *skip_all_needs;

static inline void skip_all_test(void **state)
{
    print_message("skipped: needs %s\n", skip_all_needs);
    skip();
}

/* Makes all of @tests say that they are skipped, and why. */
static inline void skip_all(struct CMUnitTest *tests, size_t count, const char *needs)
{
    skip_all_needs = needs;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest) { tests[i].name, skip_all_test, NULL, NULL, NULL };
}

#endif
