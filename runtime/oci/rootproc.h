/*
 * What stands at the place of the container's /proc in the mount tree on the host.
 *
 * podman top enters the monitor's mount namespace and reads /proc there (psgo). The guest's
 * processes are not the host's; what the host has of the container is its monitor.
 */
#ifndef VMRT_OCI_ROOTPROC_H
#define VMRT_OCI_ROOTPROC_H

/**
 * rootproc_fill() - show the calling process, and what it will execute, in a tmpfs.
 * @mount: the root of the tmpfs, which has its place already; the caller makes it read-only, also
 *         after a failure.
 *
 * Single files of /proc/self, and not the directory: what leads from there to other places, to
 * memory and to settings is nothing for vmrt-vmm, whose root it will be.
 *
 * Return: 0 or -errno; then some of it may be missing.
 */
int rootproc_fill(int mount);

#endif
