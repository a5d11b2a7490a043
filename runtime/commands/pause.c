/* vmrt pause and vmrt resume */
#include "commands/options.h"
#include "lib/log.h"
#include "oci/lifecycle.h"

static int change(const struct context *context, const struct command *self, int argc, char **argv,
                  int (*action)(const struct container *, struct error *))
{
    enum options_result parsed = options_parse(self, NULL, 0, 1, 1, &argc, &argv);
    struct container container;
    struct error err;
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = container_open(context->root, argv[0], &container, &err);
    if (ret == 0)
        ret = action(&container, &err);
    container_close(&container);
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}

int command_pause(const struct context *context, const struct command *self, int argc, char **argv)
{
    return change(context, self, argc, argv, lifecycle_pause);
}

int command_resume(const struct context *context, const struct command *self, int argc, char **argv)
{
    return change(context, self, argc, argv, lifecycle_resume);
}
