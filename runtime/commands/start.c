/* vmrt start */
#include "commands/options.h"
#include "lib/log.h"
#include "oci/lifecycle.h"

int command_start(const struct context *context, const struct command *self, int argc, char **argv)
{
    enum options_result parsed = options_parse(self, NULL, 0, 1, 1, &argc, &argv);
    struct container container;
    struct error err;
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = container_open(context->root, argv[0], &container, &err);
    if (ret == 0)
        ret = lifecycle_start(&container, &err);
    container_close(&container);
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}
