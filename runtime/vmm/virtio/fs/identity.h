/*
 * Who the serving thread is to the host's kernel while it does one thing.
 *
 * It is root with a few capabilities. What a guest creates must belong to the guest's user from the
 * first moment, so the thread's file system ids (setfsuid(2), per thread) are switched around the
 * creating call; SECBIT_NO_SETUID_FIXUP keeps its capabilities meanwhile, because the guest has
 * already decided that the call is allowed (its root may create in a 0555 directory).
 *
 * CAP_FSETID is the opposite case: with it the kernel leaves set-user-ID and set-group-ID bits
 * alone when a file is written. Where the guest says that its user lacks the capability
 * (FUSE_HANDLE_KILLPRIV_V2), the thread lays it down first, and the host's kernel does exactly what
 * it would have done to that user.
 */
#ifndef VMRT_VMM_VIRTIO_FS_IDENTITY_H
#define VMRT_VMM_VIRTIO_FS_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/error.h"

struct fs_identity {
    bool ready;      /* fs_identity_setup() was called */
    bool privileged; /* may act as other users */
    bool may_fsetid; /* CAP_FSETID is permitted */
    bool fsetid;     /* CAP_FSETID is in effect now */
    bool acting;     /* between enter and leave */
    uid_t own_uid;   /* who the thread is otherwise */
    gid_t own_gid;
};

/* Prepares the calling thread; see fs_server_thread_setup(). Return: 0 or -errno. */
int fs_identity_setup(struct fs_identity *identity, int working_directory, struct error *err);

/**
 * fs_identity_enter() - act as @uid and @gid until fs_identity_leave().
 * Return: 0, or -EOVERFLOW when the host's user namespace has no such user or group.
 */
int fs_identity_enter(struct fs_identity *identity, uid_t uid, gid_t gid);
void fs_identity_leave(struct fs_identity *identity);

/* Takes up or lays down CAP_FSETID; costs nothing when it is so already. Return: 0 or -errno. */
int fs_identity_use_fsetid(struct fs_identity *identity, bool use);

#endif
