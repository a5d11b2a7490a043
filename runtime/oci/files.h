/* The files of the host that a virtual machine needs, opened and checked before anything is made.
 */
#ifndef VMRT_OCI_FILES_H
#define VMRT_OCI_FILES_H

#include "lib/error.h"
#include "oci/plan.h"

struct machine_files {
    int vmm;     /* vmrt-vmm, for execveat(2) */
    int kvm;     /* /dev/kvm */
    int kernel;  /* the guest kernel */
    int init;    /* vmrt-init */
    int console; /* where the console goes; -1: not to a file */
};

#define MACHINE_FILES_NONE                                            \
    {                                                                 \
        .vmm = -1, .kvm = -1, .kernel = -1, .init = -1, .console = -1 \
    }

/**
 * files_programs() - where vmrt-vmm and vmrt-init are: beside vmrt itself when they are there (a
 * build tree), else where they are installed.
 * @out: PATH_MAX bytes.
 */
void files_programs(char *out);

/* The guest kernel that is used when no setting names one. @out: PATH_MAX bytes. */
void files_default_kernel(char *out);

/**
 * files_open() - open everything @plan needs.
 * Return: 0, or -errno naming the file and the remedy. On failure nothing stays open.
 */
int files_open(const struct plan *plan, struct machine_files *files, struct error *err);
void files_close(struct machine_files *files);

/**
 * files_check_kernel() - is this an uncompressed 64-bit kernel with a PVH entry note?
 * Return: 0, or -ENOEXEC saying what it is not.
 */
int files_check_kernel(int fd, const char *name, struct error *err);

/* Opens @path and makes sure that it is KVM of the right version. Return: descriptor or -errno. */
int files_open_kvm(const char *path, struct error *err);

#endif
