/* Processor and KVM; a /dev/kvm that only interprets is told from one that runs guests. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/access.h"
#include "oci/checks.h"
#include "oci/files.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define KVM_DEVICE   "/dev/kvm"

#define REMEDY_CPU                                                                               \
    "enable virtualization (VT-x, AMD-V) in the firmware; in a virtual machine, turn on nested " \
    "virtualization in its host"

/* What vmrt-vmm needs of KVM. */
static const struct {
    int number;
    const char *name;
} needed[] = {
    { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },   { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },       { KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
};

/*
 * Extensions that every KVM on vmx or svm has, and a software KVM has not: it has no nested state
 * to save, no system management mode, and emulates no other hypervisor.
 */
static const int hardware[] = { KVM_CAP_X86_SMM, KVM_CAP_NESTED_STATE, KVM_CAP_HYPERV_CPUID };

/* Is @word one of the flags of the first processor? */
static bool cpu_has(const char *text, const char *word)
{
    const char *flags = strstr(text, "\nflags");
    size_t length = strlen(word), line;

    if (!flags)
        return false;
    line = strcspn(++flags, "\n");
    for (const char *p = flags; (p = strstr(p, word)) && p < flags + line; p += length)
        if (p[-1] == ' ' && (p[length] == ' ' || p[length] == '\n'))
            return true;
    return false;
}

static bool has_virtualization(void)
{
    _cleanup_free_ char *text = NULL;

    if (fd_read_file(AT_FDCWD, "/proc/cpuinfo", 16u << 20, &text, NULL) < 0)
        return false;
    return cpu_has(text, "vmx") || cpu_has(text, "svm");
}

void check_cpu(const char *host_settings, struct check_result *result)
{
    if (has_virtualization())
        check_set(result, CHECK_OK, "", "the processor has virtualization extensions");
    else
        check_set(result, CHECK_MISSING, REMEDY_CPU,
                  "the processor shows neither vmx nor svm in /proc/cpuinfo");
}

void check_kvm_device(const char *host_settings, struct check_result *result)
{
    struct error err;
    _cleanup_close_ int fd = files_open_kvm(KVM_DEVICE, &err);

    if (fd == -EACCES || fd == -EPERM) {
        char remedy[256];

        access_remedy(KVM_DEVICE, remedy, sizeof(remedy));
        check_set(result, CHECK_MISSING, remedy, KVM_DEVICE ": permission denied");
    } else if (fd < 0)
        check_set(result, CHECK_MISSING,
                  "modprobe kvm_intel (or kvm_amd); in a container, pass --device " KVM_DEVICE,
                  "%s", err.message);
    else
        check_set(result, CHECK_OK, "", "%s can be used", KVM_DEVICE);
}

void check_kvm_complete(const char *host_settings, struct check_result *result)
{
    _cleanup_close_ int fd = files_open_kvm(KVM_DEVICE, NULL);
    bool software = access("/sys/module/kvm_pvm", F_OK) == 0;
    int found = 0;

    if (fd < 0) {
        check_set(result, CHECK_MISSING, "", "cannot be told without %s", KVM_DEVICE);
        return;
    }
    for (size_t i = 0; i < COUNT(needed); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0) {
            check_set(result, CHECK_MISSING, "use a newer kernel", "%s lacks %s", KVM_DEVICE,
                      needed[i].name);
            return;
        }
    for (size_t i = 0; i < COUNT(hardware); i++)
        found += ioctl(fd, KVM_CHECK_EXTENSION, hardware[i]) > 0;
    if (software || (found == 0 && !has_virtualization()))
        check_set(result, CHECK_MISSING, REMEDY_CPU,
                  "%s is a software KVM: it interprets guests and cannot run an ordinary kernel",
                  KVM_DEVICE);
    else
        check_set(result, CHECK_OK, "", "%s runs guests on the processor", KVM_DEVICE);
}
