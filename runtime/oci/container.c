/* State directories and state.json. */
#include "oci/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "oci/bind.h"
#include "oci/control_client.h"
#include "oci/process.h"
#include "oci/seccomp_cache.h"
#include "oci/users.h"

#define COUNT(table)      (sizeof(table) / sizeof((table)[0]))
#define STATE_SIZE_MAX    (8u << 20)
#define STATUS_TIMEOUT_MS 2000

int container_check_id(const char *id, struct error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-";

    if (!id[0])
        return error_set(err, EINVAL, "container id cannot be empty");
    if (id[strspn(id, allowed)] || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
        strlen(id) > NAME_MAX)
        return error_set(
            err, EINVAL,
            "invalid container ID format: \"%s\": expected letters, digits and _ + - .", id);
    return 0;
}

/* The state root and its parents, which may be an engine's own; @made NULL: only if it is there. */
static int open_root(const char *root, bool *made, struct error *err)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s", root) >= (int)sizeof(path))
        return error_set(err, ENAMETOOLONG, "--root %s", root);
    for (char *slash = path; made && slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        /* basedir-spec: in XDG_RUNTIME_DIR the sticky bit says that it is still needed. */
        if (path[0] && mkdir(path, slash ? 0700 : 01700) == 0)
            *made = !slash;
        else if (path[0] && errno != EEXIST)
            return error_set_errno(err, "cannot make the state directory %s", path);
        if (slash)
            *slash = '/';
    }
    fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    return fd < 0 ? error_set_errno(err, "--root %s", root) : fd;
}

static void clear(struct container *container)
{
    memset(container, 0, sizeof(*container));
    container->parent = container->directory = -1;
}

/* Another command may take away the root that it had made itself: then once more. */
static int make_directory(const char *root, const char *id, struct container *container,
                          struct error *err)
{
    for (int tries = 0; tries < 16; tries++) {
        container->parent = open_root(root, &container->made_root, err);
        if (container->parent == -ENOENT)
            continue;
        if (container->parent < 0)
            return container->parent;
        if (mkdirat(container->parent, id, 0700) == 0)
            return 0;
        if (errno == EEXIST)
            return error_set(err, EEXIST, "container with given ID already exists");
        if (errno != ENOENT)
            return error_set_errno(err, "state directory %s/%s", root, id);
        fd_close(&container->parent);
    }
    return error_set(err, ENOENT, "--root %s: %s", root, strerror(ENOENT));
}

int container_reserve(const char *root, const char *id, struct container *container,
                      struct error *err)
{
    int ret;

    clear(container);
    container->id = arena_strdup(&container->arena, id);
    if (!container->id)
        return error_set(err, ENOMEM, "out of memory");
    ret = make_directory(root, id, container, err);
    if (ret < 0)
        return ret;
    container->directory =
        openat(container->parent, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (container->directory < 0) {
        ret = error_set_errno(err, "state directory %s/%s", root, id);
        unlinkat(container->parent, id, AT_REMOVEDIR);
        return ret;
    }
    return 0;
}

static int read_cgroup(struct container *container, struct error *err)
{
    struct json cgroup = json_member(&container->document, "cgroup");
    struct json v2 = json_member(&cgroup, "v2"), paths = json_member(&cgroup, "paths");
    struct json controllers = json_member(&cgroup, "controllers");
    const char **list = NULL, **names = NULL;
    int ret = json_bool(&v2, &container->cgroup.v2, err);

    if (ret == 0)
        ret = bind_strings(&paths, &list, &container->arena, err);
    if (ret == 0)
        ret = bind_strings(&controllers, &names, &container->arena, err);
    for (; ret == 0 && list && *list && container->cgroup.count < CGROUP_PATHS_MAX; list++) {
        container->cgroup.controllers[container->cgroup.count] = names && *names ? *names++ : "";
        container->cgroup.paths[container->cgroup.count++] = *list;
    }
    return ret;
}

static int read_annotations(struct container *container, struct error *err)
{
    struct json object = json_member(&container->document, "annotations");
    size_t count = json_pair_count(&object);
    int ret = json_expect_object(&object, err);

    container->annotations = arena_array(&container->arena, count, sizeof(struct spec_pair));
    if (!container->annotations)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < count; i++) {
        struct spec_pair *pair = &container->annotations[container->annotation_count];
        struct json value = json_pair(&object, i, &pair->key);

        ret = json_string(&value, &pair->value, err);
        if (ret == 0 && pair->value)
            container->annotation_count++;
    }
    return ret;
}

