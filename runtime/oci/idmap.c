/* Maps of one id are written, all others are newuidmap's and newgidmap's business. */
#include "oci/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/fd.h"

#define COMPLAINT_MAX 4096
#define NOT_EXECUTED  127

struct map {
    const char *field, *file, *program, *allowed; /* which file says what may be mapped */
    const struct spec_id_map *ranges;
    size_t count;
    uint32_t own;
};

static int write_file(pid_t pid, const char *name, const char *text)
{
    char path[48];
    _cleanup_close_ int fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
}

static int write_own(pid_t pid, const struct map *map, struct error *err)
{
    char text[64];
    int ret = 0;

    /* user_namespaces(7): what the caller's groups deny to it must not be had by leaving them. */
    if (strcmp(map->file, "gid_map") == 0)
        ret = write_file(pid, "setgroups", "deny");
    snprintf(text, sizeof(text), "%" PRIu32 " %" PRIu32 " 1\n", map->ranges[0].inside, map->own);
    if (ret == 0)
        ret = write_file(pid, map->file, text);
    return ret < 0 ? error_set(err, -ret, "config.json: linux.%s: cannot write the %s: %s",
                               map->field, map->file, strerror(-ret))
                   : 0;
}

static __attribute__((noreturn)) void exec_program(const char *const *args, int complaint)
{
    if (dup2(complaint, STDOUT_FILENO) < 0 || dup2(complaint, STDERR_FILENO) < 0)
        _exit(NOT_EXECUTED);
    execvp(args[0], (char *const *)args);
    _exit(NOT_EXECUTED);
}

static int call_program(pid_t pid, const struct map *map, struct arena *arena, struct error *err)
{
    const char **args = arena_array(arena, 3 * map->count + 3, sizeof(*args));
    _cleanup_close_ int complaint = memfd_create(map->program, MFD_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    size_t used = 0;
    int status = 0;
    pid_t child;

    if (!args)
        return error_set(err, ENOMEM, "out of memory");
    args[used++] = map->program;
    args[used++] = arena_format(arena, "%d", (int)pid);
    for (size_t i = 0; i < map->count; i++) {
        args[used++] = arena_format(arena, "%" PRIu32, map->ranges[i].inside);
        args[used++] = arena_format(arena, "%" PRIu32, map->ranges[i].outside);
        args[used++] = arena_format(arena, "%" PRIu64, map->ranges[i].count);
    }
    for (size_t i = 0; i < used; i++)
        if (!args[i])
            return error_set(err, ENOMEM, "out of memory");
    if (complaint < 0)
        return error_set_errno(err, "memfd");
    child = fork();
    if (child < 0)
        return error_set_errno(err, "fork");
    if (child == 0)
        exec_program(args, complaint);
    if (waitpid(child, &status, 0) < 0)
        return error_set_errno(err, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_EXECUTED)
        return error_set(err, ENOENT,
                         "config.json: linux.%s: only the caller's own id %" PRIu32
                         " can be mapped without %s: install the package uidmap",
                         map->field, map->own, map->program);
    if (lseek(complaint, 0, SEEK_SET) == 0 &&
        fd_read_all(complaint, COMPLAINT_MAX, &text, NULL) == 0)
        text[strcspn(text, "\n")] = '\0';
    return error_set(err, EPERM, "config.json: linux.%s: %s (%s says what may be mapped)",
                     map->field, text && text[0] ? text : map->program, map->allowed);
}

static int write_map(pid_t pid, const struct map *map, struct error *err)
{
    struct arena arena = { 0 };
    int ret;

    if (map->count == 1 && map->ranges[0].count == 1 && map->ranges[0].outside == map->own)
        return write_own(pid, map, err);
    ret = call_program(pid, map, &arena, err);
    arena_free(&arena);
    return ret;
}

int idmap_write(pid_t pid, const struct spec *spec, struct error *err)
{
    const struct map uids = { .field = "uidMappings",
                              .file = "uid_map",
                              .program = "newuidmap",
                              .allowed = "/etc/subuid",
                              .ranges = spec->uid_maps,
                              .count = spec->uid_map_count,
                              .own = geteuid() };
    const struct map gids = { .field = "gidMappings",
                              .file = "gid_map",
                              .program = "newgidmap",
                              .allowed = "/etc/subgid",
                              .ranges = spec->gid_maps,
                              .count = spec->gid_map_count,
                              .own = getegid() };
    int ret = write_map(pid, &uids, err);

    return ret == 0 ? write_map(pid, &gids, err) : ret;
}
