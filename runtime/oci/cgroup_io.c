/* Limits whose files hold one line for each device or page size: block I/O and huge pages. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci/cgroup.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define WEIGHT_MIN   10
#define WEIGHT_MAX   1000

/* How one kind of rule is asked for and written. */
static const struct {
    enum cgroup_io_kind kind;
    const char *list, *member; /* of linux.resources.blockIO */
    const char *v1, *v1_bfq;   /* files; the second where the BFQ scheduler has taken over */
    const char *v2;
    const char *key; /* of io.max; NULL: the value stands alone */
} kinds[] = {
    { CGROUP_IO_WEIGHT, "weightDevice", "weight", "blkio.weight_device", "blkio.bfq.weight_device",
      "io.bfq.weight", NULL },
    { CGROUP_IO_LEAF_WEIGHT, "weightDevice", "leafWeight", "blkio.leaf_weight_device", NULL, NULL,
      NULL },
    { CGROUP_IO_READ_BPS, "throttleReadBpsDevice", "rate", "blkio.throttle.read_bps_device", NULL,
      "io.max", "rbps" },
    { CGROUP_IO_WRITE_BPS, "throttleWriteBpsDevice", "rate", "blkio.throttle.write_bps_device",
      NULL, "io.max", "wbps" },
    { CGROUP_IO_READ_IOPS, "throttleReadIOPSDevice", "rate", "blkio.throttle.read_iops_device",
      NULL, "io.max", "riops" },
    { CGROUP_IO_WRITE_IOPS, "throttleWriteIOPSDevice", "rate", "blkio.throttle.write_iops_device",
      NULL, "io.max", "wiops" },
};

static int read_weight(const struct json *object, const char *key, uint64_t *out, struct error *err)
{
    struct json json = json_member(object, key);
    int ret = json_uint(&json, UINT16_MAX, out, err);

    /* Zero is "not given" to engines. */
    if (ret == 0 && *out && (*out < WEIGHT_MIN || *out > WEIGHT_MAX))
        return json_fail(&json, err, EINVAL, "expected %d to %d, found %" PRIu64, WEIGHT_MIN,
                         WEIGHT_MAX, *out);
    return ret;
}

static int read_rule(const struct json *element, size_t row, struct cgroup_limits *limits,
                     struct error *err)
{
    struct cgroup_io_rule *rule = &limits->io_rules[limits->io_rule_count];
    struct json major = json_member(element, "major"), minor = json_member(element, "minor");
    struct json value = json_member(element, kinds[row].member);
    bool weight = !kinds[row].key;
    int ret;

    *rule = (struct cgroup_io_rule) { .kind = kinds[row].kind };
    if (weight && !json_present(&value))
        return 0;
    if (!json_present(&major) || !json_present(&minor))
        return json_fail(element, err, EINVAL, "expected \"major\" and \"minor\"");
    ret = json_uint(&major, UINT32_MAX, &rule->major, err);
    if (ret == 0)
        ret = json_uint(&minor, UINT32_MAX, &rule->minor, err);
    if (ret == 0)
        ret = weight ? read_weight(element, kinds[row].member, &rule->value, err)
                     : json_uint(&value, INT64_MAX, &rule->value, err);
    limits->io_rule_count += ret == 0;
    return ret;
}

static int read_io(const struct json *io, struct cgroup_limits *limits, struct arena *arena,
                   struct error *err)
{
    size_t count = 0;
    int ret = json_expect_object(io, err);

    if (ret == 0)
        ret = read_weight(io, "weight", &limits->io_weight, err);
    if (ret == 0)
        ret = read_weight(io, "leafWeight", &limits->io_leaf_weight, err);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct json list = json_member(io, kinds[i].list);

        count += json_length(&list);
    }
    limits->io_rules = arena_array(arena, count, sizeof(*limits->io_rules));
    if (!limits->io_rules)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < COUNT(kinds); i++) {
        struct json list = json_member(io, kinds[i].list);

        ret = json_expect_array(&list, err);
        for (size_t j = 0; ret == 0 && j < json_length(&list); j++) {
            struct json element = json_element(&list, j);

            ret = json_expect_object(&element, err);
            if (ret == 0)
                ret = read_rule(&element, i, limits, err);
        }
    }
    return ret;
}

static int read_hugepages(const struct json *list, struct cgroup_limits *limits,
                          struct arena *arena, struct error *err)
{
    int ret = json_expect_array(list, err);

    limits->hugepages = arena_array(arena, json_length(list), sizeof(*limits->hugepages));
    if (!limits->hugepages)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; ret == 0 && i < json_length(list); i++) {
        struct cgroup_hugepages *row = &limits->hugepages[i];
        struct json element = json_element(list, i);
        struct json size = json_member(&element, "pageSize");
        struct json limit = json_member(&element, "limit");

        ret = json_string(&size, &row->size, err);
        if (ret == 0 && (!row->size || !row->size[0] || strpbrk(row->size, "/. ")))
            ret = json_fail(&size, err, EINVAL, "expected a page size such as 2MB");
        if (ret == 0)
            ret = json_uint(&limit, UINT64_MAX, &row->limit, err);
        limits->hugepage_count += ret == 0;
    }
    return ret;
}

int cgroup_limits_read(const struct json *resources, struct cgroup_limits *limits,
                       struct arena *arena, struct error *err)
{
    struct json memory = json_member(resources, "memory");
    struct json swappiness = json_member(&memory, "swappiness");
    struct json io = json_member(resources, "blockIO");
    struct json hugepages = json_member(resources, "hugepageLimits");
    int ret = json_uint(&swappiness, 100, &limits->swappiness, err);

