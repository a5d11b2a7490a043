/* config.json: the document, its root members, mounts and annotations. */
#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/fd.h"
#include "oci/bind.h"

int spec_read_pairs(struct spec *spec, const struct json *object, struct spec_pair **pairs,
                    size_t *count, struct error *err)
{
    size_t members = json_pair_count(object);
    int ret = json_expect_object(object, err);

    *count = 0;
    *pairs = NULL;
    if (ret < 0 || members == 0)
        return ret;
    *pairs = arena_array(&spec->arena, members, sizeof(**pairs));
    if (!*pairs)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < members; i++) {
        struct spec_pair *pair = &(*pairs)[*count];
        struct json value = json_pair(object, i, &pair->key);

        ret = json_string(&value, &pair->value, err);
        if (ret < 0)
            return ret;
        if (pair->value)
            ++*count;
    }
    return 0;
}

/* The spec promises that minor versions only add; runc accepts any 1.x as well. */
static int check_version(const struct json *root, const char *version, struct error *err)
{
    struct json member = json_member(root, "ociVersion");
    size_t digits = strncmp(version, "1.", 2) == 0 ? strspn(version + 2, "0123456789") : 0;

    if (digits == 0 || (version[2 + digits] && !strchr(".-+", version[2 + digits])))
        return json_fail(&member, err, EINVAL, "expected a version 1.x, found \"%s\"", version);
    return 0;
}

static int read_mounts(struct spec *spec, struct error *err)
{
    static const struct binding rows[] = {
        { "destination", BIND_STRING, offsetof(struct spec_mount, destination), "a path" },
        { "type", BIND_STRING, offsetof(struct spec_mount, type), NULL },
        { "source", BIND_STRING, offsetof(struct spec_mount, source), NULL },
        { "options", BIND_STRINGS, offsetof(struct spec_mount, options), NULL },
    };
    struct json mounts = json_member(&spec->document, "mounts");
    int ret = json_expect_array(&mounts, err);

    spec->mount_count = json_length(&mounts);
    spec->mounts = arena_array(&spec->arena, spec->mount_count, sizeof(*spec->mounts));
    if (!spec->mounts)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < spec->mount_count; i++) {
        struct json mount = json_element(&mounts, i);

        ret = bind_object(&mount, rows, 4, &spec->mounts[i], &spec->arena, err);
        if (ret == 0 && spec->mounts[i].destination[0] == '\0')
            ret = json_fail(&mount, err, EINVAL, "destination: expected a path, found \"\"");
    }
    return ret;
}

static int read_root(struct spec *spec, struct error *err)
{
    static const struct binding rows[] = {
        { "path", BIND_STRING, offsetof(struct spec, root_path), "the root filesystem's path" },
        { "readonly", BIND_BOOL, offsetof(struct spec, root_readonly), NULL },
    };
    struct json root = json_member(&spec->document, "root");
    int ret = bind_object(&root, rows, 2, spec, &spec->arena, err);

    if (ret == 0 && spec->root_path[0] == '\0')
        ret =
            json_fail(&root, err, EINVAL, "path: expected the root filesystem's path, found \"\"");
    return ret;
}

static int read_document(struct spec *spec, struct error *err)
{
    static const struct binding rows[] = {
        { "ociVersion", BIND_STRING, offsetof(struct spec, oci_version), "a version 1.x" },
        { "hostname", BIND_STRING, offsetof(struct spec, hostname), NULL },
        { "domainname", BIND_STRING, offsetof(struct spec, domainname), NULL },
    };
    struct json process = json_member(&spec->document, "process");
    struct json annotations;
    int ret;

    if (!YAJL_IS_OBJECT(spec->document.value))
        return json_fail(&spec->document, err, EINVAL, "expected an object");
    ret = bind_object(&spec->document, rows, 3, spec, &spec->arena, err);
    if (ret == 0)
        ret = check_version(&spec->document, spec->oci_version, err);
    if (ret == 0)
        ret = read_root(spec, err);
    if (ret == 0)
        ret = spec_read_process(spec, &process, err);
    if (ret == 0)
        ret = read_mounts(spec, err);
    if (ret == 0)
        ret = spec_read_hooks(spec, err);
    annotations = json_member(&spec->document, "annotations");
    if (ret == 0)
        ret = spec_read_pairs(spec, &annotations, &spec->annotations, &spec->annotation_count, err);
    return ret == 0 ? spec_read_linux(spec, err) : ret;
}

int spec_parse(const char *text, struct spec *spec, struct error *err)
{
    int ret;

    memset(spec, 0, sizeof(*spec));
    ret = json_parse(text, "config.json", &spec->document, err);
    return ret == 0 ? read_document(spec, err) : ret;
}

int spec_parse_process(const char *text, struct spec *spec, struct error *err)
{
    int ret;

    memset(spec, 0, sizeof(*spec));
    ret = json_parse(text, "process", &spec->document, err);
    if (ret == 0 && !YAJL_IS_OBJECT(spec->document.value))
        ret = json_fail(&spec->document, err, EINVAL, "expected an object");
    return ret == 0 ? spec_read_process(spec, &spec->document, err) : ret;
}

int spec_parse_resources(const char *text, struct spec *spec, struct error *err)
{
    int ret;

    memset(spec, 0, sizeof(*spec));
    ret = json_parse(text, "resources", &spec->document, err);
    if (ret == 0 && !YAJL_IS_OBJECT(spec->document.value))
        ret = json_fail(&spec->document, err, EINVAL, "expected an object");
    return ret == 0 ? spec_read_resources(spec, &spec->document, err) : ret;
}

int spec_load(const char *path, struct spec *spec, char **text, struct error *err)
{
    _cleanup_free_ char *data = NULL;
    size_t length = 0;
    int ret;

    memset(spec, 0, sizeof(*spec));
    ret = fd_read_file(AT_FDCWD, path, SPEC_SIZE_MAX, &data, &length);
    if (ret == -ENOENT)
        /* runc's words; people search for them. */
        return error_set(err, ENOENT,
                         "JSON specification file %s not found: no such file or directory", path);
    if (ret < 0)
        return error_set(err, -ret, "%s: %s", path, strerror(-ret));
    if (strlen(data) != length)
        return error_set(err, EINVAL, "config.json: not valid JSON: it contains a NUL byte");
    ret = spec_parse(data, spec, err);
    if (text)
        *text = steal_pointer(&data);
    return ret;
}

void spec_free(struct spec *spec)
{
    json_free(&spec->document);
    arena_free(&spec->arena);
}
