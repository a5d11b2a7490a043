/* config.json: linux. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "oci/bind.h"
#include "oci/spec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int read_namespaces(struct spec *spec, const struct json *section, struct error *err)
{
    static const struct binding rows[] = {
        { "type", BIND_STRING, offsetof(struct spec_namespace, type), "a namespace type" },
        { "path", BIND_STRING, offsetof(struct spec_namespace, path), NULL },
    };
    struct json list = json_member(section, "namespaces");
    int ret = json_expect_array(&list, err);

    if (ret < 0)
        return ret;
    spec->namespaces = arena_array(&spec->arena, json_length(&list), sizeof(*spec->namespaces));
    if (!spec->namespaces)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < json_length(&list); i++) {
        struct json element = json_element(&list, i);
        struct spec_namespace *ns = &spec->namespaces[i];

        ret = bind_object(&element, rows, COUNT(rows), ns, &spec->arena, err);
        if (ret < 0)
            return ret;
        if (ns->path && !ns->path[0])
            ns->path = NULL;
        for (size_t j = 0; j < i; j++)
            if (strcmp(spec->namespaces[j].type, ns->type) == 0)
                return json_fail(&element, err, EINVAL, "type: \"%s\" is given twice", ns->type);
        spec->namespace_count++;
    }
    return ret;
}

/* The last rule without a type, major or minor decides whether the container is privileged. */
static int read_device_rules(struct spec *spec, const struct json *resources, struct error *err)
{
    struct json list = json_member(resources, "devices");
    int ret = json_expect_array(&list, err);

    for (size_t i = 0; ret == 0 && i < json_length(&list); i++) {
        struct json rule = json_element(&list, i);
        struct json allow = json_member(&rule, "allow"), type = json_member(&rule, "type");
        struct json major = json_member(&rule, "major"), minor = json_member(&rule, "minor");
        const char *kind = "a";
        bool allowed = false;

        ret = json_bool(&allow, &allowed, err);
        if (ret == 0)
            ret = json_string(&type, &kind, err);
        if (ret == 0 && (kind[0] == 'a' || !kind[0]) && !json_present(&major) &&
            !json_present(&minor))
            spec->resources.all_devices = allowed;
    }
    return ret;
}

int spec_read_resources(struct spec *spec, const struct json *resources, struct error *err)
{
    static const struct binding memory_rows[] = {
        { "limit", BIND_I64, offsetof(struct spec_resources, memory_limit), NULL },
        { "reservation", BIND_I64, offsetof(struct spec_resources, memory_reservation), NULL },
        { "swap", BIND_I64, offsetof(struct spec_resources, memory_swap), NULL },
    };
    static const struct binding cpu_rows[] = {
        { "shares", BIND_I64, offsetof(struct spec_resources, cpu_shares), NULL },
        { "quota", BIND_I64, offsetof(struct spec_resources, cpu_quota), NULL },
        { "period", BIND_I64, offsetof(struct spec_resources, cpu_period), NULL },
        { "burst", BIND_I64, offsetof(struct spec_resources, cpu_burst), NULL },
        { "idle", BIND_I64, offsetof(struct spec_resources, cpu_idle), NULL },
        { "cpus", BIND_STRING, offsetof(struct spec_resources, cpuset_cpus), NULL },
        { "mems", BIND_STRING, offsetof(struct spec_resources, cpuset_mems), NULL },
    };
    static const struct binding pids_rows[] = {
        { "limit", BIND_I64, offsetof(struct spec_resources, pids_limit), NULL },
    };
    struct json memory = json_member(resources, "memory");
    struct json cpu = json_member(resources, "cpu");
    struct json pids = json_member(resources, "pids");
    struct json unified = json_member(resources, "unified");
    struct spec_resources *r = &spec->resources;
    int ret = json_expect_object(resources, err);

    r->memory_limit = r->memory_reservation = r->memory_swap = SPEC_UNSET;
    r->cpu_shares = r->cpu_quota = r->cpu_period = r->cpu_burst = r->cpu_idle = SPEC_UNSET;
    r->pids_limit = SPEC_UNSET;
    if (ret == 0)
        ret = bind_object(&memory, memory_rows, COUNT(memory_rows), r, &spec->arena, err);
    if (ret == 0)
        ret = bind_object(&cpu, cpu_rows, COUNT(cpu_rows), r, &spec->arena, err);
    if (ret == 0)
        ret = bind_object(&pids, pids_rows, COUNT(pids_rows), r, &spec->arena, err);
    if (ret == 0)
        ret = spec_read_pairs(spec, &unified, &r->unified, &r->unified_count, err);
    return ret == 0 ? read_device_rules(spec, resources, err) : ret;
}