    limits->has_swappiness = json_present(&swappiness);
    if (ret == 0)
        ret = read_io(&io, limits, arena, err);
    return ret == 0 ? read_hugepages(&hugepages, limits, arena, err) : ret;
}

/* Return: 0, -ENOENT when there is no such file, or -errno with the field's name. */
static int write_line(const char *path, const char *file, const char *field, const char *text,
                      struct error *err)
{
    int ret = cgroup_write_file(path, file, text);

    if (ret == 0 || ret == -ENOENT)
        return ret;
    return error_set(err, -ret, "linux.resources.%s: cannot write \"%s\" to %s/%s: %s", field, text,
                     path, file, strerror(-ret));
}

/* Weights only mean something to some I/O schedulers: without one of them there is no file. */
static int write_weights(const char *path, bool v2, const struct cgroup_limits *limits,
                         struct error *err)
{
    char text[64];
    int ret = 0;

    snprintf(text, sizeof(text), "%" PRIu64, limits->io_weight);
    if (limits->io_weight && !v2) {
        ret = write_line(path, "blkio.weight", "blockIO.weight", text, err);
        if (ret == -ENOENT)
            ret = write_line(path, "blkio.bfq.weight", "blockIO.weight", text, err);
    } else if (limits->io_weight) {
        ret = write_line(path, "io.bfq.weight", "blockIO.weight", text, err);
        if (ret == -ENOENT) {
            /* 10..1000 to 1..10000, as runc does it. */
            snprintf(text, sizeof(text), "%" PRIu64, 1 + (limits->io_weight - 10) * 9999 / 990);
            ret = write_line(path, "io.weight", "blockIO.weight", text, err);
        }
    }
    if ((ret == 0 || ret == -ENOENT) && limits->io_leaf_weight && !v2) {
        snprintf(text, sizeof(text), "%" PRIu64, limits->io_leaf_weight);
        ret = write_line(path, "blkio.leaf_weight", "blockIO.leafWeight", text, err);
    }
    return ret == -ENOENT ? 0 : ret;
}

static int write_rule(const char *path, bool v2, const struct cgroup_io_rule *rule,
                      struct error *err)
{
    char text[128], field[64];
    const char *file = NULL, *key = NULL;
    size_t row = 0;
    int ret = -ENOENT;

    while (row < COUNT(kinds) - 1 && kinds[row].kind != rule->kind)
        row++;
    file = v2 ? kinds[row].v2 : kinds[row].v1;
    key = v2 ? kinds[row].key : NULL;
    snprintf(field, sizeof(field), "blockIO.%s", kinds[row].list);
    if (key && rule->value == 0)
        snprintf(text, sizeof(text), "%" PRIu64 ":%" PRIu64 " %s=max", rule->major, rule->minor,
                 key);
    else
        snprintf(text, sizeof(text), "%" PRIu64 ":%" PRIu64 " %s%s%" PRIu64, rule->major,
                 rule->minor, key ? key : "", key ? "=" : "", rule->value);
    if (file)
        ret = write_line(path, file, field, text, err);
    if (ret == -ENOENT && !v2 && kinds[row].v1_bfq)
        ret = write_line(path, kinds[row].v1_bfq, field, text, err);
    if (ret != -ENOENT)
        return ret;
    /* Weights as above; a limit that is not there would be one that is not kept. */
    if (rule->kind == CGROUP_IO_WEIGHT || rule->kind == CGROUP_IO_LEAF_WEIGHT)
        return 0;
    return error_set(err, ENOTSUP,
                     "linux.resources.%s: the \"%s\" controller is not available in "
                     "%s",
                     field, v2 ? "io" : "blkio", path);
}

static int write_hugepages(const char *path, bool v2, const struct cgroup_hugepages *row,
                           struct error *err)
{
    char file[64], text[32];
    int ret;

    snprintf(text, sizeof(text), "%" PRIu64, row->limit);
    snprintf(file, sizeof(file), "hugetlb.%.16s.%s", row->size, v2 ? "max" : "limit_in_bytes");
    ret = write_line(path, file, "hugepageLimits", text, err);
    /* Engines name every size there is, with 0: no such pages are used anyway. */
    if (ret == -ENOENT && row->limit == 0)
        return 0;
    if (ret == -ENOENT)
        return error_set(err, ENOTSUP,
                         "linux.resources.hugepageLimits: pages of %s are not available in %s",
                         row->size, path);
    /* Reservations are counted apart since Linux 5.7. */
    snprintf(file, sizeof(file), "hugetlb.%.16s.rsvd.%s", row->size, v2 ? "max" : "limit_in_bytes");
    if (ret == 0)
        ret = write_line(path, file, "hugepageLimits", text, err);
    return ret == -ENOENT ? 0 : ret;
}

int cgroup_write_io(const char *path, const char *controllers, bool v2,
                    const struct cgroup_limits *limits, struct error *err)
{
    int ret = 0;

    if (v2 || cgroup_has_controller(controllers, "blkio")) {
        ret = write_weights(path, v2, limits, err);
        for (size_t i = 0; ret == 0 && i < limits->io_rule_count; i++)
            ret = write_rule(path, v2, &limits->io_rules[i], err);
    }
    if (v2 || cgroup_has_controller(controllers, "hugetlb"))
        for (size_t i = 0; ret == 0 && i < limits->hugepage_count; i++)
            ret = write_hugepages(path, v2, &limits->hugepages[i], err);
    return ret;
}
