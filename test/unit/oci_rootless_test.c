/* Without root's rights: what is decided from maps, options and limits. */
#include "oci_world.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "oci/access.h"
#include "oci/idmap.h"
#include "oci/rootless.h"
#include "oci/users.h"

static void test_option_is_read_as_runc_reads_it(void **state)
{
    static const struct {
        const char *text;
        int ret;
        enum rootless value;
    } rows[] = {
        { "auto", 0, ROOTLESS_AUTO }, { "", 0, ROOTLESS_AUTO },    { "true", 0, ROOTLESS_YES },
        { "1", 0, ROOTLESS_YES },     { "false", 0, ROOTLESS_NO }, { "F", 0, ROOTLESS_NO },
        { "yes", -EINVAL, 0 },        { "truee", -EINVAL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum rootless value = ROOTLESS_AUTO;

        assert_int_equal(rootless_parse(rows[i].text, &value), rows[i].ret);
        if (rows[i].ret == 0)
            assert_int_equal(value, rows[i].value);
    }
}

static void test_initial_namespace_is_told_from_others(void **state)
{
    (void)state;
    assert_false(rootless_is_mapped("         0          0 4294967295\n"));
    assert_false(rootless_is_mapped(""));
    assert_true(rootless_is_mapped("         0       1000          1\n"));
    assert_true(rootless_is_mapped("0 0 65536\n"));
    assert_true(rootless_is_mapped("0 1000 1\n1 100000 65536\n"));
}

static void test_root_is_the_users_own(void **state)
{
    char root[256];

    (void)state;
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    rootless_root(ROOTLESS_YES, root, sizeof(root));
    assert_string_equal(root, "/run/user/7/vmrt");
    if (geteuid() == 0 && !rootless_in_user_namespace()) {
        rootless_root(ROOTLESS_AUTO, root, sizeof(root));
        assert_string_equal(root, "/run/vmrt");
    }
    unsetenv("XDG_RUNTIME_DIR");
    rootless_root(ROOTLESS_YES, root, sizeof(root));
    assert_string_equal(root, "/run/vmrt");
}

static void test_unmapped_users_are_refused_by_name(void **state)
{
    struct spec_id_map uids[] = { { 0, 1000, 1 }, { 1, 100000, 10 } };
    struct spec spec = {
        .uid_maps = uids, .uid_map_count = 2, .gid_maps = uids, .gid_map_count = 1
    };
    struct error err;

    (void)state;
    spec.process.uid = 10;
    assert_int_equal(rootless_check_user(&spec, &spec.process, &err), 0);
    spec.process.uid = 11;
    assert_int_equal(rootless_check_user(&spec, &spec.process, &err), -EINVAL);
    assert_non_null(strstr(err.message, "process.user.uid: cannot set uid to unmapped user"));
    spec.process.uid = 0;
    spec.process.gid = 1;
    assert_int_equal(rootless_check_user(&spec, &spec.process, &err), -EINVAL);
    assert_non_null(strstr(err.message, "process.user.gid"));
}

/* A plan in which nothing is limited, beside a place where no control group may be made. */
static struct plan unlimited(struct spec *spec)
{
    spec->resources.pids_limit = SPEC_UNSET;
    return (struct plan) { .spec = spec,
                           .cpus = 1,
                           .cgroup_path = "vmrt-rootless-test",
                           .limits = { .memory_max = SPEC_UNSET,
                                       .memory_swap = SPEC_UNSET,
                                       .memory_low = SPEC_UNSET,
                                       .cpu_shares = SPEC_UNSET,
                                       .cpu_quota = SPEC_UNSET,
                                       .cpu_period = SPEC_UNSET,
                                       .cpu_burst = SPEC_UNSET,
                                       .cpu_idle = SPEC_UNSET } };
}

/* In a child that is nobody: the answer is its status, the message goes through shared memory. */
static int settle_as_nobody(struct plan *plan, struct error *err)
{
    struct error *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    assert_ptr_not_equal(shared, MAP_FAILED);
    pid = fork();
    if (pid == 0) {
        bool without = false;
        int ret;

        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(99);
        ret = rootless_settle_cgroup(plan, &without, shared);
        _exit(ret < 0 ? 1 : without ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *err = *shared;
    munmap(shared, sizeof(*shared));
    return WEXITSTATUS(status);
}

static void test_limits_that_only_a_control_group_keeps_are_refused(void **state)
{
    struct spec spec = { 0 };
    struct plan plan = unlimited(&spec);
    struct error err;

    (void)state;
    if (geteuid() != 0 || access("/sys/fs/cgroup", F_OK) < 0)
        skip();
    assert_int_equal(settle_as_nobody(&plan, &err), 0);
    plan.limits.memory_max = 1 << 28;
    spec.resources.pids_limit = 100;
    assert_int_equal(settle_as_nobody(&plan, &err), 0);
    /* Whole CPUs are virtual ones, half of one is not. */
    plan.limits.cpu_quota = 100000;
    assert_int_equal(settle_as_nobody(&plan, &err), 0);
    plan.limits.cpu_quota = 50000;
    assert_int_equal(settle_as_nobody(&plan, &err), 1);
    assert_non_null(strstr(err.message, "rootless needs no limits + no cgrouppath"));
    assert_non_null(strstr(err.message, "linux.resources.cpu.quota"));
    plan = unlimited(&spec);
    plan.limits.cpu_shares = 512;
    assert_int_equal(settle_as_nobody(&plan, &err), 1);
    assert_non_null(strstr(err.message, "linux.resources.cpu.shares"));
    plan = unlimited(&spec);
    spec.cgroups_path = "/mine";
    assert_int_equal(settle_as_nobody(&plan, &err), 1);
    assert_non_null(strstr(err.message, "unable to apply cgroup configuration"));
}

/* The caller's own id needs no helper program. */
static void test_one_id_is_mapped_without_help(void **state)
{
    struct spec_id_map map = { 0, geteuid(), 1 }, group = { 0, getegid(), 1 };
    struct spec spec = {
        .uid_maps = &map, .uid_map_count = 1, .gid_maps = &group, .gid_map_count = 1
    };
    char path[48], text[128] = "";
    struct error err;
    int ends[2];
    pid_t pid;
    char byte;
    FILE *file;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        byte = unshare(CLONE_NEWUSER) == 0;
        if (write(ends[1], &byte, 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    if (!byte) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        skip();
    }
    assert_int_equal(idmap_write(pid, &spec, &err), 0);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_true(rootless_is_mapped(text));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

static void test_default_slice_of_a_user(void **state)
{
    struct arena arena = { 0 };
    struct cgroup_unit unit;
    const char *path;
    struct error err;

    (void)state;
    assert_int_equal(cgroup_unit(NULL, "c1", CGROUP_SYSTEMD_USER, &unit, &arena, &err), 0);
    assert_string_equal(unit.slice, "user.slice");
    assert_string_equal(unit.name, "vmrt-c1.scope");
    assert_int_equal(cgroup_path(":p:x", "c1", CGROUP_SYSTEMD_USER, &arena, &path, &err), 0);
    assert_string_equal(path, "/user.slice/p-x.scope");
    arena_free(&arena);
}

static void test_remedy_names_the_group(void **state)
{
    char path[] = "/tmp/vmrt-access-XXXXXX", text[256], group[64];
    struct arena arena = { 0 };
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    if (geteuid() != 0 || rootless_in_user_namespace())
        skip();
    assert_int_equal(fchown(fd, 0, 5), 0);
    assert_int_equal(fchmod(fd, 0660), 0);
    access_remedy(path, text, sizeof(text));
    snprintf(group, sizeof(group), "join the group %s:", users_group(5, &arena));
    assert_non_null(strstr(text, group));
    assert_int_equal(fchmod(fd, 0600), 0);
    access_remedy(path, text, sizeof(text));
    assert_non_null(strstr(text, "no group may use it"));
    close(fd);
    unlink(path);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_is_read_as_runc_reads_it),
        cmocka_unit_test(test_initial_namespace_is_told_from_others),
        cmocka_unit_test(test_root_is_the_users_own),
        cmocka_unit_test(test_unmapped_users_are_refused_by_name),
        cmocka_unit_test(test_limits_that_only_a_control_group_keeps_are_refused),
        cmocka_unit_test(test_one_id_is_mapped_without_help),
        cmocka_unit_test(test_default_slice_of_a_user),
        cmocka_unit_test(test_remedy_names_the_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
