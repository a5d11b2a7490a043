/* vmrt settings */
#include <stdio.h>

#include "commands/options.h"
#include "oci/settings.h"

int command_settings(const struct context *context, const struct command *self, int argc,
                     char **argv)
{
    bool markdown = false;
    const struct option_row rows[] = {
        { "markdown", 0, OPTION_FLAG, NULL, "print a table for the documentation", &markdown },
    };
    enum options_result parsed = options_parse(self, rows, 1, 0, 0, &argc, &argv);

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    settings_print(stdout, markdown);
    return 0;
}