static int read_state(struct container *container, const char *text, struct error *err)
{
    static const struct binding rows[] = {
        { "ociVersion", BIND_STRING, offsetof(struct container, oci_version), "a version" },
        { "id", BIND_STRING, offsetof(struct container, id), "an id" },
        { "bundle", BIND_STRING, offsetof(struct container, bundle), "a path" },
        { "rootfs", BIND_STRING, offsetof(struct container, rootfs), "a path" },
        { "created", BIND_STRING, offsetof(struct container, created), "a time" },
        { "pid", BIND_I64, offsetof(struct container, pid), "a process id" },
        { "pid_start_time", BIND_U64, offsetof(struct container, start_time), "a start time" },
        { "scope", BIND_STRING, offsetof(struct container, scope.name), NULL },
        { "user_scope", BIND_BOOL, offsetof(struct container, scope.user), NULL },
        { "memory_mib", BIND_U32, offsetof(struct container, memory_mib), NULL },
        { "cpus", BIND_U32, offsetof(struct container, cpus), NULL },
        { "net_vhost", BIND_BOOL, offsetof(struct container, net_vhost), NULL },
        { "memory_limit", BIND_I64, offsetof(struct container, memory_limit), NULL },
        { "uplink", BIND_BOOL, offsetof(struct container, uplink), NULL },
        { "complete", BIND_BOOL, offsetof(struct container, complete), "true or false" },
        { "started", BIND_BOOL, offsetof(struct container, started), "true or false" },
    };
    int ret = json_parse(text, CONTAINER_STATE, &container->document, err);

    if (ret == 0)
        ret =
            bind_object(&container->document, rows, COUNT(rows), container, &container->arena, err);
    if (ret == 0)
        ret = read_cgroup(container, err);
    return ret == 0 ? read_annotations(container, err) : ret;
}

int container_open(const char *root, const char *id, struct container *container, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    int ret;

    clear(container);
    ret = container_check_id(id, err);
    if (ret < 0)
        return ret;
    container->parent = open_root(root, NULL, err);
    if (container->parent >= 0) {
        container->id = arena_strdup(&container->arena, id);
        container->directory =
            openat(container->parent, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    } else if (container->parent != -ENOENT) {
        return container->parent;
    }
    if (container->directory < 0)
        return error_set(err, ENOENT, "container does not exist");
    ret = fd_read_file(container->directory, CONTAINER_STATE, STATE_SIZE_MAX, &text, NULL);
    /* create is at it, or was killed at once: for engines, it is not there. */
    if (ret == -ENOENT)
        return error_set(err, EINVAL, "container does not exist");
    if (ret < 0)
        return error_set(err, -ret, "container %s: %s: %s", id, CONTAINER_STATE, strerror(-ret));
    ret = read_state(container, text, err);
    return ret < 0 ? -EINVAL : 0;
}

static void put_pairs(yajl_gen gen, const char *key, const struct spec_pair *pairs, size_t count)
{
    json_put_key(gen, key);
    yajl_gen_map_open(gen);
    for (size_t i = 0; i < count; i++)
        json_put_string(gen, pairs[i].key, pairs[i].value);
    yajl_gen_map_close(gen);
}

int container_save(const struct container *container, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    yajl_gen gen = yajl_gen_alloc(NULL);
    int ret;

    if (!gen)
        return error_set(err, ENOMEM, "out of memory");
    yajl_gen_map_open(gen);
    json_put_string(gen, "ociVersion", container->oci_version);
    json_put_string(gen, "id", container->id);
    json_put_int(gen, "pid", container->pid);
    json_put_int(gen, "pid_start_time", (int64_t)container->start_time);
    json_put_string(gen, "bundle", container->bundle);
    json_put_string(gen, "rootfs", container->rootfs);
    json_put_string(gen, "created", container->created);
    json_put_int(gen, "memory_mib", container->memory_mib);
    json_put_int(gen, "cpus", container->cpus);
    json_put_bool(gen, "net_vhost", container->net_vhost);
    json_put_int(gen, "memory_limit", container->memory_limit);
    json_put_bool(gen, "uplink", container->uplink);
    json_put_bool(gen, "complete", container->complete);
    json_put_bool(gen, "started", container->started);
    put_pairs(gen, "annotations", container->annotations, container->annotation_count);
    json_put_key(gen, "cgroup");
    yajl_gen_map_open(gen);
    json_put_bool(gen, "v2", container->cgroup.v2);
    json_put_key(gen, "paths");
    yajl_gen_array_open(gen);
    for (size_t i = 0; i < container->cgroup.count; i++)
        json_put_string(gen, NULL, container->cgroup.paths[i]);
    yajl_gen_array_close(gen);
    json_put_key(gen, "controllers");
    yajl_gen_array_open(gen);
    for (size_t i = 0; i < container->cgroup.count; i++)
        json_put_string(gen, NULL, container->cgroup.controllers[i]);
    yajl_gen_array_close(gen);
    yajl_gen_map_close(gen);
    json_put_string(gen, "scope", container->scope.name);
    json_put_bool(gen, "user_scope", container->scope.user);
    yajl_gen_map_close(gen);
    ret = json_take_text(gen, &text);
    if (ret == 0)
        ret = fd_write_file_atomic(container->directory, CONTAINER_STATE, text, strlen(text), 0600);
    return ret < 0 ? error_set(err, -ret, "%s: %s", CONTAINER_STATE, strerror(-ret)) : 0;
}

enum container_status container_status(const struct container *container)
{
    struct protocol_writer request = { 0 };
    struct control_answer answer;
    int ret;

    if (!process_is_alive((pid_t)container->pid, container->start_time))
        return CONTAINER_STOPPED;
    if (!container->complete)
        return CONTAINER_CREATING;
    protocol_begin(&request, CONTROL_STATUS, 0, 0);
    ret = control_ask(container->directory, &request, STATUS_TIMEOUT_MS, &answer);
    if (ret == 0 && answer.code == 0)
        return strcmp(answer.state, "created") == 0  ? CONTAINER_CREATED
               : strcmp(answer.state, "paused") == 0 ? CONTAINER_PAUSED
                                                     : CONTAINER_RUNNING;
    if (!process_is_alive((pid_t)container->pid, container->start_time))
        return CONTAINER_STOPPED;
    /* It lives but is too busy to answer, or is on its way out: what we know ourselves. */
    return container->started ? CONTAINER_RUNNING : CONTAINER_CREATED;
}

const char *container_status_name(enum container_status status)
{
    static const char *const names[] = {
        [CONTAINER_CREATING] = "creating", [CONTAINER_CREATED] = "created",
        [CONTAINER_RUNNING] = "running",   [CONTAINER_PAUSED] = "paused",
        [CONTAINER_STOPPED] = "stopped",
    };

    return names[status];
}

void container_put_state(yajl_gen gen, const struct container *container,
                         enum container_status status, enum container_form form)
{
    bool hooks = form == CONTAINER_FOR_HOOKS;

    yajl_gen_map_open(gen);
    json_put_string(gen, "ociVersion", container->oci_version);
    json_put_string(gen, "id", container->id);
    if (!hooks || status != CONTAINER_STOPPED)
        json_put_int(gen, "pid", status == CONTAINER_STOPPED ? 0 : container->pid);
    json_put_string(gen, "status", container_status_name(status));
    json_put_string(gen, "bundle", container->bundle);
    if (!hooks) {
        json_put_string(gen, "rootfs", container->rootfs);
        json_put_string(gen, "created", container->created);
    }
    if (container->annotation_count)
        put_pairs(gen, "annotations", container->annotations, container->annotation_count);
    if (!hooks) {
        struct arena arena = { 0 };
        struct stat st = { 0 };

        (void)fstat(container->directory, &st);
        json_put_string(gen, "owner",
                        form == CONTAINER_FOR_LIST ? users_name(st.st_uid, &arena) : "");
        arena_free(&arena);
    }
    yajl_gen_map_close(gen);
}

char *container_state_text(const struct container *container, enum container_status status,
                           enum container_form form)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    char *text = NULL;

    if (!gen)
        return NULL;
    if (form != CONTAINER_FOR_HOOKS) {
        yajl_gen_config(gen, yajl_gen_beautify, 1);
        yajl_gen_config(gen, yajl_gen_indent_string, "  ");
    }
    container_put_state(gen, container, status, form);
    return json_take_text(gen, &text) == 0 ? text : NULL;
}

