/* A bundle in a temporary directory, and config.json texts that differ from a valid one in a place.
 */
#ifndef VMRT_TEST_OCI_WORLD_H
#define VMRT_TEST_OCI_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/fields.h"
#include "oci/plan.h"

struct world {
    char directory[64]; /* holds rootfs/ */
    char text[65536];   /* the config.json */
    struct spec spec;
    struct settings settings;
    struct plan plan;
    struct error err;
    bool systemd_cgroup, notify;
    const char *host_file; /* NULL: none */
};

/* Among equal keys the last wins: what is appended replaces. */
static inline void world_config(struct world *world, const char *process, const char *section,
                                const char *top)
{
    snprintf(world->text, sizeof(world->text),
             "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
             "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],"
             "\"user\":{\"uid\":0,\"gid\":0}%s%s},"
             "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},"
             "{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]%s%s}%s%s}",
             process ? "," : "", process ? process : "", section ? "," : "", section ? section : "",
             top ? "," : "", top ? top : "");
}

/* From the text to the plan, as create does it. */
static inline int world_plan(struct world *world)
{
    struct plan_request request = { .id = "c1",
                                    .bundle = world->directory,
                                    .driver =
                                        world->systemd_cgroup ? CGROUP_SYSTEMD : CGROUP_CGROUPFS,
                                    .notify = world->notify };
    int ret;

    memset(&world->settings, 0, sizeof(world->settings));
    memset(&world->plan, 0, sizeof(world->plan));
    world->err = (struct error) { 0 };
    ret = spec_parse(world->text, &world->spec, &world->err);
    if (ret == 0)
        ret = fields_check(&world->spec.document, &world->err);
    if (ret == 0)
        ret = settings_load(world->host_file ? world->host_file : "/nonexistent", &world->spec,
                            &world->settings, &world->err);
    return ret == 0 ? plan_make(&world->spec, &world->settings, &request, &world->plan, &world->err)
                    : ret;
}

static inline void world_release(struct world *world)
{
    plan_release(&world->plan);
    settings_free(&world->settings);
    spec_free(&world->spec);
}

/* A config that is refused, with @text in the message. */
static inline void world_refuses(struct world *world, const char *process, const char *section,
                                 const char *top, const char *text)
{
    world_config(world, process, section, top);
    assert_true(world_plan(world) < 0);
    if (!strstr(world->err.message, text))
        fail_msg("expected \"%s\" in \"%s\"", text, world->err.message);
    assert_int_not_equal(world->err.code, 0);
    world_release(world);
}

/* One that is accepted; the caller looks at it and releases it. */
static inline void world_accepts(struct world *world, const char *process, const char *section,
                                 const char *top)
{
    world_config(world, process, section, top);
    if (world_plan(world) < 0)
        fail_msg("refused: %s", world->err.message);
}

static inline int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char path[128];

    if (!world)
        return -1;
    strcpy(world->directory, "/tmp/vmrt-oci-XXXXXX");
    if (!mkdtemp(world->directory))
        return -1;
    snprintf(path, sizeof(path), "%s/rootfs", world->directory);
    *state = world;
    return mkdir(path, 0755);
}

static inline int world_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;

    nftw(world->directory, world_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(world);
    return 0;
}

/* Writes @text to @name below the world's directory. */
static inline void world_file(const struct world *world, const char *name, const char *text,
                              mode_t mode)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", world->directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* The smallest file that passes for a guest kernel. */
static inline void world_kernel(const char *path)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
        Elf64_Nhdr note;
        char name[4];
        uint32_t entry;
    } file = { .header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64 },
                           .e_phentsize = sizeof(Elf64_Phdr),
                           .e_phnum = 1,
                           .e_phoff = sizeof(Elf64_Ehdr) },
               .segment = { .p_type = PT_NOTE,
                            .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
                            .p_filesz = sizeof(Elf64_Nhdr) + 8 },
               .note = { .n_namesz = 4, .n_descsz = 4, .n_type = 18 },
               .name = "Xen" };
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_int_equal(write(fd, &file, sizeof(file)), sizeof(file));
    close(fd);
}

#endif
