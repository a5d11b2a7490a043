/* vmrt features (runtime-spec features.md): what engines may count on, nothing more. */
#include <build.h>
#include <stdio.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/json.h"
#include "lib/log.h"
#include "oci/mount_options.h"
#include "oci/names.h"
#include "oci/seccomp.h"
#include "oci/spec.h"

static void put_list(yajl_gen gen, const char *key, const char *const *list)
{
    /* The writer does not change what it is given. */
    json_put_strings(gen, key, (char *const *)list);
}

/* Lists that are kept as tables elsewhere. */
static void put_table(yajl_gen gen, const char *key, const char *(*name)(unsigned int index))
{
    json_put_key(gen, key);
    yajl_gen_array_open(gen);
    for (unsigned int i = 0; name(i); i++)
        json_put_string(gen, NULL, name(i));
    yajl_gen_array_close(gen);
}

static void put_enabled(yajl_gen gen, const char *key, bool enabled)
{
    json_put_key(gen, key);
    yajl_gen_map_open(gen);
    json_put_bool(gen, "enabled", enabled);
    yajl_gen_map_close(gen);
}

static void put_seccomp(yajl_gen gen)
{
    json_put_key(gen, "seccomp");
    yajl_gen_map_open(gen);
    json_put_bool(gen, "enabled", true);
    put_table(gen, "actions", seccomp_action_name);
    put_table(gen, "operators", seccomp_operator_name);
    put_table(gen, "archs", seccomp_arch_name);
    put_table(gen, "knownFlags", seccomp_flag_name);
    put_table(gen, "supportedFlags", seccomp_flag_name);
    yajl_gen_map_close(gen);
}

static void put_linux(yajl_gen gen)
{
    static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network", "pid",
                                              "time",   "user", "uts",   NULL };

    json_put_key(gen, "linux");
    yajl_gen_map_open(gen);
    put_list(gen, "namespaces", namespaces);
    put_table(gen, "capabilities", names_capability);
    json_put_key(gen, "cgroup");
    yajl_gen_map_open(gen);
    json_put_bool(gen, "v1", true);
    json_put_bool(gen, "v2", true);
    json_put_bool(gen, "systemd", true);
    json_put_bool(gen, "systemdUser", true);
    json_put_bool(gen, "rdma", false);
    yajl_gen_map_close(gen);
    put_seccomp(gen);
    put_enabled(gen, "apparmor", false);
    put_enabled(gen, "selinux", false);
    put_enabled(gen, "intelRdt", false);
    json_put_key(gen, "mountExtensions");
    yajl_gen_map_open(gen);
    put_enabled(gen, "idmap", false);
    yajl_gen_map_close(gen);
    yajl_gen_map_close(gen);
}

static const char *hook_name(unsigned int index)
{
    return index < HOOK_KINDS ? spec_hook_names[index] : NULL;
}

static char *make_text(void)
{
    static const char *const unsafe[] = { "org.vmrt.", NULL }; /* prefix form */
    yajl_gen gen = yajl_gen_alloc(NULL);
    char *text = NULL;

    if (!gen)
        return NULL;
    yajl_gen_config(gen, yajl_gen_beautify, 1);
    yajl_gen_map_open(gen);
    json_put_string(gen, "ociVersionMin", "1.0.0");
    json_put_string(gen, "ociVersionMax", "1.2.0");
    put_table(gen, "hooks", hook_name);
    put_table(gen, "mountOptions", mount_options_name);
    put_linux(gen);
    json_put_key(gen, "annotations");
    yajl_gen_map_open(gen);
    json_put_string(gen, "org.vmrt.version", BUILD_VERSION);
    json_put_string(gen, "org.vmrt.commit", BUILD_COMMIT);
    yajl_gen_map_close(gen);
    put_list(gen, "potentiallyUnsafeConfigAnnotations", unsafe);
    yajl_gen_map_close(gen);
    return json_take_text(gen, &text) == 0 ? text : NULL;
}

int command_features(const struct context *context, const struct command *self, int argc,
                     char **argv)
{
    enum options_result parsed = options_parse(self, NULL, 0, 0, 0, &argc, &argv);
    _cleanup_free_ char *text = NULL;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    text = make_text();
    if (!text) {
        log_error("out of memory");
        return 1;
    }
    fputs(text, stdout);
    return 0;
}
