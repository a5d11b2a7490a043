/* vmrt create */
#include "commands/creating.h"
#include "lib/log.h"

int command_create(const struct context *context, const struct command *self, int argc, char **argv)
{
    struct creating options = { 0 };
    const struct option_row rows[] = { CREATING_ROWS(&options) };
    struct container container;
    struct error err;
    enum options_result parsed =
        options_parse(self, rows, sizeof(rows) / sizeof(rows[0]), 1, 1, &argc, &argv);
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = creating_run(context, &options, argv[0], NULL, &container, &err);
    container_close(&container);
    if (ret < 0)
        log_error("vmrt create failed: %s", err.message);
    return ret < 0;
}
