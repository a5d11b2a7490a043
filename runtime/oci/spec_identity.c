/* config.json: what makes the container's view of ids, time and machine: linux.uidMappings,
 * gidMappings, timeOffsets and personality. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/personality.h>

#include "lib/log.h"
#include "oci/bind.h"
#include "oci/spec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
/* user_namespaces(7): lines that the kernel takes for one namespace. */
#define ID_MAPS_MAX 340

static bool overlap(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count)
{
    return a < b + b_count && b < a + a_count;
}

/* The kernel would only say EINVAL, and only once the guest runs. */
static int check_map(const struct json *json, const struct spec_id_map *maps, size_t index,
                     struct error *err)
{
    const struct spec_id_map *map = &maps[index];

    if (map->count == 0)
        return json_fail(json, err, EINVAL, "size: expected at least 1, found 0");
    if (map->count > UINT32_MAX || map->inside + map->count > UINT32_MAX ||
        map->outside + map->count > UINT32_MAX)
        return json_fail(json, err, EINVAL, "expected ids below 4294967295");
    for (size_t i = 0; i < index; i++)
        if (overlap(maps[i].inside, maps[i].count, map->inside, map->count) ||
            overlap(maps[i].outside, maps[i].count, map->outside, map->count))
            return json_fail(json, err, EINVAL, "overlaps the mapping before it at [%zu]", i);
    return 0;
}

static int read_maps(struct spec *spec, const struct json *list, struct spec_id_map **maps,
                     size_t *count, struct error *err)
{
    static const struct binding rows[] = {
        { "containerID", BIND_U32, offsetof(struct spec_id_map, inside), "an id" },
        { "hostID", BIND_U32, offsetof(struct spec_id_map, outside), "an id" },
        { "size", BIND_U64, offsetof(struct spec_id_map, count), "a number of ids" },
    };
    int ret = json_expect_array(list, err);

    if (ret == 0 && json_length(list) > ID_MAPS_MAX)
        ret = json_fail(list, err, E2BIG, "expected at most %d mappings", ID_MAPS_MAX);
    if (ret < 0)
        return ret;
    *maps = arena_array(&spec->arena, json_length(list), sizeof(**maps));
    if (!*maps)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < json_length(list); i++) {
        struct json element = json_element(list, i);

        ret = bind_object(&element, rows, COUNT(rows), &(*maps)[i], &spec->arena, err);
        if (ret == 0)
            ret = check_map(&element, *maps, i, err);
        *count = i + 1;
    }
    return ret;
}

static int read_time_offsets(struct spec *spec, const struct json *offsets, struct error *err)
{
    static const struct binding rows[] = {
        { "secs", BIND_I64, offsetof(struct spec_time_offset, seconds), NULL },
        { "nanosecs", BIND_U32, offsetof(struct spec_time_offset, nanoseconds), NULL },
    };
    int ret = json_expect_object(offsets, err);
    size_t count = json_pair_count(offsets);

    if (ret < 0)
        return ret;
    spec->time_offsets = arena_array(&spec->arena, count, sizeof(*spec->time_offsets));
    if (!spec->time_offsets)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < count; i++) {
        struct spec_time_offset *offset = &spec->time_offsets[i];
        struct json value = json_pair(offsets, i, &offset->clock);

        /* time_namespaces(7) */
        if (strcmp(offset->clock, "monotonic") != 0 && strcmp(offset->clock, "boottime") != 0)
            return json_fail(&value, err, EINVAL, "expected monotonic or boottime");
        ret = bind_object(&value, rows, COUNT(rows), offset, &spec->arena, err);
        if (ret == 0 && offset->nanoseconds > 999999999)
            ret = json_fail(&value, err, EINVAL, "nanosecs: expected 0 to 999999999, found %u",
                            offset->nanoseconds);
        spec->time_offset_count = i + 1;
    }
    return ret;
}

static int read_personality(struct spec *spec, const struct json *personality, struct error *err)
{
    struct json domain = json_member(personality, "domain");
    struct json flags = json_member(personality, "flags");
    const char *name = "LINUX";
    int ret = json_expect_object(personality, err);

    if (ret == 0)
        ret = json_string(&domain, &name, err);
    if (ret == 0)
        ret = json_expect_array(&flags, err);
    if (ret < 0 || !json_present(personality))
        return ret;
    spec->has_personality = true;
    if (strcmp(name, "LINUX32") == 0)
        spec->personality = PER_LINUX32;
    else if (strcmp(name, "LINUX") == 0)
        spec->personality = PER_LINUX;
    else
        return json_fail(&domain, err, EINVAL, "expected LINUX or LINUX32, found \"%s\"", name);
    /* config-linux.md "Personality": "Currently no flag values are supported". As runc. */
    if (json_length(&flags))
        log_warning("config.json: %s: ignored: no flags are defined", flags.path);
    return 0;
}

int spec_read_identity(struct spec *spec, const struct json *section, struct error *err)
{
    struct json uids = json_member(section, "uidMappings");
    struct json gids = json_member(section, "gidMappings");
    struct json offsets = json_member(section, "timeOffsets");
    struct json personality = json_member(section, "personality");
    int ret = read_maps(spec, &uids, &spec->uid_maps, &spec->uid_map_count, err);

    if (ret == 0)
        ret = read_maps(spec, &gids, &spec->gid_maps, &spec->gid_map_count, err);
    if (ret == 0)
        ret = read_time_offsets(spec, &offsets, err);
    return ret == 0 ? read_personality(spec, &personality, err) : ret;
}
