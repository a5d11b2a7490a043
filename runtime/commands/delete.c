/* vmrt delete */
#include <errno.h>

#include "commands/options.h"
#include "lib/log.h"
#include "oci/lifecycle.h"

/* A directory without a readable state.json: create was killed before it had made anything else. */
static int delete_remains(const struct context *context, struct container *container, bool force,
                          struct error *err)
{
    if (!force || container->directory < 0)
        return -err->code;
    return container_discard(context->root, container, err);
}

int command_delete(const struct context *context, const struct command *self, int argc, char **argv)
{
    bool force = false;
    const struct option_row rows[] = {
        { "force", 'f', OPTION_FLAG, NULL, "also when it runs: kill it (SIGKILL)", &force },
    };
    enum options_result parsed = options_parse(self, rows, 1, 1, 1, &argc, &argv);
    struct container container;
    struct error err;
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = container_open(context->root, argv[0], &container, &err);
    if (ret == 0)
        ret = lifecycle_delete(context->root, &container, force, &err);
    else if (ret == -EINVAL)
        ret = delete_remains(context, &container, force, &err);
    container_close(&container);
    if (ret == -ENOENT && force)
        return 0;
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}
