/* Giving up privileges: capabilities by libcap-ng, system calls by filters made at build time. */
#include "vmm/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_filters.h"

#define COUNT(array) ((unsigned short)(sizeof(array) / sizeof((array)[0])))

static const struct {
    const struct sock_filter *code;
    unsigned short length;
    bool keeps_capabilities;
} threads[SANDBOX_THREADS] = {
    [SANDBOX_MAIN] = { sandbox_filter_main, COUNT(sandbox_filter_main), false },
    [SANDBOX_VCPU] = { sandbox_filter_vcpu, COUNT(sandbox_filter_vcpu), false },
    [SANDBOX_FS] = { sandbox_filter_fs, COUNT(sandbox_filter_fs), true },
    [SANDBOX_NET] = { sandbox_filter_net, COUNT(sandbox_filter_net), false },
};

/*
 * The file server acts for every user of the guest: it creates files as them (SETUID, SETGID,
 * MKNOD), reaches what the guest's own checks allow (DAC_*, FOWNER) and sets what they set (CHOWN,
 * FSETID, SETFCAP).
 */
static const unsigned int file_server_capabilities[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,  CAP_FSETID,
    CAP_SETUID, CAP_SETGID,       CAP_MKNOD,           CAP_SETFCAP,
};

static int cut_capabilities(bool file_server, struct error *err)
{
    size_t count = sizeof(file_server_capabilities) / sizeof(file_server_capabilities[0]);

    capng_clear(CAPNG_SELECT_BOTH);
    for (size_t i = 0; file_server && i < count; i++)
        if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
                         file_server_capabilities[i]) < 0)
            return error_set(err, EPERM, "sandbox: capability %u", file_server_capabilities[i]);
    /* The bounding set only matters to execve, which no filter allows; without SETPCAP it stays. */
    if (capng_apply(CAPNG_SELECT_BOUNDS) < 0 && geteuid() == 0)
        return error_set(err, EPERM, "sandbox: the capability bounding set cannot be emptied");
    if (capng_apply(CAPNG_SELECT_CAPS) < 0)
        return error_set(err, EPERM, "sandbox: capabilities cannot be dropped");
    return 0;
}

int sandbox_process(bool file_server, struct error *err)
{
    const struct rlimit none = { 0, 0 };
    bool privileged = geteuid() == 0;

    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return error_set_errno(err, "sandbox: RLIMIT_CORE");
    /* A thread that may choose its policy may not choose one that keeps the host's off the CPU. */
    if (setrlimit(RLIMIT_RTPRIO, &none) < 0)
        return error_set_errno(err, "sandbox: RLIMIT_RTPRIO");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(err, "sandbox: no_new_privs");
    if (privileged) {
        int ret;

        /*
         * The file server changes its fsuid around each creation and must keep its capabilities
         * meanwhile (capabilities(7), "SECBIT_NO_SETUID_FIXUP"). Setting it needs SETPCAP, so now.
         */
        if (file_server && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
            return error_set_errno(err, "sandbox: securebits");
        ret = cut_capabilities(file_server, err);

        if (ret < 0)
            return ret;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set_errno(err, "sandbox: not dumpable");
    return 0;
}

int sandbox_thread(enum sandbox_thread kind, struct error *err)
{
    struct sock_fprog program = { threads[kind].length, (struct sock_filter *)threads[kind].code };

    if (!threads[kind].keeps_capabilities) {
        capng_clear(CAPNG_SELECT_CAPS);
        if (capng_apply(CAPNG_SELECT_CAPS) < 0)
            return error_set(err, EPERM, "sandbox: capabilities cannot be dropped");
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return error_set_errno(err, "sandbox: system call filter (CONFIG_SECCOMP_FILTER)");
    return 0;
}
