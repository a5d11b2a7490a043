/* exec.LookPath for a root filesystem that is not ours. */
#include "oci/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/rootpath.h"

/* Does the guest mount something at or above @path? The last mount that covers it decides. */
static bool is_guest_place(const struct plan *plan, const char *path)
{
    bool guest = false;
    size_t best = 0;

    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];

        if (rootpath_is_below(path, mount->target) && strlen(mount->target) >= best) {
            best = strlen(mount->target);
            guest = !mount->bind;
        }
    }
    return guest;
}

/* What was changed while files are looked at with the process's eyes. */
struct eyes {
    bool changed;
    gid_t *groups; /* ours */
    int group_count;
    gid_t *theirs;
};

/* The host's id for one of the container's, which is the file server's as well. */
static uint32_t outside(const struct spec_id_map *maps, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++)
        if (id >= maps[i].inside && id - maps[i].inside < maps[i].count)
            return maps[i].outside + (id - maps[i].inside);
    return id;
}

/*
 * Access as the process has it, by the kernel's own judgement: setfsuid(2) takes the capabilities
 * over files away with the id and gives them back with it. A process that keeps CAP_DAC_OVERRIDE
 * sees what we see.
 */
static void open_eyes(const struct plan *plan, struct eyes *eyes)
{
    const struct spec *spec = plan->spec;
    const struct spec_process *process = &spec->process;
    uint32_t uid = outside(spec->uid_maps, spec->uid_map_count, process->uid);

    *eyes = (struct eyes) { 0 };
    if (uid == 0 || process->capabilities.effective & 1ull << CAP_DAC_OVERRIDE)
        return;
    eyes->group_count = getgroups(0, NULL);
    eyes->groups =
        calloc(eyes->group_count > 0 ? (size_t)eyes->group_count : 1, sizeof(*eyes->groups));
    eyes->theirs = calloc(process->group_count + 1, sizeof(*eyes->theirs));
    for (size_t i = 0; eyes->theirs && i < process->group_count; i++)
        eyes->theirs[i] = outside(spec->gid_maps, spec->gid_map_count, process->groups[i]);
    if (!eyes->theirs || !eyes->groups || getgroups(eyes->group_count, eyes->groups) < 0 ||
        setgroups(process->group_count, eyes->theirs) < 0)
        return; /* nobody else's eyes to be had: not root */
    eyes->changed = true;
    (void)setfsgid(outside(spec->gid_maps, spec->gid_map_count, process->gid));
    (void)setfsuid(uid);
}

static void close_eyes(struct eyes *eyes)
{
    if (eyes->changed) {
        (void)setfsuid(geteuid());
        (void)setfsgid(getegid());
        (void)setgroups((size_t)eyes->group_count, eyes->groups);
    }
    free(eyes->theirs);
    free(eyes->groups);
}

/* Go's findExecutable and runc's eaccess(2) after it. */
struct verdict {
    int look;   /* 0: found, -EAGAIN: only the guest can tell, -ENOEXEC: no program, or -errno */
    int access; /* 0 or -errno, when it was found */
};

