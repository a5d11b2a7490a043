/* Who the serving thread is to the host's kernel while it does one thing. */
#include "vmm/virtio/fs/identity.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libc's wrappers for these would change every thread; the system calls change only the caller. */

static int read_capabilities(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static int write_capabilities(const struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static bool has(uint32_t set, unsigned int capability)
{
    return set & CAP_TO_MASK(capability);
}

int fs_identity_setup(struct fs_identity *identity, int working_directory, struct error *err)
{
    struct __user_cap_data_struct data[2];
    int r;

    if (identity->ready)
        return 0;
    if (unshare(CLONE_FS) < 0)
        return error_set_errno(err, "file server: cannot have a working directory of its own");
    umask(0);
    if (fchdir(working_directory) < 0)
        return error_set_errno(err, "file server: cannot enter /proc/self/fd");
    r = read_capabilities(data);
    if (r < 0)
        return error_set(err, -r, "file server: cannot read its capabilities");
    identity->privileged = has(data[0].effective, CAP_SETUID) && has(data[0].effective, CAP_SETGID);
    identity->may_fsetid = has(data[0].permitted, CAP_FSETID);
    identity->fsetid = has(data[0].effective, CAP_FSETID);
    identity->own_uid = geteuid();
    identity->own_gid = getegid();
    if (identity->privileged) {
        int bits = prctl(PR_GET_SECUREBITS);

        /*
         * Where a user namespace denies that to everybody (user_namespaces(7)), the groups stay
         * those of the user who made it, who could have read the files all the same.
         */
        if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
            return error_set_errno(err, "file server: cannot leave its supplementary groups");
        if (bits < 0 || (!(bits & SECBIT_NO_SETUID_FIXUP) &&
                         prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) < 0))
            return error_set_errno(err, "file server: cannot set SECBIT_NO_SETUID_FIXUP");
    }
    identity->ready = true;
    return 0;
}

/* The calls return the id before, never an error: asking for id -1 reads without changing. */
static bool switch_uid(uid_t uid)
{
    syscall(SYS_setfsuid, uid);
    return (uid_t)syscall(SYS_setfsuid, (uid_t)-1) == uid;
}

static bool switch_gid(gid_t gid)
{
    syscall(SYS_setfsgid, gid);
    return (gid_t)syscall(SYS_setfsgid, (gid_t)-1) == gid;
}

int fs_identity_enter(struct fs_identity *identity, uid_t uid, gid_t gid)
{
    if (!identity->privileged || (uid == identity->own_uid && gid == identity->own_gid))
        return 0;
    identity->acting = true;
    if (switch_gid(gid) && switch_uid(uid))
        return 0;
    fs_identity_leave(identity);
    return -EOVERFLOW;
}

void fs_identity_leave(struct fs_identity *identity)
{
    if (!identity->acting)
        return;
    identity->acting = false;
    syscall(SYS_setfsuid, identity->own_uid);
    syscall(SYS_setfsgid, identity->own_gid);
}

int fs_identity_use_fsetid(struct fs_identity *identity, bool use)
{
    struct __user_cap_data_struct data[2];
    int r;

    if (identity->fsetid == use || !identity->may_fsetid)
        return 0;
    r = read_capabilities(data);
    if (r < 0)
        return r;
    if (use)
        data[0].effective |= CAP_TO_MASK(CAP_FSETID);
    else
        data[0].effective &= ~CAP_TO_MASK(CAP_FSETID);
    r = write_capabilities(data);
    if (r == 0)
        identity->fsetid = use;
    return r;
}
