/* What the programs that test vmrt-net alone share: a world for each test, and their main(). */
#ifndef VMRT_TEST_UNIT_NET_FIXTURE_H
#define VMRT_TEST_UNIT_NET_FIXTURE_H

#include "net_world.h"

#include <sys/prctl.h>

static struct world world;

static inline int setup(void **state)
{
    world_setup(&world);
    return 0;
}

static inline int teardown(void **state)
{
    world_teardown(&world);
    /* Watchers end with their connection. */
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Runs @tests where that is possible, as the reaper of the watchers they leave. */
#define run_all(tests)                                         \
    (world_require(tests, sizeof(tests) / sizeof((tests)[0])), \
     prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? 1         \
                                                   : cmocka_run_group_tests(tests, NULL, NULL))

#endif
