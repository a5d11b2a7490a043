/* vmrt kill */
#include <errno.h>

#include "commands/options.h"
#include "lib/log.h"
#include "oci/lifecycle.h"
#include "oci/names.h"

int command_kill(const struct context *context, const struct command *self, int argc, char **argv)
{
    bool all = false;
    const struct option_row rows[] = {
        { "all", 'a', OPTION_FLAG, NULL, "signal every process of the container", &all },
    };
    enum options_result parsed = options_parse(self, rows, 1, 1, 2, &argc, &argv);
    struct container container;
    const char *name;
    struct error err;
    int number, ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    name = argc > 1 ? argv[1] : "SIGTERM";
    number = names_signal_number(name);
    ret = container_open(context->root, argv[0], &container, &err);
    if (ret == 0 && number < 0)
        ret = error_set(&err, EINVAL, "unknown signal \"%s\"", name);
    if (ret == 0)
        ret = lifecycle_signal(&container, number, all, &err);
    container_close(&container);
    /* With --all the aim is that nothing runs, and nothing does. */
    if (ret == -ESRCH && all)
        return 0;
    if (ret < 0)
        log_error("%s", err.message);
    return ret < 0;
}
