/*
 * The order of things (DESIGN.md "Life of a container"): plan, open files, state directory, the
 * monitor's process, its control group, its namespaces, hooks, mount tree and VM, state, pid-file.
 */
#include "oci/creation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "oci/console.h"
#include "oci/control_client.h"
#include "oci/fields.h"
#include "oci/files.h"
#include "oci/hooks.h"
#include "oci/monitor.h"
#include "oci/notify.h"
#include "oci/pidfile.h"
#include "oci/plan.h"
#include "oci/process.h"
#include "oci/relay.h"
#include "oci/rootless.h"
#include "oci/scope.h"
#include "oci/settings.h"
#include "oci/uplink.h"

/* Everything one creation holds, so that it can be let go in one place. */
struct creation {
    const struct creation_request *request;
    struct container *container;
    char bundle[PATH_MAX];
    char *config; /* text of config.json */
    struct spec spec;
    struct settings settings;
    struct plan plan;
    struct machine_files files;
    int control, notify;
    struct console console;
    int console_socket; /* connected */
    struct monitor monitor;
    bool no_cgroup;   /* asked for, or the caller has no right to one */
    bool reserved;    /* the state directory is ours */
    bool hooks_began; /* prestart was reached */
};

/* In the foreground the terminal is as large as our own. */
static void take_own_size(struct creation *c)
{
    struct winsize size;

    if (!c->spec.process.terminal || c->request->detach || !relay_own_size(&size))
        return;
    c->spec.process.console_rows = size.ws_row;
    c->spec.process.console_columns = size.ws_col;
}

static enum cgroup_driver driver(const struct creation *c)
{
    if (!c->request->systemd_cgroup)
        return CGROUP_CGROUPFS;
    return c->request->rootless ? CGROUP_SYSTEMD_USER : CGROUP_SYSTEMD;
}

static int decide_limits(struct creation *c, struct error *err)
{
    struct json section = json_member(&c->spec.document, "linux");
    struct json resources = json_member(&section, "resources");
    int ret = cgroup_limits_read(&resources, &c->plan.limits, &c->plan.arena, err);

    c->no_cgroup = c->request->no_cgroup;
    /* systemd has rights of its own. */
    if (ret == 0 && c->request->rootless && !c->no_cgroup && !c->request->systemd_cgroup)
        ret = rootless_settle_cgroup(&c->plan, &c->no_cgroup, err);
    /* There is no limit that vmrt-vmm could meet, and will be none. */
    if (c->no_cgroup)
        c->plan.exhaust_mib = c->plan.files_max = 0;
    return ret;
}

static int decide(struct creation *c, struct error *err)
{
    char config[PATH_MAX + 16];
    struct plan_request request = { .id = c->request->id,
                                    .bundle = c->bundle,
                                    .root = c->request->root,
                                    .driver = driver(c),
                                    .notify = c->request->notify_socket,
                                    .descriptors = c->request->descriptors };
    int ret;

    if (!realpath(c->request->bundle, c->bundle))
        return error_set_errno(err, "bundle %s", c->request->bundle);
    snprintf(config, sizeof(config), "%s/config.json", c->bundle);
    ret = spec_load(c->request->config ? c->request->config : config, &c->spec, &c->config, err);
    if (ret == 0)
        ret = fields_check(&c->spec.document, err);
    if (ret == 0)
        ret = console_check(c->spec.process.terminal, c->request->detach,
                            c->request->console_socket, err);
    if (ret == 0)
        take_own_size(c);
    if (ret == 0)
        ret = settings_load(c->request->host_settings, &c->spec, &c->settings, err);
    if (ret == 0)
        ret = plan_make(&c->spec, &c->settings, &request, &c->plan, err);
    if (ret == 0)
        ret = rootless_check_user(&c->spec, &c->spec.process, err);
    return ret == 0 ? decide_limits(c, err) : ret;
}

/* RFC 3339 with nanoseconds, trailing zeros cut, as Go prints it. */
static const char *time_now(struct arena *arena)
{
    struct timespec now;
    struct tm utc;
    char stamp[32], fraction[16];
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(fraction, sizeof(fraction), ".%09ld", now.tv_nsec);
    for (length = strlen(fraction); length > 0 && strchr("0.", fraction[length - 1]); length--)
        fraction[length - 1] = '\0';
    return arena_format(arena, "%s%sZ", stamp, fraction);
}

