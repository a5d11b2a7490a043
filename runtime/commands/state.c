/* vmrt state */
#include <errno.h>
#include <stdio.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/container.h"

int command_state(const struct context *context, const struct command *self, int argc, char **argv)
{
    enum options_result parsed = options_parse(self, NULL, 0, 1, 1, &argc, &argv);
    _cleanup_free_ char *text = NULL;
    struct container container;
    struct error err;
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    ret = container_open(context->root, argv[0], &container, &err);
    if (ret == 0) {
        text = container_state_text(&container, container_status(&container), CONTAINER_FOR_STATE);
        ret = text ? 0 : error_set(&err, ENOMEM, "out of memory");
    }
    container_close(&container);
    if (ret < 0)
        log_error("%s", err.message);
    else
        fputs(text, stdout);
    return ret < 0;
}