static int read_device(struct spec *spec, const struct json *json, struct spec_device *device,
                       struct error *err)
{
    static const struct binding rows[] = {
        { "path", BIND_STRING, offsetof(struct spec_device, path), "an absolute path" },
        { "major", BIND_I64, offsetof(struct spec_device, major), NULL },
        { "minor", BIND_I64, offsetof(struct spec_device, minor), NULL },
        { "fileMode", BIND_U32, offsetof(struct spec_device, mode), NULL },
        { "uid", BIND_U32, offsetof(struct spec_device, uid), NULL },
        { "gid", BIND_U32, offsetof(struct spec_device, gid), NULL },
    };
    struct json type = json_member(json, "type");
    const char *kind = "";
    int ret;

    device->mode = 0666;
    ret = bind_object(json, rows, COUNT(rows), device, &spec->arena, err);
    if (ret == 0)
        ret = json_string(&type, &kind, err);
    if (ret < 0)
        return ret;
    if (!kind[0] || kind[1] || !strchr("cubp", kind[0]))
        return json_fail(&type, err, EINVAL, "expected c, u, b or p, found \"%s\"", kind);
    if (device->path[0] != '/')
        return json_fail(json, err, EINVAL, "path: expected an absolute path, found \"%s\"",
                         device->path);
    device->type = kind[0] == 'u' ? 'c' : kind[0];
    device->mode &= 07777;
    return 0;
}

static int read_devices(struct spec *spec, const struct json *section, struct error *err)
{
    struct json list = json_member(section, "devices");
    int ret = json_expect_array(&list, err);

    spec->devices = arena_array(&spec->arena, json_length(&list), sizeof(*spec->devices));
    if (!spec->devices)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < json_length(&list); i++) {
        struct json element = json_element(&list, i);

        ret = read_device(spec, &element, &spec->devices[spec->device_count++], err);
    }
    return ret;
}

int spec_read_linux(struct spec *spec, struct error *err)
{
    static const struct binding rows[] = {
        { "cgroupsPath", BIND_STRING, offsetof(struct spec, cgroups_path), NULL },
        { "maskedPaths", BIND_STRINGS, offsetof(struct spec, masked_paths), NULL },
        { "readonlyPaths", BIND_STRINGS, offsetof(struct spec, readonly_paths), NULL },
        { "rootfsPropagation", BIND_STRING, offsetof(struct spec, rootfs_propagation), NULL },
    };
    struct json section = json_member(&spec->document, "linux");
    struct json resources = json_member(&section, "resources");
    struct json sysctl = json_member(&section, "sysctl");
    int ret;

    if (!json_present(&section))
        return json_fail(&section, err, EINVAL, "expected the Linux settings, found nothing");
    ret = bind_object(&section, rows, COUNT(rows), spec, &spec->arena, err);
    if (ret == 0)
        ret = read_namespaces(spec, &section, err);
    if (ret == 0)
        ret = spec_read_resources(spec, &resources, err);
    if (ret == 0)
        ret = spec_read_pairs(spec, &sysctl, &spec->sysctl, &spec->sysctl_count, err);
    if (ret == 0)
        ret = read_devices(spec, &section, err);
    return ret == 0 ? spec_read_identity(spec, &section, err) : ret;
}
