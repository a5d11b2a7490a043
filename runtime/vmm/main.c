/* vmrt-vmm: one virtual machine. Reads its plan, runs it, exits with the workload's status. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "init/protocol.h"
#include "lib/fd.h"
#include "vmm/plan.h"
#include "vmm/ready.h"
#include "vmm/report.h"
#include "vmm/session.h"
#include "vmm/supervisor.h"

#define PLAN_SIZE_MAX (1u << 20)

static const char help[] =
    "Usage: vmrt-vmm PLAN.json\n"
    "       vmrt-vmm --plan-fd N\n"
    "\n"
    "Runs one virtual machine and exits with its workload's status (128 + n after signal n, 125\n"
    "when the machine itself failed). vmrt starts it; people and tests may, with a plan such as\n"
    "\n"
    "  { \"kernel\": \"vmlinux\", \"init\": \"vmrt-init\", \"memory_mib\": 256, \"cpus\": 1,\n"
    "    \"root\": \"/srv/rootfs\", \"args\": [\"/bin/uname\", \"-r\"], \"console\": \"stderr\" }\n"
    "\n"
    "  kernel      uncompressed ELF with a PVH note      init       static executable for PID 1\n"
    "  root, args  directory and command to run in it    env, cwd   of the command\n"
    "  memory_mib  guest RAM (at least 40)               cpus       1 to 64\n"
    "  cmdline     appended to the kernel's              console    \"off\" or \"stderr\"\n"
    "  shares      [{\"path\": …, \"readonly\": …}]          exit_stats true: count KVM exits\n"
    "  rng_late    true: bind the rng after boot         sandbox    false: none (tests only)\n"
    "\n"
    "Options:\n"
    "  --plan-fd N   read the plan from an inherited descriptor\n"
    "  --version     print the version\n"
    "  --help        print this\n";

static int fail(const struct error *err, int ready_fd)
{
    /* The runtime that is waiting says it in its own words; nobody waiting: say it here. */
    if (ready_fd < 0)
        report_error("%s", err->message);
    else
        (void)ready_tell(&ready_fd, err);
    return SESSION_STATUS_FAILED;
}

/*
 * A stdio descriptor that is closed would be taken by the next file opened here, and the guest
 * could write into that. The root may be a container's, without a /dev/null.
 */
static void fill_stdio(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            (void)open("/", O_RDONLY | O_DIRECTORY);
}

static int read_plan(int fd, const char *path, struct vm_plan *plan, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    int ret = path ? fd_read_file(AT_FDCWD, path, PLAN_SIZE_MAX, &text, NULL)
                   : fd_read_all(fd, PLAN_SIZE_MAX, &text, NULL);

    if (ret < 0) {
        plan_init(plan);
        return error_set(err, -ret, "VM plan %s: %s", path ? path : "descriptor", strerror(-ret));
    }
    return plan_parse(text, plan, err);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "plan-fd", required_argument, NULL, 'p' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct vm_plan plan;
    struct error err;
    int option, fd = -1, ret;
    long number;
    char *end;

    /* Before Linux 6.14 execveat(2) leaves a descriptor's number there (oci/plan_network.c). */
    prctl(PR_SET_NAME, "vmrt-vmm", 0, 0, 0);
    while ((option = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            number = strtol(optarg, &end, 10);
            fd = (int)number;
            if (end == optarg || *end || number < 0 || number > INT_MAX) {
                fprintf(stderr, "vmrt-vmm: --plan-fd: expected a descriptor, found %s\n", optarg);
                return SESSION_STATUS_FAILED;
            }
            break;
        case 'v':
            printf("vmrt-vmm version %s\ncommit: %s\n", BUILD_VERSION, BUILD_COMMIT);
            return 0;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs("vmrt-vmm --help lists the options\n", stderr);
            return SESSION_STATUS_FAILED;
        }
    }
    if ((fd < 0) != (optind == argc - 1)) {
        fputs("vmrt-vmm: expected one plan file, or --plan-fd N; see --help\n", stderr);
        return SESSION_STATUS_FAILED;
    }
    fill_stdio();
    umask(0);
    ret = read_plan(fd, fd < 0 ? argv[optind] : NULL, &plan, &err);
    report_setup(plan.log_fd, plan.log_json);
    if (plan.terminal)
        report_to_terminal();
    if (fd >= 0)
        close(fd);
    if (ret == 0) {
        int ready_fd = plan.ready_fd;

        ret = supervisor_run(&plan, &err);
        if (ret < 0)
            ret = fail(&err, ready_fd);
    } else {
        ret = fail(&err, plan.ready_fd);
    }
    _exit(ret);
}