/* The strings of a container outlive the spec: they are the container's own. */
static int describe_container(struct creation *c, struct error *err)
{
    struct container *container = c->container;
    struct arena *arena = &container->arena;

    container->oci_version = arena_strdup(arena, c->spec.oci_version);
    container->bundle = arena_strdup(arena, c->bundle);
    container->rootfs = arena_strdup(arena, c->plan.rootfs);
    container->memory_mib = c->plan.memory_mib;
    container->cpus = c->plan.cpus;
    container->net_vhost = c->plan.net_vhost;
    container->uplink = c->plan.uplink;
    container->memory_limit =
        c->spec.resources.memory_limit == SPEC_UNSET ? 0 : c->spec.resources.memory_limit;
    container->created = time_now(arena);
    container->annotations = arena_array(arena, c->spec.annotation_count, sizeof(struct spec_pair));
    if (!container->oci_version || !container->bundle || !container->rootfs ||
        !container->created || !container->annotations)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < c->spec.annotation_count; i++) {
        struct spec_pair *pair = &container->annotations[container->annotation_count++];

        pair->key = arena_strdup(arena, c->spec.annotations[i].key);
        pair->value = arena_strdup(arena, c->spec.annotations[i].value);
        if (!pair->key || !pair->value)
            return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

static int reserve(struct creation *c, struct error *err)
{
    int ret = container_reserve(c->request->root, c->request->id, c->container, err);

    if (ret < 0)
        return ret;
    c->reserved = true;
    ret = describe_container(c, err);
    if (ret < 0)
        return ret;
    ret = fd_write_file_atomic(c->container->directory, CONTAINER_CONFIG, c->config,
                               strlen(c->config), 0600);
    if (ret < 0)
        return error_set(err, -ret, "%s/%s/%s: %s", c->request->root, c->request->id,
                         CONTAINER_CONFIG, strerror(-ret));
    c->control = control_listen(c->container->directory, err);
    return c->control < 0 ? c->control : 0;
}

/* The value for the host's OOM killer is that of the workload: killing the VM kills it. */
static int set_oom_score(const struct creation *c, struct error *err)
{
    char path[48], text[16];
    _cleanup_close_ int fd = -1;
    int ret;

    if (c->spec.process.oom_score_adj == SPEC_UNSET)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)c->monitor.pid);
    snprintf(text, sizeof(text), "%lld", (long long)c->spec.process.oom_score_adj);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    ret = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
    return ret < 0 ? error_set(err, -ret, "config.json: process.oomScoreAdj: cannot set %s: %s",
                               text, strerror(-ret))
                   : 0;
}

/* Where it will be is written down before it is made, so that it can be found in any case. */
static int make_cgroup(struct creation *c, struct error *err)
{
    struct container *container = c->container;
    struct scope_request request = { .id = container->id,
                                     .pid = c->monitor.pid,
                                     .limits = &c->plan.limits };
    const char *path = c->plan.cgroup_path;
    struct cgroup found;
    int ret = cgroup_find(path, &found, &container->arena, err);

    if (ret == 0)
        ret = cgroup_check_free(&found, err);
    if (ret == 0 && c->request->systemd_cgroup)
        ret = cgroup_unit(c->spec.cgroups_path, container->id, driver(c), &request.unit,
                          &container->arena, err);
    if (ret < 0)
        return ret;
    request.v2 = found.v2;
    request.user = driver(c) == CGROUP_SYSTEMD_USER;
    container->cgroup = found;
    if (c->request->systemd_cgroup)
        scope_describe(&request, &container->scope);
    ret = container_save(container, err);
    if (ret == 0 && c->request->systemd_cgroup) {
        ret = scope_start(&request, &container->scope, &container->arena, &path, err);
        /* The user's own manager has a group of its own, below which everything else is. */
        if (ret == 0 && strcmp(path, c->plan.cgroup_path) != 0) {
            ret = cgroup_find(path, &container->cgroup, &container->arena, err);
            if (ret == 0)
                ret = container_save(container, err);
        }
    }
    return ret == 0 ? cgroup_make(&container->cgroup, err) : ret;
}

/* From here on `delete --force` finds what a killed create leaves behind. */
static int place(struct creation *c, struct error *err)
{
    struct container *container = c->container;
    int ret;

    container->pid = c->monitor.pid;
    ret = process_start_time(c->monitor.pid, &container->start_time);
    if (ret < 0)
        return error_set(err, -ret, "/proc/%d/stat: %s", (int)c->monitor.pid, strerror(-ret));
    ret = c->no_cgroup ? container_save(container, err) : make_cgroup(c, err);
    if (ret == 0)
        ret = cgroup_apply(&container->cgroup, &c->plan.limits, err);
    if (ret == 0)
        ret = cgroup_add(&container->cgroup, c->monitor.pid, err);
    return ret == 0 ? set_oom_score(c, err) : ret;
}