/* Also what a killed command left half written. state.json goes last: it says what there is. */
static int remove_files(struct container *container)
{
    int copy = openat(container->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;

    if (!listing) {
        fd_close(&copy);
        return -errno;
    }
    while ((entry = readdir(listing)))
        if (entry->d_type != DT_DIR && strcmp(entry->d_name, CONTAINER_STATE) != 0)
            (void)unlinkat(container->directory, entry->d_name, 0);
    closedir(listing);
    return unlinkat(container->directory, CONTAINER_STATE, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Is nothing in the state root but what was kept for further containers? */
static bool holds_only_cache(int parent)
{
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    bool only = true;

    if (!listing) {
        fd_close(&copy);
        return false;
    }
    while (only && (entry = readdir(listing)))
        only = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
               strcmp(entry->d_name, SECCOMP_CACHE_DIRECTORY) == 0;
    closedir(listing);
    return only;
}

/* A container that comes meanwhile keeps the root, and at worst compiles its filter once more. */
static void remove_root(const char *root, int parent)
{
    if (holds_only_cache(parent))
        seccomp_cache_remove(parent);
    (void)rmdir(root);
}

int container_discard(const char *root, struct container *container, struct error *err)
{
    int ret = remove_files(container);

    if (ret == 0 && unlinkat(container->parent, container->id, AT_REMOVEDIR) < 0 && errno != ENOENT)
        ret = -errno;
    if (ret < 0)
        return error_set(err, -ret, "%s/%s: %s", root, container->id, strerror(-ret));
    if (container->made_root)
        remove_root(root, container->parent);
    return 0;
}

int container_remove_cgroup(struct container *container, struct error *err)
{
    int ret = container->scope.name ? scope_stop(&container->scope, err) : 0;
    int removed = cgroup_remove(&container->cgroup, ret == 0 ? err : NULL);

    return ret == 0 ? removed : ret;
}

void container_close(struct container *container)
{
    fd_close(&container->directory);
    fd_close(&container->parent);
    json_free(&container->document);
    arena_free(&container->arena);
}