static struct verdict check_file(const struct plan *plan, int root, const char *path)
{
    char joined[PATH_MAX], cleaned[PATH_MAX];
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (snprintf(joined, sizeof(joined), "%s/%s", path[0] == '/' ? "" : plan->spec->process.cwd,
                 path) >= (int)sizeof(joined) ||
        rootpath_clean(joined, cleaned) < 0)
        return (struct verdict) { .look = -ENAMETOOLONG };
    /* Not the cleaned path: "a/.." may lead elsewhere when a is a symlink. */
    fd = rootpath_open(root, joined, O_PATH);
    if (fd < 0)
        return (struct verdict) { .look = is_guest_place(plan, cleaned) ? -EAGAIN : fd };
    if (fstat(fd, &st) < 0)
        return (struct verdict) { .look = -errno };
    if (S_ISDIR(st.st_mode))
        return (struct verdict) { .look = is_guest_place(plan, cleaned) ? -EAGAIN : -EISDIR };
    if (!(st.st_mode & 0111))
        return (struct verdict) { .look = -ENOEXEC };
    /* faccessat2(2); also what a noexec mount forbids. */
    if (syscall(SYS_faccessat2, fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0)
        return (struct verdict) { .access = -errno };
    return (struct verdict) { 0 };
}

/* Go's words for an errno; they are lower case and some say less than strerror(3). */
static const char *go_words(int code)
{
    switch (code) {
    case ENOENT:
        return "no such file or directory";
    case EACCES:
        return "permission denied";
    case EISDIR:
        /* Go before 1.20 said the latter, since then the former; engines look for either. */
        return "is a directory: permission denied";
    case ENOTDIR:
        return "not a directory";
    case ELOOP:
        return "too many levels of symbolic links";
    case ENAMETOOLONG:
        return "file name too long";
    default:
        return strerror(code);
    }
}

static const char *find_variable(const char **env, const char *name)
{
    size_t length = strlen(name);
    const char *found = NULL;

    for (; env && *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            found = *env + length + 1;
    return found;
}

static int cannot_execute(const char *path, int code, struct error *err)
{
    return error_set(err, code, "unable to start container process: exec %s: %s", path,
                     go_words(code));
}

/* Whether a failure says that a file is not there, or not to be had for this user. */
static bool is_answer(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case EAGAIN:
    case ELOOP:
    case ENAMETOOLONG:
        return true;
    default:
        return false;
    }
}

static int resolve_in_path(const struct plan *plan, int root, struct error *err)
{
    const char *name = plan->spec->process.args[0];
    const char *path = find_variable(plan->spec->process.env, "PATH");
    bool unknown = false;
    int trouble = 0;

    while (path && *path) {
        size_t length = strcspn(path, ":");
        char candidate[PATH_MAX];

        /* An empty element is the working directory. */
        if (snprintf(candidate, sizeof(candidate), "%.*s/%s", length ? (int)length : 1,
                     length ? path : ".", name) < (int)sizeof(candidate)) {
            struct verdict verdict = check_file(plan, root, candidate);

            /* As Go since 1.19: the first that is found there must not be found by accident. */
            if (verdict.look == 0 && candidate[0] != '/' && !unknown)
                return error_set(err, EACCES,
                                 "unable to start container process: exec: \"%s\": cannot run "
                                 "executable found relative to current directory",
                                 name);
            if (verdict.look == 0)
                return verdict.access < 0 && !unknown
                           ? cannot_execute(candidate, -verdict.access, err)
                           : 0;
            /* As LookPath does: a directory that cannot be searched does not hide the next. */
            if (!is_answer(-verdict.look))
                trouble = -verdict.look;
            unknown = unknown || verdict.look == -EAGAIN;
        }
        path += length + (path[length] == ':');
    }
    if (unknown)
        return 0;
    if (trouble)
        return error_set(err, trouble,
                         "unable to start container process: exec: \"%s\": cannot look for it in "
                         "$PATH: %s",
                         name, go_words(trouble));
    return error_set(err, ENOENT,
                     "unable to start container process: exec: \"%s\": executable file not found "
                     "in $PATH",
                     name);
}

static int resolve_path(const struct plan *plan, int root, struct error *err)
{
    const char *name = plan->spec->process.args[0];
    struct verdict verdict = check_file(plan, root, name);

    if (verdict.look == -EAGAIN)
        return 0;
    if (verdict.look == 0)
        return verdict.access < 0 ? cannot_execute(name, -verdict.access, err) : 0;
    if (verdict.look == -EISDIR || verdict.look == -ENOEXEC)
        return error_set(err, verdict.look == -EISDIR ? EISDIR : EACCES,
                         "unable to start container process: exec: \"%s\": %s", name,
                         go_words(verdict.look == -EISDIR ? EISDIR : EACCES));
    return error_set(err, -verdict.look,
                     "unable to start container process: exec: \"%s\": stat %s: %s", name, name,
                     go_words(-verdict.look));
}

int resolve_directory(const struct plan *plan, int root, struct error *err)
{
    char path[PATH_MAX], cleaned[PATH_MAX], *end;

    if (snprintf(path, sizeof(path), "%s", plan->spec->process.cwd) >= (int)sizeof(path))
        return 0; /* for the guest to say */
    /* As MkdirAll of Go does, not the cleaned path: "a/.." may lead elsewhere. */
    for (end = path; end; *end = '/') {
        _cleanup_close_ int fd = -1;
        struct stat st;
        bool guest;

        end = strchr(end + 1, '/');
        if (end)
            *end = '\0';
        guest = rootpath_clean(path, cleaned) < 0 || is_guest_place(plan, cleaned);
        fd = guest ? -1 : rootpath_open(root, path, O_PATH);
        if (fd < 0)
            return 0;
        if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
            /* runc's words. */
            return error_set(err, ENOTDIR,
                             "unable to start container process: error during container init: "
                             "mkdir %s: not a directory",
                             path);
        if (!end)
            break;
    }
    return 0;
}

int resolve_executable(const struct plan *plan, int root, struct error *err)
{
    struct eyes eyes;
    int ret;

    open_eyes(plan, &eyes);
    ret = strchr(plan->spec->process.args[0], '/') ? resolve_path(plan, root, err)
                                                   : resolve_in_path(plan, root, err);
    close_eyes(&eyes);
    return ret;
}