static int run_hooks(struct creation *c, struct error *err)
{
    _cleanup_free_ char *state =
        container_state_text(c->container, CONTAINER_CREATING, CONTAINER_FOR_HOOKS);
    int ret;

    if (!state)
        return error_set(err, ENOMEM, "out of memory");
    ret = hooks_run(&c->spec.hooks, HOOK_PRESTART, state, c->bundle, err);
    return ret == 0 ? hooks_run(&c->spec.hooks, HOOK_CREATE_RUNTIME, state, c->bundle, err) : ret;
}

static int open_console(struct creation *c, struct error *err)
{
    const struct spec_process *process = &c->spec.process;

    if (c->request->console_socket) {
        c->console_socket = console_connect(c->request->console_socket, err);
        if (c->console_socket < 0)
            return c->console_socket;
    }
    return console_open(&c->console, process->console_rows, process->console_columns, err);
}

/* What connects the container with those who asked for it, opened while refusing is easy. */
static int connect_outside(struct creation *c, struct error *err)
{
    int ret = 0;

    if (c->request->notify_socket) {
        c->notify = notify_connect(c->request->notify_socket, err);
        if (c->notify < 0)
            return c->notify;
    }
    if (c->spec.process.terminal)
        ret = open_console(c, err);
    return ret;
}

static int start_machine(struct creation *c, struct error *err)
{
    struct monitor_request request = { .plan = &c->plan,
                                       .files = &c->files,
                                       .control = c->control,
                                       .notify = c->notify,
                                       .terminal = c->console.slave };
    int ret = monitor_spawn(&request, &c->monitor, err);

    if (ret == 0)
        ret = place(c, err);
    if (ret == 0)
        ret = monitor_enter_namespaces(&c->monitor, err);
    if (ret == 0 && c->plan.uplink)
        ret = uplink_add(c->container, err);
    c->hooks_began = ret == 0;
    if (ret == 0)
        ret = run_hooks(c, err);
    return ret == 0 ? monitor_start_vmm(&c->monitor, err) : ret;
}

static int build(struct creation *c, struct error *err)
{
    int ret = reserve(c, err);

    if (ret == 0)
        ret = connect_outside(c, err);
    if (ret == 0)
        ret = start_machine(c, err);
    /* Held by us, the terminal would never hang up. */
    fd_close(&c->console.slave);
    if (ret == 0 && c->console_socket >= 0)
        ret = console_send(c->console_socket, c->console.master, err);
    if (ret < 0)
        return ret;
    c->container->complete = true;
    ret = container_save(c->container, err);
    return ret == 0 ? pidfile_write(c->request->pid_file, c->monitor.pid, err) : ret;
}

/*
 * runtime.md "Lifecycle": what fails from the prestart hooks on is followed by destroying the
 * container, and that by its poststop hooks. As with runc, their own failures are only logged.
 */
static void run_poststop(struct creation *c)
{
    _cleanup_free_ char *state =
        container_state_text(c->container, CONTAINER_STOPPED, CONTAINER_FOR_HOOKS);
    struct error err;

    if (state && hooks_run(&c->spec.hooks, HOOK_POSTSTOP, state, c->bundle, &err) < 0)
        log_warning("%s", err.message);
}

/* Failures on the way out are worth a line, but the first one is the error. */
static void undo(struct creation *c)
{
    struct error err;

    monitor_kill(&c->monitor);
    if (!c->reserved)
        return;
    if (container_remove_cgroup(c->container, &err) < 0)
        log_debug("%s", err.message);
    if (c->container->uplink && c->container->start_time && uplink_remove(c->container, &err) < 0)
        log_warning("%s", err.message);
    if (c->hooks_began)
        run_poststop(c);
    if (container_discard(c->request->root, c->container, &err) < 0)
        log_debug("%s", err.message);
}

int creation_run(const struct creation_request *request, int *master, struct container *container,
                 struct error *err)
{
    struct creation c = { .request = request,
                          .container = container,
                          .files = MACHINE_FILES_NONE,
                          .control = -1,
                          .notify = -1,
                          .console = CONSOLE_NONE,
                          .console_socket = -1,
                          .monitor = { .pid = -1, .channel = -1, .ready = -1 } };
    int ret;

    *container = (struct container) { .parent = -1, .directory = -1 };
    ret = container_check_id(request->id, err);
    if (ret == 0)
        ret = decide(&c, err);
    if (ret == 0)
        ret = files_open(&c.plan, &c.files, err);
    if (ret == 0)
        ret = build(&c, err);
    if (ret < 0)
        undo(&c);
    else if (master)
        *master = steal_fd(&c.console.master);
    monitor_release(&c.monitor);
    console_close(&c.console);
    fd_close(&c.console_socket);
    fd_close(&c.notify);
    fd_close(&c.control);
    files_close(&c.files);
    plan_release(&c.plan);
    settings_free(&c.settings);
    spec_free(&c.spec);
    free(c.config);
    return ret;
}
