/* Fuzzes config.json: text to spec, field table, settings and plan. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/fields.h"
#include "oci/plan.h"

#define BUNDLE "/tmp/vmrt-fuzz-bundle"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    /* What a plan looks at; it makes nothing itself. */
    (void)mkdir(BUNDLE, 0755);
    (void)mkdir(BUNDLE "/rootfs", 0755);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan_request request = { .id = "fuzz",
                                    .bundle = BUNDLE,
                                    .driver = size > 0 && data[size - 1] == '\n'
                                                  ? CGROUP_SYSTEMD
                                                  : CGROUP_CGROUPFS };
    struct error err = { 0 };
    struct settings settings = { 0 };
    struct plan plan = { 0 };
    struct spec spec;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (spec_parse(text, &spec, &err) == 0 && fields_check(&spec.document, &err) == 0 &&
        settings_load("/nonexistent", &spec, &settings, &err) == 0 &&
        plan_make(&spec, &settings, &request, &plan, &err) == 0) {
        struct protocol_header header;

        /* What is sent must be what the other side's reader takes. */
        if (protocol_read_header(plan.guest.data, &header) < 0 ||
            header.length != plan.guest.length - PROTOCOL_HEADER_SIZE)
            abort();
    } else if (!err.code || !err.message[0] || strchr(err.message, '\n')) {
        abort();
    }
    plan_release(&plan);
    settings_free(&settings);
    spec_free(&spec);
    free(text);
    return 0;
}
